//! The text that is kept is what an independent program makes of the same record.

use serde_json::{Map, Value};

use super::*;

const VECTORS: &str = include_str!("../../../../tests/golden/source-v1.json");

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

fn text(record: &Value, name: &str) -> &'static str {
    leak(record[name].as_str().unwrap_or_default())
}

fn number(record: &Value, name: &str) -> u64 {
    record[name].as_str().map_or(0, |digits| digits.parse().unwrap())
}

fn id(record: &Value, name: &str) -> &'static [u8] {
    let hex = record[name].as_str().unwrap_or_default();
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    Vec::leak(bytes.collect())
}

fn list<T>(record: &Value, name: &str, read: impl Fn(&Value) -> T) -> Vec<T> {
    record[name].as_array().into_iter().flatten().map(read).collect()
}

fn attribute(pair: &Value) -> KeyValue<'static> {
    KeyValue { key: text(pair, "key"), value: value(&pair["value"]) }
}

/// A value, as OTLP/JSON has it.
fn value(value: &Value) -> AnyValue<'static> {
    let Some((kind, content)) = value.as_object().and_then(|value: &Map<String, Value>| value.iter().next()) else {
        return AnyValue::Empty;
    };
    let word = || content.as_str().unwrap();
    match kind.as_str() {
        "stringValue" => AnyValue::Str(leak(word())),
        "boolValue" => AnyValue::Bool(content.as_bool().unwrap()),
        "intValue" => AnyValue::Int(word().parse().unwrap()),
        "doubleValue" => AnyValue::Double(content.as_f64().unwrap_or_else(|| word().parse().unwrap())),
        "bytesValue" => AnyValue::Bytes(Vec::leak(BASE64.decode(word()).unwrap())),
        "arrayValue" => AnyValue::Array(list(content, "values", self::value)),
        "kvlistValue" => AnyValue::KvList(list(content, "values", attribute)),
        other => panic!("{other}"),
    }
}

/// The attributes with the one that says that there is a signature.
fn attributes(record: &Value) -> Vec<KeyValue<'static>> {
    let proof = KeyValue { key: VALUE, value: AnyValue::Str("AAAA") };
    list(record, "attributes", attribute).into_iter().chain([proof]).collect()
}

fn span(span: &Value) -> Span<'static> {
    Span {
        trace_id: id(span, "traceId"),
        span_id: id(span, "spanId"),
        parent_span_id: id(span, "parentSpanId"),
        name: text(span, "name"),
        kind: span["kind"].as_u64().unwrap_or_default(),
        start_time_unix_nano: number(span, "startTimeUnixNano"),
        end_time_unix_nano: number(span, "endTimeUnixNano"),
        attributes: attributes(span),
        events: list(span, "events", |event| Event {
            time_unix_nano: number(event, "timeUnixNano"),
            name: text(event, "name"),
            attributes: list(event, "attributes", attribute),
            dropped_attributes_count: 0,
        }),
        links: list(span, "links", |link| Link {
            trace_id: id(link, "traceId"),
            span_id: id(link, "spanId"),
            trace_state: text(link, "traceState"),
            attributes: list(link, "attributes", attribute),
            ..Link::default()
        }),
        status_code: span["status"]["code"].as_u64().unwrap_or_default(),
        status_message: text(&span["status"], "message"),
        ..Span::default()
    }
}

fn log(log: &Value) -> LogRecord<'static> {
    LogRecord {
        time_unix_nano: number(log, "timeUnixNano"),
        observed_time_unix_nano: number(log, "observedTimeUnixNano"),
        severity_number: log["severityNumber"].as_u64().unwrap_or_default(),
        severity_text: text(log, "severityText"),
        body: value(&log["body"]),
        attributes: attributes(log),
        trace_id: id(log, "traceId"),
        span_id: id(log, "spanId"),
        event_name: text(log, "eventName"),
        ..LogRecord::decode(&[], 0).unwrap()
    }
}

#[test]
fn what_is_signed_is_what_the_format_says() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let records = vectors["records"].as_array().unwrap();
    assert!(records.len() > 15);
    for record in records {
        let signed = match record.get("span") {
            Some(record) => of_span(&span(record)),
            None => of_log(&log(&record["log"])),
        };
        assert_eq!(signed.as_deref(), record["canonical"].as_str(), "{}", record["what"]);
    }
}

#[test]
fn a_record_without_a_signature_has_nothing_that_is_signed() {
    let attributes = vec![KeyValue { key: "audit.integrity.signer", value: AnyValue::Str("producer") }];
    assert_eq!(of_span(&Span { attributes: attributes.clone(), ..Span::default() }), None);
    assert_eq!(of_log(&LogRecord { attributes, ..LogRecord::decode(&[], 0).unwrap() }), None);
}

#[test]
fn a_text_that_would_leave_no_room_is_not_kept() {
    let proof = || KeyValue { key: VALUE, value: AnyValue::Str("AAAA") };
    let of = |name: String| of_span(&Span { name: &name, attributes: vec![proof()], ..Span::default() });
    let around = "{\"event_name\":\"\"}".len();
    assert_eq!(of("x".repeat(MAX_BYTES - around)).map(|text| text.len()), Some(MAX_BYTES));
    assert_eq!(of("x".repeat(MAX_BYTES - around + 1)), None);
}
