//! Each argument becomes the attribute that docs/attributes.md names, with its type.

use crate::sink::{find, json, recorded, text, value};
use opentelemetry::{Array, Value};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Clone, Serialize)]
struct Message {
    role: &'static str,
    content: String,
}

struct Request {
    model: String,
    prompt: String,
    negative: Option<String>,
    width: u32,
    seed: Option<u64>,
    messages: Vec<Message>,
}

struct Usage {
    input: u64,
    output: u32,
}

struct Reply {
    text: String,
    path: PathBuf,
    usage: Usage,
    image: Vec<u8>,
    flags: Vec<String>,
}

fn request() -> Request {
    Request {
        model: "pixel-2".to_owned(),
        prompt: "a red fox".to_owned(),
        negative: None,
        width: 64,
        seed: Some(7),
        messages: vec![Message { role: "user", content: "hi".to_owned() }],
    }
}

#[tachograph::generation(
    name = "paint",
    operation = "image",
    provider = "acme",
    model = %req.model,
    model_version = env!("CARGO_PKG_VERSION"),
    response_id = format!("r-{}", ret.usage.output),
    prompt = req.prompt,
    negative_prompt = req.negative,
    system_instructions = ["be brief"],
    input_messages = req.messages,
    output_messages = vec![ret.text.clone()],
    output = ret.text,
    output_path = ret.path,
    output_hash = ret.image,
    input_hash = req.prompt,
    width = req.width,
    height = 48_u16,
    guidance_scale = 7.5,
    seed = req.seed,
    parameters(sampler = "euler", tiled = false, weights = [0.5, 0.25], temperature = 0.7, nothing = None::<u8>),
    tokens_in = ret.usage.input,
    tokens_out = ret.usage.output,
    cost = 0.25,
    currency = "EUR",
    content_flags = ret.flags,
    actor = "anna",
    actor_type = "user",
    session = "s-1",
    team = Some("design"),
    tenant = "acme-eu",
    client_ip = "192.0.2.7",
    action = "render",
    resource_type = "image",
    resource = 'x'.to_string(),
    details = BTreeMap::from([("tries", 1)]),
    context = ?req.seed,
)]
fn generate(req: Request) -> Result<Reply, std::fmt::Error> {
    Ok(Reply {
        text: req.prompt.to_uppercase(),
        path: PathBuf::from("out/fox.png"),
        usage: Usage { input: 12, output: 34 },
        image: b"abc".to_vec(),
        flags: vec!["none".to_owned()],
    })
}

