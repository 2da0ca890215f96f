//! The ledger's key pair in the text forms of signed notes.
//!
//! ```text
//! Ed25519  <name>+<key id, 8 hex>+<base64(0x01 ‖ 32-byte public key)>
//!          PRIVATE+KEY+<name>+<key id, 8 hex>+<base64(0x01 ‖ 32-byte seed)>
//!          key id = first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)
//! P-256    <name>+<key id, 8 hex>+<base64(0x02 ‖ SubjectPublicKeyInfo)>
//!          key id = first 4 bytes of SHA-256(SubjectPublicKeyInfo)
//! ```
//!
//! Invariants: name, id and key of a parsed line belong together; the seed is wiped on drop and never printed.

use std::fmt;

use ed25519_dalek as ed25519;
use zeroize::Zeroizing;

use super::KEY_ID_BYTES;
use super::key_line::{KeyLine, encode_line, encode_private, first_of_sha256, key_id, label, point};
use super::p256::P256Key;
use crate::cosignature::WitnessNameError;
use crate::name::{LedgerName, NameError};

/// Signature type byte of Ed25519 in C2SP signed-note.
const ED25519: u8 = 0x01;
/// The same of ECDSA.
const ECDSA: u8 = 0x02;

/// The Ed25519 private key of a ledger. `Debug` prints no secret.
pub struct SigningKey {
    public: VerifyingKey,
    key: ed25519::SigningKey,
}

/// The public key of a ledger: Ed25519, or ECDSA with the curve P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: LedgerName,
    key_id: [u8; KEY_ID_BYTES],
    public: Public,
}

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Ed25519(ed25519::VerifyingKey),
    P256(P256Key),
}

/// A signature that is not that of the key, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is false")]
pub struct FalseSignature;

/// Why a text is no key. Says nothing of the text itself, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the form of a verifier key.
    #[error("not a verifier key: `<name>+<8 hex>+<base64>` on one line expected")]
    PublicForm,
    /// Not the form of a private key.
    #[error("not a private key: `PRIVATE+KEY+<name>+<8 hex>+<base64>` on one line expected")]
    PrivateForm,
    /// A private key where a public one belongs.
    #[error("this is a private key where a verifier key belongs: keep it secret and give the line of the public key")]
    PrivateGiven,
    /// A key of another type than is needed here.
    #[error(
        "the key's type is {found:#04x}, but {needed} is needed here: 0x01 is a ledger's Ed25519 key, 0x02 its ECDSA P-256 key, 0x04 a witness's Ed25519 key, 0x06 its ML-DSA-44 key; others are not supported"
    )]
    Algorithm {
        /// The type byte.
        found: u8,
        /// What is needed, in words.
        needed: &'static str,
    },
    /// An Ed25519 key, or its seed, of another length.
    #[error("an Ed25519 key has 32 bytes, this one has not: the line is damaged")]
    Length,
    /// An ML-DSA-44 key, or its seed, of another length.
    #[error("an ML-DSA-44 public key has 1,312 bytes and its seed 32, this one has not: the line is damaged")]
    MlDsaLength,
    /// Not the one form of a P-256 key.
    #[error(
        "not a P-256 public key: SubjectPublicKeyInfo in DER with the named curve and an uncompressed point (91 bytes) expected, as `openssl pkey -pubin -outform DER` writes it"
    )]
    Spki,
    /// The name is no ledger name.
    #[error("the key's name is wrong: {0}")]
    Name(#[from] NameError),
    /// The name is none that a witness's key can have.
    #[error("the key's name is wrong: {0}")]
    WitnessName(#[from] WitnessNameError),
    /// The id does not belong to name and key: a typing error, or parts of two keys.
    #[error("the key's id is {found}, but its name and bytes give {expected}: the line is damaged")]
    Id {
        /// Id in the line.
        found: String,
        /// Id that follows from name and key.
        expected: String,
    },
    /// The bytes are no point of the curve, or one of small order.
    #[error(
        "the key's bytes are no usable public key: they are no point of its curve, or one that would verify anything"
    )]
    Point,
}

