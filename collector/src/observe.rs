//! What the collector counts of itself, in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::receive::ReceiveMetrics;
use crate::witness::WitnessMetrics;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Sets it and gives what it was.
    pub fn replace(&self, n: u64) -> u64 {
        self.0.swap(n, Ordering::Relaxed)
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets of a [`Histogram`], in microseconds.
const BUCKETS_US: [u64; 12] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000];

/// Durations, in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(at) = BUCKETS_US.iter().position(|bound| us <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }
}

/// What the stages behind receive count.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Records sealed.
    pub sealed: Counter,
    /// Records that had been sealed before.
    pub duplicates: Counter,
    /// Records whose event id had been sealed with other content.
    pub conflicts: Counter,
    /// Group commits.
    pub groups: Counter,
    /// Time of write and fsync of a group.
    pub fsync: Histogram,
    /// Bytes in the journal.
    pub journal_bytes: Gauge,
    /// 1 while the journal has no room.
    pub journal_full: Gauge,
    /// 1 once the ledger is closed.
    pub closed: Gauge,
    /// When the oldest record that is not archived yet was sealed, nanoseconds since 1970; 0 if there is none.
    pub oldest_unarchived: Gauge,
    /// Index of the next record.
    pub next_index: Gauge,
    /// Records archived.
    pub archived: Gauge,
    /// Segments archived.
    pub segments: Counter,
    /// Objects written to the archive.
    pub objects: Counter,
    /// Most bytes that the journal may have.
    pub journal_max_bytes: Gauge,
    /// How far the store's clock is from this machine's, in milliseconds, as an absolute value.
    pub store_clock_skew_ms: Gauge,
    /// Attempts to archive that failed and are tried again.
    pub archive_retries: Counter,
    /// Attempts to have something signed that failed.
    pub signing_failures: Counter,
    /// Since when the ledger's key can't sign, nanoseconds since 1970; 0 if it can, as far as it was asked.
    pub signing_failing_since: Gauge,
    /// Records under a time stamp.
    pub timestamped: Gauge,
    /// Attempts to get a time stamp, or to seal its hash, that failed.
    pub timestamp_failures: Counter,
    /// Since when there is something that no authority has stamped, nanoseconds since 1970; 0 if there is nothing.
    pub timestamp_waiting_since: Gauge,
    /// When the first of the newest tokens' certificates ends, nanoseconds since 1970; 0 if there is none.
    pub timestamp_expires: Gauge,
    /// Expressions of retention classes that could not be evaluated on a record.
    pub class_errors: Counter,
    /// Signatures, chains or hashes of our own that did not verify. Anything but 0 is an alarm.
    pub verification_failures: Counter,
    /// Of witnesses, if any are asked.
    pub witness: OnceLock<Arc<WitnessMetrics>>,
}

