//! The delivery thread: takes batches from the queue, or from the spool if there is one, and hands them to a transport
//! until the receiver acknowledges them.
//!
//! It owns its thread and a single-threaded runtime, so that the application needs none. A failed
//! batch is tried again with growing pauses, for as long as the process runs and, after `close`, until the deadline. If the receiver
//! refuses a batch as such, it is halved until the record that it refuses stands alone; only that one is given up. A batch that
//! was delivered but whose acknowledgement was lost arrives twice; the event id tells it. What earlier processes left in the spool is
//! delivered in turn with this process's records. Spans and log records of a batch are two requests, settled together: if the second
//! one fails, both are sent again. The producer's close goes last and alone,
//! with the count of what is lost as it is then.

use crate::init::InitError;
use crate::lifecycle::Event;
use crate::queue::{Form, Queue, Queued, Signal, Tally};
use crate::recorder::Producer;
use crate::spool::folder::Folder;
use crate::spool::format::Entry;
use crate::spool::reader::{Batch, Next, Reader, Record};
use crate::spool::thread::entry;
use crate::stamp;
use crate::transport::{Cargo, Failure, Transport};
use crate::warning::Topic;
use crate::wire;
use bytes::Bytes;
use opentelemetry::{Context, InstrumentationScope};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Most records and (about) bytes in one export; gRPC receivers commonly refuse more than 4 MiB.
const BATCH_RECORDS: usize = 512;
const BATCH_BYTES: usize = 2 << 20;
const USUAL_LIMIT: usize = 4 << 20;
/// An exporter that takes longer than this is treated as failed.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(60);
/// How long the end waits if only the producer's own words are left to be delivered, and what earlier processes left.
pub(crate) const OWN_LIMIT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Wakes the delivery thread early.
pub(crate) const WAKE_AT: usize = BATCH_RECORDS;

/// What the thread works with.
pub(crate) struct Work {
    pub(crate) queue: Arc<Queue>,
    pub(crate) producer: Producer,
    /// As `wire::resource` has it.
    pub(crate) resource: Bytes,
    pub(crate) rhythm: Rhythm,
    pub(crate) spool: Option<Folders>,
}

/// The spool's folders: this process's, and those of dead ones.
pub(crate) struct Folders {
    pub(crate) own: Arc<Folder>,
    pub(crate) dead: Vec<Folder>,
}

/// When the thread does something without being asked.
pub(crate) struct Rhythm {
    /// How long a record waits for others to share its request.
    pub(crate) interval: Duration,
    /// How often the producer says that it lives, if it does.
    pub(crate) heartbeat: Option<Duration>,
    /// What these records are of.
    pub(crate) scope: InstrumentationScope,
}

/// Starts the thread. `transport` is made on it, inside its runtime, because connections need one.
pub(crate) fn start<T, F>(work: Work, transport: F) -> Result<std::thread::JoinHandle<()>, InitError>
where
    T: Transport,
    F: FnOnce(&Arc<Queue>) -> Result<T, InitError> + Send + 'static,
{
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("tachograph".to_owned())
        .spawn(move || {
            let _ends = Ends(Arc::clone(&work.queue));
            // Spans of the transport's own work must not become records that cause more of it.
            let _quiet = Context::enter_telemetry_suppressed_scope();
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(InitError::Thread(error)))),
            };
            let made = {
                let _entered = runtime.enter();
                transport(&work.queue)
            };
            let transport = match made {
                Ok(transport) => transport,
                Err(error) => return drop(ready.send(Err(error))),
            };
            drop(ready.send(Ok(())));
            runtime.block_on(Delivery::new(transport, work).run());
        })
        .map_err(InitError::Thread)?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(InitError::Thread(std::io::Error::other("the delivery thread ended at once"))),
    }
}

/// However the thread ends, nobody waits for it any longer.
struct Ends(Arc<Queue>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.delivery_ended();
    }
}

struct Delivery<T> {
    transport: T,
    queue: Arc<Queue>,
    producer: Producer,
    resource: Bytes,
    rhythm: Rhythm,
    next_heartbeat: Option<Instant>,
    own: Option<Reader>,
    dead: VecDeque<Folder>,
    adopted: VecDeque<Reader>,
    /// It is the turn of what earlier processes left.
    turn_of_adopted: bool,
    /// Records in the next batch of this process: halved when the receiver refuses a batch, doubled when it takes one.
    batch: usize,
    /// And of what earlier processes left.
    batch_adopted: usize,
    /// A batch was refused: its parts wait for no others, nor does what came meanwhile.
    hurry: bool,
    pause: Duration,
    /// The disk does not give what is in the spool.
    stuck: bool,
}

