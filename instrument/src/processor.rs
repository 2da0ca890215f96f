//! The processors for an application's own OpenTelemetry spans and log records.
//!
//! They differ from the SDK's batch processors in that they wait instead of dropping when their queue is
//! full, keep a batch whose export failed, and count what they could not keep.

use crate::content::{self, Policy};
use crate::queue::Queue;
use crate::warning::Topic;
use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// Sends finished spans down the same lossless queue as the records of annotated functions.
#[derive(Clone, Debug)]
pub struct LosslessSpanProcessor {
    flusher: Flusher,
    content: Policy,
}

impl LosslessSpanProcessor {
    pub(crate) fn new(queue: Arc<Queue>, content: Policy) -> Self {
        Self { flusher: Flusher::new(queue), content }
    }
}

impl SpanProcessor for LosslessSpanProcessor {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        if span.span_context.is_sampled() {
            let warn = |line: &'static str| self.flusher.queue.warnings().say(Topic::Misuse, || line.to_owned());
            let late = content::apply_to_span(&self.content, warn, &mut span);
            self.flusher.queue.push(span, late);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flusher.flush(FLUSH_LIMIT)
    }

    /// Flushes. The queue itself closes with [`Guard::shutdown`](crate::Guard::shutdown), as the
    /// records of annotated functions go through it too.
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flusher.flush(timeout)
    }
}

/// Sends log records down the same lossless queue and spool, with numbers from the same sequence, to the receiver's `/v1/logs`.
///
/// What a filter of the application's logging leaves through is an audit record here: choose what is to be one before it comes to this
/// processor. The body and the attributes are content: they are captured and redacted as [`Init`](crate::Init) says.
#[cfg(feature = "logs")]
#[derive(Clone, Debug)]
pub struct LosslessLogProcessor {
    flusher: Flusher,
    content: Policy,
}

#[cfg(feature = "logs")]
impl LosslessLogProcessor {
    pub(crate) fn new(queue: Arc<Queue>, content: Policy) -> Self {
        Self { flusher: Flusher::new(queue), content }
    }
}

#[cfg(feature = "logs")]
impl opentelemetry_sdk::logs::LogProcessor for LosslessLogProcessor {
    fn emit(&self, record: &mut opentelemetry_sdk::logs::SdkLogRecord, scope: &opentelemetry::InstrumentationScope) {
        if record.observed_timestamp().is_none() {
            opentelemetry::logs::LogRecord::set_observed_timestamp(record, crate::clock::now());
        }
        let target = record.target().cloned();
        let mut record = opentelemetry_proto::tonic::logs::v1::LogRecord::from(&*record);
        let warn = |line: &'static str| self.flusher.queue.warnings().say(Topic::Misuse, || line.to_owned());
        let late = content::apply_to_log(&self.content, warn, &mut record);
        self.flusher.queue.push_log(crate::wire::Log { record, target, scope: scope.clone() }, late);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flusher.flush(FLUSH_LIMIT)
    }

    /// Flushes. The queue itself closes with [`Guard::shutdown`](crate::Guard::shutdown).
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flusher.flush(timeout)
    }
}

/// Flushes, and fails once for each loss that it did not speak of yet.
#[derive(Clone, Debug)]
struct Flusher {
    queue: Arc<Queue>,
    /// So many lost records were spoken of.
    said: Arc<AtomicU64>,
}

impl Flusher {
    fn new(queue: Arc<Queue>) -> Self {
        Self { queue, said: Arc::default() }
    }

    fn flush(&self, limit: Duration) -> OTelSdkResult {
        let produced = self.queue.report().produced;
        let after = self.queue.flush(limit);
        if after.exported + after.lost < produced {
            return Err(OTelSdkError::Timeout(limit));
        }
        let said = self.said.fetch_max(after.lost, Ordering::Relaxed);
        if after.lost > said {
            return Err(OTelSdkError::InternalFailure(format!(
                "{} records were lost; the recorder's warnings say why",
                after.lost - said
            )));
        }
        Ok(())
    }
}
