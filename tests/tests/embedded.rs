//! The recorder within an application's process: no collector, no port, and a ledger that is verified as any other.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tachograph_embedded::{Ledger, OpenError};
use tachograph_tests::command::expect_verified;
use tachograph_tests::home::{Home, LEDGER, SMALL};
use tachograph_tests::stored;

#[tachograph::generation(provider = "acme", model = "m-1", prompt = prompt, output = *ret)]
fn answer(prompt: &str) -> &'static str {
    "four"
}

/// There is one recorder a process, so tests that install one take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_ledger(root: &Path) -> PathBuf {
    let dir = root.join("audit");
    assert!(!Ledger::exists(&dir));
    let key = Ledger::create(&dir, LEDGER).expect("created");
    assert!(key.starts_with(LEDGER), "{key}");
    assert!(Ledger::exists(&dir));
    dir
}

fn of_senders(dir: &Path) -> Vec<Value> {
    let bodies = stored::read(dir).into_iter().map(|record| record.body());
    bodies.filter(|body| body["kind"] != "lifecycle").collect()
}

#[test]
fn what_annotated_functions_record_is_sealed_archived_and_verified() {
    let _turn = turn();
    let root = tempfile::tempdir().unwrap();
    let dir = new_ledger(root.path());
    for _ in 0..2 {
        let ledger = Ledger::open(&dir).expect("open");
        let guard = tachograph::Init::new("desk").init_with(ledger.exporter()).expect("init");
        for _ in 0..100 {
            assert_eq!(answer("What is two and two?"), "four");
        }
        let report = guard.shutdown().expect("nothing lost");
        assert_eq!((report.produced, report.exported), (100, 100));
        // Acknowledged means durable: it is in the journal before anything is archived.
        assert!(of_senders(&dir).len() >= 100);
        ledger.close().expect("archived");
    }
    let records = of_senders(&dir);
    assert_eq!(records.len(), 200);
    assert!(records.iter().all(|body| body["prompt"] == "What is two and two?" && body["output"] == "four"));
    assert!(records.iter().all(|body| body["service_name"] == "desk"));
    expect_verified(&dir);
}

/// Each pipeline brings its own resource, and needs no runtime.
#[test]
fn spans_and_logs_of_any_opentelemetry_pipeline_are_recorded() {
    let _turn = turn();
    let root = tempfile::tempdir().unwrap();
    let dir = new_ledger(root.path());
    let ledger = Ledger::open(&dir).expect("open");
    let tracing = SdkTracerProvider::builder()
        .with_resource(Resource::builder_empty().with_service_name("spans").build())
        .with_simple_exporter(ledger.exporter())
        .build();
    let logging = SdkLoggerProvider::builder()
        .with_resource(Resource::builder_empty().with_service_name("logs").build())
        .with_batch_exporter(ledger.exporter())
        .build();
    tracing
        .tracer("app")
        .span_builder("chat")
        .with_attributes([opentelemetry::KeyValue::new("gen_ai.request.model", "m-2")])
        .start(&tracing.tracer("app"));
    let logger = logging.logger("app");
    let mut record = logger.create_log_record();
    record.set_event_name("loan.refused");
    record.set_body(AnyValue::from("too young"));
    logger.emit(record);
    tracing.shutdown().expect("spans");
    logging.shutdown().expect("logs");
    let late = ledger.exporter();
    ledger.close().expect("archived");
    let records = of_senders(&dir);
    let services: Vec<_> = records.iter().map(|body| body["service_name"].as_str().unwrap_or("")).collect();
    assert_eq!(services, ["spans", "logs"], "{records:#?}");
    assert_eq!(records[0]["model"], "m-2");
    assert_eq!(records[1]["action_type"], "loan.refused");
    // What comes after the end is not taken, and says so.
    let settings = tachograph::Init::new("late").shutdown_limit(Duration::from_millis(300)).on_warning(|_| ());
    let guard = settings.init_with(late).expect("init");
    answer("anybody there?");
    let lost = guard.shutdown().expect_err("nobody takes it");
    assert_eq!((lost.report.exported, lost.report.lost), (0, 1));
    expect_verified(&dir);
}

#[test]
fn one_process_writes_a_ledger_and_mistakes_are_named() {
    let root = tempfile::tempdir().unwrap();
    let nowhere = Ledger::open(root.path().join("nowhere")).expect_err("nothing is there");
    assert!(nowhere.to_string().contains("holds no ledger"), "{nowhere}");
    assert!(!root.path().join("nowhere").exists(), "a ledger is never made by accident");
    let dir = new_ledger(root.path());
    let first = Ledger::open(&dir).expect("open");
    let second = Ledger::open(&dir).expect_err("in use");
    assert!(second.to_string().contains("in use"), "{second}");
    first.close().expect("closed");
    assert!(Ledger::create(&dir, "acme.example/other").is_err());
    let name = Ledger::create(root.path().join("x"), "no spaces").expect_err("no name");
    assert!(name.to_string().contains("\"no spaces\""), "{name}");
    let config = root.path().join("config.yaml");
    std::fs::write(&config, "archive: { max_aeg: 5s }\n").unwrap();
    let wrong = Ledger::open_with(&dir, Some(&config)).expect_err("a mistake");
    assert!(matches!(&wrong, OpenError::Config(error) if error.to_string().contains("max_aeg")), "{wrong}");
    // A file of a collector with ports is of use: they stay closed.
    std::fs::write(&config, "receive: { grpc: 127.0.0.1:1 }\n").unwrap();
    Ledger::open_with(&dir, Some(&config)).expect("open").close().expect("closed");
}

/// The same directory serves a collector before and after, and a ledger that was closed takes nothing.
#[test]
fn a_collector_and_an_application_may_take_turns() {
    let _turn = turn();
    let home = Home::new(SMALL);
    home.start().stop();
    let ledger = Ledger::open(home.data()).expect("open");
    let busy = home.refused();
    assert!(busy.stderr.contains("in use"), "{busy:?}");
    let guard = tachograph::Init::new("turns").init_with(ledger.exporter()).expect("init");
    answer("one");
    guard.flush(Duration::from_secs(20));
    drop((guard, ledger));
    let collector = home.start();
    let closed = tachograph_tests::command::tachograph(&[&"close", &home.data()]);
    assert_eq!(closed.code, 0, "{closed:?}");
    collector.stop();
    assert!(matches!(Ledger::open(home.data()), Err(OpenError::Closed(_))));
    assert_eq!(of_senders(&home.data()).len(), 1);
    expect_verified(&home.data());
}
