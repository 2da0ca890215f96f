//! Cosignatures of witnesses ([c2sp.org/tlog-cosignature](https://c2sp.org/tlog-cosignature)), with Ed25519 or ML-DSA-44.
//!
//! ```text
//! signature  8-byte big-endian time ‖ 64 bytes of Ed25519, or 2,420 of ML-DSA-44
//! ```
//!
//! It says that at this time the witness had seen no larger tree of this ledger, and that it is consistent with all that it had
//! seen before. It stands on a line of the checkpoint's note, below the ledger's own signature. What is signed stands in `message.rs`.
//!
//! Invariants: a signature that claims a known key and is false rejects the note; those of unknown keys are ignored.

use crate::checkpoint::Checkpoint;
use crate::note::{Note, NoteError, parse_note, signature_line};

mod key;
mod message;
mod ml_dsa;

pub use key::{MAX_WITNESS_NAME_BYTES, WitnessName, WitnessNameError, WitnessSigningKey, WitnessVerifyingKey};
pub use ml_dsa::ML_DSA_44_KEY_BYTES;

const TIME_BYTES: usize = 8;

/// Latest time of a cosignature, in seconds since 1970.
pub const MAX_COSIGNATURE_TIME: u64 = i64::MAX as u64;

impl WitnessSigningKey {
    /// The signature line for the checkpoint's note, with its newline. `time` is seconds since 1970, from 1 to
    /// [`MAX_COSIGNATURE_TIME`]; others are brought into that range, for a time of 0 would say that there is none.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> String {
        let time = time.clamp(1, MAX_COSIGNATURE_TIME);
        let signature = self.sign(checkpoint, time);
        signature_line(self.name().as_str(), self.key_id(), &[&time.to_be_bytes()[..], &signature].concat())
    }
}

impl WitnessVerifyingKey {
    /// When this witness cosigned the note, in seconds since 1970: the earliest time, if it did more than once; `None` if it did not.
    ///
    /// # Errors
    /// If a line claims to be of this key and is not.
    pub fn cosigned(&self, note: &Note) -> Result<Option<u64>, NoteError> {
        let mut earliest = None;
        for bytes in note.signatures_of(self.name().as_str(), self.key_id()) {
            let time = self.verify(note.text(), bytes).ok_or_else(|| NoteError::BadSignature { key: self.label() })?;
            earliest = Some(earliest.map_or(time, |earlier: u64| earlier.min(time)));
        }
        Ok(earliest)
    }

    /// Takes this witness's signature line out of the lines that it answered for the note whose text is `text`.
    ///
    /// # Errors
    /// If these are no signature lines, none is of this key, or one claims to be and is false.
    pub fn take(&self, text: &str, lines: &str) -> Result<String, NoteError> {
        let note = parse_note(format!("{text}\n{lines}").as_bytes())?;
        // An empty line in the answer would move the border between text and signatures.
        if note.text() != text {
            return Err(NoteError::Parts);
        }
        if self.cosigned(&note)?.is_none() {
            return Err(NoteError::NotSigned { key: self.label() });
        }
        let first = note.signatures_of(self.name().as_str(), self.key_id()).next().unwrap_or_default();
        Ok(signature_line(self.name().as_str(), self.key_id(), first))
    }

    /// The time that is signed, if the signature is good.
    fn verify(&self, text: &str, bytes: &[u8]) -> Option<u64> {
        let (time, signature) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let time = u64::from_be_bytes(*time);
        if !(1..=MAX_COSIGNATURE_TIME).contains(&time) {
            return None;
        }
        self.verifies(text, time, signature).then_some(time)
    }
}

#[cfg(test)]
mod tests;
