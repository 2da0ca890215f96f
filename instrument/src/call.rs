//! One call of an annotated function: from entry, through capture, to the record.
//!
//! Not part of the public interface: the macros' output calls it. Invariants:
//! - Without a recorder a `Call` is empty and captures nothing.
//! - Each opened call makes exactly one record, however it ends: by return, by panic, or because its
//!   future was dropped.
//! - The context is attached while the body runs on this thread, never across an await.
//! - Attributes are collected here without a lock and handed over once, at the end.

use crate::capture::{self, Hashed, Integer, Number, Scalar, Text, TextList};
use crate::event::{Added, Current, EventSpan, Extra, Kind, OpenEvent, Outcome, decision_around};
use crate::late::Late;
use crate::recorder::{self, Recorder};
use crate::{clock, ids, propagation};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use serde::Serialize;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Instant, SystemTime};

/// Attributes that every record gets beside the captured ones, the producer's included.
const OWN_ATTRIBUTES: usize = 9;

/// One call of an annotated function.
#[derive(Debug)]
pub struct Call(Option<Active>);

#[derive(Debug)]
struct Active {
    recorder: Arc<Recorder>,
    kind: Kind,
    name: Cow<'static, str>,
    start: SystemTime,
    started: Instant,
    attributes: Vec<KeyValue>,
    correlation: Option<Arc<str>>,
    steps: Option<String>,
    failure: Option<Failure>,
    /// From when the body first runs.
    running: Option<Running>,
    /// The body is asynchronous and has begun but not ended.
    pending: bool,
}

#[derive(Debug)]
struct Running {
    event: Arc<OpenEvent>,
    parent_event: Option<Arc<str>>,
    parent_span: SpanId,
    parent_is_remote: bool,
    context: Context,
}

#[derive(Debug)]
struct Failure {
    error_type: Cow<'static, str>,
    message: String,
    outcome: Outcome,
    reason: Option<&'static str>,
}

impl Call {
    /// Begins a call; `room` is how many values its macro captures.
    #[inline]
    pub fn open(kind: Kind, function: &'static str, room: usize) -> Self {
        match recorder::current() {
            None => Self(None),
            Some(recorder) => Self(Some(Active {
                recorder,
                kind,
                name: Cow::Borrowed(function),
                start: clock::now(),
                started: Instant::now(),
                attributes: Vec::with_capacity(room + OWN_ATTRIBUTES),
                correlation: None,
                steps: None,
                failure: None,
                running: None,
                pending: false,
            })),
        }
    }

    /// Whether values are to be captured at all.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Runs a synchronous body within the call's context.
    #[inline]
    pub fn run<R>(&mut self, body: impl FnOnce() -> R) -> R {
        let Some(active) = &mut self.0 else {
            return body();
        };
        // The body runs once, so the context moves in and is dropped with the guard.
        let attached = std::mem::take(&mut active.running().context).attach();
        let outcome = catch_unwind(AssertUnwindSafe(body));
        drop(attached);
        outcome.unwrap_or_else(|payload| {
            self.panicked(&*payload);
            resume_unwind(payload)
        })
    }

    /// Polls an asynchronous body within the call's context.
    pub fn poll<F: Future>(&mut self, body: Pin<&mut F>, task: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let Some(active) = &mut self.0 else {
            return body.poll(task);
        };
        let attached = active.running().context.clone().attach();
        let outcome = catch_unwind(AssertUnwindSafe(|| body.poll(task)));
        active.pending = matches!(outcome, Ok(Poll::Pending));
        drop(attached);
        outcome.unwrap_or_else(|payload| {
            self.panicked(&*payload);
            resume_unwind(payload)
        })
    }

    /// The function returned `Err`.
    pub fn failed(&mut self, error_type: &'static str, message: Option<String>) {
        if let Some(active) = &mut self.0 {
            active.failure = Some(Failure {
                error_type: Cow::Borrowed(error_type),
                message: message.unwrap_or_default(),
                outcome: Outcome::Failure,
                reason: None,
            });
        }
    }

    /// The function returned; all values are captured.
    #[inline]
    pub fn finish(mut self) {
        if let Some(active) = self.0.take() {
            active.record();
        }
    }

    fn panicked(&mut self, payload: &(dyn Any + Send)) {
        if let Some(mut active) = self.0.take() {
            active.failure = Some(panic_failure(panic_message(payload)));
            active.record();
        }
    }

    #[inline]
    fn push(&mut self, attribute: &'static str, value: Value) {
        if let Some(active) = &mut self.0 {
            active.attributes.push(KeyValue::new(attribute, value));
        }
    }

    // --- captures, one per shape of field ---

    /// Text that lives as long as the program.
    #[inline]
    pub fn literal(&mut self, attribute: &'static str, text: &'static str) {
        self.push(attribute, Value::from(text));
    }