impl Metrics {
    /// All metrics as text. `now_nanos` dates the ages.
    pub fn render(&self, receive: &ReceiveMetrics, ready: bool, now_nanos: u64) -> String {
        let mut page = Page::default();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.family("tachograph_receive_requests_total", "counter", "Export requests that arrived, by signal.");
        page.labelled("signal", "traces", load(&receive.requests_traces));
        page.labelled("signal", "logs", load(&receive.requests_logs));
        page.single(
            "tachograph_receive_acknowledged_requests_total",
            "counter",
            "Export requests acknowledged after fsync.",
            load(&receive.acknowledged),
        );
        page.single(
            "tachograph_receive_wire_bytes_total",
            "counter",
            "Body bytes as they came.",
            load(&receive.wire_bytes),
        );
        page.single(
            "tachograph_receive_protobuf_bytes_total",
            "counter",
            "Body bytes after decompression, as protobuf.",
            load(&receive.protobuf_bytes),
        );
        page.family("tachograph_receive_records_total", "counter", "Records acknowledged, by what became of them.");
        page.labelled("result", "sealed", load(&receive.records).saturating_sub(load(&receive.rejected_records)));
        page.labelled("result", "duplicate", load(&receive.duplicate_records));
        page.labelled("result", "rejected", load(&receive.rejected_records));
        page.family(
            "tachograph_receive_refused_requests_total",
            "counter",
            "Export requests refused, by reason. Nothing of them was acknowledged.",
        );
        for (reason, counter) in [
            ("full", &receive.refused_full),
            ("malformed", &receive.refused_malformed),
            ("too_large", &receive.refused_too_large),
            ("unauthenticated", &receive.refused_unauthenticated),
            ("unsupported", &receive.refused_unsupported),
            ("timeout", &receive.refused_timeout),
            ("stopping", &receive.refused_stopping),
            ("closed", &receive.refused_closed),
            ("failed", &receive.refused_failed),
        ] {
            page.labelled("reason", reason, load(counter));
        }
        page.single(
            "tachograph_receive_connections_total",
            "counter",
            "Connections accepted.",
            load(&receive.connections),
        );
        page.single(
            "tachograph_receive_connections_open",
            "gauge",
            "Connections open.",
            load(&receive.connections_open),
        );
        page.single(
            "tachograph_receive_tls_handshakes_failed_total",
            "counter",
            "TLS handshakes that failed.",
            load(&receive.tls_handshakes_failed),
        );
        page.single(
            "tachograph_receive_bytes_in_flight",
            "gauge",
            "Bytes held by requests under way.",
            load(&receive.bytes_in_flight),
        );
        page.single(
            "tachograph_receive_json_unknown_members_total",
            "counter",
            "Members of OTLP/JSON requests that OTLP does not know.",
            load(&receive.json_unknown_members),
        );

        page.single(
            "tachograph_sealed_records_total",
            "counter",
            "Records sealed and durable since start.",
            self.sealed.get(),
        );
        page.single(
            "tachograph_duplicate_records_total",
            "counter",
            "Records that had been sealed before and were not sealed again.",
            self.duplicates.get(),
        );
        page.single(
            "tachograph_conflicting_records_total",
            "counter",
            "Records with the event id of an earlier one but other content.",
            self.conflicts.get(),
        );
        page.single("tachograph_group_commits_total", "counter", "Frames written and synced.", self.groups.get());
        page.histogram("tachograph_fsync_seconds", "Write and fsync of one frame.", &self.fsync);
        page.single("tachograph_journal_bytes", "gauge", "Bytes in the journal.", self.journal_bytes.get());
        page.single(
            "tachograph_journal_max_bytes",
            "gauge",
            "Bytes that the journal may have before senders are refused.",
            self.journal_max_bytes.get(),
        );
        page.single("tachograph_journal_full", "gauge", "1 while the journal has no room.", self.journal_full.get());
        page.single(
            "tachograph_closed",
            "gauge",
            "1 once the ledger is closed: it takes no more records of senders.",
            self.closed.get(),
        );
        page.single("tachograph_next_index", "gauge", "Index that the next record gets.", self.next_index.get());
        page.single("tachograph_archived_records", "gauge", "Records in the archive.", self.archived.get());
        page.single(
            "tachograph_archive_lag_records",
            "gauge",
            "Durable records that are not archived yet.",
            self.next_index.get().saturating_sub(self.archived.get()),
        );
        let oldest = self.oldest_unarchived.get();
        let age = if oldest == 0 { 0.0 } else { now_nanos.saturating_sub(oldest) as f64 / 1e9 };
        page.single(
            "tachograph_archive_lag_seconds",
            "gauge",
            "Age of the oldest record that is not archived yet.",
            format_args!("{age:.3}"),
        );
        page.single(
            "tachograph_archive_segments_total",
            "counter",
            "Segments archived since start.",
            self.segments.get(),
        );
        page.single(
            "tachograph_archive_objects_total",
            "counter",
            "Objects written to the archive.",
            self.objects.get(),
        );
        page.single(
            "tachograph_archive_clock_skew_seconds",
            "gauge",
            "How far the store's clock is from this machine's, by its last answers.",
            format_args!("{:.3}", self.store_clock_skew_ms.get() as f64 / 1e3),
        );
        page.single(
            "tachograph_archive_retries_total",
            "counter",
            "Attempts to archive that failed and are tried again.",
            self.archive_retries.get(),
        );
        page.single(
            "tachograph_archive_class_errors_total",
            "counter",
            "Expressions of retention classes that could not be evaluated on a record: it is kept as the longest that may take it.",
            self.class_errors.get(),
        );
        page.single(
            "tachograph_signing_failures_total",
            "counter",
            "Attempts to have a commit or a checkpoint signed that failed. Nothing is archived meanwhile.",
            self.signing_failures.get(),
        );
        let since = self.signing_failing_since.get();
        let failing = if since == 0 { 0.0 } else { (now_nanos.saturating_sub(since) as f64 / 1e9).max(0.001) };
        page.single(
            "tachograph_signing_failing_seconds",
            "gauge",
            "How long the ledger's key has not been able to sign; 0 if it is.",
            format_args!("{failing:.3}"),
        );
        page.single(
            "tachograph_timestamped_records",
            "gauge",
            "Records under a time stamp from outside.",
            self.timestamped.get(),
        );
        page.single(
            "tachograph_timestamp_failures_total",
            "counter",
            "Attempts to get a time stamp, or to seal its hash, that failed.",
            self.timestamp_failures.get(),
        );
        let since = self.timestamp_waiting_since.get();
        let lag = if since == 0 { 0.0 } else { now_nanos.saturating_sub(since) as f64 / 1e9 };
        page.single(
            "tachograph_timestamp_lag_seconds",
            "gauge",
            "How long archived records have been waiting for a time stamp.",
            format_args!("{lag:.3}"),
        );
        let expires = self.timestamp_expires.get();
        let left = match expires {
            0 => "+Inf".to_owned(),
            expires => format!("{:.0}", (expires as f64 - now_nanos as f64) / 1e9),
        };
        page.single(
            "tachograph_timestamp_certificate_expiry_seconds",
            "gauge",
            "Time until the certificate of a newest time stamp ends, negative if it has; +Inf without one.",
            left,
        );
        page.single(
            "tachograph_verification_failures_total",
            "counter",
            "Own signatures, chains or hashes that did not verify. Anything but 0 is an alarm.",
            self.verification_failures.get(),
        );
        if let Some(witness) = self.witness.get() {
            witness.render(&mut page, now_nanos);
        }
        page.single("tachograph_ready", "gauge", "1 if records are taken.", u8::from(ready));
        page.text
    }
}

