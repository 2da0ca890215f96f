//! The queue to the writer, and the intake in front of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::batch::{Batch, BatchError, Entropy};
use crate::clock::Clock;
use crate::intake::{Accepted, Export, Refusal};

use super::Assigner;

/// Batches that may wait for the writer.
pub const QUEUE_BATCHES: usize = 256;

/// Bytes of batches that may wait before further ones are refused. What a request grows to when it is decoded is not known from
/// its own length, so it is charged here, besides `receive.limits.max_bytes_in_flight`. As many requests as there are threads may be
/// decoded at the moment when it is reached, each to at most [`crate::batch::MAX_BYTES`].
pub(super) const MAX_WAITING_BYTES: usize = 64 << 20;

/// A batch and who waits for it.
pub struct Job {
    pub(super) batch: Batch,
    reply: oneshot::Sender<Result<Accepted, Refusal>>,
    /// Given back with the batch.
    charge: Option<Charge>,
}

/// Bytes of batches that wait, taken back when dropped.
pub struct Charge {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Charge {
    pub(super) fn new(held: &Arc<AtomicUsize>, bytes: usize) -> Self {
        held.fetch_add(bytes, Ordering::Relaxed);
        Self { held: Arc::clone(held), bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Job {
    /// Whether a sender waits for the answer, and not the collector itself.
    pub(super) fn is_of_sender(&self) -> bool {
        self.charge.is_some()
    }

    /// Answers. If nobody waits any more (the sender went away) the answer is dropped: the sender was told nothing and will send
    /// again, and then the records are known.
    pub(super) fn answer(self, outcome: Result<Accepted, Refusal>) {
        self.answered(outcome);
    }

    /// Answers and gives the batch back.
    pub(super) fn answered(self, outcome: Result<Accepted, Refusal>) -> Batch {
        let _ = self.reply.send(outcome);
        self.batch
    }
}

/// What the writer is told.
pub enum Message {
    /// Seal this.
    Batch(Job),
    /// Records below `size` are archived.
    Archived {
        /// Number of records archived.
        size: u64,
    },
    /// State what streams there are in the generation that is open, if there are any.
    CloseStreams(oneshot::Sender<Result<(), Refusal>>),
    /// Close the ledger, by this person.
    Close {
        /// `uid:<number>`.
        by: String,
        /// Gets the statement's index.
        reply: oneshot::Sender<Result<u64, Refusal>>,
    },
    /// Take no further batch. Archived records may still be let go.
    Stop,
}

/// The sending end. The writer ends when all are dropped; it seals nothing after [`Queue::stop`].
#[derive(Clone)]
pub struct Queue {
    sender: SyncSender<Message>,
}

/// A queue that can be taken back, for whom a stop does not wait: the writer ends when all queues are dropped.
#[derive(Clone)]
pub struct Lent(Arc<Mutex<Option<Queue>>>);

impl Lent {
    /// Lends it.
    pub fn new(queue: Queue) -> Self {
        Self(Arc::new(Mutex::new(Some(queue))))
    }

    /// From now on everything is refused.
    pub fn take_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Seals a batch and waits until it is durable.
    ///
    /// # Errors
    /// If it was refused.
    pub fn seal_blocking(&self, batch: Batch) -> Result<Accepted, Refusal> {
        let queue = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        queue.map_or(Err(Refusal::Stopping), |queue| queue.seal_blocking(batch))
    }
}

/// A queue and its receiving end.
pub fn queue() -> (Queue, Receiver<Message>) {
    let (sender, receiver) = sync_channel(QUEUE_BATCHES);
    (Queue { sender }, receiver)
}

impl Queue {
    /// Hands a batch to the writer and gets the promise of an answer.
    pub(super) fn submit(
        &self,
        batch: Batch,
        charge: Option<Charge>,
    ) -> Result<oneshot::Receiver<Result<Accepted, Refusal>>, Refusal> {
        let (reply, answer) = oneshot::channel();
        match self.sender.try_send(Message::Batch(Job { batch, reply, charge })) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(Refusal::Full { retry_after: Duration::from_secs(1), what: "queue" }),
            Err(TrySendError::Disconnected(_)) => Err(Refusal::Stopping),
        }
    }

    /// Seals a batch and waits until it is durable.
    ///
    /// # Errors
    /// If it was refused; none of it is acknowledged then.
    pub async fn seal(&self, batch: Batch, charge: Option<Charge>) -> Result<Accepted, Refusal> {
        self.submit(batch, charge)?.await.unwrap_or_else(|_| Err(writer_gone()))
    }

    /// The same for a thread that may block.
    ///
    /// # Errors
    /// If it was refused.
    pub fn seal_blocking(&self, batch: Batch) -> Result<Accepted, Refusal> {
        self.submit(batch, None)?.blocking_recv().unwrap_or_else(|_| Err(writer_gone()))
    }

    /// Has the generation of streams that is open stated. All that was sealed before is durable then.
    ///
    /// # Errors
    /// If that was refused.
    pub async fn close_streams(&self) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        match self.sender.try_send(Message::CloseStreams(reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(writer_gone())),
            Err(TrySendError::Full(_)) => Err(Refusal::Full { retry_after: Duration::from_secs(1), what: "queue" }),
            Err(TrySendError::Disconnected(_)) => Err(Refusal::Stopping),
        }
    }

    /// Closes the ledger: from here on no record of a sender is taken, ever, and all that was taken before is durable, with the
    /// statement behind it. Gives the statement's index, of an earlier call too.
    ///
    /// # Errors
    /// [`Refusal::Closed`] if it is closed, and there is no room to state that: the writer does it once there is. After any other it may be
    /// closed all the same: a further call finds out.
    pub async fn close(&self, by: String) -> Result<u64, Refusal> {
        let (reply, answer) = oneshot::channel();
        match self.sender.try_send(Message::Close { by, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(writer_gone())),
            Err(TrySendError::Full(_)) => Err(Refusal::Full { retry_after: Duration::from_secs(1), what: "queue" }),
            Err(TrySendError::Disconnected(_)) => Err(Refusal::Stopping),
        }
    }

    /// Ends the sealing; waits for room in the queue.
    pub fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.sender.send(Message::Stop);
    }

