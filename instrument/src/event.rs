//! The event that an annotated call has open: its identity, which calls below inherit through the
//! OpenTelemetry `Context`, and what code inside adds to it (decision steps, an outcome, and
//! anything set on the current OpenTelemetry span).

use crate::capture::{json_string, json_text};
use crate::recorder;
use opentelemetry::trace::{Event, Link, Span, SpanContext, Status};
use opentelemetry::{Context, KeyValue};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A decision with more steps than this is a runaway loop; the record says how many were left out.
const MOST_STEPS: usize = 10_000;

/// What kind of record a call makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A prompt became an output.
    Generation,
    /// An agent chose.
    AgentDecision,
    /// A tool was used.
    ToolCall,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::AgentDecision => "agent_decision",
            Self::ToolCall => "tool_call",
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

/// Sets how the enclosing annotated call ended, if its return value does not say so: a content
/// filter that blocks, an order that waits for approval.
///
/// It stands even if the function then returns `Err`. Without an enclosing annotated call this does
/// nothing but warn.
pub fn set_outcome(outcome: Outcome, reason: impl Display) {
    let Some(recorder) = recorder::current() else {
        return;
    };
    let added = current().is_some_and(|event| event.add(|extra| extra.outcome = Some((outcome, reason.to_string()))));
    if !added {
        recorder.misuse(|| "`set_outcome` was called where no annotated function is open; it has no effect".to_owned());
    }
}

/// An event that has begun and not ended.
#[derive(Debug)]
pub(crate) struct OpenEvent {
    pub(crate) kind: Kind,
    pub(crate) event_id: Arc<str>,
    pub(crate) correlation_id: Arc<str>,
    pub(crate) span_context: SpanContext,
    /// The nearest decision around this event.
    pub(crate) decision: Option<Arc<OpenEvent>>,
    pub(crate) added: Mutex<Added>,
}

/// What was added to an event from inside.
#[derive(Debug)]
pub(crate) enum Added {
    Nothing,
    Some(Box<Extra>),
    /// The event ended; what comes now comes too late.
    TooLate,
}

#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) steps: Vec<String>,
    pub(crate) steps_left_out: u64,
    pub(crate) outcome: Option<(Outcome, String)>,
    pub(crate) events: Vec<Event>,
    pub(crate) links: Vec<Link>,
    pub(crate) status: Status,
    pub(crate) name: Option<Cow<'static, str>>,
}

impl OpenEvent {
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

/// The decision that a step within `event` belongs to.
pub(crate) fn decision_around(event: &Arc<OpenEvent>) -> Option<Arc<OpenEvent>> {
    if event.kind == Kind::AgentDecision { Some(Arc::clone(event)) } else { event.decision.clone() }
}

/// How the open event travels in the OpenTelemetry context.
#[derive(Debug)]
pub(crate) struct Current(pub(crate) Arc<OpenEvent>);

fn current() -> Option<Arc<OpenEvent>> {
    Context::map_current(|context| context.get::<Current>().map(|current| Arc::clone(&current.0)))
}

/// A decision step that is being written. `step!` makes it.
#[derive(Debug)]
pub struct Step {
    decision: Arc<OpenEvent>,
    text: String,
}

impl Step {
    /// A step of the enclosing decision, or nothing if there is no decision or nothing is recorded.
    /// `place` is where in the source it is reported.
    pub fn open(place: &'static str) -> Option<Self> {
        let recorder = recorder::current()?;
        let decision = current().and_then(|event| decision_around(&event));
        let Some(decision) = decision else {
            recorder.misuse(|| format!("`step!` at {place} has no effect: no `agent_decision` is open there"));
            return None;
        };
        let text = String::with_capacity(96);
        Some(Self { decision, text })
    }

    /// What was looked at.
    pub fn name(&mut self, name: impl AsRef<str>) {
        self.text.push_str("{\"step\":");
        self.text.push_str(&json_string(name.as_ref()));
    }

