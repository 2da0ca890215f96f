//! What the receive stage counts. Plain numbers: who prints them chooses the format.

use std::sync::atomic::{AtomicU64, Ordering};

use super::denied::Denied;
use crate::intake::{Accepted, Refusal, Signal};

/// Counters of the receive stage. All only grow, except the two gauges, which say so.
#[derive(Debug, Default)]
pub struct ReceiveMetrics {
    /// Export requests for traces that arrived.
    pub requests_traces: AtomicU64,
    /// Export requests for logs that arrived.
    pub requests_logs: AtomicU64,
    /// Export requests that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Body bytes as they came over the wire.
    pub wire_bytes: AtomicU64,
    /// Bytes handed to the next stage: decompressed, as protobuf.
    pub protobuf_bytes: AtomicU64,
    /// Records that the next stage sealed.
    pub records: AtomicU64,
    /// Records that it had sealed before.
    pub duplicate_records: AtomicU64,
    /// Records that it recorded as rejected.
    pub rejected_records: AtomicU64,
    /// Members of OTLP/JSON requests that have no place in OTLP and were left out, as OTLP demands.
    pub json_unknown_members: AtomicU64,
    /// Refused: no room.
    pub refused_full: AtomicU64,
    /// Refused: not readable.
    pub refused_malformed: AtomicU64,
    /// Refused: over a size limit.
    pub refused_too_large: AtomicU64,
    /// Refused: no token, or a wrong one.
    pub refused_unauthenticated: AtomicU64,
    /// Refused: metrics, profiles, unknown paths, methods, types and encodings.
    pub refused_unsupported: AtomicU64,
    /// Refused: the body did not arrive in time.
    pub refused_timeout: AtomicU64,
    /// Refused: the collector is shutting down.
    pub refused_stopping: AtomicU64,
    /// Refused: the ledger is closed.
    pub refused_closed: AtomicU64,
    /// Refused: something broke behind the receive stage.
    pub refused_failed: AtomicU64,
    /// Connections that were accepted.
    pub connections: AtomicU64,
    /// Gauge: connections that are open now.
    pub connections_open: AtomicU64,
    /// TLS handshakes that failed: a client without a certificate, plain text on a TLS port…
    pub tls_handshakes_failed: AtomicU64,
    /// Gauge: bytes that requests under way hold now.
    pub bytes_in_flight: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl ReceiveMetrics {
    pub(super) fn requested(&self, signal: Signal) {
        match signal {
            Signal::Traces => add(&self.requests_traces, 1),
            Signal::Logs => add(&self.requests_logs, 1),
        }
    }

    pub(super) fn accepted(&self, accepted: &Accepted) {
        add(&self.acknowledged, 1);
        add(&self.records, accepted.records);
        add(&self.duplicate_records, accepted.duplicates);
        add(&self.rejected_records, accepted.rejected);
    }

    pub(super) fn read(&self, wire_bytes: usize) {
        add(&self.wire_bytes, wire_bytes as u64);
    }

    pub(super) fn handed_on(&self, protobuf_bytes: usize) {
        add(&self.protobuf_bytes, protobuf_bytes as u64);
    }

    pub(super) fn left_out(&self, members: u64) {
        add(&self.json_unknown_members, members);
    }

    pub(super) fn holds_more(&self, bytes: usize) {
        add(&self.bytes_in_flight, bytes as u64);
    }

    pub(super) fn holds_less(&self, bytes: usize) {
        self.bytes_in_flight.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn handshake_failed(&self) {
        add(&self.tls_handshakes_failed, 1);
    }

    pub(super) fn opened(&self) {
        add(&self.connections, 1);
        add(&self.connections_open, 1);
    }

    pub(super) fn closed(&self) {
        self.connections_open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, denied: &Denied) {
        let counter = match denied {
            Denied::Behind(Refusal::Full { .. }) => &self.refused_full,
            Denied::Behind(Refusal::Malformed { .. }) => &self.refused_malformed,
            Denied::Behind(Refusal::Stopping) => &self.refused_stopping,
            Denied::Behind(Refusal::Closed) => &self.refused_closed,
            Denied::Behind(Refusal::Failed { .. }) => &self.refused_failed,
            Denied::TooLarge { .. } => &self.refused_too_large,
            Denied::Unauthenticated => &self.refused_unauthenticated,
            Denied::Late { .. } => &self.refused_timeout,
            Denied::Signal { .. }
            | Denied::ContentEncoding { .. }
            | Denied::ContentType { .. }
            | Denied::NotFound { .. }
            | Denied::Method { .. }
            | Denied::GrpcNeedsHttp2 => &self.refused_unsupported,
        };
        add(counter, 1);
    }
}
