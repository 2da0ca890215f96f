//! One call of an annotated function: from entry, through capture, to the record.
//!
//! Not part of the public interface: the macros' output calls it. Invariants:
//! - Without a recorder a `Call` is empty and captures nothing.
//! - Each opened call makes exactly one record, however it ends: by return, by panic, or because its
//!   future was dropped.
//! - The context is attached while the body runs on this thread, never across an await.

use crate::builder::kind::Called;
use crate::builder::{Event, Open};
use crate::capture::{self, Hashed, Integer, Number, Scalar, Text, TextList};
use crate::content::Choice;
use crate::draft::{Draft, panic_message};
use crate::event::{self, Kind, Outcome, UNKNOWN};
use crate::event_ref::Causes;
use crate::usage::ReportsUsage;
use crate::values::Values;
use futures_core::Stream;
use opentelemetry::{Array, Value};
use serde::Serialize;
use std::any::Any;
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::Poll;

/// What is known of a call when it is compiled.
#[derive(Debug)]
pub struct Site {
    /// What kind of record it makes.
    pub kind: Kind,
    /// The function's name.
    pub name: &'static str,
    /// How many attributes its arguments fill.
    pub room: usize,
    /// How its content is captured.
    pub choice: Choice,
}

/// One call of an annotated function.
#[derive(Debug)]
pub struct Call(Option<Active>);

#[derive(Debug)]
struct Active {
    draft: Draft,
    /// The body is asynchronous and has not ended.
    pending: bool,
}

impl Call {
    /// Begins a call.
    #[inline]
    pub fn open(site: &'static Site) -> Self {
        let draft = Draft::begin(site.kind, Cow::Borrowed(site.name), site.room, site.choice);
        Self(draft.map(|draft| Active { draft, pending: false }))
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
        let attached = event::attach(active.draft.context());
        let outcome = catch_unwind(AssertUnwindSafe(body));
        drop(attached);
        outcome.unwrap_or_else(|payload| {
            self.panicked(&*payload);
            resume_unwind(payload)
        })
    }

    /// Runs what makes the future that the call is; it ends when that does.
    #[inline]
    pub fn begin<R>(&mut self, body: impl FnOnce() -> R) -> R {
        let made = self.run(body);
        if let Some(active) = &mut self.0 {
            active.pending = true;
        }
        made
    }

    /// Polls an asynchronous body within the call's context.
    pub fn poll<F: Future>(&mut self, body: Pin<&mut F>, task: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let Some(active) = &mut self.0 else {
            return body.poll(task);
        };
        let attached = event::attach(active.draft.context());
        let outcome = catch_unwind(AssertUnwindSafe(|| body.poll(task)));
        active.pending = matches!(outcome, Ok(Poll::Pending));
        drop(attached);
        outcome.unwrap_or_else(|payload| {
            self.panicked(&*payload);
            resume_unwind(payload)
        })
    }

    /// What the function returned is a stream, and the call ends with it.
    pub fn stream<St: Stream>(self, stream: St) -> impl Stream<Item = St::Item> + use<St> {
        self.into_event().stream(stream)
    }

    /// The same, of a stream of results.
    pub fn try_stream<St, T, E>(self, stream: St) -> impl Stream<Item = St::Item> + use<St, T, E>
    where
        St: Stream<Item = Result<T, E>>,
        E: Display,
    {
        self.into_event().try_stream(stream)
    }

    fn into_event(mut self) -> Event<Called, Open> {
        Event::opened(self.0.take().map(|active| active.draft))
    }

    /// The function returned `Err`.
    pub fn failed(&mut self, error_type: &'static str, message: Option<String>) {
        if let Some(active) = &mut self.0 {
            active.draft.fail(error_type, message.unwrap_or_default());
        }
    }

    /// The function returned; all values are captured.
    #[inline]
    pub fn finish(mut self) {
        if let Some(active) = &mut self.0 {
            active.draft.record();
            self.0 = None;
        }
    }

    fn panicked(&mut self, payload: &(dyn Any + Send)) {
        if let Some(active) = &mut self.0 {
            active.draft.panicked(panic_message(payload));
            active.draft.record();
            self.0 = None;
        }
    }

    #[inline]
    fn values(&mut self) -> Option<&mut Values> {
        self.0.as_mut().map(|active| active.draft.values())
    }

    // --- captures, one per shape of field ---

    /// Text that lives as long as the program.
    #[inline]
    pub fn literal(&mut self, attribute: &'static str, text: &'static str) {
        if let Some(values) = self.values() {
            values.push_static(attribute, text);
        }
    }

