//! What is still to be done to a record after its call has ended: work that the delivery thread does, off the application's path.

use crate::capture::sha256;
use crate::event::Kind;
use crate::ids::{Correlation, EventId};
use crate::values::Values;
use opentelemetry::trace::Status;
use opentelemetry::{Array, Key, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

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
}

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
    Status,
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
    pub(crate) fn set_content(&mut self, notes: Vec<Note>, longest: Option<usize>, hashes: bool) {
        if !notes.is_empty() || hashes {
            self.content = Some(Box::new(Content { notes, longest, hashes }));
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
    fn complete(self, span: &mut SpanData) {
        let mut said = serde_json::Map::new();
        let mut hashes: Vec<(Key, String)> = Vec::new();
        for note in self.notes {
            let mut entry = serde_json::Map::new();
            entry.insert("state".to_owned(), note.state.as_str().into());
            if note.redacted && note.state != State::Redacted {
                entry.insert("redacted".to_owned(), true.into());
            }
            let whole = match note.state {
                State::Off | State::Redacted => None,
                State::Hashed => take_text(span, &note, |_| None),
                State::Truncated => take_text(span, &note, |text| Some(cut(text, self.longest))),
            };
            if let Some((hash, bytes)) = whole {
                entry.insert("sha256".to_owned(), hash.clone().into());
                entry.insert("bytes".to_owned(), bytes.into());
                if note.place == Place::Attribute {
                    hashes.push((note.attribute.clone(), hash));
                }
            }
            let name = match note.place {
                Place::Event(index) => match span.events.events.get(index) {
                    Some(event) => format!("{}/{}", event.name, note.attribute),
                    None => note.attribute.to_string(),
                },
                Place::Attribute | Place::Status => note.attribute.to_string(),
            };
            said.insert(name, entry.into());
        }
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
fn take_text(span: &mut SpanData, note: &Note, change: impl Fn(&str) -> Option<String>) -> Option<(String, usize)> {
    let attributes = match note.place {
        Place::Attribute => &mut span.attributes,
        Place::Event(index) => &mut span.events.events.get_mut(index)?.attributes,
        Place::Status => {
            let Status::Error { description } = &mut span.status else {
                return None;
            };
            let whole = (sha256(description.as_bytes()), description.len());
            *description = change(description).unwrap_or_default().into();
            return Some(whole);
        }
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
