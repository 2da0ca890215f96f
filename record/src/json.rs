//! JSON as it goes into a body: strings, numbers, and JSON that a sender made.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The largest integer up to which every integer is a JSON number (2^53).
pub const MAX_SAFE_INTEGER: u64 = 1 << 53;

/// How deep a sender's JSON may nest and still stand in a body as JSON.
pub const MAX_DEPTH: usize = 64;

/// Appends `text` as a JSON string. Escapes only what JSON demands, control characters as `\n`, `\t`, … or `\u00xx`.
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        if escape == b'u' {
            out.extend_from_slice(b"\\u00");
            crate::write_hex(&[byte], out);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// For each byte the letter behind its backslash, or 0.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        escapes[control] = b'u';
        control += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0a] = b'n';
    escapes[0x0c] = b'f';
    escapes[0x0d] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// Appends a double: the shortest number that reads back the same, or `"NaN"`, `"Infinity"`, `"-Infinity"`.
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    match serde_json::Number::from_f64(value) {
        Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
        None if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
        None if value > 0.0 => out.extend_from_slice(b"\"Infinity\""),
        None => out.extend_from_slice(b"\"-Infinity\""),
    }
}

/// A JSON value as text, kept letter by letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// Takes a sender's text: as JSON where it is JSON that every reader reads alike (nested no deeper than
    /// [`MAX_DEPTH`], integers within ±2^53, doubles finite), otherwise as one JSON string, letter by letter.
    pub fn from_sender(text: &'a str) -> Self {
        let mut reader = serde_json::Deserializer::from_str(text);
        let safe = Safe { depth: MAX_DEPTH }.deserialize(&mut reader).and_then(|()| reader.end());
        if safe.is_err() {
            return Self::string(text);
        }
        let json = text.trim();
        // A line break would split the body for line-oriented tools. In JSON it can only stand between tokens.
        Self(if json.contains(['\n', '\r']) {
            Cow::Owned(json.replace(['\n', '\r'], " "))
        } else {
            Cow::Borrowed(json)
        })
    }

    /// A JSON string of `text`.
    pub fn string(text: &str) -> Self {
        let mut json = Vec::with_capacity(text.len() + 2);
        write_str(text, &mut json);
        // `write_str` only adds ASCII to text that was UTF-8.
        Self(Cow::Owned(String::from_utf8(json).unwrap_or_default()))
    }

    /// JSON that the caller has just written itself.
    pub fn trusted(json: String) -> Self {
        debug_assert!(serde_json::from_str::<de::IgnoredAny>(&json).is_ok(), "not JSON: {json}");
        Self(Cow::Owned(json))
    }

    /// The same as bytes, which this crate's writers have appended: they append UTF-8 to UTF-8.
    pub fn written(json: Vec<u8>) -> Self {
        Self::trusted(String::from_utf8(json).unwrap_or_else(|_| "null".to_owned()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw: &'de RawValue = Deserialize::deserialize(deserializer)?;
        Ok(Self(Cow::Borrowed(raw.get())))
    }
}

/// Accepts any JSON value that all readers agree on.
struct Safe {
    depth: usize,
}

impl Safe {
    fn inner<E: de::Error>(&self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth }),
            None => Err(E::custom("nested too deep")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Safe {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Safe {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON that every reader reads alike")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        if value <= MAX_SAFE_INTEGER { Ok(()) } else { Err(E::custom("integer beyond 2^53")) }
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.visit_u64(value.unsigned_abs())
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        // Integers of more than 64 bits arrive here too, already rounded.
        let rounded_integer = value.fract() == 0.0 && value.abs() > MAX_SAFE_INTEGER as f64;
        if rounded_integer { Err(E::custom("integer beyond 2^53")) } else { Ok(()) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.inner()?)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Safe { depth: 1 })?.is_some() {
            map.next_value_seed(self.inner()?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_stays_json_only_where_readers_agree() {
        for text in ["{}", "[1,2.5,\"x\",null,true]", "{\"a\":{\"b\":[]}}", "9007199254740992", " 7 ", "-0.1e-5"] {
            assert_eq!(Json::from_sender(text).as_str(), text.trim());
        }
        let deep = "[".repeat(65) + &"]".repeat(65);
        for text in [
            "",
            "{",
            "nul",
            "{\"a\":1}x",
            "9007199254740993",
            "123456789012345678901234567890",
            "1e400",
            &deep,
            "[\"\n\"]",
        ] {
            let json = Json::from_sender(text);
            assert_eq!(serde_json::from_str::<String>(json.as_str()).unwrap(), text);
        }
        assert_eq!(Json::from_sender("{\r\n  \"a\": \"\\n\"\n}\n").as_str(), "{    \"a\": \"\\n\" }");
        let fits = "[".repeat(64) + &"]".repeat(64);
        assert_eq!(Json::from_sender(&fits).as_str(), fits);
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in "\\PC*|[\\x00-\\x7f]*|.*") {
            let mut ours = Vec::new();
            write_str(&text, &mut ours);
            prop_assert_eq!(String::from_utf8(ours).unwrap(), serde_json::to_string(&text).unwrap());
        }

        #[test]
        fn doubles_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            let mut json = Vec::new();
            write_f64(value, &mut json);
            let read: crate::Number = serde_json::from_slice(&json).unwrap();
            prop_assert!(read.0 == value || (read.0.is_nan() && value.is_nan()));
        }

        #[test]
        fn whatever_comes_becomes_one_json_value(text in ".*") {
            serde_json::from_str::<de::IgnoredAny>(Json::from_sender(&text).as_str()).unwrap();
        }
    }
}