    /// Text.
    #[inline]
    pub fn text<T: Text + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let (Some(values), Some(text)) = (self.values(), value.text()) {
            match text {
                Cow::Borrowed(text) => values.push_text(attribute, text),
                Cow::Owned(text) => values.push_string(attribute, text),
            }
        }
    }

    /// A whole number.
    #[inline]
    pub fn integer<T: Integer + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(values) = self.values() {
            value.put_integer(attribute, values);
        }
    }

    /// A number.
    #[inline]
    pub fn number<T: Number + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let (Some(values), Some(number)) = (self.values(), value.number()) {
            values.push_number(attribute, number);
        }
    }

    /// A scalar or a list of scalars.
    #[inline]
    pub fn scalar<T: Scalar + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(values) = self.values() {
            value.put_scalar(attribute, values);
        }
    }

    /// A list of texts.
    pub fn text_list<T: TextList + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let (Some(values), Some(list)) = (self.values(), value.text_list()) {
            values.push(attribute, Value::Array(Array::String(list)));
        }
    }

    /// The SHA-256 of bytes.
    pub fn hash<T: Hashed + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let (Some(values), Some(hash)) = (self.values(), value.sha256()) {
            values.push_string(attribute, hash);
        }
    }

    /// JSON text of anything that serialises; nothing if it is `null`.
    pub fn json<T: Serialize + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(values) = self.values()
            && let Some(text) = capture::json_text(value)
        {
            values.push_string(attribute, text);
        }
    }

    /// The value's `Debug` text, as a JSON string.
    pub fn json_debug<T: Debug + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(values) = self.values() {
            values.push_string(attribute, capture::json_string(&format!("{value:?}")));
        }
    }

    /// The value's `Display` text.
    pub fn display<T: Display + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(values) = self.values() {
            values.push_display(attribute, &value);
        }
    }

    /// The value's `Debug` text.
    pub fn debug<T: Debug + ?Sized>(&mut self, attribute: &'static str, value: &T) {
        if let Some(values) = self.values() {
            values.push_display(attribute, &format_args!("{value:?}"));
        }
    }

    /// The correlation id of this call and of all below it.
    pub fn correlation<T: Text + ?Sized>(&mut self, value: &T) {
        if let (Some(active), Some(text)) = (&mut self.0, value.text()) {
            active.draft.set_correlation(&text);
        }
    }

    /// The span's name, in place of the function's.
    pub fn span_name<T: Text + ?Sized>(&mut self, value: &T) {
        if let (Some(active), Some(text)) = (&mut self.0, value.text()) {
            active.draft.set_name(text.into_owned());
        }
    }

    /// Decision steps that come before those of `step!`.
    pub fn steps<T: Serialize + ?Sized>(&mut self, value: &T) {
        if let Some(active) = &mut self.0 {
            active.draft.set_steps(capture::json_text(value));
        }
    }

    /// What a model counted.
    pub fn usage<T: ReportsUsage + ?Sized>(&mut self, value: &T) {
        if let (Some(active), Some(usage)) = (&mut self.0, value.usage()) {
            usage.each(|attribute, tokens| active.draft.values().push_integer(attribute, tokens));
        }
    }

    /// The events that caused this one.
    pub fn causes<T: Causes + ?Sized>(&mut self, value: &T) {
        if let Some(active) = &mut self.0 {
            value.each(&mut |cause| active.draft.add_cause(cause));
        }
    }

    /// How it ended. A word that is none of those that say so must not end up as a success.
    pub fn outcome<T: SaysOutcome + ?Sized>(&mut self, value: &T) {
        if let (Some(active), Some(text)) = (&mut self.0, value.outcome()) {
            let word = Outcome::word(&text).unwrap_or_else(|| {
                active.draft.misuse(|| {
                    format!(
                        "the outcome `{text}` is none of `success`, `failure`, `pending`, `blocked`, `cancelled` and `unknown`; \
                         it is recorded as `unknown`"
                    )
                });
                UNKNOWN
            });
            active.draft.values().push_static("tachograph.outcome", word);
        }
    }

    /// Whether an approval was given.
    pub fn granted(&mut self, value: &impl Granted) {
        if let (Some(active), Some(granted)) = (&mut self.0, value.granted()) {
            let (word, outcome) = verdict(granted);
            active.draft.values().push_static("tachograph.decision.final", word);
            active.draft.values().push_static("tachograph.outcome", outcome.as_str());
        }
    }
}

