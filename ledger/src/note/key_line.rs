//! What the key lines of ledgers and of witnesses have in common.
//!
//! ```text
//! <name>+<key id, 8 hex>+<base64(type byte ‖ key)>
//! ```
//!
//! Invariant: what is read may be a seed, so it is wiped, and no error repeats it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek as ed25519;
use zeroize::Zeroizing;

use super::KEY_ID_BYTES;
use super::key::KeyError;
use crate::hash::sha256;
use crate::text;

/// How the line of a private key begins, of a ledger or of a witness: what begins so is never repeated.
pub const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// Longer than any line of ours, of which a witness's ML-DSA-44 key has the longest: a bound on hostile input.
const MAX_KEY_LINE_BYTES: usize = 2_048;

/// The parts of a line. `bytes` may be a seed.
pub(crate) struct KeyLine<'a> {
    pub(crate) name: &'a str,
    pub(crate) algorithm: u8,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    id: [u8; KEY_ID_BYTES],
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
        let bytes = Zeroizing::new(bytes.to_vec());
        Some(Self { name, algorithm: *algorithm, bytes, id: text::parse_hex(id)? })
    }

    /// The parts of a verifier key line; white space around it is ignored.
    pub(crate) fn public(line: &'a str) -> Result<Self, KeyError> {
        let line = line.trim();
        if line.starts_with(PRIVATE_PREFIX) {
            return Err(KeyError::PrivateGiven);
        }
        Self::parse(line).ok_or(KeyError::PublicForm)
    }

    /// The parts of a private key line; white space around it is ignored.
    pub(crate) fn private(line: &'a str) -> Result<Self, KeyError> {
        line.trim().strip_prefix(PRIVATE_PREFIX).and_then(Self::parse).ok_or(KeyError::PrivateForm)
    }

    /// The 32 bytes of an Ed25519 key or seed whose type is `expected`. `needed` says in words what that is.
    pub(crate) fn ed25519(&self, expected: u8, needed: &'static str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        if self.algorithm != expected {
            return Err(KeyError::Algorithm { found: self.algorithm, needed });
        }
        self.sized(KeyError::Length)
    }

    /// The key or seed, if it has so many bytes; else the error.
    pub(crate) fn sized<const N: usize>(&self, otherwise: KeyError) -> Result<Zeroizing<[u8; N]>, KeyError> {
        <[u8; N]>::try_from(self.bytes.as_slice()).map(Zeroizing::new).map_err(|_| otherwise)
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

/// The id of a key of this name, but for P-256.
pub(crate) fn key_id(name: &str, algorithm: u8, public: &[u8]) -> [u8; KEY_ID_BYTES] {
    first_of_sha256(&[name.as_bytes(), b"\n", &[algorithm], public].concat())
}

/// How ids are made of what they stand for.
pub(crate) fn first_of_sha256(bytes: &[u8]) -> [u8; KEY_ID_BYTES] {
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&sha256(bytes).as_bytes()[..KEY_ID_BYTES]);
    id
}

pub(crate) fn encode_line(name: &str, key_id: [u8; KEY_ID_BYTES], algorithm: u8, bytes: &[u8]) -> String {
    let mut typed = Zeroizing::new(Vec::with_capacity(1 + bytes.len()));
    typed.push(algorithm);
    typed.extend_from_slice(bytes);
    let encoded = Zeroizing::new(STANDARD.encode(typed.as_slice()));
    format!("{name}+{}+{}", hex(key_id), encoded.as_str())
}

/// The private line of a key whose seed this is.
pub(crate) fn encode_private(
    name: &str,
    key_id: [u8; KEY_ID_BYTES],
    algorithm: u8,
    seed: &[u8; 32],
) -> Zeroizing<String> {
    let body = Zeroizing::new(encode_line(name, key_id, algorithm, seed));
    Zeroizing::new([PRIVATE_PREFIX, body.as_str()].concat())
}

/// Name and id, as errors name a key.
pub(crate) fn label(name: &str, key_id: [u8; KEY_ID_BYTES]) -> String {
    format!("{name}+{}", hex(key_id))
}

fn hex(id: [u8; KEY_ID_BYTES]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}
