//! The checkpoint ([c2sp.org/tlog-checkpoint](https://c2sp.org/tlog-checkpoint)): the signed statement that the
//! ledger has so many records and this root. It is the evidence.
//!
//! ```text
//! <ledger name>
//! <number of leaves, decimal>
//! <base64 of the root>
//! ```
//!
//! Invariant: three lines, no extensions, one spelling. Who signs must have committed the records before.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;
use crate::keys::Keys;
use crate::name::{LedgerName, NameError};
use crate::note::{NoteError, SignError, Signer, parse_note, sign_note, sign_note_by};
use crate::text;

/// Size and root of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's name.
    pub origin: LedgerName,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// Why bytes are no checkpoint, or not one of this key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// No signed note, or not signed by the key.
    #[error("the checkpoint is not good: {0}")]
    Note(#[from] NoteError),
    /// Other lines than three.
    #[error("the checkpoint's text has not exactly three lines")]
    Lines,
    /// The first line is no ledger name.
    #[error("the checkpoint's origin is wrong: {0}")]
    Origin(#[from] NameError),
    /// The second line is no number.
    #[error("the checkpoint's size is not a decimal number below 2^64 without leading zeros")]
    Size,
    /// The third line is no hash.
    #[error("the checkpoint's root is not the base64 of 32 bytes")]
    Root,
    /// A checkpoint of one ledger, signed by the key of another.
    #[error("the checkpoint is of ledger `{found}`, the key of `{expected}`")]
    OtherLedger {
        /// Origin in the checkpoint.
        found: LedgerName,
        /// Name of the key.
        expected: LedgerName,
    },
}

impl Checkpoint {
    /// The signed note, as [`sign_note`] makes it.
    ///
    /// # Errors
    /// If it can't be signed.
    ///
    /// # Panics
    /// If the key is of another ledger.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, SignError> {
        assert_eq!(&self.origin, signer.public().name(), "a ledger signs with its own key");
        sign_note(&self.text(), signer)
    }

    /// The same, signed by each of `signers`.
    ///
    /// # Errors
    /// If one of them can't sign.
    ///
    /// # Panics
    /// If there is none, or its key is of another ledger.
    pub fn sign_by(&self, signers: &[Arc<dyn Signer>]) -> Result<String, SignError> {
        assert!(
            signers.iter().all(|signer| *signer.public().name() == self.origin),
            "a ledger signs with its own keys"
        );
        sign_note_by(&self.text(), signers)
    }

    /// Verifies the signatures that `keys` ask for and takes the checkpoint apart.
    pub fn open<K: Keys + ?Sized>(bytes: &[u8], keys: &K) -> Result<Self, CheckpointError> {
        let note = parse_note(bytes)?;
        let checkpoint = Self::from_text(note.text());
        // Of a text that is none it is still worth knowing that the ledger did not sign it.
        keys.check(&note, checkpoint.as_ref().map_or(u64::MAX, |checkpoint| checkpoint.size))?;
        let checkpoint = checkpoint?;
        if &checkpoint.origin != keys.ledger() {
            return Err(CheckpointError::OtherLedger { found: checkpoint.origin, expected: keys.ledger().clone() });
        }
        Ok(checkpoint)
    }

    /// Takes a checkpoint apart without looking at signatures: only to say what a bad one claims.
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::from_text(parse_note(bytes)?.text())
    }

    /// What is signed: the three lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Takes the text of a note apart.
    pub(crate) fn from_text(note_text: &str) -> Result<Self, CheckpointError> {
        let mut lines = note_text.split_terminator('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        let root = STANDARD.decode(root).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            origin: LedgerName::parse(origin)?,
            size: text::parse_decimal(size).ok_or(CheckpointError::Size)?,
            root: Hash::from_bytes(root.ok_or(CheckpointError::Root)?),
        })
    }
}

#[cfg(test)]
mod tests;
