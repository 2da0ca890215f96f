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

#[tachograph::generation(model = "m", prompt, input_hash = prompt, output = ret, output_hash = ret)]
fn hashed_by_hand(prompt: &str) -> String {
    prompt.to_uppercase()
}

#[tachograph::generation(model = "m", input_hash = prompt, output_hash = ret, capture(prompt = off))]
fn only_hashes(prompt: &str) -> String {
    prompt.to_uppercase()
}

#[test]
fn a_hash_that_was_asked_for_goes_with_what_it_is_of() {
    let span = one(init(), || drop(hashed_by_hand("fox")));
    assert_eq!(text(&span, "tachograph.input.hash"), Some(sha256("fox")));
    assert_eq!(capture(&span), None);

    let off = json!({"state": "off"});
    let span = one(init().capture(Capture::Off), || drop(hashed_by_hand("fox")));
    assert_eq!(value(&span, "tachograph.input.hash"), None);
    assert_eq!(value(&span, "tachograph.output.hash"), None);
    assert_eq!(capture(&span).expect("said")["tachograph.input.hash"], off);
    assert_eq!(capture(&span).expect("said")["tachograph.output.hash"], off);

    let span = one(init(), || drop(only_hashes("fox")));
    assert_eq!(value(&span, "tachograph.input.hash"), None);
    assert_eq!(text(&span, "tachograph.output.hash"), Some(sha256("FOX")));
    assert_eq!(capture(&span), Some(json!({"tachograph.input.hash": off})));
}

#[test]
fn what_was_redacted_leaves_no_hash_of_what_it_was() {
    let span = one(init().redact(without_anna), || drop(hashed_by_hand("anna")));
    assert_eq!(value(&span, "tachograph.input.hash"), None);
    assert_eq!(text(&span, "tachograph.output.hash"), Some(sha256("ANNA")), "nothing was taken out there");
    assert_eq!(capture(&span).expect("said")["tachograph.input.hash"], json!({"state": "redacted"}));

    let span = one(init().redact(without_anna).capture(Capture::Hashed), || drop(hashed_by_hand("anna")));
    assert_eq!(text(&span, "tachograph.input.hash"), Some(sha256("***")), "of what is kept");
}

#[tachograph::generation(model = "m", name = format!("chat with {}", "anna"), parameters(persona = "anna", size = "big"))]
fn chats() {}

#[tachograph::agent_decision(agent = "a", decision = "LOAN", final_decision = "refused to anna")]
fn refuses() {}

#[test]
fn text_of_ones_own_is_content_unless_its_name_is_known() {
    let by_hand = || {
        let mut event = tachograph::Generation::new("by hand");
        event.model("m").attribute("app.question", "who is anna").attribute("app.count", 3);
        event.record();
    };
    let span = one(init().capture(Capture::Off), by_hand);
    assert_eq!(value(&span, "app.question"), None);
    assert_eq!(value(&span, "app.count"), Some(Value::I64(3)));
    assert_eq!(text(&span, "gen_ai.request.model").as_deref(), Some("m"));
    assert_eq!(capture(&span), Some(json!({"app.question": {"state": "off"}})));

    let span = one(init().capture(Capture::Off), chats);
    assert_eq!(span.name, "chat with anna", "a name that was given is none of the content");
    assert_eq!(value(&span, "tachograph.parameter.persona"), None);
    assert_eq!(text(&span, "tachograph.parameter.size").as_deref(), Some("big"));

    let span = one(init().capture(Capture::Off), refuses);
    assert_eq!(text(&span, "tachograph.decision.final").as_deref(), Some("refused to anna"), "the verdict stays");
    let span = one(init().redact(without_anna), refuses);
    assert_eq!(text(&span, "tachograph.decision.final").as_deref(), Some("refused to ***"));
}

