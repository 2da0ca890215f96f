//! What a span says besides its attributes.

use super::*;
use crate::otlp::Link;

#[test]
fn everything_of_a_span_is_in_its_record() {
    let event =
        Event { time_unix_nano: 7, name: "happened", attributes: vec![text("e", "x")], dropped_attributes_count: 1 };
    let link = Link {
        trace_id: &[3; 16],
        span_id: &[4; 8],
        trace_state: "ls",
        attributes: vec![attribute("l", AnyValue::Int(1))],
        dropped_attributes_count: 2,
        flags: 1,
    };
    let span = Span {
        parent_span_id: &[5; 8],
        trace_state: "ts",
        flags: 256,
        name: "the name",
        kind: 3,
        attributes: vec![text("own", "v")],
        dropped_attributes_count: 3,
        events: vec![event],
        dropped_events_count: 4,
        links: vec![link],
        dropped_links_count: 5,
        status_code: 1,
        status_message: "fine",
        unknown: vec![&[1, 2]],
        ..bare_span(Vec::new())
    };
    let resource = Resource {
        attributes: vec![text("service.name", "svc"), text("host.name", "h")],
        dropped_attributes_count: 6,
        schema_url: "rs",
        unknown: vec![&[3]],
    };
    let scope = Scope {
        name: "sn",
        version: "sv",
        attributes: vec![text("s", "x")],
        dropped_attributes_count: 7,
        schema_url: "ss",
        unknown: vec![&[4]],
    };
    let got = members(&super::super::span(&span, &resource, &scope).unwrap());
    let expected = serde_json::json!({
        "event_id": EventId::of_span(Time::from_unix_nanos(TIME).unwrap(), &[1; 16], &[2; 8]).to_string(),
        "timestamp": "2026-09-21T14:13:20.123456789Z",
        "kind": "audit_event",
        "service_name": "svc",
        "action_type": "the name",
        "outcome": "success",
        "trace_id": "01010101010101010101010101010101",
        "span_id": "0202020202020202",
        "parent_span_id": "0505050505050505",
        "duration_ns": "1500",
        "status": "ok",
        "metadata": {
            "span_name": "the name",
            "span_kind": "client",
            "status_message": "fine",
            "trace_state": "ts",
            "flags": "256",
            "attributes": [{"key": "own", "value": {"stringValue": "v"}}],
            "dropped_attributes_count": "3",
            "events": [{
                "time_unix_nano": "7", "name": "happened", "dropped_attributes_count": "1",
                "attributes": [{"key": "e", "value": {"stringValue": "x"}}],
            }],
            "dropped_events_count": "4",
            "links": [{
                "trace_id": "03030303030303030303030303030303", "span_id": "0404040404040404", "trace_state": "ls",
                "flags": "1", "dropped_attributes_count": "2", "attributes": [{"key": "l", "value": {"intValue": "1"}}],
            }],
            "dropped_links_count": "5",
            "unknown_fields": "AQI=",
            "resource": [{"key": "host.name", "value": {"stringValue": "h"}}],
            "resource_dropped_attributes_count": "6",
            "resource_schema_url": "rs",
            "resource_unknown_fields": "Aw==",
            "scope_name": "sn",
            "scope_version": "sv",
            "scope_attributes": [{"key": "s", "value": {"stringValue": "x"}}],
            "scope_dropped_attributes_count": "7",
            "schema_url": "ss",
            "scope_unknown_fields": "BA==",
        },
    });
    assert_eq!(Value::Object(got), expected);
}

#[test]
fn the_outcome_follows_from_status_and_error_type() {
    let outcome = |status_code, attributes| of_span(&Span { status_code, ..bare_span(attributes) })["outcome"].clone();
    assert_eq!(outcome(0, vec![]), "success");
    assert_eq!(outcome(1, vec![]), "success");
    assert_eq!(outcome(2, vec![]), "failure");
    assert_eq!(outcome(0, vec![text("error.type", "timeout")]), "failure");
    assert_eq!(outcome(2, vec![text("tachograph.outcome", "blocked")]), "blocked");
    assert_eq!(outcome(0, vec![text("tachograph.outcome", "a surprise")]), "unknown");
    assert_eq!(outcome(2, vec![text("tachograph.outcome", "a surprise")]), "failure");
    let status = |status_code| of_span(&Span { status_code, ..bare_span(vec![]) });
    assert_eq!(
        (&status(0)["status"], &status(1)["status"], &status(2)["status"]),
        (&"unset".into(), &"ok".into(), &"error".into())
    );
    assert_eq!((&status(9)["status"], &status(9)["metadata"]["status_code"]), (&"unset".into(), &"9".into()));
}

#[test]
fn the_error_is_what_the_sender_says_then_the_status_then_the_exception() {
    let exception = |message: &'static str| Event {
        name: "exception",
        attributes: vec![text("exception.type", "T"), text("exception.message", message)],
        ..Event::default()
    };
    let full = Span {
        status_code: 2,
        status_message: "status",
        events: vec![Event { name: "other", ..Event::default() }, exception("first"), exception("second")],
        ..bare_span(vec![text("tachograph.error", "said")])
    };
    let said = of_span(&full);
    assert_eq!((&said["error"], &said["metadata"]["status_message"]), (&"said".into(), &"status".into()));
    let status = of_span(&Span { attributes: vec![], ..full.clone() });
    assert_eq!((&status["error"], status["metadata"].get("status_message")), (&"status".into(), None));
    let exception = of_span(&Span { attributes: vec![], status_message: "", ..full.clone() });
    assert_eq!(exception["error"], "first");
    assert_eq!(kept(&exception, "events").len(), 3, "events are kept whole");
    let none = of_span(&Span { attributes: vec![], status_message: "", events: vec![], ..full.clone() });
    assert_eq!(none.get("error"), None);
    // A message beside a status that is no error is kept, but is no error.
    let fine = of_span(&Span { attributes: vec![], events: vec![], status_code: 1, ..full });
    assert_eq!((fine.get("error"), &fine["metadata"]["status_message"]), (None, &"status".into()));
}

