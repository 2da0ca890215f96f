//! An OTLP/gRPC exporter that asks for receipts and keeps them.
//!
//! OpenTelemetry's own exporter, which serves when no receipts are wanted, keeps the answers' metadata to itself. This one makes
//! the same requests with the same generated client and reads the same environment; it exports once, and leaves trying again
//! to the delivery thread.

use crate::ids;
use crate::queue::Queue;
use crate::receipts::{Receipt, ReceiptFile};
use crate::warning::Topic;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const HEADER_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUT_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What a request says that wants a receipt, and where the answer has it.
const ASK: &str = "tachograph-receipts";
const ANSWER: &str = "tachograph-receipt";

pub(crate) struct Sender {
    client: TraceServiceClient<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
    resource: ResourceAttributesWithSchema,
    receipts: ReceiptFile,
    queue: Arc<Queue>,
}

impl Sender {
    /// To be called within a runtime. Connects when there is something to send.
    pub(crate) fn new(endpoint: String, receipts: ReceiptFile, queue: Arc<Queue>) -> Result<Self, ExporterBuildError> {
        let endpoint = Endpoint::from_shared(endpoint)
            .map_err(|error| ExporterBuildError::InvalidConfiguration(format!("endpoint: {error}")))?;
        let timeout = timeout();
        let channel = endpoint.timeout(timeout).connect_lazy();
        let mut metadata = metadata();
        metadata.insert(ASK, AsciiMetadataValue::from_static("1"));
        Ok(Self {
            client: TraceServiceClient::new(channel),
            metadata,
            timeout,
            resource: ResourceAttributesWithSchema::default(),
            receipts,
            queue,
        })
    }

    /// Keeps what the answer says. The records are acknowledged whatever becomes of their receipts.
    fn keep(&self, answer: &MetadataMap, event_ids: &[String]) {
        let Some(answer) = answer.get(ANSWER) else {
            self.warn(|| {
                "the receiver gives no receipts (a Tachograph collector of this release does): none are kept".to_owned()
            });
            return;
        };
        let receipt = answer.to_str().ok().and_then(|answer| Receipt::parse(answer, event_ids.len()));
        let Some(receipt) = receipt else {
            self.warn(|| format!("a receipt for {} records is not understood and is not kept", event_ids.len()));
            return;
        };
        if let Err(error) = self.receipts.append(&receipt.lines(event_ids)) {
            self.warn(|| format!("receipts can't be written: {error}"));
        }
    }

    fn warn(&self, line: impl FnOnce() -> String) {
        self.queue.warnings().say(Topic::Receipts, line);
    }
}

impl SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let scopes = resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        // The receipt follows the request's order, which is not the batch's.
        let event_ids: Vec<String> = scopes.flat_map(|scope| &scope.spans).map(event_id).collect();
        let mut request = Request::new(ExportTraceServiceRequest { resource_spans });
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.timeout);
        match self.client.clone().export(request).await {
            Ok(answer) => {
                self.keep(answer.metadata(), &event_ids);
                Ok(())
            }
            Err(status) => Err(OTelSdkError::InternalFailure(describe(&status))),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may hold tokens.
        formatter.write_str("Sender")
    }
}

/// As OpenTelemetry's exporter puts it: the code, and why no answer came, but not what the receiver says, which may echo a token.
fn describe(status: &Status) -> String {
    let mut text = format!("export failed with gRPC code: {:?}", status.code());
    let mut source = status.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// The id that the collector gives the span's record: the one in it, or that which is derived from it.
fn event_id(span: &Span) -> String {
    let given = span.attributes.iter().find(|attribute| attribute.key == "tachograph.event.id");
    let given = given.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match given {
        Some(Value::StringValue(id)) if ids::is_uuid(id) => id.to_ascii_lowercase(),
        _ => ids::derived_event_id(
            span.start_time_unix_nano,
            &Sha256::new()
                .chain_update(b"tachograph/event/span/v1\0")
                .chain_update(&span.trace_id)
                .chain_update(&span.span_id)
                .finalize()
                .into(),
        ),
    }
}

fn timeout() -> Duration {
    let given = TIMEOUT_VARIABLES.iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
    given.map_or(USUAL_TIMEOUT, Duration::from_millis)
}

/// `key=value,…`, the values percent-encoded.
fn metadata() -> MetadataMap {
    let text = HEADER_VARIABLES.iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    parse_metadata(&text)
}

fn parse_metadata(text: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once('=') else { continue };
        let key: Option<AsciiMetadataKey> = key.trim().to_ascii_lowercase().parse().ok();
        let value = percent_decoded(value.trim()).and_then(|value| AsciiMetadataValue::try_from(value).ok());
        if let (Some(key), Some(mut value)) = (key, value) {
            value.set_sensitive(true);
            metadata.insert(key, value);
        }
    }
    metadata
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_has_them() {
        let metadata = parse_metadata("Authorization=Bearer%20a%3Db, x-team = risk ,broken, =1,z=%zz");
        assert_eq!(metadata.get("authorization").and_then(|value| value.to_str().ok()), Some("Bearer a=b"));
        assert_eq!(metadata.get("x-team").and_then(|value| value.to_str().ok()), Some("risk"));
        assert_eq!(metadata.len(), 2);
    }

    /// As `record/src/id.rs` derives it.
    #[test]
    fn a_span_without_an_id_gets_the_one_that_the_collector_derives() {
        let span = Span {
            trace_id: vec![0x11; 16],
            span_id: vec![0x22; 8],
            start_time_unix_nano: 1_795_168_800_123_456_789,
            ..Span::default()
        };
        assert_eq!(event_id(&span), "01a1f866-0d7b-719b-98f8-1a54e9dc10fa");
    }
}
