use proptest::option;
use proptest::prelude::*;

use super::*;

/// Written by hand from the table in `docs/format.md`.
const FULL: &str = concat!(
    r#"{"body_len":"2300","body_sha256":"0000000000000000000000000000000000000000000000000000000000000001","#,
    r#""event_time":"1790000000000000123","index":"42","kind":"agent_decision","ledger":"acme.example/ai-audit","#,
    r#""prev":"0000000000000000000000000000000000000000000000000000000000000002","producer":"svc:a.1","#,
    r#""producer_epoch":"e-1","producer_seq":"7","sealed_at":"1790000000000000456","span_id":"00f067aa0ba902b7","#,
    r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","v":"1"}"#
);

fn number(last: u8) -> Hash {
    let mut bytes = [0; 32];
    bytes[31] = last;
    Hash::from_bytes(bytes)
}

fn full() -> Leaf<'static> {
    Leaf {
        body_len: 2300,
        body_sha256: number(1),
        cipher_sha256: None,
        dek_id: None,
        event_time: 1_790_000_000_000_000_123,
        index: 42,
        kind: "agent_decision",
        ledger: "acme.example/ai-audit",
        prev: number(2),
        producer: Some("svc:a.1"),
        producer_epoch: Some("e-1"),
        producer_seq: Some(7),
        sealed_at: 1_790_000_000_000_000_456,
        span_id: Some([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]),
        stream: None,
        stream_prev: None,
        stream_seq: None,
        trace_id: Some(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()),
    }
}

fn encode(leaf: &Leaf<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    leaf.encode_into(&mut bytes);
    bytes
}

fn error_of(text: &str) -> LeafError {
    Leaf::parse(text.as_bytes()).unwrap_err()
}

/// `FULL` with one part replaced, and where that part begins.
fn changed(from: &str, to: &str) -> (String, usize) {
    let at = FULL.find(from).unwrap();
    (FULL.replacen(from, to, 1), at)
}

#[test]
fn the_golden_leaf_is_written_and_read() {
    assert_eq!(String::from_utf8(encode(&full())).unwrap(), FULL);
    assert_eq!(Leaf::parse(FULL.as_bytes()).unwrap(), full());
    full().check().unwrap();
    let value: serde_json::Value = serde_json::from_str(FULL).unwrap();
    assert_eq!(value.to_string(), FULL, "a sorted JSON object, to any JSON library");
}

#[test]
fn genesis_is_the_hash_of_the_key_line() {
    assert_eq!(genesis("name+00000000+AAAA"), sha256(b"tachograph/genesis/v1\nname+00000000+AAAA\n"));
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    for (key, from, to) in [
        ("body_len", "2300", "02300"),
        ("body_len", "2300", ""),
        ("body_len", "2300", "18446744073709551616"),
        ("body_sha256", "0000000000000000000000000000000000000000000000000000000000000001", "00"),
        ("event_time", "1790000000000000123", "9223372036854775808"),
        ("index", "42", "4611686018427387904"),
        ("kind", "agent_decision", "Agent"),
        ("kind", "agent_decision", ""),
        ("producer", "svc:a.1", "svc a"),
        ("producer_epoch", "e-1", ""),
        ("producer_seq", "7\"", "-7\""),
        ("sealed_at", "1790000000000000456", "1e9"),
        ("span_id", "00f067aa0ba902b7", "00F067AA0BA902B7"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e473"),
    ] {
        let (text, at) = changed(from, to);
        match error_of(&text) {
            LeafError::Value { key: named, offset, .. } => assert_eq!((named, offset), (key, at)),
            other => panic!("{key}: {other}"),
        }
    }
    let (text, offset) = changed("acme.example", "acme example");
    let source = NameError::Character { at: 4, found: ' ' };
    assert_eq!(error_of(&text), LeafError::Ledger { offset, source });
    let (text, at) = changed("\"v\":\"1\"", "\"v\":\"2\"");
    assert_eq!(error_of(&text), LeafError::Version { offset: at + 5 });
}

#[test]
fn unknown_repeated_misplaced_and_missing_keys_are_refused() {
    for (from, to, expected) in [
        ("\"index\":\"42\"", "\"index\":\"42\",\"index\":\"42\"", "kind"),
        ("\"index\":\"42\"", "\"hue\":\"red\",\"index\":\"42\"", "index"),
        ("\"index\":\"42\",", "", "index"),
        ("\"producer_seq\":\"7\"", "\"producer_ser\":\"7\"", "sealed_at"),
        ("\"v\":\"1\"", "\"v\":\"1\",\"w\":\"1\"", "`}` after \"v\""),
        ("\"body_len\":\"2300\",", "", "body_len"),
    ] {
        let (text, _) = changed(from, to);
        match error_of(&text) {
            LeafError::Key { expected: named, .. } => assert_eq!(named, expected, "{text}"),
            other => panic!("{to}: {other}"),
        }
    }
    let swapped = FULL
        .replace("\"index\":\"42\",", "")
        .replace("\"kind\":\"agent_decision\",", "\"kind\":\"agent_decision\",\"index\":\"42\",");
    assert!(matches!(error_of(&swapped), LeafError::Key { expected: "index", .. }));
    let unversioned = FULL.replace(",\"v\":\"1\"", "");
    assert!(matches!(error_of(&unversioned), LeafError::Syntax { .. }));
}

#[test]
fn any_other_spelling_is_refused() {
    for text in [
        format!(" {FULL}"),
        format!("{FULL}\n"),
        format!("{FULL}{FULL}"),
        FULL.replace("\":\"", "\": \""),
        FULL.replace("\",\"", "\", \""),
        FULL.replace("agent_", "agent\\u005f"),
        FULL.replace("\"42\"", "42"),
        FULL.replace("\"v\":\"1\"", "\"v\":1"),
        FULL.replace("svc:a.1", "svc\u{e9}"),
        FULL.replace("svc:a.1", "svc\u{7f}"),
        FULL.replace("svc:a.1", "svc\n"),
        FULL.replace("{", "["),
    ] {
        assert!(matches!(error_of(&text), LeafError::Syntax { .. } | LeafError::Key { .. }), "{text}");
    }
    assert_eq!(error_of(""), LeafError::Syntax { offset: 0, expected: "`{`" });
    assert!(Leaf::parse(b"{\"body_len\":\"\xff\"}").is_err());
}

#[test]
fn every_truncation_is_refused() {
    for end in 0..FULL.len() {
        assert!(Leaf::parse(&FULL.as_bytes()[..end]).is_err(), "{end}");
    }
}

#[test]
fn the_length_is_bounded() {
    let room = MAX_LEAF_BYTES - FULL.len() - ",\"stream\":\"\"".len();
    let with_stream = |length: usize| {
        let stream = "s".repeat(length);
        encode(&Leaf { stream: Some(&stream), ..full() })
    };
    let longest = with_stream(room);
    assert_eq!(longest.len(), MAX_LEAF_BYTES);
    Leaf::parse(&longest).unwrap();
    let refused = Leaf::parse(&with_stream(room + 1)).map(|_| ());
    assert_eq!(refused, Err(LeafError::TooLong { bytes: MAX_LEAF_BYTES + 1 }));
}

#[test]
fn check_finds_what_parse_would_refuse() {
    let key_of = |leaf: Leaf<'_>| match leaf.check().unwrap_err() {
        LeafError::Value { key, offset: 0, .. } => key,
        LeafError::Ledger { offset: 0, .. } => "ledger",
        other => panic!("{other}"),
    };
    let long = "p".repeat(65);
    assert_eq!(key_of(Leaf { index: MAX_RECORDS, ..full() }), "index");
    assert_eq!(key_of(Leaf { event_time: MAX_TIME + 1, ..full() }), "event_time");
    assert_eq!(key_of(Leaf { sealed_at: u64::MAX, ..full() }), "sealed_at");
    assert_eq!(key_of(Leaf { kind: "a\"b", ..full() }), "kind");
    assert_eq!(key_of(Leaf { ledger: "", ..full() }), "ledger");
    assert_eq!(key_of(Leaf { producer: Some(&long), ..full() }), "producer");
    assert_eq!(key_of(Leaf { producer_epoch: Some(""), ..full() }), "producer_epoch");
    assert_eq!(key_of(Leaf { dek_id: Some("\\"), ..full() }), "dek_id");
    assert_eq!(key_of(Leaf { stream: Some(""), ..full() }), "stream");
}

