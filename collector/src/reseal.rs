//! Saves what a fenced collector acknowledged.
//!
//! Two collectors that wrote one ledger by mistake went different ways from some record on. The archive has one way only; what the
//! other one acknowledged is in its journal, sealed under indexes that are taken. Here it is sealed once more, in a new ledger
//! of another name: the bodies as they are, behind a first record that says where they come from. The fenced data directory is only read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_exporters::verify::LEDGER_RESEALED;
use tachograph_ledger::{Hash, Leaf, LedgerName, SealError, Sealer, VerifyingKey, leaf_hash, sha256};
use tachograph_record::Time;
use zeroize::Zeroizing;

use crate::batch::{Batch, BatchError, Entropy};
use crate::clock::Clock;
use crate::config::Durability;
use crate::data_dir::{DataDir, DataDirError};
use crate::dedup::{self, Dedup, DedupError};
use crate::intake::Refusal;
use crate::journal::disk::RealDisk;
use crate::journal::{self, Journal, JournalError, JournalReader};
use crate::observe::Metrics;
use crate::progress::Progress;
use crate::seal::{self, Own, Parts, Streams, Writer, WriterError};
use crate::view::ViewError;

/// Bytes of bodies in one batch.
const BATCH_BYTES: usize = 4 << 20;

/// What was saved.
#[derive(Clone, Debug, Serialize)]
pub struct Resealed {
    /// The fenced ledger.
    pub from: String,
    /// The new one.
    pub into: String,
    /// Its public key.
    pub vkey: String,
    /// Index, in the fenced ledger, of the first record that the archive has not, or has otherwise.
    pub first: u64,
    /// Records that were sealed again.
    pub records: u64,
}

/// Why nothing was saved. What was begun of the new ledger is to be removed then.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// A data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The archive.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The archive.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The new duplicate index.
    #[error(transparent)]
    Dedup(#[from] DedupError),
    /// The new ledger.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The new ledger's writer.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// The recorder's own record.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// No randomness.
    #[error("no randomness from the system: {0}")]
    Entropy(std::io::Error),
    /// Nothing to save.
    #[error(
        "the journal in {0} holds no record that the archive has otherwise: nothing was fenced off. Records that are not archived yet are archived by \
         the next `tachograph run`"
    )]
    NotFenced(PathBuf),
    /// The archive ends before the journal begins.
    #[error(
        "the archive ends at record {archived}, the journal in {data} begins at {first}: they are not of one ledger's life"
    )]
    Apart {
        /// Records archived.
        archived: u64,
        /// First in the journal.
        first: u64,
        /// The data directory.
        data: PathBuf,
    },
    /// The new ledger must be another one.
    #[error("{0} is the name of the fenced ledger: give the new one another")]
    SameName(LedgerName),
    /// A record of the journal is not what was sealed.
    #[error("record {index} of the fenced journal: {what}")]
    Record {
        /// The record.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// The new ledger did not take it.
    #[error("the new ledger took no more: {0:?}")]
    Refused(Refusal),
}

/// Clock and randomness.
pub struct Surroundings {
    /// Dates the sealing.
    pub clock: Arc<dyn Clock>,
    /// Keys and salts.
    pub entropy: Arc<dyn Entropy>,
}

/// Seals what only the journal in `fenced` holds into a new ledger `name` in the new directory `into`.
///
/// # Errors
/// If nothing is fenced off, or something can't be read or written. `fenced` is unchanged in any case.
pub fn reseal(fenced: &Path, into: &Path, name: &LedgerName, around: &Surroundings) -> Result<Resealed, ResealError> {
    let from = DataDir::open(fenced)?;
    let _lock = from.lock()?;
    if from.ledger() == name {
        return Err(ResealError::SameName(name.clone()));
    }
    let archive = Reader::open(from.archive()?.reader().map_err(ViewError::from)?)?;
    let journal = Journal::read_only(&from.journal(), from.ledger().as_str())?;
    let first = fork(&archive, &journal, fenced)?;
    let count = journal.next_index().unwrap_or(first) - first;

    let mut seeds = Zeroizing::new([0; 64]);
    around.entropy.fill(&mut *seeds).map_err(ResealError::Entropy)?;
    let data_dir = Arc::new(DataDir::init(into, name, around.clock.now(), &seeds)?);
    data_dir.begin_filling()?;
    let own = Arc::new(Own::new(&*around.entropy).map_err(ResealError::Entropy)?);
    let details = serde_json::json!({
        "ledger": from.ledger().as_str(),
        "vkey": from.vkey().to_line(),
        "first": first.to_string(),
        "count": count.to_string(),
    });
    let opening = own.batch(around.clock.now(), LEDGER_RESEALED, Some(details.to_string()), &*around.entropy)?;
    let (queue, receiver) = seal::queue();
    let writer = begin_writer(&data_dir, own, around)?;
    let writer = std::thread::spawn(move || writer.run(&receiver));
    let sealed = (|| {
        queue.seal_blocking(opening).map_err(ResealError::Refused)?;
        copy(&journal, first, from.vkey(), |batch| queue.seal_blocking(batch).map(drop).map_err(ResealError::Refused))
    })();
    queue.stop();
    drop(queue);
    let ended = writer.join().map_err(|_| ResealError::Refused(Refusal::Stopping))?;
    let records = sealed?;
    ended?;
    data_dir.remember_begun()?;
    data_dir.finish()?;
    Ok(Resealed {
        from: from.ledger().to_string(),
        into: name.to_string(),
        vkey: data_dir.vkey().to_line(),
        first,
        records,
    })
}