    /// Text.
    #[inline]
    pub fn text<T: Text + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(text) = value.text() {
            self.push(attribute, Value::String(text));
        }
    }

    /// A whole number.
    #[inline]
    pub fn integer<T: Integer + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(number) = value.integer() {
            self.push(attribute, number);
        }
    }

    /// A number.
    #[inline]
    pub fn number<T: Number + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(number) = value.number() {
            self.push(attribute, Value::F64(number));
        }
    }

    /// A scalar or a list of scalars.
    #[inline]
    pub fn scalar<T: Scalar + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(value) = value.scalar() {
            self.push(attribute, value);
        }
    }

    /// A list of texts.
    pub fn text_list<T: TextList + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(list) = value.text_list() {
            self.push(attribute, Value::Array(Array::String(list)));
        }
    }

    /// The SHA-256 of bytes.
    pub fn hash<T: Hashed + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(hash) = value.sha256() {
            self.push(attribute, Value::from(hash));
        }
    }

    /// JSON text of anything that serialises; nothing if it is `null`.
    pub fn json<T: Serialize + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if self.is_on()
            && let Some(text) = capture::json_text(value)
        {
            self.push(attribute, Value::from(text));
        }
    }

    /// The value's `Debug` text, as a JSON string.
    pub fn json_debug<T: Debug + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        let text = capture::json_string(&format!("{value:?}"));
        self.push(attribute, Value::from(text));
    }

    /// The value's `Display` text.
    pub fn display<T: Display + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        self.push(attribute, Value::from(value.to_string()));
    }

    /// The value's `Debug` text.
    pub fn debug<T: Debug + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        self.push(attribute, Value::from(format!("{value:?}")));
    }

    /// The correlation id of this call and of all below it.
    pub fn correlation<T: Text + ?Sized>(&mut self, value: &T) {
        if let (Some(active), Some(text)) = (&mut self.0, value.text()) {
            active.correlation = Some(Arc::from(text.as_str()));
        }
    }

    /// The span's name, in place of the function's.
    pub fn span_name<T: Text + ?Sized>(&mut self, value: &T) {
        if let (Some(active), Some(text)) = (&mut self.0, value.text()) {
            active.name = Cow::Owned(text.into());
        }
    }

    /// Decision steps that come before those of `step!`.
    pub fn steps<T: Serialize + ?Sized>(&mut self, value: &T) {
        if let Some(active) = &mut self.0 {
            active.steps = capture::json_text(value);
        }
    }
}

impl Drop for Call {
    /// Not finished: the future was dropped, or an expression of the macro's arguments panicked
    /// (the body's own panics are caught where it runs).
    fn drop(&mut self) {
        let Some(mut active) = self.0.take() else {
            return;
        };
        active.failure = Some(if active.pending {
            Failure {
                error_type: Cow::Borrowed("cancelled"),
                message: "the future was dropped before it finished".to_owned(),
                outcome: Outcome::Cancelled,
                reason: Some("dropped"),
            }
        } else {
            panic_failure("a panic outside of the function's body".to_owned())
        });
        active.record();
    }
}

impl Active {
    /// What the body runs in; made when it is first asked for, as values captured at entry (the
    /// correlation id) are part of it.
    fn running(&mut self) -> &mut Running {
        let (kind, start, correlation) = (self.kind, self.start, &mut self.correlation);
        self.running.get_or_insert_with(|| Running::begin(kind, start, correlation.take()))
    }

    fn record(mut self) {
        let elapsed = self.started.elapsed();
        self.running();
        let Some(running) = self.running.take() else {
            return;
        };
        let extra = running.event.end();
        let status = self.own_attributes(&running, extra.as_deref());
        let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
        if let Some(extra) = extra {
            let extra = *extra;
            self.attributes.extend(extra.attributes);
            events.events = extra.events;
            links.links = extra.links;
            self.name = extra.name.unwrap_or(self.name);
        }
        let span = SpanData {
            span_context: running.event.span_context.clone(),
            parent_span_id: running.parent_span,
            parent_span_is_remote: running.parent_is_remote,
            span_kind: match self.kind {
                Kind::Generation => SpanKind::Client,
                Kind::AgentDecision | Kind::ToolCall => SpanKind::Internal,
            },
            name: self.name,
            start_time: self.start,
            end_time: self.start + elapsed,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events,
            links,
            status,
            instrumentation_scope: self.recorder.scope(),
        };
        self.recorder.record(span, Late::default());
    }