impl SigningKey {
    /// The key pair that follows from a 32-byte random seed.
    pub fn from_seed(name: LedgerName, seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let key = ed25519::SigningKey::from_bytes(&seed);
        let key_id = key_id(name.as_str(), ED25519, key.verifying_key().as_bytes());
        Self { public: VerifyingKey { name, key_id, public: Public::Ed25519(key.verifying_key()) }, key }
    }

    /// Reads the private text form. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = KeyLine::private(line)?;
        let seed = line.ed25519(ED25519, "0x01")?;
        let key = Self::from_seed(LedgerName::parse(line.name)?, *seed);
        line.check_id(key.public.key_id)?;
        Ok(key)
    }

    /// The private text form, one line without newline; wiped when dropped.
    pub fn to_line(&self) -> Zeroizing<String> {
        encode_private(self.name().as_str(), self.public.key_id, ED25519, self.key.as_bytes())
    }

    /// The ledger's name.
    pub const fn name(&self) -> &LedgerName {
        &self.public.name
    }

    /// The public half.
    pub fn public(&self) -> VerifyingKey {
        self.public.clone()
    }

    pub(super) const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    pub(super) const fn ed25519(&self) -> &ed25519::SigningKey {
        &self.key
    }
}

impl VerifyingKey {
    /// The Ed25519 key of ledger `name` with these 32 bytes. Refuses points that verify anything.
    pub fn from_bytes(name: LedgerName, bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let public = Public::Ed25519(point(bytes)?);
        Ok(Self { key_id: key_id(name.as_str(), ED25519, bytes), name, public })
    }

    /// The P-256 key of ledger `name`, given as SubjectPublicKeyInfo in DER (RFC 5480), which is what key services hand out.
    ///
    /// # Errors
    /// If it is another key, or written in another of its forms: 91 bytes with the named curve and an uncompressed point it is.
    pub fn p256(name: LedgerName, spki_der: &[u8]) -> Result<Self, KeyError> {
        let public = Public::P256(P256Key::from_spki(spki_der)?);
        Ok(Self { name, key_id: first_of_sha256(spki_der), public })
    }

    /// Reads a verifier key line. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = KeyLine::public(line)?;
        let name = LedgerName::parse(line.name)?;
        let key = match line.algorithm {
            ECDSA => Self::p256(name, &line.bytes)?,
            _ => Self::from_bytes(name, &*line.ed25519(ED25519, "0x01 or 0x02")?)?,
        };
        line.check_id(key.key_id)?;
        Ok(key)
    }

    /// The verifier key line, without newline.
    pub fn to_line(&self) -> String {
        encode_line(self.name.as_str(), self.key_id, self.algorithm(), self.as_bytes())
    }

    /// The ledger's name.
    pub const fn name(&self) -> &LedgerName {
        &self.name
    }

    /// What signatures name the key by.
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The public key as its line has it: 32 bytes of Ed25519, or the 91 of a P-256 key's SubjectPublicKeyInfo.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.public {
            Public::Ed25519(key) => key.as_bytes(),
            Public::P256(key) => key.spki(),
        }
    }

    /// Checks a signature over exactly `message`: 64 bytes of Ed25519, or DER of ECDSA over its SHA-256.
    ///
    /// # Errors
    /// If it is not the key's.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), FalseSignature> {
        let good = match &self.public {
            Public::Ed25519(key) => ed25519::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Public::P256(key) => key.verifies(message, signature),
        };
        if good { Ok(()) } else { Err(FalseSignature) }
    }

    const fn algorithm(&self) -> u8 {
        match self.public {
            Public::Ed25519(_) => ED25519,
            Public::P256(_) => ECDSA,
        }
    }

    /// Name and id, as errors name the key.
    pub fn label(&self) -> String {
        label(self.name.as_str(), self.key_id)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey {{ name: {:?}, seed: *** }}", self.name())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.to_line())
    }
}
