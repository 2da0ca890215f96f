//! The delivery thread: takes batches from the queue and hands them to an OpenTelemetry exporter
//! until the receiver acknowledges them.
//!
//! It owns its thread and a single-threaded runtime, so that the application needs none. A failed
//! batch goes back into the queue and is tried again with growing pauses, for as long as the
//! process runs and, after `close`, until the deadline. If the receiver refuses a batch as such, it is
//! halved until the record that it refuses stands alone; only that one is given up. A batch that
//! was delivered but whose acknowledgement was lost arrives twice; the event id tells it. The producer's close goes last and alone,
//! with the count of what is lost as it is then.

use crate::lifecycle::Event;
use crate::queue::{Queue, Queued};
use crate::recorder::Producer;
use crate::warning::Topic;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
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
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Wakes the delivery thread early.
pub(crate) const WAKE_AT: usize = BATCH_RECORDS;

/// Starts the thread. `exporter` is made on it, inside its runtime, because gRPC channels need one.
pub(crate) fn start<E, F, X>(
    queue: Arc<Queue>,
    producer: Producer,
    resource: Resource,
    rhythm: Rhythm,
    exporter: F,
) -> Result<std::thread::JoinHandle<()>, StartError<X>>
where
    E: SpanExporter + 'static,
    F: FnOnce(&Arc<Queue>) -> Result<E, X> + Send + 'static,
    X: Send + 'static,
{
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("tachograph".to_owned())
        .spawn(move || {
            let _ends = Finish(Arc::clone(&queue));
            // Spans of the exporter's own work must not become records that cause more of it.
            let _quiet = Context::enter_telemetry_suppressed_scope();
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(StartError::Runtime(error)))),
            };
            let made = {
                let _entered = runtime.enter();
                exporter(&queue)
            };
            let mut exporter = match made {
                Ok(exporter) => exporter,
                Err(error) => return drop(ready.send(Err(StartError::Exporter(error)))),
            };
            exporter.set_resource(&resource);
            drop(ready.send(Ok(())));
            runtime.block_on(Delivery::new(exporter, queue, producer, rhythm).run());
        })
        .map_err(StartError::Runtime)?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartError::Died),
    }
}

/// Why the delivery thread did not start.
pub(crate) enum StartError<X> {
    Runtime(std::io::Error),
    Exporter(X),
    Died,
}

