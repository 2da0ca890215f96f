use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use proptest::prelude::{Strategy, any as arbitrary, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use prost::Message;
use serde_json::json;

use super::{Fault, to_protobuf};
use crate::intake::Signal;

fn traces(text: &str) -> ExportTraceServiceRequest {
    let done = to_protobuf(Signal::Traces, text.as_bytes()).expect("readable JSON");
    ExportTraceServiceRequest::decode(&done.protobuf[..]).expect("valid protobuf")
}

fn fault(text: impl AsRef<[u8]>) -> Fault {
    to_protobuf(Signal::Traces, text.as_ref()).expect_err("must be refused")
}

/// A request with one span that has `members` besides its name.
fn with_span(members: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"name":"n",{members}}}]}}]}}]}}"#)
}

fn span(members: &str) -> Span {
    traces(&with_span(members)).resource_spans[0].scope_spans[0].spans[0].clone()
}

/// The value of an attribute that is written `value` in JSON.
fn value(value: &str) -> Option<Value> {
    span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#)).attributes[0].value.clone().and_then(|v| v.value)
}

fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: any(value), key_strindex: 0 }
}

fn attributes() -> Vec<KeyValue> {
    vec![
        attribute("text", Value::StringValue("grüße \u{1F600}\n\"".repeat(40))),
        attribute("empty", Value::StringValue(String::new())),
        attribute("yes", Value::BoolValue(true)),
        attribute("no", Value::BoolValue(false)),
        attribute("zero", Value::IntValue(0)),
        attribute("least", Value::IntValue(i64::MIN)),
        attribute("most", Value::IntValue(i64::MAX)),
        attribute("double", Value::DoubleValue(-0.1)),
        attribute("bytes", Value::BytesValue(vec![0, 255, 62, 63])),
        attribute("list", Value::ArrayValue(ArrayValue { values: any(Value::IntValue(7)).into_iter().collect() })),
        attribute(
            "object",
            Value::KvlistValue(KeyValueList {
                values: vec![attribute("inner", Value::StringValue("x".repeat(20_000)))],
            }),
        ),
    ]
}

fn resource() -> Resource {
    Resource {
        attributes: attributes(),
        dropped_attributes_count: 1,
        entity_refs: vec![EntityRef {
            schema_url: "https://schema".into(),
            r#type: "service".into(),
            id_keys: vec!["a".into(), String::new()],
            description_keys: vec!["b".into()],
        }],
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "scope".into(),
        version: "1".into(),
        attributes: attributes(),
        dropped_attributes_count: 2,
    }
}

/// Every field of every message is set: the struct literals stop compiling when OTLP gets another.
fn all_of_traces() -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans: vec![Span {
                    trace_id: (0..16).collect(),
                    span_id: (100..108).collect(),
                    trace_state: "a=b".into(),
                    parent_span_id: (200..208).collect(),
                    flags: u32::MAX,
                    name: "chat".into(),
                    kind: 3,
                    start_time_unix_nano: u64::MAX,
                    end_time_unix_nano: 2,
                    attributes: attributes(),
                    dropped_attributes_count: 3,
                    events: vec![span::Event {
                        time_unix_nano: 4,
                        name: "event".into(),
                        attributes: attributes(),
                        dropped_attributes_count: 5,
                    }],
                    dropped_events_count: 6,
                    links: vec![span::Link {
                        trace_id: vec![1; 16],
                        span_id: vec![2; 8],
                        trace_state: "c=d".into(),
                        attributes: attributes(),
                        dropped_attributes_count: 7,
                        flags: 8,
                    }],
                    dropped_links_count: 9,
                    status: Some(Status { message: "bad".into(), code: 2 }),
                }],
                schema_url: "https://scope".into(),
            }],
            schema_url: "https://resource".into(),
        }],
    }
}

fn all_of_logs() -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: vec![LogRecord {
                    time_unix_nano: 1,
                    observed_time_unix_nano: 2,
                    severity_number: 24,
                    severity_text: "FATAL4".into(),
                    body: any(Value::StringValue("body".into())),
                    attributes: attributes(),
                    dropped_attributes_count: 3,
                    flags: 4,
                    trace_id: vec![5; 16],
                    span_id: vec![6; 8],
                    event_name: "event".into(),
                }],
                schema_url: "https://scope".into(),
            }],
            schema_url: "https://resource".into(),
        }],
    }
}

#[test]
fn every_field_arrives() {
    let sent = all_of_traces();
    let text = serde_json::to_string(&sent).expect("serialises");
    assert_eq!(traces(&text), sent);

    let sent = all_of_logs();
    let text = serde_json::to_vec(&sent).expect("serialises");
    let done = to_protobuf(Signal::Logs, &text).expect("readable JSON");
    assert_eq!(ExportLogsServiceRequest::decode(&done.protobuf[..]).expect("valid protobuf"), sent);
    assert_eq!(done.unknown_members, 0);
}

