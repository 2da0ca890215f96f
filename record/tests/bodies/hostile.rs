//! Bytes that are not a body: refused, and never a panic.

use proptest::prelude::*;
use tachograph_record::{Body, BodyError, write_body};

use crate::make::{any_record, bare, time};

const PREFIX: &str =
    "{\"v\":\"1\",\"salt\":\"000102030405060708090a0b0c0d0e0f\",\"observed_at\":\"2026-09-21T14:13:20.000000001Z\",";
const MANDATORY: &str = "\"event_id\":\"01a0c450-6c7b-7001-8001-010101010101\",\"timestamp\":\"2026-09-21T14:13:20.000000000Z\",\"kind\":\"policy\"";

fn with(members: &str) -> String {
    format!("{PREFIX}{MANDATORY}{members}}}")
}

fn refusal(body: &str) -> String {
    let full = Body::parse(body.as_bytes()).expect_err(body).to_string();
    Body::parse_columns(body.as_bytes()).expect_err(body);
    full
}

#[test]
fn members_that_are_missing_unknown_or_twice() {
    Body::parse(with("").as_bytes()).unwrap();
    assert!(refusal(&with(",\"kind\":\"policy\"")).contains("duplicate field `kind`"));
    assert!(refusal(&with(",\"model\":\"a\",\"model\":\"a\"")).contains("duplicate field `model`"));
    assert!(refusal(&with(",\"colour\":\"red\"")).contains("unknown field `colour`"));
    assert!(refusal(&with(",\"salt\":\"000102030405060708090a0b0c0d0e0f\"")).contains("duplicate field `salt`"));
    for name in ["event_id", "timestamp", "kind"] {
        let rest: Vec<&str> = MANDATORY.split(',').filter(|member| !member.contains(&format!("\"{name}\""))).collect();
        assert!(refusal(&format!("{PREFIX}{}}}", rest.join(","))).contains(&format!("missing field `{name}`")));
    }
    let twice = with(",\"prompt\":\"a\",\"prompt\":\"b\"");
    assert!(Body::parse(twice.as_bytes()).unwrap_err().to_string().contains("duplicate field `prompt`"));
}

#[test]
fn values_of_the_wrong_form() {
    for member in [
        "\"model\":null",
        "\"model\":5",
        "\"tokens_in\":-1",
        "\"tokens_in\":1.5",
        "\"tokens_in\":\"5\"",
        "\"tokens_in\":9007199254740993",
        "\"duration_ns\":5",
        "\"duration_ns\":\"05\"",
        "\"duration_ns\":\"+5\"",
        "\"duration_ns\":\"\"",
        "\"duration_ns\":\"9223372036854775808\"",
        "\"cost\":\"1.5\"",
        "\"cost\":\"nan\"",
        "\"cost\":1e999",
        "\"status\":\"OK\"",
        "\"outcome\":\"fine\"",
        "\"trace_id\":\"0AF7651916CD43DD8448EB211C80319C\"",
        "\"trace_id\":\"0af7651916cd43dd8448eb211c80319\"",
        "\"parent_id\":\"01A0C450-6C7B-7001-8001-010101010101\"",
        "\"details\":{",
        "\"details\":01",
    ] {
        refusal(&with(&format!(",{member}")));
    }
    Body::parse(with(",\"tokens_in\":9007199254740992,\"duration_ns\":\"9223372036854775807\"").as_bytes()).unwrap();
}

#[test]
fn the_prefix_is_fixed_and_the_version_known() {
    let good = with("");
    for (from, to) in [
        (
            "\"v\":\"1\",\"salt\":\"000102030405060708090a0b0c0d0e0f\"",
            "\"salt\":\"000102030405060708090a0b0c0d0e0f\",\"v\":\"1\"",
        ),
        ("{\"v\"", "{ \"v\""),
        ("\"salt\"", "\"sa\\u006ct\""),
    ] {
        let error = Body::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(error, BodyError::Prefix), "{error}");
    }
    let error = Body::parse(good.replacen("\"v\":\"1\"", "\"v\":\"2\"", 1).as_bytes()).unwrap_err();
    assert!(matches!(&error, BodyError::Version(version) if version == "2"), "{error}");
    refusal(&good.replacen("0a0b", "0A0B", 1));
    refusal(&(good + "{}"));
}

#[test]
fn text_that_is_not_utf8_is_refused_wherever_it_stands() {
    for member in ["model", "prompt", "details"] {
        let mut body = with(&format!(",\"{member}\":\"@\"")).into_bytes();
        let at = body.iter().position(|byte| *byte == b'@').unwrap();
        body[at] = 0xff;
        assert!(Body::parse(&body).is_err(), "{member}");
        assert!(Body::parse_columns(&body).is_err(), "{member}");
    }
}

#[test]
fn deep_json_does_not_overflow_the_stack() {
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    let body = with(&format!(",\"details\":{deep}"));
    let read = Body::parse(body.as_bytes()).unwrap();
    assert_eq!(read.record.details.unwrap().as_str(), deep);
    refusal(&with(&format!(",\"model\":{deep}")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes(bytes: Vec<u8>) {
        prop_assert!(Body::parse(&bytes).is_err());
        prop_assert!(Body::parse_columns(&bytes).is_err());
    }

    #[test]
    fn a_body_with_bytes_changed_or_cut(
        record in any_record(0.2, &[]),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut body = Vec::new();
        write_body(&record, &[1; 16], time(1), &mut body);
        let whole = body.clone();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
            prop_assert!(Body::parse(&body).is_err(), "a body that is cut is never whole");
        }
        let (full, hasty) = (Body::parse(&body), Body::parse_columns(&body));
        // Where a full read succeeds, so does the hasty one.
        prop_assert!(full.is_err() || hasty.is_ok());
        if let Ok(read) = full {
            let mut again = Vec::new();
            write_body(&read.record, &read.salt.0, read.observed_at, &mut again);
            prop_assert!(body != whole || again == whole);
            prop_assert_eq!(Body::parse(&again).unwrap(), read);
        }
    }
}

#[test]
fn a_time_behind_the_last_is_refused() {
    let late = with("").replace("2026-09-21T14:13:20.000000000Z", "2262-04-11T23:47:16.854775808Z");
    assert!(refusal(&late).contains("2262"));
    let last = with("").replace("2026-09-21T14:13:20.000000000Z", "2262-04-11T23:47:16.854775807Z");
    assert_eq!(Body::parse(last.as_bytes()).unwrap().record.timestamp, time(i64::MAX as u64));
    assert_eq!(bare().timestamp.unix_nanos(), 1_790_000_000_123_456_789);
}
