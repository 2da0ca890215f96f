//! What a signature is over: `docs/format.md`, section 14. RFC 8785 over a span.

use super::PROOF;
use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status, TraceId};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use std::time::{SystemTime, UNIX_EPOCH};

/// The bytes that are signed for `span`.
pub(super) fn of_span(span: &SpanData) -> Vec<u8> {
    let mut json = Vec::with_capacity(1024);
    // Members in the order in which RFC 8785 sorts them.
    object(&mut json, |object| {
        let own = |attribute: &&KeyValue| !attribute.key.as_str().starts_with(PROOF);
        object.attributes(span.attributes.iter().filter(own));
        object.text("event_name", &span.name);
        object.list("events", &span.events.events, write_event);
        object.list("links", &span.links.links, write_link);
        object.time("observed_timestamp", span.end_time);
        object.span_id("parent_span_id", span.parent_span_id);
        object.span_id("span_id", span.span_context.span_id());
        object.text("span_kind", kind(&span.span_kind));
        if span.status != Status::Unset {
            write_status(&span.status, object.member("status"));
        }
        object.time("timestamp", span.start_time);
        object.trace_id(span.span_context.trace_id());
    });
    json
}

fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

fn write_status(status: &Status, out: &mut Vec<u8>) {
    object(out, |object| match status {
        Status::Unset => {}
        Status::Ok => object.text("code", "ok"),
        Status::Error { description } => {
            object.text("code", "error");
            object.text("message", description);
        }
    });
}

fn write_event(event: &Event, out: &mut Vec<u8>) {
    object(out, |object| {
        object.attributes(event.attributes.iter());
        object.text("name", &event.name);
        object.time("timestamp", event.timestamp);
    });
}

fn write_link(link: &Link, out: &mut Vec<u8>) {
    object(out, |object| {
        object.attributes(link.attributes.iter());
        object.span_id("span_id", link.span_context.span_id());
        object.trace_id(link.span_context.trace_id());
        object.text("trace_state", &link.span_context.trace_state().header());
    });
}

/// A scalar stands in an object that names its type, a list is an array.
fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(flag) => write_bool(flag, out),
        Value::I64(int) => write_int(int, out),
        Value::F64(double) => write_double(double, out),
        Value::String(text) => write_text(text.as_str(), out),
        Value::Array(Array::Bool(flags)) => list(flags, out, write_bool),
        Value::Array(Array::I64(ints)) => list(ints, out, write_int),
        Value::Array(Array::F64(doubles)) => list(doubles, out, write_double),
        Value::Array(Array::String(texts)) => list(texts, out, |text, out| write_text(text.as_str(), out)),
        // OpenTelemetry's exporters know no others in this release either.
        _ => out.extend_from_slice(b"null"),
    }
}

fn write_bool(flag: &bool, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"boolValue\":{flag}}}").as_bytes());
}

fn write_int(int: &i64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"intValue\":\"{int}\"}}").as_bytes());
}

fn write_double(double: &f64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"doubleValue\":{}}}", number(*double)).as_bytes());
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"stringValue\":");
    string(text, out);
    out.push(b'}');
}

/// A double as ECMAScript writes it (ECMA-262, Number::toString), which RFC 8785 asks for; what is no number as OTLP/JSON writes it.
fn number(double: f64) -> String {
    if double.is_nan() {
        return "\"NaN\"".to_owned();
    }
    if double.is_infinite() {
        return if double > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.to_owned();
    }
    if double == 0.0 {
        return "0".to_owned();
    }
    let sign = if double < 0.0 { "-" } else { "" };
    // As `d.ddde-7`: the shortest digits that read back the same.
    let shortest = format!("{:e}", double.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if (0..21).contains(&exponent) && count <= exponent + 1 {
        return format!("{sign}{digits}{}", "0".repeat((exponent + 1 - count).unsigned_abs() as usize));
    }
    if (0..21).contains(&exponent) {
        let (whole, fraction) = digits.split_at((exponent + 1).unsigned_abs() as usize);
        return format!("{sign}{whole}.{fraction}");
    }
    if (-6..0).contains(&exponent) {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1).unsigned_abs() as usize));
    }
    format!("{sign}{mantissa}e{exponent:+}")
}

fn string(text: &str, out: &mut Vec<u8>) {
    // Escapes what RFC 8785 escapes and as it does. Writing into memory does not fail.
    drop(serde_json::to_writer(out, text));
}

fn list<T>(values: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) {
    out.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(value, out);
    }
    out.push(b']');
}

/// Writes members in the order in which they are given; empty ones are left out.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    begun: bool,
}

fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    write(&mut Object { out, begun: false });
    out.push(b'}');
}

impl Object<'_> {
    fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if std::mem::replace(&mut self.begun, true) {
            self.out.push(b',');
        }
        string(name, self.out);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            string(text, self.member(name));
        }
    }

    /// Nanoseconds since 1970, as OpenTelemetry's exporters send them.
    fn time(&mut self, name: &str, time: SystemTime) {
        let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        if nanos != 0 {
            self.text(name, &nanos.to_string());
        }
    }

    fn span_id(&mut self, name: &str, id: SpanId) {
        if id != SpanId::INVALID {
            self.text(name, &id.to_string());
        }
    }

    fn trace_id(&mut self, id: TraceId) {
        if id != TraceId::INVALID {
            self.text("trace_id", &id.to_string());
        }
    }

    fn list<T>(&mut self, name: &str, values: &[T], write: impl FnMut(&T, &mut Vec<u8>)) {
        if !values.is_empty() {
            list(values, self.member(name), write);
        }
    }

    /// Sorted by UTF-16 code units, of two with one name the last.
    fn attributes<'k>(&mut self, attributes: impl Iterator<Item = &'k KeyValue>) {
        let mut attributes: Vec<&KeyValue> = attributes.collect();
        if attributes.is_empty() {
            return;
        }
        // The sort is stable: the last of equal keys stays the last.
        attributes.sort_by(|a, b| a.key.as_str().encode_utf16().cmp(b.key.as_str().encode_utf16()));
        let is_last = |at: usize| attributes.get(at + 1).is_none_or(|next| next.key != attributes[at].key);
        object(self.member("attributes"), |object| {
            for (_, attribute) in attributes.iter().enumerate().filter(|(at, _)| is_last(*at)) {
                write_value(&attribute.value, object.member(attribute.key.as_str()));
            }
        });
    }
}
