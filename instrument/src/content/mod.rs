//! What of a record's content is kept: all of it, its hash, or nothing; and what the application's own hook takes out.
//!
//! Content is what people wrote or models made: prompts, messages, outputs, inputs, arguments, results, documents, states, steps.
//! Ids, names, models, numbers and the outcome are not. Text in a record whose attribute is not known to be something else counts as
//! content, whoever set it. Invariants:
//! - Of all that applies (process, environment, macro, field) the strictest wins.
//! - The hook runs on the thread of the call, before the record leaves it; if it panics, nothing of the record's content is kept.
//! - Nothing is hashed here: that is left to the delivery thread ([`Late`]), which replaces the text before the record is encoded.
//! - Whatever is not there as it was is named in the attribute `tachograph.capture`.
//! - What the hook itself records never comes to the hook: its content is off.

#[cfg(feature = "logs")]
mod log;
mod names;

use crate::event::Kind;
use crate::init::{Init, InitError};
use crate::late::{Late, Note, Place, State};
use crate::recorder::Recorder;
use names::Class;
use opentelemetry::trace::Status;
use opentelemetry::{Array, Key, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const VARIABLE: &str = "TACHOGRAPH_CAPTURE";

/// What the hashes that an argument may name are of. Which of them it was is not known.
const HASHED: [(&str, [&str; 3]); 2] = [
    ("tachograph.input.hash", ["tachograph.prompt", "gen_ai.input.messages", "tachograph.inputs"]),
    ("tachograph.output.hash", ["tachograph.output", "gen_ai.output.messages", "tachograph.outputs"]),
];

/// What takes the place of an event's name that is left out.
const NAMELESS: &str = "event";

thread_local! {
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// How content is captured. The later ones are stricter.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Capture {
    /// As it is.
    #[default]
    Full,
    /// Its SHA-256 and its length: who has the content can show that it is the one.
    Hashed,
    /// Not at all; the record says that it was left out.
    Off,
}

/// What a macro says of its content.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Of all of it.
    pub all: Capture,
    /// Of single attributes.
    pub of: &'static [(&'static str, Capture)],
}

impl Choice {
    /// No restriction.
    pub(crate) const FULL: Self = Self { all: Capture::Full, of: &[] };

    fn of(self, attribute: &str) -> Capture {
        self.named(attribute).max(self.all)
    }

    /// What is said of this attribute by its name.
    fn named(self, attribute: &str) -> Capture {
        let named = self.of.iter().filter(|(known, _)| *known == attribute).map(|(_, capture)| *capture);
        named.fold(Capture::Full, Capture::max)
    }
}

/// A piece of content, as a hook for redaction sees it: [`Init::redact`].
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    kind: &'static str,
    attribute: &'a str,
    text: &'a str,
}

impl<'a> Content<'a> {
    /// The kind of record: `generation`, `tool_call`, …; `span` for an ordinary span of the application,
    /// `log_record` for a log record.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The attribute, `tachograph.prompt` for example; `tachograph.error` for the text of an error or a panic, `body` for a log
    /// record's, `name` and `event.name` for names that other code gave a record or an event on it while it ran.
    pub fn attribute(&self) -> &'a str {
        self.attribute
    }

    /// Its text. Where the attribute holds JSON, that is JSON text, and what takes its place should be.
    pub fn text(&self) -> &'a str {
        self.text
    }
}

/// What is to become of a piece of content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Redaction {
    /// It stays as it is.
    Keep,
    /// This takes its place.
    Replace(String),
    /// It is left out.
    Remove,
}

type Hook = Arc<dyn Fn(&Content<'_>) -> Redaction + Send + Sync>;

/// What a process says of all content.
#[derive(Clone, Default)]
pub(crate) struct Policy {
    capture: Capture,
    longest: Option<usize>,
    hashes: bool,
    hook: Option<Hook>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Policy({:?})", self.capture)
    }
}

