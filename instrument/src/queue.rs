//! The bounded queue between the application's threads and the delivery thread.
//!
//! Invariants:
//! - Each record that ends takes the next sequence number, whether or not it gets a place. A record
//!   that is lost so leaves a gap that the collector can prove.
//! - What is in flight counts against the bounds until the receiver has acknowledged it.
//! - What the producer says of itself has numbers of the same sequence, but no place that a record could have: it counts neither
//!   against the bounds nor in the report, and there are never more than a few.
//! - The close is the last to be taken, alone, and once all before it were acknowledged or given up: how many of the numbers before
//!   it are lost is certain then, and stays so.
//! - A full queue makes the caller wait, at most `Limits::wait`. Once one caller waited in vain,
//!   later ones are refused at once until a delivery succeeds: an application must not slow to one
//!   call per `wait` because a collector is gone.

use crate::late::Late;
use crate::warning::{Topic, Warnings};
use opentelemetry::{Array, Value};
use opentelemetry_sdk::trace::SpanData;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Of what the producer says of itself no more waits than these, and the close.
const MOST_OWN: usize = 2;

/// Bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) wait: Duration,
    /// So many waiting records wake the delivery thread before its interval is over.
    pub(crate) wake_at: usize,
}

/// What became of the records of this process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records that ended.
    pub produced: u64,
    /// Records that the receiver acknowledged.
    pub exported: u64,
    /// Records given up: refused by a full queue or by the receiver, or ended after shutdown.
    pub lost: u64,
}

/// A record in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) span: SpanData,
    /// What is to be done to the span before it is sent.
    pub(crate) late: Late,
    pub(crate) sequence: u64,
    /// It is of the producer itself, not of the application.
    pub(crate) own: bool,
    /// It is what the producer says last.
    pub(crate) close: bool,
    /// The producer's attributes were added.
    pub(crate) stamped: bool,
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Queued>,
    in_flight: usize,
    /// Of both, those of the producer itself.
    own: usize,
    /// Numbers given so far.
    numbered: u64,
    /// Of those before the close, the ones whose records are lost: the application's and the producer's own.
    numbers_lost: u64,
    /// Of what waits and what is in flight.
    bytes: usize,
    report: Report,
    flushes: usize,
    shedding: bool,
    closed: bool,
    finished: bool,
}

impl State {
    fn take_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered - 1
    }

    fn push_own(&mut self, span: SpanData, sequence: u64, close: bool) {
        self.own += 1;
        self.waiting.push_back(Queued {
            span,
            late: Late::default(),
            sequence,
            own: true,
            close,
            stamped: false,
            bytes: 0,
        });
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// A place became free, or the queue closed.
    space: Condvar,
    /// Records were acknowledged or given up, or delivery finished.
    progress: Condvar,
    work: Notify,
    deadline: watch::Sender<Option<Instant>>,
    warnings: Warnings,
}

