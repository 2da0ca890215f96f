//! Whatever the generated encoder writes, the walker reads as the same values.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, InstrumentationScope, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as ProtoLog, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::Status as ProtoStatus;
use opentelemetry_proto::tonic::trace::v1::span::{Event as ProtoEvent, Link as ProtoLink};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

pub(super) fn any_value() -> impl Strategy<Value = ProtoValue> {
    let leaf = prop_oneof![
        ".{0,12}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<u64>().prop_map(|bits| Value::DoubleValue(f64::from_bits(bits))),
        vec(any::<u8>(), 0..8).prop_map(Value::BytesValue),
    ];
    let leaf = proptest::option::weighted(0.95, leaf).prop_map(|value| ProtoValue { value });
    leaf.prop_recursive(4, 16, 4, |inner| {
        let pair = (".{0,6}", inner.clone()).prop_map(|(key, value)| pair(key, value));
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(pair, 0..4).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| ProtoValue { value: Some(value) })
    })
}

fn pair(key: String, value: ProtoValue) -> ProtoKeyValue {
    ProtoKeyValue { key, value: Some(value), ..Default::default() }
}

pub(super) fn any_attributes() -> impl Strategy<Value = Vec<ProtoKeyValue>> {
    vec((".{0,12}", any_value()).prop_map(|(key, value)| pair(key, value)), 0..4)
}

fn any_id() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 16..17), vec(any::<u8>(), 8..9), vec(any::<u8>(), 0..20)]
}

fn any_resource() -> impl Strategy<Value = ProtoResource> {
    (any_attributes(), any::<u32>()).prop_map(|(attributes, dropped_attributes_count)| ProtoResource {
        attributes,
        dropped_attributes_count,
        ..Default::default()
    })
}

fn any_scope() -> impl Strategy<Value = InstrumentationScope> {
    (".{0,8}", ".{0,8}", any_attributes(), any::<u32>()).prop_map(|(name, version, attributes, dropped)| {
        InstrumentationScope { name, version, attributes, dropped_attributes_count: dropped }
    })
}

fn any_event() -> impl Strategy<Value = ProtoEvent> {
    (any::<u64>(), ".{0,8}", any_attributes(), any::<u32>()).prop_map(|(time_unix_nano, name, attributes, dropped)| {
        ProtoEvent { time_unix_nano, name, attributes, dropped_attributes_count: dropped }
    })
}

