//! Events by hand: fields, endings, streams, retries, batches.

use crate::sink::{find, json, recorded, recorded_async, text, value};
use futures_core::Stream;
use opentelemetry::trace::Status;
use opentelemetry::{Array, Value};
use opentelemetry_sdk::trace::SpanData;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use tachograph::{Approval, AuditEvent, Capture, Decision, Generation, Outcome, Retrieval, ToolCall, Usage, sha256};

#[tachograph::tool_call(tool = "inner")]
fn inner() {}

fn outcome(span: &SpanData) -> String {
    text(span, "tachograph.outcome").expect("an outcome")
}

#[test]
fn a_generation_has_its_fields() {
    let spans = recorded(|| {
        let mut generation = Generation::new("paint")
            .provider("acme")
            .model("pixel-1")
            .model("pixel-2")
            .operation("image")
            .prompt("a fox")
            .negative_prompt(None::<&str>)
            .width(64)
            .size("64x48")
            .guidance_scale(7.5)
            .seed(7_u64)
            .parameter("tachograph.parameter.tiled", true)
            .actor("anna")
            .session("s-1")
            .correlation("order-7")
            .start();
        generation
            .output_path(std::path::Path::new("out/fox.png"))
            .output_hash(b"abc")
            .output_messages(["done"])
            .finish_reasons(["stop"])
            .usage(Usage::new(1, 2))
            .cost(0.25)
            .details([1]);
        generation.finish();
    });
    let span = find(&spans, "paint");
    for (key, expected) in [
        ("tachograph.kind", Value::from("generation")),
        ("tachograph.correlation.id", Value::from("order-7")),
        ("gen_ai.provider.name", Value::from("acme")),
        ("gen_ai.request.model", Value::from("pixel-2")),
        ("gen_ai.operation.name", Value::from("image")),
        ("tachograph.prompt", Value::from("a fox")),
        ("tachograph.parameter.width", Value::I64(64)),
        ("tachograph.parameter.size", Value::from("64x48")),
        ("tachograph.parameter.guidance_scale", Value::F64(7.5)),
        ("gen_ai.request.seed", Value::I64(7)),
        ("tachograph.parameter.tiled", Value::Bool(true)),
        ("tachograph.output.path", Value::from("out/fox.png")),
        ("tachograph.output.hash", Value::from(sha256("abc"))),
        ("gen_ai.output.messages", Value::from("[\"done\"]")),
        ("gen_ai.response.finish_reasons", Value::Array(Array::String(vec!["stop".into()]))),
        ("gen_ai.usage.input_tokens", Value::I64(1)),
        ("gen_ai.usage.output_tokens", Value::I64(2)),
        ("tachograph.cost", Value::F64(0.25)),
        ("tachograph.details", Value::from("[1]")),
        ("tachograph.outcome", Value::from("success")),
    ] {
        assert_eq!(value(span, key), Some(expected), "{key}");
    }
    assert_eq!(value(span, "tachograph.negative_prompt"), None);
}

#[test]
fn the_other_kinds_have_theirs() {
    let spans = recorded(|| {
        let decision = Decision::new("decide").agent("alpha").decision("TRADE").state_before(1).state_after(2).start();
        decision.run(|| {
            inner();
            tachograph::step!("RSI", result = 24);
        });
        let cause = decision.event();
        decision.finish();
        ToolCall::new("tool").tool("feed").arguments([1]).result("ok").causes(cause).record();
        Retrieval::new("search").data_source("handbook").query("leave").top_k(3).documents(["p. 12"]).record();
        Approval::new("approve").approver("o-7").subject("loan-1").granted(false).reason("no income").record();
        AuditEvent::new("audit").action("model.deploy").resource("m-2").outcome(Outcome::Pending, "queued").record();
    });
    let decision = find(&spans, "decide");
    assert_eq!(json(decision, "tachograph.decision.steps")[0]["result"], 24);
    assert_eq!(text(decision, "tachograph.state.after").as_deref(), Some("2"));
    assert_eq!(text(find(&spans, "inner"), "tachograph.parent.id"), text(decision, "tachograph.event.id"));
    let tool = find(&spans, "tool");
    assert_eq!(tool.links[0].span_context.span_id(), decision.span_context.span_id());
    assert_eq!(text(tool, "gen_ai.operation.name").as_deref(), Some("execute_tool"));
    let search = find(&spans, "search");
    assert_eq!(text(search, "gen_ai.operation.name").as_deref(), Some("retrieval"));
    assert_eq!(text(search, "gen_ai.retrieval.documents").as_deref(), Some("[\"p. 12\"]"));
    let approval = find(&spans, "approve");
    assert_eq!(text(approval, "tachograph.decision.final").as_deref(), Some("denied"));
    assert_eq!(outcome(approval), "blocked");
    let audit = find(&spans, "audit");
    assert_eq!(
        (outcome(audit).as_str(), text(audit, "tachograph.outcome.reason").as_deref()),
        ("pending", Some("queued"))
    );
}