/// However the thread ends, nobody waits for it any longer.
struct Finish(Arc<Queue>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
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

struct Delivery<E> {
    exporter: E,
    queue: Arc<Queue>,
    producer: Producer,
    rhythm: Rhythm,
    next_heartbeat: Option<Instant>,
    /// Records in the next batch: halved when the receiver refuses a batch, doubled when it takes one.
    batch: usize,
    pause: Duration,
}

enum Failure {
    /// The receiver may take it later.
    Later(String),
    /// The receiver is full, or the batch is too large for it.
    Full(String),
    /// The receiver will not take this batch as it is.
    Refused(String),
    /// Time is up.
    Deadline,
}

impl<E: SpanExporter> Delivery<E> {
    fn new(exporter: E, queue: Arc<Queue>, producer: Producer, rhythm: Rhythm) -> Self {
        let next_heartbeat = rhythm.heartbeat.and_then(|heartbeat| Instant::now().checked_add(heartbeat));
        Self { exporter, queue, producer, rhythm, next_heartbeat, batch: BATCH_RECORDS, pause: FIRST_PAUSE }
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
        loop {
            self.queue.wait_for_work(self.rhythm.interval.min(self.rhythm.heartbeat.unwrap_or(Duration::MAX))).await;
            self.beat();
            let mut batch = self.queue.take(self.batch, BATCH_BYTES);
            if batch.is_empty() {
                if self.queue.is_closed() {
                    break;
                }
                continue;
            }
            self.stamp(&mut batch);
            self.count_lost(&mut batch);
            match self.attempt(&batch).await {
                Ok(()) => {
                    self.queue.acknowledged(batch);
                    self.batch = (self.batch * 2).min(BATCH_RECORDS);
                    self.pause = FIRST_PAUSE;
                }
                Err(Failure::Refused(reason)) if batch.len() == 1 => self.give_up(batch, &reason),
                Err(Failure::Refused(_)) => {
                    self.batch = (batch.len() / 2).max(1);
                    self.queue.put_back(batch);
                }
                // What no receiver's usual limit admits would keep all others waiting for ever.
                Err(Failure::Full(reason)) if batch.len() == 1 && batch[0].bytes > USUAL_LIMIT => {
                    self.give_up(batch, &reason);
                }
                Err(Failure::Later(reason) | Failure::Full(reason)) => {
                    self.queue.put_back(batch);
                    self.warn_of_delay(&reason);
                    if !self.rest().await {
                        break;
                    }
                }
                Err(Failure::Deadline) => {
                    self.queue.put_back(batch);
                    break;
                }
            }
        }
        // The exporter's own shutdown frees resources; all records were acknowledged or given up.
        drop(self.exporter.shutdown());
    }

    /// Completes the records and adds who numbered them. Done once per record, off the application's threads.
    fn stamp(&self, batch: &mut [Queued]) {
        for queued in batch.iter_mut().filter(|queued| !queued.stamped) {
            queued.stamped = true;
            std::mem::take(&mut queued.late).complete(&mut queued.span);
            let sequence = i64::try_from(queued.sequence).unwrap_or(i64::MAX);
            queued.span.attributes.extend([
                KeyValue::new("tachograph.producer.id", Arc::clone(&self.producer.id)),
                KeyValue::new("tachograph.producer.epoch", Arc::clone(&self.producer.epoch)),
                KeyValue::new("tachograph.producer.seq", sequence),
            ]);
        }
    }

    /// Has the close say how many are lost, at each attempt anew. It is alone in its batch, and all before it was settled.
    fn count_lost(&self, batch: &mut [Queued]) {
        for queued in batch.iter_mut().filter(|queued| queued.close) {
            let (last, lost) = (queued.sequence, self.queue.numbers_lost());
            Event::Close { last, lost }.say_in(&mut queued.span);
        }
    }

    async fn attempt(&self, batch: &[Queued]) -> Result<(), Failure> {
        let spans: Vec<SpanData> = batch.iter().map(|queued| queued.span.clone()).collect();
        let mut export = pin!(self.exporter.export(spans));
        let export = std::future::poll_fn(|task| {
            // A panicking exporter must not end the thread that holds the records.
            match catch_unwind(AssertUnwindSafe(|| export.as_mut().poll(task))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
                Ok(Poll::Ready(Err(error))) => Poll::Ready(Err(classify(error.to_string()))),
                Err(_) => Poll::Ready(Err(Failure::Later("the exporter panicked".to_owned()))),
            }
        });
        tokio::select! {
            outcome = export => outcome,
            () = tokio::time::sleep(ATTEMPT_LIMIT) => {
                Err(Failure::Later(format!("no answer within {ATTEMPT_LIMIT:?}")))
            }
            () = self.queue.deadline_passed() => Err(Failure::Deadline),
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
            return std::time::Instant::now() < deadline;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.queue.closing() => self.pause = FIRST_PAUSE,
        }
        true
    }

    fn give_up(&self, batch: Vec<Queued>, reason: &str) {
        for queued in &batch {
            self.queue.warnings().say(Topic::Loss, || {
                format!("the receiver refused record {} ({}): {reason}; it is lost", queued.sequence, queued.span.name)
            });
        }
        self.queue.given_up(batch);
    }

    fn warn_of_delay(&self, reason: &str) {
        self.queue.warnings().say(Topic::Delivery, || {
            format!("records can't be delivered: {reason}. {} wait in memory and are tried again", self.queue.held())
        });
    }
}

/// The OTLP exporter gives its gRPC status only as text.
fn classify(reason: String) -> Failure {
    const REFUSED: [&str; 2] = ["gRPC code: InvalidArgument", "gRPC code: OutOfRange"];
    if REFUSED.iter().any(|code| reason.contains(code)) {
        Failure::Refused(reason)
    } else if reason.contains("gRPC code: ResourceExhausted") {
        Failure::Full(reason)
    } else {
        Failure::Later(reason)
    }
}
