//! Making a bundle from an archive.

use std::collections::BTreeMap;

use tachograph_ledger::{Checkpoint, CheckpointError, TlogProof, VerifyingKey};
use tachograph_record::Time;

use super::about::{About, RecordLine, Selection};
use super::files::Files;
use super::{ABOUT, CHECKPOINT, MAX_BYTES, MAX_RECORDS, RECORDS, VKEY, proof_path};
use crate::archive::reader::{ReadError, Reader};
use crate::archive::tree::{TreeError, TreeReader};
use crate::archive::{MAX_NOTE_BYTES, paths};

/// What to prove.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was asked for.
    pub selection: Selection,
    /// The records that answer, with their bodies; `None` for one that was destroyed.
    pub records: BTreeMap<u64, Option<Vec<u8>>>,
    /// The time of making.
    pub created_at: Time,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Nothing was selected.
    #[error("no record answers")]
    Nothing,
    /// Too much was selected.
    #[error("{records} records answer, a bundle holds at most {MAX_RECORDS}: ask for less at a time")]
    TooMany {
        /// How many.
        records: usize,
    },
    /// Too much was selected.
    #[error("the records have more than 1 GiB together: ask for less at a time")]
    TooLarge,
    /// The newest records are under no checkpoint.
    #[error(
        "record {index} is under no checkpoint yet, only {size} records are: it can be proven when its segment is archived \
         (`archive.max_age`, one minute by default)"
    )]
    NotYet {
        /// The record.
        index: u64,
        /// Records under the newest checkpoint.
        size: u64,
    },
    /// The checkpoint is not good.
    #[error("{path}: {source}; run `tachograph verify`")]
    Checkpoint {
        /// The object.
        path: String,
        /// What is wrong.
        source: CheckpointError,
    },
    /// Something is not what the ledger says.
    #[error("{what}; run `tachograph verify`")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// The tree can't be read, or is damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The archive can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Makes the files of a bundle, without manifest: see [`Files::seal`].
pub fn make(archive: &Reader, tree: &TreeReader, request: &Request) -> Result<Files, MakeError> {
    let (Some(last), count) = (request.records.keys().next_back().copied(), request.records.len()) else {
        return Err(MakeError::Nothing);
    };
    if count > MAX_RECORDS {
        return Err(MakeError::TooMany { records: count });
    }
    let vkey = &archive.identity().vkey;
    let (checkpoint, note) = covering(archive, vkey, last)?;
    let mut files = Files::default();
    let mut lines = String::new();
    for (&index, body) in &request.records {
        let (leaf, hash) = tree.leaf(index)?;
        let proof = TlogProof {
            index,
            hashes: tree.inclusion(index, checkpoint.size)?,
            checkpoint: note.clone(),
            extra: Some(leaf.clone()),
        };
        proof.verify(&hash, checkpoint.size, &checkpoint.root).map_err(TreeError::Proof)?;
        files.insert(proof_path(index), proof.encode());
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| MakeError::Damaged { what: format!("record {index} is no text") })
        };
        let body = body.clone().map(text).transpose()?;
        lines += &RecordLine { body, index, leaf: text(leaf)? }.encode();
        if lines.len() as u64 > MAX_BYTES {
            return Err(MakeError::TooLarge);
        }
    }
    let about = About {
        created_at: request.created_at,
        ledger: vkey.name().clone(),
        vkey: vkey.to_line(),
        size: checkpoint.size,
        root: checkpoint.root,
        selection: request.selection.clone(),
        records: request.records.keys().copied().collect(),
        anchor: None,
    };
    files.insert(RECORDS, lines);
    files.insert(VKEY, format!("{}\n", vkey.to_line()));
    files.insert(CHECKPOINT, note);
    files.insert(ABOUT, about.encode());
    Ok(files)
}

/// The first checkpoint over the record `last`, and its note.
fn covering(archive: &Reader, vkey: &VerifyingKey, last: u64) -> Result<(Checkpoint, String), MakeError> {
    let commit = archive.commits().iter().find(|commit| commit.end() > last);
    let commit = commit.ok_or(MakeError::NotYet { index: last, size: archive.size() })?;
    let path = paths::checkpoint(commit.end());
    let store = archive.store();
    store.pin(&path).map_err(ReadError::from)?;
    let bytes = store.read(&path, MAX_NOTE_BYTES).map_err(ReadError::from)?;
    let checkpoint =
        Checkpoint::open(&bytes, vkey).map_err(|source| MakeError::Checkpoint { path: path.clone(), source })?;
    if (checkpoint.size, checkpoint.root) != (commit.end(), commit.root) {
        return Err(MakeError::Damaged { what: format!("{path} is not the checkpoint of its commit") });
    }
    // A note that was opened is UTF-8.
    Ok((checkpoint, String::from_utf8_lossy(&bytes).into_owned()))
}
