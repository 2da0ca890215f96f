//! What the producer of records says of itself: that it begins, that it lives, that it ends and how many numbers it gave.
//!
//! These are records like others, with numbers from the same sequence. With them whoever reads the ledger can tell a producer that
//! ended in good order, all of whose records must be there, from one that was killed.

use crate::ids;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::time::Duration;

/// What is said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The first record of a start, with number 0.
    Open {
        /// How often the producer will say that it lives.
        heartbeat: Duration,
    },
    /// It lives.
    Heartbeat {
        /// The number of this record.
        last: u64,
    },
    /// The last record: no number follows.
    Close {
        /// The number of this record.
        last: u64,
        /// How many numbers were given whose records are known to be lost.
        lost: u64,
    },
}

impl Event {
    pub(crate) fn span(self, scope: InstrumentationScope) -> SpanData {
        let now = crate::clock::now();
        let (name, details) = match self {
            Self::Open { heartbeat } => ("producer.open", format!("{{\"heartbeat_s\":\"{}\"}}", heartbeat.as_secs())),
            Self::Heartbeat { last } => ("producer.heartbeat", format!("{{\"last\":\"{last}\"}}")),
            Self::Close { last, lost } => (
                "producer.close",
                format!("{{\"count\":\"{}\",\"last\":\"{last}\",\"lost\":\"{lost}\"}}", last.saturating_add(1)),
            ),
        };
        let context = SpanContext::new(ids::trace_id(), ids::span_id(), TraceFlags::SAMPLED, false, TraceState::NONE);
        SpanData {
            span_context: context,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: now,
            end_time: now,
            attributes: vec![
                KeyValue::new("tachograph.kind", "lifecycle"),
                KeyValue::new("tachograph.action.type", name),
                KeyValue::new("tachograph.event.id", ids::event_id(now)),
                KeyValue::new("tachograph.actor.type", "system"),
                KeyValue::new("tachograph.outcome", "success"),
                KeyValue::new("tachograph.details", details),
            ],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope,
        }
    }
}