impl Policy {
    /// Together with what the environment asks for, which can only be stricter.
    pub(crate) fn with_environment(self, value: Option<String>) -> Result<Self, InitError> {
        let asked = match value.as_deref() {
            None => Capture::Full,
            Some("full") => Capture::Full,
            Some("hashed") => Capture::Hashed,
            Some("off") => Capture::Off,
            Some(other) => return Err(InitError::Capture(other.to_owned())),
        };
        Ok(Self { capture: self.capture.max(asked), ..self })
    }

    /// What the environment asks for.
    pub(crate) fn of_environment() -> Option<String> {
        std::env::var(VARIABLE).ok().filter(|value| !value.is_empty())
    }

    /// Nothing is to be done to any content.
    fn is_open(&self) -> bool {
        self.capture == Capture::Full && self.longest.is_none() && !self.hashes && self.hook.is_none()
    }
}

/// Content.
impl Init {
    /// How content is captured; in full unless told otherwise. `TACHOGRAPH_CAPTURE` (`full`, `hashed`, `off`) and single macros can
    /// make it stricter, nothing can make it less strict.
    ///
    /// ```no_run
    /// let guard = tachograph::Init::new("loans").capture(tachograph::Capture::Hashed).init()?;
    /// # Ok::<(), tachograph::InitError>(())
    /// ```
    pub fn capture(mut self, capture: Capture) -> Self {
        self.content.capture = capture;
        self
    }

