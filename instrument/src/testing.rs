//! For tests of an application: records kept in memory, with ids that count up and, if wanted, a clock that the test sets.
//!
//! ```
//! use tachograph::testing::Recorder;
//!
//! #[tachograph::agent_decision(agent = "underwriter", decision = "LOAN", final_decision = *ret)]
//! fn decide(income: u32) -> &'static str {
//!     tachograph::step!("INCOME_CHECK", result = income >= 2_000);
//!     explain("income is too low");
//!     "refused"
//! }
//!
//! #[tachograph::generation(model = "m-1", prompt = reason)]
//! fn explain(reason: &str) {}
//!
//! // #[test]
//! fn a_loan_is_refused_with_an_explanation() {
//!     let recorder = Recorder::new();
//!     decide(1_200);
//!
//!     let decision = recorder.one("decide");
//!     decision.assert_attribute("tachograph.decision.final", "refused");
//!     assert_eq!(decision.outcome(), "success");
//!     assert_eq!(decision.steps()[0]["result"], false);
//!     recorder.assert_chain(&["decide", "explain"]);
//! }
//! # a_loan_is_refused_with_an_explanation();
//! ```
//!
//! Tests run in parallel: a [`Recorder::new`] has the records of its own thread and of what is started there with this crate's helpers
//! (`tachograph::spawn`, `tachograph::thread`, `in_current_context`, …), as it travels with the context. What a test starts without
//! them, in the tasks of a server for example, needs [`Recorder::of_process`], of which there is one at a time.
//!
//! That nothing leaves which should not is tested with [`Recorder::with_content`], which captures and redacts as the application does.

use crate::content::Policy;
use crate::init::Init;
use crate::late::Late;
use crate::recorder;
use opentelemetry::{ContextGuard, Value};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Recorders of the whole process take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Keeps records in memory while it lives. See [the module](self).
#[derive(Debug)]
#[must_use = "nothing is recorded once it is dropped"]
pub struct Recorder {
    memory: Arc<Memory>,
    reach: Reach,
}

#[derive(Debug)]
enum Reach {
    /// Attached to this thread.
    Context { _attached: ContextGuard },
    /// The recorder of the process.
    Process { _turn: MutexGuard<'static, ()> },
}

impl Recorder {
    /// Records what this thread does, and what is started here together with its context.
    ///
    /// In an asynchronous test it is to be made in the test's own body (as with `#[tokio::test]`), and stays there: it can't be sent
    /// to another thread.
    #[allow(clippy::new_without_default, reason = "a value with an effect on the thread is no default")]
    pub fn new() -> Self {
        Self::in_context(None, Policy::default())
    }

    /// As [`Recorder::new`], but content is captured, cut and redacted as this says, and as `TACHOGRAPH_CAPTURE` does: with the settings
    /// that the application starts with, a test shows that nothing leaves which should not. All else in them has no effect here. The
    /// other recorders keep all content, whatever the environment says.
    ///
    /// ```
    /// use tachograph::testing::Recorder;
    /// use tachograph::{Init, Redaction};
    ///
    /// fn settings() -> Init {
    ///     Init::new("clinic").redact(|content| Redaction::Replace(content.text().replace("anna", "***")))
    /// }
    ///
    /// #[tachograph::generation(model = "m", prompt)]
    /// fn diagnose(prompt: &str) {}
    ///
    /// let recorder = Recorder::with_content(settings()); // and `settings().init()` in `main`
    /// diagnose("anna coughs");
    /// recorder.one("diagnose").assert_attribute("tachograph.prompt", "*** coughs");
    /// ```
    ///
    /// # Panics
    ///
    /// If `TACHOGRAPH_CAPTURE` is set to something else than `full`, `hashed` or `off`.
    #[track_caller]
    pub fn with_content(init: Init) -> Self {
        Self::in_context(None, policy(init))
    }

    /// As [`Recorder::new`], and time is that of the clock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tachograph::testing::{Clock, Recorder};
    ///
    /// #[tachograph::generation(model = "m")]
    /// fn slow(clock: &Clock) {
    ///     clock.advance(Duration::from_millis(250));
    /// }
    ///
    /// let clock = Clock::default();
    /// let recorder = Recorder::with_clock(&clock);
    /// slow(&clock);
    /// assert_eq!(recorder.one("slow").duration(), Duration::from_millis(250));
    /// assert_eq!(recorder.one("slow").event_id(), "019b76da-a800-7000-8000-000000000001"); // the same in each run
    /// ```
    pub fn with_clock(clock: &Clock) -> Self {
        Self::in_context(Some(clock.clone()), Policy::default())
    }

