//! A signature that holds, and everything that is not so. That each attribute is compared is tested where attributes become fields, in the
//! collector.

use serde_json::json;
use tachograph_record::{EventId, Kind, Record, Status, Time, write_body};

use super::*;

const VECTORS: &str = include_str!("../../../../tests/golden/source-v1.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn sources(name: &str) -> Sources {
    let mut sources = Sources::default();
    let key = SourceVerifyingKey::from_pem(vectors()[name].as_str().unwrap()).unwrap();
    sources.add("p", key);
    sources
}

/// The record of the first vector, which has nothing but ids, times and a name.
fn body(change: impl FnOnce(&mut Record<'_>, &mut Value)) -> Vec<u8> {
    let vectors = vectors();
    let vector = &vectors["records"][0];
    let start = Time::from_unix_nanos(1_795_168_800_123_456_789).unwrap();
    let (trace, span) = (
        [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c],
        [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31],
    );
    let mut record = Record::new(EventId::of_span(start, &trace, &span), start, Kind::AuditEvent);
    record.trace_id = tachograph_record::TraceId::from_wire(&trace);
    record.span_id = tachograph_record::SpanId::from_wire(&span);
    record.status = Some(Status::Unset);
    record.outcome = Some(tachograph_record::Outcome::Success);
    record.action_type = Some("paint".into());
    record.duration_ns = tachograph_record::Decimal::new(500_000_000);
    let proof = |key: &str, value: &Value| json!({"key": key, "value": {"stringValue": value}});
    let mut metadata = json!({
        "span_name": "paint",
        "span_kind": "internal",
        "attributes": [proof("audit.integrity.value", &vector["signature"]), proof("audit.integrity.signer", &json!("producer"))],
        "signed": vector["canonical"],
        "resource": [],
    });
    change(&mut record, &mut metadata);
    record.metadata = Some(tachograph_record::Json::trusted(metadata.to_string()));
    let mut body = Vec::new();
    write_body(&record, &[7; 16], start, &mut body);
    body
}

/// What is wrong with it.
fn wrong(change: impl FnOnce(&mut Record<'_>, &mut Value)) -> String {
    sources("public_pem").check(Some("p"), &body(change)).unwrap_or_default()
}

#[test]
fn a_record_that_says_what_was_signed_passes_and_is_counted() {
    let sources = sources("public_pem");
    let good = body(|_, _| {});
    assert_eq!(sources.check(Some("p"), &good), None);
    // Others are nobody's concern here.
    assert_eq!(sources.check(Some("q"), b"anything"), None);
    assert_eq!(sources.check(None, b"anything"), None);
    let report = |records, failed| vec![SourceReport { producer: "p".to_owned(), records, failed }];
    assert_eq!(sources.report(), report(1, 0));
    assert!(sources.check(Some("p"), &body(|record, _| record.prompt = Some("x".into()))).is_some());
    assert_eq!(sources.report(), report(1, 1));
    assert_eq!(Sources::default().check(Some("p"), b"anything"), None);
}

#[test]
fn without_a_good_signature_it_fails() {
    let other = sources("other_public_pem").check(Some("p"), &body(|_, _| {})).unwrap_or_default();
    assert!(other.contains("does not hold"), "{other}");
    let stripped = wrong(|_, metadata| metadata["attributes"] = json!([]));
    assert!(stripped.contains("no signature"), "{stripped}");
    let unsigned = wrong(|_, metadata| metadata["signed"] = Value::Null);
    assert!(unsigned.contains("is not in it"), "{unsigned}");
    let none = wrong(|_, metadata| *metadata = json!({}));
    assert!(none.contains("no signature"), "{none}");
    let changed = wrong(|_, metadata| metadata["signed"] = json!("{}"));
    assert!(changed.contains("does not hold"), "{changed}");
    // Another record's text with its own signature says another thing.
    let replayed = wrong(|_, metadata| {
        let vector = &vectors()["records"][7];
        metadata["signed"] = vector["canonical"].clone();
        metadata["attributes"][0]["value"]["stringValue"] = vector["signature"].clone();
    });
    assert!(replayed.contains("it differs from what its source signed in"), "{replayed}");
}

#[test]
fn one_of_several_keys_and_of_several_signatures_is_enough() {
    let mut both = sources("other_public_pem");
    both.add("p", SourceVerifyingKey::from_pem(vectors()["public_pem"].as_str().unwrap()).unwrap());
    assert_eq!(both.check(Some("p"), &body(|_, _| {})), None);
    let second = |_: &mut Record<'_>, metadata: &mut Value| {
        let good = metadata["attributes"][0].clone();
        metadata["attributes"] = json!([{"key": "audit.integrity.value", "value": {"stringValue": "AAAA"}}, good]);
    };
    assert_eq!(both.check(Some("p"), &body(second)), None);
}

#[test]
fn whatever_of_a_span_is_changed_is_named() {
    let differs = |field: &str, change: &dyn Fn(&mut Record<'_>, &mut Value)| {
        let what = wrong(|record, metadata| change(record, metadata));
        assert!(what.contains("differs") && what.ends_with(field), "{field}: {what}");
    };
    differs("prompt", &|record, _| record.prompt = Some("forged".into()));
    differs("timestamp", &|record, _| record.timestamp = Time::default());
    differs("duration_ns", &|record, _| record.duration_ns = None);
    differs("event_id", &|record, _| record.event_id = EventId([1; 16]));
    differs("kind", &|record, _| record.kind = Kind::Generation);
    differs("outcome", &|record, _| record.outcome = Some(tachograph_record::Outcome::Failure));
    differs("action_type", &|record, _| record.action_type = Some("erase".into()));
    differs("trace_id", &|record, _| record.trace_id = None);
    differs("span_id", &|record, _| record.span_id = None);
    differs("parent_span_id", &|record, _| record.parent_span_id = tachograph_record::SpanId::from_wire(&[9; 8]));
    differs("status", &|record, _| record.status = Some(Status::Error));
    differs("producer_seq", &|record, _| record.producer_seq = tachograph_record::Decimal::new(1));
    differs("parameters", &|record, _| {
        record.parameters = Some(tachograph_record::Json::trusted("{\"seed\":1}".into()))
    });
    differs("metadata: span_name", &|_, metadata| metadata["span_name"] = json!("erase"));
    differs("metadata: span_kind", &|_, metadata| metadata["span_kind"] = json!("server"));
    differs("metadata: events", &|_, metadata| metadata["events"] = json!([{"name": "x"}]));
    differs("metadata: links", &|_, metadata| metadata["links"] = json!([{"span_id": "b7ad6b7169203331"}]));
    differs("metadata: body", &|_, metadata| metadata["body"] = json!({"stringValue": "x"}));
    differs("metadata: attribute \"x\"", &|_, metadata| {
        metadata["attributes"].as_array_mut().unwrap().push(json!({"key": "x", "value": {"intValue": "1"}}));
    });
    // Of a span nothing can be turned into a log record.
    let as_log = wrong(|record, _| (record.status, record.duration_ns) = (None, None));
    assert!(as_log.contains("differs"), "{as_log}");
}

#[test]
fn json_with_a_name_twice_is_not_what_was_signed() {
    let signed =
        json!({"attributes": {"tachograph.details": {"stringValue": "{\"a\":1}"}}, "timestamp": "1"}).to_string();
    let record = |details: &'static str| {
        let time = Time::from_unix_nanos(1).unwrap();
        let mut record = Record::new(EventId([1; 16]), time, Kind::AuditEvent);
        record.outcome = Some(tachograph_record::Outcome::Unknown);
        record.details = Some(tachograph_record::Json::trusted(details.to_owned()));
        record
    };
    assert_eq!(difference(&signed, &record("{\"a\":1}")), Ok(()));
    assert_eq!(difference(&signed, &record("{\"a\":1.0}")), Ok(()), "the same number");
    assert_eq!(difference(&signed, &record("{\"a\":1.5}")), Err("details".to_owned()));
    assert_eq!(difference(&signed, &record("{\"a\":2,\"a\":1}")), Err("details".to_owned()));
    for bad in ["", "[]", "{\"timestamp\":\"1\"}"] {
        difference(bad, &record("{\"a\":1}")).unwrap_err();
    }
}
