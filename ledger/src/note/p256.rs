//! ECDSA with the curve P-256 and SHA-256, as key services offer it.
//!
//! Invariant: key and signature have one spelling each; whatever is read and written again gives the same bytes.

use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};

use super::key::KeyError;

/// Bytes of a public key as SubjectPublicKeyInfo.
pub(crate) const SPKI_BYTES: usize = 91;

/// What stands before the coordinates: id-ecPublicKey, prime256v1, and that the point is not compressed (RFC 5480).
const SPKI_HEAD: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// A public key with the bytes that it came as.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct P256Key {
    spki: [u8; SPKI_BYTES],
    key: VerifyingKey,
}

impl P256Key {
    pub(crate) fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let spki = <[u8; SPKI_BYTES]>::try_from(spki).map_err(|_| KeyError::Spki)?;
        if spki[..SPKI_HEAD.len()] != SPKI_HEAD {
            return Err(KeyError::Spki);
        }
        // The last byte of the head is the first of the point.
        let key = VerifyingKey::from_sec1_bytes(&spki[SPKI_HEAD.len() - 1..]).map_err(|_| KeyError::Point)?;
        Ok(Self { spki, key })
    }

    pub(crate) const fn spki(&self) -> &[u8; SPKI_BYTES] {
        &self.spki
    }

    /// Whether this DER signature over SHA-256 of `message` is the key's. Services give *s* of either half, so both are good.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(parsed) = Signature::from_der(signature) else { return false };
        parsed.to_der().as_bytes() == signature && self.key.verify(message, &parsed).is_ok()
    }
}
