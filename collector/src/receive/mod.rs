//! Receive: OTLP over gRPC and HTTP, from the socket to an [`Export`](crate::intake::Export).
//!
//! What holds here:
//! - A sender reads success only after [`Intake::accept`](crate::intake::Intake::accept) returned `Ok`.
//! - Every byte that a sender makes us hold is charged to one budget ([`Limits::max_bytes_in_flight`])
//!   before it is kept, compressed, decompressed and transcoded alike, and given back with the answer.
//!   If the budget has no room the request is refused at once; nothing waits in line.
//! - Decompression stops at its bound while it inflates.
//! - Whatever a client does or leaves undone ends by a deadline: handshake, head, body, idleness.
//! - Every refusal is counted in [`ReceiveMetrics`] and tells the sender whether to come back.
//!
//! Both ports answer the same requests: they exist because OTLP names two. A request is gRPC if its content type
//! says so, and HTTP/1.1, HTTP/2 with prior knowledge, and with TLS what ALPN chose are taken on each.
//!
//! gRPC framing is done here on top of hyper: a unary call is one five-byte header around the same bytes that
//! HTTP posts, so that both protocols share one path with one set of bounds. (tonic's codec would decompress before
//! the budget could be asked, and with zstd windows of up to 128 MiB.)

mod answer;
mod auth;
mod body;
mod connection;
mod denied;
mod grpc;
mod in_flight;
mod inflate;
mod json;
mod limits;
mod metrics;
mod otlp_http;
mod router;
mod server;
mod tls;

/// An OTLP/JSON request as protobuf, for whoever has one outside of a server; `None` if it can't be read.
pub fn transcode_json(signal: crate::intake::Signal, text: &[u8]) -> Option<Vec<u8>> {
    json::to_protobuf(signal, text).ok().map(|done| done.protobuf)
}

pub use auth::{Auth, Secret};
pub use limits::Limits;
pub use metrics::ReceiveMetrics;
pub use server::{Bound, Listeners, LocalAddrs, ReceiveError, bind};
pub use tls::{Tls, TlsError};
