//! What the producer says of itself: that it opens, lives and closes.

use crate::sink::{Sink, counts, is_lifecycle, json, text, turn, value};
use opentelemetry::Value;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::SpanData;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tachograph::{Init, Lost};

#[tachograph::tool_call(tool = "t")]
fn record() {}

#[tachograph::generation(name = name, prompt = "p")]
fn named(name: &str) {}

fn number(span: &SpanData) -> i64 {
    match value(span, "tachograph.producer.seq") {
        Some(Value::I64(number)) => number,
        other => panic!("no number: {other:?}"),
    }
}

fn said(sink: &Sink) -> Vec<(String, i64, serde_json::Value)> {
    let spans = sink.all_spans();
    let own = spans.iter().filter(|span| is_lifecycle(span));
    own.map(|span| (text(span, "tachograph.action.type").unwrap(), number(span), json(span, "tachograph.details")))
        .collect()
}

/// The close's number and how many it counts as lost. As `tachograph verify` judges it: not fewer than lack, and here not more.
#[track_caller]
fn lost_of_close(sink: &Sink) -> (i64, u64) {
    let (action, last, details) = said(sink).pop().expect("a record of the producer");
    assert_eq!(action, "producer.close");
    assert_eq!(details["count"], (last + 1).to_string());
    let lost = details["lost"].as_str().and_then(|lost| lost.parse().ok()).expect("a count");
    let arrived: BTreeSet<_> = sink.all_spans().iter().map(number).filter(|number| *number <= last).collect();
    assert_eq!(last as u64 + 1 - arrived.len() as u64, lost, "numbers that lack, and those that the close counts");
    (last, lost)
}

#[test]
fn the_first_number_is_the_opening_and_the_last_the_close() {
    let _turn = turn();
    let sink = Sink::default();
    let guard = Init::new("test").init_with(sink.clone()).expect("init");
    (0..3).for_each(|_| record());
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!(counts(report), (3, 3, 0), "the application's records alone");
    let close = serde_json::json!({"count": "5", "last": "4", "lost": "0"});
    let open = serde_json::json!({"heartbeat_s": "60"});
    assert_eq!(said(&sink), [("producer.open".to_owned(), 0, open), ("producer.close".to_owned(), 4, close)]);
    let mut numbers: Vec<_> = sink.all_spans().iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    for key in ["tachograph.producer.id", "tachograph.producer.epoch"] {
        let spans = sink.all_spans();
        assert!(spans.iter().all(|span| text(span, key) == text(&spans[0], key) && text(span, key).is_some()), "{key}");
    }
}

#[test]
fn a_heartbeat_says_the_last_number_as_long_as_the_process_lives() {
    let _turn = turn();
    let sink = Sink::default();
    let guard = Init::new("test").heartbeat(Duration::from_millis(50)).init_with(sink.clone()).expect("init");
    record();
    let began = Instant::now();
    while said(&sink).len() < 4 && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    guard.shutdown().expect("nothing lost");
    let said = said(&sink);
    let beats: Vec<_> = said.iter().filter(|(action, ..)| action == "producer.heartbeat").collect();
    assert!(beats.len() >= 3, "{said:?}");
    assert!(
        beats
            .iter()
            .all(|(_, number, details)| details["last"].as_str().and_then(|last| last.parse().ok()) == Some(*number)),
        "{said:?}"
    );
}

#[test]
fn heartbeats_do_not_pile_up_before_a_receiver_that_fails() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(3);
    let guard = Init::new("test")
        .heartbeat(Duration::from_millis(1))
        .interval(Duration::from_millis(1))
        .queue(2, 1 << 20)
        .on_warning(|_| ())
        .init_with(sink.clone())
        .expect("init");
    record();
    record();
    guard.flush(Duration::from_secs(20));
    assert!(sink.largest_batch() <= 4, "two records and two of the producer: {}", sink.largest_batch());
    guard.shutdown().expect("nothing lost");
}

#[test]
fn the_close_says_how_many_were_lost() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(usize::MAX);
    let guard = Init::new("test")
        .queue(2, 1 << 20)
        .wait_at_most(Duration::ZERO)
        .on_warning(|_| ())
        .init_with(sink.clone())
        .expect("init");
    (0..5).for_each(|_| record());
    sink.fail_next(0);
    let Lost { report } = guard.shutdown().expect_err("three are lost");
    assert_eq!(counts(report), (5, 2, 3));
    let close = said(&sink).pop().unwrap();
    assert_eq!(close, ("producer.close".to_owned(), 6, serde_json::json!({"count": "7", "last": "6", "lost": "3"})));
}

