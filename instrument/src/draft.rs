//! A record while it is being made: the one core of annotated calls and of the builders.
//!
//! Invariants:
//! - Each draft that is recorded makes exactly one record, and none if it is not.
//! - Attributes are collected here without a lock and handed over once, at the end.
//! - The event is opened when it is first asked for, as what is known before (the correlation id) is part of it.

use crate::clock::Stopwatch;
use crate::content::{self, Capture, Choice};
use crate::event::{self, Beyond, Current, EventSpan, Kind, OpenEvent, Outcome};
use crate::event_ref::{self, EventRef};
use crate::ids::{Correlation, EventId};
use crate::late::{Identity, Late};
use crate::recorder;
use crate::step::LeftOut;
use crate::values::Values;
use crate::{clock, ids, propagation};
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceState,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Attributes that the end of a usual record adds: the outcome, and an operation.
const OWN_ATTRIBUTES: usize = 2;

#[derive(Debug)]
pub(crate) struct Draft {
    recorder: recorder::Handle,
    kind: Kind,
    name: Cow<'static, str>,
    choice: Choice,
    start: SystemTime,
    started: Stopwatch,
    values: Values,
    /// What most records have nothing of.
    rare: Option<Box<Rare>>,
    /// From when the event is open.
    running: Option<Running>,
}

#[derive(Debug, Default)]
struct Rare {
    correlation: Option<Arc<str>>,
    steps: Option<String>,
    causes: Vec<Link>,
    events: Vec<Event>,
    failure: Option<Failure>,
    /// How it ends, whatever else is said.
    outcome: Option<(Outcome, String)>,
    /// What it belongs to, if not to the context that is current.
    outer: Option<Context>,
}

#[derive(Debug)]
struct Running {
    parent_event: Option<EventId>,
    parent_span: SpanId,
    parent_is_remote: bool,
    /// Holds the event.
    context: Context,
}

/// How it went wrong.
#[derive(Debug)]
struct Failure {
    error_type: Cow<'static, str>,
    message: String,
    outcome: Outcome,
    reason: Option<&'static str>,
}

impl Draft {
    /// A draft, if anything is recorded; `room` is how many values will be captured.
    #[inline]
    pub(crate) fn begin(kind: Kind, name: Cow<'static, str>, room: usize, choice: Choice) -> Option<Self> {
        let recorder = recorder::current()?;
        Some(Self {
            recorder,
            kind,
            name,
            choice,
            start: clock::now(),
            started: Stopwatch::start(),
            values: Values::with_capacity(room + OWN_ATTRIBUTES),
            rare: None,
            running: None,
        })
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn values(&mut self) -> &mut Values {
        &mut self.values
    }

    #[inline]
    pub(crate) fn push(&mut self, attribute: &'static str, value: impl Into<Value>) {
        self.values.push(attribute, value);
    }

    pub(crate) fn set_correlation(&mut self, text: &str) {
        self.rare().correlation = Some(Arc::from(text));
    }

    pub(crate) fn set_name(&mut self, name: String) {
        self.name = Cow::Owned(name);
    }

    /// Decision steps, as JSON, that come before those of `step!`.
    pub(crate) fn set_steps(&mut self, steps: Option<String>) {
        self.rare().steps = steps;
    }

    pub(crate) fn add_cause(&mut self, cause: EventRef) {
        self.rare().causes.push(cause.link());
    }

    pub(crate) fn add_event(&mut self, name: &'static str, attributes: Vec<KeyValue>) {
        let now = self.start + self.started.elapsed();
        self.rare().events.push(Event::new(name, now, attributes, 0));
    }

    pub(crate) fn set_capture(&mut self, capture: Capture) {
        self.choice.all = capture;
    }

    /// Says that something which the application gave has no effect.
    pub(crate) fn misuse(&self, line: impl FnOnce() -> String) {
        self.recorder.misuse(line);
    }

    pub(crate) fn set_outcome(&mut self, outcome: Outcome, reason: String) {
        self.rare().outcome = Some((outcome, reason));
    }

    /// It belongs to this context.
    pub(crate) fn set_outer(&mut self, context: Context) {
        self.rare().outer = Some(context);
    }

    /// Takes an attribute over from another.
    pub(crate) fn copy(&mut self, other: &Self, attribute: &'static str) {
        if let Some(value) = other.values.get(attribute) {
            self.values.push(attribute, value);
        }
    }

    /// It begins now.
    pub(crate) fn restart(&mut self) {
        self.start = clock::now();
        self.started = Stopwatch::start();
    }

    /// Since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.failure.is_some())
    }

