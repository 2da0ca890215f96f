//! Signed notes ([c2sp.org/signed-note](https://c2sp.org/signed-note)) with Ed25519 and P-256 keys.
//!
//! ```text
//! <text, ends in a newline>
//!
//! — <key name> <base64(key id ‖ signature)>
//! ```
//!
//! Invariants: what was not verified can't be mistaken for what was, because only [`Note::verify`] says so and
//! the modules above call it before they hand anything out (their `parse_unverified` says what it is in its
//! name). Signatures of unknown keys are ignored: that is how keys rotate and witnesses sign. A signature
//! that claims to be of the known key and fails rejects the note.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::keys::KeyHistory;

pub(crate) mod key;
pub(crate) mod key_line;
mod p256;
mod signer;

pub use key::{FalseSignature, KeyError, SigningKey, VerifyingKey};
pub use key_line::PRIVATE_PREFIX;
pub use signer::{SignError, Signer};

/// Longest note.
pub const MAX_NOTE_BYTES: usize = 1 << 20;

/// Most signatures on a note.
pub const MAX_SIGNATURES: usize = 100;

const SIGNATURE_PREFIX: &str = "— ";
pub(crate) const KEY_ID_BYTES: usize = 4;

/// A note whose syntax is right. Nothing is known of its signatures until [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NoteSignature {
    name: String,
    key_id: [u8; KEY_ID_BYTES],
    bytes: Vec<u8>,
}

/// Why bytes are no note, or a note is not signed by a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE_BYTES`].
    #[error("the note has {bytes} bytes, the limit is {MAX_NOTE_BYTES}")]
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
    /// Not UTF-8, or a control character in it.
    #[error("the note is not plain UTF-8 text at byte {offset}")]
    Text {
        /// Where.
        offset: usize,
    },
    /// No text, no empty line behind it, or no signature behind that.
    #[error("the note is not a text, an empty line and signature lines")]
    Parts,
    /// A signature line in another form.
    #[error("signature line {line} of the note is not `— <name> <base64>`")]
    SignatureLine {
        /// Which one, from 1.
        line: usize,
    },
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// No signature with the key's name and id.
    #[error("the note has no signature of key {key}")]
    NotSigned {
        /// Name and id of the key.
        key: String,
    },
    /// A signature claims to be the key's and is not.
    #[error("the note's signature of key {key} is false: its text was changed, or another key signed it")]
    BadSignature {
        /// Name and id of the key.
        key: String,
    },
}

/// Has `text` signed and gives the whole note, whose signature was checked: a signer that has another key, or signs falsely, makes none.
///
/// With an Ed25519 key the same text gives the same bytes; with a P-256 key it need not.
///
/// # Errors
/// If the signer gives no signature, or none of its key.
///
/// # Panics
/// If `text` can't be a note's: it must be non-empty, end in a newline, have no other control character, and
/// leave room within [`MAX_NOTE_BYTES`]. Texts come from this crate's own encoders, never from outside.
pub fn sign_note(text: &str, signer: &dyn Signer) -> Result<String, SignError> {
    assert!(text.ends_with('\n') && first_control(text).is_none(), "a note's text is lines of plain text");
    let key = signer.public();
    let signature = signer.sign(text.as_bytes())?;
    if key.verify(text.as_bytes(), &signature).is_err() {
        let what = format!("what came as a signature of {} is none: is another key configured?", key.label());
        return Err(SignError { what });
    }
    let note = format!("{text}\n{}", signature_line(key.name().as_str(), key.key_id(), &signature));
    assert!(note.len() <= MAX_NOTE_BYTES, "a note has at most {MAX_NOTE_BYTES} bytes");
    Ok(note)
}

/// The same by several signers: one text, and a line of each in their order.
///
/// # Errors
/// If one of them gives no signature; then there is no note.
///
/// # Panics
/// As [`sign_note`], and without any signer.
pub fn sign_note_by(text: &str, signers: &[Arc<dyn Signer>]) -> Result<String, SignError> {
    let mut notes = signers.iter().map(|signer| sign_note(text, &**signer));
    let mut note = notes.next().expect("a note is signed by somebody")?;
    for next in notes {
        note.push_str(&next?[text.len() + 1..]);
    }
    assert!(note.len() <= MAX_NOTE_BYTES, "a note has at most {MAX_NOTE_BYTES} bytes");
    Ok(note)
}

