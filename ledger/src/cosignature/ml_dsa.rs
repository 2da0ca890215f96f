//! ML-DSA-44 (FIPS 204), pure, with the empty context.
//!
//! Signatures are FIPS 204's deterministic ones: this crate has no randomness, and the same checkpoint and time give the same bytes.
//! Invariants: a signature has one encoding, and a public key has one too; seed and expanded key are wiped on drop.

use ml_dsa::signature::{Keypair as _, Signer as _};
use ml_dsa::{EncodedVerifyingKey, MlDsa44, Signature, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// Bytes of an ML-DSA-44 public key.
pub const ML_DSA_44_KEY_BYTES: usize = 1_312;
/// Bytes of its seed.
const SEED_BYTES: usize = 32;

/// A public key, as it is written. What verification computes from it has 16 times as many bytes and is not kept.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct MlDsa44Key(Box<[u8; ML_DSA_44_KEY_BYTES]>);

/// A private key. Boxed: its expanded form is large, and is not to be copied about.
pub(super) struct MlDsa44SigningKey(Box<SigningKey<MlDsa44>>);

impl MlDsa44Key {
    pub(super) fn from_bytes(bytes: &[u8; ML_DSA_44_KEY_BYTES]) -> Self {
        Self(Box::new(*bytes))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0[..]
    }

    /// Whether `signature` is its 2,420 bytes over exactly `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::<MlDsa44>::try_from(signature) else { return false };
        let key = VerifyingKey::<MlDsa44>::decode(&EncodedVerifyingKey::<MlDsa44>::from(*self.0));
        key.verify_with_context(message, &[], &signature)
    }
}

impl MlDsa44SigningKey {
    pub(super) fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        Self(Box::new(SigningKey::from_seed(&(*seed).into())))
    }

    pub(super) fn public(&self) -> MlDsa44Key {
        MlDsa44Key(Box::new(self.0.verifying_key().encode().into()))
    }

    pub(super) fn seed(&self) -> Zeroizing<[u8; SEED_BYTES]> {
        Zeroizing::new((*self.0.as_seed()).into())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).encode().to_vec()
    }
}
