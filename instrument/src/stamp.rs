//! What is done once to each record off the application's threads, before it is written or sent.

use crate::lifecycle::Event;
use crate::queue::{Form, Queue, Queued};
use crate::recorder::Producer;
use crate::wire;
use bytes::Bytes;
use opentelemetry::KeyValue;
use std::sync::Arc;

/// So many attributes other software on the way keeps as a rule. The essential ones of a wider record go first.
const USUAL_LIMIT: usize = 128;

/// Completes the record and adds who numbered it. The close says now how many are lost.
pub(crate) fn prepare(queued: &mut Queued, producer: &Producer, queue: &Queue) {
    #[cfg(feature = "logs")]
    if let Form::Log(log) = &mut queued.form {
        let late = std::mem::take(&mut queued.late);
        queued.form = Form::Wire(log.encode(late, producer, queued.sequence));
        queued.stamped = true;
    }
    let Form::Span(span) = &mut queued.form else { return };
    if queued.close {
        let (last, lost) = (queued.sequence, queue.numbers_lost());
        Event::Close { last, lost }.say_in(span);
    }
    if queued.stamped {
        if queued.close {
            producer.signer.sign(span);
        }
        return;
    }
    queued.stamped = true;
    std::mem::take(&mut queued.late).complete(span);
    let sequence = i64::try_from(queued.sequence).unwrap_or(i64::MAX);
    span.attributes.extend([
        KeyValue::new("tachograph.producer.id", Arc::clone(&producer.id)),
        KeyValue::new("tachograph.producer.epoch", Arc::clone(&producer.epoch)),
        KeyValue::new("tachograph.producer.seq", sequence),
    ]);
    if span.attributes.len() > USUAL_LIMIT {
        // Stable: all others stay in their order.
        span.attributes.sort_by_key(|attribute| !is_essential(attribute.key.as_str()));
    }
    producer.signer.sign(span);
}

/// What says which record this is, and what happened.
fn is_essential(key: &str) -> bool {
    const NAMES: [&str; 11] = [
        "tachograph.kind",
        "tachograph.event.id",
        "tachograph.correlation.id",
        "tachograph.parent.id",
        "tachograph.outcome",
        "tachograph.outcome.reason",
        "tachograph.action.type",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "error.type",
    ];
    NAMES.contains(&key) || key.starts_with("tachograph.producer.")
}

/// Brings the record into the form in which it is kept and sent.
pub(crate) fn encode(queued: &mut Queued) {
    if let Form::Span(_) = queued.form {
        let empty = Form::Wire(Bytes::new());
        if let Form::Span(span) = std::mem::replace(&mut queued.form, empty) {
            queued.form = Form::Wire(wire::encode(span));
        }
    }
}
