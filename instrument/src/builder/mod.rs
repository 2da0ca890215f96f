//! Builders, for code that no attribute fits: streams, retries, batches, calls that begin here and end there.
//!
//! An [`Event`] collects what is known, is started, and is then an open event until it is finished or dropped. What it records
//! and how is the same as for annotated functions: both fill the same draft.

mod fields;
pub mod kind;
mod stream;

pub use stream::Recorded;

use crate::capture;
use crate::content::{Capture, Choice};
use crate::draft::{Draft, panic_message};
use crate::event::Outcome;
use crate::event_ref::{Causes, EventRef};
use crate::task::{InContext, with_context};
use crate::value::{Scalar, Text};
use kind::Kind;
use opentelemetry::{Context, KeyValue};
use serde::Serialize;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;

/// More failed attempts than this are counted, but not described.
const MOST_ATTEMPTS: u64 = 1_000;

/// A generation by hand: [`Event`].
pub type Generation<S = Unstarted> = Event<kind::Generation, S>;
/// An agent's decision by hand: [`Event`].
pub type Decision<S = Unstarted> = Event<kind::Decision, S>;
/// A tool call by hand: [`Event`].
pub type ToolCall<S = Unstarted> = Event<kind::ToolCall, S>;
/// A retrieval by hand: [`Event`].
pub type Retrieval<S = Unstarted> = Event<kind::Retrieval, S>;
/// An approval by hand: [`Event`].
pub type Approval<S = Unstarted> = Event<kind::Approval, S>;
/// An audit event by hand: [`Event`].
pub type AuditEvent<S = Unstarted> = Event<kind::AuditEvent, S>;

/// An event is being described.
#[derive(Debug)]
pub enum Unstarted {}

/// An event has begun and not ended.
#[derive(Debug)]
pub enum Open {}

/// A record by hand.
///
/// ```
/// # fn call(prompt: &str) -> Result<String, std::fmt::Error> { Ok(prompt.to_owned()) }
/// # fn example(prompt: &str) -> Result<String, std::fmt::Error> {
/// let mut generation = tachograph::Generation::new("complete").provider("acme").model("m-2").prompt(prompt).start();
/// let reply = generation.run(|| call(prompt));
/// if let Ok(text) = &reply {
///     generation.output(text).usage(tachograph::Usage::new(12, 34));
/// }
/// generation.finish_with(&reply);
/// reply
/// # }
/// # example("a red fox").unwrap();
/// ```
///
/// Each method that sets a value serves before the start and after it; a value that is set again replaces the one before. What is
/// not started is not recorded. What was started and is dropped without having been finished is recorded as `cancelled` (by a panic: as
/// a failure). Without a recorder all of it does nothing.
#[derive(Debug)]
#[must_use = "nothing is recorded before `start`, and what is dropped is recorded as cancelled"]
pub struct Event<K, S = Unstarted> {
    inner: Inner,
    kind: PhantomData<fn() -> (K, S)>,
}

#[derive(Debug, Default)]
struct Inner {
    draft: Option<Draft>,
    open: bool,
    /// To drop it is to finish it.
    complete: bool,
    /// Output that came in pieces.
    output: String,
    chunks: u64,
    attempts: u64,
}

impl<K: Kind> Event<K> {
    /// An event of this name (the span's), not started yet.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let draft = Draft::begin(K::KIND, name.into(), K::USUAL_ATTRIBUTES, Choice::FULL);
        let inner = Inner { draft, open: false, complete: false, output: String::new(), chunks: 0, attempts: 0 };
        Self { inner, kind: PhantomData }
    }

    /// The correlation id of this event and of all below it.
    pub fn correlation(&mut self, id: impl Text) -> &mut Self {
        if let (Some(draft), Some(id)) = (&mut self.inner.draft, id.text()) {
            draft.set_correlation(&id);
        }
        self
    }

    /// The event belongs to this context, and not to the one that is current.
    pub fn within(&mut self, context: Context) -> &mut Self {
        if let Some(draft) = &mut self.inner.draft {
            draft.set_outer(context);
        }
        self
    }

    /// Begins it. The builder is empty afterwards.
    pub fn start(&mut self) -> Event<K, Open> {
        let mut inner = std::mem::take(&mut self.inner);
        if let Some(draft) = &mut inner.draft {
            inner.open = true;
            draft.restart();
            draft.context();
        }
        Event { inner, kind: PhantomData }
    }

    /// Records it as something that took no time.
    pub fn record(&mut self) -> Option<EventRef> {
        let event = self.start();
        let reference = event.event();
        event.finish();
        reference
    }
}