#[test]
fn the_encoding_is_that_of_prost() {
    // prost writes fields in order of their numbers, and so does this JSON.
    let sent = traces(
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":"v"}}]},"scopeSpans":[{"spans":[{"traceId":"00","name":"n","startTimeUnixNano":"0","kind":0,"flags":0}]}]}]}"#,
    );
    let text = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":{"stringValue":"v"}}]},"scopeSpans":[{"spans":[{"traceId":"00","name":"n"}]}]}]}"#;
    let done = to_protobuf(Signal::Traces, text.as_bytes()).expect("readable JSON");
    assert_eq!(done.protobuf, sent.encode_to_vec());
}

#[test]
fn integers_come_as_strings_or_numbers() {
    for written in ["\"1544712660000000001\"", "1544712660000000001"] {
        let span = span(&format!(r#""startTimeUnixNano":{written}"#));
        assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_001);
    }
    for written in ["5", "\"5\"", "5.0", "5e0"] {
        let found = value(&format!(r#"{{"intValue":{written}}}"#));
        assert_eq!(found, Some(Value::IntValue(5)), "{written}");
    }
    let least = r#"{"intValue":"-9223372036854775808"}"#;
    assert_eq!(value(least), Some(Value::IntValue(i64::MIN)));
}

#[test]
fn enums_come_as_numbers_or_names() {
    for written in ["3", "\"3\"", "\"SPAN_KIND_CLIENT\"", "\"CLIENT\""] {
        assert_eq!(span(&format!(r#""kind":{written}"#)).kind, 3, "{written}");
    }
    assert_eq!(span(r#""kind":77"#).kind, 77);
    let error = span(r#""status":{"code":"STATUS_CODE_ERROR"}"#).status;
    assert_eq!(error.map(|s| s.code), Some(2));
}

#[test]
fn doubles_come_as_numbers_or_strings() {
    let double = |text: &str| match value(&format!(r#"{{"doubleValue":{text}}}"#)) {
        Some(Value::DoubleValue(f)) => f,
        other => panic!("not a double: {other:?}"),
    };
    assert_eq!(double("1"), 1.0);
    assert_eq!(double("-2.5e3"), -2500.0);
    assert_eq!(double("\"0.5\""), 0.5);
    assert!(double("\"NaN\"").is_nan());
    assert_eq!(double("\"Infinity\""), f64::INFINITY);
    assert_eq!(double("\"-Infinity\""), f64::NEG_INFINITY);
}

#[test]
fn bytes_come_in_any_base64() {
    for written in ["+/8=", "+/8", "-_8=", "-_8"] {
        assert_eq!(
            value(&format!(r#"{{"bytesValue":"{written}"}}"#)),
            Some(Value::BytesValue(vec![0xfb, 0xff])),
            "{written}"
        );
    }
}

#[test]
fn ids_are_hex_of_any_case() {
    let span = span(r#""traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":"""#);
    assert_eq!(span.trace_id[..4], [0x5b, 0x8e, 0xff, 0xf7]);
    assert_eq!(span.span_id.len(), 8);
    assert!(span.parent_span_id.is_empty());
}

#[test]
fn null_is_absent_and_unknown_members_are_counted() {
    let text = with_span(
        r#""kind":null,"attributes":null,"status":null,"deep":{"spans":[1,{"x":null}]},"attributes":[{"key":"k","value":null}]"#,
    );
    let done = to_protobuf(Signal::Traces, text.as_bytes()).expect("readable JSON");
    assert_eq!(done.unknown_members, 1);
    let span = &traces(&text).resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.kind, &span.status), (0, &None));
    assert_eq!(span.attributes[0].value, None);
    assert_eq!(value("{}"), None);
    let list = value(r#"{"arrayValue":{"values":[null,{"intValue":1}]}}"#);
    let Some(Value::ArrayValue(list)) = list else { panic!("not a list: {list:?}") };
    assert_eq!(list.values[0].value, None);
    assert_eq!(list.values.len(), 2);
}

#[test]
fn snake_case_is_taken() {
    let text = r#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"0a","start_time_unix_nano":3}]}]}]}"#;
    let span = &traces(text).resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.trace_id[0], span.start_time_unix_nano), (10, 3));
}

#[test]
fn errors_name_the_field() {
    let spans = "resourceSpans[0].scopeSpans[0].spans[0]";
    let cases = [
        (r#""traceId":"xyz0""#, "traceId", "hex digits"),
        (r#""traceId":"abc""#, "traceId", "even number"),
        (r#""kind":"SPAN_KIND_OTHER""#, "kind", "SPAN_KIND_"),
        (r#""kind":2147483648"#, "kind", "out of range for i32"),
        (r#""startTimeUnixNano":"-1""#, "startTimeUnixNano", "out of range for u64"),
        (r#""startTimeUnixNano":1.5"#, "startTimeUnixNano", "expected an integer"),
        (r#""traceState":5"#, "traceState", "expected a string, found an integer"),
        (r#""attributes":{}"#, "attributes", "expected a list, found an object"),
        (r#""attributes":"a""#, "attributes", "expected a list, found a string"),
        (r#""status":[]"#, "status", "expected a single value, found a list"),
        (r#""status":1"#, "status", "expected an object"),
        (r#""flags":true"#, "flags", "expected an integer, found true or false"),
        (r#""name":"again""#, "name", "twice"),
        (
            r#""attributes":[{"key":"a"},{"key":"b","value":{"stringValue":7}}]"#,
            "attributes[1].value.stringValue",
            "expected a string",
        ),
        (
            r#""attributes":[{"key":"b","value":{"stringValue":"","intValue":7}}]"#,
            "attributes[0].value.intValue",
            "second value",
        ),
        (r#""attributes":[{"key":"b","value":{"bytesValue":"*"}}]"#, "attributes[0].value.bytesValue", "base64"),
        (
            r#""attributes":[{"key":"b","value":{"doubleValue":"inf"}}]"#,
            "attributes[0].value.doubleValue",
            "expected a number",
        ),
        (r#""traceState":"\ud800""#, "traceState", "hex escape"),
        (r#""traceState":"\udc00x""#, "traceState", "surrogate"),
    ];
    for (members, field, reason) in cases {
        let found = fault(with_span(members));
        assert_eq!(found.field, format!("{spans}.{field}"), "{members}");
        assert!(found.reason.contains(reason), "{members}: {}", found.reason);
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    for text in ["", "{", "[]", "null", "7", "{}{}", "{\"resourceSpans\":[}", "\u{feff}{}"] {
        fault(text);
    }
    let found = fault(b"{\"resourceSpans\":[{\"schemaUrl\":\"\xff\"}]}");
    assert_eq!(found.field, "resourceSpans[0].schemaUrl");
    assert_eq!(fault("{}{}").field, "body");
    assert_eq!(fault(r#"{"resourceSpans":[{"#).field, "resourceSpans[0]");
}

#[test]
fn reasons_do_not_repeat_content() {
    let found = fault(with_span(r#""kind":"my secret prompt","traceId":"zz""#));
    assert!(!found.reason.contains("secret"), "{}", found.reason);
}

/// What serde_json's bound on depth lets through must be within prost's.
#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize, open: &str, close: &str| {
        with_span(&format!(r#""attributes":[{{"key":"k","value":{}{{}}{}}}]"#, open.repeat(depth), close.repeat(depth)))
    };
    let shapes =
        [(r#"{"arrayValue":{"values":["#, "]}}"), (r#"{"kvlistValue":{"values":[{"key":"k","value":"#, "}]}}")];
    for (open, close) in shapes {
        let mut deepest = 0;
        for depth in 0..60 {
            let text = nested(depth, open, close);
            if let Ok(done) = to_protobuf(Signal::Traces, text.as_bytes()) {
                ExportTraceServiceRequest::decode(&done.protobuf[..]).expect("within the bound");
                deepest = depth;
            }
        }
        assert!((20..59).contains(&deepest), "{deepest}");
        fault(nested(100_000, open, close));
    }
}

/// A JSON value that stands for a random attribute value, and that value.
fn arbitrary_value() -> impl Strategy<Value = (serde_json::Value, Value)> {
    let leaf = prop_oneof![
        arbitrary::<String>().prop_map(|s| (json!({"stringValue": s}), Value::StringValue(s))),
        arbitrary::<bool>().prop_map(|b| (json!({"boolValue": b}), Value::BoolValue(b))),
        arbitrary::<i64>().prop_map(|n| (json!({"intValue": n}), Value::IntValue(n))),
        arbitrary::<i64>().prop_map(|n| (json!({"intValue": n.to_string()}), Value::IntValue(n))),
        prop::num::f64::NORMAL.prop_map(|f| (json!({"doubleValue": f}), Value::DoubleValue(f))),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop::collection::vec(inner, 0..8).prop_map(|items| {
            let (texts, values): (Vec<_>, Vec<_>) = items.into_iter().unzip();
            let values = values.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
            (json!({"arrayValue": {"values": texts}}), Value::ArrayValue(ArrayValue { values }))
        })
    })
}

proptest! {
    #[test]
    fn any_value_arrives((text, sent) in arbitrary_value()) {
        prop_assert_eq!(value(&text.to_string()), Some(sent));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(arbitrary::<u8>(), 0..200)) {
        if let Err(fault) = to_protobuf(Signal::Logs, &bytes) {
            prop_assert!(!fault.field.is_empty() && !fault.reason.is_empty());
        }
    }

    /// Broken anywhere, a request is still read or refused, and the output is never longer than twice the input.
    #[test]
    fn a_changed_byte_does_no_harm(at in 0_usize..10_000, byte in arbitrary::<u8>()) {
        let mut text = serde_json::to_vec(&all_of_logs()).expect("serialises");
        let at = at % text.len();
        text[at] = byte;
        if let Ok(done) = to_protobuf(Signal::Logs, &text) {
            prop_assert!(done.protobuf.len() <= 2 * text.len());
        }
    }
}
