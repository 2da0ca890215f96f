//! A record becomes a body and comes back the same.

use proptest::prelude::*;
use tachograph_record::{Body, Hex, PREFIX_LEN, Record, content_of, write_body};

use crate::make::{any_record, bare, optional_members, time};

fn body_of(record: &Record<'_>, salt: [u8; 16], nanos: u64) -> Vec<u8> {
    let mut body = Vec::new();
    write_body(record, &salt, time(nanos), &mut body);
    body
}

/// The names at the top level, in order, found by a reader that knows nothing of records.
fn names(body: &[u8]) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'de> serde::de::Visitor<'de> for Names {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(mut self, mut map: A) -> Result<Vec<String>, A::Error> {
            while let Some((name, _)) = map.next_entry::<String, serde::de::IgnoredAny>()? {
                self.0.push(name);
            }
            Ok(self.0)
        }
    }
    use serde::Deserializer as _;
    serde_json::Deserializer::from_slice(body).deserialize_map(Names(Vec::new())).unwrap()
}

#[test]
fn the_prefix_has_its_length_and_its_form() {
    let body = body_of(&bare(), [0xab; 16], 1_790_000_000_000_000_001);
    assert_eq!(PREFIX_LEN, 98);
    assert_eq!(
        std::str::from_utf8(&body[..PREFIX_LEN]).unwrap(),
        "{\"v\":\"1\",\"salt\":\"abababababababababababababababab\",\"observed_at\":\"2026-09-21T14:13:20.000000001Z\","
    );
    assert!(content_of(&body).starts_with(b"\"event_id\":\""));
    assert_eq!(content_of(&body[..PREFIX_LEN]), b"");
    assert_eq!(content_of(b"short"), b"");
}

#[test]
fn a_bare_record_has_the_mandatory_members_alone() {
    assert_eq!(names(&body_of(&bare(), [0; 16], 0)), ["v", "salt", "observed_at", "event_id", "timestamp", "kind"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_member_at_once_comes_back_in_order(record in any_record(1.0, &[]), salt: [u8; 16], nanos in 0..=i64::MAX as u64) {
        let body = body_of(&record, salt, nanos);
        let expected: Vec<&str> = ["v", "salt", "observed_at"].iter().chain(Record::MEMBERS).copied().collect();
        prop_assert_eq!(names(&body), expected);
        let read = Body::parse(&body).unwrap();
        prop_assert_eq!(read, Body { salt: Hex(salt), observed_at: time(nanos), record });
    }

    #[test]
    fn any_members_come_back(record in any_record(0.3, &[]), salt: [u8; 16], nanos in 0..=i64::MAX as u64) {
        let body = body_of(&record, salt, nanos);
        prop_assert!(!body.contains(&b'\n') && !body.contains(&b'\r'), "one line");
        let read = Body::parse(&body).unwrap();
        prop_assert_eq!(&read.record, &record);
        prop_assert_eq!(body_of(&read.record, read.salt.0, read.observed_at.unix_nanos()), body);
    }
}

#[test]
fn the_generator_knows_every_member() {
    for name in optional_members() {
        assert!(crate::make::type_of(name).is_some(), "{name} is never generated");
    }
}