#[test]
fn an_event_ends_as_it_ends() {
    let spans = recorded(|| {
        let start = |name: &'static str| Generation::new(name).start();
        start("finished").finish();
        start("failed").fail("no model");
        start("by a result").finish_with(&Err::<(), _>(std::fmt::Error));
        drop(start("dropped"));
        let mut noted = start("noted");
        noted.failed("broken pipe");
        drop(noted);
        let caught = std::panic::catch_unwind(|| {
            let open = start("panicked");
            open.run(|| panic!("a panic of a test"));
        });
        assert!(caught.is_err());
        let _ = Generation::new("never started").prompt("x");
    });
    let ends: Vec<_> = spans.iter().map(|span| (span.name.to_string(), outcome(span), span.status.clone())).collect();
    let expected = [
        ("finished", "success", Status::Unset),
        ("failed", "failure", Status::error("no model")),
        ("by a result", "failure", Status::error(std::fmt::Error.to_string())),
        ("dropped", "cancelled", Status::error("the event was dropped before it was finished")),
        ("noted", "failure", Status::error("broken pipe")),
        ("panicked", "failure", Status::error("a panic while the event was open")),
    ];
    assert_eq!(ends, expected.map(|(name, outcome, status)| (name.to_owned(), outcome.to_owned(), status)));
}

/// Gives its items, waiting before each.
struct Items<T> {
    items: VecDeque<T>,
    waited: bool,
}

impl<T> Items<T> {
    fn of(items: impl IntoIterator<Item = T>) -> Self {
        Self { items: items.into_iter().collect(), waited: false }
    }
}

impl<T: Unpin> Stream for Items<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<T>> {
        self.waited = !self.waited;
        if self.waited {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        inner();
        Poll::Ready(self.items.pop_front())
    }
}

async fn next<St: Stream + Unpin>(stream: &mut St) -> Option<St::Item> {
    std::future::poll_fn(|task| Pin::new(&mut *stream).poll_next(task)).await
}

#[test]
fn a_stream_is_recorded_to_its_end() {
    let spans = recorded_async(async {
        let generation = Generation::new("streamed").model("m").start();
        let mut stream = generation.stream_each(Items::of(["a ", "fox"]), |generation, item| {
            generation.append_output(item).usage(Usage::new(None, u64::try_from(item.len()).ok()));
        });
        while next(&mut stream).await.is_some() {}
        assert!(tachograph::current_event().is_none());
    });
    let span = find(&spans, "streamed");
    assert_eq!(outcome(span), "success");
    assert_eq!(text(span, "tachograph.output").as_deref(), Some("a fox"));
    assert_eq!(value(span, "tachograph.stream.chunks"), Some(Value::I64(2)));
    assert_eq!(value(span, "gen_ai.usage.output_tokens"), Some(Value::I64(3)));
    let Some(Value::F64(seconds)) = value(span, "gen_ai.response.time_to_first_chunk") else {
        panic!("no time to the first chunk");
    };
    let whole = span.end_time.duration_since(span.start_time).expect("an end after the start").as_secs_f64();
    assert!((0.0..=whole).contains(&seconds), "{seconds} of {whole}");
    let below: Vec<_> = spans.iter().filter(|span| span.name == "inner").collect();
    assert_eq!(below.len(), 3);
    for inner in below {
        assert_eq!(text(inner, "tachograph.parent.id"), text(span, "tachograph.event.id"));
    }
}

#[test]
fn a_stream_ends_by_an_error_or_by_being_dropped() {
    let spans = recorded_async(async {
        let mut empty = Generation::new("empty").start().stream(Items::of([0; 0]));
        assert_eq!(next(&mut empty).await, None);
        let mut broken = Generation::new("broken").start().try_stream(Items::of([Ok(1), Err("reset by peer")]));
        while next(&mut broken).await.is_some() {}
        let mut left = Generation::new("left").start().try_stream(Items::of([Ok(1), Err("reset by peer"), Ok(2)]));
        assert_eq!(next(&mut left).await, Some(Ok(1)));
        assert_eq!(next(&mut left).await, Some(Err("reset by peer")));
        drop(left);
        let mut half = Generation::new("half").start().stream(Items::of([1, 2]));
        assert_eq!(next(&mut half).await, Some(1));
        drop(half);
    });
    assert_eq!(outcome(find(&spans, "empty")), "success");
    assert_eq!(value(find(&spans, "empty"), "tachograph.stream.chunks"), None);
    for name in ["broken", "left"] {
        let span = find(&spans, name);
        assert_eq!(outcome(span), "failure");
        assert_eq!(span.status, Status::error("reset by peer"));
        assert_eq!(value(span, "tachograph.stream.chunks"), Some(Value::I64(2)));
    }
    let half = find(&spans, "half");
    assert_eq!(outcome(half), "cancelled");
    assert_eq!(value(half, "tachograph.stream.chunks"), Some(Value::I64(1)));
}

