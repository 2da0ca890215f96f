//! Archive: from the journal to the write-once store, behind the writer and never in its way.
//!
//! One thread reads durable frames from the journal and pushes their records into a segment; a segment that is large or old
//! enough, or whose day is over, is appended to the archive, and only then may the journal let go of what it held.
//! It checks the chain of everything that it reads back: what was written is not taken on trust.
//!
//! Memory: one journal frame and one Parquet row group. There is no queue: the journal is it.
//!
//! A store that fails for a while (no space, say), or a key that can't sign, is tried again with growing pauses while the journal goes on
//! taking records up to its bound. Anything else ends the thread, and with it the process.

mod budget;
mod signing;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tachograph_exporters::archive::store::s3::Patience;
use tachograph_exporters::archive::store::{ErrorKind, StoreError};
use tachograph_exporters::archive::{Archive, ArchiveError, Classify, Committed, Pushed, Row, Segment, SegmentError};
use tachograph_ledger::{MacKey, SignError, leaf_hash};

use crate::clock::Clock;
use crate::data_dir::{DataDir, DataDirError};
use crate::journal::disk::out_of_space;
use crate::journal::{JournalError, JournalReader, StoredRecord};
use crate::mailbox::{Mailbox, Signed};
use crate::observe::Metrics;
use crate::progress::Progress;
use crate::seal::Queue;
use budget::Budget;
use signing::Alarm;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// When a segment is closed, and with it a checkpoint signed.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// It has waited this long …
    pub max_age: Duration,
    /// … or has this many records …
    pub max_records: u64,
    /// … and this many objects were not made in a day for one of the two.
    pub max_objects_per_day: u64,
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
    /// The process is ending, and the store still fails or the key still can't sign. Nothing is lost.
    #[error(
        "{left} records are not archived, because {}: {error}. They are safe in the journal and will be archived after the next start",
        error.cause()
    )]
    GaveUp {
        /// How many.
        left: u64,
        /// Why.
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

    /// What failed, in words.
    const fn cause(&self) -> &'static str {
        if self.signing().is_some() { "the key can't sign" } else { "the store fails" }
    }

    /// Whether it was the key that did not sign.
    const fn signing(&self) -> Option<&SignError> {
        match self {
            Self::Archive(ArchiveError::Signing(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether it was the store that did not answer, for as long as it was asked.
    fn is_outage(&self) -> bool {
        let (Self::Archive(ArchiveError::Store(error) | ArchiveError::Segment(SegmentError::Store(error)))
        | Self::Segment(SegmentError::Store(error))) = self
        else {
            return false;
        };
        matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unknown)
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
    /// Says since when the key can't sign.
    pub clock: Arc<dyn Clock>,
    /// Why the key could not sign at the start.
    pub unsigned: Option<SignError>,
    /// Which retention class a record belongs to.
    pub classify: Box<dyn Classify>,
    /// Where each newest checkpoint is put for those who show it to others.
    pub checkpoints: Vec<Arc<Mailbox>>,
    /// When segments are closed.
    pub cut: Cut,
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
        let mut budget = Budget::new(self.cut.max_objects_per_day, Instant::now());
        let mut pause = FIRST_PAUSE;
        let mut alarm = Alarm::new(Arc::clone(&self.metrics), Arc::clone(&self.clock));
        if let Some(error) = self.unsigned.take() {
            alarm.failed(&error);
        }
        // What the last run may not have shown any more.
        self.show();
        loop {
            let before = self.archive.tail().size;
            let error = match self.work(&mut budget, &mut alarm) {
                Ok(()) => return Ok(()),
                // At a stop the store was asked for as long as a stop may take; what became of the last write the next start finds out.
                Err(error) if error.is_outage() && self.progress.now().ended => return Err(self.gave_up(error)),
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(error),
            };
            self.metrics.archive_retries.add(1);
            if self.archive.tail().size > before {
                // Another outage than the one before.
                pause = FIRST_PAUSE;
            }
            // From the end on, however long a call to a key service hung since.
            let ended_at = self.progress.now().ended_at;
            if ended_at.is_some_and(|ended_at| ended_at.elapsed() > self.cut.drain_timeout) {
                return Err(self.gave_up(error));
            }
            match error.signing() {
                Some(error) => alarm.failed(error),
                None => {
                    tracing::error!(%error, retry_in = ?pause, "the archive can't be written; records stay in the journal")
                }
            }
            // No later than it is to be said again.
            let wait = alarm.next().map_or(pause, |next| pause.min(next.saturating_duration_since(Instant::now())));
            match ended_at {
                Some(_) => std::thread::sleep(wait.min(FIRST_PAUSE)),
                // A stop cuts the pause short.
                None => drop(self.progress.wait_end(wait)),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn gave_up(&self, error: ArchiverError) -> ArchiverError {
        let left = self.progress.now().durable.saturating_sub(self.archive.tail().size);
        ArchiverError::GaveUp { left, error: Box::new(error) }
    }

    /// From the archive's end to the journal's, segment after segment.
    fn work(&mut self, budget: &mut Budget, alarm: &mut Alarm) -> Result<(), ArchiverError> {
        let began = Instant::now();
        if let Some(committed) = self.archive.resume()? {
            self.report(&committed, began.elapsed());
        }
        let was_unsigned = self.archive.checkpoint().is_none();
        self.archive.settle_all()?;
        if was_unsigned {
            self.remember_checkpoint()?;
        }
        self.remember()?;
        // Nothing waits for the key any more.
        alarm.signed();
        let mut position = self.archive.tail().size;
        let mut open: Option<Open> = None;
        let mut frames = None;
        loop {
            let wait = open.as_ref().map_or(self.cut.max_age, |open| {
                open.due_in(&self.cut).max(budget.wait_for(open.objects(), Instant::now()))
            });
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
                        self.push(&mut open, &record, budget)?;
                        position = record.index + 1;
                    }
                }
            }
            let drained = position >= self.progress.now().durable;
            let due = open.as_ref().is_some_and(|open| open.is_due(&self.cut, budget));
            let now = self.progress.now();
            let wanted = now.wanted.min(position) > now.archived;
            if open.is_some() && (due || wanted || (state.ended && drained)) {
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

    fn push(
        &mut self,
        open: &mut Option<Open>,
        record: &StoredRecord<'_>,
        budget: &mut Budget,
    ) -> Result<(), ArchiverError> {
        let hash = leaf_hash(record.leaf);
        let row = Row { index: record.index, leaf: record.leaf, hash: &hash, mac: &record.mac, body: record.body };
        loop {
            let mut current = match open.take() {
                Some(current) => current,
                None => Open { segment: self.archive.begin()?, since: Instant::now() },
            };
            let pushed = current.segment.push(row, &*self.classify)?;
            let full = current.segment.body_bytes() >= self.cut.max_bytes
                || self.archive.resume_at() == Some(record.index + 1)
                || (current.segment.rows() >= self.cut.max_records && current.is_due(&self.cut, budget));
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
        self.remember()
    }

    /// Remembers the newest checkpoint, and only then lets the writer go of what it covers. Tried again if that failed, and if a
    /// commit was written and its checkpoint was not.
    fn remember(&mut self) -> Result<(), ArchiverError> {
        let size = self.archive.tail().size;
        if size > self.progress.now().archived {
            self.archive.settle_all()?;
            self.remember_checkpoint()?;
            self.metrics.archived.set(size);
            // If the writer is gone the journal keeps what it has: the next start lets go of it.
            self.progress.archived(size);
            self.queue.archived(size);
        }
        Ok(())
    }

    fn remember_checkpoint(&self) -> Result<(), ArchiverError> {
        if let Some(checkpoint) = self.archive.checkpoint() {
            self.data_dir.remember_checkpoint(checkpoint.as_bytes())?;
        }
        self.show();
        Ok(())
    }

    fn show(&self) {
        let tail = self.archive.tail();
        let Some(checkpoint) = self.archive.checkpoint() else { return };
        for mailbox in &self.checkpoints {
            mailbox.put(Signed { size: tail.size, note: checkpoint.to_owned(), kept: tail.kept });
        }
    }

    fn report(&self, committed: &Committed, took: Duration) {
        self.metrics.segments.add(1);
        // A commit and a checkpoint beside them.
        self.metrics.objects.add(committed.objects.len() as u64 + 2);
        if let Some(skew) = self.archive.clock_skew_ms() {
            self.metrics.store_clock_skew_ms.set(skew.unsigned_abs());
        }
        let bytes: u64 = committed.objects.iter().map(|object| object.size).sum();
        tracing::info!(first = committed.first, records = committed.count, bytes, ?took, "segment archived");
    }
}

impl Open {
    fn due_in(&self, cut: &Cut) -> Duration {
        match self.segment.rows() >= cut.max_records {
            true => Duration::ZERO,
            false => cut.max_age.saturating_sub(self.since.elapsed()),
        }
    }

    /// Whether to close it now, which takes its objects from the budget.
    fn is_due(&self, cut: &Cut, budget: &mut Budget) -> bool {
        self.due_in(cut).is_zero() && budget.take(self.objects(), Instant::now())
    }

    /// Objects that it makes: one for each class, leaves, commit, checkpoint.
    fn objects(&self) -> u64 {
        self.segment.classes() as u64 + 3
    }
}

/// How often a store that keeps failing is written about in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Before anything is taken a store that does not answer is asked this often.
const ATTEMPTS_AT_START: u32 = 4;

/// A store far away that does not answer: while records come in, it is asked for as long as it takes.
pub struct Outage {
    metrics: Arc<Metrics>,
    drain_timeout: Duration,
    state: Mutex<OutageState>,
}

#[derive(Default)]
struct OutageState {
    /// Set once records are taken.
    progress: Option<Arc<Progress>>,
    since: Option<Instant>,
    logged: Option<Instant>,
}

impl Outage {
    /// For a start: a store that does not answer is an error soon.
    pub fn new(metrics: Arc<Metrics>, drain_timeout: Duration) -> Self {
        Self { metrics, drain_timeout, state: Mutex::default() }
    }

    /// From now on records are taken, and a store that does not answer is waited for.
    pub fn begin(&self, progress: Arc<Progress>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).progress = Some(progress);
    }

    fn note(&self, error: &StoreError, attempt: u32, pause: Duration) -> (Option<Arc<Progress>>, Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if attempt == 1 {
            state.since = Some(now);
        }
        let lasts = state.since.map_or(Duration::ZERO, |since| now - since);
        // A single failure is no news.
        if attempt > 1 && state.logged.is_none_or(|logged| now - logged >= LOG_INTERVAL) {
            state.logged = Some(now);
            tracing::error!(%error, attempt, lasts = ?lasts, retry_in = ?pause, "the archive's store fails; records stay in the journal");
        }
        let progress = state.progress.clone();
        let mut left = Duration::MAX;
        if let Some(ended_at) = progress.as_ref().and_then(|progress| progress.now().ended_at) {
            left = self.drain_timeout.saturating_sub(now.saturating_duration_since(ended_at));
        }
        (progress, left)
    }
}

impl Patience for Outage {
    fn wait(&self, error: &StoreError, attempt: u32, pause: Duration) -> bool {
        self.metrics.archive_retries.add(1);
        let (progress, left) = self.note(error, attempt, pause);
        let Some(progress) = progress else {
            std::thread::sleep(if attempt < ATTEMPTS_AT_START { pause } else { Duration::ZERO });
            return attempt < ATTEMPTS_AT_START;
        };
        if left.is_zero() {
            return false;
        }
        if left == Duration::MAX {
            // A stop cuts the pause short: the rest of the time is for trying.
            progress.wait_end(pause);
        } else {
            std::thread::sleep(pause.min(FIRST_PAUSE).min(left));
        }
        true
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
