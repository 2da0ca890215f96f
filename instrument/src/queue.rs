//! The bounded queue between the application's threads and those that write and deliver.
//!
//! Invariants:
//! - Each record that ends takes the next sequence number, whether or not it gets a place. A record
//!   that is lost so leaves a gap that the collector can prove.
//! - What is in flight counts against the bounds until the receiver has acknowledged it or the spool has it.
//! - Either the spool's writer takes records or the delivery thread does, never both at a time, and in the order of their numbers.
//!   So everything below `safe` is delivered, written as durability asks for, or lost, but for what is in doubt: written, but its sync
//!   failed. That is safe once it was delivered.
//! - What the producer says of itself has numbers of the same sequence, but no place that a record could have: it counts neither
//!   against the bounds nor in the report, and there are never more than a few.
//! - The close is the last to be taken, alone, and once all before it were acknowledged or given up: how many of the numbers before
//!   it are lost is certain then, and stays so. With a spool it is written there if time is up before.
//! - A full queue makes the caller wait as [`WhenFull`] says. Once one caller waited in vain,
//!   later ones are refused at once until a delivery succeeds: an application must not slow to one
//!   call per wait because a collector is gone.

use crate::late::Late;
use crate::report::{Report, SpoolState};
use crate::warning::{Topic, Warnings};
use bytes::Bytes;
use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Of what the producer says of itself no more waits than these, and the close.
const MOST_OWN: usize = 2;
/// No more runs of records that are in doubt are told apart.
const MOST_DOUBTFUL: usize = 64;

/// What a call does whose record finds no place, because the receiver is slow or gone and the queue, and the spool if there is one,
/// are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Waits for a place, so long at most; then the record is lost, and counted. Once one call waited in vain, later ones are refused
    /// at once until delivery works again. The default, with five seconds.
    WaitAtMost(Duration),
    /// Never waits: the record is lost at once, and counted.
    Refuse,
    /// Waits until there is a place, for ever if need be: no work goes on without its record.
    Wait,
}

impl WhenFull {
    fn limit(self) -> Option<Duration> {
        match self {
            Self::WaitAtMost(limit) => Some(limit),
            Self::Refuse => Some(Duration::ZERO),
            Self::Wait => None,
        }
    }
}

/// Bounds of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) when_full: WhenFull,
    /// So many waiting records wake the delivery thread before its interval is over.
    pub(crate) wake_at: usize,
    /// Whether a spool's writer takes the records.
    pub(crate) spool: bool,
    /// Whether a call waits until its record is safe.
    pub(crate) confirm: bool,
}

/// A record as it ended, or in the form in which it is kept and sent.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most are spans; a box would cost an allocation a record")]
pub(crate) enum Form {
    Span(SpanData),
    #[cfg(feature = "logs")]
    Log(Box<crate::wire::Log>),
    Wire(Bytes),
}

/// What kind of telemetry a record is: each goes to a place of its own at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Span,
    Log,
}

/// A record in the queue.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) form: Form,
    pub(crate) signal: Signal,
    /// What is to be done to the span before it is encoded or sent.
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

