//! Content is kept in full, as a hash or not at all; what is not there as it was is named.

use crate::sink::{find, json, recorded_with, text, value};
use opentelemetry::trace::{Status, TraceContextExt};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use serde_json::json;
use tachograph::{Capture, Init, Redaction, sha256};

fn init() -> Init {
    Init::new("test")
}

#[tachograph::generation(model = "m", prompt, actor = "anna", details = [prompt], output = ret)]
fn complete(prompt: &str) -> Result<String, String> {
    if prompt.is_empty() {
        return Err("the prompt of anna is empty".to_owned());
    }
    Ok(prompt.to_uppercase())
}

fn one(init: Init, body: impl FnOnce()) -> SpanData {
    let mut spans = recorded_with(init, body);
    assert_eq!(spans.len(), 1);
    spans.remove(0)
}

fn completed(init: Init, prompt: &str) -> SpanData {
    one(init, || drop(complete(prompt)))
}

fn capture(span: &SpanData) -> Option<serde_json::Value> {
    value(span, "tachograph.capture").map(|text| serde_json::from_str(&text.as_str()).expect("json"))
}

#[test]
fn full_is_the_default_and_says_nothing() {
    let span = completed(init(), "fox");
    assert_eq!(text(&span, "tachograph.prompt").as_deref(), Some("fox"));
    assert_eq!(capture(&span), None);
    assert_eq!(text(&span, "tachograph.input.hash"), None);
}

#[test]
fn hashed_content_is_replaced_by_its_hash() {
    let span = completed(init().capture(Capture::Hashed), "füchse");
    for key in ["tachograph.prompt", "tachograph.output", "tachograph.details"] {
        assert_eq!(value(&span, key), None, "{key}");
    }
    assert_eq!(text(&span, "tachograph.input.hash"), Some(sha256("füchse")));
    assert_eq!(text(&span, "tachograph.output.hash"), Some(sha256("FÜCHSE")));
    assert_eq!(text(&span, "tachograph.actor.id").as_deref(), Some("anna"));
    assert_eq!(text(&span, "gen_ai.request.model").as_deref(), Some("m"));
    assert_eq!(
        capture(&span),
        Some(json!({
            "tachograph.prompt": {"state": "hashed", "sha256": sha256("füchse"), "bytes": 7},
            "tachograph.output": {"state": "hashed", "sha256": sha256("FÜCHSE"), "bytes": 7},
            "tachograph.details": {"state": "hashed", "sha256": sha256("[\"füchse\"]"), "bytes": 11},
        }))
    );
}

#[test]
fn content_that_is_off_leaves_no_hash_either() {
    let span = completed(init().capture(Capture::Off), "fox");
    assert_eq!(value(&span, "tachograph.prompt"), None);
    assert_eq!(value(&span, "tachograph.input.hash"), None);
    let off = json!({"state": "off"});
    assert_eq!(
        capture(&span),
        Some(json!({"tachograph.prompt": off, "tachograph.output": off, "tachograph.details": off}))
    );
}

#[tachograph::agent_decision(
    agent = "a",
    inputs = "in",
    state = 1,
    outputs = "out",
    capture = hashed,
    capture(state = off, steps = off, outputs = full)
)]
fn decide() {
    tachograph::step!("SECRET");
}

#[test]
fn a_macro_and_a_field_can_be_stricter_never_less_strict() {
    let span = one(init(), decide);
    let state = |key: &str| capture(&span).expect("said")[key]["state"].as_str().map(ToOwned::to_owned);
    assert_eq!(state("tachograph.inputs").as_deref(), Some("hashed"));
    assert_eq!(state("tachograph.outputs").as_deref(), Some("hashed"));
    assert_eq!(state("tachograph.state.before").as_deref(), Some("off"));
    assert_eq!(state("tachograph.state.after").as_deref(), Some("off"));
    assert_eq!(state("tachograph.decision.steps").as_deref(), Some("off"));
    assert_eq!(value(&span, "tachograph.decision.steps"), None);

    let span = one(init().capture(Capture::Off), decide);
    assert!(capture(&span).expect("said").as_object().expect("object").values().all(|entry| entry["state"] == "off"));
}

#[test]
fn hashes_of_what_is_there_are_had_for_the_asking() {
    let span = completed(init().hash_content(true), "fox");
    assert_eq!(text(&span, "tachograph.prompt").as_deref(), Some("fox"));
    assert_eq!(text(&span, "tachograph.input.hash"), Some(sha256("fox")));
    assert_eq!(text(&span, "tachograph.output.hash"), Some(sha256("FOX")));
    assert_eq!(capture(&span), None);
}

#[test]
fn what_is_too_long_is_cut_between_characters() {
    let span = completed(init().longest_content(6), "füchse und hasen");
    assert_eq!(text(&span, "tachograph.prompt").as_deref(), Some("füchs"));
    assert_eq!(
        capture(&span).expect("said")["tachograph.prompt"],
        json!({"state": "truncated", "sha256": sha256("füchse und hasen"), "bytes": 17})
    );
    let span = completed(init().longest_content(6), "");
    assert_eq!(span.status, Status::error("the pr"));
    assert_eq!(capture(&span).expect("said")["tachograph.error"]["bytes"], 27);
}

fn without_anna(content: &tachograph::Content<'_>) -> Redaction {
    if content.text().contains("secret") {
        Redaction::Remove
    } else if content.text().contains("anna") {
        Redaction::Replace(content.text().replace("anna", "***"))
    } else {
        Redaction::Keep
    }
}

