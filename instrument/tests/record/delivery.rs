//! The queue and the delivery thread: nothing is lost to a slow or failing receiver, and what is lost
//! is counted and missing in the sequence.

use crate::sink::{Sink, counts, turn, value};
use opentelemetry::Value;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tachograph::{Init, Lost};

#[tachograph::generation(name = name, prompt = text)]
fn record(name: &str, text: &str) {}

/// The numbers of the application's records, from 0: number 0 of the producer says that it opens.
fn sequence(sink: &Sink) -> Vec<i64> {
    let spans = sink.spans();
    let number = |span| match value(span, "tachograph.producer.seq") {
        Some(Value::I64(number)) => number - 1,
        other => panic!("no sequence: {other:?}"),
    };
    let mut numbers: Vec<_> = spans.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

pub(crate) fn collect_warnings() -> (Arc<Mutex<Vec<String>>>, impl Fn(&str) + Send + Sync) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    (lines, move |line: &str| {
        kept.lock().expect("lines").push(line.to_owned());
    })
}

#[test]
fn a_slow_receiver_slows_the_callers_and_loses_nothing() {
    let _turn = turn();
    let sink = Sink::default();
    sink.slow(Duration::from_millis(2));
    let guard = Init::new("test").queue(64, 1 << 20).init_with(sink.clone()).expect("init");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..1_000 {
                    record("r", "x");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("thread");
    }
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!(counts(report), (4_000, 4_000, 0));
    assert_eq!(sequence(&sink), (0..4_000).collect::<Vec<_>>());
    assert!(sink.largest_batch() <= 66, "the queue's bound, and what the producer says of itself");
}

#[test]
fn a_receiver_that_fails_for_a_while_gets_everything_once() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(4);
    let (lines, warn) = collect_warnings();
    let guard = Init::new("test").on_warning(warn).init_with(sink.clone()).expect("init");
    for _ in 0..100 {
        record("r", "x");
    }
    guard.shutdown().expect("nothing lost");
    assert_eq!(sequence(&sink), (0..100).collect::<Vec<_>>());
    let lines = lines.lock().expect("lines");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("not now"), "{lines:?}");
}

#[test]
fn a_panicking_exporter_loses_nothing() {
    let _turn = turn();
    let sink = Sink::default();
    sink.panic_next(2);
    let guard = Init::new("test").on_warning(|_| ()).init_with(sink.clone()).expect("init");
    record("r", "x");
    guard.shutdown().expect("nothing lost");
    assert_eq!(sequence(&sink), [0]);
}

#[test]
fn one_refused_record_does_not_cost_its_neighbours() {
    let _turn = turn();
    let sink = Sink::default();
    sink.refuse("bad");
    let (lines, warn) = collect_warnings();
    let guard = Init::new("test").on_warning(warn).init_with(sink.clone()).expect("init");
    for i in 0..300 {
        record(if i == 77 { "bad" } else { "good" }, "x");
    }
    let Lost { report } = guard.shutdown().expect_err("one is lost");
    assert_eq!(counts(report), (300, 299, 1));
    let mut expected: Vec<_> = (0..300).collect();
    expected.remove(77);
    assert_eq!(sequence(&sink), expected);
    let lines = lines.lock().expect("lines");
    assert!(lines[0].contains("record 78") && lines[0].contains("InvalidArgument"), "{lines:?}");
}

#[test]
fn what_is_halved_waits_for_no_others() {
    let _turn = turn();
    let sink = Sink::default();
    sink.refuse("bad");
    let init = Init::new("test").interval(Duration::from_secs(300)).on_warning(|_| ());
    let guard = init.init_with(sink.clone()).expect("init");
    // One more than wake the thread; once a part of them is delivered, too few are left to do that.
    for i in 0..513 {
        record(if i == 500 { "bad" } else { "good" }, "x");
    }
    let began = Instant::now();
    while guard.report().lost == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", guard.report());
        std::thread::sleep(Duration::from_millis(5));
    }
    guard.shutdown().expect_err("one is lost");
}

#[test]
fn all_that_is_long_in_a_span_counts_against_the_bound() {
    use opentelemetry::trace::{Span as _, Status, Tracer as _, TracerProvider as _};
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(usize::MAX);
    let init = Init::new("test").queue(100, 150_000).when_full(tachograph::WhenFull::Refuse).on_warning(|_| ());
    let guard = init.init_with(sink.clone()).expect("init");
    let tracer = guard.tracer_provider().tracer("t");
    let text = "x".repeat(60_000);
    let mut span = tracer.start("failed");
    span.set_status(Status::error(text.clone()));
    span.end();
    tracer.start(text.clone()).end();
    assert_eq!(guard.report().lost, 0);
    let mut span = tracer.start("with an event");
    span.add_event(text, Vec::new());
    span.end();
    assert_eq!(guard.report().lost, 1);
    sink.fail_next(0);
    guard.shutdown().expect_err("one is lost");
}

