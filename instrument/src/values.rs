//! Attributes as the thread of the call collects them: cheap to add to, made into OpenTelemetry's form by the delivery thread.
//!
//! Short texts share one buffer, so that a record costs two allocations and not one for each text.

use crate::queue::value_bytes;
use opentelemetry::{KeyValue, Value};
use std::fmt::{Display, Write};

/// Longer texts are kept by themselves: to move them when the buffer grows would cost more than it saves.
const LONGEST_SHARED: usize = 4_096;
/// Room for the texts of a usual record. Below what the C library's allocator calls large, which takes it longer to find.
const USUAL_TEXT: usize = 768;

/// What a record holds so far. Named in the hidden methods of public traits, not to be used.
#[derive(Debug, Default)]
pub struct Values {
    slots: Vec<Slot>,
    text: String,
    /// About what is held outside of both.
    elsewhere: usize,
}

#[derive(Debug)]
struct Slot {
    attribute: &'static str,
    held: Held,
}

/// Simple values stand for themselves: to build a [`Value`] for each costs as much as all the rest.
#[derive(Debug)]
enum Held {
    /// From here to there in the buffer.
    Shared(usize, usize),
    Static(&'static str),
    Integer(i64),
    Float(f64),
    Truth(bool),
    Text(String),
    Other(Box<Value>),
}

impl From<Value> for Held {
    #[inline]
    fn from(value: Value) -> Self {
        match value {
            Value::I64(number) => Self::Integer(number),
            Value::F64(number) => Self::Float(number),
            Value::Bool(truth) => Self::Truth(truth),
            other => Self::Other(Box::new(other)),
        }
    }
}

impl Values {
    pub(crate) fn with_capacity(attributes: usize) -> Self {
        Self { slots: Vec::with_capacity(attributes), text: String::new(), elsewhere: 0 }
    }

    #[inline]
    fn add(&mut self, attribute: &'static str, held: Held) {
        self.slots.push(Slot { attribute, held });
    }

    pub(crate) fn push(&mut self, attribute: &'static str, value: impl Into<Value>) {
        let value = value.into();
        self.elsewhere += value_bytes(&value);
        self.add(attribute, value.into());
    }

    #[inline]
    pub(crate) fn push_integer(&mut self, attribute: &'static str, number: i64) {
        self.add(attribute, Held::Integer(number));
    }

    #[inline]
    pub(crate) fn push_number(&mut self, attribute: &'static str, number: f64) {
        self.add(attribute, Held::Float(number));
    }

    #[inline]
    pub(crate) fn push_truth(&mut self, attribute: &'static str, truth: bool) {
        self.add(attribute, Held::Truth(truth));
    }

    #[inline]
    pub(crate) fn push_static(&mut self, attribute: &'static str, text: &'static str) {
        self.add(attribute, Held::Static(text));
    }

    #[inline]
    pub(crate) fn push_string(&mut self, attribute: &'static str, text: String) {
        self.elsewhere += text.len();
        self.add(attribute, Held::Text(text));
    }

    /// Adds a copy of a text.
    #[inline]
    pub(crate) fn push_text(&mut self, attribute: &'static str, text: &str) {
        if text.len() > LONGEST_SHARED {
            return self.push_string(attribute, text.to_owned());
        }
        let start = self.begin();
        self.text.push_str(text);
        self.add(attribute, Held::Shared(start, self.text.len()));
    }

    /// Adds what a value writes of itself.
    pub(crate) fn push_display(&mut self, attribute: &'static str, value: &impl Display) {
        let start = self.begin();
        // Writing to a string can't fail; if the value refuses, what it wrote until then stands.
        let _ = write!(self.text, "{value}");
        self.add(attribute, Held::Shared(start, self.text.len()));
    }

    fn begin(&mut self) -> usize {
        if self.text.capacity() == 0 {
            self.text.reserve(USUAL_TEXT);
        }
        self.text.len()
    }

    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.slots.iter().any(|slot| slot.attribute == attribute)
    }

    pub(crate) fn remove(&mut self, attribute: &str) {
        self.slots.retain(|slot| slot.attribute != attribute);
    }

    pub(crate) fn get(&self, attribute: &str) -> Option<Value> {
        let slot = self.slots.iter().find(|slot| slot.attribute == attribute)?;
        Some(match &slot.held {
            Held::Shared(start, end) => Value::from(self.text[*start..*end].to_owned()),
            Held::Static(text) => Value::from(*text),
            Held::Integer(number) => Value::I64(*number),
            Held::Float(number) => Value::F64(*number),
            Held::Truth(truth) => Value::Bool(*truth),
            Held::Text(text) => Value::from(text.clone()),
            Held::Other(value) => Value::clone(value),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// About what they take in memory and on the wire.
    pub(crate) fn bytes(&self) -> usize {
        const FIXED: usize = 48;
        FIXED * self.slots.len() + self.text.len() + self.elsewhere
    }

    /// In OpenTelemetry's form, added to `attributes`.
    pub(crate) fn append_to(self, attributes: &mut Vec<KeyValue>) {
        let Self { slots, text, .. } = self;
        attributes.extend(slots.into_iter().map(|slot| {
            let value = match slot.held {
                Held::Shared(start, end) => Value::from(text[start..end].to_owned()),
                Held::Static(text) => Value::from(text),
                Held::Integer(number) => Value::I64(number),
                Held::Float(number) => Value::F64(number),
                Held::Truth(truth) => Value::Bool(truth),
                Held::Text(text) => Value::from(text),
                Held::Other(value) => *value,
            };
            KeyValue::new(slot.attribute, value)
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_in_order() {
        let long = "x".repeat(LONGEST_SHARED + 1);
        let mut values = Values::with_capacity(2);
        values.push_text("a", "füchse");
        values.push("b", 3);
        values.push_static("s", "static");
        values.push_string("o", "owned".to_owned());
        values.push_number("n", 0.5);
        values.push_truth("t", true);
        values.push("l", Value::Array(vec![1, 2].into()));
        values.push_text("c", "");
        values.push_text("d", &long);
        values.push_display("e", &7.5);
        values.push_text("f", "gone");
        values.remove("f");
        assert!(values.has("e") && !values.has("f"));
        assert_eq!(values.get("a"), Some(Value::from("füchse")));
        assert!(values.bytes() > long.len());
        let mut attributes = vec![KeyValue::new("first", true)];
        values.append_to(&mut attributes);
        let expected = [
            KeyValue::new("first", true),
            KeyValue::new("a", "füchse"),
            KeyValue::new("b", 3),
            KeyValue::new("s", "static"),
            KeyValue::new("o", "owned"),
            KeyValue::new("n", 0.5),
            KeyValue::new("t", true),
            KeyValue::new("l", Value::Array(vec![1, 2].into())),
            KeyValue::new("c", ""),
            KeyValue::new("d", long),
            KeyValue::new("e", "7.5"),
        ];
        assert_eq!(attributes, expected);
    }
}
