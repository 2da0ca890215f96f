//! Correlation and parent ids along the call tree, across tasks and across services.

use crate::sink::{find, recorded, recorded_async, text};
use opentelemetry::trace::{SpanId, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use std::collections::HashMap;
use tachograph::InContext;

pub(crate) fn event(span: &SpanData) -> String {
    text(span, "tachograph.event.id").expect("event id")
}

fn parent(span: &SpanData) -> Option<String> {
    text(span, "tachograph.parent.id")
}

pub(crate) fn correlation(span: &SpanData) -> String {
    text(span, "tachograph.correlation.id").expect("correlation id")
}

#[track_caller]
pub(crate) fn assert_child(child: &SpanData, of: &SpanData) {
    assert_eq!(parent(child), Some(event(of)), "{} of {}", child.name, of.name);
    assert_eq!(correlation(child), correlation(of));
    assert_eq!(child.span_context.trace_id(), of.span_context.trace_id());
}

#[tachograph::agent_decision(agent = "root")]
fn outer() {
    inner();
    tachograph::step!("BETWEEN");
    model();
}

#[tachograph::tool_call(tool = "inner")]
fn inner() {
    model_below();
    tachograph::step!("FROM_BELOW");
}

#[tachograph::generation(model = "m")]
fn model() {}

#[tachograph::generation(model = "m")]
fn model_below() {}

#[test]
fn calls_nest() {
    let spans = recorded(outer);
    let outer = find(&spans, "outer");
    assert_eq!(parent(outer), None);
    assert_eq!(outer.parent_span_id, SpanId::INVALID);
    assert_ne!(correlation(outer), event(outer));
    for (child, of) in [("inner", "outer"), ("model", "outer"), ("model_below", "inner")] {
        let (child, of) = (find(&spans, child), find(&spans, of));
        assert_child(child, of);
        assert_eq!(child.parent_span_id, of.span_context.span_id());
    }
    // A step belongs to the nearest decision around it.
    assert_eq!(
        crate::sink::json(outer, "tachograph.decision.steps"),
        serde_json::json!([{"step": "FROM_BELOW"}, {"step": "BETWEEN"}])
    );
    assert_eq!(text(find(&spans, "inner"), "tachograph.decision.steps"), None);
}

#[test]
fn roots_do_not_share_a_correlation() {
    let spans = recorded(|| {
        model();
        model_below();
    });
    assert_ne!(correlation(&spans[0]), correlation(&spans[1]));
    assert_ne!(spans[0].span_context.trace_id(), spans[1].span_context.trace_id());
}

#[tachograph::agent_decision(agent = "named", correlation = order)]
fn with_correlation(order: &str) {
    model();
}

#[test]
fn a_named_correlation_is_inherited() {
    let spans = recorded(|| with_correlation("order-7"));
    assert_eq!(correlation(find(&spans, "with_correlation")), "order-7");
    assert_eq!(correlation(find(&spans, "model")), "order-7");
}

#[tachograph::agent_decision(name = name, agent = "joined")]
async fn branch(name: &'static str) {
    tokio::task::yield_now().await;
    leaf(name).await;
    tokio::task::yield_now().await;
}

#[tachograph::generation(name = format!("leaf {name}"), model = "m")]
async fn leaf(name: &str) {
    tokio::task::yield_now().await;
}

#[tachograph::agent_decision(agent = "trunk")]
async fn trunk() {
    let spawned = tachograph::spawn(branch("spawned"));
    let blocking = tachograph::spawn_blocking(model);
    tokio::join!(branch("left"), branch("right"));
    spawned.await.expect("task");
    blocking.await.expect("task");
}

#[test]
fn interleaved_and_spawned_futures_keep_their_parents() {
    let spans = recorded_async(trunk());
    let trunk = find(&spans, "trunk");
    for name in ["left", "right", "spawned"] {
        let branch = find(&spans, name);
        assert_child(branch, trunk);
        assert_child(find(&spans, &format!("leaf {name}")), branch);
    }
    assert_child(find(&spans, "model"), trunk);
}

#[tachograph::agent_decision(agent = "sender")]
fn send(headers: &mut HashMap<String, String>) {
    tachograph::propagation::inject(headers);
}

#[test]
fn the_chain_goes_on_in_another_service() {
    let spans = recorded_async(async {
        let mut headers = HashMap::new();
        send(&mut headers);
        assert!(headers.contains_key("traceparent") && headers.contains_key("baggage"));
        let sender = tachograph::propagation::extract(&headers);
        tachograph::with_context(sender.clone(), model);
        branch("received").in_context(sender).await;
        let pairs = headers.iter().map(|(name, value)| (name.to_uppercase(), value.clone()));
        tachograph::with_context(tachograph::propagation::extract_pairs(pairs), model_below);
    });
    let sender = find(&spans, "send");
    for name in ["model", "received", "model_below"] {
        let child = find(&spans, name);
        assert_child(child, sender);
        assert_eq!(child.parent_span_id, sender.span_context.span_id());
        assert!(child.parent_span_is_remote);
    }
    assert_child(find(&spans, "leaf received"), find(&spans, "received"));
}

#[test]
fn other_baggage_travels_along_and_bad_ids_do_not() {
    let spans = recorded(|| {
        let headers = HashMap::from([(
            "baggage".to_owned(),
            "color=red,tachograph.parent.id=not-a-uuid,tachograph.correlation.id=".to_owned(),
        )]);
        let context = tachograph::propagation::extract(&headers);
        tachograph::with_context(context, || {
            let mut onward = HashMap::new();
            send(&mut onward);
            assert!(onward["baggage"].contains("color=red"), "{onward:?}");
            assert!(!onward["baggage"].contains("not-a-uuid"), "{onward:?}");
        });
    });
    let span = find(&spans, "send");
    assert_eq!(parent(span), None);
    assert_eq!(correlation(span).len(), 36);
}

#[test]
fn ordinary_spans_and_records_nest_in_each_other() {
    let _turn = crate::sink::turn();
    let sink = crate::sink::Sink::default();
    let guard = tachograph::Init::new("test").init_with(sink.clone()).expect("init");
    let provider = guard.tracer_provider();
    let tracer = provider.tracer("app");
    #[tachograph::agent_decision(agent = "a")]
    fn decision(tracer: &opentelemetry_sdk::trace::SdkTracer) {
        Context::map_current(|context| {
            context.span().set_attribute(KeyValue::new("app.note", 1));
            context.span().add_event("happened", vec![]);
        });
        tracer.in_span("ordinary", |_| model());
    }
    tracer.in_span("request", |_| decision(&tracer));
    drop(provider);
    guard.shutdown().expect("nothing lost");
    let spans = sink.spans();
    let decision = find(&spans, "decision");
    assert_eq!(decision.parent_span_id, find(&spans, "request").span_context.span_id());
    assert_eq!(text(decision, "app.note").as_deref(), Some("1"));
    assert_eq!(decision.events.len(), 1);
    let ordinary = find(&spans, "ordinary");
    assert_eq!(ordinary.parent_span_id, decision.span_context.span_id());
    let model = find(&spans, "model");
    assert_eq!(model.parent_span_id, ordinary.span_context.span_id());
    assert_eq!(parent(model), Some(event(decision)));
}

#[tachograph::tool_call(tool = "step")]
fn step(number: u32) -> tachograph::Carried<u32> {
    tachograph::carry(number + 1)
}

#[tachograph::agent_decision(agent = "a")]
fn deciding_step(number: u32) -> tachograph::Carried<u32> {
    tachograph::carry(number + 1)
}

/// Work that hands itself on for ever must not hold all that went before: here dropping it would overflow the stack.
#[test]
fn a_chain_that_carries_itself_on_holds_only_its_last_step() {
    const STEPS: u32 = 50_000;
    let spans = recorded(|| {
        let chain = || {
            let mut next = step(0);
            while *next.value() < STEPS {
                next = next.run(|number| if number % 2 == 0 { deciding_step(number) } else { step(number) });
            }
            drop(next);
        };
        let small = std::thread::Builder::new().stack_size(256 << 10).spawn(chain);
        small.expect("a thread").join().expect("no panic");
    });
    assert_eq!(spans.len(), STEPS as usize);
    assert_child(&spans[STEPS as usize - 1], &spans[STEPS as usize - 2]);
}

#[test]
fn below_a_span_that_is_not_sampled_nothing_is_switched_on_and_all_is_recorded() {
    use opentelemetry::trace::{SpanContext, TraceFlags, TraceId, TraceState};
    let (trace, span) = (TraceId::from(7), SpanId::from(8));
    let unsampled = SpanContext::new(trace, span, TraceFlags::default(), true, TraceState::NONE);
    let mut headers = HashMap::new();
    let spans = recorded(|| {
        model();
        let context = Context::new().with_remote_span_context(unsampled);
        tachograph::with_context(context, || tachograph::event_of(|| outer_with_headers(&mut headers)));
    });
    let sampled: Vec<_> = spans.iter().map(|span| span.span_context.is_sampled()).collect();
    assert_eq!(sampled, [true, false, false], "a root is sampled, what is below goes by what is above");
    assert_eq!(spans[2].span_context.trace_id(), trace);
    assert!(headers["traceparent"].ends_with("-00"), "{headers:?}");
}

#[tachograph::tool_call(tool = "t")]
fn outer_with_headers(headers: &mut HashMap<String, String>) {
    tachograph::propagation::inject(headers);
    model();
}
