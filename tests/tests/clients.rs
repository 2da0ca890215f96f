//! Real clients: the OpenTelemetry SDK for Python, over gRPC and over HTTP, with gzip.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tachograph_record::Kind;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::expect_verified;
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::seed::Random;
use tachograph_tests::stored::{self, Stored};
use tachograph_tests::{http, programs};

const PROTOCOLS: [&str; 2] = ["grpc", "http"];

fn client(collector: &Collector, protocol: &str, arguments: &[&str]) -> Child {
    let endpoint = if protocol == "grpc" { collector.grpc } else { collector.http };
    let mut command = programs::python("otel_client.py");
    command.args(["--protocol", protocol, "--endpoint", &endpoint.to_string()]).args(arguments);
    // The proxy of the machine, if it has one, is not meant for this machine's own ports.
    command.env("NO_PROXY", "*").env("no_proxy", "*");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// What the client says it did.
fn told(client: Child) -> Value {
    let output = client.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "the client failed: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

fn names(told: &Value, member: &str) -> Vec<String> {
    let list = told[member].as_array().unwrap_or_else(|| panic!("no {member} in {told}"));
    list.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

/// The spans in the ledger by trace and span id; none may be there twice.
fn spans_in(records: &[Stored]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for record in records.iter().filter(|record| record.kind == Kind::Generation) {
        let body = record.body();
        let name = format!("{}/{}", body["trace_id"].as_str().unwrap(), body["span_id"].as_str().unwrap());
        assert!(found.insert(name), "a span was sealed twice: {body}");
    }
    found
}

#[test]
fn every_span_and_log_of_the_sdk_arrives_with_its_fields() {
    for protocol in PROTOCOLS {
        let home = Home::new(SMALL);
        let collector = home.start();
        let told = told(client(&collector, protocol, &["--spans", "500", "--logs", "100"]));
        let metric = |name: &str| {
            http::get(collector.admin, "/metrics")
                .text()
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        };
        let (wire, plain) =
            (metric("tachograph_receive_wire_bytes_total "), metric("tachograph_receive_protobuf_bytes_total "));
        assert!(wire.unwrap() * 3.0 < plain.unwrap(), "{protocol}: not compressed: {wire:?} of {plain:?} bytes");
        collector.stop();

        let made: BTreeSet<String> = names(&told, "spans").into_iter().collect();
        assert_eq!((made.len(), names(&told, "spans_acknowledged").len()), (500, 500), "{protocol}");
        assert_eq!(told["logs_acknowledged"].as_array().map(Vec::len), Some(100), "{protocol}");
        let records = stored::archived(&home.archive());
        assert_eq!(spans_in(&records), made, "{protocol}");
        expect_span_fields(&records);
        expect_log_fields(&records);
        expect_verified(&home.data());
    }
}

fn expect_span_fields(records: &[Stored]) {
    let bodies: Vec<Value> = records.iter().map(Stored::body).collect();
    let body = bodies.iter().find(|body| body["response_id"] == "msg-123").expect("number 123 arrived");
    let expected = json!({
        "kind": "generation",
        "service_name": "advice",
        "environment": "test",
        "actor_type": "user",
        "actor_id": "user-4",
        "session_id": "conversation-12",
        "action_type": "chat",
        "outcome": "failure",
        "provider": "anthropic",
        "model": "claude-opus-4",
        "model_version": "claude-opus-4-20260101",
        "parameters": {"temperature": 0.25, "max_tokens": 1024},
        "input_messages": [{"role": "user", "parts": [{"type": "text", "content": "Frage 123 für Zoë"}]}],
        "tokens_in": 223,
        "tokens_out": 200,
        "status": "error",
        "error_type": "overloaded_error",
        "error": "overloaded",
    });
    for (member, value) in expected.as_object().expect("an object") {
        assert_eq!(body[member], *value, "{member} in {body:#}");
    }
    // What has no field of its own is kept.
    for kept in ["app.feature", "loan-advice", "app.tags", "first token", "test.client", "1.2.3", "chat claude-opus-4"]
    {
        assert!(body["metadata"].to_string().contains(kept), "{kept} is not in {:#}", body["metadata"]);
    }
    assert!(body["duration_ns"].as_str().and_then(|nanos| nanos.parse::<u64>().ok()).is_some(), "{body:#}");
}

fn expect_log_fields(records: &[Stored]) {
    let logs: Vec<Value> = records.iter().filter(|record| record.kind == Kind::Policy).map(Stored::body).collect();
    assert_eq!(logs.len(), 100);
    let log = logs.iter().find(|log| log["metadata"].to_string().contains("policy 42 was overridden")).expect("log 42");
    assert_eq!(log["action_type"], "policy.override", "{log:#}");
    assert_eq!(log["actor_id"], "officer-1", "{log:#}");
    assert_eq!(log["service_name"], "advice", "{log:#}");
    assert!(log["metadata"].to_string().contains("WARN"), "{log:#}");
}

/// The collector is stopped, killed, and started again under the client, which retries by itself.
#[test]
fn a_collector_that_restarts_loses_nothing_of_the_sdk() {
    let mut random = Random::of_test("restarts under the SDK");
    for protocol in PROTOCOLS {
        let home = Home::new(SMALL);
        let mut collector = home.start();
        let (grpc, http) = (collector.grpc, collector.http);
        let client = client(&collector, protocol, &["--spans", "3000", "--batch", "32", "--pause-ms", "1.5"]);
        sleep(Duration::from_millis(1_200));
        for round in 0..3 {
            sleep(random.millis(200, 900));
            match round {
                1 => collector.kill(),
                _ => collector.stop(),
            }
            sleep(random.millis(50, 400));
            collector = home.start_at(grpc, http);
        }
        let told = told(client);
        collector.stop();

        let acknowledged = names(&told, "spans_acknowledged");
        let records = stored::archived(&home.archive());
        let found = spans_in(&records);
        let lost: Vec<&String> = acknowledged.iter().filter(|name| !found.contains(*name)).collect();
        assert!(lost.is_empty(), "{protocol}: {} of {} acknowledged spans are lost", lost.len(), acknowledged.len());
        // It retries for a minute, which is longer than any of these restarts takes: so all of them got through.
        assert_eq!(acknowledged.len(), 3000, "{protocol}: {}", home.log_text());
        assert_eq!(found, names(&told, "spans").into_iter().collect(), "{protocol}");
        expect_verified(&home.data());
    }
}
