//! Exporters that discard and count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrace::collector::{Reporter, SpanRecord};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// How many spans arrived, and how many attributes they had together. Copies count together.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    spans: AtomicU64,
    attributes: AtomicU64,
}

impl Tally {
    /// Spans that arrived, without those that a producer says of itself.
    pub fn spans(&self) -> u64 {
        self.0.spans.load(Ordering::SeqCst)
    }

    /// Their attributes.
    pub fn attributes(&self) -> u64 {
        self.0.attributes.load(Ordering::SeqCst)
    }

    /// Takes a span, unless it is of a producer itself.
    pub(crate) fn count(&self, name: &str, attributes: usize) {
        if name.starts_with("producer.") {
            return;
        }
        self.0.spans.fetch_add(1, Ordering::SeqCst);
        self.0.attributes.fetch_add(attributes as u64, Ordering::SeqCst);
    }
}

impl SpanExporter for Tally {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter().for_each(|span| self.count(&span.name, span.attributes.len()));
        Ok(())
    }
}

impl Reporter for Tally {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        spans.iter().for_each(|span| self.count(&span.name, span.properties.len()));
    }
}
