//! `docs/attributes.md` and the code say the same, and nothing that is sent is lost.

mod document;
mod logs;
mod nothing_lost;
mod precedence;
mod sources;
mod spans;

use serde_json::{Map, Value};
use tachograph_record::{Record, Time, write_body};

use super::*;
use crate::otlp::KeyValue;

const TIME: u64 = 1_790_000_000_123_456_789;

fn attribute<'a>(key: &'a str, value: AnyValue<'a>) -> KeyValue<'a> {
    KeyValue { key, value }
}

fn text<'a>(key: &'a str, value: &'a str) -> KeyValue<'a> {
    attribute(key, AnyValue::Str(value))
}

/// The members of a record as JSON, without those that each arrival has anew.
fn members(record: &Record<'_>) -> Map<String, Value> {
    let mut body = Vec::new();
    write_body(record, &[0; 16], Time::default(), &mut body);
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else { panic!("a body is an object") };
    for name in ["v", "salt", "observed_at"] {
        members.remove(name);
    }
    members
}

/// A span without a name, so that only attributes fill the action.
fn bare_span<'a>(attributes: Vec<KeyValue<'a>>) -> Span<'a> {
    Span {
        trace_id: &[1; 16],
        span_id: &[2; 8],
        start_time_unix_nano: TIME,
        end_time_unix_nano: TIME + 1_500,
        attributes,
        ..Span::default()
    }
}

fn of_span(span: &Span<'_>) -> Map<String, Value> {
    members(&super::span(span, &Resource::default(), &Scope::default()).unwrap())
}

fn of_attributes(attributes: Vec<KeyValue<'_>>) -> Map<String, Value> {
    of_span(&bare_span(attributes))
}

fn of_resource(attributes: Vec<KeyValue<'_>>) -> Map<String, Value> {
    let resource = Resource { attributes, ..Resource::default() };
    members(&super::span(&bare_span(Vec::new()), &resource, &Scope::default()).unwrap())
}

/// An attribute as `metadata` lists it.
fn listed(attribute: &KeyValue<'_>) -> Value {
    let mut json = Vec::new();
    crate::otlp::write_key_values(std::slice::from_ref(attribute), &mut json);
    serde_json::from_slice::<Vec<Value>>(&json).unwrap().remove(0)
}

/// What `metadata` has under `list`.
fn kept<'m>(members: &'m Map<String, Value>, list: &str) -> &'m [Value] {
    members.get("metadata").and_then(|metadata| metadata.get(list)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