    pub(crate) fn fail(&mut self, error_type: impl Into<Cow<'static, str>>, message: String) {
        self.rare().failure =
            Some(Failure { error_type: error_type.into(), message, outcome: Outcome::Failure, reason: None });
    }

    pub(crate) fn cancel(&mut self, message: &str) {
        self.rare().failure = Some(Failure {
            error_type: Cow::Borrowed("cancelled"),
            message: message.to_owned(),
            outcome: Outcome::Cancelled,
            reason: Some("dropped"),
        });
    }

    pub(crate) fn panicked(&mut self, message: String) {
        self.rare().failure = Some(Failure {
            error_type: Cow::Borrowed("panic"),
            message,
            outcome: Outcome::Failure,
            reason: Some("panic"),
        });
    }

    /// The context in which what belongs to the event runs.
    #[inline]
    pub(crate) fn context(&mut self) -> &Context {
        let (kind, start, rare) = (self.kind, self.start, &mut self.rare);
        let running = self.running.get_or_insert_with(|| {
            let (correlation, outer) = match rare {
                Some(rare) => (rare.correlation.take(), rare.outer.take()),
                None => (None, None),
            };
            match outer {
                Some(outer) => Running::below(&outer, kind, start, correlation),
                None => event::map_current(|outer| Running::below(outer, kind, start, correlation)),
            }
        });
        &running.context
    }

    /// That context, once the event is open.
    pub(crate) fn opened(&self) -> Option<&Context> {
        self.running.as_ref().map(|running| &running.context)
    }

    /// A reference to the event, once it is open.
    pub(crate) fn event(&self) -> Option<EventRef> {
        let Current(event) = self.opened()?.get()?;
        Some(EventRef::of(event))
    }

    /// Ends the event and hands the record over. To be called once: what the draft held is gone then.
    pub(crate) fn record(&mut self) {
        let elapsed = self.started.elapsed();
        self.context();
        let Some(running) = self.running.take() else {
            return;
        };
        let Some(Current(event)) = running.context.get::<Current>() else {
            return; // it was put in when the event began
        };
        let extra = event.end();
        running.context.span().end_with_timestamp(self.start + elapsed);
        let rare = self.rare.take().map(|rare| *rare);
        let (mut events, mut links) = (SpanEvents::default(), SpanLinks::default());
        let (mut failure, mut foreign) = (None, Vec::new());
        let (mut steps, mut outcome, mut renamed) = (None, None, None);
        let mut beyond = Beyond::default();
        if let Some(rare) = rare {
            (events.events, links.links) = (rare.events, rare.causes);
            (failure, steps, outcome) = (rare.failure, rare.steps, rare.outcome);
        }
        let mut status = Status::Unset;
        if let Some(extra) = extra {
            let extra = *extra;
            steps = join_steps(steps, &extra.steps, extra.steps_left_out.as_ref());
            outcome = outcome.or(extra.outcome);
            status = extra.status;
            foreign = extra.attributes;
            events.events.extend(extra.events);
            links.links.extend(extra.links);
            renamed = extra.name;
            beyond = extra.beyond;
        } else if steps.is_some() {
            steps = join_steps(steps, &[], None);
        }
        self.end_values(steps, outcome, failure.as_ref());
        if let Some(failure) = failure {
            status = Status::error(failure.message);
        }
        let mut span = SpanData {
            span_context: event.span_context.clone(),
            parent_span_id: running.parent_span,
            parent_span_is_remote: running.parent_is_remote,
            span_kind: match self.kind {
                Kind::Generation | Kind::Retrieval => SpanKind::Client,
                _ => SpanKind::Internal,
            },
            name: std::mem::take(&mut self.name),
            start_time: self.start,
            end_time: self.start + elapsed,
            attributes: foreign,
            dropped_attributes_count: 0,
            events,
            links,
            status,
            instrumentation_scope: self.recorder.scope(),
        };
        beyond.say_in(&mut span);
        let identity = Identity {
            kind: self.kind,
            event_id: event.event_id,
            correlation_id: event.correlation_id.clone(),
            parent_id: running.parent_event,
        };
        let mut late = Late::of(identity, std::mem::take(&mut self.values));
        content::apply(&self.recorder, self.choice, self.kind, &mut late, &mut span, renamed);
        self.recorder.record(span, late);
    }

