//! From the bytes of a request to bodies and drafts.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as ProtoLog, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan};
use prost::Message;
use tachograph_record::{Body, PREFIX_LEN, append_conflict};

use super::*;

const NOW: u64 = 1_790_000_000_000_000_000;
const MAX_FIELD: usize = 1 << 20;

/// Numbers instead of randomness: every fill differs from all before.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
        Ok(())
    }
}

/// Works so often, then fails.
struct Failing {
    left: AtomicU64,
}

impl Entropy for Failing {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => {
                bytes.fill(1);
                Ok(())
            }
            Err(_) => Err(io::Error::other("the well is dry")),
        }
    }
}

fn now() -> Time {
    Time::from_unix_nanos(NOW).unwrap()
}

fn span(n: u8) -> ProtoSpan {
    ProtoSpan {
        trace_id: vec![n + 1; 16],
        span_id: vec![n + 1; 8],
        name: format!("span {n}"),
        start_time_unix_nano: NOW - 10,
        end_time_unix_nano: NOW - 5,
        ..Default::default()
    }
}

fn traces(spans: Vec<ProtoSpan>) -> Export {
    let resource_spans =
        vec![ResourceSpans { scope_spans: vec![ScopeSpans { spans, ..Default::default() }], ..Default::default() }];
    let protobuf = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
    Export { signal: Signal::Traces, protobuf, wants_receipt: false }
}

fn logs(log_records: Vec<ProtoLog>) -> Export {
    let resource_logs =
        vec![ResourceLogs { scope_logs: vec![ScopeLogs { log_records, ..Default::default() }], ..Default::default() }];
    let protobuf = ExportLogsServiceRequest { resource_logs }.encode_to_vec().into();
    Export { signal: Signal::Logs, protobuf, wants_receipt: false }
}

fn batch(export: &Export, entropy: &dyn Entropy) -> Batch {
    Batch::from_export(export, MAX_FIELD, now(), entropy).unwrap()
}

fn ids(batch: &Batch) -> Vec<EventId> {
    batch.records().map(|(draft, _)| draft.event_id).collect()
}

#[test]
fn drafts_say_what_the_bodies_say() {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..Default::default()
    };
    let mut numbered = span(1);
    numbered.attributes = vec![
        text("tachograph.kind", "approval"),
        text("tachograph.producer.id", "svc"),
        text("tachograph.producer.epoch", "e1"),
        text("tachograph.producer.seq", "41"),
    ];
    let batch = batch(&traces(vec![span(0), numbered]), &Counting::default());
    assert_eq!((batch.len(), batch.is_empty(), batch.rejected), (2, false, 0));
    for (draft, bytes) in batch.records() {
        let body = Body::parse(bytes).unwrap();
        assert_eq!(body.observed_at, now());
        assert_eq!(draft.body_sha256.as_bytes()[..], Sha256::digest(bytes)[..]);
        assert_eq!(draft.content_digest, content_digest(bytes));
        let record = &body.record;
        assert_eq!((draft.event_id, draft.timestamp, draft.kind), (record.event_id, record.timestamp, record.kind));
        assert_eq!((draft.trace_id, draft.span_id), (record.trace_id.map(|id| id.0), record.span_id.map(|id| id.0)));
        assert_eq!(draft.producer.as_deref(), record.producer.as_deref());
        assert_eq!(draft.producer_epoch.as_deref(), record.producer_epoch.as_deref());
        assert_eq!(draft.producer_seq, record.producer_seq.map(|seq| seq.get()));
    }
    let (second, _) = batch.records().nth(1).unwrap();
    assert_eq!((second.kind, second.producer.as_deref(), second.producer_seq), (Kind::Approval, Some("svc"), Some(41)));
}

