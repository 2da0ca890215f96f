//! A witness's name and Ed25519 key pair, in the text forms of signed notes.
//!
//! ```text
//! public   <name>+<key id, 8 hex>+<base64(0x04 ‖ 32-byte public key)>
//! private  PRIVATE+KEY+<name>+<key id, 8 hex>+<base64(0x04 ‖ 32-byte seed)>
//! key id = first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key)
//! ```
//!
//! Invariants: as of the ledger's own keys. The signed bytes do not hold the name: one key pair is of one witness only.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek as ed25519;
use zeroize::Zeroizing;

use crate::note::KEY_ID_BYTES;
use crate::note::KeyError;
use crate::note::key_line::{KeyLine, encode_line, encode_private, key_id, label, point};

/// Signature type byte of Ed25519 cosignatures, version 1.
const COSIGNATURE_V1: u8 = 0x04;

/// Longest name of a witness, in bytes.
pub const MAX_WITNESS_NAME_BYTES: usize = 255;

/// The name of a witness's key. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WitnessName(Arc<str>);

/// Why a text is no witness's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessNameError {
    /// Nothing there, or more than [`MAX_WITNESS_NAME_BYTES`].
    #[error(
        "a witness's name has 1 to {MAX_WITNESS_NAME_BYTES} bytes, this one has {bytes}: choose one like `witness.example/w1`"
    )]
    Length {
        /// Bytes found.
        bytes: usize,
    },
    /// A character that a signed note's key name can't have.
    #[error(
        "a witness's name has no white space, no control character and no `+`, but byte {at} begins {found:?}: choose one like `witness.example/w1`"
    )]
    Character {
        /// Offset in bytes.
        at: usize,
        /// The character there.
        found: char,
    },
}

/// The private key of a witness. `Debug` prints no secret.
pub struct WitnessSigningKey {
    name: WitnessName,
    key_id: [u8; KEY_ID_BYTES],
    key: ed25519::SigningKey,
}

/// The public key of a witness.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessVerifyingKey {
    name: WitnessName,
    key_id: [u8; KEY_ID_BYTES],
    key: ed25519::VerifyingKey,
}

impl WitnessName {
    /// Checks `text` and takes it as a name.
    pub fn parse(text: &str) -> Result<Self, WitnessNameError> {
        if text.is_empty() || text.len() > MAX_WITNESS_NAME_BYTES {
            return Err(WitnessNameError::Length { bytes: text.len() });
        }
        let refused = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        match text.char_indices().find(|(_, c)| refused(*c)) {
            Some((at, found)) => Err(WitnessNameError::Character { at, found }),
            None => Ok(Self(text.into())),
        }
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl WitnessSigningKey {
    /// The key pair that follows from a 32-byte random seed.
    pub fn from_seed(name: WitnessName, seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let key = ed25519::SigningKey::from_bytes(&seed);
        let key_id = key_id(name.as_str(), COSIGNATURE_V1, key.verifying_key().as_bytes());
        Self { name, key_id, key }
    }

    /// Reads the private text form. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = KeyLine::private(line)?;
        let seed = line.ed25519(COSIGNATURE_V1, "0x04")?;
        let key = Self::from_seed(WitnessName::parse(line.name)?, *seed);
        line.check_id(key.key_id)?;
        Ok(key)
    }

    /// The private text form, one line without newline; wiped when dropped.
    pub fn to_line(&self) -> Zeroizing<String> {
        encode_private(self.name.as_str(), self.key_id, COSIGNATURE_V1, self.key.as_bytes())
    }

    /// The witness's name.
    pub const fn name(&self) -> &WitnessName {
        &self.name
    }

    /// The public half.
    pub fn public(&self) -> WitnessVerifyingKey {
        WitnessVerifyingKey { name: self.name.clone(), key_id: self.key_id, key: self.key.verifying_key() }
    }

    pub(super) const fn key_id(&self) -> [u8; KEY_ID_BYTES] {
        self.key_id
    }

    pub(super) const fn ed25519(&self) -> &ed25519::SigningKey {
        &self.key
    }
}

impl WitnessVerifyingKey {
    /// The key of witness `name` with these 32 bytes. Refuses points that verify anything.
    pub fn from_bytes(name: WitnessName, bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self { key_id: key_id(name.as_str(), COSIGNATURE_V1, bytes), name, key: point(bytes)? })
    }

    /// Reads a verifier key line. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = KeyLine::public(line)?;
        let bytes = line.ed25519(COSIGNATURE_V1, "0x04")?;
        let key = Self::from_bytes(WitnessName::parse(line.name)?, &bytes)?;
        line.check_id(key.key_id)?;
        Ok(key)
    }

    /// The verifier key line, without newline.
    pub fn to_line(&self) -> String {
        encode_line(self.name.as_str(), self.key_id, COSIGNATURE_V1, self.key.as_bytes())
    }

    /// The witness's name.
    pub const fn name(&self) -> &WitnessName {
        &self.name
    }

    /// The first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key).
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The 32 bytes of the public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Name and id, which tell it from all other keys.
    pub fn label(&self) -> String {
        label(self.name.as_str(), self.key_id)
    }

    pub(super) const fn ed25519(&self) -> &ed25519::VerifyingKey {
        &self.key
    }
}

impl fmt::Display for WitnessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WitnessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for WitnessSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessSigningKey {{ name: {:?}, seed: *** }}", self.name)
    }
}

impl fmt::Debug for WitnessVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessVerifyingKey({})", self.to_line())
    }
}