/// What waits at shutdown may still be refused: the close is made before, and counted after.
#[test]
fn the_close_counts_what_was_refused_after_it_was_made() {
    let _turn = turn();
    let sink = Sink::default();
    sink.refuse("bad");
    // Nothing is delivered before shutdown.
    let guard =
        Init::new("test").interval(Duration::from_secs(60)).on_warning(|_| ()).init_with(sink.clone()).expect("init");
    ["good", "bad", "good", "bad"].into_iter().for_each(named);
    let Lost { report } = guard.shutdown().expect_err("two are refused");
    assert_eq!(counts(report), (4, 2, 2));
    assert_eq!(lost_of_close(&sink), (5, 2));
    assert!(sink.last_batch_was_alone(), "the close goes alone, after all others");
}

#[test]
fn the_close_counts_the_producer_s_own_records_that_were_refused() {
    let _turn = turn();
    for (refused, heartbeat) in [("producer.open", Duration::ZERO), ("producer.heartbeat", Duration::from_millis(5))] {
        let sink = Sink::default();
        sink.refuse(refused);
        let told = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&told);
        let guard = Init::new("test")
            .heartbeat(heartbeat)
            .interval(Duration::from_millis(1))
            .on_warning(move |line| {
                tell.fetch_or(line.contains("refused record"), Ordering::SeqCst);
            })
            .init_with(sink.clone())
            .expect("init");
        record();
        until("one is refused", || told.load(Ordering::SeqCst));
        record();
        let report = guard.shutdown().expect("nothing of the application is lost");
        assert_eq!(counts(report), (2, 2, 0), "the application's records alone");
        let (_, lost) = lost_of_close(&sink);
        assert!(lost > 0 && (lost == 1 || refused == "producer.heartbeat"), "{refused}: {lost}");
    }
}

/// A receiver that fails while the process ends: the close waits for all others, is tried again as the same record, and does not count
/// what ended after it, whose numbers are above its own. A count too high would excuse records that somebody removed.
#[test]
fn the_close_counts_no_number_after_its_own() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(usize::MAX);
    let late = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&late);
    let guard = Init::new("test")
        .shutdown_limit(Duration::from_secs(60))
        .on_warning(move |line| {
            tell.fetch_or(line.contains("after shutdown"), Ordering::SeqCst);
        })
        .init_with(sink.clone())
        .expect("init");
    record();
    let tracer = guard.tracer_provider().tracer("test");
    let ending = std::thread::spawn(move || guard.shutdown());
    until("a record ends after shutdown", || {
        tracer.start("late").end();
        late.load(Ordering::SeqCst)
    });
    sink.fail_next(0);
    let Lost { report } = ending.join().expect("thread").expect_err("some came too late");
    assert!(report.lost > 0 && report.exported + report.lost == report.produced, "{report:?}");
    assert_eq!(lost_of_close(&sink).1, 0);
}

#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "did not come about: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_recorded_nothing_does_not_wait_long_for_a_receiver_that_is_not_there() {
    let _turn = turn();
    let sink = Sink::default();
    sink.fail_next(usize::MAX);
    let guard = Init::new("test").on_warning(|_| ()).init_with(sink).expect("init");
    let began = Instant::now();
    assert_eq!(counts(guard.shutdown().expect("nothing of the application")), (0, 0, 0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        tachograph::audit! { action = "thread.end" }
        at_the_end();
    }
}

thread_local! {
    static LAST: Last = const { Last };
}

#[tachograph::agent_decision(agent = "a")]
fn at_the_end() {
    tachograph::step!("END");
    assert_eq!(tachograph::current_event(), None);
}

/// By then OpenTelemetry has no current context any more in that thread.
#[test]
fn what_a_thread_does_while_it_ends_is_recorded() {
    let spans = crate::sink::recorded(|| {
        let ended = std::thread::spawn(|| {
            LAST.with(|_| ());
            tachograph::audit! { action = "thread.begin" }
        });
        ended.join().expect("no panic");
    });
    assert_eq!(spans.len(), 3, "{spans:?}");
}
