//! OTLP over gRPC. Requests are bytes already, so the codec only passes them through.

use super::{ANSWER, ASK, Answer, Failure, Settings, with_causes};
use crate::init::InitError;
use crate::queue::Signal;
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use std::cell::Cell;
use std::error::Error as _;
use std::time::Duration;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

const SPANS: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

pub(super) struct Client {
    endpoint: Endpoint,
    /// The connection, if what was last asked on it was answered.
    channel: Cell<Option<Channel>>,
    metadata: MetadataMap,
    timeout: Duration,
    #[cfg(feature = "gzip")]
    gzip: bool,
}

impl Client {
    pub(super) fn new(settings: Settings, ask_for_receipts: bool) -> Result<Self, InitError> {
        let wrong = |error: tonic::transport::Error| settings.wrong_endpoint(with_causes(error.to_string(), &error));
        let endpoint =
            Endpoint::from_shared(settings.endpoint.clone()).map_err(wrong)?.connect_timeout(settings.timeout);
        #[cfg(feature = "tls")]
        let endpoint = if settings.is_https() {
            use tonic::transport::{Certificate, ClientTlsConfig};
            let tls = match settings.certificate()? {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            endpoint.tls_config(tls).map_err(wrong)?
        } else {
            endpoint
        };
        let mut metadata = MetadataMap::from_headers(settings.headers);
        if ask_for_receipts {
            metadata.insert(ASK, AsciiMetadataValue::from_static("1"));
        }
        Ok(Self {
            endpoint,
            channel: Cell::new(None),
            metadata,
            timeout: settings.timeout,
            #[cfg(feature = "gzip")]
            gzip: settings.gzip,
        })
    }

    /// A connection on which no answer came is left: it may hang for as long as its other end says nothing. Whoever gives up waiting for
    /// this leaves it too. Pings would find that out no sooner, and receivers commonly forbid them more often than each few minutes.
    pub(super) async fn send(&self, body: Bytes, signal: Signal) -> Result<Answer, Failure> {
        let channel = self.channel.take().unwrap_or_else(|| self.endpoint.connect_lazy());
        let exchange = self.exchange(channel.clone(), body, signal);
        let Ok(outcome) = tokio::time::timeout(self.timeout, exchange).await else {
            return Err(Failure::Later(format!("no answer within {:?}", self.timeout)));
        };
        if outcome.as_ref().err().is_none_or(is_an_answer) {
            self.channel.set(Some(channel));
        }
        outcome.map_err(|status| judge(&status))
    }

    async fn exchange(&self, channel: Channel, body: Bytes, signal: Signal) -> Result<Answer, Status> {
        let mut grpc = tonic::client::Grpc::new(channel);
        #[cfg(feature = "gzip")]
        if self.gzip {
            grpc = grpc.send_compressed(tonic::codec::CompressionEncoding::Gzip);
        }
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.timeout);
        let path = PathAndQuery::from_static(match signal {
            Signal::Span => SPANS,
            Signal::Log => LOGS,
        });
        let answer = grpc.unary(request, path, Bare).await?;
        let receipt = answer.metadata().get(ANSWER).and_then(|answer| answer.to_str().ok()).map(ToOwned::to_owned);
        Ok(Answer { receipt, body: answer.into_inner() })
    }
}

/// Whether the receiver said this, and not the connection.
fn is_an_answer(status: &Status) -> bool {
    status.source().is_none() && !matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded)
}

fn judge(status: &Status) -> Failure {
    // The code, and why no answer came, but not what the receiver says, which may echo a token.
    let reason = with_causes(format!("export failed with gRPC code: {:?}", status.code()), status);
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => Failure::Refused(reason),
        Code::ResourceExhausted => Failure::Full(reason),
        Code::Unimplemented => Failure::Unsupported(reason),
        _ => Failure::Later(reason),
    }
}

/// Bytes in, bytes out.
#[derive(Clone, Copy, Default)]
struct Bare;

impl Codec for Bare {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bare {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Bare {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
