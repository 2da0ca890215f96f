//! A collector that discards and counts, for recorders that deliver over the network: a spool works with those alone.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::{Request, Response, Status};

use crate::tally::Tally;

#[tonic::async_trait]
impl TraceService for Tally {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.get_ref().resource_spans.iter();
        let spans = resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
        spans.for_each(|span| self.count(&span.name, span.attributes.len()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Starts it on a thread of its own, which lasts as long as the process.
///
/// # Panics
/// If it does not come up.
pub(crate) fn start(tally: Tally) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(tally));
        runtime.block_on(server.serve(address)).expect("the receiver serves");
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "the receiver does not listen at {address}");
        std::thread::sleep(Duration::from_millis(5));
    }
    address
}
