//! What is signed, and the signature, are what an independent program makes of the same span.

use super::canonical::of_span;
use super::*;
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{Array, InstrumentationScope, StringValue, Value};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use serde_json::Value as Json;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const VECTORS: &str = include_str!("../../../tests/golden/source-v1.json");

fn vectors() -> Json {
    serde_json::from_str(VECTORS).expect("JSON")
}

fn key() -> SourceKey {
    SourceKey::from_pem(vectors()["private_pem"].as_str().expect("PEM")).expect("a key")
}

fn text(json: &Json, name: &str) -> String {
    json[name].as_str().unwrap_or_default().to_owned()
}

fn time(json: &Json, name: &str) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(json[name].as_str().map_or(0, |digits| digits.parse().expect("digits")))
}

fn list<T>(json: &Json, name: &str, read: impl Fn(&Json) -> T) -> Vec<T> {
    json[name].as_array().into_iter().flatten().map(read).collect()
}

/// A value that a span of this SDK can have, out of OTLP/JSON.
fn value(json: &Json) -> Value {
    let (kind, content) = json.as_object().and_then(|json| json.iter().next()).expect("a value");
    let double = |content: &Json| {
        content.as_f64().unwrap_or_else(|| f64::from_str(content.as_str().expect("a word")).expect("a number"))
    };
    let int = |content: &Json| content.as_str().expect("digits").parse::<i64>().expect("digits");
    match kind.as_str() {
        "stringValue" => Value::from(content.as_str().expect("a text").to_owned()),
        "boolValue" => Value::Bool(content.as_bool().expect("a flag")),
        "intValue" => Value::I64(int(content)),
        "doubleValue" => Value::F64(double(content)),
        "arrayValue" if content["values"][0].get("intValue").is_some() => {
            Value::Array(Array::I64(list(content, "values", |item| int(&item["intValue"]))))
        }
        "arrayValue" => {
            Value::Array(Array::String(list(content, "values", |item| StringValue::from(text(item, "stringValue")))))
        }
        other => panic!("{other}"),
    }
}

fn attributes(json: &Json) -> Vec<KeyValue> {
    list(json, "attributes", |pair| KeyValue::new(text(pair, "key"), value(&pair["value"])))
}

fn context(json: &Json) -> SpanContext {
    let trace = TraceId::from_hex(&text(json, "traceId")).unwrap_or(TraceId::INVALID);
    let span = SpanId::from_hex(&text(json, "spanId")).unwrap_or(SpanId::INVALID);
    let state = TraceState::from_str(&text(json, "traceState")).expect("a state");
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state)
}