#[test]
fn a_request_that_comes_again_is_known_though_its_bodies_differ() {
    let export = traces((0..3).map(span).collect());
    let entropy = Counting::default();
    let first = batch(&export, &entropy);
    let again = Batch::from_export(&export, MAX_FIELD, Time::from_unix_nanos(NOW + 1).unwrap(), &entropy).unwrap();
    for ((a, a_body), (b, b_body)) in first.records().zip(again.records()) {
        assert_eq!((a.event_id, a.content_digest), (b.event_id, b.content_digest));
        assert_eq!(a_body[PREFIX_LEN..], b_body[PREFIX_LEN..]);
        assert_ne!(a.body_sha256, b.body_sha256);
        assert_ne!(Body::parse(a_body).unwrap().salt, Body::parse(b_body).unwrap().salt);
    }
}

#[test]
fn no_salt_is_used_twice() {
    // More than one draw of the pool serves.
    let batch = batch(&traces((0..200).map(span).collect()), &Counting::default());
    let salts: HashSet<[u8; 16]> = batch.records().map(|(_, body)| Body::parse(body).unwrap().salt.0).collect();
    assert_eq!(salts.len(), 200);
}

#[test]
fn a_span_that_can_not_be_read_keeps_its_place_among_the_good() {
    let bad = ProtoSpan { name: "@@@@".to_owned(), ..span(1) };
    let raw = bad.encode_to_vec();
    let spoil = |bytes: &[u8]| -> Vec<u8> {
        let at = bytes.windows(4).position(|window| window == b"@@@@").unwrap();
        let mut spoilt = bytes.to_vec();
        spoilt[at] = 0xff;
        spoilt
    };
    let late = ProtoSpan { start_time_unix_nano: u64::MAX, ..span(3) };
    let export = traces(vec![span(0), bad, span(2), late.clone(), late, span(4)]);
    let export = Export { protobuf: spoil(&export.protobuf).into(), ..export };
    let batch = batch(&export, &Counting::default());
    assert_eq!(batch.rejected, 3);
    let bodies: Vec<Body<'_>> = batch.records().map(|(_, body)| Body::parse(body).unwrap()).collect();
    let actions: Vec<&str> = bodies.iter().map(|body| body.record.action_type.as_deref().unwrap()).collect();
    let rejected = "telemetry.rejected";
    assert_eq!(actions, ["span 0", rejected, "span 2", rejected, rejected, "span 4"]);

    let record = &bodies[1].record;
    assert_eq!(record.outcome_reason.as_deref(), Some("name: invalid UTF-8 at byte 0"));
    let hash: [u8; 32] = Sha256::digest(spoil(&raw)).into();
    assert_eq!(record.input_hash.as_deref(), Some(format!("sha256:{}", tachograph_record::Hex(hash)).as_str()));
    assert_eq!(record.details.as_ref().unwrap().as_str(), format!("{{\"bytes\":{}}}", raw.len()));
    // Two equal ones are two events; sent again they are the same two.
    assert_eq!(ids(&batch).into_iter().collect::<HashSet<_>>().len(), 6);
    assert_eq!(ids(&batch), ids(&super::tests::batch(&export, &Counting::default())));
}

#[test]
fn equal_log_lines_are_two_events_and_come_back_as_the_same_two() {
    let line = || ProtoLog { time_unix_nano: NOW, severity_text: "INFO".to_owned(), ..Default::default() };
    let other = ProtoLog { severity_text: "WARN".to_owned(), ..line() };
    let export = logs(vec![line(), other, line()]);
    let first = batch(&export, &Counting::default());
    assert_eq!(ids(&first).into_iter().collect::<HashSet<_>>().len(), 3);
    let again = batch(&export, &Counting::default());
    assert_eq!(ids(&first), ids(&again));
    let digests = |batch: &Batch| batch.records().map(|(draft, _)| draft.content_digest).collect::<Vec<_>>();
    assert_eq!(digests(&first), digests(&again));
}

#[test]
fn layers_that_can_not_be_read_give_nothing() {
    let mut export = traces(vec![span(0)]);
    export.protobuf.truncate(export.protobuf.len() - 1);
    let error = Batch::from_export(&export, MAX_FIELD, now(), &Counting::default()).unwrap_err();
    assert!(matches!(&error, BatchError::Malformed(error) if error.reason().contains("cut short")), "{error}");
    let empty = Export { signal: Signal::Logs, protobuf: bytes::Bytes::new(), wants_receipt: false };
    assert!(batch(&empty, &Counting::default()).is_empty());
}