/// Records that are sent together, and where they came from.
enum Parcel {
    Memory(Vec<Queued>),
    Own(Batch),
    Adopted(Batch),
}

impl Parcel {
    fn len(&self) -> usize {
        match self {
            Self::Memory(batch) => batch.len(),
            Self::Own(batch) | Self::Adopted(batch) => batch.records.len(),
        }
    }

    fn first_bytes(&self) -> usize {
        match self {
            Self::Memory(batch) => batch.first().map_or(0, |queued| match &queued.form {
                Form::Wire(record) => record.len(),
                _ => queued.bytes,
            }),
            Self::Own(batch) | Self::Adopted(batch) => batch.records.first().map_or(0, |record| record.bytes.len()),
        }
    }
}

impl<T: Transport> Delivery<T> {
    fn new(transport: T, work: Work) -> Self {
        let next_heartbeat = work.rhythm.heartbeat.and_then(|heartbeat| Instant::now().checked_add(heartbeat));
        let (own, dead) = match work.spool {
            Some(folders) => (Some(Reader::new(folders.own)), folders.dead.into()),
            None => (None, VecDeque::new()),
        };
        Self {
            transport,
            queue: work.queue,
            producer: work.producer,
            resource: work.resource,
            rhythm: work.rhythm,
            next_heartbeat,
            own,
            dead,
            adopted: VecDeque::new(),
            turn_of_adopted: true,
            batch: BATCH_RECORDS,
            batch_adopted: BATCH_RECORDS,
            hurry: false,
            pause: FIRST_PAUSE,
            stuck: false,
        }
    }

    fn batch_of(&mut self, parcel: &Parcel) -> &mut usize {
        match parcel {
            Parcel::Memory(_) | Parcel::Own(_) => &mut self.batch,
            Parcel::Adopted(_) => &mut self.batch_adopted,
        }
    }

    fn halve(&mut self, parcel: &Parcel) {
        *self.batch_of(parcel) = (parcel.len() / 2).max(1);
    }

    /// Says that the producer lives, if it is time.
    fn beat(&mut self) {
        let now = Instant::now();
        if self.next_heartbeat.is_some_and(|at| at <= now) {
            self.next_heartbeat = self.rhythm.heartbeat.and_then(|heartbeat| now.checked_add(heartbeat));
            let scope = self.rhythm.scope.clone();
            self.queue.push_own(|last| Event::Heartbeat { last }.span(scope));
        }
    }

    async fn run(mut self) {
        self.adopt();
        loop {
            if !self.hurry && (self.adopted.is_empty() || self.queue.is_closed()) {
                let rhythm = self.rhythm.interval.min(self.rhythm.heartbeat.unwrap_or(Duration::MAX));
                self.queue.wait_for_work(rhythm).await;
            }
            self.beat();
            self.show_space();
            let Some(parcel) = self.next_parcel() else {
                self.hurry = false;
                if (self.queue.is_drained() && self.adopted.is_empty()) || self.queue.time_is_up(Duration::MAX) {
                    break;
                }
                if self.stuck && (self.queue.is_drained() || !self.rest().await) {
                    break;
                }
                continue;
            };
            let outcome = self.attempt(&parcel).await;
            if let Err(Failure::Full(_) | Failure::Refused(_)) = outcome {
                // It may be too large for this receiver, or hold what it will never take.
                self.halve(&parcel);
            }
            match outcome {
                Ok(untaken) => {
                    let batch = self.batch_of(&parcel);
                    *batch = (*batch * 2).min(BATCH_RECORDS);
                    self.pause = FIRST_PAUSE;
                    match untaken {
                        None => self.settle(parcel, true),
                        Some((signal, reason)) => self.give_up_signal(parcel, signal, &reason),
                    }
                }
                Err(Failure::Refused(reason)) if parcel.len() == 1 => self.give_up(parcel, &reason),
                Err(Failure::Refused(_)) => {
                    self.hurry = true;
                    self.put_back(parcel);
                }
                // What no receiver's usual limit admits would keep all others waiting for ever.
                Err(Failure::Full(reason)) if parcel.len() == 1 && parcel.first_bytes() > USUAL_LIMIT => {
                    self.give_up(parcel, &reason);
                }
                Err(Failure::Later(reason) | Failure::Full(reason) | Failure::Unsupported(reason)) => {
                    self.put_back(parcel);
                    self.warn_of_delay(&reason);
                    // What earlier processes left is safe where it is, and worth no waiting at the end.
                    if self.queue.is_drained() || self.queue.time_is_up(OWN_LIMIT) || !self.rest().await {
                        break;
                    }
                }
                Err(Failure::Deadline) => {
                    self.put_back(parcel);
                    break;
                }
            }
        }
        self.let_go();
        self.show_space();
        self.transport.end();
    }