    /// Records what the whole process does, on whichever thread. Waits for its turn if another one lives.
    ///
    /// ```
    /// # #[tachograph::generation(model = "m")]
    /// # fn in_a_worker() {}
    /// let recorder = tachograph::testing::Recorder::of_process();
    /// let worker = std::thread::spawn(in_a_worker); // or a server that brings its own tasks
    /// worker.join().expect("no panic");
    /// recorder.one("in_a_worker");
    /// ```
    ///
    /// # Panics
    ///
    /// If recording was started by [`init`](crate::init()): a test that records to memory does not call it.
    pub fn of_process() -> Self {
        Self::everywhere(None, Policy::default())
    }

    /// As [`Recorder::of_process`], with content as in [`Recorder::with_content`].
    ///
    /// # Panics
    ///
    /// As both.
    #[track_caller]
    pub fn of_process_with_content(init: Init) -> Self {
        Self::everywhere(None, policy(init))
    }

    /// As [`Recorder::of_process`], and time is that of the clock.
    ///
    /// # Panics
    ///
    /// As [`Recorder::of_process`].
    pub fn of_process_with_clock(clock: &Clock) -> Self {
        Self::everywhere(Some(clock.clone()), Policy::default())
    }

    fn in_context(clock: Option<Clock>, content: Policy) -> Self {
        let memory = Arc::new(Memory::new(clock));
        let context = recorder::in_context(Arc::new(recorder::Recorder::in_memory(Arc::clone(&memory), content)));
        Self { memory, reach: Reach::Context { _attached: context.attach() } }
    }

    fn everywhere(clock: Option<Clock>, content: Policy) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = Arc::new(Memory::new(clock));
        let installed = recorder::install(Arc::new(recorder::Recorder::in_memory(Arc::clone(&memory), content)));
        assert!(
            installed,
            "this process records to a collector already: a test that uses `Recorder::of_process` does not call `tachograph::init`"
        );
        Self { memory, reach: Reach::Process { _turn: turn } }
    }

    /// All records so far, in the order in which they ended.
    pub fn records(&self) -> Vec<Record> {
        self.memory.lock().records.clone()
    }

    /// Forgets the records so far.
    pub fn clear(&self) {
        self.memory.lock().records.clear();
    }

    /// Those of this name, which is the function's unless an argument says another.
    pub fn named(&self, name: &str) -> Vec<Record> {
        self.records().into_iter().filter(|record| record.name() == name).collect()
    }

    /// The one of this name.
    ///
    /// # Panics
    ///
    /// If there is none or more than one.
    #[track_caller]
    pub fn one(&self, name: &str) -> Record {
        let mut found = self.named(name);
        match found.len() {
            1 => found.remove(0),
            count => panic!("expected one record `{name}`, found {count}\n{self}"),
        }
    }

    /// The record of the event that caused this one.
    ///
    /// # Panics
    ///
    /// If there is none, or it has not ended yet.
    #[track_caller]
    pub fn parent_of(&self, record: &Record) -> Record {
        let name = record.name();
        let Some(parent) = record.parent_id() else {
            panic!("`{name}` has no parent\n{self}");
        };
        let found = self.records().into_iter().find(|other| other.event_id() == parent);
        found.unwrap_or_else(|| {
            panic!("the parent of `{name}`, {parent}, is not recorded here, or has not ended yet\n{self}")
        })
    }

    /// The records of what this one caused, in the order in which they ended.
    pub fn children_of(&self, record: &Record) -> Vec<Record> {
        self.records().into_iter().filter(|other| other.parent_id() == Some(record.event_id())).collect()
    }

