//! OTLP/HTTP: which request it is, and the answer in the request's own format.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use http_body::Body;

use super::{
    answer::{Answer, status_json, status_protobuf},
    denied::Denied,
    inflate::Encoding,
    router::{Asked, Format, Reception, wants_receipt},
};
use crate::intake::{Intake, Signal};
use crate::receipt;

/// Answers a request.
pub(super) async fn answer<I, B>(reception: &Reception<I>, request: Request<B>) -> Response<Answer>
where
    I: Intake,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let (head, body) = request.into_parts();
    let format = format(&head.headers);
    let asked = asked(reception, &head, &format);
    // A request of a type that is not known gets its refusal as JSON, which people can read.
    let reply_format = format.unwrap_or(Format::Json);
    let request = Request::from_parts(head, body);
    match reception.take(asked, request).await {
        Ok(receipt) => success(reply_format, receipt),
        Err(denied) => failure(&denied, reply_format),
    }
}

fn asked<I>(reception: &Reception<I>, head: &Parts, format: &Result<Format, Denied>) -> Result<Asked, Denied> {
    if !reception.gate.permits(&head.headers) {
        return Err(Denied::Unauthenticated);
    }
    let signal = signal(head)?;
    Ok(Asked {
        signal,
        format: format.clone()?,
        encoding: Encoding::parse(head.headers.get(CONTENT_ENCODING))?,
        receipt: wants_receipt(&head.headers),
    })
}

fn signal(head: &Parts) -> Result<Signal, Denied> {
    let path = head.uri.path();
    let signal = match path {
        "/v1/traces" => Ok(Signal::Traces),
        "/v1/logs" => Ok(Signal::Logs),
        "/v1/metrics" => Err(Denied::Signal { name: "metrics" }),
        "/v1development/profiles" => Err(Denied::Signal { name: "profiles" }),
        _ => return Err(Denied::NotFound { path: path.into() }),
    };
    if head.method != Method::POST {
        return Err(Denied::Method { found: head.method.to_string() });
    }
    signal
}

fn format(headers: &HeaderMap) -> Result<Format, Denied> {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let name = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if name.eq_ignore_ascii_case(b"application/x-protobuf") {
        Ok(Format::Protobuf)
    } else if name.eq_ignore_ascii_case(b"application/json") {
        Ok(Format::Json)
    } else {
        Err(Denied::ContentType { found: String::from_utf8_lossy(name).into_owned() })
    }
}

/// An empty `Export*ServiceResponse`: no bytes in protobuf.
fn success(format: Format, receipt: Option<HeaderValue>) -> Response<Answer> {
    let body = match format {
        Format::Json => Bytes::from_static(b"{}"),
        Format::Protobuf | Format::Grpc => Bytes::new(),
    };
    let mut response = response(StatusCode::OK, format, body);
    if let Some(receipt) = receipt {
        response.headers_mut().insert(receipt::ANSWER, receipt);
    }
    response
}

fn failure(denied: &Denied, format: Format) -> Response<Answer> {
    let body = match format {
        Format::Json => status_json(denied),
        Format::Protobuf | Format::Grpc => status_protobuf(denied),
    };
    let mut response = response(denied.http_status(), format, Bytes::from(body));
    let headers = response.headers_mut();
    if let Some(delay) = denied.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    match denied {
        Denied::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Denied::Method { .. } => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        Denied::ContentEncoding { .. } => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
        }
        _ => {}
    }
    response
}

fn response(status: StatusCode, format: Format, body: Bytes) -> Response<Answer> {
    let mut response = Response::new(Answer::new(body));
    *response.status_mut() = status;
    let content_type = match format {
        Format::Json => "application/json",
        Format::Protobuf | Format::Grpc => "application/x-protobuf",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// `Retry-After` has no fractions; 0 would mean "at once".
fn whole_seconds(delay: Duration) -> u64 {
    let up = u64::from(delay.subsec_nanos() > 0);
    delay.as_secs().saturating_add(up).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_rounds_up() {
        let cases = [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (5000, 5)];
        for (millis, seconds) in cases {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
