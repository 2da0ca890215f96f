//! Taking the context along: onto other threads, into other tasks, and into code that handles a
//! message from elsewhere.

use opentelemetry::Context;
use opentelemetry::trace::{FutureExt, WithContext};

/// Runs a closure in a context; annotated calls inside belong to it.
///
/// ```
/// # use std::collections::HashMap;
/// # let headers: HashMap<String, String> = HashMap::new();
/// let sender = tachograph::propagation::extract(&headers);
/// tachograph::with_context(sender, || { /* handle the message */ });
/// ```
pub fn with_context<R>(context: Context, body: impl FnOnce() -> R) -> R {
    let _attached = context.attach();
    body()
}

/// Runs a future in a context, attached for each poll and never across an await.
pub trait InContext: Future + Sized {
    /// Runs the future in `context`.
    fn in_context(self, context: Context) -> WithContext<Self> {
        self.with_context(context)
    }

    /// Runs the future in the context that is current now.
    fn in_current_context(self) -> WithContext<Self> {
        self.with_current_context()
    }
}

impl<F: Future> InContext for F {}

/// [`tokio::spawn`], with the current context: what the task records is part of the chain.
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.in_current_context())
}

/// [`tokio::task::spawn_blocking`], with the current context.
pub fn spawn_blocking<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> tokio::task::JoinHandle<R> {
    let context = Context::current();
    tokio::task::spawn_blocking(move || with_context(context, body))
}
