//! A witness's name and key pairs, in the text forms of signed notes.
//!
//! ```text
//! Ed25519    public   <name>+<key id, 8 hex>+<base64(0x04 ‖ 32-byte public key)>
//!            private  PRIVATE+KEY+<name>+<key id, 8 hex>+<base64(0x04 ‖ 32-byte seed)>
//! ML-DSA-44  public   <name>+<key id, 8 hex>+<base64(0x06 ‖ 1,312-byte public key)>
//!            private  PRIVATE+KEY+<name>+<key id, 8 hex>+<base64(0x06 ‖ 32-byte seed)>
//! key id = first 4 bytes of SHA-256(name ‖ 0x0A ‖ type byte ‖ public key)
//! ```
//!
//! Invariants: as of the ledger's own keys. What Ed25519 signs does not hold the name: one such key pair is of one witness only.
use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{self as ed25519, Signer as _};
use zeroize::Zeroizing;

use super::message::{ed25519_message, ml_dsa_message};
use super::ml_dsa::{ML_DSA_44_KEY_BYTES, MlDsa44Key, MlDsa44SigningKey};
use crate::checkpoint::Checkpoint;
use crate::note::KEY_ID_BYTES;
use crate::note::KeyError;
use crate::note::key_line::{KeyLine, encode_line, encode_private, key_id, label, point};

/// Signature type byte of Ed25519 cosignatures, version 1.
const ED25519: u8 = 0x04;
/// The same of ML-DSA-44.
const ML_DSA_44: u8 = 0x06;
/// What a witness's key may be, for errors.
const NEEDED: &str = "0x04 or 0x06";

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

/// The private key of a witness: Ed25519 or ML-DSA-44. `Debug` prints no secret.
pub struct WitnessSigningKey {
    public: WitnessVerifyingKey,
    secret: Secret,
}

enum Secret {
    Ed25519(Box<ed25519::SigningKey>),
    MlDsa44(MlDsa44SigningKey),
}

/// The public key of a witness: Ed25519 or ML-DSA-44.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessVerifyingKey {
    name: WitnessName,
    key_id: [u8; KEY_ID_BYTES],
    public: Public,
}

#[derive(Clone, PartialEq, Eq)]
enum Public {
    Ed25519(ed25519::VerifyingKey),
    MlDsa44(MlDsa44Key),
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
    /// The Ed25519 key pair that follows from a 32-byte random seed.
    pub fn from_seed(name: WitnessName, seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let key = ed25519::SigningKey::from_bytes(&seed);
        let public = WitnessVerifyingKey::new(name, Public::Ed25519(key.verifying_key()));
        Self { public, secret: Secret::Ed25519(Box::new(key)) }
    }

    /// The ML-DSA-44 key pair that follows from a 32-byte random seed: FIPS 204's *ξ*. It must not be that of the Ed25519 key.
    pub fn ml_dsa_44(name: WitnessName, seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let key = MlDsa44SigningKey::from_seed(&seed);
        let public = WitnessVerifyingKey::new(name, Public::MlDsa44(key.public()));
        Self { public, secret: Secret::MlDsa44(key) }
    }

    /// Reads the private text form. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = KeyLine::private(line)?;
        let name = WitnessName::parse(line.name)?;
        let key = match line.algorithm {
            ML_DSA_44 => Self::ml_dsa_44(name, *line.sized(KeyError::MlDsaLength)?),
            _ => Self::from_seed(name, *line.ed25519(ED25519, NEEDED)?),
        };
        line.check_id(key.public.key_id)?;
        Ok(key)
    }

    /// The private text form, one line without newline; wiped when dropped.
    pub fn to_line(&self) -> Zeroizing<String> {
        let seed = match &self.secret {
            Secret::Ed25519(key) => Zeroizing::new(key.to_bytes()),
            Secret::MlDsa44(key) => key.seed(),
        };
        encode_private(self.name().as_str(), self.public.key_id, self.public.algorithm(), &seed)
    }

    /// The witness's name.
    pub const fn name(&self) -> &WitnessName {
        &self.public.name
    }

    /// The public half.
    pub fn public(&self) -> WitnessVerifyingKey {
        self.public.clone()
    }

    pub(super) const fn key_id(&self) -> [u8; KEY_ID_BYTES] {
        self.public.key_id
    }

    /// The bare signature over a checkpoint and a time.
    pub(super) fn sign(&self, checkpoint: &Checkpoint, time: u64) -> Vec<u8> {
        match &self.secret {
            Secret::Ed25519(key) => key.sign(ed25519_message(&checkpoint.text(), time).as_bytes()).to_bytes().to_vec(),
            Secret::MlDsa44(key) => key.sign(&ml_dsa_message(self.name(), checkpoint, time)),
        }
    }
}