fn any_link() -> impl Strategy<Value = ProtoLink> {
    (any_id(), any_id(), ".{0,8}", any_attributes(), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| ProtoLink {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

prop_compose! {
    fn any_span()(
        ids in (any_id(), any_id(), any_id()),
        texts in (".{0,8}", ".{0,8}", ".{0,8}"),
        numbers in any::<(u32, i32, u64, u64, u32, u32, u32, i32)>(),
        attributes in any_attributes(),
        events in vec(any_event(), 0..3),
        links in vec(any_link(), 0..3),
    ) -> ProtoSpan {
        ProtoSpan {
            trace_id: ids.0, span_id: ids.1, parent_span_id: ids.2,
            trace_state: texts.0, name: texts.1,
            flags: numbers.0, kind: numbers.1,
            start_time_unix_nano: numbers.2, end_time_unix_nano: numbers.3,
            attributes, dropped_attributes_count: numbers.4,
            events, dropped_events_count: numbers.5,
            links, dropped_links_count: numbers.6,
            status: Some(ProtoStatus { message: texts.2, code: numbers.7 }),
        }
    }
}

prop_compose! {
    fn any_log()(
        ids in (any_id(), any_id()),
        texts in (".{0,8}", ".{0,8}"),
        numbers in any::<(u64, u64, i32, u32, u32)>(),
        body in any_value(),
        attributes in any_attributes(),
    ) -> ProtoLog {
        ProtoLog {
            time_unix_nano: numbers.0, observed_time_unix_nano: numbers.1, severity_number: numbers.2,
            severity_text: texts.0, event_name: texts.1, body: Some(body), attributes,
            dropped_attributes_count: numbers.3, flags: numbers.4, trace_id: ids.0, span_id: ids.1,
        }
    }
}

/// Records grouped as a request groups them: resource, scope and the schema of each.
type Grouped<T> = Vec<(ProtoResource, String, Vec<(InstrumentationScope, String, Vec<T>)>)>;

fn grouped<T: std::fmt::Debug>(records: impl Strategy<Value = T> + Clone) -> impl Strategy<Value = Grouped<T>> {
    let scope = (any_scope(), ".{0,8}", vec(records, 0..3));
    vec((any_resource(), ".{0,8}", vec(scope, 0..3)), 0..3)
}

/// The same records one by one, each with where it stands, encoded: bytes compare not-a-number too.
type Flat = Vec<(Vec<u8>, String, Vec<u8>, String, Vec<u8>)>;

fn flat<T: Message>(groups: &Grouped<T>) -> Flat {
    let scopes = groups.iter().flat_map(|(resource, schema, scopes)| scopes.iter().map(move |s| (resource, schema, s)));
    scopes
        .flat_map(|(resource, schema, (scope, scope_schema, records))| {
            records.iter().map(move |record| {
                let (resource, scope) = (resource.encode_to_vec(), scope.encode_to_vec());
                (resource, schema.clone(), scope, scope_schema.clone(), record.encode_to_vec())
            })
        })
        .collect()
}

fn back_value(value: &AnyValue<'_>) -> ProtoValue {
    let value = match value {
        AnyValue::Empty => None,
        AnyValue::Str(text) => Some(Value::StringValue((*text).to_owned())),
        AnyValue::Bool(flag) => Some(Value::BoolValue(*flag)),
        AnyValue::Int(int) => Some(Value::IntValue(*int)),
        AnyValue::Double(double) => Some(Value::DoubleValue(*double)),
        AnyValue::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
        AnyValue::Array(values) => {
            Some(Value::ArrayValue(ArrayValue { values: values.iter().map(back_value).collect() }))
        }
        AnyValue::KvList(values) => Some(Value::KvlistValue(KeyValueList { values: back_attributes(values) })),
    };
    ProtoValue { value }
}

fn back_attributes(attributes: &[KeyValue<'_>]) -> Vec<ProtoKeyValue> {
    attributes.iter().map(|attribute| pair(attribute.key.to_owned(), back_value(&attribute.value))).collect()
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap()
}

fn back_source(source: Source<'_, '_>) -> (Vec<u8>, String, Vec<u8>, String) {
    let (resource, scope) = source.unwrap();
    assert!(resource.unknown.is_empty() && scope.unknown.is_empty());
    let back = ProtoResource {
        attributes: back_attributes(&resource.attributes),
        dropped_attributes_count: narrow(resource.dropped_attributes_count),
        ..Default::default()
    };
    let back_scope = InstrumentationScope {
        name: scope.name.to_owned(),
        version: scope.version.to_owned(),
        attributes: back_attributes(&scope.attributes),
        dropped_attributes_count: narrow(scope.dropped_attributes_count),
    };
    (back.encode_to_vec(), resource.schema_url.to_owned(), back_scope.encode_to_vec(), scope.schema_url.to_owned())
}

fn back_span(span: &Span<'_>) -> ProtoSpan {
    assert!(span.unknown.is_empty());
    let event = |event: &Event<'_>| ProtoEvent {
        time_unix_nano: event.time_unix_nano,
        name: event.name.to_owned(),
        attributes: back_attributes(&event.attributes),
        dropped_attributes_count: narrow(event.dropped_attributes_count),
    };
    let link = |link: &Link<'_>| ProtoLink {
        trace_id: link.trace_id.to_vec(),
        span_id: link.span_id.to_vec(),
        trace_state: link.trace_state.to_owned(),
        attributes: back_attributes(&link.attributes),
        dropped_attributes_count: narrow(link.dropped_attributes_count),
        flags: link.flags,
    };
    ProtoSpan {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        parent_span_id: span.parent_span_id.to_vec(),
        trace_state: span.trace_state.to_owned(),
        flags: span.flags,
        name: span.name.to_owned(),
        // A negative enum is a varint of 64 bits.
        kind: span.kind as i32,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: back_attributes(&span.attributes),
        dropped_attributes_count: narrow(span.dropped_attributes_count),
        events: span.events.iter().map(event).collect(),
        dropped_events_count: narrow(span.dropped_events_count),
        links: span.links.iter().map(link).collect(),
        dropped_links_count: narrow(span.dropped_links_count),
        status: Some(ProtoStatus { message: span.status_message.to_owned(), code: span.status_code as i32 }),
    }
}

fn back_log(log: &LogRecord<'_>) -> ProtoLog {
    assert!(log.unknown.is_empty());
    ProtoLog {
        time_unix_nano: log.time_unix_nano,
        observed_time_unix_nano: log.observed_time_unix_nano,
        severity_number: log.severity_number as i32,
        severity_text: log.severity_text.to_owned(),
        event_name: log.event_name.to_owned(),
        body: Some(back_value(&log.body)),
        attributes: back_attributes(&log.attributes),
        dropped_attributes_count: narrow(log.dropped_attributes_count),
        flags: log.flags,
        trace_id: log.trace_id.to_vec(),
        span_id: log.span_id.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn traces(groups in grouped(any_span().boxed())) {
        let expected = flat(&groups);
        let resource_spans = groups.into_iter().map(|(resource, schema_url, scopes)| ResourceSpans {
            resource: Some(resource),
            schema_url,
            scope_spans: scopes
                .into_iter()
                .map(|(scope, schema_url, spans)| ScopeSpans { scope: Some(scope), spans, schema_url })
                .collect(),
        });
        let bytes = ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec();
        let mut got = Vec::new();
        walk_traces(&bytes, MAX, &mut |source, raw| {
            let (resource, schema, scope, scope_schema) = back_source(source);
            let span = back_span(&Span::decode(raw, MAX).unwrap()).encode_to_vec();
            assert_eq!(span, raw, "the bytes handed on are the span's own");
            got.push((resource, schema, scope, scope_schema, span));
        })
        .unwrap();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn logs(groups in grouped(any_log().boxed())) {
        let expected = flat(&groups);
        let resource_logs = groups.into_iter().map(|(resource, schema_url, scopes)| ResourceLogs {
            resource: Some(resource),
            schema_url,
            scope_logs: scopes
                .into_iter()
                .map(|(scope, schema_url, log_records)| ScopeLogs { scope: Some(scope), log_records, schema_url })
                .collect(),
        });
        let bytes = ExportLogsServiceRequest { resource_logs: resource_logs.collect() }.encode_to_vec();
        let mut got = Vec::new();
        walk_logs(&bytes, MAX, &mut |source, raw| {
            let (resource, schema, scope, scope_schema) = back_source(source);
            let log = back_log(&LogRecord::decode(raw, MAX).unwrap()).encode_to_vec();
            got.push((resource, schema, scope, scope_schema, log));
        })
        .unwrap();
        prop_assert_eq!(got, expected);
    }

    /// What the generated decoder takes, we take; bytes in between never panic.
    #[test]
    fn mutated_requests(
        span in any_span(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = request(vec![span]).encode_to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let ours = walked(&bytes, MAX);
        if let Ok(theirs) = ExportTraceServiceRequest::decode(bytes.as_slice()) {
            let theirs: usize = theirs.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum();
            prop_assert_eq!(ours.map(|spans| spans.len()), Ok(theirs));
        }
    }

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..400)) {
        let _ = walked(&bytes, MAX);
        let _ = walk_logs(&bytes, MAX, &mut |_, raw| drop(LogRecord::decode(raw, MAX)));
        let _ = Span::decode(&bytes, MAX);
        let _ = LogRecord::decode(&bytes, MAX);
        let _ = walked(&field(1, &field(2, &field(2, &bytes))), MAX);
        let _ = walked(&field(1, &field(1, &bytes)), MAX);
    }
}
