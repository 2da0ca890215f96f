//! What is still to be done to a record after its call has ended: work that the delivery thread does, off the application's path.

use crate::capture::sha256;
use crate::event::Kind;
use crate::ids::{Correlation, EventId};
use crate::values::Values;
use opentelemetry::trace::Status;
use opentelemetry::{Array, Key, KeyValue, Value};
#[cfg(feature = "logs")]
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value},
    logs::v1::LogRecord,
};
use opentelemetry_sdk::trace::SpanData;
use std::borrow::Cow;

/// What [`Identity`] becomes, at most, and what the delivery thread adds of the producer.
const IDENTITY_ATTRIBUTES: usize = 4;
const PRODUCER_ATTRIBUTES: usize = 3;

/// Which attributes the input's hash and the output's hash are of: the first of them that is there.
const HASHES: [(&str, [&str; 2]); 2] = [
    ("tachograph.input.hash", ["tachograph.prompt", "gen_ai.input.messages"]),
    ("tachograph.output.hash", ["tachograph.output", "gen_ai.output.messages"]),
];

/// Work on one record. It takes no allocation unless there is something to be done to content.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// Attributes that are not in the span yet.
    values: Values,
    identity: Option<Identity>,
    content: Option<Box<Content>>,
}

/// Which event the record is of; it goes into the attributes first, before whatever a receiver may cut.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) kind: Kind,
    pub(crate) event_id: EventId,
    pub(crate) correlation_id: Correlation,
    pub(crate) parent_id: Option<EventId>,
}

/// What is to become of the record's content. Until it has, the text is in the span, in memory only.
#[derive(Debug)]
struct Content {
    notes: Vec<Note>,
    longest: Option<usize>,
    /// Hashes of input and output are wanted though both are there.
    hashes: bool,
    /// The record's own name, if other code gave it another.
    name: Option<Cow<'static, str>>,
}

/// The text of a piece of content before it was changed: its hash and its length.
type Whole = (String, usize);

/// What becomes of the text of a piece of content, and whether anything does.
type Change<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A piece of content that does not stay as it was, and why.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) place: Place,
    pub(crate) attribute: Key,
    pub(crate) state: State,
    /// A hook replaced it or took it out.
    pub(crate) redacted: bool,
}

impl Note {
    pub(crate) fn is_of(&self, place: Place, attribute: &Key) -> bool {
        self.place == place && self.attribute == *attribute
    }
}

/// Where in the span a piece of content is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Attribute,
    /// An attribute of this event.
    Event(usize),
    /// This event's name.
    EventName(usize),
    /// An attribute of this link.
    Link(usize),
    /// The name that other code gave the record.
    Name,
    Status,
    /// Of a log record.
    #[cfg_attr(not(feature = "logs"), expect(dead_code, reason = "log records have one"))]
    Body,
}

/// What becomes, or became, of a piece of content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It was left out.
    Off,
    /// Its hash takes its place.
    Hashed,
    /// A hook changed it or took it out.
    Redacted,
    /// It is cut.
    Truncated,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hashed => "hashed",
            Self::Redacted => "redacted",
            Self::Truncated => "truncated",
        }
    }
}

impl Late {
    /// For a record of an event.
    pub(crate) fn of(identity: Identity, values: Values) -> Self {
        Self { values, identity: Some(identity), content: None }
    }

    /// What is to be done to content.
    pub(crate) fn set_content(
        &mut self,
        notes: Vec<Note>,
        longest: Option<usize>,
        hashes: bool,
        name: Option<Cow<'static, str>>,
    ) {
        if !notes.is_empty() || hashes {
            self.content = Some(Box::new(Content { notes, longest, hashes, name }));
        }
    }

    /// Puts the values into the span at once.
    pub(crate) fn expand(&mut self, span: &mut SpanData) {
        let others = std::mem::take(&mut span.attributes);
        std::mem::take(&mut self.values).append_to(&mut span.attributes);
        span.attributes.extend(others);
    }

    /// About what the values take that are not in the span yet.
    pub(crate) fn bytes(&self) -> usize {
        self.values.bytes()
    }

    /// Does it. To be called once, before the record is encoded, spooled or sent.
    pub(crate) fn complete(self, span: &mut SpanData) {
        let Self { values, identity, content } = self;
        if let Some(identity) = identity {
            let others = std::mem::take(&mut span.attributes);
            let room = IDENTITY_ATTRIBUTES + values.len() + others.len() + PRODUCER_ATTRIBUTES;
            span.attributes = Vec::with_capacity(room);
            identity.append_to(&mut span.attributes);
            values.append_to(&mut span.attributes);
            span.attributes.extend(others);
        }
        if let Some(content) = content {
            content.complete(span);
        }
    }