/// How a record says that an approval was given or refused.
pub(crate) fn verdict(granted: bool) -> (&'static str, Outcome) {
    if granted { ("granted", Outcome::Success) } else { ("denied", Outcome::Blocked) }
}

/// A verdict, or none yet.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether it was granted",
    label = "neither `bool` nor `Option<bool>`"
)]
pub trait Granted {
    /// The verdict.
    fn granted(&self) -> Option<bool>;
}

impl Granted for bool {
    fn granted(&self) -> Option<bool> {
        Some(*self)
    }
}

impl<T: Granted> Granted for Option<T> {
    fn granted(&self) -> Option<bool> {
        self.as_ref().and_then(Granted::granted)
    }
}

impl<T: Granted + ?Sized> Granted for &T {
    fn granted(&self) -> Option<bool> {
        (**self).granted()
    }
}

/// An [`Outcome`], one of its words (`success`, `failure`, `pending`, `blocked`, `cancelled`, or `unknown`), or none yet.
///
/// ```
/// let stopped = true;
/// let outcome = stopped.then_some(tachograph::Outcome::Blocked);
/// tachograph::audit! { action = "order.send", outcome = outcome }
/// tachograph::audit! { action = "order.send", outcome = if stopped { "blocked" } else { "success" } }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it ended",
    label = "neither `tachograph::Outcome`, an `Option` of it, nor text",
    note = "the words are `success`, `failure`, `pending`, `blocked`, `cancelled` and `unknown`"
)]
pub trait SaysOutcome {
    /// The word, or nothing.
    fn outcome(&self) -> Option<Cow<'_, str>>;
}

impl SaysOutcome for Outcome {
    fn outcome(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.as_str()))
    }
}

impl SaysOutcome for str {
    fn outcome(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl SaysOutcome for String {
    fn outcome(&self) -> Option<Cow<'_, str>> {
        self.as_str().outcome()
    }
}

impl SaysOutcome for Cow<'_, str> {
    fn outcome(&self) -> Option<Cow<'_, str>> {
        (**self).outcome()
    }
}

impl<T: SaysOutcome> SaysOutcome for Option<T> {
    fn outcome(&self) -> Option<Cow<'_, str>> {
        self.as_ref().and_then(SaysOutcome::outcome)
    }
}

impl<T: SaysOutcome + ?Sized> SaysOutcome for &T {
    fn outcome(&self) -> Option<Cow<'_, str>> {
        (**self).outcome()
    }
}

impl Drop for Call {
    /// Not finished: the future was dropped, or an expression of the macro's arguments panicked
    /// (the body's own panics are caught where it runs) or left the function, from inside another macro.
    fn drop(&mut self) {
        let Some(Active { mut draft, pending }) = self.0.take() else {
            return;
        };
        if pending {
            draft.cancel("the future was dropped before it finished");
        } else if std::thread::panicking() {
            draft.panicked("a panic outside of the function's body".to_owned());
        } else {
            draft.cancel("an argument of the macro left the function");
        }
        draft.record();
    }
}

/// Finds out whether what a function returned is a `Result`, by its type, whatever its name is. Method lookup tries the traits in this
/// order, one reference level each.
#[derive(Debug)]
pub struct Ended<'a, R>(pub &'a R);

/// The function returned a `Result`.
pub trait EndedEither<'a> {
    /// In `Ok`.
    type Value;
    /// In `Err`.
    type Error;
    /// What it succeeded with.
    fn value(&self) -> Option<&'a Self::Value>;
    /// What it failed with.
    fn error(&self) -> Option<&'a Self::Error>;
}

/// The function returned something else.
pub trait EndedWell<'a> {
    /// All of it.
    type Value;
    /// That it returned.
    fn value(&self) -> Option<&'a Self::Value>;
    /// Never.
    fn error(&self) -> Option<&'a Infallible>;
}

impl<'a, T, E> EndedEither<'a> for &Ended<'a, Result<T, E>> {
    type Value = T;
    type Error = E;

    #[inline]
    fn value(&self) -> Option<&'a T> {
        self.0.as_ref().ok()
    }

    #[inline]
    fn error(&self) -> Option<&'a E> {
        self.0.as_ref().err()
    }
}

impl<'a, R> EndedWell<'a> for Ended<'a, R> {
    type Value = R;

    #[inline]
    fn value(&self) -> Option<&'a R> {
        Some(self.0)
    }

    #[inline]
    fn error(&self) -> Option<&'a Infallible> {
        None
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