    /// Adds what the end says.
    fn end_values(&mut self, steps: Option<String>, outcome: Option<(Outcome, String)>, failure: Option<&Failure>) {
        let operation = match self.kind {
            Kind::ToolCall => Some("execute_tool"),
            Kind::Retrieval if !self.has("gen_ai.operation.name") => Some("retrieval"),
            _ => None,
        };
        if let Some(operation) = operation {
            self.values.push_static("gen_ai.operation.name", operation);
        }
        if let Some(steps) = steps {
            self.values.push_string("tachograph.decision.steps", steps);
        }
        // What was set from inside outweighs how the call ended, and that what was foreseen at entry.
        let ended = failure.map(|failure| (failure.outcome, failure.reason.unwrap_or_default()));
        match outcome.as_ref().map(|(outcome, reason)| (*outcome, reason.as_str())).or(ended) {
            Some((outcome, reason)) => {
                self.replace("tachograph.outcome", outcome.as_str());
                if !reason.is_empty() {
                    self.replace("tachograph.outcome.reason", reason.to_owned());
                }
            }
            None if !self.has("tachograph.outcome") => {
                self.values.push_static("tachograph.outcome", Outcome::Success.as_str());
            }
            None => {}
        }
        if let Some(failure) = failure {
            self.values.push_text("error.type", &failure.error_type);
        }
    }

    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.values.has(attribute)
    }

    /// Sets an attribute that may be there already.
    pub(crate) fn replace(&mut self, attribute: &'static str, value: impl Into<Value>) {
        self.values.remove(attribute);
        self.values.push(attribute, value);
    }
}

impl Running {
    fn below(outer: &Context, kind: Kind, start: SystemTime, correlation: Option<Arc<str>>) -> Self {
        let enclosing = outer.get::<Current>().map(|current| &current.0);
        let origin = match enclosing {
            Some(_) => propagation::Origin::default(),
            None => propagation::Origin::of(outer),
        };
        let outer_span = outer.span();
        let outer_span = outer_span.span_context();
        // Whether the application's own spans below are sampled is not ours to say. The record itself needs no flag.
        let (trace_id, parent_span, flags, trace_state) = if outer_span.is_valid() {
            let state = outer_span.trace_state().clone();
            (outer_span.trace_id(), outer_span.span_id(), outer_span.trace_flags(), state)
        } else {
            (ids::trace_id(), SpanId::INVALID, TraceFlags::SAMPLED, TraceState::NONE)
        };
        let decision = match enclosing {
            _ if kind == Kind::AgentDecision => None,
            Some(event) if event.kind == Kind::AgentDecision => Some(outer.clone()),
            Some(event) => event.decision.clone(),
            None => None,
        };
        let event = OpenEvent::new(
            kind,
            ids::event_id(start),
            correlation
                .map(Correlation::Named)
                .or_else(|| enclosing.map(|event| event.correlation_id.clone()))
                .or(origin.correlation_id.map(Correlation::Named))
                .unwrap_or_else(|| Correlation::Made(ids::event_id(start))),
            SpanContext::new(trace_id, ids::span_id(), flags, false, trace_state),
            decision,
        );
        event_ref::first_in(outer, &event);
        let from_elsewhere = || origin.parent_id.as_deref().and_then(EventId::parse);
        let parent_event = enclosing.map(|event| event.event_id).or_else(from_elsewhere);
        let context = outer.with_value(Current(event));
        Self {
            parent_event,
            parent_span,
            parent_is_remote: outer_span.is_valid() && outer_span.is_remote(),
            context: context.with_span(EventSpan::of(&context)),
        }
    }
}

/// One JSON array of the steps that an argument named and those that `step!` added.
fn join_steps(named: Option<String>, added: &[String], left_out: Option<&LeftOut>) -> Option<String> {
    let mut items: Vec<Cow<'_, str>> = Vec::new();
    match named.as_deref().map(str::trim) {
        None | Some("[]") => {}
        Some(text) => match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            Some(inner) => items.push(inner.into()),
            None => items.push(text.into()),
        },
    }
    items.extend(added.iter().map(|step| step.as_str().into()));
    items.extend(left_out.map(|left_out| left_out.as_step().into()));
    (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
}

/// The text of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    }
}