/// How many of some records are of the application, and how many there are in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) application: u64,
    pub(crate) all: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, own: bool) {
        self.all += 1;
        self.application += u64::from(!own);
    }

    fn of(batch: &[Queued]) -> Self {
        let mut tally = Self::default();
        batch.iter().for_each(|queued| tally.add(queued.own));
        tally
    }
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
    /// In this process's spool and not delivered.
    spooled: Tally,
    /// All below are safe or lost, but for those in doubt.
    safe: u64,
    /// What is in the spool, but was not synced as it was asked for: the first number, and the one after the last. A later success is
    /// none of theirs.
    doubtful: Vec<(u64, u64)>,
    /// A call waited in vain for its record to be safe, and nothing became safe since.
    unsafe_for_long: bool,
    /// The spool's writer takes the records; otherwise the delivery thread does.
    to_spool: bool,
    /// The writer sleeps until something is there to write.
    writer_idle: bool,
    writing: bool,
    delivering: bool,
    flushes: usize,
    shedding: bool,
    closed: bool,
    /// When it was closed.
    closed_at: Option<Instant>,
    /// What earlier processes left is there and not looked through yet.
    adopting: bool,
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
            form: Form::Span(span),
            signal: Signal::Span,
            late: Late::default(),
            sequence,
            own: true,
            close,
            stamped: false,
            bytes: 0,
        });
    }

    /// The oldest records that are not the close, within both bounds but at least one if there is any.
    fn take(&mut self, records: usize, bytes: usize) -> Vec<Queued> {
        let mut size = 0;
        let count = self
            .waiting
            .iter()
            .take(records)
            .take_while(|queued| {
                size += queued.bytes;
                !queued.close && (size <= bytes || size == queued.bytes)
            })
            .count();
        self.in_flight += count;
        self.waiting.drain(..count).collect()
    }

    fn take_close(&mut self) -> Vec<Queued> {
        self.in_flight += 1;
        self.waiting.drain(..1).collect()
    }

    /// Only the close is left, and all before it is settled.
    fn close_is_next(&self) -> bool {
        self.in_flight == 0 && self.spooled.all == 0 && self.waiting.front().is_some_and(|queued| queued.close)
    }

    /// Whether the delivery thread has something of this process to deliver.
    fn deliverable(&self) -> bool {
        let from_memory = !self.to_spool && self.waiting.front().is_some_and(|queued| !queued.close);
        self.spooled.all > 0 || from_memory || self.close_is_next()
    }

    /// Whether the spool's writer has something to write.
    fn writable(&self) -> bool {
        self.to_spool
            && self.in_flight == 0
            && self.waiting.front().is_some_and(|queued| !queued.close || !self.delivering)
    }

    fn settled(&self) -> u64 {
        self.report.exported + self.report.lost
    }

    fn is_safe(&self, sequence: u64) -> bool {
        let doubtful = |(from, to): &(u64, u64)| (*from..*to).contains(&sequence);
        sequence < self.safe && !self.doubtful.iter().any(doubtful)
    }

    /// These are in the spool, but who knows for how long.
    fn doubt(&mut self, from: u64, to: u64) {
        let many = self.doubtful.len() >= MOST_DOUBTFUL;
        match self.doubtful.last_mut().filter(|_| many) {
            Some(last) => last.1 = to,
            None => self.doubtful.push((from, to)),
        }
    }

    /// Whether nothing of the application waits, is in flight or in the spool.
    fn holds_only_own(&self) -> bool {
        self.waiting.len() + self.in_flight == self.own && self.spooled.application == 0
    }

    /// Whether something that earlier processes left is still to be delivered.
    fn has_backlog(&self) -> bool {
        self.adopting || self.report.adopted > self.report.adopted_exported + self.report.adopted_lost
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
    /// Records became safe.
    safety: Condvar,
    /// There is something for the spool's writer.
    fill: Condvar,
    work: Notify,
    deadline: watch::Sender<Option<Instant>>,
    warnings: Warnings,
}

/// What the spool's writer got.
pub(crate) enum Taken {
    Records(Vec<Queued>),
    /// The time given is over.
    Nothing,
    /// Nothing will come any more.
    End,
}

impl Queue {
    pub(crate) fn new(limits: Limits, warnings: Warnings) -> Self {
        let state = State {
            to_spool: limits.spool,
            writing: limits.spool,
            delivering: true,
            report: Report {
                spool: if limits.spool { SpoolState::Working } else { SpoolState::None },
                ..Report::default()
            },
            ..State::default()
        };
        Self {
            limits,
            state: Mutex::new(state),
            space: Condvar::new(),
            progress: Condvar::new(),
            safety: Condvar::new(),
            fill: Condvar::new(),
            work: Notify::new(),
            deadline: watch::Sender::new(None),
            warnings,
        }
    }

    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    pub(crate) fn report(&self) -> Report {
        Self::report_of(&self.lock())
    }

