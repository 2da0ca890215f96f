//! Exporters for tests: one that keeps what it gets and can be told to fail, be slow, or refuse.

use opentelemetry::Value;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// There is one recorder per process, so tests that install one take turns.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sink(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    spans: Mutex<Vec<SpanData>>,
    failures_left: AtomicUsize,
    panics_left: AtomicUsize,
    delay: Mutex<Duration>,
    refused_name: Mutex<Option<&'static str>>,
    largest_batch: AtomicUsize,
    last_batch: AtomicUsize,
}

impl Sink {
    pub(crate) fn fail_next(&self, times: usize) {
        self.0.failures_left.store(times, Ordering::SeqCst);
    }

    pub(crate) fn panic_next(&self, times: usize) {
        self.0.panics_left.store(times, Ordering::SeqCst);
    }

    pub(crate) fn slow(&self, delay: Duration) {
        *self.0.delay.lock().expect("delay") = delay;
    }

    /// Refuses each batch that holds a span of this name.
    pub(crate) fn refuse(&self, name: &'static str) {
        *self.0.refused_name.lock().expect("name") = Some(name);
    }

    /// Of the application: without what the producer says of itself.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.all_spans().into_iter().filter(|span| !is_lifecycle(span)).collect()
    }

    pub(crate) fn all_spans(&self) -> Vec<SpanData> {
        self.0.spans.lock().expect("spans").clone()
    }

    pub(crate) fn largest_batch(&self) -> usize {
        self.0.largest_batch.load(Ordering::SeqCst)
    }

    /// Whether the batch that was taken last held one span.
    pub(crate) fn last_batch_was_alone(&self) -> bool {
        self.0.last_batch.load(Ordering::SeqCst) == 1
    }
}

impl SpanExporter for Sink {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let delay = *self.0.delay.lock().expect("delay");
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.0.largest_batch.fetch_max(batch.len(), Ordering::SeqCst);
        if take_one(&self.0.panics_left) {
            panic!("the exporter of a test");
        }
        if take_one(&self.0.failures_left) {
            return Err(OTelSdkError::InternalFailure("not now".to_owned()));
        }
        let refused = *self.0.refused_name.lock().expect("name");
        if batch.iter().any(|span| Some(span.name.as_ref()) == refused) {
            let reason = "export failed with gRPC code: InvalidArgument";
            return Err(OTelSdkError::InternalFailure(reason.to_owned()));
        }
        self.0.last_batch.store(batch.len(), Ordering::SeqCst);
        self.0.spans.lock().expect("spans").extend(batch);
        Ok(())
    }
}

/// Produced, exported, lost; nothing is left anywhere else.
pub(crate) fn counts(report: tachograph::Report) -> (u64, u64, u64) {
    assert_eq!((report.spooled, report.waiting), (0, 0), "{report:?}");
    (report.produced, report.exported, report.lost)
}

pub(crate) fn is_lifecycle(span: &SpanData) -> bool {
    text(span, "tachograph.kind").as_deref() == Some("lifecycle")
}

fn take_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// Runs `body` with a recorder and gives the spans, in the order in which they ended.
pub(crate) fn recorded(body: impl FnOnce()) -> Vec<SpanData> {
    recorded_with(tachograph::Init::new("test"), body)
}

/// The same, with settings.
pub(crate) fn recorded_with(init: tachograph::Init, body: impl FnOnce()) -> Vec<SpanData> {
    let _turn = turn();
    let sink = Sink::default();
    let guard = init.init_with(sink.clone()).expect("init");
    body();
    let report = guard.shutdown().expect("nothing lost");
    let spans = sink.spans();
    assert_eq!(report.exported, spans.len() as u64);
    spans
}

/// Runs an asynchronous body likewise.
pub(crate) fn recorded_async(body: impl Future<Output = ()>) -> Vec<SpanData> {
    recorded(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(body);
    })
}

pub(crate) fn find<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
    assert!(found.next().is_none(), "more than one span {name}");
    span
}

/// The one value of an attribute.
pub(crate) fn value(span: &SpanData, key: &str) -> Option<Value> {
    let mut found = span
        .attributes
        .iter()
        .filter(|attribute| attribute.key.as_str() == key)
        .map(|attribute| attribute.value.clone());
    let value = found.next();
    assert!(found.next().is_none(), "{key} more than once");
    value
}

pub(crate) fn text(span: &SpanData, key: &str) -> Option<String> {
    value(span, key).map(|value| value.as_str().into_owned())
}

pub(crate) fn json(span: &SpanData, key: &str) -> serde_json::Value {
    let text = text(span, key).unwrap_or_else(|| panic!("no {key}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{key}: {error}: {text}"))
}
