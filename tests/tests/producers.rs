//! Producers that number their records: one that ends in good order, one that is killed, and numbers that come late.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use tachograph_exporters::verify::Axis;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Verified, verify};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::export;
use tachograph_tests::otlp::{self, Events};
use tachograph_tests::seed::Random;
use tachograph_tests::{programs, stored};

const PATIENCE: Duration = Duration::from_secs(30);

/// An application with the attributes of this project.
fn application(home: &Home, collector: &Collector, count: &str) -> Child {
    let mut command = Command::new(programs::example("credit_decision"));
    command.args(["--count", count]).arg("--out").arg(home.config().with_file_name("out"));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.grpc));
    command.env("TACHOGRAPH_PRODUCER_ID", "credit").env("NO_PROXY", "*").env("no_proxy", "*");
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

fn received(collector: &Collector) -> u64 {
    collector.metric("tachograph_sealed_records_total") as u64
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "did not come about: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// The auditor's view, and the starts of the producer.
fn audit(home: &Home, producer: &str) -> (Verified, Vec<Value>) {
    let key = home.data().join("ledger.vkey");
    let verified = verify(&home.archive(), &[&"--key", &key]);
    let all = verified.report["producers"].as_array().unwrap().iter();
    let starts = all.filter(|start| start["producer"] == producer).cloned().collect();
    (verified, starts)
}

#[test]
fn an_application_that_ends_is_complete_and_one_that_is_killed_is_open() {
    let home = Home::new(SMALL);
    let collector = home.start();
    assert!(application(&home, &collector, "3").wait().unwrap().success());
    collector.wait_archived();
    let (verified, starts) = audit(&home, "credit");
    assert_eq!((starts.len(), &starts[0]["state"], &starts[0]["missing"]), (1, &json!("closed"), &json!(0)));
    assert_eq!(verified.verdict(Axis::Completeness), "pass", "{:#}", verified.report);
    assert!(starts[0]["seen"].as_u64() > Some(4), "{starts:?}");

    let before = received(&collector);
    let mut killed = application(&home, &collector, "100000000");
    until("records of the second start", || received(&collector) > before + 20);
    // The standard library's kill is SIGKILL.
    killed.kill().unwrap();
    killed.wait().unwrap();
    collector.stop();
    let (verified, starts) = audit(&home, "credit");
    assert_eq!(verified.code, 0, "nothing speaks against the ledger: {:#}", verified.report);
    assert_eq!(verified.verdict(Axis::Completeness), "incomplete");
    let reasons = verified.report["axes"]["completeness"]["reasons"].to_string();
    assert!(reasons.contains("1 starts of producers are OPEN") && reasons.contains("producer credit"), "{reasons}");
    let states: Vec<&str> = starts.iter().filter_map(|start| start["state"].as_str()).collect();
    assert_eq!(states, ["open", "closed"], "the open one comes first");

    // For people too.
    let key = home.data().join("ledger.vkey");
    let told = tachograph_tests::command::tachograph(&[&"verify", &home.archive(), &"--key", &key]).stdout;
    assert!(told.contains("producer credit epoch") && told.contains(": OPEN,") && told.contains(": CLOSED,"), "{told}");
}

/// What the recorder says of gaps.
fn said(home: &Home) -> Vec<(String, Value)> {
    let records = stored::read(&home.data());
    let bodies = records.iter().map(|record| record.body());
    bodies
        .filter(|body| body["producer"] == "tachograph-collector")
        .filter_map(|body| Some((body["action_type"].as_str()?.to_owned(), body["details"]["numbers"].clone())))
        .filter(|(action, _)| action.starts_with("producer."))
        .collect()
}

#[test]
fn a_gap_is_recorded_then_its_late_filling_and_in_the_end_all_is_complete() {
    let home = Home::new(&format!("{SMALL}producers: {{ gap_after: 500ms }}\n"));
    let collector = home.start();
    let events = Events::new(&mut Random::of_test("gap"));
    let send = |spans: Vec<Span>| {
        assert_eq!(export(collector.http, "/v1/traces", &otlp::request(spans)).status, 200);
    };
    let span = || events.generation().1;
    let late = otlp::numbered(span(), 2);
    send(vec![otlp::numbered(span(), 0), otlp::numbered(span(), 1), otlp::numbered(span(), 4)]);
    until("the gap is recorded", || said(&home).len() == 1);
    send(vec![otlp::closes(span(), 5)]);
    send(vec![late]);
    until("the filling is recorded", || said(&home).len() == 2);
    let range = |from: &str, to: &str| json!([{"from": from, "to": to}]);
    let expected = [("producer.gap", range("2", "3")), ("producer.gap_filled", range("2", "2"))];
    assert_eq!(said(&home), expected.map(|(action, numbers)| (action.to_owned(), numbers)));

    // Number 3 is missing, and the producer does not count it as lost.
    collector.wait_archived();
    let (verified, starts) = audit(&home, "svc");
    assert_eq!((verified.code, verified.verdict(Axis::Completeness)), (1, "fail"), "{:#}", verified.report);
    assert_eq!((&starts[0]["state"], &starts[0]["missing"]), (&json!("closed"), &json!(1)));

    send(vec![otlp::numbered(span(), 3)]);
    until("the rest is recorded", || said(&home).len() == 3);
    collector.stop();
    let (verified, starts) = audit(&home, "svc");
    assert_eq!((&starts[0]["state"], &starts[0]["missing"]), (&json!("closed"), &json!(0)), "{:#}", verified.report);
    assert_eq!((verified.code, verified.verdict(Axis::Completeness)), (0, "pass"), "{:#}", verified.report);
    assert!(!fs::read_to_string(home.log()).unwrap().contains("panicked"));
}