    /// Does it to a log record.
    #[cfg(feature = "logs")]
    pub(crate) fn complete_log(self, log: &mut LogRecord) {
        let Some(content) = self.content else {
            return;
        };
        let (said, _) = content.say(|note, change| {
            let whole = change.and_then(|change| take_log_text(log, note, change));
            (note.attribute.to_string(), whole)
        });
        if !said.is_empty() {
            log.attributes.push(opentelemetry_proto::tonic::common::v1::KeyValue {
                key: "tachograph.capture".to_owned(),
                value: Some(AnyValue {
                    value: Some(any_value::Value::StringValue(serde_json::Value::Object(said).to_string())),
                }),
                ..Default::default()
            });
        }
    }
}

impl Identity {
    fn append_to(self, attributes: &mut Vec<KeyValue>) {
        attributes.push(KeyValue::new("tachograph.kind", self.kind.as_str()));
        attributes.push(KeyValue::new("tachograph.event.id", self.event_id.to_string()));
        let correlation = match self.correlation_id {
            Correlation::Made(id) => Value::from(id.to_string()),
            Correlation::Named(text) => Value::String(text.into()),
        };
        attributes.push(KeyValue::new("tachograph.correlation.id", correlation));
        if let Some(parent) = self.parent_id {
            attributes.push(KeyValue::new("tachograph.parent.id", parent.to_string()));
        }
    }
}

impl Content {
    /// Has `treat` do what is left to be done for each piece, and gives what is to be said, and the hashes of attributes.
    fn say(
        &self,
        mut treat: impl FnMut(&Note, Option<Change<'_>>) -> (String, Option<Whole>),
    ) -> (serde_json::Map<String, serde_json::Value>, Vec<(Key, String)>) {
        let mut said = serde_json::Map::new();
        let mut hashes: Vec<(Key, String)> = Vec::new();
        // Names of events first: what is said of their attributes names them.
        let is_name = |note: &&Note| matches!(note.place, Place::EventName(_));
        let names = self.notes.iter().filter(is_name);
        for note in names.chain(self.notes.iter().filter(|note| !is_name(note))) {
            let mut entry = serde_json::Map::new();
            entry.insert("state".to_owned(), note.state.as_str().into());
            if note.redacted && note.state != State::Redacted {
                entry.insert("redacted".to_owned(), true.into());
            }
            let (name, whole) = match note.state {
                State::Off | State::Redacted => treat(note, None),
                State::Hashed => treat(note, Some(&|_| None)),
                State::Truncated => treat(note, Some(&|text| Some(cut(text, self.longest)))),
            };
            if let Some((hash, bytes)) = whole {
                entry.insert("sha256".to_owned(), hash.clone().into());
                entry.insert("bytes".to_owned(), bytes.into());
                if note.place == Place::Attribute {
                    hashes.push((note.attribute.clone(), hash));
                }
            }
            let name = match note.place {
                Place::Event(index) | Place::EventName(index) if said.contains_key(&name) => format!("{name}#{index}"),
                _ => name,
            };
            said.insert(name, entry.into());
        }
        (said, hashes)
    }

    fn complete(self, span: &mut SpanData) {
        let (said, hashes) = self.say(|note, change| {
            let whole = change.and_then(|change| take_text(span, note, self.name.as_ref(), change));
            let name = match note.place {
                Place::Event(index) => match span.events.events.get(index) {
                    Some(event) => format!("{}/{}", event.name, note.attribute),
                    None => note.attribute.to_string(),
                },
                Place::Link(index) => format!("link.{index}/{}", note.attribute),
                Place::Attribute | Place::EventName(_) | Place::Name | Place::Status | Place::Body => {
                    note.attribute.to_string()
                }
            };
            (name, whole)
        });
        for (attribute, of) in HASHES {
            if span.attributes.iter().any(|known| known.key.as_str() == attribute) {
                continue; // named by an argument
            }
            let known = of.iter().find_map(|content| {
                let hashed = hashes.iter().find(|(key, _)| key.as_str() == *content).map(|(_, hash)| hash.clone());
                hashed.or_else(|| {
                    let text = span.attributes.iter().find(|known| known.key.as_str() == *content);
                    text.filter(|_| self.hashes).map(|known| sha256(known.value.as_str().as_bytes()))
                })
            });
            if let Some(hash) = known {
                span.attributes.push(KeyValue::new(attribute, hash));
            }
        }
        if !said.is_empty() {
            let said = serde_json::Value::Object(said).to_string();
            span.attributes.push(KeyValue::new("tachograph.capture", said));
        }
    }
}

/// Puts what `change` makes of a text in its place, or nothing; gives the hash and the length of the whole.
fn take_text(
    span: &mut SpanData,
    note: &Note,
    own_name: Option<&Cow<'static, str>>,
    change: Change<'_>,
) -> Option<Whole> {
    let attributes = match note.place {
        Place::Attribute => &mut span.attributes,
        Place::Event(index) => &mut span.events.events.get_mut(index)?.attributes,
        Place::Link(index) => &mut span.links.links.get_mut(index)?.attributes,
        Place::EventName(index) => {
            return Some(take_name(&mut span.events.events.get_mut(index)?.name, "event".into(), change));
        }
        Place::Name => return Some(take_name(&mut span.name, own_name.cloned().unwrap_or_default(), change)),
        Place::Status => {
            let Status::Error { description } = &mut span.status else {
                return None;
            };
            return Some(take_name(description, Cow::Borrowed(""), change));
        }
        Place::Body => return None,
    };
    let mut whole = None;
    attributes.retain_mut(|attribute| {
        if attribute.key != note.attribute {
            return true;
        }
        let text = text_of(&attribute.value);
        whole = Some((sha256(&text), text.len()));
        match change(&text) {
            Some(changed) => {
                attribute.value = Value::from(changed);
                true
            }
            None => false,
        }
    });
    whole
}

fn take_name(name: &mut Cow<'static, str>, instead: Cow<'static, str>, change: Change<'_>) -> Whole {
    let whole = (sha256(name.as_bytes()), name.len());
    *name = change(name).map_or(instead, Cow::Owned);
    whole
}

#[cfg(feature = "logs")]
fn take_log_text(log: &mut LogRecord, note: &Note, change: Change<'_>) -> Option<Whole> {
    let text_of = |value: &Option<AnyValue>| value.as_ref().and_then(log_text).map(Cow::into_owned);
    let changed = |text: &str| change(text).map(|text| AnyValue { value: Some(any_value::Value::StringValue(text)) });
    let mut whole = None;
    if note.place == Place::Body {
        let text = text_of(&log.body)?;
        whole = Some((sha256(&text), text.len()));
        log.body = changed(&text);
        return whole;
    }
    log.attributes.retain_mut(|attribute| {
        if attribute.key != note.attribute.as_str() {
            return true;
        }
        let Some(text) = text_of(&attribute.value) else {
            return true;
        };
        whole = Some((sha256(&text), text.len()));
        attribute.value = changed(&text);
        attribute.value.is_some()
    });
    whole
}

/// The text in a value of a log record, of a list or a map its JSON text; none if there is no text in it.
#[cfg(feature = "logs")]
pub(crate) fn log_text(value: &AnyValue) -> Option<Cow<'_, str>> {
    use any_value::Value as Any;
    match value.value.as_ref()? {
        Any::StringValue(text) => Some(Cow::Borrowed(text)),
        Any::BytesValue(bytes) => Some(bytes_text(bytes)),
        Any::ArrayValue(_) | Any::KvlistValue(_) if has_text(value) => Some(Cow::Owned(log_json(value).to_string())),
        _ => None,
    }
}

