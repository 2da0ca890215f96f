//! From a request to the next stage and back: the path that gRPC and HTTP share.

use std::{fmt::Display, sync::Arc};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header::EXPECT};
use http_body::Body;

use super::{
    ReceiveMetrics,
    answer::Answer,
    auth::Gate,
    body,
    denied::Denied,
    grpc,
    in_flight::{Grant, InFlight},
    inflate::{Encoding, grow, inflate},
    json,
    limits::Limits,
    otlp_http,
};
use crate::intake::{Export, Intake, Refusal, Signal};
use crate::receipt;

/// What every connection shares.
pub(super) struct Reception<I> {
    pub(super) intake: Arc<I>,
    pub(super) limits: Limits,
    pub(super) gate: Gate,
    pub(super) budget: Arc<InFlight>,
    pub(super) metrics: Arc<ReceiveMetrics>,
}

/// What a request's head says about its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) signal: Signal,
    pub(super) encoding: Encoding,
    pub(super) format: Format,
    /// The sender wants a receipt.
    pub(super) receipt: bool,
}

/// Whether the sender wants a receipt. A version that is not known is as if it had not asked.
pub(super) fn wants_receipt(headers: &HeaderMap) -> bool {
    headers.get(receipt::ASK).is_some_and(|version| version.as_bytes() == receipt::VERSION_ASKED)
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Protobuf in one length-prefixed gRPC message.
    Grpc,
    /// Protobuf.
    Protobuf,
    /// OTLP/JSON.
    Json,
}

/// Bytes that a format puts around the body: the head of a gRPC message.
const GRPC_HEAD: usize = 5;

/// Work on more bytes than these goes to the threads for blocking work. Compressed, they can inflate a thousandfold:
/// below this size that takes less than some 10 ms.
const INLINE_BYTES: usize = 8 * 1024;

/// Answers any request.
pub(super) async fn answer<I, B>(reception: Arc<Reception<I>>, request: Request<B>) -> Response<Answer>
where
    I: Intake,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    if grpc::is_grpc(request.headers()) {
        grpc::answer(&reception, request).await
    } else {
        otlp_http::answer(&reception, request).await
    }
}

impl<I: Intake> Reception<I> {
    /// Takes the request that `asked` describes; once this returns `Ok` its records are durable.
    /// Gives the receipt, if one was asked for.
    pub(super) async fn take<B>(
        &self,
        asked: Result<Asked, Denied>,
        request: Request<B>,
    ) -> Result<Option<HeaderValue>, Denied>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let (head, mut body) = request.into_parts();
        let result = match asked {
            Ok(asked) => self.export(asked, &mut body).await,
            Err(denied) => Err(denied),
        };
        let denied = match result {
            Ok(receipt) => return Ok(receipt),
            Err(denied) => denied,
        };
        self.metrics.refused(&denied);
        tracing::debug!(path = head.uri.path(), refused = ?denied.code(), "request refused");
        // HTTP/2 ends one stream without the others, and a client that still waits for
        // `100 Continue` has not sent its body.
        let unread = head.version < Version::HTTP_2 && !head.headers.contains_key(EXPECT);
        if unread && !matches!(denied, Denied::Late { .. }) {
            body::discard(&mut body, &self.limits).await;
        }
        Err(denied)
    }

    async fn export<B>(&self, asked: Asked, body: &mut B) -> Result<Option<HeaderValue>, Denied>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        self.metrics.requested(asked.signal);
        let mut grant = self.budget.request().map_err(|no_room| no_room.denied(&self.limits))?;
        let framing = match asked.format {
            Format::Grpc => GRPC_HEAD,
            Format::Protobuf | Format::Json => 0,
        };
        let raw = body::read(body, framing, &self.limits, &mut grant).await?;
        self.metrics.read(raw.len());
        // `grant` lives until the answer: the stages behind hold the bytes as long.
        let (protobuf, _grant) = self.protobuf(asked, raw, grant).await?;
        self.metrics.handed_on(protobuf.len());
        let export = Export { signal: asked.signal, protobuf, wants_receipt: asked.receipt };
        let accepted = self.intake.accept(export).await?;
        self.metrics.accepted(&accepted);
        // It is printable ASCII, which every header takes.
        Ok(accepted.receipt.and_then(|receipt| HeaderValue::try_from(receipt.to_header()).ok()))
    }

    /// The export request inside `raw`, as protobuf.
    async fn protobuf(&self, asked: Asked, raw: Bytes, mut grant: Grant) -> Result<(Bytes, Grant), Denied> {
        let (encoding, raw) = match asked.format {
            Format::Grpc => unframe(asked.encoding, raw)?,
            Format::Protobuf | Format::Json => (asked.encoding, raw),
        };
        let limits = self.limits.clone();
        let metrics = Arc::clone(&self.metrics);
        let light = encoding == Encoding::Identity && asked.format != Format::Json;
        let small = raw.len() <= INLINE_BYTES;
        // The grant goes along: if the client leaves, the work goes on to its end and still is paid for.
        let work = move || {
            let plain = inflate(encoding, raw, &limits, &mut grant)?;
            let protobuf = match asked.format {
                Format::Json => transcode(asked.signal, &plain, &limits, &mut grant, &metrics)?,
                Format::Grpc | Format::Protobuf => plain,
            };
            Ok((protobuf, grant))
        };
        if light || small {
            return work();
        }
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|e| Err(Denied::Behind(Refusal::Failed { reason: format!("decoding did not end: {e}") })))
    }
}

