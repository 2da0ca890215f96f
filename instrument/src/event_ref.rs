//! References to events: to name one as the cause of another, also from elsewhere.

use crate::event::{OpenEvent, with_current};
use crate::ids::EventId;
use crate::recorder;
use crate::task::{InContext, with_context};
use opentelemetry::trace::{Link, SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Which event it is: its id, and its place in the trace.
///
/// Its text form carries it elsewhere, into a database or a message; serde uses it too.
///
/// ```
/// let text = "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b:4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7";
/// let event: tachograph::EventRef = text.parse()?;
/// assert_eq!(event.event_id(), "019b2c54-9c1e-7a52-8f5a-6c1f0e1d2c3b");
/// assert_eq!(event.to_string(), text);
/// assert!("019b2c54".parse::<tachograph::EventRef>().is_err());
/// # Ok::<(), tachograph::NotAnEventRef>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EventRef {
    event_id: EventId,
    trace_id: TraceId,
    span_id: SpanId,
}

impl EventRef {
    /// The event's id, a UUID: what `tachograph trace` takes.
    pub fn event_id(&self) -> String {
        self.event_id.to_string()
    }

    /// The trace that it is part of, in hex.
    pub fn trace_id(&self) -> String {
        self.trace_id.to_string()
    }

    /// Its span, in hex.
    pub fn span_id(&self) -> String {
        self.span_id.to_string()
    }

    pub(crate) fn of(event: &OpenEvent) -> Self {
        Self {
            event_id: event.event_id,
            trace_id: event.span_context.trace_id(),
            span_id: event.span_context.span_id(),
        }
    }

    /// The link from an event that this one caused.
    pub(crate) fn link(self) -> Link {
        let place = SpanContext::new(self.trace_id, self.span_id, TraceFlags::SAMPLED, false, TraceState::NONE);
        Link::new(place, vec![KeyValue::new("tachograph.event.id", self.event_id.to_string())], 0)
    }
}

impl fmt::Display for EventRef {
    /// `<event id>:<trace id>:<span id>`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.event_id, self.trace_id, self.span_id)
    }
}

/// A text that is no reference to an event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "no reference to an event: expected `<event id>:<trace id>:<span id>` (a UUID, 32 and 16 hex digits), as `EventRef` writes it"
)]
pub struct NotAnEventRef;

impl FromStr for EventRef {
    type Err = NotAnEventRef;

    fn from_str(text: &str) -> Result<Self, NotAnEventRef> {
        let mut parts = text.split(':');
        let (Some(event), Some(trace), Some(span), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAnEventRef);
        };
        let is_hex = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex(trace, 32) || !is_hex(span, 16) {
            return Err(NotAnEventRef);
        }
        let event_id = EventId::parse(event).ok_or(NotAnEventRef)?;
        let trace_id = TraceId::from_hex(trace).map_err(|_| NotAnEventRef)?;
        let span_id = SpanId::from_hex(span).map_err(|_| NotAnEventRef)?;
        if trace_id == TraceId::INVALID || span_id == SpanId::INVALID {
            return Err(NotAnEventRef);
        }
        Ok(Self { event_id, trace_id, span_id })
    }
}

impl Serialize for EventRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The event that is open here: that of the nearest annotated function or builder around.
///
/// Give it out together with a result, and whoever uses the result can name it as a cause.
///
/// ```
/// #[tachograph::tool_call(tool = "feed", result = ret.0)]
/// fn price() -> (f64, Option<tachograph::EventRef>) {
///     (101.5, tachograph::current_event())
/// }
///
/// #[tachograph::agent_decision(agent = "trader", causes = causes)]
/// fn decide(causes: &[tachograph::EventRef]) {}
///
/// let causes: Vec<_> = [price(), price()].into_iter().filter_map(|(_, event)| event).collect();
/// decide(&causes);
/// ```
pub fn current_event() -> Option<EventRef> {
    with_current(EventRef::of)
}

