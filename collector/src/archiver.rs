//! Archive: from the journal to the write-once store, behind the writer and never in its way.
//!
//! One thread reads durable frames from the journal and pushes their records into a segment; a segment that is large or old
//! enough, or whose day is over, is appended to the archive, and only then may the journal let go of what it held.
//! It checks the chain of everything that it reads back: what was written is not taken on trust.
//!
//! Memory: one journal frame and one Parquet row group. There is no queue: the journal is it.
//!
//! A store that fails for a while (no space, say) is tried again with growing pauses while the journal goes on taking records
//! up to its bound. Anything else ends the thread, and with it the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tachograph_exporters::archive::{Archive, ArchiveError, Committed, OneClass, Pushed, Row, Segment, SegmentError};
use tachograph_ledger::{MacKey, leaf_hash};

use crate::data_dir::{DataDir, DataDirError};
use crate::journal::disk::out_of_space;
use crate::journal::{JournalError, JournalReader, StoredRecord};
use crate::observe::Metrics;
use crate::progress::Progress;
use crate::seal::Queue;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When a segment is closed.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// It has waited this long.
    pub max_age: Duration,
    /// It has this many bytes of bodies.
    pub max_bytes: u64,
    /// At shutdown: how long a store that fails is tried again.
    pub drain_timeout: Duration,
}

/// Why the archiver ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum ArchiverError {
    /// The archive can't be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A record does not fit behind the ones before it.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The journal can't be read back.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The checkpoint can't be remembered.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The process is ending and the store still fails. Nothing is lost.
    #[error(
        "{left} records are not archived, because the store fails: {error}. They are safe in the journal and will be archived after the next start"
    )]
    GaveUp {
        /// How many.
        left: u64,
        /// The store's error.
        error: Box<ArchiverError>,
    },
}

impl ArchiverError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Archive(error) => error.is_retryable(),
            Self::Segment(error) => error.is_retryable(),
            Self::DataDir(DataDirError::Io { source, .. }) => out_of_space(source),
            Self::Journal(_) | Self::DataDir(_) | Self::GaveUp { .. } => false,
        }
    }

    /// Whether bytes were not what they must be.
    pub fn is_tampering(&self) -> bool {
        match self {
            Self::Archive(ArchiveError::Fenced { .. } | ArchiveError::Damaged { .. } | ArchiveError::Commit { .. }) => {
                true
            }
            Self::Archive(ArchiveError::Segment(error)) | Self::Segment(error) => !error.is_retryable(),
            Self::Journal(JournalError::Corrupt { .. }) => true,
            _ => false,
        }
    }
}

/// The archive stage.
pub struct Archiver {
    /// The archive.
    pub archive: Archive,
    /// Reads the journal.
    pub journal: JournalReader,
    /// How far the writer is.
    pub progress: Arc<Progress>,
    /// Back to the writer, which lets go of what is archived.
    pub queue: Queue,
    /// Remembers checkpoints.
    pub data_dir: Arc<DataDir>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// When segments are closed.
    pub cut: Cut,
    /// The newest segment, if it is archived and its checkpoint is not remembered yet.
    pub unremembered: Option<Committed>,
}

/// A segment being filled.
struct Open {
    segment: Segment,
    since: Instant,
}

