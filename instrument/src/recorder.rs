//! The recorder of this process: where annotated functions hand their records in.
//!
//! There is at most one. Calls find it through a per-thread copy that a generation counter keeps
//! fresh, so that the way to it costs one atomic load; before the first `init` not even that copy
//! is made. A test may have another one, in memory, that its contexts carry; who never runs such a test never looks for it.

use crate::content::Policy;
use crate::event;
use crate::late::Late;
use crate::queue::Queue;
use crate::signing::Signer;
use crate::testing::Memory;
use crate::warning::Topic;
use opentelemetry::{Context, InstrumentationScope};
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
    /// Signs them, last of all.
    pub(crate) signer: Signer,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    destination: Destination,
    scope: InstrumentationScope,
    content: Policy,
}

#[derive(Debug)]
enum Destination {
    /// To be delivered.
    Queue(Arc<Queue>),
    /// A test's.
    Memory(Arc<Memory>),
}

/// A test's recorder, on its way with the context.
#[derive(Debug)]
struct OfTest(Arc<Recorder>);

/// In the generation: there was a recorder in memory, and there may be one in the context.
const TESTED: u64 = 1 << 63;

/// Changes with each install and removal; 0 means that there never was a recorder.
static GENERATION: AtomicU64 = AtomicU64::new(0);
static INSTALLED: Mutex<Option<Arc<Recorder>>> = Mutex::new(None);

/// A thread's own handle of the recorder: all calls of a thread count the references of that, so that threads do not contend for one
/// counter with each call.
pub(crate) type Handle = Arc<Arc<Recorder>>;

thread_local! {
    static KNOWN: RefCell<(u64, Option<Handle>)> = const { RefCell::new((0, None)) };
}

impl Recorder {
    pub(crate) fn new(queue: Arc<Queue>, content: Policy) -> Self {
        Self::with(Destination::Queue(queue), content)
    }

    pub(crate) fn in_memory(memory: Arc<Memory>, content: Policy) -> Self {
        GENERATION.fetch_or(TESTED, Ordering::Release);
        Self::with(Destination::Memory(memory), content)
    }

    fn with(destination: Destination, content: Policy) -> Self {
        let scope = InstrumentationScope::builder("tachograph").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { destination, scope, content }
    }

    pub(crate) fn scope(&self) -> InstrumentationScope {
        self.scope.clone()
    }

    /// What is to become of content.
    pub(crate) fn content(&self) -> &Policy {
        &self.content
    }

    pub(crate) fn record(&self, span: SpanData, late: Late) {
        match &self.destination {
            Destination::Queue(queue) => queue.push(span, late),
            Destination::Memory(memory) => memory.record(span, late),
        }
    }

    /// Says that a call had no effect.
    pub(crate) fn misuse(&self, line: impl FnOnce() -> String) {
        match &self.destination {
            Destination::Queue(queue) => queue.warnings().say(Topic::Misuse, line),
            Destination::Memory(memory) => memory.warn(line()),
        }
    }
}

/// The recorder, if `init` was called and `shutdown` was not.
#[inline]
pub(crate) fn current() -> Option<Handle> {
    let generation = GENERATION.load(Ordering::Acquire);
    if generation == 0 {
        return None;
    }
    if generation & TESTED != 0
        && let Some(recorder) = of_context()
    {
        return Some(Arc::new(recorder));
    }
    KNOWN
        .try_with(|known| {
            let mut known = known.borrow_mut();
            if known.0 != generation {
                *known = (generation, installed().clone().map(Arc::new));
            }
            known.1.clone()
        })
        // The thread is ending and its copy is gone.
        .unwrap_or_else(|_| installed().clone().map(Arc::new))
}

/// Where the current test's records go, if it is a test.
#[inline]
pub(crate) fn memory() -> Option<Arc<Memory>> {
    if GENERATION.load(Ordering::Relaxed) & TESTED == 0 { None } else { memory_of_test() }
}

#[cold]
fn memory_of_test() -> Option<Arc<Memory>> {
    match &current()?.destination {
        Destination::Queue(_) => None,
        Destination::Memory(memory) => Some(Arc::clone(memory)),
    }
}

/// The current context, with a test's recorder.
pub(crate) fn in_context(recorder: Arc<Recorder>) -> Context {
    Context::current_with_value(OfTest(recorder))
}

/// A context with nothing in it but a test's recorder, if there is one here.
pub(crate) fn bare_context() -> Context {
    if GENERATION.load(Ordering::Relaxed) & TESTED == 0 {
        return Context::new();
    }
    of_context().map_or_else(Context::new, |recorder| Context::new().with_value(OfTest(recorder)))
}

#[cold]
fn of_context() -> Option<Arc<Recorder>> {
    event::map_current(|context| context.get::<OfTest>().map(|of_test| Arc::clone(&of_test.0)))
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