/// Index of the first record of the journal that the archive has otherwise. Equal hashes at one index mean equal records up to
/// there, so half of what is left is ruled out by each look.
fn fork(archive: &Reader, journal: &JournalReader, data: &Path) -> Result<u64, ResealError> {
    let archived = archive.size();
    let none = || ResealError::NotFenced(data.to_owned());
    let (Some(oldest), Some(next)) = (journal.oldest_index(), journal.next_index()) else { return Err(none()) };
    if oldest > archived {
        return Err(ResealError::Apart { archived, first: oldest, data: data.to_owned() });
    }
    let end = next.min(archived);
    let (mut low, mut high) = (oldest, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if archive.leaf_hash(middle)? == Some(hash_of(journal, middle)?) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    // The same up to the end of one of them. Behind the archive's end the journal may still go another way than the archive did.
    let follows = low == end && (next <= archived || continues(archive, journal, archived)?);
    if follows { Err(none()) } else { Ok(low) }
}

/// Whether the journal's record `at` continues the archive.
fn continues(archive: &Reader, journal: &JournalReader, at: u64) -> Result<bool, ResealError> {
    let last = match at.checked_sub(1) {
        Some(last) => archive.leaf_hash(last)?,
        None => Some(tachograph_ledger::genesis(&archive.identity().vkey.to_line())),
    };
    let prev = Leaf::parse(&leaf_of(journal, at)?).map(|leaf| leaf.prev).ok();
    Ok(prev.is_some() && prev == last)
}

fn hash_of(journal: &JournalReader, index: u64) -> Result<Hash, ResealError> {
    Ok(leaf_hash(&leaf_of(journal, index)?))
}

fn leaf_of(journal: &JournalReader, index: u64) -> Result<Vec<u8>, ResealError> {
    let missing = || ResealError::Record { index, what: "the journal does not hold it".to_owned() };
    journal.leaf(index)?.ok_or_else(missing)
}

/// A writer over a new journal.
pub(crate) fn begin_writer(
    data_dir: &Arc<DataDir>,
    own: Arc<Own>,
    around: &Surroundings,
) -> Result<Writer, ResealError> {
    let settings = journal::Settings { max_bytes: u64::MAX, ..journal::Settings::new(data_dir.ledger().as_str()) };
    let (journal, _) = Journal::open(&data_dir.journal(), Arc::new(RealDisk), settings)?;
    let dedup = Dedup::open(&data_dir.dedup(), Arc::new(RealDisk), dedup::Settings::default())?;
    Ok(Writer::new(Parts {
        sealer: Sealer::new(data_dir.vkey(), data_dir.mac_key()?)?,
        journal,
        dedup,
        data_dir: Arc::clone(data_dir),
        last_sealed_at: Time::default(),
        mac_key_epoch: 0,
        clock: Arc::clone(&around.clock),
        entropy: Arc::clone(&around.entropy),
        own,
        metrics: Arc::new(Metrics::default()),
        progress: Arc::new(Progress::new(0)),
        durability: Durability::Wal,
        archive_wait: Duration::ZERO,
        gap_after: Duration::MAX,
        // Among what is sealed anew are records of the fenced recorder itself, whose starts are none of this ledger's.
        streams: Streams::off(None),
        closing: None,
    }))
}

/// Hands the journal's records from `first` on to `take`, and says how many there were.
fn copy(
    journal: &JournalReader,
    first: u64,
    vkey: &VerifyingKey,
    mut take: impl FnMut(Batch) -> Result<(), ResealError>,
) -> Result<u64, ResealError> {
    let (mut bodies, mut bytes, mut start) = (Vec::new(), 0, first);
    let mut next = first;
    let mut prev: Option<Hash> = None;
    let mut frames = journal.read_from(first)?;
    while let Some(frame) = frames.next_frame()? {
        for record in frame.records() {
            let wrong = |what: &str| ResealError::Record { index: record.index, what: what.to_owned() };
            let leaf = Leaf::parse(record.leaf).map_err(|error| wrong(&error.to_string()))?;
            let follows =
                leaf.index == next && leaf.ledger == vkey.name().as_str() && prev.is_none_or(|p| p == leaf.prev);
            if !follows {
                return Err(wrong("it does not follow the one before; run `tachograph verify`"));
            }
            if sha256(record.body) != leaf.body_sha256 {
                return Err(wrong("its body is not the one that was sealed; run `tachograph verify`"));
            }
            prev = Some(leaf_hash(record.leaf));
            next += 1;
            bytes += record.body.len();
            bodies.push(record.body.to_vec());
            if bytes >= BATCH_BYTES {
                take(batch_of(&bodies, start)?)?;
                (bytes, start) = (0, next);
                bodies.clear();
            }
        }
    }
    if !bodies.is_empty() {
        take(batch_of(&bodies, start)?)?;
    }
    Ok(next - first)
}

fn batch_of(bodies: &[Vec<u8>], start: u64) -> Result<Batch, ResealError> {
    Batch::from_sealed(bodies.iter().map(Vec::as_slice))
        .map_err(|(at, error)| ResealError::Record { index: start + at as u64, what: error.to_string() })
}
