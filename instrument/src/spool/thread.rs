//! The spool's writer thread: takes records from the queue, completes, numbers and encodes them, and appends them.
//!
//! No file is touched on the application's threads: who waits for durability waits for this thread, together with all others that came
//! since its last write.

use super::Durability;
use super::format::{ENTRY_HEAD, Entry};
use super::writer::{Trouble, Writer};
use crate::queue::{Form, Queue, Queued, Signal, Taken};
use crate::recorder::Producer;
use crate::report::SpoolState;
use crate::stamp;
use crate::warning::Topic;
use opentelemetry::Context;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RECORDS: usize = 4_096;
const BYTES: usize = 4 << 20;
/// How long records gather in memory where nobody waits for them.
const LINGER: Duration = Duration::from_millis(10);
/// A disk that failed is tried again so often, and a full spool looked at.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) struct Work {
    pub(crate) queue: Arc<Queue>,
    pub(crate) producer: Producer,
    pub(crate) writer: Writer,
    pub(crate) durability: Durability,
    pub(crate) sync_every: Duration,
}

/// Starts it.
pub(crate) fn start(work: Work) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("tachograph-spool".to_owned()).spawn(move || {
        let _ends = Ends(Arc::clone(&work.queue));
        // What it makes are no records.
        let _quiet = Context::enter_telemetry_suppressed_scope();
        work.run();
    })
}

/// However the thread ends, the delivery thread goes on.
struct Ends(Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.writer_ended();
    }
}

impl Work {
    fn run(mut self) {
        let linger = if self.durability == Durability::Memory { LINGER } else { Duration::ZERO };
        loop {
            match self.queue.take_to_spool(RECORDS, BYTES, linger, self.writer.sync_due(self.sync_every)) {
                Taken::Records(batch) => {
                    if !self.write(batch) {
                        break;
                    }
                }
                Taken::Nothing => {}
                Taken::End => break,
            }
            if self.writer.sync_due(self.sync_every).is_some_and(|due| due <= Instant::now())
                && let Err(trouble) = self.writer.sync()
            {
                self.warn(&trouble);
            }
        }
        if let Err(trouble) = self.writer.sync() {
            self.warn(&trouble);
        }
    }

    /// Writes them, or puts back what the spool does not take and waits a while: the delivery thread takes it from memory meanwhile.
    /// False if the end has come.
    fn write(&mut self, mut batch: Vec<Queued>) -> bool {
        let (rest, outcome) = self.append(&mut batch);
        let Err(trouble) = outcome else { return true };
        self.warn(&trouble);
        let wanted = rest.first().and_then(entry).map_or(0, |entry| (ENTRY_HEAD + entry.record.len()) as u64);
        self.queue.put_back(rest);
        let goes_on = match trouble {
            Trouble::Full => {
                self.queue.set_spool(SpoolState::Full);
                self.wait_for_room(wanted)
            }
            Trouble::Failed(_) => {
                self.queue.set_spool(SpoolState::Failing);
                self.queue.pause_writer(TRY_AGAIN)
            }
        };
        self.queue.try_spool();
        // At the end it is tried once more, with whatever is left then.
        goes_on || self.write_at_the_end()
    }

    /// Writes as many as it can: what is left, and why.
    fn append(&mut self, batch: &mut Vec<Queued>) -> (Vec<Queued>, Result<(), Trouble>) {
        for queued in batch.iter_mut() {
            stamp::prepare(queued, &self.producer, &self.queue);
            stamp::encode(queued);
        }
        let (written, outcome) = self.writer.append(batch.iter().filter_map(entry));
        let rest = batch.split_off(written.min(batch.len()));
        let outcome = self.account(batch, outcome);
        (rest, outcome)
    }

    /// Returns once so many bytes have room, or after a while: what is written next may be smaller. False if the end has come.
    fn wait_for_room(&self, bytes: u64) -> bool {
        let looks = TRY_AGAIN.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..looks {
            if !self.queue.pause_writer(LOOK_AGAIN) {
                return false;
            }
            if self.writer.has_room(bytes) {
                break;
            }
        }
        true
    }

    /// These were written; `outcome` is what became of the others.
    fn account(&mut self, batch: &[Queued], outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        let Some(last) = batch.last() else { return outcome };
        let outcome = match (self.durability, outcome) {
            // What failed may have been the sync of a segment that some of these are in.
            (Durability::Machine, Err(Trouble::Failed(reason))) => {
                self.queue.spooled(batch, None);
                return Err(Trouble::Failed(reason));
            }
            (Durability::Machine, outcome) => self.writer.sync().and(outcome),
            (Durability::Memory | Durability::Process, outcome) => outcome,
        };
        let synced = self.durability != Durability::Machine || !matches!(outcome, Err(Trouble::Failed(_)));
        self.queue.spooled(batch, synced.then_some(last.sequence + 1));
        outcome
    }

    fn write_at_the_end(&mut self) -> bool {
        while let Taken::Records(mut batch) = self.queue.take_to_spool(RECORDS, BYTES, Duration::ZERO, None) {
            let (rest, outcome) = self.append(&mut batch);
            if outcome.is_err() {
                self.queue.put_back(rest);
                break;
            }
        }
        false
    }

    fn warn(&self, trouble: &Trouble) {
        let (held, spooled) = self.queue.held();
        self.queue.warnings().say(Topic::Spool, || match trouble {
            Trouble::Full => format!(
                "the spool has reached its bound, with {spooled} records of this process; {held} wait in memory and are \
                 delivered from there. Check that the collector runs and is reachable, or give the spool more (`Spool::limit`)"
            ),
            Trouble::Failed(reason) => format!(
                "{reason}; {held} records wait in memory and are delivered from there. The disk is tried again each second"
            ),
        });
    }
}

/// The entry of a record that is encoded.
pub(crate) fn entry(queued: &Queued) -> Option<Entry<'_>> {
    match &queued.form {
        Form::Wire(record) => {
            let log = queued.signal == Signal::Log;
            Some(Entry { sequence: queued.sequence, own: queued.own, log, record })
        }
        _ => None,
    }
}