/// The line of a signature, with its newline: appended to a note that is one signature more on it.
pub(crate) fn signature_line(name: &str, key_id: [u8; KEY_ID_BYTES], signature: &[u8]) -> String {
    format!("{SIGNATURE_PREFIX}{name} {}\n", STANDARD.encode([&key_id[..], signature].concat()))
}

/// Takes a note apart without verifying it.
pub fn parse_note(bytes: &[u8]) -> Result<Note, NoteError> {
    if bytes.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong { bytes: bytes.len() });
    }
    let note = std::str::from_utf8(bytes).map_err(|e| NoteError::Text { offset: e.valid_up_to() })?;
    if let Some(offset) = first_control(note) {
        return Err(NoteError::Text { offset });
    }
    // The text may hold empty lines: the last one ends it.
    let end = note.rfind("\n\n").ok_or(NoteError::Parts)? + 1;
    let lines = note[end + 1..].strip_suffix('\n').ok_or(NoteError::Parts)?;
    if lines.split('\n').nth(MAX_SIGNATURES).is_some() {
        return Err(NoteError::TooManySignatures);
    }
    let signatures = lines
        .split('\n')
        .enumerate()
        .map(|(at, line)| parse_signature(line).ok_or(NoteError::SignatureLine { line: at + 1 }))
        .collect::<Result<_, _>>()?;
    Ok(Note { text: note[..end].to_owned(), signatures })
}

impl Note {
    /// What is signed; it ends in a newline. Not to be believed before [`verify`](Self::verify).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names of the keys that the signature lines claim, in their order.
    pub fn claimed_signers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| signature.name.as_str())
    }

    /// Checks that `key` signed the text. Signatures of other keys are ignored.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), NoteError> {
        let mut verified = false;
        for signature in self.signatures_of(key.name().as_str(), key.key_id()) {
            key.verify(self.text.as_bytes(), signature).map_err(|_| NoteError::BadSignature { key: key.label() })?;
            verified = true;
        }
        if verified { Ok(()) } else { Err(NoteError::NotSigned { key: key.label() }) }
    }

    /// The note with `key`'s signature alone, as its signer gave it.
    ///
    /// # Errors
    /// If `key` did not sign it.
    pub fn reduced_to(&self, key: &VerifyingKey) -> Result<String, NoteError> {
        self.verify(key)?;
        let (name, key_id) = (key.name().as_str(), key.key_id());
        let first = self.signatures_of(name, key_id).next().unwrap_or_default();
        Ok(format!("{}\n{}", self.text, signature_line(name, key_id, first)))
    }

    /// The note with the signatures alone that `keys` ask for in what is said of the tree of `size` records, as their signers gave them.
    ///
    /// # Errors
    /// If one of them is missing or false.
    pub fn reduced_to_keys(&self, keys: &KeyHistory, size: u64) -> Result<String, NoteError> {
        let mut note = format!("{}\n", self.text);
        for key in keys.valid_at(size) {
            note.push_str(&self.reduced_to(key)?[self.text.len() + 1..]);
        }
        Ok(note)
    }

    /// What stands on the lines that claim this key.
    pub(crate) fn signatures_of<'n>(
        &'n self,
        name: &'n str,
        key_id: [u8; KEY_ID_BYTES],
    ) -> impl Iterator<Item = &'n [u8]> {
        self.signatures
            .iter()
            .filter(move |signature| signature.name == name && signature.key_id == key_id)
            .map(|signature| signature.bytes.as_slice())
    }
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let (key_id, bytes) = decoded.split_first_chunk()?;
    if bytes.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
}

/// Offset of the first ASCII control character that is no newline.
fn first_control(text: &str) -> Option<usize> {
    text.bytes().position(|byte| byte < 0x20 && byte != b'\n')
}

#[cfg(test)]
mod tests;
