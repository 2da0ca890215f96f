//! The kit for users' tests: what it keeps, of whom, and what it says when something is not as expected.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, UNIX_EPOCH};
use tachograph::testing::{Clock, Recorder};
use tachograph::{Outcome, carry};

#[tachograph::agent_decision(agent = "a", decision = "LOAN", confidence = 0.75)]
fn decide(granted: bool) -> Result<(), String> {
    tachograph::step!("INCOME", result = granted, reason = "as it is");
    explain("because");
    if granted { Ok(()) } else { Err("refused".to_owned()) }
}

#[tachograph::generation(model = "m", prompt = prompt)]
fn explain(prompt: &str) {}

#[tachograph::tool_call(tool = "mail")]
async fn send() {
    tokio::task::yield_now().await;
    tachograph::set_outcome(Outcome::Blocked, "no address");
}

/// What a panic within `body` says.
#[track_caller]
fn complaint(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).expect_err("a panic");
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| panic!("the panic has no text"))
}

#[test]
fn a_record_can_be_asked_about_everything() {
    let recorder = Recorder::new();
    decide(false).expect_err("refused");
    let decision = recorder.one("decide");
    assert_eq!((decision.kind(), decision.outcome()), ("agent_decision", "failure"));
    assert_eq!(decision.error(), Some("refused"));
    assert_eq!(decision.parent_id(), None);
    assert_eq!(decision.steps(), [serde_json::json!({"step": "INCOME", "result": false, "reason": "as it is"})]);
    decision.assert_attribute("tachograph.decision.confidence", 0.75).assert_attribute("gen_ai.agent.id", "a");
    assert_eq!(decision.attribute("tachograph.prompt"), None);
    let explanation = recorder.one("explain");
    assert_eq!(explanation.text("tachograph.prompt").as_deref(), Some("because"));
    assert_eq!(recorder.parent_of(&explanation).event_id(), decision.event_id());
    assert_eq!(recorder.children_of(&decision).len(), 1);
    assert!(recorder.children_of(&explanation).is_empty());
    recorder.assert_chain(&["decide", "explain"]);
    let names: Vec<_> = recorder.records().iter().map(|record| record.name().to_owned()).collect();
    assert_eq!(names, ["explain", "decide"], "in the order in which they ended");
    recorder.clear();
    recorder.assert_none();
}

/// Each thread of a test program has its own; this test would see another's records if they were mixed.
#[test]
fn recorders_of_tests_that_run_at_once_do_not_mix() {
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for test in 0..8 {
            let barrier = &barrier;
            scope.spawn(move || {
                let recorder = Recorder::new();
                barrier.wait();
                for _ in 0..100 {
                    explain(&format!("test {test}"));
                }
                barrier.wait();
                let prompts: Vec<_> = recorder
                    .records()
                    .iter()
                    .map(|record| record.text("tachograph.prompt").unwrap_or_default().into_owned())
                    .collect();
                assert_eq!(prompts, vec![format!("test {test}"); 100]);
            });
        }
    });
}

#[test]
fn a_recorder_goes_where_the_context_goes() {
    let recorder = Recorder::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        tachograph::spawn(send()).await.expect("no panic");
        tachograph::spawn_blocking(|| explain("blocking")).await.expect("no panic");
        // Not taken along, not seen.
        tokio::spawn(send()).await.expect("no panic");
    });
    tachograph::thread::spawn(|| explain("thread")).join().expect("no panic");
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    sender.send(carry("channel")).expect("room");
    std::thread::spawn(move || receiver.recv().expect("a value").run(explain)).join().expect("no panic");
    // A message's sender is another process; its handler is of this test all the same.
    let headers = [("baggage", "tachograph.correlation.id=order-7")];
    tachograph::with_context(tachograph::propagation::extract_pairs(headers), || explain("message"));
    assert_eq!(recorder.one("send").outcome(), "blocked");
    assert_eq!(recorder.one("send").outcome_reason().as_deref(), Some("no address"));
    let explained = recorder.named("explain");
    let prompts: Vec<_> = explained.iter().map(|record| record.text("tachograph.prompt").unwrap_or_default()).collect();
    assert_eq!(prompts, ["blocking", "thread", "channel", "message"]);
    assert_eq!(explained[3].correlation_id(), "order-7");
}