/// Values of every event.
impl<K, S> Event<K, S> {
    /// How its content is captured; the process may be stricter.
    pub fn capture(&mut self, capture: Capture) -> &mut Self {
        if let Some(draft) = &mut self.inner.draft {
            draft.set_capture(capture);
        }
        self
    }

    /// The events that caused it.
    pub fn causes(&mut self, causes: impl Causes) -> &mut Self {
        if let Some(draft) = &mut self.inner.draft {
            causes.each(&mut |cause| draft.add_cause(cause));
        }
        self
    }

    /// How it ends, if not as `finish`, `fail` and a drop say.
    pub fn outcome(&mut self, outcome: Outcome, reason: impl Display) -> &mut Self {
        if let Some(draft) = &mut self.inner.draft {
            draft.set_outcome(outcome, reason.to_string());
        }
        self
    }

    /// An attribute that has no method: docs/attributes.md.
    pub fn attribute(&mut self, name: &'static str, value: impl Scalar) -> &mut Self {
        if let Some(value) = value.scalar() {
            self.set(name, value);
        }
        self
    }

    #[inline]
    fn set(&mut self, attribute: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(draft) = &mut self.inner.draft {
            draft.replace(attribute, value);
        }
    }

    fn set_json(&mut self, attribute: &'static str, value: impl Serialize) {
        if self.inner.draft.is_some()
            && let Some(text) = capture::json_text(&value)
        {
            self.set(attribute, text);
        }
    }
}

impl<K> Event<K, Open> {
    /// Goes on with what an annotated function began.
    pub(crate) fn opened(draft: Option<Draft>) -> Self {
        let inner = Inner { draft, open: true, complete: false, output: String::new(), chunks: 0, attempts: 0 };
        Self { inner, kind: PhantomData }
    }

    /// A reference to it, for events that it causes. None if nothing is recorded.
    pub fn event(&self) -> Option<EventRef> {
        self.inner.draft.as_ref().and_then(Draft::event)
    }

    /// The context in which what belongs to it runs; the current one if nothing is recorded.
    pub fn to_context(&self) -> Context {
        self.inner.draft.as_ref().and_then(Draft::opened).cloned().unwrap_or_else(Context::current)
    }