#[test]
fn each_attempt_is_in_the_record() {
    let spans = recorded(|| {
        let mut generation = Generation::new("tried").start();
        for error in ["busy", "busy still"] {
            generation.attempt();
            generation.attempt_failed(error);
        }
        assert_eq!(generation.attempt(), 3);
        generation.finish();
    });
    let span = find(&spans, "tried");
    assert_eq!(outcome(span), "success");
    assert_eq!(value(span, "tachograph.attempts"), Some(Value::I64(3)));
    let errors: Vec<_> = span
        .events
        .iter()
        .map(|event| {
            assert_eq!(event.name, "attempt.failed");
            event.attributes.iter().map(|attribute| attribute.value.to_string()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(errors, [["1", "str", "busy"], ["2", "str", "busy still"]]);
}

#[test]
fn items_of_a_batch_are_below_it() {
    let spans = recorded(|| {
        let batch = Generation::new("batch").model("m-2").provider("acme").prompt("all").start();
        let mut items: Vec<_> = ["a", "b"].map(|name| batch.item("item").prompt(name).start()).into();
        items.pop().expect("b").fail("too dark");
        items.pop().expect("a").finish();
        batch.finish();
        inner();
    });
    let batch = find(&spans, "batch");
    for (item, prompt, ended) in [(&spans[0], "b", "failure"), (&spans[1], "a", "success")] {
        assert_eq!(text(item, "tachograph.parent.id"), text(batch, "tachograph.event.id"));
        assert_eq!(text(item, "tachograph.correlation.id"), text(batch, "tachograph.correlation.id"));
        assert_eq!(item.parent_span_id, batch.span_context.span_id());
        assert_eq!(text(item, "gen_ai.request.model").as_deref(), Some("m-2"));
        assert_eq!(text(item, "tachograph.prompt").as_deref(), Some(prompt));
        assert_eq!(outcome(item), ended);
    }
    assert_eq!(text(find(&spans, "inner"), "tachograph.parent.id"), None);
}

#[test]
fn an_open_event_goes_to_other_threads_and_tasks() {
    let spans = recorded_async(async {
        let generation = Generation::new("moved").start();
        let generation = std::thread::spawn(move || {
            generation.run(inner);
            generation
        })
        .join()
        .expect("thread");
        generation.run_future(tokio::task::yield_now()).await;
        generation.finish();
    });
    assert_eq!(text(find(&spans, "inner"), "tachograph.parent.id"), text(find(&spans, "moved"), "tachograph.event.id"));
}

#[test]
fn content_by_hand_is_captured_as_chosen() {
    let spans = recorded(|| {
        let mut generation = Generation::new("hashed").prompt("fox").capture(Capture::Hashed).start();
        generation.append_output("FOX").attempt_failed("a fox");
        generation.finish();
    });
    let span = find(&spans, "hashed");
    assert_eq!(value(span, "tachograph.output"), None);
    assert_eq!(text(span, "tachograph.output.hash"), Some(sha256("FOX")));
    let said = json(span, "tachograph.capture");
    assert_eq!(said["attempt.failed/tachograph.attempt.error"]["sha256"], sha256("a fox"));
}

#[test]
fn without_a_recorder_events_by_hand_do_nothing() {
    let _turn = crate::sink::turn();
    let mut generation = Generation::new("nothing").prompt("x").start();
    generation.append_output("y").first_token();
    assert_eq!(generation.event(), None);
    assert_eq!(generation.run(|| 3), 3);
    assert_eq!(generation.attempt(), 1);
    generation.finish();
}

struct Breaks(u8);

impl futures_core::Stream for Breaks {
    type Item = u8;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<u8>> {
        assert!(self.0 < 1, "the line broke");
        self.0 += 1;
        std::task::Poll::Ready(Some(self.0))
    }
}

#[test]
fn a_panic_in_a_stream_keeps_its_message_and_goes_on() {
    use futures_util::{FutureExt, StreamExt};
    let spans = crate::sink::recorded(|| {
        let mut stream = tachograph::Generation::new("breaks").start().stream(Breaks(0));
        assert_eq!(stream.next().now_or_never(), Some(Some(1)));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stream.next().now_or_never()));
        assert!(caught.is_err());
        // Dropped later, and not by the panic.
        drop(stream);
    });
    assert_eq!(crate::sink::text(&spans[0], "tachograph.outcome").as_deref(), Some("failure"));
    assert_eq!(spans[0].status, opentelemetry::trace::Status::error("the line broke"));
    assert_eq!(spans.len(), 1);
}

#[test]
fn a_reader_that_stops_at_the_last_item_has_it_all() {
    use futures_util::{FutureExt, StreamExt};
    let spans = crate::sink::recorded(|| {
        for last in [2, 9] {
            let generation = tachograph::Generation::new("read").start();
            let mut stream = generation.stream_each(futures_util::stream::iter(1..=9), move |generation, item| {
                if *item == last {
                    generation.complete();
                }
            });
            while stream.next().now_or_never().flatten() != Some(2) {}
        }
    });
    let outcomes: Vec<_> =
        spans.iter().map(|span| crate::sink::text(span, "tachograph.outcome").expect("an outcome")).collect();
    assert_eq!(outcomes, ["success", "cancelled"]);
}
