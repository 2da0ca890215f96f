//! The one form in which records are kept and sent: OTLP `ScopeSpans` with one span, or `ScopeLogs` with one log record, encoded once.
//!
//! Memory, spool, gRPC and HTTP share these bytes. A request is put together from them by concatenation, as protobuf allows, so that
//! trying again costs no encoding, and what a receiver gets on the second attempt is what it got on the first.

use crate::ids;
#[cfg(feature = "logs")]
use crate::late::Late;
use crate::queue::Signal;
#[cfg(feature = "logs")]
use crate::recorder::Producer;
use bytes::{BufMut, Bytes, BytesMut};
#[cfg(feature = "logs")]
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use sha2::{Digest, Sha256};

/// Field 1 of a request (`resource_spans`) and field 2 of that (`scope_spans`), both length-delimited.
const RESOURCE_SPANS: u8 = 1 << 3 | 2;
const SCOPE_SPANS: u8 = 2 << 3 | 2;

const EVENT_ID: &str = "tachograph.event.id";

/// The record of a finished span.
pub(crate) fn encode(span: SpanData) -> Bytes {
    let scope = &span.instrumentation_scope;
    let scope_spans = ScopeSpans {
        scope: Some((scope, None).into()),
        schema_url: scope.schema_url().map(ToOwned::to_owned).unwrap_or_default(),
        spans: vec![span.into()],
    };
    scope_spans.encode_to_vec().into()
}

/// What all records of a process share: a `ResourceSpans` without its spans.
pub(crate) fn resource(resource: &Resource) -> Bytes {
    let resource = ResourceAttributesWithSchema::from(resource);
    let shared = ResourceSpans {
        resource: Some(WireResource { attributes: resource.attributes.0, ..WireResource::default() }),
        scope_spans: Vec::new(),
        schema_url: resource.schema_url.unwrap_or_default(),
    };
    shared.encode_to_vec().into()
}

/// An `ExportTraceServiceRequest` of these records, in this order; of log records an `ExportLogsServiceRequest`, whose fields have the
/// same numbers.
pub(crate) fn request(resource: &[u8], records: &[Bytes]) -> Bytes {
    let field = |length: usize| 1 + encoded_len_varint(length as u64) + length;
    let inner = resource.len() + records.iter().map(|record| field(record.len())).sum::<usize>();
    let mut request = BytesMut::with_capacity(field(inner));
    request.put_u8(RESOURCE_SPANS);
    encode_varint(inner as u64, &mut request);
    request.put_slice(resource);
    for record in records {
        request.put_u8(SCOPE_SPANS);
        encode_varint(record.len() as u64, &mut request);
        request.put_slice(record);
    }
    request.freeze()
}

/// The record's name, for a person.
pub(crate) fn name(record: &[u8], signal: Signal) -> String {
    let name = match signal {
        Signal::Span => span(record).map(|span| span.name),
        Signal::Log => log_record(record).map(|log| format!("log record {}", log.event_name)),
    };
    name.unwrap_or_else(|| "not readable".to_owned())
}

/// The id that the collector gives the record: the one in it, or that which is derived from it. Log records always have one.
pub(crate) fn event_id(record: &[u8], signal: Signal) -> String {
    let id = match signal {
        Signal::Span => span(record).map(|span| event_id_of(&span)),
        Signal::Log => log_record(record).and_then(|log| given_event_id(&log.attributes)),
    };
    id.unwrap_or_default()
}

/// A log record as it was emitted, but for what its content became on that thread.
#[cfg(feature = "logs")]
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) record: LogRecord,
    pub(crate) target: Option<std::borrow::Cow<'static, str>>,
    pub(crate) scope: opentelemetry::InstrumentationScope,
}