impl Queue {
    pub(crate) fn new(limits: Limits, warnings: Warnings) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            space: Condvar::new(),
            progress: Condvar::new(),
            work: Notify::new(),
            deadline: watch::Sender::new(None),
            warnings,
        }
    }

    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    pub(crate) fn report(&self) -> Report {
        self.lock().report
    }

    // --- the application's side ---

    /// Takes a record that ended, waiting for a place if there is none.
    pub(crate) fn push(&self, span: SpanData, late: Late) {
        let bytes = estimated_bytes(&span);
        let mut state = self.lock();
        if !state.closed && !state.shedding && self.is_full(&state, bytes) {
            self.work.notify_one();
            let (after, waited) = self
                .space
                .wait_timeout_while(state, self.limits.wait, |state| {
                    !state.closed && !state.shedding && self.is_full(state, bytes)
                })
                .unwrap_or_else(PoisonError::into_inner);
            state = after;
            state.shedding |= waited.timed_out();
        }
        let sequence = state.take_number();
        state.report.produced += 1;
        if state.closed || self.is_full(&state, bytes) {
            state.report.lost += 1;
            // A number after the close is none that the close speaks of.
            state.numbers_lost += u64::from(!state.closed);
            let (closed, lost) = (state.closed, state.report.lost);
            drop(state);
            self.warn_of_loss(closed, lost);
            return;
        }
        state.bytes += bytes;
        state.waiting.push_back(Queued { span, late, sequence, own: false, close: false, stamped: false, bytes });
        if state.waiting.len() == self.limits.wake_at || state.bytes > self.limits.bytes / 2 {
            drop(state);
            self.work.notify_one();
        }
    }

    /// Adds what the producer says of itself, unless as much waits already. `make` gets its number.
    pub(crate) fn push_own(&self, make: impl FnOnce(u64) -> SpanData) {
        let mut state = self.lock();
        if !state.closed && state.own < MOST_OWN {
            let sequence = state.take_number();
            state.push_own(make(sequence), sequence, false);
            if state.waiting.len() == self.limits.wake_at {
                drop(state);
                self.work.notify_one();
            }
        }
    }

    /// Whether nothing of the application waits or is in flight.
    pub(crate) fn holds_only_own(&self) -> bool {
        let state = self.lock();
        state.waiting.len() + state.in_flight == state.own
    }

    /// Waits until all that ended before this call was acknowledged or given up, or the time is over.
    pub(crate) fn flush(&self, limit: Duration) -> Report {
        let mut state = self.lock();
        let target = state.report.produced;
        state.flushes += 1;
        self.work.notify_one();
        let (mut state, _) = self
            .progress
            .wait_timeout_while(state, limit, |state| {
                !state.finished && state.report.exported + state.report.lost < target
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.flushes -= 1;
        state.report
    }

    /// Refuses further records and gives delivery until `limit` from now to finish. `last` makes the last one, of its number. How
    /// many are lost is not known yet: see [`Queue::numbers_lost`].
    pub(crate) fn close(&self, limit: Duration, last: impl FnOnce(u64) -> SpanData) {
        let now = Instant::now();
        let deadline = now.checked_add(limit).unwrap_or(now + Duration::from_secs(86_400));
        {
            let mut state = self.lock();
            if !state.closed {
                // Under one lock, so that no number follows it.
                let sequence = state.take_number();
                state.push_own(last(sequence), sequence, true);
                state.closed = true;
            }
        }
        self.space.notify_all();
        self.deadline.send_if_modified(|known| {
            let sooner = known.is_none_or(|known| deadline < known);
            if sooner {
                *known = Some(deadline);
            }
            sooner
        });
        self.work.notify_one();
    }

    /// Waits for delivery to end. False if it did not within `limit`.
    pub(crate) fn wait_until_finished(&self, limit: Duration) -> bool {
        let (state, _) = self
            .progress
            .wait_timeout_while(self.lock(), limit, |state| !state.finished)
            .unwrap_or_else(PoisonError::into_inner);
        state.finished
    }

    fn is_full(&self, state: &State, bytes: usize) -> bool {
        let held = state.waiting.len() + state.in_flight - state.own;
        // One record larger than the whole bound still passes, alone.
        held >= self.limits.records || (held > 0 && state.bytes + bytes > self.limits.bytes)
    }

    fn warn_of_loss(&self, closed: bool, lost: u64) {
        self.warnings.say(Topic::Loss, || {
            if closed {
                format!(
                    "a record ended after shutdown and is lost ({lost} lost in all); end all work before `shutdown`"
                )
            } else {
                format!(
                    "the queue of {} records is full and no place became free within {:?}; {lost} records are lost. \
                     Check that the collector runs and is reachable",
                    self.limits.records, self.limits.wait
                )
            }
        });
    }

    // --- the delivery thread's side ---

    /// Returns when a batch is full, the interval is over, or somebody waits for delivery.
    pub(crate) async fn wait_for_work(&self, interval: Duration) {
        {
            let state = self.lock();
            let urgent = state.closed || (state.flushes > 0 && !state.waiting.is_empty());
            if urgent || state.waiting.len() >= self.limits.wake_at {
                return;
            }
        }
        tokio::select! {
            () = self.work.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }

    /// The oldest records, within both bounds but at least one; the close alone. They are in flight from here on.
    pub(crate) fn take(&self, records: usize, bytes: usize) -> Vec<Queued> {
        let mut state = self.lock();
        if state.finished {
            return Vec::new();
        }
        let mut size = 0;
        let mut count = state
            .waiting
            .iter()
            .take(records)
            .take_while(|queued| {
                size += queued.bytes;
                !queued.close && (size <= bytes || size == queued.bytes)
            })
            .count();
        // One thread delivers one batch after another: if nothing waits before the close, all before it is settled.
        if count == 0 && state.in_flight == 0 && state.waiting.front().is_some_and(|queued| queued.close) {
            count = 1;
        }
        state.in_flight += count;
        state.waiting.drain(..count).collect()
    }

    /// The receiver acknowledged these.
    pub(crate) fn acknowledged(&self, batch: Vec<Queued>) {
        self.release(&batch, |state, count| {
            state.report.exported += count;
            state.shedding = false;
        });
    }

    /// These are given up.
    pub(crate) fn given_up(&self, batch: Vec<Queued>) {
        self.release(&batch, |state, count| {
            state.report.lost += count;
            state.numbers_lost += batch.len() as u64;
        });
    }

    /// How many numbers before the close have records that are lost. It is final once the close was taken.
    pub(crate) fn numbers_lost(&self) -> u64 {
        self.lock().numbers_lost
    }

    /// These were not delivered and are tried again, in their old order.
    pub(crate) fn put_back(&self, batch: Vec<Queued>) {
        let mut state = self.lock();
        if state.finished {
            return; // counted as lost already
        }
        state.in_flight -= batch.len();
        for queued in batch.into_iter().rev() {
            state.waiting.push_front(queued);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(crate) fn held(&self) -> usize {
        let state = self.lock();
        state.waiting.len() + state.in_flight
    }

    /// Returns when the queue was closed, with the deadline.
    pub(crate) async fn closing(&self) -> Instant {
        let mut deadline = self.deadline.subscribe();
        // The sender lives in `self`, so waiting can't fail.
        match deadline.wait_for(Option::is_some).await {
            Ok(known) => known.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    }

    /// Returns when the deadline after closing is over.
    pub(crate) async fn deadline_passed(&self) {
        let deadline = self.closing().await;
        tokio::time::sleep_until(deadline.into()).await;
    }

    /// Delivery ended: whatever was not acknowledged is lost, nobody needs to wait any longer.
    /// What the delivery thread still reports after this changes nothing.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        if state.finished {
            return;
        }
        state.closed = true;
        state.finished = true;
        let left = state.waiting.len() + state.in_flight - state.own;
        state.report.lost += left as u64;
        state.waiting.clear();
        state.in_flight = 0;
        state.own = 0;
        state.bytes = 0;
        drop(state);
        self.space.notify_all();
        self.progress.notify_all();
    }

    fn release(&self, batch: &[Queued], count: impl FnOnce(&mut State, u64)) {
        let mut state = self.lock();
        if state.finished {
            return; // counted as lost already
        }
        state.in_flight -= batch.len();
        state.bytes -= batch.iter().map(|queued| queued.bytes).sum::<usize>();
        let own = batch.iter().filter(|queued| queued.own).count();
        state.own -= own;
        count(&mut state, (batch.len() - own) as u64);
        drop(state);
        self.space.notify_all();
        self.progress.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About what the record takes in memory and on the wire.
fn estimated_bytes(span: &SpanData) -> usize {
    const FIXED: usize = 512;
    let attributes = span.attributes.iter().map(|attribute| value_bytes(&attribute.value));
    let events = span.events.iter().flat_map(|event| event.attributes.iter());
    FIXED + attributes.sum::<usize>() + events.map(|attribute| value_bytes(&attribute.value)).sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    const FIXED: usize = 48;
    FIXED
        + match value {
            Value::String(text) => text.as_str().len(),
            Value::Array(Array::String(texts)) => texts.iter().map(|text| FIXED + text.as_str().len()).sum(),
            Value::Array(Array::Bool(values)) => values.len(),
            Value::Array(Array::I64(values)) => values.len() * 8,
            Value::Array(Array::F64(values)) => values.len() * 8,
            _ => 0,
        }
}
