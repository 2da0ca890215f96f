//! Bodies and event ids made by `tests/golden/make_body_vectors.py`, which shares no code with this crate.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tachograph_record::{Body, COLUMNS, EventId, Hex, Kind, Record, content_digest, write_body};

use crate::make::{optional_members, set, time, uuid};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/golden/body-v1.json")).unwrap()
}

fn nanos(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    tachograph_record::write_hex(bytes, &mut text);
    String::from_utf8(text).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn bodies_byte_for_byte() {
    let vectors = vectors();
    let mut members_seen = std::collections::BTreeSet::new();
    for vector in vectors["bodies"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let fields = vector["fields"].as_object().unwrap();
        let kind = Kind::parse(fields["kind"].as_str().unwrap()).unwrap();
        let mut record = Record::new(uuid(&fields["event_id"]), time(nanos(&fields["timestamp"])), kind);
        for (member, value) in fields {
            if !["event_id", "timestamp", "kind"].contains(&member.as_str()) {
                set(&mut record, member, value);
                members_seen.insert(member.clone());
            }
        }
        let salt = Hex::parse(vector["salt"].as_str().unwrap()).unwrap();
        let observed_at = time(nanos(&vector["observed_at"]));
        let expected = vector["body"].as_str().unwrap();

        let mut body = Vec::new();
        write_body(&record, &salt.0, observed_at, &mut body);
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected, "{name}");
        assert_eq!(hex(&Sha256::digest(&body)), vector["sha256"].as_str().unwrap(), "{name}");
        assert_eq!(hex(&content_digest(&body)), vector["content_digest"].as_str().unwrap(), "{name}");
        assert_eq!(Body::parse(expected.as_bytes()).unwrap(), Body { salt, observed_at, record }, "{name}");
    }
    let all: std::collections::BTreeSet<String> = optional_members().iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(members_seen, all, "every member stands in a golden body");
}

#[test]
fn columns_of_golden_bodies() {
    use tachograph_record::Value as Cell;
    for vector in vectors()["bodies"].as_array().unwrap() {
        let body = Body::parse_columns(vector["body"].as_str().unwrap().as_bytes()).unwrap();
        let cells = vector["columns"].as_object().unwrap();
        for column in COLUMNS {
            let got = match column.derive(&body) {
                Cell::Null => Value::Null,
                Cell::Text(text) => text.into(),
                Cell::Int(int) => int.to_string().into(),
                Cell::Double(double) if double.is_finite() => double.into(),
                Cell::Double(double) => double.to_string().into(),
                Cell::Bytes(bytes) => hex(bytes).into(),
            };
            let expected = cells.get(column.name).unwrap_or(&Value::Null);
            assert_eq!(&got, expected, "{} of {}", column.name, vector["name"]);
        }
        assert!(cells.keys().all(|name| COLUMNS.iter().any(|column| column.name == name)));
    }
}

#[test]
fn derived_event_ids() {
    for vector in vectors()["span_event_ids"].as_array().unwrap() {
        let id = EventId::of_span(
            time(nanos(&vector["timestamp"])),
            &unhex(&vector["trace_id"]),
            &unhex(&vector["span_id"]),
        );
        assert_eq!(id.to_string(), vector["event_id"].as_str().unwrap());
    }
    for vector in vectors()["log_event_ids"].as_array().unwrap() {
        let occurrence = u32::try_from(vector["occurrence"].as_u64().unwrap()).unwrap();
        let id = EventId::of_log(time(nanos(&vector["timestamp"])), occurrence, &unhex(&vector["protobuf"]));
        assert_eq!(id.to_string(), vector["event_id"].as_str().unwrap());
    }
}
