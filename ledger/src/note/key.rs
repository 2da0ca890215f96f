//! The ledger's Ed25519 key pair in the text forms of signed notes.
//!
//! ```text
//! public   <name>+<key id, 8 hex>+<base64(0x01 ‖ 32-byte public key)>
//! private  PRIVATE+KEY+<name>+<key id, 8 hex>+<base64(0x01 ‖ 32-byte seed)>
//! key id = first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)
//! ```
//!
//! Invariants: name, id and key of a parsed line belong together; the seed is wiped on drop and never printed.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek as ed25519;
use zeroize::Zeroizing;

use super::KEY_ID_BYTES;
use crate::cosignature::WitnessNameError;
use crate::hash::sha256;
use crate::name::{LedgerName, NameError};
use crate::text;

/// Signature type byte of Ed25519 in C2SP signed-note.
const ED25519: u8 = 0x01;
pub(crate) const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";
/// Longer than any line of ours: a bound on hostile input.
const MAX_KEY_LINE_BYTES: usize = 512;

/// The private key of a ledger. `Debug` prints no secret.
pub struct SigningKey {
    public: VerifyingKey,
    key: ed25519::SigningKey,
}

/// The public key of a ledger.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: LedgerName,
    key_id: [u8; KEY_ID_BYTES],
    key: ed25519::VerifyingKey,
}

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
        "the key's type is {found:#04x}, but {expected:#04x} is needed here: 0x01 is a ledger's Ed25519 key, 0x04 a witness's; others are not supported"
    )]
    Algorithm {
        /// The type byte.
        found: u8,
        /// The type byte that is needed.
        expected: u8,
    },
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
    #[error("the key's bytes are no usable Ed25519 public key")]
    Point,
}

impl SigningKey {
    /// The key pair that follows from a 32-byte random seed.
    pub fn from_seed(name: LedgerName, seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let key = ed25519::SigningKey::from_bytes(&seed);
        let key_id = key_id(name.as_str(), ED25519, key.verifying_key().as_bytes());
        Self { public: VerifyingKey { name, key_id, key: key.verifying_key() }, key }
    }

    /// Reads the private text form. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let rest = line.trim().strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::PrivateForm)?;
        let line = KeyLine::parse(rest).ok_or(KeyError::PrivateForm)?;
        line.check_algorithm(ED25519)?;
        let key = Self::from_seed(LedgerName::parse(line.name)?, *line.bytes);
        line.check_id(key.public.key_id)?;
        Ok(key)
    }

    /// The private text form, one line without newline; wiped when dropped.
    pub fn to_line(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(encode_line(self.name().as_str(), self.public.key_id, ED25519, self.key.as_bytes()));
        Zeroizing::new([PRIVATE_PREFIX, body.as_str()].concat())
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

    pub(super) const fn key_id(&self) -> [u8; KEY_ID_BYTES] {
        self.public.key_id
    }

    pub(super) const fn ed25519(&self) -> &ed25519::SigningKey {
        &self.key
    }
}

impl VerifyingKey {
    /// The key of ledger `name` with these 32 bytes. Refuses points that verify anything.
    pub fn from_bytes(name: LedgerName, bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self { key_id: key_id(name.as_str(), ED25519, bytes), name, key: point(bytes)? })
    }

    /// Reads a verifier key line. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = line.trim();
        if line.starts_with(PRIVATE_PREFIX) {
            return Err(KeyError::PrivateGiven);
        }
        let line = KeyLine::parse(line).ok_or(KeyError::PublicForm)?;
        line.check_algorithm(ED25519)?;
        let key = Self::from_bytes(LedgerName::parse(line.name)?, &line.bytes)?;
        line.check_id(key.key_id)?;
        Ok(key)
    }

    /// The verifier key line, without newline.
    pub fn to_line(&self) -> String {
        encode_line(self.name.as_str(), self.key_id, ED25519, self.key.as_bytes())
    }

    /// The ledger's name.
    pub const fn name(&self) -> &LedgerName {
        &self.name
    }

    /// The first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The 32 bytes of the public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    pub(super) const fn ed25519(&self) -> &ed25519::VerifyingKey {
        &self.key
    }

    /// Name and id, as errors name the key.
    pub(super) fn label(&self) -> String {
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

/// What public and private line have in common, of ledgers and of witnesses. `bytes` may be a seed.
pub(crate) struct KeyLine<'a> {
    pub(crate) name: &'a str,
    id: [u8; KEY_ID_BYTES],
    algorithm: u8,
    pub(crate) bytes: Zeroizing<[u8; 32]>,
}

impl<'a> KeyLine<'a> {
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        if line.len() > MAX_KEY_LINE_BYTES {
            return None;
        }
        // Base64 has a plus of its own, so only the first two separate.
        let mut parts = line.splitn(3, '+');
        let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        let (algorithm, bytes) = decoded.split_first()?;
        Some(Self {
            name,
            id: text::parse_hex(id)?,
            algorithm: *algorithm,
            bytes: Zeroizing::new(bytes.try_into().ok()?),
        })
    }

    pub(crate) const fn check_algorithm(&self, expected: u8) -> Result<(), KeyError> {
        if self.algorithm == expected {
            return Ok(());
        }
        Err(KeyError::Algorithm { found: self.algorithm, expected })
    }

    pub(crate) fn check_id(&self, expected: [u8; KEY_ID_BYTES]) -> Result<(), KeyError> {
        if self.id == expected {
            return Ok(());
        }
        Err(KeyError::Id { found: hex(self.id), expected: hex(expected) })
    }
}

/// The point of these bytes, unless it verifies anything.
pub(crate) fn point(bytes: &[u8; 32]) -> Result<ed25519::VerifyingKey, KeyError> {
    match ed25519::VerifyingKey::from_bytes(bytes) {
        Ok(key) if !key.is_weak() => Ok(key),
        _ => Err(KeyError::Point),
    }
}

pub(crate) fn key_id(name: &str, algorithm: u8, public: &[u8; 32]) -> [u8; KEY_ID_BYTES] {
    let input = [name.as_bytes(), b"\n", &[algorithm], public].concat();
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&sha256(&input).as_bytes()[..KEY_ID_BYTES]);
    id
}

pub(crate) fn encode_line(name: &str, key_id: [u8; KEY_ID_BYTES], algorithm: u8, bytes: &[u8; 32]) -> String {
    let mut typed = Zeroizing::new([algorithm; 33]);
    typed[1..].copy_from_slice(bytes);
    let encoded = Zeroizing::new(STANDARD.encode(typed.as_slice()));
    format!("{name}+{}+{}", hex(key_id), encoded.as_str())
}

/// Name and id, as errors name a key.
pub(crate) fn label(name: &str, key_id: [u8; KEY_ID_BYTES]) -> String {
    format!("{name}+{}", hex(key_id))
}

fn hex(id: [u8; KEY_ID_BYTES]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}
