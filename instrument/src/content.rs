//! What of a record's content is kept: all of it, its hash, or nothing; and what the application's own hook takes out.
//!
//! Content is what people wrote or models made: prompts, messages, outputs, inputs, arguments, results, documents, states, steps.
//! Ids, names, models, numbers and the outcome are not. Text that other code sets on the record's span counts as content unless it
//! is known not to be. Invariants:
//! - Of all that applies (process, environment, macro, field) the strictest wins.
//! - The hook runs on the thread of the call, before the record leaves it; if it panics, nothing of the record's content is kept.
//! - Nothing is hashed here: that is left to the delivery thread ([`Late`]), which replaces the text before the record is encoded.
//! - Whatever is not there as it was is named in the attribute `tachograph.capture`.

use crate::event::Kind;
use crate::init::{Init, InitError};
use crate::late::{Late, Note, Place, State};
use crate::recorder::Recorder;
use opentelemetry::trace::Status;
use opentelemetry::{Array, Key, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const VARIABLE: &str = "TACHOGRAPH_CAPTURE";

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
        let named = self.of.iter().filter(|(known, _)| *known == attribute).map(|(_, capture)| *capture);
        named.fold(self.all, Capture::max)
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
    /// The kind of record: `generation`, `tool_call`, …; `span` for an ordinary span of the application.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The attribute, `tachograph.prompt` for example; `tachograph.error` for the text of an error or a panic.
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
    /// of outcomes, and what other code set on the record's span. A hook that panics has all content of that record left out.
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

/// Applies what was chosen to a record that has ended. The span's attributes so far are from other code; the record's own are in `late`.
#[inline]
pub(crate) fn apply(recorder: &Recorder, choice: Choice, kind: Kind, late: &mut Late, span: &mut SpanData) {
    let policy = recorder.content();
    if policy.is_open() && choice.all == Capture::Full && choice.of.is_empty() {
        return;
    }
    let foreign = span.attributes.len();
    late.expand(span);
    let own = span.attributes.len() - foreign;
    let work = Work { policy, choice, kind: kind.as_str(), notes: Vec::new(), hook_failed: false, others: true };
    work.finish(span, own, late, |line| recorder.misuse(|| line.to_owned()));
}

/// The same for an ordinary span of the application. What is known to be content is content there, no more: a span is not a record.
pub(crate) fn apply_to_span(policy: &Policy, warn: impl FnOnce(&'static str), span: &mut SpanData) -> Late {
    let mut late = Late::default();
    if !policy.is_open() {
        let choice = Choice::FULL;
        let work = Work { policy, choice, kind: "span", notes: Vec::new(), hook_failed: false, others: false };
        let all = span.attributes.len();
        work.finish(span, all, &mut late, warn);
    }
    late
}

/// What is done to one piece of text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// All that was chosen.
    Content,
    /// The hook and the bound: it belongs to how the call ended.
    Ending,
    /// Nothing.
    Plain,
}

struct Work<'a> {
    policy: &'a Policy,
    choice: Choice,
    kind: &'static str,
    notes: Vec<Note>,
    hook_failed: bool,
    /// Text of other code is content too.
    others: bool,
}