#[test]
fn a_hook_sees_content_and_errors_before_they_leave() {
    let span = completed(init().redact(without_anna), "a fox for anna");
    assert_eq!(text(&span, "tachograph.prompt").as_deref(), Some("a fox for ***"));
    assert_eq!(text(&span, "tachograph.output").as_deref(), Some("A FOX FOR ANNA"));
    assert_eq!(text(&span, "tachograph.actor.id").as_deref(), Some("anna"), "an id is no content");
    assert_eq!(
        capture(&span),
        Some(json!({"tachograph.prompt": {"state": "redacted"}, "tachograph.details": {"state": "redacted"}}))
    );

    let span = completed(init().redact(without_anna), "");
    assert_eq!(span.status, Status::error("the prompt of *** is empty"));

    let span = completed(init().redact(without_anna), "a secret");
    assert_eq!(value(&span, "tachograph.prompt"), None);

    let hashed = completed(init().redact(without_anna).capture(Capture::Hashed), "a fox for anna");
    assert_eq!(text(&hashed, "tachograph.input.hash"), Some(sha256("a fox for ***")));
    assert_eq!(capture(&hashed).expect("said")["tachograph.prompt"]["redacted"], true);
}

#[tachograph::tool_call(tool = "t", arguments = "anna")]
fn panics() {
    panic!("anna is not there");
}

#[test]
fn the_message_of_a_panic_passes_the_hook_too() {
    let span = one(init().redact(without_anna), || drop(std::panic::catch_unwind(panics)));
    assert_eq!(span.status, Status::error("*** is not there"));
    assert_eq!(text(&span, "gen_ai.tool.call.arguments").as_deref(), Some("\"***\""));
}

#[test]
fn a_hook_that_panics_leaks_nothing() {
    let warnings = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let heard = std::sync::Arc::clone(&warnings);
    let init = init().on_warning(move |line| heard.lock().expect("lines").push_str(line)).redact(|content| {
        assert!(!content.attribute().ends_with("output"), "a hook of a test");
        Redaction::Keep
    });
    let span = completed(init, "fox");
    assert_eq!(value(&span, "tachograph.prompt"), None, "the hook let it pass, but it failed later");
    assert_eq!(value(&span, "tachograph.output"), None);
    assert_eq!(value(&span, "tachograph.details"), None);
    assert_eq!(capture(&span).expect("said")["tachograph.prompt"], json!({"state": "redacted"}));
    assert!(warnings.lock().expect("lines").contains("hook for redaction panicked"));
}

#[tachograph::generation(model = "m")]
fn foreign() {
    let context = Context::current();
    let span = context.span();
    span.set_attribute(KeyValue::new("llm.prompt", "hello anna"));
    span.set_attribute(KeyValue::new("llm.words", Value::Array(Array::String(vec!["anna".into()]))));
    span.set_attribute(KeyValue::new("llm.tokens", 3));
    span.set_attribute(KeyValue::new("tachograph.team", "anna's"));
    span.add_event("heard", vec![KeyValue::new("text", "anna"), KeyValue::new("n", 1)]);
}

#[test]
fn what_other_code_sets_on_the_span_is_content_too() {
    let span = one(init().capture(Capture::Off), foreign);
    assert_eq!(value(&span, "llm.prompt"), None);
    assert_eq!(value(&span, "llm.words"), None);
    assert_eq!(value(&span, "llm.tokens"), Some(Value::I64(3)));
    assert_eq!(text(&span, "tachograph.team").as_deref(), Some("anna's"));
    assert_eq!(span.events[0].attributes, [KeyValue::new("n", 1)]);
    let said = capture(&span).expect("said");
    assert_eq!(said["heard/text"], json!({"state": "off"}));

    let span = one(init().capture(Capture::Hashed), foreign);
    let said = capture(&span).expect("said");
    assert_eq!(said["llm.words"]["sha256"], sha256("[\"anna\"]"));
    assert_eq!(said["heard/text"]["sha256"], sha256("anna"));
    assert_eq!(span.events[0].attributes, [KeyValue::new("n", 1)]);

    let span = one(init().redact(without_anna), foreign);
    assert_eq!(text(&span, "llm.prompt").as_deref(), Some("hello ***"));
    assert_eq!(span.events[0].attributes[0], KeyValue::new("text", "***"));
}

#[test]
fn content_of_ordinary_spans_is_captured_as_the_process_says() {
    use opentelemetry::trace::{Span, Tracer, TracerProvider};
    let _turn = crate::sink::turn();
    let sink = crate::sink::Sink::default();
    let guard = init().capture(Capture::Hashed).redact(without_anna).init_with(sink.clone()).expect("init");
    let mut span = guard.tracer_provider().tracer("app").start("chat");
    span.set_attribute(KeyValue::new("gen_ai.input.messages", "[\"fox\"]"));
    span.set_attribute(KeyValue::new("gen_ai.prompt.0.content", "a secret"));
    span.set_attribute(KeyValue::new("http.route", "/anna"));
    span.end();
    guard.shutdown().expect("nothing lost");
    let span = sink.spans().remove(0);
    assert_eq!(value(&span, "gen_ai.input.messages"), None);
    assert_eq!(text(&span, "tachograph.input.hash"), Some(sha256("[\"fox\"]")));
    assert_eq!(value(&span, "gen_ai.prompt.0.content"), None);
    assert_eq!(text(&span, "http.route").as_deref(), Some("/anna"));
    assert_eq!(capture(&span).expect("said")["gen_ai.prompt.0.content"], json!({"state": "redacted"}));
}

#[test]
fn steps_stay_readable_where_nothing_was_chosen() {
    let spans = recorded_with(init().redact(without_anna), decide);
    assert_eq!(value(find(&spans, "decide"), "tachograph.decision.steps"), None, "the macro says off");
    assert_eq!(json(&spans[0], "tachograph.capture")["tachograph.decision.steps"], json!({"state": "off"}));
}