#[test]
fn every_field_of_a_generation() {
    let spans = recorded(|| {
        generate(request()).expect("reply");
    });
    let span = find(&spans, "paint");
    let texts = [
        ("tachograph.kind", "generation"),
        ("gen_ai.operation.name", "image"),
        ("gen_ai.provider.name", "acme"),
        ("gen_ai.request.model", "pixel-2"),
        ("tachograph.model.version", env!("CARGO_PKG_VERSION")),
        ("gen_ai.response.id", "r-34"),
        ("tachograph.prompt", "a red fox"),
        ("gen_ai.system_instructions", "[\"be brief\"]"),
        ("gen_ai.input.messages", "[{\"role\":\"user\",\"content\":\"hi\"}]"),
        ("gen_ai.output.messages", "[\"A RED FOX\"]"),
        ("tachograph.output", "A RED FOX"),
        ("tachograph.output.path", "out/fox.png"),
        ("tachograph.output.hash", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("tachograph.parameter.sampler", "euler"),
        ("tachograph.cost.currency", "EUR"),
        ("tachograph.actor.id", "anna"),
        ("tachograph.actor.type", "user"),
        ("session.id", "s-1"),
        ("tachograph.team", "design"),
        ("tachograph.tenant", "acme-eu"),
        ("client.address", "192.0.2.7"),
        ("tachograph.action.type", "render"),
        ("tachograph.resource.type", "image"),
        ("tachograph.resource.id", "x"),
        ("tachograph.details", "{\"tries\":1}"),
        ("tachograph.context", "\"Some(7)\""),
        ("tachograph.outcome", "success"),
    ];
    for (key, expected) in texts {
        assert_eq!(text(span, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!(text(span, "tachograph.input.hash"), Some(tachograph::sha256("a red fox")));
    let values = [
        ("tachograph.parameter.width", Value::I64(64)),
        ("tachograph.parameter.height", Value::I64(48)),
        ("tachograph.parameter.guidance_scale", Value::F64(7.5)),
        ("gen_ai.request.seed", Value::I64(7)),
        ("gen_ai.request.temperature", Value::F64(0.7)),
        ("tachograph.parameter.tiled", Value::Bool(false)),
        ("tachograph.parameter.weights", Value::Array(Array::F64(vec![0.5, 0.25]))),
        ("gen_ai.usage.input_tokens", Value::I64(12)),
        ("gen_ai.usage.output_tokens", Value::I64(34)),
        ("tachograph.cost", Value::F64(0.25)),
        ("tachograph.content_flags", Value::Array(Array::String(vec!["none".into()]))),
        ("tachograph.producer.seq", Value::I64(1)),
    ];
    for (key, expected) in values {
        assert_eq!(value(span, key), Some(expected), "{key}");
    }
    assert_eq!(value(span, "tachograph.negative_prompt"), None);
    assert_eq!(value(span, "tachograph.parameter.nothing"), None);
    assert_eq!(value(span, "tachograph.parent.id"), None);
}

struct Desk {
    position: i64,
}

impl Desk {
    #[tachograph::agent_decision(
        agent = "alpha",
        version = "2.1",
        decision = "TRADE",
        inputs = price,
        steps = ["warm up"],
        outputs = ret,
        threshold = 0.5,
        confidence = 0.75_f32,
        raw_output = ?ret,
        final_decision = if *ret > 0 { "BUY" } else { "HOLD" },
        state = self.position,
        model = "rules",
    )]
    fn decide(&mut self, price: f64) -> i64 {
        tachograph::step!("PRICE_CHECK", result = price < 10.0, reason = "{price} against {}", 10);
        self.position += 3;
        tachograph::step!("SIZED", result = self.position);
        tachograph::step!("NOTED", reason = String::from("done \"here\""));
        tachograph::step!("BARE");
        3
    }
}

#[test]
fn every_field_of_a_decision() {
    let spans = recorded(|| {
        Desk { position: 4 }.decide(9.5);
    });
    let span = find(&spans, "decide");
    for (key, expected) in [
        ("tachograph.kind", "agent_decision"),
        ("gen_ai.agent.id", "alpha"),
        ("gen_ai.agent.version", "2.1"),
        ("tachograph.decision.type", "TRADE"),
        ("tachograph.inputs", "9.5"),
        ("tachograph.outputs", "3"),
        ("tachograph.decision.raw_output", "3"),
        ("tachograph.decision.final", "BUY"),
        ("tachograph.state.before", "4"),
        ("tachograph.state.after", "7"),
        ("gen_ai.request.model", "rules"),
    ] {
        assert_eq!(text(span, key).as_deref(), Some(expected), "{key}");
    }
    assert_eq!(value(span, "tachograph.decision.threshold"), Some(Value::F64(0.5)));
    assert_eq!(value(span, "tachograph.decision.confidence"), Some(Value::F64(0.75)));
    assert_eq!(
        json(span, "tachograph.decision.steps"),
        serde_json::json!([
            "warm up",
            {"step": "PRICE_CHECK", "result": true, "reason": "9.5 against 10"},
            {"step": "SIZED", "result": 7},
            {"step": "NOTED", "reason": "done \"here\""},
            {"step": "BARE"},
        ])
    );
}

#[tachograph::tool_call(tool = "place_order", arguments = (&side, size), result = ret)]
fn place<S: AsRef<str> + Serialize>(side: S, size: u8) -> String {
    format!("{} {size}", side.as_ref())
}

#[test]
fn every_field_of_a_tool_call() {
    let spans = recorded(|| {
        place("buy", 3);
    });
    let span = find(&spans, "place");
    for (key, expected) in [
        ("tachograph.kind", "tool_call"),
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "place_order"),
        ("gen_ai.tool.call.arguments", "[\"buy\",3]"),
        ("gen_ai.tool.call.result", "\"buy 3\""),
    ] {
        assert_eq!(text(span, key).as_deref(), Some(expected), "{key}");
    }
}

struct Counted {
    used: tachograph::Usage,
}

impl tachograph::ReportsUsage for Counted {
    fn usage(&self) -> Option<tachograph::Usage> {
        Some(self.used)
    }
}

#[tachograph::generation(
    model,
    %prompt,
    response_model = "m-2026-11",
    finish_reasons = ["stop"],
    choices = 1,
    size = "1024x1024",
    usage = ret,
)]
fn counted(model: &str, prompt: std::num::NonZeroU8) -> Counted {
    Counted { used: tachograph::Usage::new(12, 34).cache_read(5).cache_write(6).reasoning(None) }
}

