//! The event that an annotated call has open: its identity, which calls below inherit through the
//! OpenTelemetry `Context`, and what code inside adds to it (decision steps, an outcome, causes, and
//! anything set on the current OpenTelemetry span).

use crate::ids::{Correlation, EventId};
use crate::recorder;
use crate::step::LeftOut;
use opentelemetry::trace::{Event, Link, Span, SpanContext, Status};
use opentelemetry::{Context, ContextGuard, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What kind of record a call makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A prompt became an output.
    Generation,
    /// An agent chose.
    AgentDecision,
    /// A tool was used.
    ToolCall,
    /// Something was looked up.
    Retrieval,
    /// Somebody let something go on, or did not.
    Approval,
    /// Somebody did something.
    AuditEvent,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::AgentDecision => "agent_decision",
            Self::ToolCall => "tool_call",
            Self::Retrieval => "retrieval",
            Self::Approval => "approval",
            Self::AuditEvent => "audit_event",
        }
    }
}

/// How a recorded action ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It did what it should.
    Success,
    /// It failed.
    Failure,
    /// It waits for something, an approval for example.
    Pending,
    /// A rule or a filter stopped it.
    Blocked,
    /// It was given up before it ended.
    Cancelled,
}

impl Outcome {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Pending => "pending",
            Self::Blocked => "blocked",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The word for an outcome that nobody can tell.
pub(crate) const UNKNOWN: &str = "unknown";

impl Outcome {
    /// The word that a record has, if this is one.
    pub(crate) fn word(text: &str) -> Option<&'static str> {
        let words = [Self::Success, Self::Failure, Self::Pending, Self::Blocked, Self::Cancelled].map(Self::as_str);
        words.into_iter().chain([UNKNOWN]).find(|word| *word == text)
    }
}

/// Sets how the enclosing annotated call ended, if its return value does not say so: a content
/// filter that blocks, an order that waits for approval.
///
/// It stands even if the function then returns `Err`. Without an enclosing annotated call this does
/// nothing but warn.
pub fn set_outcome(outcome: Outcome, reason: impl Display) {
    let Some(recorder) = recorder::current() else {
        return;
    };
    // Not within the lock: `reason` is foreign code.
    let reason = reason.to_string();
    let added = with_current(|event| event.add(|extra| extra.outcome = Some((outcome, reason))));
    if added != Some(true) {
        recorder.misuse(|| "`set_outcome` was called where no annotated function is open; it has no effect".to_owned());
    }
}

/// An event that has begun and not ended.
#[derive(Debug)]
pub(crate) struct OpenEvent {
    pub(crate) kind: Kind,
    pub(crate) event_id: EventId,
    pub(crate) correlation_id: Correlation,
    pub(crate) span_context: SpanContext,
    /// The context of the nearest decision around this event. None if this is a decision, so that contexts of decisions do not chain.
    pub(crate) decision: Option<Context>,
    added: Mutex<Added>,
}

/// What was added to an event from inside.
#[derive(Debug)]
pub(crate) enum Added {
    Nothing,
    Some(Box<Extra>),
    /// The event ended; what comes now comes too late.
    TooLate,
}

/// Of attributes, span events and links that other code adds a record takes so many each, so that a loop can't fill the memory. It says
/// how many more there were.
const MOST_ADDED: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) steps: Vec<String>,
    pub(crate) steps_left_out: Option<LeftOut>,
    pub(crate) outcome: Option<(Outcome, String)>,
    pub(crate) events: Vec<Event>,
    pub(crate) links: Vec<Link>,
    pub(crate) status: Status,
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) beyond: Beyond,
}

/// How much a record had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    attributes: u32,
    events: u32,
    links: u32,
}

impl Beyond {
    /// Says so in OTLP's own fields and in an attribute, which whoever reads the record sees.
    pub(crate) fn say_in(self, span: &mut SpanData) {
        if self == Self::default() {
            return;
        }
        let Self { attributes, events, links } = self;
        span.dropped_attributes_count = attributes;
        span.events.dropped_count = events;
        span.links.dropped_count = links;
        let text = format!("{{\"attributes\":{attributes},\"events\":{events},\"links\":{links}}}");
        span.attributes.push(KeyValue::new("tachograph.left_out", text));
    }
}

impl Extra {
    pub(crate) fn add_link(&mut self, link: Link) {
        push_bounded(&mut self.links, link, &mut self.beyond.links);
    }
}

fn push_bounded<T>(list: &mut Vec<T>, item: T, beyond: &mut u32) {
    if list.len() < MOST_ADDED {
        list.push(item);
    } else {
        *beyond = beyond.saturating_add(1);
    }
}

