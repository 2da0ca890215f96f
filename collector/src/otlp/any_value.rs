//! `AnyValue` and `KeyValue`, and how they are written as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tachograph_record::{MAX_SAFE_INTEGER, write_f64, write_str};

use super::wire::{DecodeError, Fields, MAX_VALUE_DEPTH, Unknown, Wire, text, within_limit};

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// No value set.
    Empty,
    /// UTF-8 text.
    Str(&'a str),
    /// A flag.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list.
    Array(Vec<AnyValue<'a>>),
    /// A map, in order, duplicates kept.
    KvList(Vec<KeyValue<'a>>),
}

/// An attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyValue<'a> {
    /// Its name.
    pub key: &'a str,
    /// Its value.
    pub value: AnyValue<'a>,
}

impl<'a> KeyValue<'a> {
    /// Fields that this program does not know are added to `unknown`, as they came.
    pub(super) fn decode(message: &'a [u8], max_bytes: usize, unknown: Unknown<'_, 'a>) -> Result<Self, DecodeError> {
        Self::decode_at(message, max_bytes, MAX_VALUE_DEPTH, unknown)
    }

    fn decode_at(
        message: &'a [u8],
        max_bytes: usize,
        depth: usize,
        unknown: Unknown<'_, 'a>,
    ) -> Result<Self, DecodeError> {
        let mut attribute = Self { key: "", value: AnyValue::Empty };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Bytes(key)) => attribute.key = text(key, max_bytes).map_err(|e| e.within("key"))?,
                (2, Wire::Bytes(value)) => {
                    attribute.value = AnyValue::decode_at(value, max_bytes, depth, unknown).map_err(|e| {
                        // The key says more than a position does.
                        e.within(format_args!("value[{}]", printable(attribute.key)))
                    })?;
                }
                _ => unknown.push(field.raw),
            }
        }
        Ok(attribute)
    }
}

/// A key for an error message: short, on one line.
fn printable(key: &str) -> String {
    key.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

impl<'a> AnyValue<'a> {
    /// Fields that this program does not know are added to `unknown`, as they came.
    pub(super) fn decode(message: &'a [u8], max_bytes: usize, unknown: Unknown<'_, 'a>) -> Result<Self, DecodeError> {
        Self::decode_at(message, max_bytes, MAX_VALUE_DEPTH, unknown)
    }

    fn decode_at(
        message: &'a [u8],
        max_bytes: usize,
        depth: usize,
        unknown: Unknown<'_, 'a>,
    ) -> Result<Self, DecodeError> {
        let Some(inner) = depth.checked_sub(1) else {
            return Err(DecodeError::new(format!("nested deeper than {MAX_VALUE_DEPTH}")));
        };
        let mut value = Self::Empty;
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            // The last one wins, as in every `oneof`.
            value = match (field.number, field.value) {
                (1, Wire::Bytes(bytes)) => Self::Str(text(bytes, max_bytes)?),
                (2, Wire::Varint(flag)) => Self::Bool(flag != 0),
                (3, Wire::Varint(int)) => Self::Int(int.cast_signed()),
                (4, Wire::Fixed64(bits)) => Self::Double(f64::from_bits(bits)),
                (5, Wire::Bytes(list)) => {
                    Self::Array(elements(list, unknown, |m, unknown| Self::decode_at(m, max_bytes, inner, unknown))?)
                }
                (6, Wire::Bytes(list)) => Self::KvList(elements(list, unknown, |m, unknown| {
                    KeyValue::decode_at(m, max_bytes, inner, unknown)
                })?),
                (7, Wire::Bytes(bytes)) => Self::Bytes(within_limit(bytes, max_bytes)?),
                _ => {
                    unknown.push(field.raw);
                    value
                }
            };
        }
        Ok(value)
    }
}

fn elements<'a, T>(
    list: &'a [u8],
    unknown: Unknown<'_, 'a>,
    decode: impl Fn(&'a [u8], Unknown<'_, 'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut values = Vec::new();
    let mut fields = Fields::new(list);
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, Wire::Bytes(message)) => {
                let value = decode(message, unknown);
                values.push(value.map_err(|e| e.within(format_args!("values[{}]", values.len())))?);
            }
            _ => unknown.push(field.raw),
        }
    }
    Ok(values)
}

