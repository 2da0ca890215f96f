//! A ledger that continues another one: its first record holds the last checkpoint of that one, which is closed.
//!
//! So whoever holds the old ledger's key can't cut its end or write it anew: the new ledger says which end it had.

use std::path::Path;
use std::sync::Arc;

use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_exporters::archive::store::{Store, StoreError};
use tachograph_exporters::archive::tree::{TreeError, TreeReader};
use tachograph_exporters::archive::{MAX_NOTE_BYTES, paths};
use tachograph_ledger::shard::LEDGER_CONTINUES;
use tachograph_ledger::{
    Checkpoint, CheckpointError, Commit, Continues, ContinuesError, Leaf, LedgerName, SealError, VerifyingKey, sha256,
};

use crate::batch::BatchError;
use crate::closing;
use crate::data_dir::{DataDir, DataDirError};
use crate::intake::Refusal;
use crate::place::Place;
use crate::reseal::{ResealError, Surroundings, begin_writer};
use crate::seal::{self, Own, WriterError};

/// Why a ledger can't be continued.
#[derive(Debug, thiserror::Error)]
pub enum ContinuationError {
    /// Its data directory, or the new one.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Its archive's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its archive.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It is not there.
    #[error("nothing is there: give the data directory or the archive of the ledger that is to be continued")]
    Nothing,
    /// Only its key can say that it is it.
    #[error(
        "{0} is an archive alone, and whoever may write there could name a key of their own: give the ledger's public key with --previous-key"
    )]
    NoKey(String),
    /// The key that was given is another one's.
    #[error("the archive in {place} is of the key {found}, not of {given}, and no link leads from one to the other")]
    OtherKey {
        /// The archive.
        place: String,
        /// Its first key.
        found: String,
        /// What was given.
        given: String,
    },
    /// It takes records.
    #[error("ledger {ledger} is not closed: close it first (tachograph close {place}), with its collector running")]
    NotClosed {
        /// The ledger.
        ledger: LedgerName,
        /// Its data directory, or where its archive is.
        place: String,
    },
    /// Nothing signed covers its end.
    #[error(
        "ledger {0} is closed, but that is under no checkpoint yet: have its collector run until all is archived (tachograph close)"
    )]
    NoCheckpoint(LedgerName),
    /// Its checkpoint is not its own.
    #[error("{path}: {source}; run `tachograph verify` on the ledger")]
    Checkpoint {
        /// Where it is.
        path: String,
        /// What is wrong.
        source: CheckpointError,
    },
    /// Something else does not fit.
    #[error("{path}: {what}; run `tachograph verify` on the ledger")]
    Damaged {
        /// What.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What is to be said can't be said.
    #[error(transparent)]
    Continues(#[from] ContinuesError),
    /// The two need two names.
    #[error("{0} is the name of the ledger that is to be continued: give the new one another with --name")]
    SameName(LedgerName),
    /// The new ledger.
    #[error(transparent)]
    Reseal(#[from] ResealError),
    /// The new ledger's writer.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// The new ledger's first record.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The new ledger.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No randomness.
    #[error("no randomness from the system: {0}")]
    Entropy(std::io::Error),
    /// The new ledger did not take it.
    #[error("the new ledger did not take its first record: {0:?}")]
    Refused(Refusal),
}

/// What is to be continued of the closed ledger in `place`: a data directory, which brings its key, or an archive.
///
/// Signatures, the tree above the record that closes it, and its body are checked. Whether every record of it is whole says
/// `tachograph verify`.
///
/// # Errors
/// If it is not closed, or can't be authenticated with `key`.
pub fn of(place: &Place, key: Option<&VerifyingKey>) -> Result<Continues, ContinuationError> {
    let shown = place.to_string();
    if place.directory().is_some_and(|path| !path.exists()) {
        return Err(ContinuationError::Nothing);
    }
    let data_dir = place.directory().filter(|path| DataDir::is_one(path));
    let (archive, key, signed) = match data_dir {
        Some(data) => of_data_dir(&DataDir::open(data)?, &shown, key)?,
        None => {
            let key = key.cloned().ok_or_else(|| ContinuationError::NoKey(shown.clone()))?;
            (Reader::open(place.reader()?)?, key, 0)
        }
    };
    archive.check_commits(signed)?;
    let first = archive.identity().vkey.clone();
    let tree = TreeReader::of(&archive);
    let not_closed = || match data_dir {
        // That it is closed its data directory says.
        Some(_) => ContinuationError::NoCheckpoint(first.name().clone()),
        None => ContinuationError::NotClosed { ledger: first.name().clone(), place: shown.clone() },
    };
    let closed = closing::search(&archive, &tree)?.ok_or_else(not_closed)?;
    check_body(&archive, &tree, closed)?;
    // A crash may have left the newest commit without its checkpoint.
    let behind = archive.commits().iter().rev().take_while(|commit| commit.end() > closed);
    for commit in behind {
        if let Some(note) = checkpoint_of(&archive, commit)? {
            let is_theirs = first == key || archive.keys().valid_at(commit.end()).any(|valid| *valid == key);
            if !is_theirs {
                let (found, given) = (first.to_line(), key.to_line());
                return Err(ContinuationError::OtherKey { place: shown, found, given });
            }
            tree.inclusion(closed, commit.end())?;
            return Ok(Continues::new(first, &note)?);
        }
    }
    Err(ContinuationError::NoCheckpoint(first.name().clone()))
}

/// Archive, key, and how many records it has at least.
fn of_data_dir(
    data_dir: &DataDir,
    shown: &str,
    key: Option<&VerifyingKey>,
) -> Result<(Reader, VerifyingKey, u64), ContinuationError> {
    let ledger = data_dir.ledger().clone();
    let place = data_dir.archive()?;
    if data_dir.closed()?.is_none() {
        return Err(ContinuationError::NotClosed { ledger, place: shown.to_owned() });
    }
    if place.directory().is_some_and(|path| !Path::is_dir(path)) {
        return Err(ContinuationError::NoCheckpoint(ledger));
    }
    let checkpoint = data_dir.checkpoint()?;
    let archive = Reader::open(place.reader()?)?;
    if archive.identity().vkey != *data_dir.vkey() {
        let (found, given) = (archive.identity().vkey.to_line(), data_dir.vkey().to_line());
        return Err(ContinuationError::OtherKey { place: place.to_string(), found, given });
    }
    let signed = data_dir.size_of(checkpoint, archive.keys())?;
    let key = key.unwrap_or_else(|| data_dir.vkey()).clone();
    Ok((archive, key, signed))
}

/// Whether the body at `index` is the one that its leaf seals.
fn check_body(archive: &Reader, tree: &TreeReader, index: u64) -> Result<(), ContinuationError> {
    let damaged = |what| ContinuationError::Damaged { path: format!("record {index}, which closes the ledger"), what };
    let (leaf, _) = tree.leaf(index)?;
    let leaf = Leaf::parse(&leaf).map_err(|_| damaged("its leaf is none"))?;
    let found = archive.by_index(index)?.ok_or_else(|| damaged("its body is missing"))?;
    match sha256(&found.body) == leaf.body_sha256 {
        true => Ok(()),
        false => Err(damaged("its body is not the one that was sealed")),
    }
}

/// The note over the tree that a commit ends with, if it is there.
fn checkpoint_of(archive: &Reader, commit: &Commit) -> Result<Option<String>, ContinuationError> {
    let (store, path): (&dyn Store, _) = (&**archive.store(), paths::checkpoint(commit.end()));
    if store.len(&path)?.is_none() {
        return Ok(None);
    }
    let note = store.read(&path, MAX_NOTE_BYTES)?;
    let opened = Checkpoint::open(&note, archive.keys());
    let checkpoint = opened.map_err(|source| ContinuationError::Checkpoint { path: path.clone(), source })?;
    if (checkpoint.size, checkpoint.root) != (commit.end(), commit.root) {
        return Err(ContinuationError::Damaged { path, what: "not the checkpoint of the commit before it" });
    }
    match String::from_utf8(note) {
        Ok(note) => Ok(Some(note)),
        Err(_) => Err(ContinuationError::Damaged { path, what: "not text" }),
    }
}

/// Seals the first record of the ledger in `data_dir`, which was just made, and is open to nobody before that is done.
///
/// # Errors
/// If it can't be sealed. The directory is to be removed then.
pub fn begin(data_dir: &Arc<DataDir>, continues: &Continues, around: &Surroundings) -> Result<(), ContinuationError> {
    let own = Arc::new(Own::new(&*around.entropy).map_err(ContinuationError::Entropy)?);
    let details = Some(continues.details());
    let opening = own.batch(around.clock.now(), LEDGER_CONTINUES, details, &*around.entropy)?;
    let (queue, receiver) = seal::queue();
    let writer = begin_writer(data_dir, own, around)?;
    let writer = std::thread::spawn(move || writer.run(&receiver));
    let sealed = queue.seal_blocking(opening).map_err(ContinuationError::Refused);
    queue.stop();
    drop(queue);
    let ended = writer.join().map_err(|_| ContinuationError::Refused(Refusal::Stopping))?;
    sealed?;
    ended?;
    data_dir.remember_begun()?;
    Ok(data_dir.finish()?)
}