#[cfg(feature = "logs")]
fn has_text(value: &AnyValue) -> bool {
    use any_value::Value as Any;
    match &value.value {
        Some(Any::StringValue(_) | Any::BytesValue(_)) => true,
        Some(Any::ArrayValue(list)) => list.values.iter().any(has_text),
        // Its keys are text.
        Some(Any::KvlistValue(map)) => !map.values.is_empty(),
        _ => false,
    }
}

/// Bytes that are no UTF-8 are in Base64.
#[cfg(feature = "logs")]
fn bytes_text(bytes: &[u8]) -> Cow<'_, str> {
    use base64::Engine;
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(base64::engine::general_purpose::STANDARD.encode(bytes)),
    }
}

#[cfg(feature = "logs")]
fn log_json(value: &AnyValue) -> serde_json::Value {
    use any_value::Value as Any;
    match &value.value {
        Some(Any::StringValue(text)) => text.as_str().into(),
        Some(Any::BytesValue(bytes)) => bytes_text(bytes).into(),
        Some(Any::BoolValue(truth)) => (*truth).into(),
        Some(Any::IntValue(number)) => (*number).into(),
        Some(Any::DoubleValue(number)) => (*number).into(),
        Some(Any::ArrayValue(list)) => list.values.iter().map(log_json).collect(),
        Some(Any::KvlistValue(map)) => {
            let json = |value: &Option<AnyValue>| value.as_ref().map_or(serde_json::Value::Null, log_json);
            map.values.iter().map(|item| (item.key.clone(), json(&item.value))).collect()
        }
        _ => serde_json::Value::Null,
    }
}

/// A list is hashed and cut as its JSON text.
fn text_of(value: &Value) -> String {
    match value {
        Value::Array(Array::String(texts)) => {
            let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
            serde_json::Value::from(texts).to_string()
        }
        other => other.as_str().into_owned(),
    }
}

/// The beginning of a text, at most so long, between two characters.
fn cut(text: &str, longest: Option<usize>) -> String {
    let longest = longest.unwrap_or(text.len()).min(text.len());
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text[..end].to_owned()
}