/// Appends a list of attributes as OTLP/JSON writes it: `[{"key":…,"value":{"intValue":"7"}},…]`.
pub fn write_key_values(attributes: &[KeyValue<'_>], out: &mut Vec<u8>) {
    write_list(attributes, out, write_key_value);
}

/// Appends one attribute: `{"key":…,"value":{"intValue":"7"}}`.
pub fn write_key_value(attribute: &KeyValue<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    write_str(attribute.key, out);
    out.extend_from_slice(b",\"value\":");
    write_value(&attribute.value, out);
    out.push(b'}');
}

/// Appends a value with its type, as OTLP/JSON writes it. Bytes are base64.
pub fn write_value(value: &AnyValue<'_>, out: &mut Vec<u8>) {
    let (name, close): (&[u8], &[u8]) = match value {
        AnyValue::Empty => return out.extend_from_slice(b"{}"),
        AnyValue::Str(_) => (b"{\"stringValue\":", b"}"),
        AnyValue::Bool(_) => (b"{\"boolValue\":", b"}"),
        AnyValue::Int(_) => (b"{\"intValue\":", b"}"),
        AnyValue::Double(_) => (b"{\"doubleValue\":", b"}"),
        AnyValue::Bytes(_) => (b"{\"bytesValue\":", b"}"),
        AnyValue::Array(_) => (b"{\"arrayValue\":{\"values\":", b"}}"),
        AnyValue::KvList(_) => (b"{\"kvlistValue\":{\"values\":", b"}}"),
    };
    out.extend_from_slice(name);
    match value {
        AnyValue::Empty => {}
        AnyValue::Str(text) => write_str(text, out),
        AnyValue::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        AnyValue::Int(int) => write_str(&int.to_string(), out),
        AnyValue::Double(double) => write_f64(*double, out),
        AnyValue::Bytes(bytes) => write_str(&BASE64.encode(bytes), out),
        AnyValue::Array(values) => write_list(values, out, write_value),
        AnyValue::KvList(values) => write_key_values(values, out),
    }
    out.extend_from_slice(close);
}

/// Appends a value as plain JSON, without its type: lists become arrays and maps become objects. Integers beyond ±2^53 become
/// strings, and a map in which a key comes twice becomes an array of `[key, value]`, because an object would lose one of them.
pub fn write_plain(value: &AnyValue<'_>, out: &mut Vec<u8>) {
    match value {
        AnyValue::Empty => out.extend_from_slice(b"null"),
        AnyValue::Str(text) => write_str(text, out),
        AnyValue::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        AnyValue::Int(int) if int.unsigned_abs() > MAX_SAFE_INTEGER => write_str(&int.to_string(), out),
        AnyValue::Int(int) => out.extend_from_slice(int.to_string().as_bytes()),
        AnyValue::Double(double) => write_f64(*double, out),
        AnyValue::Bytes(bytes) => write_str(&BASE64.encode(bytes), out),
        AnyValue::Array(values) => write_list(values, out, write_plain),
        AnyValue::KvList(values) if has_duplicate_key(values) => write_list(values, out, |pair, out| {
            out.push(b'[');
            write_str(pair.key, out);
            out.push(b',');
            write_plain(&pair.value, out);
            out.push(b']');
        }),
        AnyValue::KvList(values) => {
            write_plain_object(values.iter().map(|pair| (pair.key, &pair.value)), out);
        }
    }
}

/// Appends an object of plain values. Its names must be different.
pub fn write_plain_object<'v>(pairs: impl Iterator<Item = (&'v str, &'v AnyValue<'v>)>, out: &mut Vec<u8>) {
    joined(pairs, *b"{}", out, |(name, value), out| {
        write_str(name, out);
        out.push(b':');
        write_plain(value, out);
    });
}

fn has_duplicate_key(pairs: &[KeyValue<'_>]) -> bool {
    let mut keys: Vec<&str> = pairs.iter().map(|pair| pair.key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Appends an array, whose values `write` appends.
pub fn write_list<T>(values: &[T], out: &mut Vec<u8>, write: impl FnMut(&T, &mut Vec<u8>)) {
    joined(values.iter(), *b"[]", out, write);
}

fn joined<T>(
    values: impl Iterator<Item = T>,
    [open, close]: [u8; 2],
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(open);
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(value, out);
    }
    out.push(close);
}
