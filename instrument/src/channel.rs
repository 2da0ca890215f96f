//! A value on its way through a channel, together with the context of whoever sent it.

use crate::task::{InContext, with_context};
use opentelemetry::Context;
use opentelemetry::trace::WithContext;

/// Takes a value along with the current context, through a channel of any library.
///
/// ```
/// # use std::sync::mpsc::sync_channel;
/// use tachograph::{Carried, carry};
///
/// let (sender, receiver) = sync_channel::<Carried<String>>(16);
/// # let worker =
/// std::thread::spawn(move || {
///     for order in receiver {
///         // What this records belongs to the event that sent the order.
///         order.run(|order| { /* an annotated call with `order` */ drop(order) });
///     }
/// });
/// sender.send(carry("order 7".to_owned()))?;
/// # drop(sender);
/// # worker.join().expect("no panic");
/// # Ok::<(), std::sync::mpsc::SendError<Carried<String>>>(())
/// ```
pub fn carry<T>(value: T) -> Carried<T> {
    Carried { value, context: Context::current() }
}

/// A value and the context in which it was sent; [`carry`] makes it.
#[derive(Clone, Debug)]
#[must_use = "the value is inside"]
pub struct Carried<T> {
    value: T,
    context: Context,
}

impl<T> Carried<T> {
    /// Handles the value in the sender's context.
    pub fn run<R>(self, handle: impl FnOnce(T) -> R) -> R {
        let Self { value, context } = self;
        with_context(context, || handle(value))
    }

    /// Handles the value asynchronously in the sender's context.
    ///
    /// ```
    /// # async fn paint(prompt: String) {}
    /// # async fn example(mut receiver: tokio::sync::mpsc::Receiver<tachograph::Carried<String>>) {
    /// while let Some(prompt) = receiver.recv().await {
    ///     prompt.run_async(paint).await;
    /// }
    /// # }
    /// ```
    pub fn run_async<F: Future>(self, handle: impl FnOnce(T) -> F) -> WithContext<F> {
        let Self { value, context } = self;
        with_context(context.clone(), || handle(value)).in_context(context)
    }

    /// Another value in its place, of the same sender.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Carried<U> {
        Carried { value: change(self.value), context: self.context }
    }

    /// The value, for a look at it.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value and the sender's context.
    pub fn into_parts(self) -> (T, Context) {
        (self.value, self.context)
    }
}
