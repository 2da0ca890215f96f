//! OTLP/gRPC: which call it is, and the answer as gRPC writes it.

use std::fmt::{Display, Write};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Version,
    header::{CONTENT_TYPE, HeaderName},
    request::Parts,
};
use http_body::Body;

use super::{
    answer::{Answer, status_protobuf},
    denied::Denied,
    inflate::Encoding,
    router::{Asked, Format, Reception, wants_receipt},
};
use crate::intake::{Intake, Signal};
use crate::receipt;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// An empty message: an `Export*ServiceResponse` without partial success is one.
const EMPTY_MESSAGE: &[u8] = &[0, 0, 0, 0, 0];

/// Longest `grpc-message`, after which it is cut: senders bound the size of headers.
const MESSAGE_BYTES: usize = 2048;

/// Whether a request is gRPC: its content type says so, even if it is one of those that are not taken.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a call.
pub(super) async fn answer<I, B>(reception: &Reception<I>, request: Request<B>) -> Response<Answer>
where
    I: Intake,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let (head, body) = request.into_parts();
    let asked = asked(reception, &head);
    let request = Request::from_parts(head, body);
    match reception.take(asked, request).await {
        Ok(receipt) => success(receipt),
        Err(denied) => failure(&denied),
    }
}

fn asked<I>(reception: &Reception<I>, head: &Parts) -> Result<Asked, Denied> {
    if head.version != Version::HTTP_2 {
        return Err(Denied::GrpcNeedsHttp2);
    }
    if !reception.gate.permits(&head.headers) {
        return Err(Denied::Unauthenticated);
    }
    let signal = signal(head.uri.path())?;
    if head.method != Method::POST {
        return Err(Denied::Method { found: head.method.to_string() });
    }
    match head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) {
        Some(b"application/grpc" | b"application/grpc+proto") => {}
        other => {
            return Err(Denied::ContentType { found: String::from_utf8_lossy(other.unwrap_or_default()).into_owned() });
        }
    }
    Ok(Asked {
        signal,
        encoding: Encoding::parse(head.headers.get(GRPC_ENCODING))?,
        format: Format::Grpc,
        receipt: wants_receipt(&head.headers),
    })
}

fn signal(path: &str) -> Result<Signal, Denied> {
    let other = match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => return Ok(Signal::Traces),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => return Ok(Signal::Logs),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => "metrics",
        _ if path.starts_with("/opentelemetry.proto.collector.profiles.") => "profiles",
        _ => return Err(Denied::NotFound { path: path.into() }),
    };
    Err(Denied::Signal { name: other })
}

fn success(receipt: Option<HeaderValue>) -> Response<Answer> {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    if let Some(receipt) = receipt {
        trailers.insert(receipt::ANSWER, receipt);
    }
    let mut response = Response::new(Answer::new(Bytes::from_static(EMPTY_MESSAGE)).with_trailers(trailers));
    announce(response.headers_mut());
    response
}

/// The form that gRPC calls trailers-only: everything in the head, no body.
fn failure(denied: &Denied) -> Response<Answer> {
    let mut response = Response::new(Answer::default());
    let headers = response.headers_mut();
    announce(headers);
    headers.insert(GRPC_STATUS, HeaderValue::from(denied.code() as i32));
    let texts = [(GRPC_MESSAGE, percent_encoded(&denied.message())), (GRPC_DETAILS, details(denied))];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
    if matches!(denied, Denied::GrpcNeedsHttp2) {
        *response.status_mut() = denied.http_status();
    }
    response
}

fn announce(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, TYPE);
    headers.insert(GRPC_ACCEPT, HeaderValue::from_static("identity,gzip,zstd"));
}

/// The status, unless it is too long for a header: code and message then say enough.
fn details(denied: &Denied) -> String {
    let status = status_protobuf(denied);
    if status.len() > 2 * MESSAGE_BYTES {
        return String::new();
    }
    STANDARD_NO_PAD.encode(status)
}

/// As the gRPC specification has it: printable ASCII but `%` as it is, all else as `%XX`.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        if encoded.len() + 3 > MESSAGE_BYTES {
            break;
        }
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_a_header() {
        assert_eq!(percent_encoded("50% für\n"), "50%25 f%C3%BCr%0A");
        assert!(percent_encoded(&"ü".repeat(5000)).len() <= MESSAGE_BYTES);
    }
}
