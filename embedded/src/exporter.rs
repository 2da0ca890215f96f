//! What stands at the end of an OpenTelemetry pipeline: spans and logs into the ledger of this process.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use tachograph_collector::intake::{Export, Intake as _, Refusal, Signal};
use tachograph_collector::seal::Intake;
use tokio::runtime::Handle;

/// Exports spans and log records into a [`Ledger`](crate::Ledger) of this process.
///
/// Success means that every record of the batch is durable. Clones export to the same ledger, each with the resource of the pipeline that it
/// is part of. After the ledger was closed, or has stopped by itself, an export fails and says which.
#[derive(Clone)]
pub struct LedgerExporter {
    /// Gone once the ledger is closed.
    intake: Weak<Intake>,
    /// Why the ledger stopped by itself.
    failure: Arc<OnceLock<String>>,
    handle: Handle,
    resource: Arc<ResourceAttributesWithSchema>,
}

impl LedgerExporter {
    pub(crate) fn new(intake: Weak<Intake>, handle: Handle, failure: Arc<OnceLock<String>>) -> Self {
        Self { intake, failure, handle, resource: Arc::default() }
    }

    async fn take(&self, signal: Signal, protobuf: Vec<u8>) -> OTelSdkResult {
        let export = Export { signal, protobuf: Bytes::from(protobuf), wants_receipt: false };
        let Some(intake) = self.intake.upgrade() else { return Err(gone(self.failure.get())) };
        // On the ledger's own threads: whoever exports may have no runtime, or one that waits for this.
        let taken = self.handle.spawn(async move { intake.accept(export).await }).await;
        match taken {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(refusal)) => Err(OTelSdkError::InternalFailure(describe(&refusal))),
            Err(_) => Err(gone(self.failure.get())),
        }
    }
}

/// Why there is no ledger any more.
fn gone(failure: Option<&String>) -> OTelSdkError {
    match failure {
        Some(why) => OTelSdkError::InternalFailure(format!(
            "export failed with gRPC code: Unavailable: the ledger stopped: {why}"
        )),
        None => OTelSdkError::AlreadyShutdown,
    }
}

/// As an OTLP exporter puts it, so that whoever retries can tell what to try again.
fn describe(refusal: &Refusal) -> String {
    let (code, why) = match refusal {
        Refusal::Malformed { field, reason } => ("InvalidArgument", format!("{field}: {reason}")),
        Refusal::Full { what, .. } => ("ResourceExhausted", format!("{what} full")),
        Refusal::Stopping => ("Unavailable", "the ledger is being closed".to_owned()),
        Refusal::Closed => ("Unavailable", "the ledger is closed for good".to_owned()),
        Refusal::Failed { reason } => ("Unavailable", reason.clone()),
    };
    format!("export failed with gRPC code: {code}: {why}")
}

impl SpanExporter for LedgerExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        self.take(Signal::Traces, ExportTraceServiceRequest { resource_spans }.encode_to_vec()).await
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = Arc::new(resource.into());
    }
}

impl LogExporter for LedgerExporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let resource_logs = group_logs_by_resource_and_scope(&batch, &self.resource);
        self.take(Signal::Logs, ExportLogsServiceRequest { resource_logs }.encode_to_vec()).await
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = Arc::new(resource.into());
    }
}

impl fmt::Debug for LedgerExporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LedgerExporter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_stopped_by_itself_says_why() {
        assert!(matches!(gone(None), OTelSdkError::AlreadyShutdown));
        let why = gone(Some(&"the archiver ended".to_owned()));
        assert!(why.to_string().contains("the ledger stopped: the archiver ended"), "{why}");
    }
}
