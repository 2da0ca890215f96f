//! The pass over the JSON text, led by the schema.
//!
//! A nested message is written where it belongs and its length put in front afterwards, so that nothing but the output
//! is held. serde_json bounds the depth at 128, which is below the 100 nested messages that protobuf decoders take:
//! one nested value is three levels of JSON and two messages.

use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    Fault, Transcoded,
    scalar::{self, Default, Scalar},
    schema::{Field, Kind, Message},
};

/// Reads `text`.
pub(super) fn run(message: &'static Message, text: &[u8]) -> Result<Transcoded, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut output = Output::with_capacity(text.len());
    Whole { message, output: &mut output }.deserialize(&mut json)?;
    json.end()?;
    Ok(Transcoded { protobuf: output.bytes, unknown_members: output.unknown_members })
}

/// Reads `text`, which [`run`] could not, again to find the path of what is wrong.
pub(super) fn explain(message: &'static Message, text: &[u8]) -> Fault {
    let mut json = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let mut output = Output::with_capacity(text.len());
    let whole = Whole { message, output: &mut output };
    let result = whole.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    // The place inside an object that breaks off between two members is written as `?`.
    let path = track.path().to_string();
    let path = path.trim_end_matches('?').trim_end_matches('.');
    match result.and_then(|()| json.end()) {
        Err(e) => Fault {
            field: match path {
                "" => "body".into(),
                _ => path.into(),
            },
            reason: e.to_string(),
        },
        // Both passes read the same bytes by the same rules.
        Ok(()) => Fault { field: "body".into(), reason: "it cannot be read".into() },
    }
}

struct Output {
    bytes: Vec<u8>,
    unknown_members: u64,
}

impl Output {
    fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), unknown_members: 0 }
    }

    /// Begins a nested message; returns where its content begins.
    fn open(&mut self, number: u32) -> usize {
        encode_key(number, WireType::LengthDelimited, &mut self.bytes);
        // Room for the length of a short message.
        self.bytes.push(0);
        self.bytes.len()
    }

    /// Ends the message whose content began at `start`.
    fn close(&mut self, start: usize) {
        let end = self.bytes.len();
        let content = (end - start) as u64;
        let more = encoded_len_varint(content) - 1;
        self.bytes.resize(end + more, 0);
        self.bytes.copy_within(start..end, start + more);
        encode_varint(content, &mut &mut self.bytes[start - 1..]);
    }
}

/// The request itself.
struct Whole<'o> {
    message: &'static Message,
    output: &'o mut Output,
}

impl<'de> DeserializeSeed<'de> for Whole<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        members(self.message, self.output, map)
    }
}

fn members<'de, A: MapAccess<'de>>(message: &'static Message, output: &mut Output, mut map: A) -> Result<(), A::Error> {
    let mut seen = 0_u32;
    while let Some(name) = map.next_key_seed(Name(message))? {
        let Some((place, field)) = name else {
            map.next_value::<IgnoredAny>()?;
            output.unknown_members += 1;
            continue;
        };
        let there = map.next_value_seed(Value {
            field,
            place: Place::Member {
                one_of: message.one_of,
                again: seen & 1 << place != 0,
                another: message.one_of && seen != 0,
            },
            output: &mut *output,
        })?;
        if there {
            seen |= 1 << place;
        }
    }
    Ok(())
}

/// The name of a member: the field that it means, if OTLP has one.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(usize, &'static Field)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<(usize, &'static Field)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place {
    /// It is a member's value.
    Member {
        one_of: bool,
        /// The member was there before.
        again: bool,
        /// Another member of the same `oneof` was there before.
        another: bool,
    },
    /// It is in a list.
    Element,
}

/// A value of a field; gives back whether there was one, `null` being none.
struct Value<'o> {
    field: &'static Field,
    place: Place,
    output: &'o mut Output,
}

impl Value<'_> {
    fn is_list(&self) -> bool {
        self.field.repeated && matches!(self.place, Place::Member { .. })
    }

    fn check_single<E: Error>(&self) -> Result<(), E> {
        match self.place {
            Place::Member { again: true, .. } => Err(E::custom("this member is there twice")),
            Place::Member { another: true, .. } => Err(E::custom("this is a second value where one is allowed")),
            _ => Ok(()),
        }
    }

    fn scalar<E: Error>(self, value: Scalar<'_>) -> Result<bool, E> {
        self.check_single()?;
        if self.is_list() {
            return Err(E::custom(scalar::mismatch("a list", value)));
        }
        let default = match self.place {
            Place::Member { one_of: false, .. } => Default::Skip,
            _ => Default::Write,
        };
        scalar::write(&mut self.output.bytes, self.field.number, self.field.kind, default, value).map_err(E::custom)?;
        Ok(true)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of OTLP")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.scalar(Scalar::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.scalar(Scalar::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.scalar(Scalar::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        self.scalar(Scalar::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        if let Place::Member { .. } = self.place {
            return Ok(false);
        }
        // In a list every element counts: `null` among values is the empty value.
        match self.field.kind {
            Kind::Message(_) => {
                let start = self.output.open(self.field.number);
                self.output.close(start);
                Ok(true)
            }
            _ => Err(E::custom("expected a value, found null")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        self.check_single()?;
        if !self.is_list() {
            return Err(A::Error::custom("expected a single value, found a list"));
        }
        while list
            .next_element_seed(Value { field: self.field, place: Place::Element, output: &mut *self.output })?
            .is_some()
        {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        self.check_single()?;
        if self.is_list() {
            return Err(A::Error::custom("expected a list, found an object"));
        }
        let Kind::Message(message) = self.field.kind else {
            return Err(A::Error::custom("expected a single value, found an object"));
        };
        let start = self.output.open(self.field.number);
        members(message, self.output, map)?;
        self.output.close(start);
        Ok(true)
    }
}
