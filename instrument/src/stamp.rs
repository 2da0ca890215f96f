//! What is done once to each record off the application's threads, before it is written or sent.

use crate::lifecycle::Event;
use crate::queue::{Form, Queue, Queued};
use crate::recorder::Producer;
use crate::wire;
use bytes::Bytes;
use opentelemetry::KeyValue;
use std::sync::Arc;

/// Completes the record and adds who numbered it. The close says now how many are lost.
pub(crate) fn prepare(queued: &mut Queued, producer: &Producer, queue: &Queue) {
    let Form::Span(span) = &mut queued.form else { return };
    if queued.close {
        let (last, lost) = (queued.sequence, queue.numbers_lost());
        Event::Close { last, lost }.say_in(span);
    }
    if queued.stamped {
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