    fn report_of(state: &State) -> Report {
        Report {
            spooled: state.spooled.application,
            waiting: (state.waiting.len() + state.in_flight - state.own) as u64,
            ..state.report
        }
    }

    // --- the application's side ---

    /// Takes a record that ended, waiting for a place if there is none, and until it is safe if that is asked for.
    pub(crate) fn push(&self, span: SpanData, late: Late) {
        let bytes = estimated_bytes(&span) + late.bytes();
        self.push_form(Form::Span(span), Signal::Span, late, bytes);
    }

    /// Takes a log record likewise.
    #[cfg(feature = "logs")]
    pub(crate) fn push_log(&self, log: crate::wire::Log, late: Late) {
        let bytes = log.estimated_bytes();
        self.push_form(Form::Log(Box::new(log)), Signal::Log, late, bytes);
    }

    fn push_form(&self, form: Form, signal: Signal, late: Late, bytes: usize) {
        let mut state = self.wait_for_place(bytes);
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
        state.waiting.push_back(Queued {
            form,
            signal,
            late,
            sequence,
            own: false,
            close: false,
            stamped: false,
            bytes,
        });
        let many = state.waiting.len() == self.limits.wake_at || state.bytes > self.limits.bytes / 2;
        if !state.to_spool {
            if many || self.limits.confirm {
                self.work.notify_one();
            }
        } else if std::mem::take(&mut state.writer_idle) || many {
            // The writer is woken once, and then gathers what comes.
            self.fill.notify_one();
        }
        if self.limits.confirm {
            self.wait_until_safe(state, sequence);
        }
    }

