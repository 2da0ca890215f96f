//! The walker against the generated decoder, and against bytes that the generated decoder gives up on.

mod differential;
mod json;
mod malformed;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue as ProtoValue, KeyValue as ProtoKeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan};
use prost::Message;

use super::*;

const MAX: usize = 1 << 20;

fn attribute(key: &str, value: Value) -> ProtoKeyValue {
    ProtoKeyValue { key: key.to_owned(), value: Some(ProtoValue { value: Some(value) }), ..Default::default() }
}

fn text(key: &str, value: &str) -> ProtoKeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn span(name: &str) -> ProtoSpan {
    ProtoSpan {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.to_owned(),
        start_time_unix_nano: 5,
        end_time_unix_nano: 9,
        attributes: vec![text("k", "v")],
        ..Default::default()
    }
}

fn request(spans: Vec<ProtoSpan>) -> ExportTraceServiceRequest {
    let resource = ProtoResource { attributes: vec![text("service.name", "s")], ..Default::default() };
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }],
    }
}

/// A length-delimited field.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// Stands where [`spoil`] is to put a byte that no UTF-8 has.
const BAD: &str = "@@@@";

/// Makes the one [`BAD`] text invalid. Its length stays, so every layer around it stays whole.
fn spoil(mut bytes: Vec<u8>) -> Vec<u8> {
    let marks: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(BAD.as_bytes())).collect();
    assert_eq!(marks.len(), 1, "one text to spoil");
    bytes[marks[0]] = 0xff;
    bytes
}

/// What the walk gives: for each span its name, or the field that is wrong and why.
fn walked(request: &[u8], max_bytes: usize) -> Result<Vec<Result<String, DecodeError>>, DecodeError> {
    let mut spans = Vec::new();
    walk_traces(request, max_bytes, &mut |source, raw| {
        let decoded = match source {
            Ok(_) => Span::decode(raw, max_bytes).map(|span| span.name.to_owned()),
            Err(error) => Err(error.clone()),
        };
        spans.push(decoded);
    })?;
    Ok(spans)
}
