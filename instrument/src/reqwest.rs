//! Requests of `reqwest` that say which event they were sent by.

use crate::http;

/// Takes the current context along in a request.
///
/// ```
/// use tachograph::reqwest::WithChain;
///
/// # async fn example() -> Result<(), reqwest::Error> {
/// let client = reqwest::Client::new();
/// let reply = client.post("http://painter.internal/paint").body("a fox").with_chain().send().await?;
/// # drop(reply);
/// # Ok(())
/// # }
/// ```
pub trait WithChain: Sized {
    /// The same request, with `traceparent` and `baggage` of the event that is open here.
    #[must_use]
    fn with_chain(self) -> Self;
}

impl WithChain for reqwest::RequestBuilder {
    /// Replaces both headers; give a `baggage` of your own before, through OpenTelemetry's context, or use a built request.
    fn with_chain(self) -> Self {
        let mut headers = ::http::HeaderMap::new();
        http::inject(&mut headers);
        self.headers(headers)
    }
}

impl WithChain for reqwest::Request {
    /// Keeps other members of a `baggage` that the request has.
    fn with_chain(mut self) -> Self {
        http::inject(self.headers_mut());
        self
    }
}