    fn wait_for_place(&self, bytes: usize) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let waits = |state: &State| !state.closed && !state.shedding && self.is_full(state, bytes);
        if !waits(&state) {
            return state;
        }
        self.work.notify_one();
        self.fill.notify_one();
        match self.limits.when_full.limit() {
            None => self.space.wait_while(state, |state| waits(state)).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let (after, waited) = self
                    .space
                    .wait_timeout_while(state, limit, |state| waits(state))
                    .unwrap_or_else(PoisonError::into_inner);
                state = after;
                state.shedding |= waited.timed_out();
                state
            }
        }
    }

    /// Waits until the record of this number is as safe as was asked for, as long as it would wait for a place.
    fn wait_until_safe(&self, state: MutexGuard<'_, State>, sequence: u64) {
        let waits = |state: &State| !state.is_safe(sequence) && !state.unsafe_for_long && !state.finished;
        let mut state = match self.limits.when_full {
            WhenFull::WaitAtMost(limit) => {
                let (mut state, waited) = self
                    .safety
                    .wait_timeout_while(state, limit, |state| waits(state))
                    .unwrap_or_else(PoisonError::into_inner);
                state.unsafe_for_long |= waited.timed_out();
                state
            }
            // A disk that works is worth its milliseconds; one that is seen to fail is not waited for.
            WhenFull::Refuse => self
                .safety
                .wait_while(state, |state| waits(state) && state.report.spool == SpoolState::Working)
                .unwrap_or_else(PoisonError::into_inner),
            WhenFull::Wait => self
                .safety
                .wait_while(state, |state| !state.is_safe(sequence) && !state.finished)
                .unwrap_or_else(PoisonError::into_inner),
        };
        if !state.is_safe(sequence) {
            state.report.unconfirmed += 1;
            let unconfirmed = state.report.unconfirmed;
            drop(state);
            self.warnings.say(Topic::Unconfirmed, || {
                format!(
                    "the spool did not take a record in time; {unconfirmed} calls returned before their record was safe. \
                     Their records wait in memory. Check the spool's disk"
                )
            });
        }
    }

    /// Adds what the producer says of itself, unless as much waits already. `make` gets its number.
    pub(crate) fn push_own(&self, make: impl FnOnce(u64) -> SpanData) {
        let mut state = self.lock();
        if !state.closed && state.own < MOST_OWN {
            let sequence = state.take_number();
            state.push_own(make(sequence), sequence, false);
            if state.to_spool {
                state.writer_idle = false;
                self.fill.notify_one();
            } else if state.waiting.len() == self.limits.wake_at {
                drop(state);
                self.work.notify_one();
            }
        }
    }

    /// Whether there is nothing to deliver but what the producer says of itself.
    pub(crate) fn has_nothing_of_an_application(&self) -> bool {
        let state = self.lock();
        state.holds_only_own() && !state.has_backlog()
    }

    /// Waits until all that ended before this call was acknowledged or given up, or the time is over.
    pub(crate) fn flush(&self, limit: Duration) -> Report {
        let mut state = self.lock();
        let target = state.report.produced;
        state.flushes += 1;
        self.work.notify_one();
        self.fill.notify_one();
        let (mut state, _) = self
            .progress
            .wait_timeout_while(state, limit, |state| !state.finished && state.settled() < target)
            .unwrap_or_else(PoisonError::into_inner);
        state.flushes -= 1;
        Self::report_of(&state)
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
                state.closed_at = Some(now);
            }
        }
        self.space.notify_all();
        self.fill.notify_all();
        self.deadline.send_if_modified(|known| {
            let sooner = known.is_none_or(|known| deadline < known);
            if sooner {
                *known = Some(deadline);
            }
            sooner
        });
        self.work.notify_one();
    }

    /// Waits for both threads to end. False if they did not within `limit`.
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
                    "the queue of {} records is full and no place became free{}; {lost} records are lost. \
                     Check that the collector runs and is reachable",
                    self.limits.records,
                    match self.limits.when_full {
                        WhenFull::WaitAtMost(limit) => format!(" within {limit:?}"),
                        WhenFull::Refuse | WhenFull::Wait => String::new(),
                    }
                )
            }
        });
    }

    // --- the delivery thread's side ---

    /// Returns when a batch is full, the interval is over, or somebody waits for delivery.
    pub(crate) async fn wait_for_work(&self, interval: Duration) {
        {
            let state = self.lock();
            let ready = if self.limits.spool { state.spooled.all } else { state.waiting.len() as u64 };
            let asked_for = (state.closed || state.flushes > 0) && state.deliverable();
            let over = state.closed && state.waiting.is_empty() && state.spooled.all == 0;
            if asked_for || over || ready >= self.limits.wake_at as u64 {
                return;
            }
        }
        tokio::select! {
            () = self.work.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }

    /// The oldest records, unless the spool's writer takes them; the close alone, and last. They are in flight from here on.
    pub(crate) fn take(&self, records: usize, bytes: usize) -> Vec<Queued> {
        let mut state = self.lock();
        if state.finished || state.in_flight > 0 {
            return Vec::new();
        }
        if state.close_is_next() {
            return state.take_close();
        }
        if state.to_spool { Vec::new() } else { state.take(records, bytes) }
    }

    /// Whether all of this process was delivered or given up, and nothing will come any more.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.lock();
        state.finished || (state.closed && state.waiting.is_empty() && state.in_flight == 0 && state.spooled.all == 0)
    }

    /// Whether the time after closing is over. For what only the producer says of itself it is `own_limit`.
    pub(crate) fn time_is_up(&self, own_limit: Duration) -> bool {
        let (deadline, now) = (*self.deadline.borrow(), Instant::now());
        let state = self.lock();
        let own_time_is_up = state.closed_at.is_some_and(|at| now.saturating_duration_since(at) >= own_limit);
        deadline.is_some_and(|deadline| deadline <= now) || (own_time_is_up && state.holds_only_own())
    }

    /// The receiver acknowledged these.
    pub(crate) fn acknowledged(&self, batch: Vec<Queued>) {
        self.release(&batch, |state, tally| {
            state.report.exported += tally.application;
            state.shedding = false;
        });
    }

    /// These are given up.
    pub(crate) fn given_up(&self, batch: Vec<Queued>) {
        self.release(&batch, |state, tally| {
            state.report.lost += tally.application;
            state.numbers_lost += tally.all;
        });
    }

    /// These came from this process's spool, and their fate is known: acknowledged, or given up. `below` are all numbers up to the
    /// last of them.
    pub(crate) fn settled_from_spool(&self, tally: Tally, below: u64, delivered: bool) {
        self.change(|state| {
            state.spooled.application = state.spooled.application.saturating_sub(tally.application);
            state.spooled.all = state.spooled.all.saturating_sub(tally.all);
            if delivered {
                state.report.exported += tally.application;
                state.shedding = false;
            } else {
                state.report.lost += tally.application;
                state.numbers_lost += tally.all;
            }
            state.safe = state.safe.max(below);
            state.doubtful.retain(|(_, to)| *to > below);
            state.unsafe_for_long = false;
        });
    }

    /// Records of earlier processes: found, acknowledged, given up.
    pub(crate) fn count_adopted(&self, found: u64, exported: u64, lost: u64) {
        self.change(|state| {
            state.report.adopted += found;
            state.report.adopted_exported += exported;
            state.report.adopted_lost += lost;
            state.shedding &= exported == 0;
        });
    }

    /// There may be something that earlier processes left; or now it is known, and counted.
    pub(crate) fn set_adopting(&self, adopting: bool) {
        self.lock().adopting = adopting;
    }

    /// What an earlier process left was not readable by this release, and stays.
    pub(crate) fn count_left(&self) {
        self.change(|state| state.report.folders_left += 1);
    }

    pub(crate) fn set_spool_bytes(&self, bytes: u64) {
        self.lock().report.spool_bytes = bytes;
    }

    /// How many numbers before the close have records that are lost. It is final once the close was taken by the delivery thread.
    pub(crate) fn numbers_lost(&self) -> u64 {
        self.lock().numbers_lost
    }

    /// These were neither delivered nor spooled and are tried again, in their old order.
    pub(crate) fn put_back(&self, batch: Vec<Queued>) {
        self.change(|state| {
            state.in_flight -= batch.len();
            for queued in batch.into_iter().rev() {
                state.waiting.push_front(queued);
            }
        });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// What is not delivered: in memory, and in this process's spool.
    pub(crate) fn held(&self) -> (usize, u64) {
        let state = self.lock();
        (state.waiting.len() + state.in_flight, state.spooled.all)
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

    /// The delivery thread ended, having put back what it held; or it died, and nothing is certain any more.
    pub(crate) fn delivery_ended(&self) {
        if std::thread::panicking() {
            return self.finish();
        }
        let writing = {
            let mut state = self.lock();
            state.delivering = false;
            state.writing
        };
        self.fill.notify_all();
        if !writing {
            self.finish();
        }
    }

    // --- the side of the spool's writer ---

    /// Waits for records, and then `linger` for more to come; gives up at `until`.
    pub(crate) fn take_to_spool(
        &self,
        records: usize,
        bytes: usize,
        linger: Duration,
        until: Option<Instant>,
    ) -> Taken {
        let mut state = self.lock();
        while !state.writable() {
            if state.finished || (state.closed && !state.delivering && state.waiting.is_empty()) {
                return Taken::End;
            }
            state.writer_idle = true;
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.fill.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Taken::Nothing,
                Some(left) => self.fill.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        state.writer_idle = false;
        if !linger.is_zero() {
            state = self
                .fill
                .wait_timeout_while(state, linger, |state| {
                    !state.closed && state.flushes == 0 && state.waiting.len() < self.limits.wake_at
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if !state.writable() {
            return Taken::Nothing;
        }
        let batch = state.take(records, bytes);
        Taken::Records(if batch.is_empty() { state.take_close() } else { batch })
    }

    /// These are in the spool, `below` all numbers up to the last that is as safe as was asked for.
    pub(crate) fn spooled(&self, batch: &[Queued], below: Option<u64>) {
        let tally = Tally::of(batch);
        let wake = {
            let mut state = self.lock();
            if state.finished {
                return;
            }
            state.in_flight -= batch.len();
            state.bytes -= batch.iter().map(|queued| queued.bytes).sum::<usize>();
            state.own -= (tally.all - tally.application) as usize;
            state.spooled.application += tally.application;
            state.spooled.all += tally.all;
            state.report.spool = SpoolState::Working;
            if let Some(below) = below {
                state.safe = state.safe.max(below);
                state.unsafe_for_long = false;
            } else if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
                state.doubt(first.sequence, last.sequence + 1);
            }
            state.shedding = false;
            state.closed || state.flushes > 0 || state.spooled.all >= self.limits.wake_at as u64
        };
        self.space.notify_all();
        self.safety.notify_all();
        if wake {
            self.work.notify_one();
        }
    }

    /// The spool fails, or is full: the delivery thread takes from memory.
    pub(crate) fn set_spool(&self, spool: SpoolState) {
        self.change(|state| {
            state.report.spool = spool;
            state.to_spool = false;
        });
        self.work.notify_one();
    }

    /// Tries the spool again after that. What it is said to be stays until something was written.
    pub(crate) fn try_spool(&self) {
        self.lock().to_spool = true;
    }

    /// Waits, but not longer than work goes on. False if it does not: all is closed and delivery is over.
    pub(crate) fn pause_writer(&self, pause: Duration) -> bool {
        let over = |state: &State| state.finished || (state.closed && !state.delivering);
        let (state, _) = self
            .fill
            .wait_timeout_while(self.lock(), pause, |state| !over(state))
            .unwrap_or_else(PoisonError::into_inner);
        !over(&state)
    }

    /// The spool's writer ended.
    pub(crate) fn writer_ended(&self) {
        let over = {
            let mut state = self.lock();
            state.writing = false;
            // If it died, the delivery thread goes on from memory.
            state.to_spool = false;
            if !state.closed {
                state.report.spool = SpoolState::Failing;
            }
            !state.delivering
        };
        self.work.notify_one();
        self.safety.notify_all();
        if over {
            self.finish();
        }
    }

    // --- the end ---

    /// All ended: whatever was neither acknowledged nor spooled is lost, nobody needs to wait any longer.
    /// What a thread still reports after this changes nothing.
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
        self.notify();
    }

    fn release(&self, batch: &[Queued], count: impl FnOnce(&mut State, Tally)) {
        let tally = Tally::of(batch);
        self.change(|state| {
            state.in_flight -= batch.len();
            state.bytes -= batch.iter().map(|queued| queued.bytes).sum::<usize>();
            state.own -= (tally.all - tally.application) as usize;
            if let Some(last) = batch.last() {
                state.safe = state.safe.max(last.sequence + 1);
                state.unsafe_for_long = false;
            }
            count(state, tally);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        if state.finished {
            return; // all is counted already
        }
        change(&mut state);
        drop(state);
        self.notify();
    }

    fn notify(&self) {
        self.space.notify_all();
        self.progress.notify_all();
        self.safety.notify_all();
        self.fill.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About what the record takes in memory and on the wire.
fn estimated_bytes(span: &SpanData) -> usize {
    const FIXED: usize = 512;
    const EACH: usize = 64;
    let of = |attributes: &[KeyValue]| attributes.iter().map(|attribute| value_bytes(&attribute.value)).sum::<usize>();
    let events = span.events.iter().map(|event| EACH + event.name.len() + of(&event.attributes));
    let links = span.links.iter().map(|link| EACH + of(&link.attributes));
    let status = match &span.status {
        Status::Error { description } => description.len(),
        Status::Unset | Status::Ok => 0,
    };
    FIXED + span.name.len() + status + of(&span.attributes) + events.sum::<usize>() + links.sum::<usize>()
}

pub(crate) fn value_bytes(value: &Value) -> usize {
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
