//! The chain in HTTP headers, for every client and server whose headers are [`http::HeaderMap`]: hyper, axum, reqwest, tonic and others.
//!
//! Where one is a `tower` service, the layers of `tachograph::tower` do this by themselves.
//!
//! Whoever sends a request names its cause. Read these headers of senders that you trust to, and not at a border to the public: there
//! a stranger could have your records name any event of theirs or yours.

use crate::propagation::{self, BAGGAGE, Incoming};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::Injector;

/// Writes the current context into headers. A `traceparent` that is there already is replaced; other members of a `baggage` stay, as
/// far as there is room.
///
/// ```
/// let mut request = http::Request::post("http://painter.internal/paint").body("a fox")?;
/// tachograph::http::inject(request.headers_mut());
/// # Ok::<(), http::Error>(())
/// ```
pub fn inject(headers: &mut HeaderMap) {
    propagation::inject(&mut Headers(headers));
}

/// Reads the context that a sender wrote into headers.
///
/// ```
/// use tachograph::InContext;
/// # async fn paint(request: http::Request<String>) {}
/// # async fn handle(request: http::Request<String>) {
/// let sender = tachograph::http::extract(request.headers());
/// paint(request).in_context(sender).await;
/// # }
/// ```
pub fn extract(headers: &HeaderMap) -> Context {
    let mut incoming = Incoming::default();
    for (name, value) in headers.iter().filter(|(name, _)| Incoming::position(name.as_str()).is_some()) {
        if let Ok(value) = value.to_str() {
            incoming.offer(name.as_str(), value);
        }
    }
    incoming.context()
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, name: &str, mut value: String) {
        let Ok(name) = HeaderName::try_from(name) else { return };
        if name == BAGGAGE {
            let others = self.0.get_all(&name).iter().filter_map(|value| value.to_str().ok());
            value = propagation::merge_baggage(value, others);
        }
        // Without a trace state of ours the one that belonged to another parent must not stay.
        self.0.remove(&name);
        if let Ok(value) = HeaderValue::try_from(value)
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}
