//! The span processor for an application's own OpenTelemetry spans.
//!
//! It differs from the SDK's batch processor in that it waits instead of dropping when its queue is
//! full, keeps a batch whose export failed, and counts what it could not keep.

use crate::late::Late;
use crate::queue::Queue;
use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::sync::Arc;
use std::time::Duration;

const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// Sends finished spans down the same lossless queue as the records of annotated functions.
#[derive(Clone, Debug)]
pub struct LosslessSpanProcessor {
    queue: Arc<Queue>,
}

impl LosslessSpanProcessor {
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }
}

impl SpanProcessor for LosslessSpanProcessor {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.queue.push(span, Late::default());
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        let before = self.queue.report();
        let after = self.queue.flush(FLUSH_LIMIT);
        if after.exported + after.lost < before.produced {
            return Err(OTelSdkError::Timeout(FLUSH_LIMIT));
        }
        if after.lost > before.lost {
            return Err(OTelSdkError::InternalFailure(format!("{} records were lost", after.lost - before.lost)));
        }
        Ok(())
    }

    /// Flushes. The queue itself closes with [`Guard::shutdown`](crate::Guard::shutdown), as the
    /// records of annotated functions go through it too.
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let produced = self.queue.report().produced;
        let after = self.queue.flush(timeout);
        if after.exported + after.lost < produced {
            return Err(OTelSdkError::Timeout(timeout));
        }
        Ok(())
    }
}