    /// Adds what every record carries; gives the span's status.
    fn own_attributes(&mut self, running: &Running, extra: Option<&Extra>) -> Status {
        let event = &running.event;
        if self.kind == Kind::ToolCall {
            self.push_text("gen_ai.operation.name", "execute_tool");
        }
        self.push_text("tachograph.kind", self.kind.as_str());
        self.push_text("tachograph.event.id", Arc::clone(&event.event_id));
        self.push_text("tachograph.correlation.id", Arc::clone(&event.correlation_id));
        if let Some(parent) = &running.parent_event {
            self.push_text("tachograph.parent.id", Arc::clone(parent));
        }
        if let Some(steps) = join_steps(self.steps.take(), extra) {
            self.push_text("tachograph.decision.steps", steps);
        }
        let failure = self.failure.take();
        let set = extra.and_then(|extra| extra.outcome.clone());
        if let Some((outcome, reason)) = set {
            self.forget("tachograph.outcome");
            self.push_text("tachograph.outcome", outcome.as_str());
            if !reason.is_empty() {
                self.forget("tachograph.outcome.reason");
                self.push_text("tachograph.outcome.reason", reason);
            }
        } else if let Some(failure) = &failure {
            self.forget("tachograph.outcome");
            self.push_text("tachograph.outcome", failure.outcome.as_str());
            if let Some(reason) = failure.reason {
                self.forget("tachograph.outcome.reason");
                self.push_text("tachograph.outcome.reason", reason);
            }
        } else if !self.has("tachograph.outcome") {
            self.push_text("tachograph.outcome", Outcome::Success.as_str());
        }
        match failure {
            Some(failure) => {
                self.push_text("error.type", failure.error_type);
                Status::error(failure.message)
            }
            None => extra.map_or(Status::Unset, |extra| extra.status.clone()),
        }
    }

    #[inline]
    fn push_text(&mut self, attribute: &'static str, text: impl Into<StringValue>) {
        self.attributes.push(KeyValue::new(attribute, Value::String(text.into())));
    }

    fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|known| known.key.as_str() == attribute)
    }

    /// What happened outweighs what was foreseen at entry.
    fn forget(&mut self, attribute: &str) {
        self.attributes.retain(|known| known.key.as_str() != attribute);
    }
}

impl Running {
    fn begin(kind: Kind, start: SystemTime, correlation: Option<Arc<str>>) -> Self {
        Context::map_current(|outer| Self::below(outer, kind, start, correlation))
    }

    fn below(outer: &Context, kind: Kind, start: SystemTime, correlation: Option<Arc<str>>) -> Self {
        let enclosing = outer.get::<Current>().map(|current| &current.0);
        let origin = match enclosing {
            Some(_) => propagation::Origin::default(),
            None => propagation::Origin::of(outer),
        };
        let outer_span = outer.span();
        let outer_span = outer_span.span_context();
        let (trace_id, parent_span, trace_state) = if outer_span.is_valid() {
            let state = outer_span.trace_state().clone();
            (outer_span.trace_id(), outer_span.span_id(), state)
        } else {
            (ids::trace_id(), SpanId::INVALID, TraceState::NONE)
        };
        let event = Arc::new(OpenEvent {
            kind,
            event_id: ids::event_id(start),
            correlation_id: correlation
                .or_else(|| enclosing.map(|event| Arc::clone(&event.correlation_id)))
                .or(origin.correlation_id)
                .unwrap_or_else(|| ids::event_id(start)),
            span_context: SpanContext::new(trace_id, ids::span_id(), TraceFlags::SAMPLED, false, trace_state),
            decision: enclosing.and_then(decision_around),
            added: Mutex::new(Added::Nothing),
        });
        Self {
            parent_event: enclosing.map(|event| Arc::clone(&event.event_id)).or(origin.parent_id),
            parent_span,
            parent_is_remote: outer_span.is_valid() && outer_span.is_remote(),
            context: outer.with_value(Current(Arc::clone(&event))).with_span(EventSpan(Arc::clone(&event))),
            event,
        }
    }
}

/// One JSON array of the steps that an argument named and those that `step!` added.
fn join_steps(named: Option<String>, extra: Option<&Extra>) -> Option<String> {
    let mut items = Vec::new();
    match named.as_deref().map(str::trim) {
        None | Some("[]") => {}
        Some(text) => match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(inner) => items.push(inner.to_owned()),
            None => items.push(text.to_owned()),
        },
    }
    if let Some(extra) = extra {
        items.extend(extra.steps.iter().cloned());
        if extra.steps_left_out > 0 {
            items.push(format!("{{\"step\":\"tachograph.steps_left_out\",\"result\":{}}}", extra.steps_left_out));
        }
    }
    (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
}

fn panic_failure(message: String) -> Failure {
    Failure { error_type: Cow::Borrowed("panic"), message, outcome: Outcome::Failure, reason: Some("panic") }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    }
}

/// Finds the text of an error of any type: `Display` if it has one, else `Debug`, else nothing.
/// Method lookup tries the traits in this order, one reference level each.
#[derive(Debug)]
pub struct ErrorText<'a, E: ?Sized>(pub &'a E);

/// Errors that can be displayed.
pub trait DisplayMessage {
    /// The error's text.
    fn message(&self) -> Option<String>;
}

/// Errors that can only be debugged.
pub trait DebugMessage {
    /// The error's text.
    fn message(&self) -> Option<String>;
}

/// All others.
pub trait NoMessage {
    /// Nothing.
    fn message(&self) -> Option<String>;
}

impl<E: Display + ?Sized> DisplayMessage for &&ErrorText<'_, E> {
    fn message(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

impl<E: Debug + ?Sized> DebugMessage for &ErrorText<'_, E> {
    fn message(&self) -> Option<String> {
        Some(format!("{:?}", self.0))
    }
}

impl<E: ?Sized> NoMessage for ErrorText<'_, E> {
    fn message(&self) -> Option<String> {
        None
    }
}
