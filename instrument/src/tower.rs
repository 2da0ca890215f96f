//! The chain across HTTP and gRPC as layers of `tower`: for servers and clients of axum, hyper, tonic and whatever else is a
//! `tower` service of [`http::Request`](::http::Request).
//!
//! A server:
//!
//! ```
//! # async fn example() -> Result<(), std::io::Error> {
//! let app: axum::Router = axum::Router::new()
//!     // … routes, whose handlers call annotated functions …
//!     .layer(tachograph::tower::ServerLayer::new());
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! A client, here tonic's:
//!
//! ```
//! use tower_layer::Layer;
//! # async fn example() -> Result<(), tonic::transport::Error> {
//! let channel = tonic::transport::Channel::from_static("http://painter.internal:50051").connect().await?;
//! let channel = tachograph::tower::ClientLayer::new().layer(channel);
//! // PainterClient::new(channel)
//! # Ok(())
//! # }
//! ```
//!
//! Put the server's layer where senders are trusted to name the cause of what they ask for: see [`tachograph::http`](crate::http).

use crate::task::with_context;
use crate::{http, propagation};
use ::http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::Context;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// What is recorded while a request is handled continues the sender's chain, that of its response's body included.
///
/// Reads `traceparent` and `baggage`; see [the module](self). A span that another layer outside of this one has opened for the request
/// stays the parent in the trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerLayer {
    _private: (),
}

impl ServerLayer {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerService { inner }
    }
}

/// What [`ServerLayer`] makes of a service.
#[derive(Clone, Copy, Debug)]
pub struct ServerService<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for ServerService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = ServerFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let context = propagation::continue_from(http::extract(request.headers()));
        // What is done before the future is polled belongs to it too.
        let inner = with_context(context.clone(), || self.inner.call(request));
        ServerFuture { inner, context, has_begun: false }
    }
}

pin_project! {
    /// The handling of one request.
    #[derive(Debug)]
    pub struct ServerFuture<F> {
        #[pin]
        inner: F,
        context: Context,
        has_begun: bool,
    }
}

impl<F, B, E> Future for ServerFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if !*this.has_begun {
            // Some layers open their span not where they call, but where they poll.
            *this.context = propagation::continue_from(std::mem::take(this.context));
            *this.has_begun = true;
        }
        let response = ready!(with_context(this.context.clone(), || this.inner.poll(task)));
        let context = std::mem::take(this.context);
        Poll::Ready(response.map(|response| response.map(|inner| ResponseBody { inner, context })))
    }
}

pin_project! {
    /// A response's body, made in the context of its request.
    #[derive(Clone, Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        context: Context,
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        with_context(this.context.clone(), || this.inner.poll_frame(task))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Each request says which event it was sent by. Where requests are buffered, this goes outside of the buffer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientLayer {
    _private: (),
}

impl ClientLayer {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientService { inner }
    }
}

/// What [`ClientLayer`] makes of a service.
#[derive(Clone, Copy, Debug)]
pub struct ClientService<S> {
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for ClientService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, task: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        http::inject(request.headers_mut());
        self.inner.call(request)
    }
}