#[test]
fn usage_is_several_attributes_and_a_name_alone_is_the_parameter() {
    let spans = recorded(|| {
        counted("m", std::num::NonZeroU8::MIN);
    });
    let span = find(&spans, "counted");
    for (key, expected) in [
        ("gen_ai.usage.input_tokens", Some(Value::I64(12))),
        ("gen_ai.usage.output_tokens", Some(Value::I64(34))),
        ("gen_ai.usage.cache_read.input_tokens", Some(Value::I64(5))),
        ("gen_ai.usage.cache_write.input_tokens", Some(Value::I64(6))),
        ("gen_ai.usage.reasoning.output_tokens", None),
        ("gen_ai.request.model", Some(Value::from("m"))),
        ("gen_ai.response.model", Some(Value::from("m-2026-11"))),
        ("gen_ai.response.finish_reasons", Some(Value::Array(Array::String(vec!["stop".into()])))),
        ("gen_ai.request.choice.count", Some(Value::I64(1))),
        ("tachograph.parameter.size", Some(Value::from("1024x1024"))),
        ("tachograph.prompt", Some(Value::from("1"))),
    ] {
        assert_eq!(value(span, key), expected, "{key}");
    }
}

#[tachograph::retrieval(data_source = "handbook", query = question, top_k = 3, documents = ret)]
fn search(question: &str) -> Vec<String> {
    vec![format!("on {question}")]
}

#[tachograph::approval(approver = "officer-7", actor_type = "user", subject = loan, granted = ret, reason = "income is proven")]
fn approve(loan: &str) -> Option<bool> {
    match loan {
        "loan-1" => Some(true),
        "loan-2" => Some(false),
        _ => None,
    }
}

#[test]
fn every_field_of_retrievals_approvals_and_audit_events() {
    let spans = recorded(|| {
        search("leave");
        approve("loan-1");
        approve("loan-2");
        approve("loan-3");
        let actor = "anna";
        tachograph::audit! {
            action = "model.deploy",
            actor,
            actor_type = "user",
            resource_type = "model",
            resource = "m-2",
            outcome = "blocked",
            reason = "no sign-off",
            details = [1, 2],
            context = "prod",
        }
        let told = || tachograph::audit! { action = "in.an.expression" };
        told();
    });
    let of = |i: usize, key: &str| text(&spans[i], key);
    for (i, key, expected) in [
        (0, "tachograph.kind", Some("retrieval")),
        (0, "gen_ai.operation.name", Some("retrieval")),
        (0, "gen_ai.data_source.id", Some("handbook")),
        (0, "gen_ai.retrieval.query.text", Some("leave")),
        (0, "gen_ai.retrieval.documents", Some("[\"on leave\"]")),
        (1, "tachograph.kind", Some("approval")),
        (1, "tachograph.actor.id", Some("officer-7")),
        (1, "tachograph.resource.id", Some("loan-1")),
        (1, "tachograph.decision.final", Some("granted")),
        (1, "tachograph.outcome", Some("success")),
        (1, "tachograph.outcome.reason", Some("income is proven")),
        (2, "tachograph.decision.final", Some("denied")),
        (2, "tachograph.outcome", Some("blocked")),
        (3, "tachograph.decision.final", None),
        (3, "tachograph.outcome", Some("success")),
        (4, "tachograph.kind", Some("audit_event")),
        (4, "tachograph.action.type", Some("model.deploy")),
        (4, "tachograph.actor.id", Some("anna")),
        (4, "tachograph.resource.type", Some("model")),
        (4, "tachograph.resource.id", Some("m-2")),
        (4, "tachograph.outcome", Some("blocked")),
        (4, "tachograph.outcome.reason", Some("no sign-off")),
        (4, "tachograph.details", Some("[1,2]")),
        (4, "tachograph.context", Some("\"prod\"")),
        (5, "tachograph.outcome", Some("success")),
    ] {
        assert_eq!(of(i, key).as_deref(), expected, "{i} {key}");
    }
    assert_eq!(value(&spans[0], "gen_ai.request.top_k"), Some(Value::I64(3)));
    assert_eq!(spans[4].name, "audit");
}