/// JSON becomes protobuf here, so that one decoder, with one set of rules about broken fields, lies behind.
fn transcode(
    signal: Signal,
    text: &[u8],
    limits: &Limits,
    grant: &mut Grant,
    metrics: &ReceiveMetrics,
) -> Result<Bytes, Denied> {
    // The output starts with as much room as the text takes. OTLP is nearly always shorter as protobuf; where it is not, the
    // difference is charged afterwards, and is less than the text once more.
    grow(grant, text.len(), limits)?;
    let done = json::to_protobuf(signal, text).map_err(|fault| Denied::malformed(fault.field, fault.reason))?;
    if done.protobuf.is_empty() && done.unknown_members > 0 {
        // An empty request is good; one that has only what we do not know would be acknowledged and lost.
        let wanted = match signal {
            Signal::Traces => "resourceSpans",
            Signal::Logs => "resourceLogs",
        };
        return Err(Denied::malformed(wanted.to_owned(), "missing: is this another signal's request?".to_owned()));
    }
    metrics.left_out(done.unknown_members);
    if done.protobuf.len() > limits.max_decompressed_bytes {
        return Err(Denied::TooLarge {
            what: "the body as protobuf",
            limit: limits.max_decompressed_bytes,
            setting: "max_decompressed_bytes",
        });
    }
    grow(grant, done.protobuf.len().saturating_sub(text.len()), limits)?;
    grant.shrink(text.len());
    Ok(Bytes::from(done.protobuf))
}

/// The one message in the body of a unary call.
fn unframe(encoding: Encoding, mut raw: Bytes) -> Result<(Encoding, Bytes), Denied> {
    if raw.len() < GRPC_HEAD {
        return Err(Denied::malformed("body", "there is no whole gRPC message in it"));
    }
    let flag = raw.get_u8();
    let announced = raw.get_u32() as usize;
    if announced > raw.len() {
        return Err(Denied::malformed(
            "body",
            format!("the gRPC message ends after {} of {announced} bytes", raw.len()),
        ));
    }
    if announced < raw.len() {
        return Err(Denied::malformed("body", "there is more than one gRPC message in it"));
    }
    match (flag, encoding) {
        (0, _) => Ok((Encoding::Identity, raw)),
        (1, Encoding::Identity) => Err(Denied::malformed(
            "grpc-encoding",
            "the message is marked as compressed, but the header does not say how",
        )),
        (1, encoding) => Ok((encoding, raw)),
        (other, _) => {
            Err(Denied::malformed("body", format!("the gRPC message has the flag {other}; 0 and 1 are known")))
        }
    }
}