impl WitnessVerifyingKey {
    fn new(name: WitnessName, public: Public) -> Self {
        let mut key = Self { name, key_id: [0; KEY_ID_BYTES], public };
        key.key_id = key_id(key.name.as_str(), key.algorithm(), key.as_bytes());
        key
    }

    /// The Ed25519 key of witness `name` with these 32 bytes. Refuses points that verify anything.
    pub fn from_bytes(name: WitnessName, bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self::new(name, Public::Ed25519(point(bytes)?)))
    }

    /// The ML-DSA-44 key of witness `name` with these bytes: FIPS 204's *pk*, of which each has one spelling.
    pub fn ml_dsa_44(name: WitnessName, bytes: &[u8; ML_DSA_44_KEY_BYTES]) -> Self {
        Self::new(name, Public::MlDsa44(MlDsa44Key::from_bytes(bytes)))
    }

    /// Reads a verifier key line. White space around the line is ignored.
    pub fn parse(line: &str) -> Result<Self, KeyError> {
        let line = KeyLine::public(line)?;
        let name = WitnessName::parse(line.name)?;
        let key = match line.algorithm {
            ML_DSA_44 => Self::ml_dsa_44(name, &*line.sized(KeyError::MlDsaLength)?),
            _ => Self::from_bytes(name, &*line.ed25519(ED25519, NEEDED)?)?,
        };
        line.check_id(key.key_id)?;
        Ok(key)
    }

    /// The verifier key line, without newline.
    pub fn to_line(&self) -> String {
        encode_line(self.name.as_str(), self.key_id, self.algorithm(), self.as_bytes())
    }

    /// The witness's name.
    pub const fn name(&self) -> &WitnessName {
        &self.name
    }

    /// The first 4 bytes of SHA-256(name ‖ 0x0A ‖ type byte ‖ public key).
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The bytes of the public key: 32 of Ed25519, 1,312 of ML-DSA-44.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.public {
            Public::Ed25519(key) => key.as_bytes(),
            Public::MlDsa44(key) => key.as_bytes(),
        }
    }

    /// Whether its signatures hold against quantum computers: whether it is an ML-DSA-44 key.
    pub const fn is_post_quantum(&self) -> bool {
        matches!(self.public, Public::MlDsa44(_))
    }

    /// Its name as reports have it, with the kind of key where that is not Ed25519: a witness may have one of each.
    pub fn described(&self) -> String {
        match &self.public {
            Public::Ed25519(_) => self.name.to_string(),
            Public::MlDsa44(_) => format!("{} (ML-DSA-44)", self.name),
        }
    }

    /// Name and id, which tell it from all other keys.
    pub fn label(&self) -> String {
        label(self.name.as_str(), self.key_id)
    }

    const fn algorithm(&self) -> u8 {
        match self.public {
            Public::Ed25519(_) => ED25519,
            Public::MlDsa44(_) => ML_DSA_44,
        }
    }

    /// Whether `signature` is its bare one over the note's text and a time.
    pub(super) fn verifies(&self, text: &str, time: u64, signature: &[u8]) -> bool {
        match &self.public {
            Public::Ed25519(key) => ed25519::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(ed25519_message(text, time).as_bytes(), &signature).is_ok()),
            // What is signed holds no other line than a checkpoint's three: of a text with more it would say nothing.
            Public::MlDsa44(key) => Checkpoint::from_text(text)
                .is_ok_and(|checkpoint| key.verifies(&ml_dsa_message(&self.name, &checkpoint, time), signature)),
        }
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
        write!(f, "WitnessSigningKey {{ name: {:?}, seed: *** }}", self.name())
    }
}

impl fmt::Debug for WitnessVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessVerifyingKey({})", self.to_line())
    }
}
