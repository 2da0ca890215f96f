//! What OpenTelemetry's batch processor loses (measured with `opentelemetry_sdk` 0.33), one test for each. Here nothing of it is lost,
//! or it is counted and said.

use crate::sink::{Sink, counts, find, turn, value};
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SpanProcessor as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tachograph::Init;

#[tachograph::generation(name = name, prompt = "p")]
fn record(name: &str) {}

/// There: a queue of 2,048 that drops what comes when it is full, 10 to 46 % of it.
#[test]
fn a_tight_loop_beyond_any_queue() {
    let _turn = turn();
    let sink = Sink::default();
    let guard = Init::new("test").queue(2_048, 64 << 20).init_with(sink.clone()).expect("init");
    let tracer = guard.tracer_provider().tracer("an application's own");
    std::thread::scope(|scope| {
        scope.spawn(|| (0..10_000).for_each(|_| record("r")));
        scope.spawn(|| (0..10_000).for_each(|_| tracer.start("s").end()));
    });
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!(counts(report), (20_000, 20_000, 0));
    assert_eq!(sink.spans().len(), 20_000);
}

/// There: five seconds for all that waits, whatever the exporter needs; 49 to 71 % of it was lost.
#[test]
fn a_slow_exporter_at_shutdown() {
    let _turn = turn();
    let sink = Sink::default();
    sink.slow(Duration::from_millis(1_500));
    let guard = Init::new("test").init_with(sink.clone()).expect("init");
    let began = Instant::now();
    (0..2_000).for_each(|_| record("r"));
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!(counts(report), (2_000, 2_000, 0));
    assert!(began.elapsed() > Duration::from_secs(5), "it was slow enough to show: {:?}", began.elapsed());
}

/// There: the batch is dropped, and a `force_flush` that follows says Ok.
#[test]
fn a_batch_that_failed_and_a_flush_after_it() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(usize::MAX);
    let guard = Init::new("test").on_warning(|_| ()).init_with(sink.clone()).expect("init");
    let processor = guard.span_processor();
    (0..1_000).for_each(|_| record("r"));
    // As `force_flush`, but with a limit of one's own.
    let outcome = processor.shutdown_with_timeout(Duration::from_millis(300));
    assert!(matches!(outcome, Err(OTelSdkError::Timeout(_))), "{outcome:?}");
    sink.fail_next(2);
    processor.force_flush().expect("tried again until it is delivered");
    assert_eq!(sink.spans().len(), 1_000);
    sink.refuse("bad");
    record("bad");
    let outcome = processor.force_flush();
    assert!(matches!(outcome, Err(OTelSdkError::InternalFailure(_))), "what is lost is no success: {outcome:?}");
    processor.force_flush().expect("each loss is said once");
    record("bad");
    let lost = guard.flush(Duration::from_secs(30)).lost;
    assert_eq!(lost, 2);
    let outcome = processor.shutdown_with_timeout(Duration::from_secs(30));
    assert!(matches!(outcome, Err(OTelSdkError::InternalFailure(_))), "lost before, and not said yet: {outcome:?}");
    assert_eq!(counts(guard.shutdown().expect_err("two are lost").report), (1_002, 1_000, 2));
}

/// There: silence.
#[test]
fn spans_that_end_after_shutdown() {
    let _turn = turn();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let guard = Init::new("test")
        .on_warning(move |line| kept.lock().unwrap().push(line.to_owned()))
        .init_with(Sink::default())
        .expect("init");
    let provider = guard.tracer_provider();
    let late = provider.tracer("t").start("late");
    guard.shutdown().expect("nothing had ended");
    drop(late);
    let lines = lines.lock().unwrap();
    assert!(lines[0].contains("ended after shutdown and is lost (1 lost in all)"), "{lines:?}");
    drop(lines);
    let outcome = provider.force_flush();
    assert!(matches!(outcome, Err(OTelSdkError::InternalFailure(_))), "it was lost before this flush: {outcome:?}");
    provider.force_flush().expect("that was said");
}

/// There: 128 attributes, events and links, and the later ones go: tool definitions once pushed out all that was `gen_ai.*`.
#[test]
fn more_attributes_than_any_limit_and_the_essential_ones_first() {
    let _turn = turn();
    let sink = Sink::default();
    let guard = Init::new("test").init_with(sink.clone()).expect("init");
    let mut span = guard.tracer_provider().tracer("t").start("wide");
    for number in 0..1_000 {
        span.set_attribute(KeyValue::new(format!("tool.{number}"), number));
    }
    span.set_attribute(KeyValue::new("gen_ai.request.model", "m"));
    span.set_attribute(KeyValue::new("tachograph.kind", "generation"));
    (0..300).for_each(|number| span.add_event(format!("event {number}"), vec![]));
    span.end();
    guard.shutdown().expect("nothing lost");
    let spans = sink.spans();
    let span = find(&spans, "wide");
    assert_eq!(span.attributes.len(), 1_000 + 2 + 3);
    assert_eq!((span.dropped_attributes_count, span.events.len()), (0, 300));
    assert_eq!(value(span, "tool.999"), Some(Value::I64(999)));
    // Whoever on the way keeps only some keeps these.
    let first: Vec<_> = span.attributes[..5].iter().map(|attribute| attribute.key.as_str()).collect();
    assert!(first.contains(&"gen_ai.request.model") && first.contains(&"tachograph.kind"), "{first:?}");
    assert_eq!(first.iter().filter(|key| key.starts_with("tachograph.producer.")).count(), 3, "{first:?}");
}