#[tokio::test]
async fn an_asynchronous_test_has_one_too() {
    let recorder = Recorder::new();
    tokio::join!(send(), send());
    assert_eq!(recorder.named("send").len(), 2);
}

#[test]
fn a_recorder_of_the_process_sees_every_thread_and_waits_for_its_turn() {
    #[tachograph::generation(model = "m", prompt = turn)]
    fn everywhere(turn: &str) {}
    std::thread::scope(|scope| {
        for turn in ["first", "second"] {
            scope.spawn(move || {
                let recorder = Recorder::of_process();
                std::thread::spawn(|| everywhere(turn));
                let limit = std::time::Instant::now();
                while recorder.named("everywhere").is_empty() && limit.elapsed() < Duration::from_secs(20) {
                    std::thread::yield_now();
                }
                recorder.one("everywhere").assert_attribute("tachograph.prompt", turn);
            });
        }
    });
}

#[test]
fn ids_and_times_are_those_of_the_test() {
    let run = || {
        let clock = Clock::at(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let recorder = Recorder::with_clock(&clock);
        decide(true).expect("granted");
        let records = recorder.records();
        let ids = records.iter().map(|record| {
            let span = record.span();
            (
                record.event_id().to_owned(),
                record.correlation_id().to_owned(),
                span.span_context.clone(),
                span.start_time,
            )
        });
        ids.collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!(first, run());
    assert_eq!(first[1].0, "01a3185c-5000-7000-8000-000000000001");
    assert_eq!(first[1].2.trace_id().to_string(), "00000000000000000000000000000001");
}

#[test]
fn a_clock_that_jumps_takes_no_time() {
    #[tachograph::generation(model = "m")]
    fn jump(clock: &Clock) {
        clock.advance(Duration::from_secs(2));
        clock.set(UNIX_EPOCH + Duration::from_secs(1_000));
    }
    let clock = Clock::default();
    let recorder = Recorder::with_clock(&clock);
    let began = clock.now();
    jump(&clock);
    explain("afterwards");
    let record = recorder.one("jump");
    assert_eq!((record.started_at(), record.duration()), (began, Duration::from_secs(2)));
    assert_eq!(recorder.one("explain").started_at(), UNIX_EPOCH + Duration::from_secs(1_000));
}

#[test]
fn what_was_recorded_is_shown_when_something_is_not_as_expected() {
    let recorder = Recorder::new();
    decide(false).expect_err("refused");
    let tree = "recorded:\n  decide (agent_decision, failure: refused)\n    explain (generation, success)";
    assert_eq!(complaint(|| drop(recorder.one("decided"))), format!("expected one record `decided`, found 0\n{tree}"));
    assert_eq!(
        complaint(|| recorder.assert_chain(&["explain", "decide"])),
        format!("`explain` did not cause `decide`\n{tree}")
    );
    assert_eq!(
        complaint(|| drop(recorder.parent_of(&recorder.one("decide")))),
        format!("`decide` has no parent\n{tree}")
    );
    assert_eq!(complaint(|| recorder.assert_none()), format!("expected no record\n{tree}"));
    let said = complaint(|| recorder.wait_for(3, Duration::from_millis(1)));
    assert_eq!(said, format!("expected 3 records within 1ms\n{tree}"));
    let said = complaint(|| {
        recorder.one("explain").assert_attribute("gen_ai.request.model", "n");
    });
    assert!(
        said.starts_with("attribute `gen_ai.request.model` of `explain`: expected String(Static(\"n\"))"),
        "{said}"
    );
    assert!(said.contains("\n  tachograph.prompt = "), "{said}");
    let said = complaint(|| drop(recorder.one("explain").json("tachograph.inputs")));
    assert!(said.starts_with("`explain` has no attribute `tachograph.inputs`\nattributes of `explain`:"), "{said}");
}

#[test]
fn an_empty_recorder_says_what_may_be_the_matter() {
    let recorder = Recorder::new();
    std::thread::spawn(|| explain("alone")).join().expect("no panic");
    assert!(complaint(|| drop(recorder.one("explain"))).contains("does not take the context along"));
}

#[test]
fn misuse_is_seen() {
    let recorder = Recorder::new();
    tachograph::step!("NOWHERE");
    let warnings = recorder.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("no `agent_decision` is open"), "{warnings:?}");
}

#[test]
fn nothing_is_kept_once_it_is_dropped() {
    let outer = Recorder::new();
    {
        let inner = Recorder::new();
        explain("inner");
        inner.one("explain");
    }
    explain("outer");
    outer.one("explain").assert_attribute("tachograph.prompt", "outer");
}

#[test]
fn an_outcome_is_a_value_or_a_word_and_never_a_success_by_mistake() {
    let recorder = Recorder::new();
    let word = String::from("denied");
    let none: Option<tachograph::Outcome> = None;
    tachograph::audit! { action = "a", name = "value", outcome = tachograph::Outcome::Blocked }
    tachograph::audit! { action = "a", name = "option", outcome = Some(tachograph::Outcome::Pending) }
    tachograph::audit! { action = "a", name = "none", outcome = none }
    tachograph::audit! { action = "a", name = "word", outcome = "cancelled" }
    assert!(recorder.warnings().is_empty(), "{:?}", recorder.warnings());
    tachograph::audit! { action = "a", name = "misspelt", outcome = word }
    for (name, outcome) in [
        ("value", "blocked"),
        ("option", "pending"),
        ("none", "success"),
        ("word", "cancelled"),
        ("misspelt", "unknown"),
    ] {
        assert_eq!(recorder.one(name).outcome(), outcome, "{name}");
    }
    assert!(recorder.warnings()[0].contains("`denied`"), "{:?}", recorder.warnings());
}

#[test]
fn content_is_treated_in_a_test_as_in_the_application() {
    let settings =
        || tachograph::Init::new("app").redact(|content| tachograph::Redaction::Replace(content.text().to_uppercase()));
    let recorder = Recorder::with_content(settings().longest_content(4));
    explain("anna");
    explain("beatrice");
    let records = recorder.records();
    assert_eq!(records[0].text("tachograph.prompt").as_deref(), Some("ANNA"));
    assert_eq!(records[1].text("tachograph.prompt").as_deref(), Some("BEAT"));
    assert_eq!(records[1].json("tachograph.capture")["tachograph.prompt"]["state"], "truncated");
    drop(recorder);

    let recorder = Recorder::with_content(settings().capture(tachograph::Capture::Off));
    explain("anna");
    assert_eq!(recorder.one("explain").text("tachograph.prompt"), None);
    drop(recorder);

    let recorder = Recorder::new();
    explain("anna");
    recorder.one("explain").assert_attribute("tachograph.prompt", "anna");
}

/// Runs itself with the variable set.
#[test]
fn the_environment_asks_for_less_content_in_tests_too() {
    const NAME: &str = "the_environment_asks_for_less_content_in_tests_too";
    if std::env::var_os("TACHOGRAPH_CAPTURE").is_none() {
        let this = std::env::current_exe().expect("a test has a file");
        let done = std::process::Command::new(this)
            .args(["--exact", NAME])
            .env("TACHOGRAPH_CAPTURE", "off")
            .output()
            .expect("it can be run again");
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let recorder = Recorder::with_content(tachograph::Init::new("app"));
    explain("anna");
    assert_eq!(recorder.one("explain").text("tachograph.prompt"), None);
}

#[test]
fn what_other_code_adds_without_end_is_bounded_and_counted() {
    use opentelemetry::trace::{SpanContext, TraceContextExt};
    use opentelemetry::{Context, KeyValue};
    #[tachograph::tool_call(tool = "t")]
    fn loops() {
        let context = Context::current();
        for number in 0..10_003 {
            context.span().set_attribute(KeyValue::new("n", number));
            context.span().add_event("looked", vec![]);
            context.span().add_link(SpanContext::NONE, vec![]);
        }
        context.span().add_event("looked", vec![]);
    }
    let recorder = Recorder::new();
    loops();
    let record = recorder.one("loops");
    assert_eq!(record.json("tachograph.left_out"), serde_json::json!({"attributes": 3, "events": 4, "links": 3}));
    let span = record.span();
    assert_eq!((span.dropped_attributes_count, span.events.dropped_count, span.links.dropped_count), (3, 4, 3));
    assert_eq!((span.events.events.len(), span.links.links.len()), (10_000, 10_000));
    explain("little");
    assert_eq!(recorder.one("explain").attribute("tachograph.left_out"), None);
}