    /// What the step found.
    pub fn result<T: Serialize + ?Sized>(&mut self, result: &T) {
        if let Some(result) = json_text(result) {
            // Writing to a string can't fail.
            let _ = write!(self.text, ",\"result\":{result}");
        }
    }

    /// Why.
    pub fn reason(&mut self, reason: impl Display) {
        let reason = json_string(&reason.to_string());
        let _ = write!(self.text, ",\"reason\":{reason}");
    }

    /// Adds the step to its decision.
    pub fn add(mut self) {
        self.text.push('}');
        let text = self.text;
        let added = self.decision.add(|extra| {
            if extra.steps.len() < MOST_STEPS {
                extra.steps.push(text);
            } else {
                extra.steps_left_out += 1;
            }
        });
        if !added && let Some(recorder) = recorder::current() {
            recorder.misuse(|| {
                format!("a step came after its decision {} had ended; it is not recorded", self.decision.event_id)
            });
        }
    }
}

/// Adds a step to the enclosing `agent_decision`: what was looked at, what came out, and why.
///
/// ```
/// # let rsi = 24.0;
/// tachograph::step!("RSI_CHECK", result = rsi, reason = "RSI {rsi} is below 30");
/// tachograph::step!("RISK_CHECK", result = "passed");
/// tachograph::step!("ORDER_SIZED", reason = "{} % of the limit", 40);
/// ```
///
/// `result` is anything that serde can serialise. `reason` is a format string, or anything that can
/// be displayed. Steps keep their order. Outside of a decision, and when nothing is recorded, the
/// arguments are not evaluated.
#[macro_export]
macro_rules! step {
    ($name:expr $(,)?) => {
        $crate::step!(@ $name, step, {})
    };
    ($name:expr, result = $result:expr $(,)?) => {
        $crate::step!(@ $name, step, { step.result(&$result); })
    };
    ($name:expr, result = $result:expr, reason = $format:literal $(, $argument:expr)* $(,)?) => {
        $crate::step!(@ $name, step, {
            step.result(&$result);
            step.reason(::core::format_args!($format $(, $argument)*));
        })
    };
    ($name:expr, result = $result:expr, reason = $reason:expr $(,)?) => {
        $crate::step!(@ $name, step, { step.result(&$result); step.reason(&$reason); })
    };
    ($name:expr, reason = $format:literal $(, $argument:expr)* $(,)?) => {
        $crate::step!(@ $name, step, { step.reason(::core::format_args!($format $(, $argument)*)); })
    };
    ($name:expr, reason = $reason:expr $(,)?) => {
        $crate::step!(@ $name, step, { step.reason(&$reason); })
    };
    (@ $name:expr, $step:ident, $fill:block) => {
        if let ::core::option::Option::Some(mut $step) = $crate::__private::Step::open(
            ::core::concat!(::core::file!(), ":", ::core::line!()),
        ) {
            $step.name($name);
            $fill
            $step.add();
        }
    };
}

/// The open event as OpenTelemetry's current span: what other instrumentation sets on the current
/// span becomes part of the record, and its spans become children.
#[derive(Debug)]
pub(crate) struct EventSpan(pub(crate) Arc<OpenEvent>);

impl Span for EventSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        let event = Event::new(name, timestamp, attributes, 0);
        self.0.add(|extra| extra.events.push(event));
    }

    fn span_context(&self) -> &SpanContext {
        &self.0.span_context
    }

    fn is_recording(&self) -> bool {
        self.0.is_open()
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.0.add(|extra| extra.attributes.push(attribute));
    }

    fn set_status(&mut self, status: Status) {
        self.0.add(|extra| {
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
        self.0.add(|extra| extra.name = Some(name));
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        let link = Link::new(span_context, attributes, 0);
        self.0.add(|extra| extra.links.push(link));
    }

    /// The annotated function's end is the end.
    fn end_with_timestamp(&mut self, _timestamp: SystemTime) {}
}
