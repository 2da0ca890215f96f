//! What is still to be done to a record after its call has ended: work that the delivery thread does, off the application's path.

use crate::capture::sha256;
use opentelemetry::trace::Status;
use opentelemetry::{Array, Key, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;

/// Which attributes the input's hash and the output's hash are of: the first of them that is there.
const HASHES: [(&str, [&str; 2]); 2] = [
    ("tachograph.input.hash", ["tachograph.prompt", "gen_ai.input.messages"]),
    ("tachograph.output.hash", ["tachograph.output", "gen_ai.output.messages"]),
];

/// Work on one record. Empty for most, and then without an allocation.
#[derive(Debug, Default)]
pub(crate) struct Late(Option<Box<Content>>);

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
    pub(crate) fn new(notes: Vec<Note>, longest: Option<usize>, hashes: bool) -> Self {
        if notes.is_empty() && !hashes {
            return Self::default();
        }
        Self(Some(Box::new(Content { notes, longest, hashes })))
    }

    /// Does it. To be called once, before the record is encoded, spooled or sent.
    pub(crate) fn complete(self, span: &mut SpanData) {
        if let Some(content) = self.0 {
            content.complete(span);
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
    let end = longest.map_or(text.len(), |longest| text.floor_char_boundary(longest));
    text[..end].to_owned()
}