/// Members whose text a strategy has to own.
#[derive(Debug)]
struct Texts {
    kind: String,
    ledger: String,
    producer: Option<String>,
    producer_epoch: Option<String>,
    dek_id: Option<String>,
    stream: Option<String>,
}

prop_compose! {
    fn texts()(
        kind in "[a-z0-9_]{1,64}",
        ledger in "[A-Za-z0-9._-]([A-Za-z0-9._/-]{0,40}[A-Za-z0-9._-])?",
        producer in option::of("[A-Za-z0-9._:-]{1,64}"),
        producer_epoch in option::of("[A-Za-z0-9._:-]{1,64}"),
        dek_id in option::of("[ !#-\\[\\]-~]{1,20}"),
        stream in option::of("[ !#-\\[\\]-~]{1,20}"),
    ) -> Texts {
        Texts { kind, ledger, producer, producer_epoch, dek_id, stream }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        texts in texts(),
        numbers: (u64, Option<u64>, Option<u64>),
        times in (0..=MAX_TIME, 0..=MAX_TIME, 0..MAX_RECORDS),
        hashes: ([u8; 32], [u8; 32], Option<[u8; 32]>, Option<[u8; 32]>),
        ids: (Option<[u8; 8]>, Option<[u8; 16]>),
    ) {
        let leaf = Leaf {
            body_len: numbers.0,
            body_sha256: Hash::from_bytes(hashes.0),
            cipher_sha256: hashes.2.map(Hash::from_bytes),
            dek_id: texts.dek_id.as_deref(),
            event_time: times.0,
            index: times.2,
            kind: &texts.kind,
            ledger: &texts.ledger,
            prev: Hash::from_bytes(hashes.1),
            producer: texts.producer.as_deref(),
            producer_epoch: texts.producer_epoch.as_deref(),
            producer_seq: numbers.1,
            sealed_at: times.1,
            span_id: ids.0,
            stream: texts.stream.as_deref(),
            stream_prev: hashes.3.map(Hash::from_bytes),
            stream_seq: numbers.2,
            trace_id: ids.1,
        };
        prop_assert_eq!(leaf.check(), Ok(()));
        let bytes = encode(&leaf);
        prop_assert_eq!(Leaf::parse(&bytes), Ok(leaf));
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(value.to_string().into_bytes(), bytes);
    }

    #[test]
    fn what_is_read_has_one_spelling(at in 0..FULL.len(), with in 0u8..128, insert: bool) {
        let mut bytes = FULL.as_bytes().to_vec();
        if insert { bytes.insert(at, with) } else { bytes[at] = with }
        if let Ok(leaf) = Leaf::parse(&bytes) {
            prop_assert_eq!(leaf.check(), Ok(()));
            prop_assert_eq!(encode(&leaf), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), keep in 0..FULL.len()) {
        let _ = Leaf::parse(&bytes);
        let _ = Leaf::parse(&[&FULL.as_bytes()[..keep], &bytes].concat());
    }
}
