//! Records that are signed with a key of their producer. Whether the signatures hold is seen by the verifier, in tests of whole processes.

use crate::sink::{Sink, is_lifecycle, text, turn};
use opentelemetry_sdk::trace::SpanData;
use tachograph::{Init, InitError, SourceKey};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n\
    -----END PRIVATE KEY-----\n";

fn key() -> SourceKey {
    SourceKey::from_pem(KEY).expect("a key")
}

#[tachograph::generation(model = "m", prompt = prompt)]
fn draw(prompt: &str) {
    let _ = prompt;
}

fn signature(span: &SpanData) -> String {
    text(span, "audit.integrity.value").unwrap_or_else(|| panic!("{} is not signed", span.name))
}

#[test]
fn each_record_is_signed_the_producers_own_too_and_last_of_all() {
    let _turn = turn();
    let sink = Sink::default();
    let guard = Init::new("test").producer_id("p").sign_with(key()).init_with(sink.clone()).expect("init");
    draw("a fox");
    draw("a fox");
    guard.shutdown().expect("nothing lost");
    let spans = sink.all_spans();
    assert_eq!((spans.len(), spans.iter().filter(|span| is_lifecycle(span)).count()), (4, 2));
    for span in &spans {
        let last: Vec<_> = span.attributes.iter().rev().take(3).map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(last, ["audit.integrity.canonicalization", "audit.integrity.signer", "audit.integrity.value"]);
        assert_eq!(text(span, "tachograph.producer.id").as_deref(), Some("p"), "before it was signed");
    }
    let mut signatures: Vec<_> = spans.iter().map(signature).collect();
    signatures.sort_unstable();
    signatures.dedup();
    assert_eq!(signatures.len(), 4, "each record is another");
}

#[test]
fn a_record_that_is_sent_again_has_the_same_signature() {
    let _turn = turn();
    let sink = Sink::default();
    let guard = Init::new("test").producer_id("p").sign_with(key()).init_with(sink.clone()).expect("init");
    sink.fail_next(2);
    draw("a fox");
    guard.shutdown().expect("nothing lost");
    sink.all_spans().iter().for_each(|span| assert_eq!(signature(span).len(), 88));
}

#[test]
fn who_signs_must_have_a_name() {
    let _turn = turn();
    let refused = Init::new("test").sign_with(key()).init_with(Sink::default());
    let error = refused.map(drop).expect_err("no name");
    assert!(matches!(error, InitError::UnnamedSource), "{error}");
    assert!(error.to_string().contains("TACHOGRAPH_PRODUCER_ID"), "{error}");
}
