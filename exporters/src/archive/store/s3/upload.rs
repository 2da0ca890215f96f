//! A large body on its way: for as long as bytes of it move it may take its time, and where none move any more it is given up.
//!
//! The SDK's read timeout counts from the beginning of a request, with the body in it. On a slow line that would cut off every attempt
//! at a large object.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aws_smithy_types::body::{Error, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// When a body was last asked for bytes.
#[derive(Clone)]
pub(super) struct Moving(Arc<Mutex<Instant>>);

impl Moving {
    /// A body that is watched, and what watches it.
    pub(super) fn watch(body: SdkBody) -> (SdkBody, Self) {
        let moving = Self(Arc::new(Mutex::new(Instant::now())));
        (SdkBody::from_body_1_x(Watched { body: Box::pin(body), moving: moving.clone() }), moving)
    }

    /// What `sending` gives, or `None` if for as long as `silence` no byte moved and there was no answer.
    pub(super) async fn limit<T>(&self, silence: Duration, sending: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(sending);
        loop {
            let left = (self.last() + silence).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            if let Ok(answer) = tokio::time::timeout(left, &mut sending).await {
                return Some(answer);
            }
        }
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

struct Watched {
    body: Pin<Box<SdkBody>>,
    moving: Moving,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The connection asks when it has room again.
        self.moving.moved();
        Body::poll_frame(self.body.as_mut(), cx)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(&*self.body)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(&*self.body)
    }
}