#[test]
fn times_that_are_missing_or_odd() {
    let at = |start, end| of_span(&Span { start_time_unix_nano: start, end_time_unix_nano: end, ..bare_span(vec![]) });
    let plain = at(TIME, TIME);
    assert_eq!((plain["duration_ns"].as_str(), plain.get("metadata")), (Some("0"), None));

    let backwards = at(TIME, TIME - 1);
    assert_eq!(backwards.get("duration_ns"), None);
    assert_eq!(backwards["metadata"]["end_time_unix_nano"], (TIME - 1).to_string());

    let no_start = at(0, TIME);
    assert_eq!(no_start["timestamp"], "2026-09-21T14:13:20.123456789Z");
    assert_eq!(no_start.get("duration_ns"), None, "it did not last since 1970");
    let id = EventId::parse(no_start["event_id"].as_str().unwrap()).unwrap();
    assert_eq!(id, EventId::of_span(Time::from_unix_nanos(TIME).unwrap(), &[1; 16], &[2; 8]), "dated by `timestamp`");

    let nothing = at(0, 0);
    assert_eq!(
        (nothing["timestamp"].as_str(), nothing.get("duration_ns")),
        (Some("1970-01-01T00:00:00.000000000Z"), None)
    );
    assert_eq!(at(TIME, 0).get("duration_ns"), None);
}

#[test]
fn times_after_2262_are_refused() {
    for (start, end, field) in [(1 << 63, 0, "start_time_unix_nano"), (0, u64::MAX, "end_time_unix_nano")] {
        let span = Span { start_time_unix_nano: start, end_time_unix_nano: end, ..bare_span(vec![]) };
        let rejection = super::super::span(&span, &Resource::default(), &Scope::default()).unwrap_err();
        assert_eq!(rejection.field, field);
        assert!(rejection.reason.contains("2262-04-11"), "{}", rejection.reason);
    }
}

#[test]
fn ids_of_the_wrong_length_are_kept() {
    let span = Span { trace_id: &[1; 15], span_id: &[0; 8], parent_span_id: &[9; 3], ..bare_span(vec![]) };
    let got = of_span(&span);
    for member in ["trace_id", "span_id", "parent_span_id"] {
        assert_eq!(got.get(member), None);
    }
    let metadata = &got["metadata"];
    assert_eq!(metadata["trace_id"], "01".repeat(15));
    assert_eq!(metadata["span_id"], "0000000000000000");
    assert_eq!(metadata["parent_span_id"], "090909");
}

#[test]
fn span_kinds() {
    let kind = |kind| of_span(&Span { kind, ..bare_span(vec![]) }).get("metadata").map(|m| m["span_kind"].clone());
    let words: Vec<_> = (0..=6).map(kind).collect();
    let expected =
        [None, Some("internal"), Some("server"), Some("client"), Some("producer"), Some("consumer"), Some("6")];
    assert_eq!(words, expected.map(|word| word.map(Value::from)));
}

#[test]
fn json_that_readers_would_read_apart_is_kept_letter_by_letter() {
    let details = |text_sent| of_attributes(vec![text("tachograph.details", text_sent)])["details"].clone();
    assert_eq!(details("{\"a\":1}"), serde_json::json!({ "a": 1 }));
    assert_eq!(details("{\n  \"a\": 1\n}\n"), serde_json::json!({ "a": 1 }), "pretty JSON is JSON");
    assert_eq!(details("plain"), "plain");
    assert_eq!(details("[9007199254740993]"), "[9007199254740993]");
    let map = AnyValue::KvList(vec![attribute("n", AnyValue::Int(i64::MAX))]);
    let got = of_attributes(vec![attribute("tachograph.details", map)]);
    assert_eq!(got["details"], serde_json::json!({ "n": "9223372036854775807" }));
}

#[test]
fn hashes_and_producer_names_have_one_form() {
    let upper = "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    let long = "x".repeat(65);
    for (key, value, field) in [
        ("tachograph.output.hash", upper, "output_hash"),
        ("tachograph.input.hash", "sha256:00", "input_hash"),
        ("tachograph.input.hash", "md5:d41d8cd98f00b204e9800998ecf8427e", "input_hash"),
        ("tachograph.producer.id", "a b", "producer"),
        ("tachograph.producer.id", "", "producer"),
        ("tachograph.producer.epoch", &long, "producer_epoch"),
        ("tachograph.event.id", "not a uuid", "no such member"),
        ("tachograph.parent.id", "00000000-0000-0000-0000-00000000000g", "parent_id"),
    ] {
        let sent = text(key, value);
        let got = of_attributes(vec![sent.clone()]);
        assert_eq!((kept(&got, "attributes"), got.get(field)), (&[listed(&sent)][..], None), "{key}");
    }
    let upper_id = of_attributes(vec![text("tachograph.event.id", "F47AC10B-58CC-4372-A567-0E02B2C3D479")]);
    assert_eq!(upper_id["event_id"], "f47ac10b-58cc-4372-a567-0e02b2c3d479");
}