#[test]
fn without_randomness_there_is_no_batch() {
    let export = traces((0..100).map(span).collect());
    // The second draw comes amid the batch.
    for left in [0, 1] {
        let entropy = Failing { left: AtomicU64::new(left) };
        let error = Batch::from_export(&export, MAX_FIELD, now(), &entropy).unwrap_err();
        assert_eq!(error.to_string(), "no randomness from the system: the well is dry");
    }
    assert_eq!(batch(&export, &Failing { left: AtomicU64::new(2) }).len(), 100);
}

#[test]
fn a_body_may_be_so_large_and_no_larger() {
    let record = |text: &str| {
        let mut record = Record::new(EventId([1; 16]), now(), Kind::Generation);
        record.prompt = Some(text.to_owned().into());
        record
    };
    let batch = |text: &str| Batch::from_records(&[record(text)], now(), &Counting::default()).unwrap();
    let around = batch("").records().next().unwrap().1.len();
    let text = "x".repeat(MAX_BODY_BYTES - around + 1);

    let fits = batch(&text[1..]);
    let (_, body) = fits.records().next().unwrap();
    assert_eq!((body.len(), fits.rejected), (MAX_BODY_BYTES, 0));
    // With the longest pointer the writer may add, the journal still takes it.
    let mut pointing = body.to_vec();
    append_conflict(&mut pointing, u64::MAX);
    crate::journal::Frame::begin(0, [0; 32], 0).push(b"leaf", &pointing, &[0; 32]).unwrap();

    let over = batch(&text);
    assert_eq!((over.len(), over.rejected), (1, 1));
    let (_, body) = over.records().next().unwrap();
    let reason = Body::parse(body).unwrap().record.outcome_reason.unwrap();
    assert_eq!(&*reason, format!("record: {} bytes as a record, more than {MAX_BODY_BYTES}", MAX_BODY_BYTES + 1));
}

#[test]
fn a_request_that_grows_beyond_its_bounds_is_refused_whole() {
    let too_large = |export: &Export| match Batch::from_export(export, usize::MAX, now(), &Counting::default()) {
        Err(BatchError::TooLarge(what)) => what,
        other => panic!("{:?}", other.map(|batch| batch.len())),
    };
    // Two bytes a span on the wire.
    let many = too_large(&traces(vec![ProtoSpan::default(); MAX_RECORDS + 7]));
    assert!(many.contains("7 more follow"), "{many}");
    assert_eq!(batch(&traces(vec![ProtoSpan::default(); 1000]), &Counting::default()).len(), 1000);
    // A resource that stands once on the wire and in every record.
    let text = AnyValue { value: Some(Value::StringValue("x".repeat(1 << 20))) };
    let mut export = ExportTraceServiceRequest::decode(traces((0..200).map(span).collect()).protobuf).unwrap();
    export.resource_spans[0].resource.get_or_insert_default().attributes =
        vec![KeyValue { key: "large".to_owned(), value: Some(text), ..Default::default() }];
    let export = Export { signal: Signal::Traces, protobuf: export.encode_to_vec().into(), wants_receipt: false };
    assert!(too_large(&export).contains("with their resources"));
}

#[test]
fn a_rejected_record_says_who_sent_it() {
    let name = AnyValue { value: Some(Value::StringValue("loans".to_owned())) };
    let mut late = span(1);
    late.end_time_unix_nano = u64::MAX;
    let mut export = ExportTraceServiceRequest::decode(traces(vec![late]).protobuf).unwrap();
    export.resource_spans[0].resource.get_or_insert_default().attributes =
        vec![KeyValue { key: "service.name".to_owned(), value: Some(name), ..Default::default() }];
    let export = Export { signal: Signal::Traces, protobuf: export.encode_to_vec().into(), wants_receipt: false };
    let batch = batch(&export, &Counting::default());
    let (_, bytes) = batch.records().next().unwrap();
    let record = Body::parse(bytes).unwrap().record;
    assert_eq!(record.action_type.as_deref(), Some("telemetry.rejected"));
    assert_eq!(record.service_name.as_deref(), Some("loans"));
}