    // --- what to send ---

    /// Looks through what dead processes left. One of another version stays where it is.
    fn adopt(&mut self) {
        for folder in std::mem::take(&mut self.dead) {
            match folder.examine() {
                Ok(examined) => {
                    let found = examined.left.application + examined.lost;
                    self.queue.count_adopted(found, 0, examined.lost);
                    if examined.lost > 0 {
                        self.queue.warnings().say(Topic::Loss, || {
                            format!(
                                "{} bytes in {} are not readable: {} records of an earlier process are lost, as far as their numbers tell",
                                examined.unreadable, folder.path.display(), examined.lost
                            )
                        });
                    } else if examined.unreadable > 0 {
                        self.queue.warnings().say(Topic::Spool, || {
                            format!(
                                "a write in {} was torn when its process ended: {} bytes are passed over",
                                folder.path.display(),
                                examined.unreadable
                            )
                        });
                    }
                    if examined.left.all == 0 {
                        folder.remove();
                    } else {
                        self.adopted.push_back(Reader::new(Arc::new(folder)));
                    }
                }
                Err(reason) => {
                    self.queue.warnings().say(Topic::Foreign, || {
                        format!("what an earlier process left in {} stays there: {reason}", folder.path.display())
                    });
                    folder.leave();
                    self.queue.count_left();
                }
            }
        }
        self.queue.set_adopting(false);
    }

    /// This process's records and those of earlier ones by turns, and from memory what the spool does not take. After `close` those of
    /// this process go first, and what time is left goes to the others: processes that live for a moment deliver them too.
    fn next_parcel(&mut self) -> Option<Parcel> {
        let closed = self.queue.is_closed();
        self.stuck = false;
        if std::mem::take(&mut self.turn_of_adopted)
            && !closed
            && let Some(parcel) = self.next_adopted()
        {
            return Some(parcel);
        }
        self.turn_of_adopted = true;
        self.next_own().or_else(|| self.next_from_memory()).or_else(|| if closed { self.next_adopted() } else { None })
    }

    fn next_from_memory(&mut self) -> Option<Parcel> {
        let mut batch = self.queue.take(self.batch, BATCH_BYTES);
        if batch.is_empty() {
            return None;
        }
        for queued in &mut batch {
            stamp::prepare(queued, &self.producer, &self.queue);
            if T::WIRE {
                stamp::encode(queued);
            }
        }
        Some(Parcel::Memory(batch))
    }

    fn next_adopted(&mut self) -> Option<Parcel> {
        let mut stuck = 0;
        while let Some(reader) = self.adopted.front_mut() {
            match reader.next(self.batch_adopted, BATCH_BYTES) {
                Next::Batch(batch) => return Some(Parcel::Adopted(batch)),
                Next::Nothing => {
                    reader.folder.remove();
                    self.adopted.pop_front();
                }
                Next::Lost(tally, reason) => {
                    self.queue.count_adopted(0, 0, tally.application);
                    self.warn_of_damage(tally, &reason);
                }
                Next::Later(reason) => {
                    self.warn_of_disk(&reason);
                    self.stuck = true;
                    // The others go on.
                    self.adopted.rotate_left(1);
                    stuck += 1;
                    if stuck == self.adopted.len() {
                        return None;
                    }
                }
            }
        }
        None
    }

    fn next_own(&mut self) -> Option<Parcel> {
        loop {
            let reader = self.own.as_mut()?;
            // Not what was written a moment ago and is not counted yet.
            let there = usize::try_from(self.queue.held().1).unwrap_or(usize::MAX);
            if there == 0 {
                reader.advance();
                return None;
            }
            match reader.next(self.batch.min(there), BATCH_BYTES) {
                Next::Batch(batch) => return Some(Parcel::Own(batch)),
                Next::Nothing => return None,
                Next::Lost(tally, reason) => {
                    self.queue.settled_from_spool(tally, 0, false);
                    self.warn_of_damage(tally, &reason);
                }
                Next::Later(reason) => {
                    self.warn_of_disk(&reason);
                    self.stuck = true;
                    return None;
                }
            }
        }
    }

    // --- sending ---

