//! What a signature at the source is over: `docs/format.md`, section 14. Computed from what arrived and kept as text, so that whoever has
//! the source's key can check it later. The collector has no such key and checks nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tachograph_record::{write_hex, write_str};

use super::span_kind;
use crate::otlp::{AnyValue, Event, KeyValue, Link, LogRecord, Span, write_list};

/// The attribute that holds the signature: a record without it has nothing that is signed.
const VALUE: &str = "audit.integrity.value";
/// Attributes that are the proof and no part of what it is over.
const PROOF: &str = "audit.integrity.";

/// A longer text is not kept, so that it leaves room for the record itself.
const MAX_BYTES: usize = 16 << 20;

/// What the signature of `span` is over, if it carries one.
pub(super) fn of_span(span: &Span<'_>) -> Option<String> {
    signed(&span.attributes, |object| {
        object.attributes(own(&span.attributes));
        object.text("event_name", span.name);
        object.list("events", &span.events, write_event);
        object.list("links", &span.links, write_link);
        object.number("observed_timestamp", span.end_time_unix_nano);
        object.id("parent_span_id", span.parent_span_id);
        object.id("span_id", span.span_id);
        match span_kind(span.kind) {
            Some(kind) => object.text("span_kind", kind),
            None => object.number("span_kind", span.kind),
        }
        if span.status_code != 0 || !span.status_message.is_empty() {
            write_status(span, object.member("status"));
        }
        object.number("timestamp", span.start_time_unix_nano);
        object.id("trace_id", span.trace_id);
    })
}

/// What the signature of `log` is over, if it carries one.
pub(super) fn of_log(log: &LogRecord<'_>) -> Option<String> {
    signed(&log.attributes, |object| {
        object.attributes(own(&log.attributes));
        if log.body != AnyValue::Empty {
            write_value(&log.body, object.member("body"));
        }
        object.text("event_name", log.event_name);
        object.number("observed_timestamp", log.observed_time_unix_nano);
        object.id("span_id", log.span_id);
        object.number("timestamp", log.time_unix_nano);
        object.id("trace_id", log.trace_id);
    })
}

fn signed(attributes: &[KeyValue<'_>], write: impl FnOnce(&mut Object<'_>)) -> Option<String> {
    attributes.iter().find(|attribute| attribute.key == VALUE)?;
    let mut json = Vec::with_capacity(1024);
    object(&mut json, write);
    if json.len() > MAX_BYTES {
        return None;
    }
    // UTF-8 was appended to UTF-8.
    String::from_utf8(json).ok()
}

/// The record's attributes without the proof.
fn own<'v, 'a>(attributes: &'v [KeyValue<'a>]) -> impl Iterator<Item = &'v KeyValue<'a>> {
    attributes.iter().filter(|attribute| !attribute.key.starts_with(PROOF))
}

fn write_event(event: &Event<'_>, out: &mut Vec<u8>) {
    object(out, |object| {
        object.attributes(event.attributes.iter());
        object.text("name", event.name);
        object.number("timestamp", event.time_unix_nano);
    });
}

fn write_link(link: &Link<'_>, out: &mut Vec<u8>) {
    object(out, |object| {
        object.attributes(link.attributes.iter());
        object.id("span_id", link.span_id);
        object.id("trace_id", link.trace_id);
        object.text("trace_state", link.trace_state);
    });
}

fn write_status(span: &Span<'_>, out: &mut Vec<u8>) {
    object(out, |object| {
        match span.status_code {
            1 => object.text("code", "ok"),
            2 => object.text("code", "error"),
            code => object.number("code", code),
        }
        object.text("message", span.status_message);
    });
}

