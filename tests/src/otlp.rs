//! Spans as an application would send them.

use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tachograph_ledger::sha256;
use tachograph_record::{EventId, Time};

use crate::seed::Random;

/// When the events of the tests happened: 2026-11-20T10:00:00Z. The collector dates its own records by the real clock.
pub const START: u64 = 1_795_168_800_000_000_000;

/// Gives out events, each with an id of its own.
#[derive(Debug)]
pub struct Events {
    /// Tells the events of two runs apart.
    run: u64,
    next: AtomicU64,
}

impl Events {
    /// The events of one run.
    pub fn new(random: &mut Random) -> Self {
        Self { run: random.number(), next: AtomicU64::new(0) }
    }

    /// A generation by some user. Its event id is in the span, and is what comes back first.
    pub fn generation(&self) -> (EventId, Span) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = self.id(number);
        let prompt = format!("Describe in one sentence what applicant {number} should send in, and why it is needed.");
        let answer =
            format!("Applicant {number} should send in the last three statements, because the income varies. ");
        let span = with(
            span(number, &id),
            &[
                ("gen_ai.operation.name", "chat"),
                ("gen_ai.provider.name", "openai"),
                ("gen_ai.request.model", "gpt-5"),
                ("enduser.id", &format!("user-{}", number % 50)),
                ("session.id", &format!("session-{}", number / 10)),
                ("tachograph.prompt", &prompt),
                ("tachograph.output", &answer.repeat(1 + number as usize % 5)),
                ("http.route", "/v1/chat"),
            ],
        );
        (id, span)
    }

    /// A number of generations.
    pub fn generations(&self, count: usize) -> (Vec<EventId>, Vec<Span>) {
        (0..count).map(|_| self.generation()).unzip()
    }

    /// An id that no other event has.
    fn id(&self, number: u64) -> EventId {
        let time = Time::from_unix_nanos(START + number * 1_000_000).expect("a time of this century");
        EventId::v7(time, sha256(&[self.run.to_be_bytes(), number.to_be_bytes()].concat()).as_bytes())
    }
}

/// A span that carries its event id and nothing else.
pub fn span(number: u64, id: &EventId) -> Span {
    let start = START + number * 1_000_000;
    let span = Span {
        trace_id: id.0.iter().map(|byte| byte ^ 0x5a).collect(),
        span_id: id.0[8..].to_vec(),
        name: "chat gpt-5".to_owned(),
        kind: 3,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 900_000,
        ..Span::default()
    };
    with(span, &[("tachograph.event.id", &id.to_string())])
}

/// The span with text attributes added.
pub fn with(mut span: Span, attributes: &[(&str, &str)]) -> Span {
    span.attributes
        .extend(attributes.iter().map(|(key, value)| attribute(key, Value::StringValue((*value).to_owned()))));
    span
}

/// The span as record `number` of a start of producer `svc`.
pub fn numbered(span: Span, number: i64) -> Span {
    let mut span = with(span, &[("tachograph.producer.id", "svc"), ("tachograph.producer.epoch", "e1")]);
    span.attributes.push(attribute("tachograph.producer.seq", Value::IntValue(number)));
    span
}

/// The span as that producer's last word: it closes with record `number` and lost none.
pub fn closes(span: Span, number: i64) -> Span {
    let details = format!(r#"{{"count":"{}","last":"{number}","lost":"0"}}"#, number + 1);
    let mut span = numbered(span, number);
    span.attributes.retain(|attribute| !attribute.key.starts_with("gen_ai."));
    let says = [
        ("tachograph.kind", "lifecycle"),
        ("tachograph.action.type", "producer.close"),
        ("tachograph.details", &*details),
    ];
    with(span, &says)
}

/// An attribute.
pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The bytes of an export request.
pub fn request(spans: Vec<Span>) -> Vec<u8> {
    let service = attribute("service.name", Value::StringValue("loan-service".to_owned()));
    let resource = Resource { attributes: vec![service], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_event_has_an_id_of_its_own_that_reads_back() {
        let mut random = Random::of_test("ids");
        let events = [Events::new(&mut random), Events::new(&mut random)];
        let ids: BTreeSet<EventId> = events.iter().flat_map(|events| events.generations(5_000).0).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| EventId::parse(&id.to_string()).as_ref() == Some(id)));
    }
}
