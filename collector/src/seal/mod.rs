//! Seal and journal: the one writer of the ledger.
//!
//! One thread owns the sealer, the journal and the duplicate index. It takes all batches that wait (at most
//! [`GROUP_BYTES`]), seals their records into one frame, writes and syncs it, and only then answers: that is the group commit.
//!
//! | queue | bound | when full |
//! |---|---|---|
//! | batches to the writer | [`QUEUE_BATCHES`] (their bytes are bounded by `receive.limits.max_bytes_in_flight`) | the sender is refused and comes back |
//!
//! With durability `archive` a sender's answer waits further, until the archive holds its records; such batches go on counting as waiting.
//! One that waits for longer than `archive.max_age` and [`ARCHIVE_TAKES`] is told to come back: its records are durable here and known again.
//!
//! Failure cases:
//! - *no room* (disk or journal limit): the group's records are taken back (sealer, index), its senders refused; the next group tries again;
//! - *outcome unknown* (a failed fsync): nobody is answered with success, the thread ends and the process stops. Start-up finds out;
//! - *a record that was sealed before*: counted, acknowledged, not sealed again;
//! - *its id with other content*: sealed, pointing at the first;
//! - *a generation of streams is full or old*: stated in a frame of its own, so that a statement is durable or never was;
//! - *the ledger is closed*: senders are refused here, whichever way their records came; the recorder's own go on;
//! - *the clock went back*: indexes go on, and a record says so before any other is sealed with the earlier time.

mod close;
mod gaps;
mod own;
mod queue;
mod streams;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tachograph_ledger::{Entry, Hash, SealError, Sealer, Snapshot, StreamPlace};
use tachograph_record::{Time, append_conflict};
use tokio::sync::oneshot;

use crate::batch::{Batch, BatchError, Draft, Entropy};
use crate::clock::Clock;
use crate::closing::Closing;
use crate::config::Durability;
use crate::data_dir::{DataDir, DataDirError};
use crate::dedup::{Dedup, DedupError, Verdict};
use crate::ended_keys::MAX_ENDED;
use crate::intake::{Accepted, Refusal};
use crate::journal::disk::out_of_space;
use crate::journal::{AppendError, Frame, Journal, PushError};
use crate::observe::Metrics;
use crate::producers::Producers;
use crate::progress::Progress;
use crate::receipt::Receipt;
use gaps::note_numbers;
pub use own::{OWN_PRODUCER, Own};
pub use queue::{Intake, Lent, QUEUE_BATCHES, Queue, queue};
use queue::{Job, Message};
pub use streams::{Assigner, STREAMS_CLOSED, STREAMS_OPENED, Streams};

