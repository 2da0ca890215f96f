//! An OpenTelemetry exporter that the application gives.

use super::{Cargo, Failure, Transport};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter;

pub(crate) struct Exporter<E>(E);

impl<E: SpanExporter> Exporter<E> {
    pub(crate) fn new(mut exporter: E, resource: &Resource) -> Self {
        exporter.set_resource(resource);
        Self(exporter)
    }
}

impl<E: SpanExporter> Transport for Exporter<E> {
    const WIRE: bool = false;

    async fn send(&self, cargo: Cargo<'_>) -> Result<(), Failure> {
        let Cargo::Spans(spans) = cargo else {
            return Err(Failure::Later("a record that was encoded already".to_owned()));
        };
        self.0.export(spans).await.map_err(|error| classify(error.to_string()))
    }

    fn end(&self) {
        // It frees resources; all records were acknowledged or given up.
        drop(self.0.shutdown());
    }
}

/// OpenTelemetry's own exporter gives its gRPC status only as text.
fn classify(reason: String) -> Failure {
    const REFUSED: [&str; 2] = ["gRPC code: InvalidArgument", "gRPC code: OutOfRange"];
    if REFUSED.iter().any(|code| reason.contains(code)) {
        Failure::Refused(reason)
    } else if reason.contains("gRPC code: ResourceExhausted") {
        Failure::Full(reason)
    } else {
        Failure::Later(reason)
    }
}