    /// Tells the writer how much is archived; waits for room in the queue. `false` if the writer is gone.
    pub fn archived(&self, size: u64) -> bool {
        self.sender.send(Message::Archived { size }).is_ok()
    }
}

fn writer_gone() -> Refusal {
    Refusal::Failed { reason: "the writer of the ledger has stopped".to_owned() }
}

/// Decodes exports and hands them to the writer: what stands behind the receive stage.
pub struct Intake {
    /// To the writer.
    pub queue: Queue,
    /// When records were observed.
    pub clock: Arc<dyn Clock>,
    /// Salts.
    pub entropy: Arc<dyn Entropy>,
    /// Largest string in a record.
    pub max_field_bytes: usize,
    /// Bytes of batches that wait.
    pub held: Arc<AtomicUsize>,
    /// Finds the streams of records, if any are sealed.
    pub streams: Option<Arc<Assigner>>,
}

impl crate::intake::Intake for Intake {
    async fn accept(&self, export: Export) -> Result<Accepted, Refusal> {
        if self.held.load(Ordering::Relaxed) > MAX_WAITING_BYTES {
            return Err(Refusal::Full { retry_after: Duration::from_secs(1), what: "batches that wait" });
        }
        let batch = Batch::from_export(&export, self.max_field_bytes, self.clock.now(), &*self.entropy);
        // The bodies hold all that is needed of it: its memory goes before the wait.
        drop(export);
        let mut batch = batch.map_err(|error| match error {
            BatchError::Malformed(error) => {
                Refusal::Malformed { field: error.field().to_owned(), reason: error.reason().to_owned() }
            }
            BatchError::TooLarge(reason) => {
                Refusal::Malformed { field: "request".to_owned(), reason: format!("{reason}; send smaller batches") }
            }
            BatchError::Entropy(_) => Refusal::Failed { reason: error.to_string() },
        })?;
        if batch.is_empty() {
            return Ok(Accepted::default());
        }
        batch.assign(self.streams.as_deref());
        let charge = Charge::new(&self.held, batch.bytes());
        self.queue.seal(batch, Some(charge)).await
    }
}
