//! What goes back: the body type of all answers, and `google.rpc.Status`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use prost::Message;

use super::denied::Denied;

/// A short body that is complete from the start, and the trailers that gRPC wants.
#[derive(Debug, Default)]
pub(super) struct Answer {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    pub(super) fn new(data: Bytes) -> Self {
        Self { data: Some(data).filter(|d| !d.is_empty()), trailers: None }
    }

    pub(super) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match self.data.take() {
            Some(data) => Some(Frame::data(data)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |d| d.len() as u64))
    }
}

/// `google.rpc.Status`, as gRPC carries it in `grpc-status-details-bin` and OTLP/HTTP as the body of an error.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`
#[derive(Clone, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// `google.rpc.BadRequest`
#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

/// `google.rpc.BadRequest.FieldViolation`
#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

/// The refusal as an encoded `google.rpc.Status`, with RetryInfo where the sender is to come back and BadRequest
/// where a field is wrong.
pub(super) fn status_protobuf(denied: &Denied) -> Vec<u8> {
    let mut details = Vec::new();
    if let Some(delay) = denied.retry_after() {
        details.push(Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
            value: RetryInfo { retry_delay: Some(proto_duration(delay)) }.encode_to_vec(),
        });
    }
    if let Some((field, description)) = denied.violation() {
        details.push(Any {
            type_url: "type.googleapis.com/google.rpc.BadRequest".into(),
            value: BadRequest {
                field_violations: vec![FieldViolation { field: field.into(), description: description.into() }],
            }
            .encode_to_vec(),
        });
    }
    Status { code: denied.code() as i32, message: denied.message(), details }.encode_to_vec()
}

/// The refusal as `google.rpc.Status` in JSON. Details are left out: their JSON form needs type information that
/// senders lack, and `Retry-After` says the same.
pub(super) fn status_json(denied: &Denied) -> Vec<u8> {
    serde_json::json!({"code": denied.code() as i32, "message": denied.message()}).to_string().into_bytes()
}

fn proto_duration(duration: Duration) -> ProtoDuration {
    ProtoDuration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        // Below 10^9, so it fits.
        nanos: duration.subsec_nanos() as i32,
    }
}
