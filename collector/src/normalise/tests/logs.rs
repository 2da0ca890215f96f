//! Log records, and the records that stand for what could not be read.

use super::*;

pub(super) fn bare_log<'a>() -> LogRecord<'a> {
    LogRecord {
        time_unix_nano: TIME,
        observed_time_unix_nano: 0,
        severity_number: 0,
        severity_text: "",
        event_name: "",
        body: AnyValue::Empty,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        flags: 0,
        trace_id: &[],
        span_id: &[],
        unknown: Vec::new(),
    }
}

fn of_log(log: &LogRecord<'_>) -> Map<String, Value> {
    members(&super::super::log(log, b"bytes", 0, &Resource::default(), &Scope::default()).unwrap())
}

#[test]
fn everything_of_a_log_record_is_in_its_record() {
    let log = LogRecord {
        observed_time_unix_nano: 5,
        severity_number: 17,
        severity_text: "ERROR",
        event_name: "gen_ai.choice",
        body: AnyValue::KvList(vec![text("a", "b")]),
        attributes: vec![text("own", "v")],
        dropped_attributes_count: 1,
        flags: 1,
        trace_id: &[1; 16],
        span_id: &[2; 8],
        unknown: vec![&[9]],
        ..bare_log()
    };
    let expected = serde_json::json!({
        "event_id": EventId::of_log(Time::from_unix_nanos(TIME).unwrap(), 0, b"bytes").to_string(),
        "timestamp": "2026-09-21T14:13:20.123456789Z",
        "kind": "audit_event",
        "action_type": "gen_ai.choice",
        "outcome": "unknown",
        "trace_id": "01010101010101010101010101010101",
        "span_id": "0202020202020202",
        "metadata": {
            "event_name": "gen_ai.choice",
            "severity_number": "17",
            "severity_text": "ERROR",
            "body": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}},
            "observed_time_unix_nano": "5",
            "flags": "1",
            "attributes": [{"key": "own", "value": {"stringValue": "v"}}],
            "dropped_attributes_count": "1",
            "unknown_fields": "CQ==",
        },
    });
    assert_eq!(Value::Object(of_log(&log)), expected);
}

#[test]
fn without_a_time_it_is_dated_by_when_it_was_seen() {
    let observed = of_log(&LogRecord { time_unix_nano: 0, observed_time_unix_nano: TIME, ..bare_log() });
    assert_eq!(observed["timestamp"], "2026-09-21T14:13:20.123456789Z");
    assert_eq!(observed.get("metadata"), None, "the observed time is not kept twice");
    let neither = of_log(&LogRecord { time_unix_nano: 0, ..bare_log() });
    assert_eq!(neither["timestamp"], "1970-01-01T00:00:00.000000000Z");
    for (time, observed, field) in [(u64::MAX, 0, "time_unix_nano"), (0, 1 << 63, "observed_time_unix_nano")] {
        let late = LogRecord { time_unix_nano: time, observed_time_unix_nano: observed, ..bare_log() };
        let rejection = super::super::log(&late, b"", 0, &Resource::default(), &Scope::default()).unwrap_err();
        assert_eq!(rejection.field, field);
    }
}

#[test]
fn the_outcome_of_a_log_is_unknown_unless_it_says() {
    let outcome = |attributes| of_log(&LogRecord { attributes, ..bare_log() })["outcome"].clone();
    assert_eq!(outcome(vec![]), "unknown");
    assert_eq!(outcome(vec![text("error.type", "E")]), "failure");
    assert_eq!(outcome(vec![text("tachograph.outcome", "pending")]), "pending");
    assert_eq!(of_log(&bare_log()).get("status"), None, "a log has no status");
}

#[test]
fn equal_lines_are_two_events_and_a_resent_line_is_one() {
    let id = |occurrence| {
        let record = super::super::log(&bare_log(), b"bytes", occurrence, &Resource::default(), &Scope::default());
        record.unwrap().event_id
    };
    assert_ne!(id(0), id(1));
    assert_eq!((id(0), id(1)), (id(0), id(1)));
}

#[test]
fn ids_of_the_wrong_length_are_kept() {
    let got = of_log(&LogRecord { trace_id: &[1; 17], span_id: &[2], ..bare_log() });
    assert_eq!((&got["metadata"]["trace_id"], &got["metadata"]["span_id"]), (&"01".repeat(17).into(), &"02".into()));
    assert_eq!((got.get("trace_id"), got.get("span_id")), (None, None));
}

#[test]
fn what_could_not_be_read_is_recorded_with_the_reason_and_its_hash() {
    let rejection = Rejection { field: "attributes[1].key".to_owned(), reason: "invalid UTF-8 at byte 0".to_owned() };
    let got = members(&rejected("span", &rejection, 0, b"", None));
    let expected = serde_json::json!({
        "event_id": EventId::of_log(Time::default(), 0, b"").to_string(),
        "timestamp": "1970-01-01T00:00:00.000000000Z",
        "kind": "audit_event",
        "actor_type": "system",
        "action_type": "telemetry.rejected",
        "resource_type": "span",
        "outcome": "failure",
        "outcome_reason": "attributes[1].key: invalid UTF-8 at byte 0",
        "input_hash": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "details": {"bytes": 0},
    });
    assert_eq!(Value::Object(got), expected);
}