    /// Sends what is in the parcel, a request for each signal. What comes back with success is a signal for which the receiver has no
    /// service, while it takes the other one: waiting for it would hold up all.
    async fn attempt(&self, parcel: &Parcel) -> Result<Option<(Signal, String)>, Failure> {
        let (mut taken, mut untaken) = (false, None);
        for (signal, other) in [(Signal::Span, Signal::Log), (Signal::Log, Signal::Span)] {
            let Some(cargo) = self.cargo(parcel, signal) else { continue };
            match self.send(cargo).await {
                Ok(()) => taken = true,
                Err(Failure::Unsupported(reason)) if untaken.is_none() => untaken = Some((signal, other, reason)),
                Err(failure) => return Err(failure),
            }
        }
        let Some((signal, other, reason)) = untaken else { return Ok(None) };
        // One that has neither is no receiver, and there may be one later. An empty request tells.
        let empty = Cargo::Wire { resource: &self.resource, records: Vec::new(), signal: other };
        if taken || self.send(empty).await.is_ok() {
            Ok(Some((signal, reason)))
        } else {
            Err(Failure::Unsupported(reason))
        }
    }

    /// What the parcel has of this signal, if anything.
    fn cargo<'a>(&'a self, parcel: &'a Parcel, signal: Signal) -> Option<Cargo<'a>> {
        let (resource, records): (&[u8], Vec<Bytes>) = match parcel {
            Parcel::Memory(batch) if T::WIRE => {
                let of_signal = batch.iter().filter(|queued| queued.signal == signal);
                (&self.resource, of_signal.filter_map(wire_form).collect())
            }
            Parcel::Memory(_) if signal == Signal::Log => return None,
            Parcel::Memory(batch) => return Some(Cargo::Spans(batch.iter().filter_map(span_form).collect())),
            Parcel::Own(batch) | Parcel::Adopted(batch) => {
                let of_signal = batch.records.iter().filter(|record| record.signal == signal);
                (&batch.resource, of_signal.map(|record| record.bytes.clone()).collect())
            }
        };
        (!records.is_empty()).then_some(Cargo::Wire { resource, records, signal })
    }

    async fn send(&self, cargo: Cargo<'_>) -> Result<(), Failure> {
        let mut sending = pin!(self.transport.send(cargo));
        let sending = std::future::poll_fn(|task| {
            // A panicking exporter must not end the thread that holds the records.
            match catch_unwind(AssertUnwindSafe(|| sending.as_mut().poll(task))) {
                Ok(outcome) => outcome,
                Err(_) => Poll::Ready(Err(Failure::Later("the exporter panicked".to_owned()))),
            }
        });
        tokio::select! {
            outcome = sending => outcome,
            () = tokio::time::sleep(ATTEMPT_LIMIT) => {
                Err(Failure::Later(format!("no answer within {ATTEMPT_LIMIT:?}")))
            }
            () = self.queue.deadline_passed() => Err(Failure::Deadline),
        }
    }

    /// The receiver has them, or never will.
    fn settle(&mut self, parcel: Parcel, delivered: bool) {
        self.settle_but(parcel, |_| !delivered);
    }

    /// The receiver has them, and will never have those of the signals that are `lost`.
    fn settle_but(&mut self, parcel: Parcel, lost: impl Fn(Signal) -> bool) {
        match parcel {
            Parcel::Memory(batch) => {
                let (lost, delivered): (Vec<_>, Vec<_>) = batch.into_iter().partition(|queued| lost(queued.signal));
                self.queue.given_up(lost);
                if !delivered.is_empty() {
                    self.queue.acknowledged(delivered);
                }
            }
            Parcel::Own(batch) => {
                if let Some(reader) = &mut self.own {
                    reader.settle(&batch);
                }
                let (delivered, lost) = tallies(&batch, lost);
                self.queue.settled_from_spool(lost, batch.below, false);
                if delivered.all > 0 {
                    self.queue.settled_from_spool(delivered, batch.below, true);
                }
            }
            Parcel::Adopted(batch) => {
                if let Some(reader) = self.adopted.front_mut() {
                    reader.settle(&batch);
                }
                let (delivered, lost) = tallies(&batch, lost);
                self.queue.count_adopted(0, delivered.application, lost.application);
            }
        }
    }

    /// What came from the spool is still there.
    fn put_back(&self, parcel: Parcel) {
        if let Parcel::Memory(batch) = parcel {
            self.queue.put_back(batch);
        }
    }

    /// Waits before the next attempt. False if the deadline came first.
    async fn rest(&mut self) -> bool {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        if self.queue.is_closed() {
            let deadline = self.queue.closing().await;
            let pause = pause.min(Duration::from_millis(500));
            tokio::time::sleep(pause).await;
            return Instant::now() < deadline;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.queue.closing() => self.pause = FIRST_PAUSE,
        }
        true
    }

