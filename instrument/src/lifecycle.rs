//! What the producer of records says of itself: that it begins, that it lives, that it ends and how many numbers it gave.
//!
//! These are records like others, with numbers from the same sequence. With them whoever reads the ledger can tell a producer that
//! ended in good order, all of whose records must be there, from one that was killed.

use crate::ids;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::time::Duration;

const DETAILS: &str = "tachograph.details";

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
        /// How many of the numbers before it have records that are lost, its own records among them.
        lost: u64,
    },
}

impl Event {
    pub(crate) fn span(self, scope: InstrumentationScope) -> SpanData {
        let now = crate::clock::now();
        let name = match self {
            Self::Open { .. } => "producer.open",
            Self::Heartbeat { .. } => "producer.heartbeat",
            Self::Close { .. } => "producer.close",
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
                KeyValue::new("tachograph.event.id", ids::event_id(now).to_string()),
                KeyValue::new("tachograph.actor.type", "system"),
                KeyValue::new("tachograph.outcome", "success"),
                KeyValue::new(DETAILS, self.details()),
            ],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope,
        }
    }

    /// Has a record that was made before say this instead. It stays the same record: its id and its time are as they were.
    pub(crate) fn say_in(self, span: &mut SpanData) {
        for attribute in span.attributes.iter_mut().filter(|attribute| attribute.key.as_str() == DETAILS) {
            attribute.value = self.details().into();
        }
    }

    fn details(self) -> String {
        match self {
            Self::Open { heartbeat } => format!("{{\"heartbeat_s\":\"{}\"}}", heartbeat.as_secs()),
            Self::Heartbeat { last } => format!("{{\"last\":\"{last}\"}}"),
            Self::Close { last, lost } => {
                format!("{{\"count\":\"{}\",\"last\":\"{last}\",\"lost\":\"{lost}\"}}", last.saturating_add(1))
            }
        }
    }
}
