//! The seam between *receive* and the stages behind it.
//!
//! Receive hands over whole export requests as bytes and answers the sender with what comes back.
//! It knows nothing of records, ledgers or disks; what stands behind [`Intake`] knows nothing of HTTP.

use std::{future::Future, time::Duration};

use bytes::Bytes;

use crate::receipt::Receipt;

/// Which OTLP request the bytes of an [`Export`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest`
    Traces,
    /// `opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest`
    Logs,
}

impl Signal {
    /// The name that configuration, metrics and messages use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }
}

/// One export request, decompressed, within the limits, and not looked into further:
/// the bytes need not be valid protobuf.
#[derive(Clone, Debug)]
pub struct Export {
    /// What the bytes are.
    pub signal: Signal,
    /// The request as protobuf. A request that came as OTLP/JSON was transcoded.
    pub protobuf: Bytes,
    /// The sender wants to know where its records stand.
    pub wants_receipt: bool,
}

/// Why an export was not taken. Nothing of it is acknowledged; each kind tells the sender what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be read. The sender must not send it again.
    Malformed {
        /// Path of the field that is wrong.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No room now. The sender is to come back.
    Full {
        /// Earliest time to come back.
        retry_after: Duration,
        /// What is full: `journal`, `queue`, `bytes in flight`…
        what: &'static str,
    },
    /// The collector is shutting down. The sender is to come back.
    Stopping,
    /// The ledger is closed for good. The sender is to come back: what it holds is for the ledger that continues this one.
    Closed,
    /// Something broke here, and whether the records are durable is not known. The sender is to send them again.
    Failed {
        /// What broke. The sender gets to read it.
        reason: String,
    },
}

/// What became of an export that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Records that were sealed, the rejected ones among them.
    pub records: u64,
    /// Records that had been sealed before and were not sealed again.
    pub duplicates: u64,
    /// Records that could not be read and were recorded as rejected.
    pub rejected: u64,
    /// Where each of them stands, if that was asked and there is any.
    pub receipt: Option<Receipt>,
}

/// Takes exports and makes them durable.
pub trait Intake: Send + Sync + 'static {
    /// Returns `Ok` only once every record of the export is durable: the sender is told so at once.
    ///
    /// The future is dropped at any point where it waits if the sender goes away. The export may then
    /// have become durable or not; the sender was told neither and will send it again.
    fn accept(&self, export: Export) -> impl Future<Output = Result<Accepted, Refusal>> + Send;
}
