//! Delivery to a real OTLP receiver over gRPC: from a program without a runtime, and across a restart.

use crate::sink::turn;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub(crate) struct Received(
    Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    Arc<Mutex<Vec<LogRecord>>>,
    Arc<AtomicBool>,
    Arc<AtomicBool>,
);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.3.load(Ordering::SeqCst) {
            return Err(Status::unimplemented(""));
        }
        let request = request.into_inner();
        let refused = spans_of(&request).any(|span| span.name == "refused");
        if refused {
            return Err(Status::invalid_argument("span name"));
        }
        if spans_of(&request).filter(|span| span.name == "heavy").count() > 3 {
            return Err(Status::resource_exhausted("the message is too large"));
        }
        let rejected_spans = spans_of(&request).filter(|span| span.name == "rejected").count() as i64;
        self.0.lock().expect("requests").push(request);
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: "names".to_owned() };
        let partial_success = Some(partial).filter(|_| rejected_spans > 0);
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Received {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        if self.2.load(Ordering::SeqCst) {
            return Err(Status::unimplemented(""));
        }
        let scopes = request.into_inner().resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        self.1.lock().expect("logs").extend(scopes.flat_map(|scope| scope.log_records));
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

fn spans_of(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    request.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans)
}

impl Received {
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.of_kind(false)
    }

    #[cfg(feature = "logs")]
    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        self.1.lock().expect("logs").clone()
    }

    /// From now on there is no service for log records.
    #[cfg(feature = "logs")]
    pub(crate) fn without_logs(&self) {
        self.2.store(true, Ordering::SeqCst);
    }

    /// How many requests with spans came.
    #[cfg(feature = "logs")]
    pub(crate) fn requests(&self) -> usize {
        self.0.lock().expect("requests").len()
    }

    /// What producers say of themselves.
    pub(crate) fn lifecycle(&self) -> Vec<Span> {
        self.of_kind(true)
    }

    fn of_kind(&self, lifecycle: bool) -> Vec<Span> {
        let requests = self.0.lock().expect("requests");
        let kind = Some(any_value::Value::StringValue("lifecycle".to_owned()));
        let spans = requests.iter().flat_map(spans_of);
        spans.filter(|span| (attribute(span, "tachograph.kind") == kind) == lifecycle).cloned().collect()
    }
}

/// A receiver on its own thread; stops when dropped.
pub(crate) struct Server {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(address: SocketAddr, received: Received) -> Self {
        Self::start_by(address, received, tonic::transport::Server::builder)
    }

    #[cfg(feature = "tls")]
    pub(crate) fn start_with_tls(
        address: SocketAddr,
        received: Received,
        tls: tonic::transport::ServerTlsConfig,
    ) -> Self {
        Self::start_by(address, received, || tonic::transport::Server::builder().tls_config(tls).expect("tls"))
    }

    /// It answers, but knows nothing of OTLP.
    #[cfg(feature = "logs")]
    pub(crate) fn start_without_services(address: SocketAddr) -> Self {
        let received = Received::default();
        received.without_logs();
        received.3.store(true, Ordering::SeqCst);
        Self::start(address, received)
    }

    fn start_by(
        address: SocketAddr,
        received: Received,
        builder: impl FnOnce() -> tonic::transport::Server + Send + 'static,
    ) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(async {
                builder()
                    .add_service(LogsServiceServer::new(received.clone()))
                    .add_service(service(received))
                    .serve_with_shutdown(address, async {
                        let _ = stopped.await;
                    })
                    .await
                    .expect("serve");
            });
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

fn service(received: Received) -> TraceServiceServer<Received> {
    let service = TraceServiceServer::new(received);
    #[cfg(feature = "gzip")]
    let service = service.accept_compressed(tonic::codec::CompressionEncoding::Gzip);
    service
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("server");
        }
    }
}

pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

#[tachograph::generation(name = name, model = "m", prompt = "p")]
fn record(name: &str) {}

pub(crate) fn attribute(span: &Span, key: &str) -> Option<any_value::Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.clone()?.value
}

#[test]
fn records_reach_a_receiver_without_a_runtime_in_the_program() {
    let _turn = turn();
    let (address, received) = (free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    let guard = tachograph::Init::new("otlp-test")
        .endpoint(format!("http://{address}"))
        .producer_id("unit-7")
        .resource("deployment.environment.name", "test")
        .init()
        .expect("init");
    for _ in 0..1_500 {
        record("sent");
    }
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!(report.exported, 1_500);
    let spans = received.spans();
    assert_eq!(spans.len(), 1_500);
    let producer = attribute(&spans[0], "tachograph.producer.id");
    assert_eq!(producer, Some(any_value::Value::StringValue("unit-7".to_owned())));
    let requests = received.0.lock().expect("requests");
    let resource = requests[0].resource_spans[0].resource.clone().expect("resource");
    for (key, expected) in [("service.name", "otlp-test"), ("deployment.environment.name", "test")] {
        let attribute = resource.attributes.iter().find(|attribute| attribute.key == key);
        let value = attribute.and_then(|attribute| attribute.value.clone()?.value);
        assert_eq!(value, Some(any_value::Value::StringValue(expected.to_owned())), "{key}");
    }
}

#[test]
fn a_restart_of_the_receiver_loses_nothing() {
    let _turn = turn();
    let (address, received) = (free_address(), Received::default());
    let first = Server::start(address, received.clone());
    let guard = tachograph::Init::new("otlp-test")
        .endpoint(format!("http://{address}"))
        .on_warning(|_| ())
        .init()
        .expect("init");
    for _ in 0..200 {
        record("before");
    }
    guard.flush(Duration::from_secs(20));
    assert_eq!(received.spans().len(), 200);
    drop(first);
    for _ in 0..300 {
        record("while down");
    }
    std::thread::sleep(Duration::from_millis(500));
    let _second = Server::start(address, received.clone());
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.produced, report.exported), (500, 500));
    let mut ids: Vec<_> =
        received.spans().iter().map(|span| format!("{:?}", attribute(span, "tachograph.event.id"))).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 500);
}

#[test]
fn a_grpc_refusal_is_told_from_a_grpc_failure() {
    let _turn = turn();
    let (address, received) = (free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    let guard = tachograph::Init::new("otlp-test")
        .endpoint(format!("http://{address}"))
        .on_warning(|_| ())
        .init()
        .expect("init");
    for name in ["a", "refused", "b"] {
        record(name);
    }
    let lost = guard.shutdown().expect_err("one is refused");
    assert_eq!((lost.report.exported, lost.report.lost), (2, 1));
}

/// OpenTelemetry's exporters call it success.
#[test]
fn a_partial_success_is_no_success() {
    let _turn = turn();
    let (address, received) = (free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    let (lines, warn) = crate::delivery::collect_warnings();
    let guard =
        tachograph::Init::new("otlp-test").endpoint(format!("http://{address}")).on_warning(warn).init().expect("init");
    for name in ["a", "rejected", "b"] {
        record(name);
    }
    let report = guard.shutdown().expect_err("one is rejected").report;
    assert_eq!((report.exported, report.lost), (2, 1));
    let lines = lines.lock().expect("lines");
    let said = |line: &String| line.contains("(rejected)") && line.contains("partial success");
    assert!(lines.iter().any(said), "{lines:?}");
}
