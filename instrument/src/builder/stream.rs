//! Streams: a generation that comes in pieces ends with its last one.

use super::{Event, Open};
use futures_core::Stream;
use opentelemetry::Context;
use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context as Task, Poll};

/// A stream that is recorded: time to the first item, number of items, and how it ended.
///
/// The context of its event is current while it is polled, and never across an await. Its end finishes the event; a stream that is
/// dropped before is recorded as `cancelled`, unless [`Event::complete`] was called.
#[must_use = "streams do nothing unless polled"]
pub struct Recorded<St, K, F> {
    stream: Pin<Box<St>>,
    context: Context,
    event: Option<Event<K, Open>>,
    each: F,
}

impl<K> Event<K, Open> {
    /// Records a stream as this event.
    ///
    /// ```
    /// # use futures_core::Stream;
    /// fn complete(tokens: impl Stream<Item = String>) -> impl Stream<Item = String> {
    ///     let generation = tachograph::Generation::new("complete").model("m-2").start();
    ///     generation.stream(tokens)
    /// }
    /// ```
    pub fn stream<St: Stream>(self, stream: St) -> Recorded<St, K, impl FnMut(&mut Self, &St::Item) + use<St, K>> {
        self.stream_each(stream, |_, _| {})
    }

    /// Records a stream of results: an item that is an error makes it a failure.
    pub fn try_stream<St, T, E>(
        self,
        stream: St,
    ) -> Recorded<St, K, impl FnMut(&mut Self, &St::Item) + use<St, K, T, E>>
    where
        St: Stream<Item = Result<T, E>>,
        E: Display,
    {
        self.stream_each(stream, |event: &mut Self, item: &Result<T, E>| {
            if let Err(error) = item {
                event.failed(error);
            }
        })
    }

    /// Records a stream and shows each item to `each`, which may take from it what belongs into the record.
    ///
    /// ```
    /// # use futures_core::Stream;
    /// # struct Chunk { text: String, usage: Option<tachograph::Usage> }
    /// fn complete(chunks: impl Stream<Item = Chunk>) -> impl Stream<Item = Chunk> {
    ///     let generation = tachograph::Generation::new("complete").model("m-2").start();
    ///     generation.stream_each(chunks, |generation, chunk| {
    ///         generation.append_output(&chunk.text).usage(chunk.usage);
    ///     })
    /// }
    /// ```
    pub fn stream_each<St: Stream, F: FnMut(&mut Self, &St::Item)>(self, stream: St, each: F) -> Recorded<St, K, F> {
        Recorded { stream: Box::pin(stream), context: self.to_context(), event: Some(self), each }
    }
}

// Nothing in it is pinned but what its box holds.
impl<St, K, F> Unpin for Recorded<St, K, F> {}

impl<St: Stream, K, F: FnMut(&mut Event<K, Open>, &St::Item)> Stream for Recorded<St, K, F> {
    type Item = St::Item;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<St::Item>> {
        let this = &mut *self;
        let attached = this.context.clone().attach();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = this.stream.as_mut().poll_next(task);
            if let (Poll::Ready(Some(item)), Some(event)) = (&polled, &mut this.event) {
                event.chunk(1);
                (this.each)(event, item);
            }
            polled
        }));
        drop(attached);
        let polled = polled.unwrap_or_else(|payload| {
            if let Some(event) = this.event.take() {
                event.panicked(&*payload);
            }
            resume_unwind(payload)
        });
        if matches!(polled, Poll::Ready(None))
            && let Some(event) = this.event.take()
        {
            event.finish();
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}

impl<St, K, F> fmt::Debug for Recorded<St, K, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorded").finish_non_exhaustive()
    }
}