    /// Shows all content that would leave the process to `hook`, on the thread of the call: also texts of errors and panics, reasons
    /// of outcomes, and what other code set on the record's span. A hook that panics has all content of that record left out. What
    /// the hook itself records does not come back to it: that is recorded without its content.
    ///
    /// ```no_run
    /// use tachograph::Redaction;
    ///
    /// let guard = tachograph::Init::new("loans")
    ///     .redact(|content| match content.text().contains("IBAN") {
    ///         true => Redaction::Remove,
    ///         false => Redaction::Keep,
    ///     })
    ///     .init()?;
    /// # Ok::<(), tachograph::InitError>(())
    /// ```
    pub fn redact(mut self, hook: impl Fn(&Content<'_>) -> Redaction + Send + Sync + 'static) -> Self {
        self.content.hook = Some(Arc::new(hook));
        self
    }

    /// Cuts each piece of content that has more bytes than this, between two characters; the record then says so, with the SHA-256
    /// and the length of the whole. Nothing is cut unless told so.
    pub fn longest_content(mut self, bytes: usize) -> Self {
        self.content.longest = Some(bytes);
        self
    }

    /// Has each record carry the SHA-256 of its prompt and its output (`tachograph.input.hash`, `tachograph.output.hash`) although it
    /// carries them in full. It is computed by the delivery thread.
    pub fn hash_content(mut self, always: bool) -> Self {
        self.content.hashes = always;
        self
    }
}

/// Applies what was chosen to a record that has ended. Attributes so far are from other code, as is the name that it may have got; its
/// own are in `late`.
#[inline]
pub(crate) fn apply(
    recorder: &Recorder,
    choice: Choice,
    kind: Kind,
    late: &mut Late,
    span: &mut SpanData,
    renamed: Option<Cow<'static, str>>,
) {
    let policy = recorder.content();
    let own_name = renamed.map(|name| std::mem::replace(&mut span.name, name));
    if policy.is_open() && choice.all == Capture::Full && choice.of.is_empty() {
        return;
    }
    late.expand(span);
    let work = Work { choice, own_name, is_record: true, ..Work::new(policy, kind.as_str()) };
    work.finish_span(span, late, |line| recorder.misuse(|| line.to_owned()));
}

/// The same for an ordinary span of the application. What is known to be content is content there, no more: a span is not a record.
pub(crate) fn apply_to_span(policy: &Policy, warn: impl FnOnce(&'static str), span: &mut SpanData) -> Late {
    let mut late = Late::default();
    if !policy.is_open() {
        Work::new(policy, "span").finish_span(span, &mut late, warn);
    }
    late
}

/// The same for a log record, all of whose text is content unless it is known not to be.
#[cfg(feature = "logs")]
pub(crate) fn apply_to_log(
    policy: &Policy,
    warn: impl FnOnce(&'static str),
    log: &mut opentelemetry_proto::tonic::logs::v1::LogRecord,
) -> Late {
    let mut late = Late::default();
    if !policy.is_open() {
        let work = Work { is_record: true, ..Work::new(policy, "log_record") };
        work.finish(&mut late, warn, |work| work.log(log));
    }
    late
}

/// What becomes of a piece of content on this thread.
enum Fate {
    Stays,
    Replaced(String),
    Gone,
}

struct Work<'a> {
    policy: &'a Policy,
    choice: Choice,
    kind: &'static str,
    notes: Vec<Note>,
    hook_failed: bool,
    /// The hook made it: it does not get to see it, and nobody else does.
    in_hook: bool,
    /// Text that is not known is content too.
    is_record: bool,
    /// If other code gave the record another.
    own_name: Option<Cow<'static, str>>,
}

impl<'a> Work<'a> {
    fn new(policy: &'a Policy, kind: &'static str) -> Self {
        Self {
            policy,
            choice: Choice::FULL,
            kind,
            notes: Vec::new(),
            hook_failed: false,
            in_hook: IN_HOOK.get(),
            is_record: false,
            own_name: None,
        }
    }

    fn finish(mut self, late: &mut Late, warn: impl FnOnce(&'static str), mut pass: impl FnMut(&mut Self)) {
        pass(&mut self);
        if self.hook_failed {
            // Once more, for what it let pass before it failed.
            pass(&mut self);
            warn("the hook for redaction panicked; the content of that record is left out");
        }
        late.set_content(self.notes, self.policy.longest, self.policy.hashes, self.own_name);
    }

    fn finish_span(self, span: &mut SpanData, late: &mut Late, warn: impl FnOnce(&'static str)) {
        self.finish(late, warn, |work| work.span(span));
    }

    fn span(&mut self, span: &mut SpanData) {
        if let Some(own) = self.own_name.clone() {
            self.name(Place::Name, "name", &mut span.name, own);
        }
        span.attributes.retain_mut(|attribute| self.attribute(Place::Attribute, attribute, self.is_record));
        for (index, event) in span.events.events.iter_mut().enumerate() {
            if self.is_record && !names::is_event(&event.name) {
                self.name(Place::EventName(index), "event.name", &mut event.name, NAMELESS.into());
            }
            let strict = self.is_record || names::is_content_event(&event.name);
            event.attributes.retain_mut(|attribute| self.attribute(Place::Event(index), attribute, strict));
        }
        for (index, link) in span.links.links.iter_mut().enumerate() {
            link.attributes.retain_mut(|attribute| self.attribute(Place::Link(index), attribute, self.is_record));
        }
        if let Status::Error { description } = &mut span.status
            && !description.is_empty()
        {
            match self.fate(Place::Status, &Key::from("tachograph.error"), description, Class::Ending) {
                Fate::Stays => {}
                Fate::Replaced(other) => *description = other.into(),
                Fate::Gone => *description = Cow::Borrowed(""),
            }
        }
        self.hashes(span);
    }

    /// A name that is a literal is code; one that was put together may say anything.
    fn name(&mut self, place: Place, key: &'static str, name: &mut Cow<'static, str>, instead: Cow<'static, str>) {
        if let Cow::Borrowed(_) = name {
            return;
        }
        match self.fate(place, &Key::from(key), name, Class::Content) {
            Fate::Stays => {}
            Fate::Replaced(other) => *name = other.into(),
            Fate::Gone => *name = instead,
        }
    }

    /// Whether the attribute stays.
    fn attribute(&mut self, place: Place, attribute: &mut KeyValue, strict: bool) -> bool {
        let text = match &attribute.value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Array(Array::String(texts)) => {
                let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
                Cow::Owned(serde_json::Value::from(texts).to_string())
            }
            _ => return true,
        };
        let key = &attribute.key;
        match self.fate(place, key, &text, names::class(key.as_str(), strict)) {
            Fate::Stays => true,
            Fate::Replaced(other) => {
                attribute.value = Value::from(other);
                true
            }
            Fate::Gone => false,
        }
    }

    /// Decides, and notes what is to be said of it and what is left to be done.
    fn fate(&mut self, place: Place, key: &Key, text: &str, class: Class) -> Fate {
        let capture = match class {
            Class::Content => self.policy.capture.max(self.choice.of(key.as_str())),
            Class::Ending | Class::Plain => self.choice.named(key.as_str()),
        };
        if class == Class::Plain && capture == Capture::Full {
            return Fate::Stays;
        }
        if capture == Capture::Off || self.in_hook {
            note(&mut self.notes, place, key, State::Off, false);
            return Fate::Gone;
        }
        let (replaced, redacted) = match self.redaction(key.as_str(), text) {
            Redaction::Keep => (None, self.was_redacted(place, key)),
            Redaction::Replace(other) => (Some(other), true),
            Redaction::Remove => {
                note(&mut self.notes, place, key, State::Redacted, true);
                return Fate::Gone;
            }
        };
        let bytes = replaced.as_ref().map_or(text.len(), String::len);
        if capture == Capture::Hashed {
            note(&mut self.notes, place, key, State::Hashed, redacted);
        } else if self.policy.longest.is_some_and(|longest| bytes > longest) {
            note(&mut self.notes, place, key, State::Truncated, redacted);
        } else if redacted {
            note(&mut self.notes, place, key, State::Redacted, true);
        }
        replaced.map_or(Fate::Stays, Fate::Replaced)
    }

    /// A hash that an argument named says what was left out or taken out, to who can guess it.
    fn hashes(&mut self, span: &mut SpanData) {
        for (hash, of) in HASHED {
            let off = of.iter().any(|content| self.choice.of(content).max(self.policy.capture) == Capture::Off);
            let redacted = self.hook_failed
                || self.notes.iter().any(|note| {
                    note.place == Place::Attribute && note.redacted && of.contains(&note.attribute.as_str())
                });
            let state = match (off || self.in_hook, redacted) {
                (true, _) => State::Off,
                (false, true) => State::Redacted,
                (false, false) => continue,
            };
            let before = span.attributes.len();
            span.attributes.retain(|attribute| attribute.key.as_str() != hash);
            if span.attributes.len() < before {
                note(&mut self.notes, Place::Attribute, &Key::from(hash), state, state == State::Redacted);
            }
        }
    }

    fn redaction(&mut self, attribute: &str, text: &str) -> Redaction {
        let Some(hook) = &self.policy.hook else {
            return Redaction::Keep;
        };
        if self.hook_failed {
            return Redaction::Remove;
        }
        let content = Content { kind: self.kind, attribute, text };
        IN_HOOK.set(true);
        let redaction = catch_unwind(AssertUnwindSafe(|| hook(&content)));
        IN_HOOK.set(false);
        redaction.unwrap_or_else(|_| {
            self.hook_failed = true;
            Redaction::Remove
        })
    }

    fn was_redacted(&self, place: Place, key: &Key) -> bool {
        self.notes.iter().any(|note| note.is_of(place, key) && note.redacted)
    }
}

/// One note for each piece; a later one takes the place of an earlier one.
fn note(notes: &mut Vec<Note>, place: Place, attribute: &Key, state: State, redacted: bool) {
    notes.retain(|note| !note.is_of(place, attribute));
    notes.push(Note { place, attribute: attribute.clone(), state, redacted });
}