/// Writes a value in the draft's form: a scalar within an object that names its type, a list as an array, a map as an object.
fn write_value(value: &AnyValue<'_>, out: &mut Vec<u8>) {
    let kind: &[u8] = match value {
        AnyValue::Empty => return out.extend_from_slice(b"null"),
        AnyValue::Array(values) => return write_list(values, out, write_value),
        AnyValue::KvList(pairs) => return write_map(pairs.iter(), out),
        AnyValue::Str(_) => b"{\"stringValue\":",
        AnyValue::Bool(_) => b"{\"boolValue\":",
        AnyValue::Int(_) => b"{\"intValue\":",
        AnyValue::Double(_) => b"{\"doubleValue\":",
        AnyValue::Bytes(_) => b"{\"bytesValue\":",
    };
    out.extend_from_slice(kind);
    match value {
        AnyValue::Str(text) => write_str(text, out),
        AnyValue::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        AnyValue::Int(int) => write_str(&int.to_string(), out),
        AnyValue::Double(double) => write_double(*double, out),
        AnyValue::Bytes(bytes) => write_str(&BASE64.encode(bytes), out),
        AnyValue::Empty | AnyValue::Array(_) | AnyValue::KvList(_) => {}
    }
    out.push(b'}');
}

/// Writes attributes as an object, sorted as RFC 8785 sorts. Of two with one key the last counts.
fn write_map<'v, 'a: 'v>(pairs: impl Iterator<Item = &'v KeyValue<'a>>, out: &mut Vec<u8>) {
    let mut pairs: Vec<_> = pairs.collect();
    // The sort is stable: the last of equal keys stays the last.
    pairs.sort_by(|a, b| a.key.encode_utf16().cmp(b.key.encode_utf16()));
    let is_last = |at: usize| pairs.get(at + 1).is_none_or(|next| next.key != pairs[at].key);
    object(out, |object| {
        for (at, pair) in pairs.iter().enumerate().filter(|(at, _)| is_last(*at)) {
            write_value(&pairs[at].value, object.member(pair.key));
        }
    });
}

/// Writes a double as ECMAScript does (ECMA-262, Number::toString), which RFC 8785 asks for; what is no number as OTLP/JSON does.
fn write_double(double: f64, out: &mut Vec<u8>) {
    if !double.is_finite() {
        return tachograph_record::write_f64(double, out);
    }
    if double == 0.0 {
        return out.push(b'0');
    }
    // The shortest digits that read back the same, and the power of ten of the first one.
    let shortest = format!("{double:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |mantissa| ("-", mantissa));
    let (digits, exponent) = (mantissa.replace('.', ""), exponent.parse().unwrap_or(0_i32));
    let point = exponent + 1;
    let text = match usize::try_from(point) {
        Ok(point @ 1..=21) if digits.len() <= point => format!("{sign}{digits:0<point$}"),
        Ok(point @ 1..=21) => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
        _ if (-5..=0).contains(&point) => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{dot}{rest}e{exponent:+}")
        }
    };
    out.extend_from_slice(text.as_bytes());
}

/// Members that are written in the order in which RFC 8785 sorts them; empty ones are left out.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    write(&mut Object { out, is_empty: true });
    out.push(b'}');
}

impl Object<'_> {
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        write_str(name, self.out);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            write_str(text, self.member(name));
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        if number != 0 {
            write_str(&number.to_string(), self.member(name));
        }
    }

    fn id(&mut self, name: &str, id: &[u8]) {
        if id.iter().any(|byte| *byte != 0) {
            let out = self.member(name);
            out.push(b'"');
            write_hex(id, out);
            out.push(b'"');
        }
    }

    fn list<T>(&mut self, name: &str, values: &[T], write: impl FnMut(&T, &mut Vec<u8>)) {
        if !values.is_empty() {
            write_list(values, self.member(name), write);
        }
    }

    fn attributes<'v, 'a: 'v>(&mut self, attributes: impl Iterator<Item = &'v KeyValue<'a>>) {
        let mut attributes = attributes.peekable();
        if attributes.peek().is_some() {
            write_map(attributes, self.member("attributes"));
        }
    }
}

#[cfg(test)]
mod tests;