    // --- what is said ---

    fn give_up(&mut self, parcel: Parcel, reason: &str) {
        let (sequence, name) = match &parcel {
            Parcel::Memory(batch) => match batch.first() {
                Some(Queued { sequence, form: Form::Span(span), .. }) => (*sequence, span.name.to_string()),
                Some(Queued { sequence, signal, form: Form::Wire(record), .. }) => {
                    (*sequence, wire::name(record, *signal))
                }
                _ => return,
            },
            Parcel::Own(batch) | Parcel::Adopted(batch) => match batch.records.first() {
                Some(record) => (record.sequence, wire::name(&record.bytes, record.signal)),
                None => return,
            },
        };
        let kept = self.keep_refused(&parcel, |_| true);
        self.queue.warnings().say(Topic::Loss, || {
            format!("the receiver refused record {sequence} ({name}): {reason}; it is lost{kept}")
        });
        self.settle(parcel, false);
    }

    /// The receiver takes the parcel's others.
    fn give_up_signal(&mut self, parcel: Parcel, signal: Signal, reason: &str) {
        let kept = self.keep_refused(&parcel, |of| of == signal);
        self.queue.warnings().say(Topic::Loss, || {
            let kind = match signal {
                Signal::Span => "spans",
                Signal::Log => "log records",
            };
            format!("the receiver has no service for {kind}: {reason}; they are lost{kept}")
        });
        self.settle_but(parcel, |of| of == signal);
    }

    /// With a spool, what no receiver takes does not vanish.
    fn keep_refused(&self, parcel: &Parcel, which: impl Fn(Signal) -> bool) -> String {
        let Some(own) = &self.own else { return String::new() };
        let (folder, resource, entries): (_, _, Vec<Entry<'_>>) = match parcel {
            Parcel::Memory(batch) => {
                let entries = batch.iter().filter(|queued| which(queued.signal)).filter_map(entry);
                (&own.folder, &self.resource, entries.collect())
            }
            Parcel::Own(batch) | Parcel::Adopted(batch) => {
                let folder = match (parcel, self.adopted.front()) {
                    (Parcel::Adopted(_), Some(adopted)) => &adopted.folder,
                    _ => &own.folder,
                };
                let entries = batch.records.iter().filter(|record| which(record.signal)).map(Record::entry);
                (folder, &batch.resource, entries.collect())
            }
        };
        let mut kept = String::new();
        for entry in entries {
            match folder.refused.keep(&folder.epoch, resource, entry) {
                Ok(path) => kept = format!(" for it, and kept in {}", path.display()),
                Err(error) => return format!(", and not kept: {error}"),
            }
        }
        kept
    }

    fn warn_of_delay(&self, reason: &str) {
        let (held, spooled) = self.queue.held();
        self.queue.warnings().say(Topic::Delivery, || {
            let spooled = if self.own.is_some() { format!(", {spooled} in the spool") } else { String::new() };
            format!("records can't be delivered: {reason}. {held} wait in memory{spooled} and are tried again")
        });
    }

    fn warn_of_damage(&self, lost: Tally, reason: &str) {
        self.queue.warnings().say(Topic::Loss, || format!("{reason}; {} records are lost", lost.application));
    }

    fn warn_of_disk(&self, reason: &str) {
        self.queue.warnings().say(Topic::Spool, || format!("{reason}; nothing is lost by that, and it is tried again"));
    }

    /// What was delivered to the end needs no next start.
    fn let_go(&mut self) {
        for mut reader in std::mem::take(&mut self.adopted) {
            if reader.advance().is_none() {
                reader.folder.remove();
            }
        }
    }

    fn show_space(&self) {
        if let Some(own) = &self.own {
            self.queue.set_spool_bytes(own.folder.space.used());
        }
    }
}

/// What of a batch is delivered, and what is lost.
fn tallies(batch: &Batch, lost: impl Fn(Signal) -> bool) -> (Tally, Tally) {
    let mut tallies = (Tally::default(), Tally::default());
    for record in &batch.records {
        let tally = if lost(record.signal) { &mut tallies.1 } else { &mut tallies.0 };
        tally.add(record.own);
    }
    tallies
}

fn wire_form(queued: &Queued) -> Option<Bytes> {
    match &queued.form {
        Form::Wire(record) => Some(record.clone()),
        _ => None,
    }
}

fn span_form(queued: &Queued) -> Option<opentelemetry_sdk::trace::SpanData> {
    match &queued.form {
        Form::Span(span) => Some(span.clone()),
        _ => None,
    }
}
