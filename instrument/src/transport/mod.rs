//! How records reach a receiver: OTLP over gRPC, OTLP over HTTP, or an exporter that the application gives.
//!
//! A transport sends one request and says what became of it. When to try again is the delivery thread's business.

mod exporter;
mod grpc;
#[cfg(feature = "http")]
mod http;
mod settings;

pub(crate) use exporter::Exporter;
pub use settings::Protocol;
pub(crate) use settings::Settings;

use crate::queue::{Queue, Signal};
use crate::receipts::{Receipt, ReceiptFile};
use crate::warning::Topic;
use crate::{init::InitError, wire};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use std::sync::Arc;

/// What is to be sent: spans as the SDK has them, or records in their wire form.
pub(crate) enum Cargo<'a> {
    Spans(Vec<SpanData>),
    Wire { resource: &'a [u8], records: Vec<Bytes>, signal: Signal },
}

/// Why it was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The receiver may take it later.
    Later(String),
    /// The receiver is full, or the batch is too large for it.
    Full(String),
    /// The receiver will not take this batch as it is.
    Refused(String),
    /// The receiver has no service for this kind of record.
    Unsupported(String),
    /// Time is up.
    Deadline,
}

/// Sends one request at a time.
pub(crate) trait Transport {
    /// Whether it takes records in their wire form; else it takes spans.
    const WIRE: bool;

    async fn send(&self, cargo: Cargo<'_>) -> Result<(), Failure>;

    /// Frees what it holds.
    fn end(&self) {}
}

/// OTLP, by either protocol, with receipts if they are wanted.
pub(crate) struct Otlp {
    channel: Channel,
    receipts: Option<ReceiptFile>,
    queue: Arc<Queue>,
}

enum Channel {
    Grpc(Box<grpc::Client>),
    #[cfg(feature = "http")]
    Http(Box<http::Client>),
}

/// A receiver's answer to a request that it took, at least in part.
struct Answer {
    /// An `ExportTraceServiceResponse`, or an `ExportLogsServiceResponse`, which has the same fields.
    body: Bytes,
    receipt: Option<String>,
}

/// What a request says that wants a receipt, and where the answer has it.
const ASK: &str = "tachograph-receipts";
const ANSWER: &str = "tachograph-receipt";

impl Channel {
    fn new(settings: Settings, ask_for_receipts: bool) -> Result<Self, InitError> {
        match settings.protocol {
            Protocol::Grpc => Ok(Self::Grpc(Box::new(grpc::Client::new(settings, ask_for_receipts)?))),
            #[cfg(feature = "http")]
            Protocol::Http => Ok(Self::Http(Box::new(http::Client::new(settings, ask_for_receipts)?))),
            #[cfg(not(feature = "http"))]
            Protocol::Http => Err(InitError::Feature { wanted: "OTLP over HTTP".to_owned(), feature: "http" }),
        }
    }

    async fn send(&self, request: Bytes, signal: Signal) -> Result<Answer, Failure> {
        match self {
            Self::Grpc(client) => client.send(request, signal).await,
            #[cfg(feature = "http")]
            Self::Http(client) => client.send(request, signal).await,
        }
    }
}

impl Otlp {
    /// To be called within a runtime. Connects when there is something to send.
    pub(crate) fn new(settings: Settings, receipts: Option<ReceiptFile>, queue: Arc<Queue>) -> Result<Self, InitError> {
        let ask = receipts.is_some();
        Ok(Self { channel: Channel::new(settings, ask)?, receipts, queue })
    }

    /// Keeps what the answer says. The records are acknowledged whatever becomes of their receipts.
    fn keep(&self, file: &ReceiptFile, answer: Option<&str>, event_ids: &[String]) {
        let Some(answer) = answer else {
            self.warn(|| {
                "the receiver gives no receipts (a Tachograph collector of this release does): none are kept".to_owned()
            });
            return;
        };
        let Some(receipt) = Receipt::parse(answer, event_ids.len()) else {
            self.warn(|| format!("a receipt for {} records is not understood and is not kept", event_ids.len()));
            return;
        };
        if let Err(error) = file.append(&receipt.lines(event_ids)) {
            self.warn(|| format!("receipts can't be written: {error}"));
        }
    }

    fn warn(&self, line: impl FnOnce() -> String) {
        self.queue.warnings().say(Topic::Receipts, line);
    }
}

impl Transport for Otlp {
    const WIRE: bool = true;

    async fn send(&self, cargo: Cargo<'_>) -> Result<(), Failure> {
        let Cargo::Wire { resource, records, signal } = cargo else {
            return Err(Failure::Later("a span that was not encoded".to_owned()));
        };
        let request = wire::request(resource, &records);
        let answer = self.channel.send(request, signal).await?;
        taken_whole(&answer.body)?;
        if let Some(file) = &self.receipts {
            // The receipt follows the request's order.
            let event_ids: Vec<_> = records.iter().map(|record| wire::event_id(record, signal)).collect();
            self.keep(file, answer.receipt.as_deref(), &event_ids);
        }
        Ok(())
    }
}

/// A receiver that took only part of a request says so in its answer, with success. That is no success of ours.
fn taken_whole(answer: &[u8]) -> Result<(), Failure> {
    // An answer that is not understood comes from a receiver that said success: OTLP's answers are empty as a rule.
    let Ok(answer) = ExportTraceServiceResponse::decode(answer) else { return Ok(()) };
    match answer.partial_success {
        Some(partial) if partial.rejected_spans > 0 => Err(Failure::Refused(format!(
            "it rejects {} of the request's records (partial success)",
            partial.rejected_spans
        ))),
        _ => Ok(()),
    }
}

/// An error and what caused it, on one line.
fn with_causes(mut text: String, error: &dyn std::error::Error) -> String {
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::time::Duration;

    /// A receiver that takes connections and says nothing.
    #[test]
    fn what_is_not_answered_takes_its_connection_with_it() {
        let protocols: &[Protocol] =
            if cfg!(feature = "http") { &[Protocol::Grpc, Protocol::Http] } else { &[Protocol::Grpc] };
        for protocol in protocols {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
            let (connections, came) = mpsc::sync_channel(8);
            std::thread::spawn(move || {
                for connection in listener.incoming() {
                    if connections.send(connection).is_err() {
                        break;
                    }
                }
            });
            let variable = |name: &str| (name == "OTEL_EXPORTER_OTLP_TIMEOUT").then(|| "200".to_owned());
            let settings = Settings::from(Some(*protocol), Some(endpoint), &variable).expect("settings");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = Channel::new(settings, false).expect("a client");
                for _ in 0..2 {
                    let failure = client.send(Bytes::new(), Signal::Span).await.err();
                    assert!(matches!(failure, Some(Failure::Later(_))), "{failure:?}");
                }
            });
            let _held: Vec<_> =
                (0..2).map(|_| came.recv_timeout(Duration::from_secs(30)).expect("a connection")).collect();
        }
    }

    #[test]
    fn a_partial_success_is_a_refusal_and_a_remark_is_none() {
        let answer = |rejected_spans| {
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message: "hm".to_owned() });
            ExportTraceServiceResponse { partial_success }.encode_to_vec()
        };
        assert_eq!(taken_whole(&[]), Ok(()));
        assert_eq!(taken_whole(&answer(0)), Ok(()));
        assert!(matches!(taken_whole(&answer(3)), Err(Failure::Refused(reason)) if reason.contains("3 of")));
    }
}
