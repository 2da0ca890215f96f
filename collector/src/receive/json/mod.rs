//! OTLP/JSON to OTLP/protobuf, in one pass and without a tree in between.
//!
//! `opentelemetry-proto` can read OTLP/JSON too, but each span written as `{}` costs it 264 bytes of memory, some ninety
//! for each byte that came; and it refuses enum names, `null`, `"NaN"`, and 32-bit integers in strings. Here the output is
//! about as long as the input at most, whatever comes, and an error names the field.
//!
//! The rules are those of the OTLP specification ("JSON Protobuf Encoding"), and where it is silent, of protobuf's JSON
//! mapping: ids are hex, other bytes base64, 64-bit integers strings or numbers, enums numbers (or names), unknown members
//! are left out (and counted), `null` is absent. Names in snake_case are taken as well: other collectors do, and leaving
//! `resource_spans` out would acknowledge a batch of which nothing is kept. A member that comes twice, or two values in one
//! `AnyValue`, are errors: one of them would be lost without a trace.

mod scalar;
mod schema;
mod transcode;

#[cfg(test)]
mod tests;

use crate::intake::Signal;

/// A request that was read.
#[derive(Debug)]
pub(super) struct Transcoded {
    pub(super) protobuf: Vec<u8>,
    /// Members that OTLP does not have and that are not in `protobuf`.
    pub(super) unknown_members: u64,
}

/// Why a request cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Such as `resourceSpans[0].scopeSpans[0].spans[3].traceId`; `body` if it is not about one field.
    pub(super) field: String,
    pub(super) reason: String,
}

/// `text`, an `Export*ServiceRequest` in OTLP/JSON, as protobuf.
pub(super) fn to_protobuf(signal: Signal, text: &[u8]) -> Result<Transcoded, Fault> {
    let message = match signal {
        Signal::Traces => &schema::TRACES,
        Signal::Logs => &schema::LOGS,
    };
    // Keeping track of the path costs an allocation for each member: only a request that failed is read a second time for it.
    transcode::run(message, text).map_err(|_| transcode::explain(message, text))
}
