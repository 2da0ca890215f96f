//! Taking the context along: into closures, other tasks, and code that handles a message from elsewhere.
//!
//! Invariant: a context is attached while code runs on this thread, for one call or one poll, and never across an await.

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

/// Binds a callback to the current context: wherever and however often it is called, what it records belongs to the event
/// that is open here.
///
/// It takes one argument, of one type. A callback that takes none or more, or references that live only as long as each call
/// (`impl FnMut(&str)`), is written as a closure of its own that goes into the context:
///
/// ```
/// # fn stream(prompt: &str, mut on_token: impl FnMut(&str, u32)) { let token = prompt.to_owned(); on_token(&token, 1) }
/// let here = tachograph::Context::current();
/// stream("a red fox", move |token, number| {
///     tachograph::with_context(here.clone(), || { /* an annotated call with `token` */ })
/// });
/// ```
///
/// ```
/// let on_token = tachograph::bind(|token: &str| { /* an annotated call */ });
/// std::thread::scope(|scope| {
///     scope.spawn(|| on_token("one"));
///     scope.spawn(|| on_token("two"));
/// });
/// ```
pub fn bind<A, R>(callback: impl Fn(A) -> R) -> impl Fn(A) -> R {
    let context = Context::current();
    move |argument| with_context(context.clone(), || callback(argument))
}

/// As [`bind`], for a callback that changes what it captured, with the same limits.
///
/// ```
/// let mut tokens = 0;
/// let mut count = tachograph::bind_mut(|token: &str| tokens += token.len());
/// count("one");
/// # drop(count);
/// # assert_eq!(tokens, 3);
/// ```
pub fn bind_mut<A, R>(mut callback: impl FnMut(A) -> R) -> impl FnMut(A) -> R {
    let context = Context::current();
    move |argument| with_context(context.clone(), || callback(argument))
}

/// As [`bind`], for work that is done once, by whatever thread pool, timer or queue takes closures.
///
/// ```
/// let work = tachograph::bind_once(|| { /* an annotated call */ });
/// std::thread::Builder::new().name("worker".to_owned()).spawn(work)?.join().expect("no panic");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn bind_once<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let context = Context::current();
    move || with_context(context, work)
}

/// Runs a future, a stream or a sink in a context, attached for each poll and never across an await.
///
/// It fits wherever one of them goes, so that no runtime needs support of its own:
///
/// ```
/// use tachograph::InContext;
/// # async fn work() {}
/// # fn items() -> impl futures_util::Stream<Item = u8> { futures_util::stream::empty() }
/// # async fn example() {
/// let mut set = tokio::task::JoinSet::new();
/// set.spawn(work().in_current_context());
/// set.join_all().await;
/// # }
/// let tokens = items().in_current_context(); // what it does for each item belongs to the event that is open here
/// # drop(tokens);
/// ```
pub trait InContext: Sized {
    /// Runs it in `context`.
    fn in_context(self, context: Context) -> WithContext<Self> {
        self.with_context(context)
    }

    /// Runs it in the context that is current now.
    fn in_current_context(self) -> WithContext<Self> {
        self.with_current_context()
    }
}

impl<T> InContext for T {}

/// [`tokio::spawn`], with the current context: what the task records is part of the chain.
///
/// ```
/// # async fn work() {}
/// # async fn example() -> Result<(), tokio::task::JoinError> {
/// tachograph::spawn(work()).await?;
/// # Ok(())
/// # }
/// ```
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.in_current_context())
}

/// [`tokio::task::spawn_blocking`], with the current context.
///
/// ```
/// # async fn example() -> Result<(), tokio::task::JoinError> {
/// let sum = tachograph::spawn_blocking(|| { /* an annotated call */ 1 + 1 }).await?;
/// # assert_eq!(sum, 2);
/// # Ok(())
/// # }
/// ```
pub fn spawn_blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> tokio::task::JoinHandle<R> {
    tokio::task::spawn_blocking(bind_once(work))
}