impl Work<'_> {
    fn finish(mut self, span: &mut SpanData, own: usize, late: &mut Late, warn: impl FnOnce(&'static str)) {
        let own = self.span(span, own);
        if self.hook_failed {
            // Once more, for what it let pass before it failed.
            self.span(span, own);
            warn("the hook for redaction panicked; the content of that record is left out");
        }
        late.set_content(self.notes, self.policy.longest, self.policy.hashes);
    }

    /// Gives how many attributes are left before those from other code.
    fn span(&mut self, span: &mut SpanData, foreign: usize) -> usize {
        let (mut index, mut own) = (0, 0);
        span.attributes.retain_mut(|attribute| {
            let is_foreign = index >= foreign;
            index += 1;
            let kept = self.attribute(Place::Attribute, attribute, class(attribute.key.as_str(), is_foreign));
            own += usize::from(kept && !is_foreign);
            kept
        });
        for (index, event) in span.events.events.iter_mut().enumerate() {
            event.attributes.retain_mut(|attribute| {
                let class = class(attribute.key.as_str(), self.others);
                self.attribute(Place::Event(index), attribute, class)
            });
        }
        if let Status::Error { description } = &mut span.status
            && !description.is_empty()
        {
            let mut text = KeyValue::new("tachograph.error", description.as_ref().to_owned());
            let kept = self.attribute(Place::Status, &mut text, Class::Ending);
            *description = if kept { text.value.as_str().into_owned().into() } else { Cow::Borrowed("") };
        }
        own
    }

    /// Whether the attribute stays.
    fn attribute(&mut self, place: Place, attribute: &mut KeyValue, class: Class) -> bool {
        if class == Class::Plain {
            return true;
        }
        let text = match &attribute.value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Array(Array::String(texts)) => {
                let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
                Cow::Owned(serde_json::Value::from(texts).to_string())
            }
            _ => return true,
        };
        let key = &attribute.key;
        let capture = match class {
            Class::Content => self.policy.capture.max(self.choice.of(key.as_str())),
            Class::Ending | Class::Plain => Capture::Full,
        };
        if capture == Capture::Off {
            note(&mut self.notes, place, key, State::Off, false);
            return false;
        }
        let (replaced, redacted) = match self.redaction(key.as_str(), &text) {
            Redaction::Keep => (None, self.was_redacted(place, key)),
            Redaction::Replace(other) => (Some(other), true),
            Redaction::Remove => {
                note(&mut self.notes, place, key, State::Redacted, true);
                return false;
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
        if let Some(other) = replaced {
            attribute.value = Value::from(other);
        }
        true
    }

    fn redaction(&mut self, attribute: &str, text: &str) -> Redaction {
        let Some(hook) = &self.policy.hook else {
            return Redaction::Keep;
        };
        if self.hook_failed {
            return Redaction::Remove;
        }
        let content = Content { kind: self.kind, attribute, text };
        catch_unwind(AssertUnwindSafe(|| hook(&content))).unwrap_or_else(|_| {
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

/// The record's own content.
const CONTENT: [&str; 23] = [
    "tachograph.prompt",
    "tachograph.negative_prompt",
    "tachograph.output",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.system_instructions",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "tachograph.inputs",
    "tachograph.outputs",
    "tachograph.decision.steps",
    "tachograph.decision.raw_output",
    "tachograph.state.before",
    "tachograph.state.after",
    "tachograph.details",
    "tachograph.context",
    "tachograph.attempt.error",
    "exception.message",
];

/// Content in the older and the other dialects.
const CONTENT_PREFIXES: [&str; 8] = [
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompt",
    "llm.completion",
    "input.value",
    "output.value",
];

/// How a call ended, in words.
const ENDING: [&str; 2] = ["tachograph.outcome.reason", "tachograph.error"];

/// What other code may set on a record's span without its being content: names of fields, and of where and how things run.
const PLAIN: [&str; 32] = [
    "tachograph.actor.id",
    "tachograph.actor.type",
    "tachograph.action.type",
    "tachograph.resource.id",
    "tachograph.resource.type",
    "tachograph.tenant",
    "tachograph.team",
    "tachograph.outcome",
    "tachograph.model.version",
    "tachograph.input.hash",
    "tachograph.output.hash",
    "tachograph.output.path",
    "tachograph.cost.currency",
    "tachograph.content_flags",
    "tachograph.decision.type",
    "tachograph.decision.final",
    "enduser.id",
    "user.id",
    "session.id",
    "client.address",
    "error.type",
    "exception.type",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.system",
    "gen_ai.conversation.id",
    "gen_ai.data_source.id",
    "gen_ai.output.type",
    "gen_ai.tool.name",
    "gen_ai.tool.type",
    "gen_ai.tool.call.id",
    "http.request.method",
];
const PLAIN_PREFIXES: [&str; 9] = [
    "gen_ai.request.",
    "gen_ai.response.",
    "gen_ai.agent.",
    "gen_ai.token.",
    "code.",
    "network.",
    "server.",
    "thread.",
    "rpc.",
];

fn class(attribute: &str, is_foreign: bool) -> Class {
    if CONTENT.contains(&attribute) || CONTENT_PREFIXES.iter().any(|prefix| attribute.starts_with(prefix)) {
        Class::Content
    } else if ENDING.contains(&attribute) {
        Class::Ending
    } else if is_foreign
        && !PLAIN.contains(&attribute)
        && !PLAIN_PREFIXES.iter().any(|prefix| attribute.starts_with(prefix))
    {
        Class::Content
    } else {
        Class::Plain
    }
}