impl Archiver {
    /// Works until the writer has ended and all that is durable is archived.
    ///
    /// # Errors
    /// If it had to stop before.
    pub fn run(mut self) -> Result<(), ArchiverError> {
        let mut pause = FIRST_PAUSE;
        let mut ended_since = None;
        loop {
            let error = match self.work() {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(error),
            };
            self.metrics.archive_retries.add(1);
            let state = self.progress.now();
            if state.ended && ended_since.get_or_insert_with(Instant::now).elapsed() > self.cut.drain_timeout {
                let left = state.durable - self.archive.tail().size;
                return Err(ArchiverError::GaveUp { left, error: Box::new(error) });
            }
            tracing::error!(%error, retry_in = ?pause, "the archive can't be written; records stay in the journal");
            std::thread::sleep(pause.min(if state.ended { FIRST_PAUSE } else { pause }));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// From the archive's end to the journal's, segment after segment.
    fn work(&mut self) -> Result<(), ArchiverError> {
        self.remember()?;
        let mut position = self.archive.tail().size;
        let mut open: Option<Open> = None;
        let mut frames = None;
        loop {
            let wait =
                open.as_ref().map_or(self.cut.max_age, |open| self.cut.max_age.saturating_sub(open.since.elapsed()));
            let state = self.progress.wait_beyond(position, wait);
            if state.durable > position {
                let reader = match &mut frames {
                    Some(reader) => reader,
                    none => none.insert(self.journal.read_from(position)?),
                };
                if let Some(frame) = reader.next_frame()? {
                    if open.is_none() {
                        self.metrics.oldest_unarchived.set(frame.sealed_at());
                    }
                    for record in frame.records() {
                        self.push(&mut open, &record)?;
                        position = record.index + 1;
                    }
                }
            }
            let drained = position >= self.progress.now().durable;
            let old = open.as_ref().is_some_and(|open| open.since.elapsed() >= self.cut.max_age);
            if open.is_some() && (old || (state.ended && drained)) {
                self.close(&mut open)?;
            }
            if drained && open.is_none() {
                self.metrics.oldest_unarchived.set(0);
            }
            if state.ended && drained {
                return Ok(());
            }
        }
    }

    fn push(&mut self, open: &mut Option<Open>, record: &StoredRecord<'_>) -> Result<(), ArchiverError> {
        let hash = leaf_hash(record.leaf);
        let row = Row { index: record.index, leaf: record.leaf, hash: &hash, mac: &record.mac, body: record.body };
        loop {
            let mut current = match open.take() {
                Some(current) => current,
                None => Open { segment: self.archive.begin()?, since: Instant::now() },
            };
            let pushed = current.segment.push(row, &OneClass)?;
            let full = current.segment.body_bytes() >= self.cut.max_bytes;
            *open = Some(current);
            match pushed {
                Pushed::Taken if full => return self.close(open),
                Pushed::Taken => return Ok(()),
                // The next segment, which is empty, takes it.
                Pushed::OtherDay => self.close(open)?,
            }
        }
    }

    fn close(&mut self, open: &mut Option<Open>) -> Result<(), ArchiverError> {
        let Some(Open { segment, .. }) = open.take() else { return Ok(()) };
        let began = Instant::now();
        let committed = self.archive.append(segment)?;
        self.report(&committed, began.elapsed());
        self.unremembered = Some(committed);
        self.remember()
    }

    /// Remembers the newest checkpoint, and only then lets the writer go of what it covers. Tried again if there is no room.
    fn remember(&mut self) -> Result<(), ArchiverError> {
        if let Some(committed) = &self.unremembered {
            self.data_dir.remember_checkpoint(committed.checkpoint.as_bytes())?;
            // If the writer is gone the journal keeps what it has: the next start lets go of it.
            self.queue.archived(committed.first + committed.count);
            self.unremembered = None;
        }
        Ok(())
    }

    fn report(&self, committed: &Committed, took: Duration) {
        let size = committed.first + committed.count;
        self.metrics.segments.add(1);
        self.metrics.archived.set(size);
        let bytes: u64 = committed.objects.iter().map(|object| object.size).sum();
        tracing::info!(first = committed.first, records = committed.count, bytes, ?took, "segment archived");
    }
}

/// The MAC key that a journal's newest records must have been made with, or why it can't be theirs.
///
/// # Errors
/// If the key is of a later epoch than the next record's: then records are missing from the journal.
pub fn check_mac_key(key: &MacKey, next_index: u64) -> Result<(), String> {
    let needed = tachograph_ledger::epoch_of(next_index.saturating_sub(1));
    if key.epoch() > needed {
        return Err(format!(
            "the MAC key has evolved to epoch {}, but the ledger here ends at record {next_index}, in epoch {needed}: records that \
             were sealed are missing. The journal or the archive was rolled back or lost; restore them",
            key.epoch()
        ));
    }
    Ok(())
}