#[cfg(feature = "logs")]
impl Log {
    /// The record, completed, with who numbered it and with an event id, by which it is known if it comes twice. To be called once:
    /// the record is gone then.
    pub(crate) fn encode(&mut self, late: Late, producer: &Producer, sequence: u64) -> Bytes {
        let mut log = std::mem::take(&mut self.record);
        late.complete_log(&mut log);
        let mut add = |key: &str, value: Value| {
            log.attributes.push(KeyValue {
                key: key.to_owned(),
                value: Some(AnyValue { value: Some(value) }),
                ..KeyValue::default()
            });
        };
        add("tachograph.producer.id", Value::StringValue(producer.id.to_string()));
        add("tachograph.producer.epoch", Value::StringValue(producer.epoch.to_string()));
        add("tachograph.producer.seq", Value::IntValue(i64::try_from(sequence).unwrap_or(i64::MAX)));
        if given_event_id(&log.attributes).is_none() {
            let nanos = if log.time_unix_nano > 0 { log.time_unix_nano } else { log.observed_time_unix_nano };
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanos);
            let id = Value::StringValue(ids::event_id(time).to_string());
            log.attributes.retain(|attribute| attribute.key != EVENT_ID);
            log.attributes.push(KeyValue {
                key: EVENT_ID.to_owned(),
                value: Some(AnyValue { value: Some(id) }),
                ..KeyValue::default()
            });
        }
        let scope_logs = ScopeLogs {
            scope: Some((&self.scope, self.target.take()).into()),
            schema_url: self.scope.schema_url().map(ToOwned::to_owned).unwrap_or_default(),
            log_records: vec![log],
        };
        scope_logs.encode_to_vec().into()
    }

    /// About what the record takes in memory.
    pub(crate) fn estimated_bytes(&self) -> usize {
        const FIXED: usize = 512;
        FIXED + self.record.body.as_ref().map_or(0, value_bytes) + attributes_bytes(&self.record.attributes)
    }
}

#[cfg(feature = "logs")]
fn attributes_bytes(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(|attribute| attribute.key.len() + attribute.value.as_ref().map_or(0, value_bytes)).sum()
}

#[cfg(feature = "logs")]
fn value_bytes(value: &AnyValue) -> usize {
    const FIXED: usize = 48;
    FIXED
        + match &value.value {
            Some(Value::StringValue(text)) => text.len(),
            Some(Value::BytesValue(bytes)) => bytes.len(),
            Some(Value::ArrayValue(list)) => list.values.iter().map(value_bytes).sum(),
            Some(Value::KvlistValue(map)) => attributes_bytes(&map.values),
            _ => 0,
        }
}

fn log_record(record: &[u8]) -> Option<LogRecord> {
    ScopeLogs::decode(record).ok()?.log_records.pop()
}

fn given_event_id(attributes: &[KeyValue]) -> Option<String> {
    let given = attributes.iter().find(|attribute| attribute.key == EVENT_ID)?;
    match given.value.as_ref()?.value.as_ref()? {
        Value::StringValue(id) if ids::is_uuid(id) => Some(id.to_ascii_lowercase()),
        _ => None,
    }
}

fn span(record: &[u8]) -> Option<Span> {
    ScopeSpans::decode(record).ok()?.spans.pop()
}

fn event_id_of(span: &Span) -> String {
    given_event_id(&span.attributes).unwrap_or_else(|| {
        ids::derived_event_id(
            span.start_time_unix_nano,
            &Sha256::new()
                .chain_update(b"tachograph/event/span/v1\0")
                .chain_update(&span.trace_id)
                .chain_update(&span.span_id)
                .finalize()
                .into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Event;
    use opentelemetry::InstrumentationScope;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

    #[test]
    fn a_request_put_together_is_one_that_others_read() {
        let scope = InstrumentationScope::builder("scope").with_version("1").with_schema_url("https://s").build();
        let of = Resource::builder_empty()
            .with_attributes([opentelemetry::KeyValue::new("service.name", "s".repeat(300))])
            .build();
        let spans: Vec<_> = (0..3).map(|n| Event::Heartbeat { last: n }.span(scope.clone())).collect();
        let records: Vec<_> = spans.iter().cloned().map(encode).collect();
        let request = ExportTraceServiceRequest::decode(request(&resource(&of), &records)).expect("a request");
        let [resource_spans] = &request.resource_spans[..] else { panic!("one resource: {request:?}") };
        assert_eq!(resource_spans.resource.as_ref().expect("resource").attributes.len(), 1);
        assert_eq!(resource_spans.scope_spans.len(), 3);
        for (scope_spans, span) in resource_spans.scope_spans.iter().zip(spans) {
            assert_eq!(scope_spans.schema_url, "https://s");
            assert_eq!(scope_spans.scope.as_ref().map(|scope| scope.version.as_str()), Some("1"));
            assert_eq!(scope_spans.spans, [Span::from(span)]);
        }
        assert_eq!(name(&records[0], Signal::Span), Event::Heartbeat { last: 0 }.span(scope).name);
        assert_eq!(event_id(&records[2], Signal::Span).len(), 36);
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
        assert_eq!(event_id_of(&span), "01a1f866-0d7b-719b-98f8-1a54e9dc10fa");
    }
}