    /// Asserts that there is one record of each name, and that each caused the next, with one correlation id.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn assert_chain(&self, names: &[&str]) {
        for pair in names.windows(2) {
            let (cause, effect) = (self.one(pair[0]), self.one(pair[1]));
            assert!(
                effect.parent_id() == Some(cause.event_id()),
                "`{}` did not cause `{}`\n{self}",
                cause.name(),
                effect.name()
            );
            assert!(
                effect.correlation_id() == cause.correlation_id(),
                "`{}` and `{}` have two correlation ids: {} and {}\n{self}",
                cause.name(),
                effect.name(),
                cause.correlation_id(),
                effect.correlation_id()
            );
        }
    }

    /// Asserts that nothing was recorded.
    ///
    /// # Panics
    ///
    /// If anything was.
    #[track_caller]
    pub fn assert_none(&self) {
        assert!(self.memory.lock().records.is_empty(), "expected no record\n{self}");
    }

    /// Waits until there are so many records, for those of other threads.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # #[tachograph::generation(model = "m")]
    /// # fn paint() {}
    /// let recorder = tachograph::testing::Recorder::new();
    /// tachograph::thread::spawn(paint);
    /// recorder.wait_for(1, Duration::from_secs(10));
    /// recorder.one("paint");
    /// ```
    ///
    /// # Panics
    ///
    /// If there are not within the limit.
    #[track_caller]
    pub fn wait_for(&self, count: usize, limit: Duration) {
        let began = Instant::now();
        let mut kept = self.memory.lock();
        while kept.records.len() < count {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                drop(kept);
                panic!("expected {count} records within {limit:?}\n{self}");
            }
            kept = self.memory.ended.wait_timeout(kept, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What had no effect, as `init` would have warned: a step outside of any decision, for example.
    pub fn warnings(&self) -> Vec<String> {
        self.memory.lock().warnings.clone()
    }
}

#[track_caller]
fn policy(init: Init) -> Policy {
    init.into_content().unwrap_or_else(|error| panic!("{error}"))
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Reach::Process { .. } = self.reach {
            recorder::remove();
        }
    }
}

/// What was recorded, as a tree.
impl fmt::Display for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut records = self.records();
        if records.is_empty() {
            return f.write_str(
                "nothing was recorded here; is the work done by a thread or task that does not take the context along?",
            );
        }
        // Those that began first, first; clocks of tests may stand still, but ids count up.
        records.sort_by(|a, b| a.event_id().cmp(b.event_id()));
        f.write_str("recorded:")?;
        let ids: Vec<_> = records.iter().map(Record::event_id).collect();
        let is_root = |record: &&Record| record.parent_id().is_none_or(|parent| !ids.contains(&parent));
        for root in records.iter().filter(is_root) {
            write_tree(f, &records, root, 1)?;
        }
        Ok(())
    }
}

fn write_tree(f: &mut fmt::Formatter<'_>, records: &[Record], record: &Record, depth: usize) -> fmt::Result {
    write!(f, "\n{:indent$}{record}", "", indent = 2 * depth)?;
    let children = records.iter().filter(|other| other.parent_id() == Some(record.event_id()));
    for child in children {
        write_tree(f, records, child, depth + 1)?;
    }
    Ok(())
}

/// What was recorded of one call.
#[derive(Clone, Debug)]
pub struct Record(SpanData);

impl Record {
    /// The function's name, unless an argument said another.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// `generation`, `agent_decision`, `tool_call` or another kind.
    pub fn kind(&self) -> &str {
        self.required("tachograph.kind")
    }

    /// `success`, `failure`, `pending`, `blocked` or `cancelled`.
    pub fn outcome(&self) -> &str {
        self.required("tachograph.outcome")
    }