fn span(json: &Json) -> SpanData {
    let kinds = [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
    let mut events = SpanEvents::default();
    events.events = list(json, "events", |event| {
        Event::new(text(event, "name"), time(event, "timeUnixNano"), attributes(event), 0)
    });
    let mut links = SpanLinks::default();
    links.links = list(json, "links", |link| Link::new(context(link), attributes(link), 0));
    SpanData {
        span_context: context(json),
        parent_span_id: SpanId::from_hex(&text(json, "parentSpanId")).unwrap_or(SpanId::INVALID),
        parent_span_is_remote: false,
        span_kind: kinds[json["kind"].as_u64().expect("a kind") as usize - 1].clone(),
        name: text(json, "name").into(),
        start_time: time(json, "startTimeUnixNano"),
        end_time: time(json, "endTimeUnixNano"),
        attributes: attributes(json),
        dropped_attributes_count: 0,
        events,
        links,
        status: match json["status"]["code"].as_u64() {
            Some(1) => Status::Ok,
            Some(2) => Status::error(text(&json["status"], "message")),
            _ => Status::Unset,
        },
        instrumentation_scope: InstrumentationScope::builder("x").build(),
    }
}

/// Those of the vectors that a span of this SDK can be.
fn spans() -> Vec<(String, SpanData, Json)> {
    let all = vectors();
    let all = all["records"].as_array().expect("records");
    let is_known = |span: &Json| (1..6).contains(&span["kind"].as_u64().unwrap_or_default());
    let spans: Vec<_> = all
        .iter()
        .filter(|record| record.get("span").is_some_and(is_known))
        .map(|record| (text(record, "what"), span(&record["span"]), record.clone()))
        .collect();
    assert!(spans.len() > 9);
    spans
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found: Vec<_> = span.attributes.iter().filter(|attribute| attribute.key.as_str() == key).collect();
    assert!(found.len() < 2, "{key} comes twice");
    found.first().map(|attribute| attribute.value.to_string())
}

#[test]
fn what_is_signed_is_what_the_format_says() {
    for (what, span, vector) in spans() {
        let signed = String::from_utf8(of_span(&span)).expect("text");
        assert_eq!(signed, text(&vector, "canonical"), "{what}");
    }
}

#[test]
fn a_record_gets_the_signature_once_and_keeps_the_last_of_two_attributes() {
    let signer = Signer::of(key());
    for (what, mut span, vector) in spans() {
        signer.sign(&mut span);
        assert_eq!(attribute(&span, "audit.integrity.value"), Some(text(&vector, "signature")), "{what}");
        assert_eq!(attribute(&span, "audit.integrity.signer").as_deref(), Some("producer"));
        assert_eq!(attribute(&span, "audit.integrity.canonicalization").as_deref(), Some("jcs"));
        // As text, since a double that is no number is not itself.
        let once = format!("{:?}", span.attributes);
        signer.sign(&mut span);
        assert_eq!(format!("{:?}", span.attributes), once, "{what}");
        if what.contains("the last of two") {
            assert_eq!(attribute(&span, "a").as_deref(), Some("2"));
        }
        // What a record says of itself is signed anew when it changes.
        span.name = "changed".into();
        signer.sign(&mut span);
        assert_ne!(format!("{:?}", span.attributes), once, "{what}");
    }
}

#[test]
fn without_a_key_nothing_is_signed() {
    let (_, mut span, _) = spans().remove(0);
    let before = span.attributes.clone();
    Signer::default().sign(&mut span);
    assert_eq!(span.attributes, before);
    assert!(Signer::default().resource().is_empty());
}

#[test]
fn a_key_is_read_as_openssl_writes_it_and_never_shown() {
    let all = vectors();
    let pem = text(&all, "private_pem");
    assert_eq!(key().public_pem(), text(&all, "public_pem"));
    let folder = std::env::temp_dir().join(format!("tachograph-source-key-{}", std::process::id()));
    std::fs::write(&folder, &pem).expect("a file");
    let read = SourceKey::read(&folder);
    std::fs::remove_file(&folder).expect("the file");
    let shown = format!("{:?}", read.as_ref().expect("a key"));
    assert_eq!(read.expect("a key").public_pem(), text(&all, "public_pem"));
    let secret = pem.lines().nth(1).expect("base64");
    assert!(!shown.contains(&secret[20..40]), "{shown}");
    for bad in [
        String::new(),
        text(&all, "public_pem"),
        pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
        pem.replace("MC4C", "MC4D"),
        pem.replace(&secret[60..], ""),
        format!("{pem}{pem}"),
    ] {
        let error = SourceKey::from_pem(&bad).expect_err("no key").to_string();
        assert!(error.contains("openssl genpkey") && !error.contains(&secret[20..40]), "{error}");
    }
    let missing = SourceKey::read("/nowhere/source.pem").expect_err("no file").to_string();
    assert!(missing.contains("/nowhere/source.pem") && missing.contains("TACHOGRAPH_SOURCE_KEY"), "{missing}");
}

/// RFC 8037, appendix A.3.
#[test]
fn the_key_id_is_the_thumbprint_of_the_standard() {
    let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let seed = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, seed).expect("base64");
    let der = [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(), &seed].concat();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    assert_eq!(SourceKey::from_pem(&pem).expect("a key").id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}