/// Names an event as a cause of the one that is open here, as the argument `causes` does from outside.
///
/// Without an enclosing annotated call this does nothing but warn.
///
/// ```
/// # fn next() -> Option<tachograph::EventRef> { None }
/// #[tachograph::agent_decision(agent = "trader")]
/// fn decide() {
///     while let Some(signal) = next() {
///         tachograph::caused_by(&signal);
///     }
/// }
/// # decide();
/// ```
pub fn caused_by(causes: &(impl Causes + ?Sized)) {
    let Some(recorder) = recorder::current() else {
        return;
    };
    let mut links = Vec::new();
    causes.each(&mut |cause| links.push(cause.link()));
    if with_current(|event| event.add(|extra| links.into_iter().for_each(|link| extra.add_link(link)))) != Some(true) {
        recorder.misuse(|| "`caused_by` was called where no annotated function is open; it has no effect".to_owned());
    }
}

/// An event, none, or several.
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no events",
    label = "neither an `EventRef`, an `Option` of one, nor a list of them"
)]
pub trait Causes {
    /// Gives each event to `take`.
    fn each(&self, take: &mut dyn FnMut(EventRef));
}

impl Causes for EventRef {
    fn each(&self, take: &mut dyn FnMut(EventRef)) {
        take(self.clone());
    }
}

impl<T: Causes> Causes for [T] {
    fn each(&self, take: &mut dyn FnMut(EventRef)) {
        for cause in self {
            cause.each(take);
        }
    }
}

impl<T: Causes> Causes for Option<T> {
    fn each(&self, take: &mut dyn FnMut(EventRef)) {
        if let Some(cause) = self {
            cause.each(take);
        }
    }
}

impl<T: Causes, const N: usize> Causes for [T; N] {
    fn each(&self, take: &mut dyn FnMut(EventRef)) {
        self.as_slice().each(take);
    }
}

macro_rules! through {
    ($($pointer:ty),+) => { $(
        impl<T: Causes + ?Sized> Causes for $pointer {
            fn each(&self, take: &mut dyn FnMut(EventRef)) {
                (**self).each(take);
            }
        }
    )+ };
}
through!(&T, &mut T, Box<T>, Rc<T>, Arc<T>);

impl<T: Causes> Causes for Vec<T> {
    fn each(&self, take: &mut dyn FnMut(EventRef)) {
        self.as_slice().each(take);
    }
}

/// Where the first event that begins in a context leaves its reference.
#[derive(Clone, Debug, Default)]
struct First(Arc<OnceLock<EventRef>>);

/// Most programs never ask; their calls must not look for a [`First`].
static ANYBODY_ASKS: AtomicBool = AtomicBool::new(false);

/// Runs a closure and says which event it recorded: the first that began inside, directly or not. Nothing if there was none.
/// An annotated function that an argument of another one's macro calls begins before that one: compute such a value beforehand.
///
/// ```
/// #[tachograph::tool_call(tool = "feed", result = ret)]
/// fn price() -> f64 { 101.5 }
///
/// let (price, event) = tachograph::event_of(price);
/// tachograph::audit! { action = "price.accepted", causes = event, details = price }
/// ```
pub fn event_of<R>(body: impl FnOnce() -> R) -> (R, Option<EventRef>) {
    let (first, context) = First::ask();
    let value = with_context(context, body);
    (value, first.answer())
}

/// As [`event_of`], for a future.
///
/// ```
/// # #[tachograph::generation(model = "m")]
/// # async fn complete(prompt: &str) -> String { prompt.to_owned() }
/// # async fn example() {
/// let (reply, event) = tachograph::event_of_future(complete("a red fox")).await;
/// # }
/// ```
pub async fn event_of_future<F: Future>(future: F) -> (F::Output, Option<EventRef>) {
    let (first, context) = First::ask();
    let value = future.in_context(context).await;
    (value, first.answer())
}

impl First {
    fn ask() -> (Self, Context) {
        ANYBODY_ASKS.store(true, Ordering::Relaxed);
        let first = Self::default();
        let context = Context::current_with_value(first.clone());
        (first, context)
    }

    /// What began first. Whoever asks around this gets to know it too.
    fn answer(self) -> Option<EventRef> {
        let event = self.0.get().cloned();
        if let Some(event) = &event {
            Context::map_current(|outer| {
                if let Some(Self(first)) = outer.get() {
                    drop(first.set(event.clone()));
                }
            });
        }
        event
    }
}

/// An event began in `context`.
#[inline]
pub(crate) fn first_in(context: &Context, event: &OpenEvent) {
    if ANYBODY_ASKS.load(Ordering::Relaxed)
        && let Some(First(first)) = context.get()
    {
        // An earlier one is the first.
        drop(first.set(EventRef::of(event)));
    }
}