    /// Runs a closure that belongs to it.
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        match self.inner.draft.as_ref().and_then(Draft::opened) {
            Some(context) => with_context(context.clone(), body),
            None => body(),
        }
    }

    /// Runs a future that belongs to it.
    ///
    /// ```
    /// # async fn call(prompt: &str) -> Result<String, std::fmt::Error> { Ok(prompt.to_owned()) }
    /// # async fn example() -> Result<String, std::fmt::Error> {
    /// let mut generation = tachograph::Generation::new("complete").model("m-2").start();
    /// let reply = generation.run_future(call("a red fox")).await;
    /// generation.finish_with(&reply);
    /// # reply }
    /// ```
    pub fn run_future<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F, K> {
        future.in_context(self.to_context())
    }

    /// It ended as it should.
    pub fn finish(mut self) {
        self.inner.end();
    }

    /// It ended with an error.
    pub fn fail<E: Display + ?Sized>(mut self, error: &E) {
        self.failed(error);
        self.inner.end();
    }

    /// It ended as the result says.
    pub fn finish_with<T, E: Display>(self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.finish(),
            Err(error) => self.fail(error),
        }
    }

    /// It will have failed with this error, unless a later one comes.
    pub fn failed<E: Display + ?Sized>(&mut self, error: &E) -> &mut Self {
        if let Some(draft) = &mut self.inner.draft {
            draft.fail(std::any::type_name::<E>(), error.to_string());
        }
        self
    }

    /// It ended with a panic.
    fn panicked(mut self, payload: &(dyn Any + Send)) {
        if let Some(draft) = &mut self.inner.draft {
            draft.panicked(panic_message(payload));
        }
        self.inner.end();
    }

    // --- what comes in pieces ---

    /// All of it is there: dropped from now on, it is finished and not `cancelled`.
    ///
    /// For streams whose readers stop at the last item that they want, and never see that the stream has ended:
    ///
    /// ```
    /// # use futures_core::Stream;
    /// # struct Chunk { text: String, is_last: bool }
    /// fn complete(chunks: impl Stream<Item = Chunk>) -> impl Stream<Item = Chunk> {
    ///     let generation = tachograph::Generation::new("complete").model("m-2").start();
    ///     generation.stream_each(chunks, |generation, chunk| {
    ///         generation.append_output(&chunk.text);
    ///         if chunk.is_last {
    ///             generation.complete();
    ///         }
    ///     })
    /// }
    /// ```
    pub fn complete(&mut self) -> &mut Self {
        self.inner.complete = true;
        self
    }

    /// The first piece of the output is there: how long that took is recorded once.
    pub fn first_token(&mut self) -> &mut Self {
        if let Some(draft) = &mut self.inner.draft {
            const ATTRIBUTE: &str = "gen_ai.response.time_to_first_chunk";
            if !draft.has(ATTRIBUTE) {
                let seconds = draft.elapsed().as_secs_f64();
                draft.push(ATTRIBUTE, seconds);
            }
        }
        self
    }

    /// So many pieces more are there.
    pub fn chunk(&mut self, count: u64) -> &mut Self {
        if count > 0 {
            self.first_token();
            self.inner.chunks += count;
        }
        self
    }

    /// Adds to the output what came as one piece.
    pub fn append_output(&mut self, text: &str) -> &mut Self {
        if self.inner.draft.is_some() {
            self.inner.output.push_str(text);
        }
        self
    }

    // --- what is tried again ---

    /// Another attempt begins; gives its number, from 1. The record has the number of attempts.
    ///
    /// ```
    /// # fn call() -> Result<String, std::fmt::Error> { Ok(String::new()) }
    /// let mut generation = tachograph::Generation::new("complete").model("m-2").start();
    /// let reply = loop {
    ///     let attempt = generation.attempt();
    ///     match call() {
    ///         Err(error) if attempt < 3 => generation.attempt_failed(&error),
    ///         reply => break reply,
    ///     };
    /// };
    /// generation.finish_with(&reply);
    /// ```
    pub fn attempt(&mut self) -> u64 {
        self.inner.attempts += 1;
        self.inner.attempts
    }

    /// The attempt that began last failed; the event goes on. A span event `attempt.failed` says when, and with what error.
    pub fn attempt_failed<E: Display + ?Sized>(&mut self, error: &E) -> &mut Self {
        let number = self.inner.attempts;
        if let Some(draft) = &mut self.inner.draft
            && number <= MOST_ATTEMPTS
        {
            draft.add_event(
                "attempt.failed",
                vec![
                    KeyValue::new("tachograph.attempt", i64::try_from(number).unwrap_or(i64::MAX)),
                    KeyValue::new("error.type", std::any::type_name::<E>()),
                    KeyValue::new("tachograph.attempt.error", error.to_string()),
                ],
            );
        }
        self
    }
}

impl<K: Kind> Event<K, Open> {
    /// One of several that belong together, not started yet: an event of the same kind below this one, of the same provider and model.
    ///
    /// ```
    /// let batch = tachograph::Generation::new("describe_all").model("m-2").start();
    /// for image in ["a.png", "b.png"] {
    ///     let mut item = batch.item("describe").prompt(image).start();
    ///     item.output("a fox");
    ///     item.finish();
    /// }
    /// batch.finish();
    /// ```
    pub fn item(&self, name: impl Into<Cow<'static, str>>) -> Event<K> {
        const SHARED: [&str; 4] =
            ["gen_ai.provider.name", "gen_ai.request.model", "tachograph.model.version", "gen_ai.operation.name"];
        let mut item = Event::new(name);
        if let (Some(item), Some(batch)) = (&mut item.inner.draft, &self.inner.draft) {
            item.set_outer(self.to_context());
            SHARED.into_iter().for_each(|attribute| item.copy(batch, attribute));
        }
        item
    }
}

impl Inner {
    fn end(&mut self) {
        let Some(mut draft) = self.draft.take() else {
            return;
        };
        if !self.output.is_empty() {
            draft.replace("tachograph.output", std::mem::take(&mut self.output));
        }
        for (attribute, count) in [("tachograph.stream.chunks", self.chunks), ("tachograph.attempts", self.attempts)] {
            if count > 0 {
                draft.replace(attribute, i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        draft.record();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(draft) = self.draft.as_mut().filter(|_| self.open) else {
            return;
        };
        if self.complete {
            // Whatever becomes of the reader, this has ended.
        } else if std::thread::panicking() {
            draft.panicked("a panic while the event was open".to_owned());
        } else if !draft.has_failed() {
            draft.cancel("the event was dropped before it was finished");
        }
        self.end();
    }
}