impl OpenEvent {
    pub(crate) fn new(
        kind: Kind,
        event_id: EventId,
        correlation_id: Correlation,
        span_context: SpanContext,
        decision: Option<Context>,
    ) -> Self {
        Self { kind, event_id, correlation_id, span_context, decision, added: Mutex::new(Added::Nothing) }
    }

    /// Changes what was added. False if the event has ended.
    pub(crate) fn add(&self, change: impl FnOnce(&mut Extra)) -> bool {
        let mut added = self.lock();
        if let Added::Nothing = *added {
            *added = Added::Some(Box::default());
        }
        match &mut *added {
            Added::Some(extra) => {
                change(extra);
                true
            }
            Added::Nothing | Added::TooLate => false,
        }
    }

    /// Ends the event for additions and gives what was added.
    pub(crate) fn end(&self) -> Option<Box<Extra>> {
        match std::mem::replace(&mut *self.lock(), Added::TooLate) {
            Added::Some(extra) => Some(extra),
            Added::Nothing | Added::TooLate => None,
        }
    }

    fn is_open(&self) -> bool {
        !matches!(*self.lock(), Added::TooLate)
    }

    fn lock(&self) -> MutexGuard<'_, Added> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the open event travels in the OpenTelemetry context.
#[derive(Debug)]
pub(crate) struct Current(pub(crate) OpenEvent);

/// What `read` makes of the event that is open here, if one is. It must not run foreign code: the context is borrowed.
pub(crate) fn with_current<R>(read: impl FnOnce(&OpenEvent) -> R) -> Option<R> {
    map_current(|context| context.get::<Current>().map(|current| read(&current.0)))
}

/// What `read` makes of the current context, or of an empty one if the thread is ending and has none any more.
#[inline]
pub(crate) fn map_current<R>(read: impl FnOnce(&Context) -> R) -> R {
    if thread_has_context() { Context::map_current(read) } else { read(&Context::new()) }
}

/// Attaches a context, if the thread has not lost its own.
#[inline]
pub(crate) fn attach(context: &Context) -> Option<ContextGuard> {
    thread_has_context().then(|| context.clone().attach())
}

/// Whether this thread's context can be used: destructors of thread-locals may run after OpenTelemetry's is gone, whose functions panic
/// then; a panic there ends the process.
#[inline]
fn thread_has_context() -> bool {
    HAS_CONTEXT.try_with(|has| has.0).unwrap_or(false)
}

struct HasContext(bool);

impl Drop for HasContext {
    /// Nothing, but having a destructor makes the thread-local say that it is gone. What came first into a thread goes last: the
    /// context, which this uses as it is made, outlives it.
    fn drop(&mut self) {}
}

thread_local! {
    static HAS_CONTEXT: HasContext =
        HasContext(std::panic::catch_unwind(|| Context::map_current(|_| ())).is_ok());
}

/// The open event as OpenTelemetry's current span: what other instrumentation sets on the current
/// span becomes part of the record, and its spans become children.
#[derive(Debug)]
pub(crate) struct EventSpan {
    span_context: SpanContext,
    /// Holds the event while it is open. It holds the span around this one too, and that one's context; an event that has ended lets go
    /// of it, so that work that hands its context on to the next step for ever does not keep all that went before.
    context: Context,
}

impl EventSpan {
    /// The span of the event in `context`.
    pub(crate) fn of(context: &Context) -> Self {
        let span_context = context.get::<Current>().map_or(SpanContext::NONE, |current| current.0.span_context.clone());
        Self { span_context, context: context.clone() }
    }

    fn add(&self, change: impl FnOnce(&mut Extra)) {
        if let Some(Current(event)) = self.context.get() {
            event.add(change);
        }
    }
}

impl Span for EventSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        let event = Event::new(name, timestamp, attributes, 0);
        self.add(|extra| push_bounded(&mut extra.events, event, &mut extra.beyond.events));
    }

    fn span_context(&self) -> &SpanContext {
        &self.span_context
    }

    fn is_recording(&self) -> bool {
        self.context.get::<Current>().is_some_and(|current| current.0.is_open())
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.add(|extra| push_bounded(&mut extra.attributes, attribute, &mut extra.beyond.attributes));
    }

    fn set_status(&mut self, status: Status) {
        self.add(|extra| {
            if status > extra.status {
                extra.status = status;
            }
        });
    }

    fn update_name<T>(&mut self, new_name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        let name = new_name.into();
        self.add(|extra| extra.name = Some(name));
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        let link = Link::new(span_context, attributes, 0);
        self.add(|extra| extra.add_link(link));
    }

    /// The annotated function's end is the end; nobody else's call of this does anything.
    fn end_with_timestamp(&mut self, _timestamp: SystemTime) {
        if !self.is_recording() {
            self.context = Context::new();
        }
    }
}