#[test]
fn a_receiver_that_never_comes_back_costs_what_is_counted() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(usize::MAX);
    let (lines, warn) = collect_warnings();
    let guard = Init::new("test")
        .queue(10, 1 << 20)
        .wait_at_most(Duration::from_millis(100))
        .shutdown_limit(Duration::from_millis(200))
        .on_warning(warn)
        .init_with(sink.clone())
        .expect("init");
    let start = Instant::now();
    for _ in 0..100 {
        record("r", "x");
    }
    // The first waits in vain; the others are refused at once.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(guard.report().lost, 90);
    let Lost { report } = guard.shutdown().expect_err("all are lost");
    assert_eq!(counts(report), (100, 0, 100));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let lines = lines.lock().expect("lines");
    assert!(lines.iter().any(|line| line.contains("queue of 10 records is full")), "{lines:?}");
}

#[test]
fn a_loss_leaves_a_gap_and_recovery_ends_it() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(usize::MAX);
    let guard = Init::new("test")
        .queue(10, 1 << 20)
        .wait_at_most(Duration::ZERO)
        .on_warning(|_| ())
        .init_with(sink.clone())
        .expect("init");
    for _ in 0..15 {
        record("r", "x");
    }
    sink.fail_next(0);
    let report = guard.flush(Duration::from_secs(20));
    assert_eq!((report.exported, report.lost), (10, 5));
    record("r", "x");
    let _ = guard.shutdown();
    let mut expected: Vec<_> = (0..10).collect();
    expected.push(15);
    assert_eq!(sequence(&sink), expected);
}

#[test]
fn bytes_are_bounded_too_but_a_single_giant_passes() {
    let _turn = turn();
    let sink = Sink::default();
    sink.slow(Duration::from_millis(300));
    let guard = Init::new("test")
        .queue(1_000, 100_000)
        .wait_at_most(Duration::ZERO)
        .interval(Duration::from_secs(60))
        .on_warning(|_| ())
        .init_with(sink.clone())
        .expect("init");
    record("giant", &"x".repeat(300_000));
    record("beside", "x");
    assert_eq!(guard.report().lost, 1);
    let _ = guard.shutdown();
    assert_eq!(sink.spans().len(), 1);
}

#[test]
fn a_record_that_ends_after_shutdown_is_counted_and_said() {
    let _turn = turn();
    let (lines, warn) = collect_warnings();
    let guard = Init::new("test").on_warning(warn).init_with(Sink::default()).expect("init");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    #[tachograph::generation(model = "m")]
    async fn late() {
        std::future::pending::<()>().await;
    }
    let mut open = Box::pin(late());
    runtime.block_on(async {
        std::future::poll_fn(|task| {
            assert!(open.as_mut().poll(task).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    });
    guard.shutdown().expect("nothing had ended");
    drop(open);
    let lines = lines.lock().expect("lines");
    assert!(lines[0].contains("after shutdown"), "{lines:?}");
}

#[test]
fn there_is_one_recorder_at_a_time() {
    let _turn = turn();
    let first = Init::new("test").init_with(Sink::default()).expect("first");
    let second = Init::new("test").init_with(Sink::default());
    assert!(matches!(second, Err(tachograph::InitError::AlreadyStarted)));
    first.shutdown().expect("nothing lost");
    let third = Init::new("test").init_with(Sink::default()).expect("third");
    third.shutdown().expect("nothing lost");
}

#[test]
fn a_bad_producer_id_is_named() {
    let _turn = turn();
    let error = Init::new("test").producer_id("two words").init_with(Sink::default()).expect_err("an error");
    assert!(error.to_string().contains("\"two words\""), "{error}");
}

/// Blocks its thread, so that not even a deadline can interrupt it.
#[derive(Debug)]
struct Stuck;

impl opentelemetry_sdk::trace::SpanExporter for Stuck {
    async fn export(&self, batch: Vec<opentelemetry_sdk::trace::SpanData>) -> opentelemetry_sdk::error::OTelSdkResult {
        std::thread::sleep(Duration::from_secs(4));
        drop(batch);
        Ok(())
    }
}

#[test]
fn a_stuck_exporter_does_not_keep_shutdown() {
    let _turn = turn();
    let guard =
        Init::new("test").shutdown_limit(Duration::from_millis(100)).on_warning(|_| ()).init_with(Stuck).expect("init");
    record("r", "x");
    std::thread::sleep(Duration::from_millis(300));
    record("r", "x");
    let start = Instant::now();
    let Lost { report } = guard.shutdown().expect_err("nothing was acknowledged in time");
    assert_eq!((report.exported, report.lost), (0, 2));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
