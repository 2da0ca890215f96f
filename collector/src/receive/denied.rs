//! Every reason for which a request is refused, and what each means in gRPC, in HTTP and to the sender.

use std::time::Duration;

use http::StatusCode;

use crate::intake::Refusal;

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The stages behind refused it, or this one did for a reason that they have too.
    Behind(Refusal),
    TooLarge {
        /// What is too large: `the body`, `the decompressed body`.
        what: &'static str,
        limit: usize,
        /// The setting of [`Limits`](super::Limits) that says so.
        setting: &'static str,
    },
    Unauthenticated,
    /// A signal that is not recorded here.
    Signal {
        name: &'static str,
    },
    ContentEncoding {
        found: String,
    },
    ContentType {
        found: String,
    },
    NotFound {
        path: String,
    },
    Method {
        found: String,
    },
    GrpcNeedsHttp2,
    /// The body did not arrive in time.
    Late {
        limit: Duration,
    },
}

/// The status codes of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// When to come back after a failure whose end is not known.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(5);

impl Denied {
    pub(super) fn malformed(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Behind(Refusal::Malformed { field: field.into(), reason: reason.into() })
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::Behind(Refusal::Malformed { .. }) | Self::TooLarge { .. } => {
                // RESOURCE_EXHAUSTED would be the usual code of a message that is too large, but to an
                // OTLP sender it means "come back later", and this message will never fit.
                Code::InvalidArgument
            }
            Self::Behind(Refusal::Full { .. }) => Code::ResourceExhausted,
            Self::Behind(Refusal::Stopping | Refusal::Closed | Refusal::Failed { .. }) => Code::Unavailable,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Signal { .. }
            | Self::ContentEncoding { .. }
            | Self::ContentType { .. }
            | Self::Method { .. }
            | Self::NotFound { .. }
            | Self::GrpcNeedsHttp2 => Code::Unimplemented,
            Self::Late { .. } => Code::DeadlineExceeded,
        }
    }

    pub(super) fn http_status(&self) -> StatusCode {
        match self {
            Self::Behind(Refusal::Malformed { .. }) => StatusCode::BAD_REQUEST,
            Self::Behind(Refusal::Full { .. }) => StatusCode::TOO_MANY_REQUESTS,
            // A late body is often a slow network, not a bad sender. 408 would say so, but OTLP senders
            // drop what gets 408 and repeat what gets 503.
            Self::Behind(Refusal::Stopping | Refusal::Closed | Refusal::Failed { .. }) | Self::Late { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Signal { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::ContentEncoding { .. } | Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::GrpcNeedsHttp2 => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    /// When the sender is to come back; `None` if it must not.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Behind(Refusal::Full { retry_after, .. }) => Some(*retry_after),
            Self::Behind(Refusal::Stopping | Refusal::Closed | Refusal::Failed { .. }) | Self::Late { .. } => {
                Some(RETRY_AFTER_FAILURE)
            }
            _ => None,
        }
    }

    /// The field that is wrong, and what is wrong with it.
    pub(super) fn violation(&self) -> Option<(&str, &str)> {
        match self {
            Self::Behind(Refusal::Malformed { field, reason }) => Some((field, reason)),
            _ => None,
        }
    }

    /// For the sender: names the thing and the remedy.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Behind(Refusal::Malformed { field, reason }) => format!("{field}: {reason}"),
            Self::Behind(Refusal::Full { what, .. }) => {
                format!("no room now ({what}); nothing was acknowledged, send it again later")
            }
            Self::Behind(Refusal::Stopping) => {
                "the collector is shutting down; nothing was recorded, send it again later".into()
            }
            Self::Behind(Refusal::Closed) => {
                "this ledger is closed; nothing was recorded, send it again later: the ledger that continues it will take it".into()
            }
            Self::Behind(Refusal::Failed { reason }) => {
                format!("not acknowledged, send it again later: {reason}")
            }
            Self::TooLarge { what, limit, setting } => {
                format!("{what} is larger than {limit} bytes ({setting}); send smaller batches or raise {setting}")
            }
            Self::Unauthenticated => "a valid token is needed: send the header `authorization: Bearer <token>`".into(),
            Self::Signal { name } => format!(
                "Tachograph records traces and logs; {name} belong elsewhere: point the sender's {name} exporter at another collector or switch it off"
            ),
            Self::ContentEncoding { found } => {
                format!("encoding `{found}` is not supported; use gzip, zstd or identity")
            }
            Self::ContentType { found } => format!(
                "content type `{found}` is not supported; use application/x-protobuf, application/json or application/grpc"
            ),
            Self::NotFound { path } => format!(
                "there is nothing at `{path}`; OTLP is taken at /v1/traces and /v1/logs, and as gRPC by opentelemetry.proto.collector.{{trace,logs}}.v1"
            ),
            Self::Method { found } => format!("method {found} is not allowed; use POST"),
            Self::GrpcNeedsHttp2 => "gRPC needs HTTP/2".into(),
            Self::Late { limit } => format!(
                "the body did not arrive within {} s (request_timeout); nothing was recorded, send it again",
                limit.as_secs_f64()
            ),
        }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Behind(refusal)
    }
}