#[tachograph::agent_decision(agent = "a")]
async fn stepping() {
    let limit = 30;
    let in_a_closure =
        || tachograph::step!("CLOSURE", confidence = 0.5, reason = "below {limit} by {by}", by = 6, result = 24);
    in_a_closure();
    async { tachograph::step!("BLOCK", threshold = limit, result = "ok", reason = String::from("text")) }.await;
    tachograph::step!("BARE", reason = "{} of {}", 1, 2,);
}

#[test]
fn a_step_has_its_parts_in_any_order_anywhere_below_the_decision() {
    let spans = crate::sink::recorded_async(stepping());
    assert_eq!(
        json(find(&spans, "stepping"), "tachograph.decision.steps"),
        serde_json::json!([
            {"step": "CLOSURE", "confidence": 0.5, "reason": "below 30 by 6", "result": 24},
            {"step": "BLOCK", "threshold": 30.0, "result": "ok", "reason": "text"},
            {"step": "BARE", "reason": "1 of 2"},
        ])
    );
}

#[tachograph::agent_decision(agent = "a")]
fn runaway() {
    for i in 0..10_002 {
        tachograph::step!("LOOP", result = i);
    }
}

#[test]
fn steps_beyond_the_bound_are_counted_and_hashed() {
    let spans = recorded(runaway);
    let steps = json(find(&spans, "runaway"), "tachograph.decision.steps");
    let left_out = r#"{"step":"LOOP","result":10000},{"step":"LOOP","result":10001}"#;
    assert_eq!(steps[9_999]["result"], 9_999);
    assert_eq!(
        steps[10_000],
        serde_json::json!({
            "step": "tachograph.steps_left_out",
            "result": 2,
            "sha256": tachograph::sha256(left_out),
            "bytes": left_out.len(),
        })
    );
    assert_eq!(steps[10_001], serde_json::Value::Null);
}

#[tachograph::generation(model = "m")]
fn secretive(password: &str) -> usize {
    password.len()
}

#[test]
fn nothing_is_captured_that_was_not_named() {
    let spans = recorded(|| {
        secretive("hunter2");
    });
    let mut keys: Vec<_> =
        find(&spans, "secretive").attributes.iter().map(|attribute| attribute.key.as_str().to_owned()).collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "gen_ai.request.model",
            "tachograph.correlation.id",
            "tachograph.event.id",
            "tachograph.kind",
            "tachograph.outcome",
            "tachograph.producer.epoch",
            "tachograph.producer.id",
            "tachograph.producer.seq",
        ]
    );
}

#[test]
fn sequence_counts_without_gaps() {
    let spans = recorded(|| {
        for _ in 0..1_000 {
            secretive("x");
        }
    });
    let sequence: Vec<_> = spans.iter().map(|span| value(span, "tachograph.producer.seq")).collect();
    let expected: Vec<_> = (1..=1_000).map(|seq| Some(Value::I64(seq))).collect();
    assert_eq!(sequence, expected);
}

#[test]
fn without_a_recorder_nothing_is_evaluated() {
    #[tachograph::generation(model = { calls.set(calls.get() + 1); "m" }, output = ret)]
    fn counted(calls: &std::cell::Cell<u32>) -> &'static str {
        tachograph::step!(
            {
                calls.set(calls.get() + 1);
                "STEP"
            },
            result = 1
        );
        "out"
    }
    let _turn = crate::sink::turn();
    let calls = std::cell::Cell::new(0);
    assert_eq!(counted(&calls), "out");
    assert_eq!(calls.get(), 0);
}

#[tachograph::generation(model = "m", temperature = 0.7_f32, parameters(r#type = "draft", scales = [0.1_f32]))]
fn with_small_numbers() {}

#[test]
fn a_number_is_recorded_as_it_is_written_and_a_raw_name_without_its_mark() {
    let spans = recorded(with_small_numbers);
    assert_eq!(value(&spans[0], "gen_ai.request.temperature"), Some(Value::F64(0.7)));
    assert_eq!(value(&spans[0], "tachograph.parameter.scales"), Some(Value::Array(vec![0.1].into())));
    assert_eq!(text(&spans[0], "tachograph.parameter.type").as_deref(), Some("draft"));
}
