//! The recorder of this process: where annotated functions hand their records in.
//!
//! There is at most one. Calls find it through a per-thread copy that a generation counter keeps
//! fresh, so that the way to it costs one atomic load; before the first `init` not even that copy
//! is made.

use crate::content::Policy;
use crate::late::Late;
use crate::processor::LosslessSpanProcessor;
use crate::queue::Queue;
use crate::warning::Topic;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Who numbers the records.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) id: Arc<str>,
    /// One start of the process.
    pub(crate) epoch: Arc<str>,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    queue: Arc<Queue>,
    scope: InstrumentationScope,
    content: Policy,
}

/// Odd and even alternate with each install and removal; 0 means that there never was a recorder.
static GENERATION: AtomicU64 = AtomicU64::new(0);
static INSTALLED: Mutex<Option<Arc<Recorder>>> = Mutex::new(None);

thread_local! {
    static KNOWN: RefCell<(u64, Option<Arc<Recorder>>)> = const { RefCell::new((0, None)) };
}

impl Recorder {
    pub(crate) fn new(queue: Arc<Queue>, content: Policy) -> Self {
        let scope = InstrumentationScope::builder("tachograph").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { queue, scope, content }
    }

    pub(crate) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    /// What is to become of content.
    pub(crate) fn content(&self) -> &Policy {
        &self.content
    }

    pub(crate) fn record(&self, span: SpanData, late: Late) {
        self.queue.push(span, late);
    }

    pub(crate) fn processor(&self) -> LosslessSpanProcessor {
        LosslessSpanProcessor::new(Arc::clone(&self.queue))
    }

    #[cfg(feature = "logs")]
    pub(crate) fn log_processor(&self) -> crate::processor::LosslessLogProcessor {
        crate::processor::LosslessLogProcessor::new(Arc::clone(&self.queue))
    }

    /// Says that a call had no effect.
    pub(crate) fn misuse(&self, line: impl FnOnce() -> String) {
        self.queue.warnings().say(Topic::Misuse, line);
    }
}

/// The recorder, if `init` was called and `shutdown` was not.
#[inline]
pub(crate) fn current() -> Option<Arc<Recorder>> {
    let generation = GENERATION.load(Ordering::Acquire);
    if generation == 0 {
        return None;
    }
    KNOWN
        .try_with(|known| {
            let mut known = known.borrow_mut();
            if known.0 != generation {
                *known = (generation, installed().clone());
            }
            known.1.clone()
        })
        // The thread is ending and its copy is gone.
        .unwrap_or_else(|_| installed().clone())
}

/// Makes this the process's recorder. False if there is one already.
pub(crate) fn install(recorder: Arc<Recorder>) -> bool {
    let mut slot = installed();
    if slot.is_some() {
        return false;
    }
    *slot = Some(recorder);
    GENERATION.fetch_add(1, Ordering::Release);
    true
}

/// From here on annotated functions record nothing.
pub(crate) fn remove() {
    let removed = installed().take();
    if removed.is_some() {
        GENERATION.fetch_add(1, Ordering::Release);
    }
}

fn installed() -> std::sync::MutexGuard<'static, Option<Arc<Recorder>>> {
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner)
}
