//! Each example program, run as a process of its own against a real OTLP receiver.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use tonic::{Request, Response, Status};

/// Attributes as text, by name; the span's name as `name`, the service as `service`.
type Record = BTreeMap<String, String>;

#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Record>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut records = self.0.lock().expect("records");
        for resource in request.into_inner().resource_spans {
            let of_resource = resource.resource.map(|resource| resource.attributes);
            let service = of_resource
                .unwrap_or_default()
                .into_iter()
                .find(|attribute| attribute.key == "service.name")
                .and_then(|attribute| attribute.value?.value)
                .map(text)
                .unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let attributes = span.attributes.into_iter();
                let mut record: Record =
                    attributes.filter_map(|attribute| Some((attribute.key, text(attribute.value?.value?)))).collect();
                record.insert("name".to_owned(), span.name);
                record.insert("service".to_owned(), service.clone());
                let status = span.status.map(|status| status.message);
                record.insert("status".to_owned(), status.unwrap_or_default());
                records.push(record);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(value: Value) -> String {
    match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        Value::ArrayValue(array) => {
            let items = array.values.into_iter().filter_map(|item| item.value);
            items.map(text).collect::<Vec<_>>().join(",")
        }
        other => format!("{other:?}"),
    }
}

/// Where cargo puts example programs, seen from a test program.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("target directory");
    profile.join("examples").join(name)
}

/// Runs a program against a receiver; gives the records in which it resulted and what it printed.
fn run(name: &str, arguments: &[&str]) -> (Vec<Record>, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let receiver = Receiver::default();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("its address");
    drop(socket);
    runtime.spawn(
        tonic::transport::Server::builder().add_service(TraceServiceServer::new(receiver.clone())).serve(address),
    );
    let output = Command::new(program(name))
        .args(arguments)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    let mut records = std::mem::take(&mut *receiver.0.lock().expect("records"));
    // What the producer says of its own life is no part of the story.
    records.retain(|record| record.get("tachograph.kind").is_none_or(|kind| kind != "lifecycle"));
    (records, String::from_utf8_lossy(&output.stdout).into_owned())
}

fn of<'a>(records: &'a [Record], key: &str, value: &str) -> Vec<&'a Record> {
    let has = |record: &&Record| record.get(key).is_some_and(|known| known == value);
    records.iter().filter(has).collect()
}

#[test]
fn image_service() {
    let out = std::env::temp_dir().join(format!("tachograph-images-{}", std::process::id()));
    let (records, printed) = run("image_service", &["--out", out.to_str().expect("path")]);
    let generations = of(&records, "tachograph.kind", "generation");
    assert_eq!(generations.len(), 4);
    let [blocked] = of(&records, "tachograph.outcome", "blocked")[..] else {
        panic!("one is blocked: {records:?}");
    };
    assert_eq!(blocked["tachograph.content_flags"], "violence.weapon");
    assert_eq!(blocked["tachograph.actor.id"], "ben@example.com");
    for image in of(&records, "tachograph.outcome", "success") {
        if let Some(path) = image.get("tachograph.output.path") {
            let bytes = std::fs::read(path).expect("the file");
            assert_eq!(image["tachograph.output.hash"], tachograph::sha256(bytes));
            assert!(printed.contains(path.as_str()));
        }
    }
    assert_eq!(std::fs::read_dir(&out).expect("directory").count(), 3);
    std::fs::remove_dir_all(out).expect("removed");
}

#[test]
fn credit_decision() {
    let (records, _) = run("credit_decision", &["--count", "2"]);
    let decisions = of(&records, "tachograph.kind", "agent_decision");
    assert_eq!(decisions.len(), 8);
    let refused = of(&records, "tachograph.resource.id", "loan-2026-0002");
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0]["tachograph.decision.final"], "refuse");
    assert_eq!(refused[0]["tachograph.input.hash"], refused[1]["tachograph.input.hash"]);
    assert!(refused[0]["tachograph.decision.steps"].contains("THRESHOLD"));
    for scoring in of(&records, "tachograph.kind", "tool_call") {
        let parent = of(&records, "tachograph.event.id", &scoring["tachograph.parent.id"]);
        assert_eq!(parent[0]["tachograph.correlation.id"], scoring["tachograph.correlation.id"]);
    }
}

#[test]
fn trading_pipeline() {
    let (records, printed) = run("trading_pipeline", &["--count", "5"]);
    assert_eq!(records.len(), 20);
    assert_eq!(printed.lines().count(), 5);
    for execution in of(&records, "service", "execution") {
        let mut chain = vec![execution];
        while let Some(parent) = chain[chain.len() - 1].get("tachograph.parent.id") {
            let [cause] = of(&records, "tachograph.event.id", parent)[..] else {
                panic!("no event {parent}");
            };
            chain.push(cause);
        }
        let services: Vec<_> = chain.iter().map(|record| record["service"].as_str()).collect();
        assert_eq!(services, ["execution", "decision", "analysis", "market-data"]);
        let correlation = &execution["tachograph.correlation.id"];
        assert_eq!(of(&records, "tachograph.correlation.id", correlation).len(), 4);
        assert!(chain[1].contains_key("tachograph.state.before"));
        assert!(chain[1].contains_key("tachograph.state.after"));
    }
}

#[test]
fn prompt_log() {
    let (records, printed) = run("prompt_log", &[]);
    assert_eq!(records.len(), 6);
    let [failed] = of(&records, "tachograph.outcome", "failure")[..] else {
        panic!("one fails: {records:?}");
    };
    assert!(failed["error.type"].ends_with("ProviderError"));
    assert!(failed["status"].contains("more than the window"));
    assert!(!failed.contains_key("tachograph.cost"));
    let flagged = of(&records, "tachograph.content_flags", "pii.email");
    assert_eq!(flagged[0]["tachograph.team"], "sales");
    assert!(printed.contains("support spent"));
}