/// A group takes no further batch once it has this many bytes.
pub const GROUP_BYTES: u64 = 8 << 20;
/// When a sender that was refused for lack of room is to come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What an archive that works needs at most for a segment; from then on senders learn that theirs does not.
pub const ARCHIVE_TAKES: Duration = Duration::from_secs(30);
/// When the writer takes it that nothing is coming for now.
const IDLE: Duration = Duration::from_secs(1);
/// How often runs of the duplicate index are looked at for their age.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// Why the writer ended before it was told to. The process must stop: what is on the disk is found out at start-up.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The journal's state is unknown.
    #[error("the journal can't be trusted any more: {0}. Nothing unsynced was acknowledged; start again")]
    Journal(AppendError),
    /// The duplicate index can't be read or written.
    #[error("the duplicate index failed: {0}")]
    Dedup(#[from] DedupError),
    /// A record can't be sealed at all.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The MAC key file can't be written.
    #[error("the MAC key can't be evolved: {0}")]
    MacKey(#[from] DataDirError),
    /// Whether the ledger is closed is not known.
    #[error("the mark of the ledger's end can't be written: {0}")]
    Marker(DataDirError),
    /// A record of the collector's own can't be made.
    #[error(transparent)]
    Own(#[from] BatchError),
    /// What was checked at the door does not fit the journal.
    #[error("record {index} does not fit a journal frame: {source}")]
    Frame {
        /// The record.
        index: u64,
        /// Why.
        source: PushError,
    },
}

/// Everything that the writer owns or shares.
pub struct Parts {
    /// Gives indexes, leaves, hashes and MACs.
    pub sealer: Sealer,
    /// Makes them durable.
    pub journal: Journal,
    /// Knows what was sealed before.
    pub dedup: Dedup,
    /// Keeps the MAC key.
    pub data_dir: Arc<DataDir>,
    /// When the newest record was sealed.
    pub last_sealed_at: Time,
    /// Epoch of the key in the key file.
    pub mac_key_epoch: u64,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the collector's own records.
    pub entropy: Arc<dyn Entropy>,
    /// Makes the collector's own records.
    pub own: Arc<Own>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Tells the archive how far it may read.
    pub progress: Arc<Progress>,
    /// When a sender is answered.
    pub durability: Durability,
    /// How long a sender waits for the archive at most.
    pub archive_wait: Duration,
    /// How long a gap in a producer's numbers stays open before it is recorded.
    pub gap_after: Duration,
    /// The streams of the generation that is open.
    pub streams: Streams,
    /// How far the ledger's end has come; `None` while it takes records.
    pub closing: Option<Closing>,
}

/// The writer of the ledger.
pub struct Writer {
    parts: Parts,
    frame: Frame,
    leaf: Vec<u8>,
    /// Where the sealer stood when the frame was begun, and when the record before it was sealed.
    before: (Snapshot, Time),
    /// Batches whose records are all in the frame or durable already, not yet answered.
    complete: Vec<(Job, Accepted)>,
    /// Numbers that records of ours in the frame have, of those that nobody seals again if the frame is not written.
    own_numbers: Vec<u64>,
    last_expiry: Instant,
    producers: Producers,
    last_look: Instant,
    /// Batches that are durable and wait for the archive, in order.
    unarchived: VecDeque<Unarchived>,
    fill: Fill,
    /// Archived up to here, and the journal has not let go of it yet.
    to_release: Option<u64>,
    stopping: bool,
}

/// A batch that is durable and waits for the archive.
struct Unarchived {
    /// Size of the ledger that holds it.
    size: u64,
    since: Instant,
    job: Job,
    accepted: Accepted,
}

/// Why a group was not written.
enum Failed {
    /// The senders are to come back.
    Refused(Refusal),
    /// The writer ends.
    Fatal(WriterError),
}

impl<E: Into<WriterError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl Writer {
    /// A writer that goes on where `parts` stand.
    pub fn new(parts: Parts) -> Self {
        let before = (parts.sealer.snapshot(), parts.last_sealed_at);
        let frame = Frame::begin(parts.sealer.next_index(), *parts.sealer.prev().as_bytes(), 0);
        let producers = Producers::new(parts.gap_after);
        parts.metrics.closed.set(parts.closing.is_some().into());
        Self {
            parts,
            frame,
            leaf: Vec::with_capacity(1024),
            before,
            complete: Vec::new(),
            own_numbers: Vec::new(),
            unarchived: VecDeque::new(),
            fill: Fill::default(),
            last_expiry: Instant::now(),
            producers,
            last_look: Instant::now(),
            to_release: None,
            stopping: false,
        }
    }

    /// Works until every sender of the queue is gone, then closes the journal.
    ///
    /// # Errors
    /// If it had to stop before. Batches that wait are answered with [`Refusal::Failed`].
    pub fn run(mut self, queue: &Receiver<Message>) -> Result<(), WriterError> {
        let ended = loop {
            let worked = match queue.recv_timeout(IDLE) {
                Ok(first) => self.group(first, queue),
                Err(RecvTimeoutError::Timeout) => self.rest(),
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            };
            if let Err(error) = worked {
                break Err(error);
            }
            self.refuse_late();
        };
        match ended {
            Ok(()) => {
                self.keep_duplicates(Dedup::sync)?;
                self.parts.journal.close().map_err(WriterError::Journal)
            }
            Err(error) => {
                let reason = error.to_string();
                let waiting = self.unarchived.into_iter().map(|waiting| waiting.job);
                for job in self.complete.into_iter().map(|(job, _)| job).chain(waiting) {
                    job.answer(Err(Refusal::Failed { reason: reason.clone() }));
                }
                Err(error)
            }
        }
    }

    /// A quiet moment.
    fn rest(&mut self) -> Result<(), WriterError> {
        // Whether there is room again only the next batch can tell, and a load balancer sends none while we say that there is none.
        self.parts.metrics.journal_full.set(0);
        self.look_at_streams()?;
        self.look_at_producers()?;
        // From here on damage to the last frame can't be taken for a torn write.
        self.parts.journal.mark_synced().map_err(WriterError::Journal)
    }

    /// One group: `first`, and what waits behind it.
    fn group(&mut self, first: Message, queue: &Receiver<Message>) -> Result<(), WriterError> {
        // A full journal may be waiting for just this: with nothing sealed, no further segment would bring the next chance.
        self.release()?;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Batch(job) if self.stopping => job.answer(Err(Refusal::Stopping)),
                Message::Batch(job) if self.is_closed_for(&job.batch) => job.answer(Err(Refusal::Closed)),
                Message::Batch(job) => self.take(job)?,
                Message::Close { by, reply } => self.close_ledger_on_demand(by, reply)?,
                Message::CloseStreams(reply) => self.close_streams_on_demand(reply)?,
                Message::Stop => self.stopping = true,
                Message::Archived { size } => {
                    self.to_release = Some(size);
                    self.answer_archived(size);
                    self.release()?;
                    self.state_the_end_if_owed()?;
                }
            }
            next = if self.frame.bytes() < GROUP_BYTES { queue.try_recv().ok() } else { None };
        }
        if let Err(Failed::Fatal(error)) = self.flush() {
            return Err(error);
        }
        if self.stopping {
            self.parts.progress.end();
        }
        self.look_at_streams()?;
        self.look_at_producers()
    }

    /// Seals a batch into the frame. It is answered when the frame is written.
    fn take(&mut self, job: Job) -> Result<(), WriterError> {
        match self.seal_batch(&job.batch) {
            Ok(accepted) => {
                self.complete.push((job, accepted));
                Ok(())
            }
            // Taking back the frame took back the records of this batch that were not durable yet.
            Err(Failed::Refused(refusal)) => {
                job.answer(Err(refusal));
                Ok(())
            }
            Err(Failed::Fatal(error)) => {
                job.answer(Err(Refusal::Failed { reason: error.to_string() }));
                Err(error)
            }
        }
    }

    fn seal_batch(&mut self, batch: &Batch) -> Result<Accepted, Failed> {
        let now = self.parts.clock.now();
        self.end_other_streams(now)?;
        if now < self.parts.last_sealed_at {
            self.seal_clock_jump(now)?;
        }
        let receipt = batch.wants_receipt.then(|| Receipt::new(self.parts.sealer.name().clone()));
        let mut accepted = Accepted { rejected: batch.rejected, receipt, ..Accepted::default() };
        let mut conflicts = 0;
        for (draft, body) in batch.records() {
            let place = match self.parts.dedup.lookup(&draft.event_id.0, &draft.content_digest)? {
                Verdict::Duplicate { index } => {
                    accepted.duplicates += 1;
                    (index, None)
                }
                Verdict::New => {
                    accepted.records += 1;
                    self.prepare_streams(draft, now)?;
                    self.seal(draft, body, draft.body_sha256, now)?
                }
                Verdict::Conflict { first_index } => {
                    let mut pointing = body.to_vec();
                    append_conflict(&mut pointing, first_index);
                    let hash = Hash::from_bytes(Sha256::digest(&pointing).into());
                    conflicts += 1;
                    accepted.records += 1;
                    self.prepare_streams(draft, now)?;
                    self.seal(draft, &pointing, hash, now)?
                }
            };
            if let Some(receipt) = &mut accepted.receipt {
                receipt.push(place.0, place.1);
            }
        }
        self.parts.metrics.conflicts.add(conflicts);
        self.parts.metrics.duplicates.add(accepted.duplicates);
        Ok(accepted)
    }

    /// Gives the record's index and leaf hash.
    fn seal(
        &mut self,
        draft: &Draft,
        body: &[u8],
        body_sha256: Hash,
        now: Time,
    ) -> Result<(u64, Option<Hash>), Failed> {
        if self.frame.is_full() {
            self.flush()?;
        }
        let place = self.parts.streams.place(draft, self.parts.sealer.next_index(), self.parts.sealer.name());
        self.seal_at(draft, body, body_sha256, now, place)
    }

    /// The same at a place among streams that is known.
    fn seal_at(
        &mut self,
        draft: &Draft,
        body: &[u8],
        body_sha256: Hash,
        now: Time,
        place: StreamPlace,
    ) -> Result<(u64, Option<Hash>), Failed> {
        let parts = &mut self.parts;
        if self.frame.is_empty() {
            self.before = (parts.sealer.snapshot(), parts.last_sealed_at);
            self.frame.restart(parts.sealer.next_index(), *parts.sealer.prev().as_bytes(), now.unix_nanos());
        }
        self.leaf.clear();
        let entry = Entry {
            body_len: body.len() as u64,
            body_sha256,
            event_time: draft.timestamp.unix_nanos(),
            kind: draft.kind.as_str(),
            producer: draft.producer.as_deref(),
            producer_epoch: draft.producer_epoch.as_deref(),
            producer_seq: draft.producer_seq,
            sealed_at: now.unix_nanos(),
            span_id: draft.span_id,
            trace_id: draft.trace_id,
        };
        let sealed = parts.sealer.seal_in(entry, &place, &mut self.leaf)?;
        parts.streams.sealed(&place, &sealed);
        let pushed = self.frame.push(&self.leaf, body, &sealed.mac);
        pushed.map_err(|source| WriterError::Frame { index: sealed.index, source })?;
        let inserted = parts.dedup.insert(&draft.event_id.0, &draft.content_digest, sealed.index, now.unix_nanos());
        parts.last_sealed_at = now;
        match inserted {
            Ok(()) => Ok((sealed.index, Some(sealed.hash))),
            Err(error) if error.is_no_room() => Err(self.take_back(&error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Records that the clock went back, as the first record with the earlier time.
    fn seal_clock_jump(&mut self, now: Time) -> Result<(), Failed> {
        let from = self.parts.last_sealed_at;
        tracing::warn!(%from, to = %now, "the clock went back; index order holds, the jump is recorded");
        let details = format!("{{\"from\":\"{from}\",\"to\":\"{now}\"}}");
        self.seal_own(now, "clock.jump_back", Some(details), None)
    }

    /// Seals a record of our own, which nobody seals again if there is no room for it: its number goes back then, or the recorder would
    /// seem to have lost it.
    fn seal_own(
        &mut self,
        now: Time,
        action: &'static str,
        details: Option<String>,
        place: Option<StreamPlace>,
    ) -> Result<(), Failed> {
        let batch = self.parts.own.batch(now, action, details, &*self.parts.entropy)?;
        self.seal_own_batch(&batch, now, place)
    }

    fn seal_own_batch(&mut self, batch: &Batch, now: Time, place: Option<StreamPlace>) -> Result<(), Failed> {
        if self.frame.is_full() {
            self.flush()?;
        }
        for (draft, body) in batch.records() {
            self.own_numbers.extend(draft.producer_seq);
            match place {
                Some(place) => self.seal_at(draft, body, draft.body_sha256, now, place)?,
                None => self.seal(draft, body, draft.body_sha256, now)?,
            };
        }
        Ok(())
    }

    /// Makes the frame durable and answers the complete batches.
    fn flush(&mut self) -> Result<(), Failed> {
        if self.frame.is_empty() {
            self.answer_durable();
            return Ok(());
        }
        let began = Instant::now();
        match self.parts.journal.append(&mut self.frame) {
            Ok(durable) => {
                let metrics = &self.parts.metrics;
                metrics.fsync.observe(began.elapsed());
                metrics.sealed.add(self.frame.count().into());
                metrics.groups.add(1);
                metrics.next_index.set(durable.next_index);
                metrics.journal_bytes.set(self.parts.journal.bytes());
                metrics.journal_full.set(0);
                self.fill.look(self.parts.journal.bytes(), metrics.journal_max_bytes.get());
                self.parts.dedup.commit_staged();
                self.keep_duplicates(Dedup::flush)?;
                self.empty_frame();
                self.keep_mac_key_if_there_is_room()?;
                self.parts.progress.durable(durable.next_index);
                self.answer_durable();
                Ok(())
            }
            Err(AppendError::Full(full)) => Err(self.take_back(&full)),
            Err(broken) => Err(Failed::Fatal(WriterError::Journal(broken))),
        }
    }

    /// No room: what is in the frame is as if it had never been sealed, and its senders are to come back.
    fn take_back(&mut self, reason: &dyn std::fmt::Display) -> Failed {
        let (sealer, sealed_at) = self.before.clone();
        self.parts.sealer.restore(sealer);
        // A jump of the clock that was in the frame is still to be recorded.
        self.parts.last_sealed_at = sealed_at;
        self.parts.dedup.rollback_staged();
        self.parts.streams.take_back();
        while let Some(number) = self.own_numbers.pop() {
            self.parts.own.give_back(number);
        }
        self.empty_frame();
        if self.parts.metrics.journal_full.replace(1) == 0 {
            tracing::error!(%reason, "no room for records: senders are told to come back; nothing acknowledged is lost");
        }
        let refusal = Refusal::Full { retry_after: RETRY_AFTER, what: "journal" };
        self.answer(|_| Err(refusal.clone()));
        Failed::Refused(refusal)
    }

    /// Writes what the duplicate index has. Without room that can wait: it is in memory, and the journal has the records.
    fn keep_duplicates(&mut self, write: fn(&mut Dedup) -> Result<(), DedupError>) -> Result<bool, WriterError> {
        match write(&mut self.parts.dedup) {
            Ok(()) => Ok(true),
            Err(error) if error.is_no_room() => {
                tracing::warn!(%error, "the duplicate index has no room; it is kept in memory for now");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn empty_frame(&mut self) {
        self.parts.streams.keep();
        self.own_numbers.clear();
        let sealer = &self.parts.sealer;
        self.before = (sealer.snapshot(), self.parts.last_sealed_at);
        self.frame.restart(sealer.next_index(), *sealer.prev().as_bytes(), 0);
    }

    fn answer(&mut self, outcome: impl Fn(Accepted) -> Result<Accepted, Refusal>) {
        for (job, accepted) in self.complete.drain(..) {
            job.answer(outcome(accepted));
        }
    }

    /// Answers what is durable, or keeps it until it is archived. What had been sealed before may not be archived either.
    fn answer_durable(&mut self) {
        if self.parts.durability == Durability::Wal {
            // All are answered first: nobody waits for the table of producers.
            let answered = self.complete.drain(..).map(|(job, accepted)| job.answered(Ok(accepted)));
            let batches: Vec<Batch> = answered.collect();
            batches.iter().for_each(|batch| note_numbers(&mut self.producers, batch));
            return;
        }
        let size = self.parts.sealer.next_index();
        let archived = self.parts.progress.now().archived >= size;
        for (job, accepted) in self.complete.drain(..) {
            note_numbers(&mut self.producers, &job.batch);
            if archived || !job.is_of_sender() {
                job.answer(Ok(accepted));
            } else {
                self.unarchived.push_back(Unarchived { size, since: Instant::now(), job, accepted });
            }
        }
    }

    fn answer_archived(&mut self, archived: u64) {
        while let Some(waiting) = self.unarchived.pop_front_if(|waiting| waiting.size <= archived) {
            waiting.job.answer(Ok(waiting.accepted));
        }
    }

    /// Sends those back who have waited for the archive for too long.
    fn refuse_late(&mut self) {
        let bound = self.parts.archive_wait;
        while let Some(waiting) = self.unarchived.pop_front_if(|waiting| waiting.since.elapsed() > bound) {
            let reason = format!("the archive has not taken the records within {} s", bound.as_secs());
            waiting.job.answer(Err(Refusal::Failed { reason }));
        }
    }

    /// Without room the next group is the next chance: the sealer holds the old key until the new one is kept, and a start makes the new
    /// one from the old.
    fn keep_mac_key_if_there_is_room(&mut self) -> Result<(), WriterError> {
        match self.keep_mac_key() {
            Err(WriterError::MacKey(DataDirError::Io { source, .. })) if out_of_space(&source) => {
                tracing::warn!(error = %source, "there is no room for the MAC key of the new epoch; it is kept in memory for now");
                Ok(())
            }
            kept => kept,
        }
    }

    /// Writes the key file when the epoch has turned. Only now, with the first record of the new epoch durable: were the key
    /// written earlier, a crash could leave a journal that ends in an epoch whose key is gone.
    fn keep_mac_key(&mut self) -> Result<(), WriterError> {
        let epoch = self.parts.sealer.mac_epoch();
        if epoch > self.parts.mac_key_epoch {
            // First what will be published of the epochs that are over: it follows from the key that goes.
            self.parts.data_dir.ended_keys().keep(&self.parts.sealer.ended_keys(MAX_ENDED))?;
            self.parts.data_dir.write_mac_key(self.parts.sealer.current_mac_key())?;
            self.parts.sealer.retire_before(epoch);
            self.parts.mac_key_epoch = epoch;
        }
        Ok(())
    }

    /// Lets go of what is archived. What the index knows of those records must be on the disk first.
    fn release(&mut self) -> Result<(), WriterError> {
        let Some(size) = self.to_release else { return Ok(()) };
        if !self.keep_duplicates(Dedup::sync)? {
            // The journal keeps what the index could not; the next group is the next chance.
            return Ok(());
        }
        self.to_release = None;
        let released = self.parts.journal.release_before(size).map_err(WriterError::Journal)?;
        if released > 0 {
            tracing::debug!(files = released, size, "journal files released");
        }
        self.parts.metrics.journal_bytes.set(self.parts.journal.bytes());
        if self.last_expiry.elapsed() > EXPIRE_INTERVAL {
            self.last_expiry = Instant::now();
            self.parts.dedup.expire(self.parts.clock.now().unix_nanos())?;
        }
        Ok(())
    }
}

/// Answers whoever asked for it. They may have gone away: what is done is done. Only what ends the writer is passed on.
fn reply_to<T>(reply: oneshot::Sender<Result<T, Refusal>>, done: Result<T, Failed>) -> Result<(), WriterError> {
    let (answer, ended) = match done {
        Ok(done) => (Ok(done), Ok(())),
        Err(Failed::Refused(refusal)) => (Err(refusal), Ok(())),
        Err(Failed::Fatal(error)) => (Err(Refusal::Failed { reason: error.to_string() }), Err(error)),
    };
    let _ = reply.send(answer);
    ended
}

/// How full the journal is, for warnings: once at each step up, and again only after it went well below.
#[derive(Default)]
struct Fill {
    percent: u64,
}

impl Fill {
    const STEPS: [u64; 3] = [50, 80, 95];
    /// How far below a step it must fall before that step is warned of again.
    const BACK: u64 = 10;

    fn look(&mut self, bytes: u64, bound: u64) {
        let percent = bytes.saturating_mul(100).checked_div(bound).unwrap_or(0);
        let reached = Self::STEPS.into_iter().rfind(|step| percent >= *step).unwrap_or(0);
        if reached > self.percent {
            tracing::warn!(
                bytes,
                bound,
                "the journal is {percent} % full: the archive does not keep up. At its bound senders are refused"
            );
            self.percent = reached;
        } else if percent + Self::BACK < self.percent {
            self.percent = reached;
        }
    }
}

#[cfg(test)]
mod tests;