    /// Why it ended so.
    pub fn outcome_reason(&self) -> Option<Cow<'_, str>> {
        self.text("tachograph.outcome.reason")
    }

    /// The text of the error or the panic.
    pub fn error(&self) -> Option<&str> {
        match &self.0.status {
            opentelemetry::trace::Status::Error { description } => Some(description),
            _ => None,
        }
    }

    /// The value of an attribute, named as in `docs/attributes.md`.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.0.attributes.iter().find(|known| known.key.as_str() == name).map(|known| &known.value)
    }

    /// An attribute as text, whatever its type.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.attribute(name).map(Value::as_str)
    }

    /// An attribute that holds JSON.
    ///
    /// # Panics
    ///
    /// If there is no such attribute or it is no JSON.
    #[track_caller]
    pub fn json(&self, name: &str) -> serde_json::Value {
        let Some(text) = self.text(name) else {
            panic!("`{}` has no attribute `{name}`\n{}", self.name(), self.attributes());
        };
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("`{name}` of `{}` is no JSON: {error}: {text}", self.name()))
    }

    /// The steps of a decision, in order; none if it has none.
    pub fn steps(&self) -> Vec<serde_json::Value> {
        let text = self.text("tachograph.decision.steps");
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// The event's id.
    pub fn event_id(&self) -> &str {
        self.required("tachograph.event.id")
    }

    /// The id of the event that caused it.
    pub fn parent_id(&self) -> Option<&str> {
        match self.attribute("tachograph.parent.id") {
            Some(Value::String(id)) => Some(id.as_str()),
            _ => None,
        }
    }

    /// The correlation id.
    pub fn correlation_id(&self) -> &str {
        self.required("tachograph.correlation.id")
    }

    /// When it began.
    pub fn started_at(&self) -> SystemTime {
        self.0.start_time
    }

    /// How long it took.
    pub fn duration(&self) -> Duration {
        self.0.end_time.duration_since(self.0.start_time).unwrap_or_default()
    }

    /// All of it, as it would be sent.
    pub fn span(&self) -> &SpanData {
        &self.0
    }

    /// Asserts the value of an attribute.
    ///
    /// # Panics
    ///
    /// If there is another or none.
    #[track_caller]
    pub fn assert_attribute(&self, name: &str, expected: impl Into<Value>) -> &Self {
        let expected = expected.into();
        let found = self.attribute(name);
        assert!(
            found == Some(&expected),
            "attribute `{name}` of `{}`: expected {expected:?}, found {found:?}\n{}",
            self.name(),
            self.attributes()
        );
        self
    }

    /// Every record has it.
    fn required(&self, name: &str) -> &str {
        match self.attribute(name) {
            Some(Value::String(text)) => text.as_str(),
            _ => "",
        }
    }

    fn attributes(&self) -> String {
        let mut text = format!("attributes of `{}`:", self.name());
        for attribute in &self.0.attributes {
            // Writing to a string can't fail.
            let _ = write!(text, "\n  {} = {:?}", attribute.key, attribute.value);
        }
        text
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.name(), self.kind(), self.outcome())?;
        if let Some(error) = self.error() {
            write!(f, ": {error}")?;
        }
        f.write_str(")")
    }
}

/// A clock that stands still until it is told to go on. Clones are the same clock.
///
/// ```
/// # use std::time::{Duration, UNIX_EPOCH};
/// # use tachograph::testing::Clock;
/// let clock = Clock::at(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(1_800_000_060));
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Arc<Mutex<Time>>);

#[derive(Clone, Copy, Debug)]
struct Time {
    wall: SystemTime,
    /// All that it advanced by.
    passed: Duration,
}

impl Clock {
    /// A clock that shows this time.
    pub fn at(time: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(Time { wall: time, passed: Duration::ZERO })))
    }

    /// What it shows.
    pub fn now(&self) -> SystemTime {
        self.time().wall
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time();
        time.wall += by;
        time.passed += by;
    }

    /// Puts the clock forward or back, without any time passing: what takes place meanwhile takes no longer for it.
    pub fn set(&self, to: SystemTime) {
        self.time().wall = to;
    }

    pub(crate) fn passed(&self) -> Duration {
        self.time().passed
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Clock {
    /// The first moment of 2026, in UTC.
    fn default() -> Self {
        Self::at(UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }
}

/// Where records of a test go, and where its ids and its time come from.
#[derive(Debug)]
pub(crate) struct Memory {
    kept: Mutex<Kept>,
    /// A record was added.
    ended: Condvar,
    events: AtomicU64,
    traces: AtomicU64,
    spans: AtomicU64,
    clock: Option<Clock>,
}

#[derive(Debug, Default)]
struct Kept {
    records: Vec<Record>,
    warnings: Vec<String>,
}

impl Memory {
    fn new(clock: Option<Clock>) -> Self {
        Self {
            kept: Mutex::default(),
            ended: Condvar::new(),
            events: AtomicU64::new(0),
            traces: AtomicU64::new(0),
            spans: AtomicU64::new(0),
            clock,
        }
    }

    pub(crate) fn record(&self, mut span: SpanData, late: Late) {
        late.complete(&mut span);
        self.lock().records.push(Record(span));
        self.ended.notify_all();
    }

    pub(crate) fn warn(&self, line: String) {
        self.lock().warnings.push(line);
    }

    pub(crate) fn clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    pub(crate) fn next_event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn next_trace(&self) -> u64 {
        self.traces.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn next_span(&self) -> u64 {
        self.spans.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