/// A page of metrics that is being written.
#[derive(Default)]
pub(crate) struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(crate) fn labelled(&mut self, label: &str, value: &str, number: impl fmt::Display) {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(self.text, "{}{{{label}=\"{value}\"}} {number}", self.family);
    }

    pub(crate) fn single(&mut self, name: &'static str, kind: &str, help: &str, number: impl fmt::Display) {
        self.family(name, kind, help);
        let _ = writeln!(self.text, "{name} {number}");
    }

    fn histogram(&mut self, name: &'static str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let mut below = 0;
        for (bound, bucket) in BUCKETS_US.iter().zip(&histogram.buckets) {
            below += bucket.load(Ordering::Relaxed);
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{}\"}} {below}", *bound as f64 / 1e6);
        }
        let count = histogram.count.load(Ordering::Relaxed);
        let sum = histogram.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_prometheus_text() {
        let metrics = Metrics::default();
        metrics.fsync.observe(Duration::from_micros(300));
        metrics.fsync.observe(Duration::from_secs(9));
        metrics.sealed.add(2);
        let page = metrics.render(&ReceiveMetrics::default(), true, 0);
        for line in [
            "# TYPE tachograph_fsync_seconds histogram",
            "tachograph_fsync_seconds_bucket{le=\"0.00025\"} 0",
            "tachograph_fsync_seconds_bucket{le=\"0.0005\"} 1",
            "tachograph_fsync_seconds_bucket{le=\"2\"} 1",
            "tachograph_fsync_seconds_bucket{le=\"+Inf\"} 2",
            "tachograph_sealed_records_total 2",
            "tachograph_receive_refused_requests_total{reason=\"full\"} 0",
            "tachograph_ready 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} missing in\n{page}");
        }
    }
}
