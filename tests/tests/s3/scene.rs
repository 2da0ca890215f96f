//! What the tests share: one server, one ledger that was stopped in good order, and how a ledger must be in the end.

use std::sync::{LazyLock, OnceLock};

use opentelemetry_proto::tonic::trace::v1::Span;
use tachograph_exporters::verify::Axis;
use tachograph_record::EventId;
use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::collector::Collector;
use tachograph_tests::command::Verified;
use tachograph_tests::home::Home;
use tachograph_tests::http::export;
use tachograph_tests::minio::Minio;
use tachograph_tests::otlp::{self, Events};
use tachograph_tests::seed::Random;
use tachograph_tests::stored;

/// The server; all buckets but those of an outage are in it.
pub(crate) static SERVER: LazyLock<Minio> = LazyLock::new(Minio::start);

/// Sends spans, which must be acknowledged.
#[track_caller]
pub(crate) fn send(collector: &Collector, spans: &[Span]) {
    let answer = export(collector.http, "/v1/traces", &otlp::request(spans.to_vec()));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The public key of a home's ledger, for `--key`.
pub(crate) fn key(home: &Home) -> String {
    home.data().join("ledger.vkey").display().to_string()
}

/// No fork, no loss, nothing twice, nothing unlocked or hidden: what an auditor says who has only the key.
#[track_caller]
pub(crate) fn expect_verified(home: &Home, bucket: &Bucket) -> Verified {
    let (key, mac_key, checkpoint) =
        (key(home), home.data().join("mac-escrow.key").display().to_string(), home.data().join("checkpoint"));
    let checkpoint = checkpoint.display().to_string();
    let verified = bucket.verify(&["--key", &key, "--mac-key", &mac_key, "--checkpoint", &checkpoint]);
    verified.expect_clean();
    for axis in [Axis::Storage, Axis::NonEquivocation] {
        assert_eq!(verified.verdict(axis), "pass", "{axis:?}: {:#}", verified.report);
    }
    verified
}

/// The bucket holds each acknowledged event once and no other, and verifies.
#[track_caller]
pub(crate) fn expect_all_in_good_order(home: &Home, bucket: &Bucket, acknowledged: &[EventId]) {
    let counts = stored::counts(&bucket.records());
    stored::expect_once(&counts, acknowledged);
    assert_eq!(counts.len(), acknowledged.len(), "the ledger holds events that nobody was told of");
    expect_verified(home, bucket);
}

/// A ledger of several segments that was stopped in good order.
pub(crate) struct Archived {
    pub(crate) home: Home,
    pub(crate) bucket: Bucket,
}

impl Archived {
    pub(crate) fn new(mode: Mode) -> Self {
        let bucket = Bucket::make(&SERVER, mode);
        let home = Home::in_s3(&bucket.config());
        let events = Events::new(&mut Random::of_test("s3, archived"));
        let collector = home.start();
        for count in [40, 60, 30] {
            send(&collector, &events.generations(count).1);
            collector.wait_archived();
        }
        collector.stop();
        expect_verified(&home, &bucket);
        Self { home, bucket }
    }

    /// One in mode compliance that all tests look at and none changes.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Archived> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(Mode::Compliance))
    }
}

/// What a verification says in all: reasons, findings, what could not be read, what is no part of it.
pub(crate) fn said(verified: &Verified) -> String {
    format!("{:#}", verified.report)
}