#[tachograph::generation(model = "m", causes = [cause])]
fn named_by_others(who: &str, cause: Option<tachograph::EventRef>) {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
    let context = Context::current();
    let span = context.span();
    span.update_name(format!("hello {who}"));
    span.add_event(format!("heard {who}"), vec![KeyValue::new("said", who.to_owned())]);
    span.add_event(format!("saw {who}"), vec![KeyValue::new("said", who.to_owned())]);
    span.add_event("gen_ai.choice", vec![]);
    let other = SpanContext::new(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([2; 8]),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    span.add_link(other, vec![KeyValue::new("because", who.to_owned())]);
    span.set_attribute(KeyValue::new("gen_ai.request.persona", who.to_owned()));
    span.set_attribute(KeyValue::new("gen_ai.response.thought", who.to_owned()));
    span.set_attribute(KeyValue::new("gen_ai.response.id", "r-1"));
}

#[test]
fn names_and_links_that_other_code_makes_are_content_too() {
    let others = || named_by_others("anna", None);
    let span = one(init(), others);
    assert_eq!(span.name, "hello anna");

    let span = one(init().capture(Capture::Off), others);
    assert_eq!(span.name, "named_by_others");
    assert!(!format!("{span:?}").contains("anna"), "{span:?}");
    let names: Vec<_> = span.events.iter().map(|event| event.name.as_ref()).collect();
    assert_eq!(names, ["event", "event", "gen_ai.choice"]);
    assert_eq!(text(&span, "gen_ai.response.id").as_deref(), Some("r-1"));
    let off = json!({"state": "off"});
    assert_eq!(
        capture(&span),
        Some(json!({
            "name": off, "event.name": off, "event.name#1": off, "event/said": off, "event/said#1": off,
            "link.0/because": off, "gen_ai.request.persona": off, "gen_ai.response.thought": off,
        }))
    );

    let span = one(init().capture(Capture::Hashed), others);
    assert!(!format!("{span:?}").contains("anna"), "{span:?}");
    assert_eq!(span.name, "named_by_others");
    let said = capture(&span).expect("said");
    assert_eq!(said["name"]["sha256"], sha256("hello anna"));
    assert_eq!(said["event.name#1"]["sha256"], sha256("saw anna"));
    assert_eq!(said["event/said"]["sha256"], sha256("anna"));
    assert_eq!(said["link.0/because"]["sha256"], sha256("anna"));

    let span = one(init().redact(without_anna), others);
    assert_eq!(span.name, "hello ***");
    assert!(!format!("{span:?}").contains("anna"), "{span:?}");

    let spans = recorded_with(init().capture(Capture::Off), || {
        named_by_others("anna", tachograph::AuditEvent::new("asked").record());
    });
    let links = &find(&spans, "named_by_others").links;
    assert_eq!(links[0].attributes[0].key.as_str(), "tachograph.event.id", "ids of causes stay");
}

#[test]
fn content_in_other_dialects_is_known_on_ordinary_spans() {
    use opentelemetry::trace::{Span, Tracer, TracerProvider};
    let content = [
        "traceloop.entity.input",
        "traceloop.entity.output",
        "ai.prompt",
        "ai.prompt.messages",
        "ai.response.text",
        "ai.response.object",
        "ai.toolCall.args",
        "ai.toolCall.result",
        "retrieval.documents.0.document.content",
        "llm.input_messages.0.message.content",
        "llm.output_messages.0.message.content",
        "llm.prompts.0.prompt.text",
        "llm.request.functions.0.description",
        "llm.tools.0.tool.json_schema",
        "input.value",
        "output.value",
        "langfuse.observation.input",
        "mlflow.spanInputs",
        "pydantic_ai.all_messages",
        "tool_arguments",
        "gen_ai.tool.args",
        "gen_ai.request.persona",
        "exception.stacktrace",
    ];
    let plain = ["gen_ai.request.model", "ai.model.id", "traceloop.span.kind", "llm.model_name", "http.route", "app.x"];
    let _turn = crate::sink::turn();
    let sink = crate::sink::Sink::default();
    let guard = init().capture(Capture::Off).init_with(sink.clone()).expect("init");
    let mut span = guard.tracer_provider().tracer("app").start("chat");
    content.into_iter().chain(plain).for_each(|key| span.set_attribute(KeyValue::new(key, "text")));
    span.add_event("gen_ai.user.message", vec![KeyValue::new("content", "anna"), KeyValue::new("id", "anna")]);
    span.add_event("gen_ai.choice", vec![KeyValue::new("message", "anna"), KeyValue::new("index", 0)]);
    span.add_event("retried", vec![KeyValue::new("why", "busy")]);
    span.end();
    guard.shutdown().expect("nothing lost");
    let span = sink.spans().remove(0);
    for key in content {
        assert_eq!(value(&span, key), None, "{key}");
        assert_eq!(capture(&span).expect("said")[key], json!({"state": "off"}), "{key}");
    }
    for key in plain {
        assert_eq!(text(&span, key).as_deref(), Some("text"), "{key}");
    }
    assert!(span.events[0].attributes.is_empty());
    assert_eq!(span.events[1].attributes, [KeyValue::new("index", 0)]);
    assert_eq!(span.events[2].attributes, [KeyValue::new("why", "busy")]);
}

#[test]
fn a_hook_that_records_is_not_asked_about_that() {
    let spans = recorded_with(
        init().redact(|content| {
            tachograph::audit!(action = "looked", details = content.text(), outcome_reason = "anna");
            Redaction::Keep
        }),
        || drop(hashed_by_hand("fox")),
    );
    assert_eq!(spans.len(), 3, "one for the prompt, one for the output");
    assert_eq!(text(find(&spans, "hashed_by_hand"), "tachograph.prompt").as_deref(), Some("fox"));
    for span in spans.iter().filter(|span| text(span, "tachograph.action.type").is_some()) {
        let off = json!({"state": "off"});
        assert_eq!(capture(span), Some(json!({"tachograph.details": off, "tachograph.outcome.reason": off})));
        assert_eq!(value(span, "tachograph.details"), None);
    }
}
