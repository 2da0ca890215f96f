//! The chain in the metadata of tonic's requests.
//!
//! An interceptor of a server can't run the handler, so a server takes [`tower::ServerLayer`](crate::tower::ServerLayer) (feature
//! `tower`), which serves all its methods at once; or a handler asks [`extract`] itself:
//!
//! ```
//! use tachograph::InContext;
//! # use tonic::{Request, Response, Status};
//! # async fn answer(prompt: String) -> String { prompt }
//! // in a method of a service
//! async fn paint(request: Request<String>) -> Result<Response<String>, Status> {
//!     let sender = tachograph::grpc::extract(request.metadata());
//!     let reply = answer(request.into_inner()).in_context(sender).await;
//!     Ok(Response::new(reply))
//! }
//! # drop(paint(Request::new(String::new())));
//! ```

use crate::http;
use opentelemetry::Context;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Writes the current context into a request's metadata.
///
/// ```
/// let mut request = tonic::Request::new("a fox");
/// tachograph::grpc::inject(request.metadata_mut());
/// ```
pub fn inject(metadata: &mut MetadataMap) {
    http::inject(metadata.as_mut());
}

/// Reads the context that a sender wrote into a request's metadata. As for [`tachograph::http`](crate::http), the sender is believed.
pub fn extract(metadata: &MetadataMap) -> Context {
    http::extract(metadata.as_ref())
}

/// An interceptor for clients: each request says which event it was sent by.
///
/// ```
/// # async fn example() -> Result<(), tonic::transport::Error> {
/// use tonic::service::interceptor::InterceptedService;
///
/// let channel = tonic::transport::Channel::from_static("http://painter.internal:50051").connect().await?;
/// let channel = InterceptedService::new(channel, tachograph::grpc::Chain);
/// // PainterClient::new(channel), or at once PainterClient::with_interceptor(channel, tachograph::grpc::Chain)
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain;

impl Interceptor for Chain {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        inject(request.metadata_mut());
        Ok(request)
    }
}
