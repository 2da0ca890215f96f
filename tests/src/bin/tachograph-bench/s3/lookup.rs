//! One record out of millions, found by its output path with DuckDB over S3: how many bytes that reads.
//!
//! The archive is written by the archive's own code, without a collector before it: ten days of records, in segments as large as
//! the default allows.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph_exporters::archive::Retention;
use tachograph_exporters::archive::store::Store;
use tachograph_exporters::archive::store::s3::{Brief, S3Settings, S3Store};
use tachograph_ledger::Lock;

use super::server::{Bucket, Server};
use crate::ingest::round;
use crate::written::{Days, Written, path_of};

const RECORDS: u64 = 10_000_000;
const DAYS: u64 = 10;

/// How many records, and most of them in a segment: for trying, and for archives of small segments.
fn size() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (
        number("TACHOGRAPH_BENCH_RECORDS").unwrap_or(RECORDS),
        number("TACHOGRAPH_BENCH_SEGMENT_RECORDS").unwrap_or(u64::MAX),
    )
}

pub(crate) fn run(server: &Server) -> Value {
    let bucket = server.bucket("lookup");
    let (records, of_segment) = size();
    let began = Instant::now();
    let written = write(&bucket, records, of_segment);
    let took = began.elapsed().as_secs_f64();
    let wanted: Vec<u64> = [3, 37, 71].map(|share| records * share / 100).to_vec();
    let queries: Vec<Value> = wanted
        .iter()
        .map(|index| (path_of(*index), Some(written.days.day_of(*index))))
        // One that is nowhere, though it lies between others.
        .chain([(path_of(records), None)])
        .flat_map(|(path, day)| {
            // By the path alone, and by the path within a day of which whoever asks has an idea.
            let days = [None, day.clone()];
            let days = if day.is_some() { &days[..] } else { &days[..1] };
            days.iter().map(|day| query(server, &bucket, &path, day.as_deref(), &written)).collect::<Vec<_>>()
        })
        .collect();
    json!({
        "records": records,
        "segments": written.segments,
        "records_mb": round(written.records_bytes as f64 / 1e6),
        "leaves_mb": round(written.leaves_bytes as f64 / 1e6),
        "body_bytes_per_record": written.body_bytes / records,
        "seconds_to_write": round(took),
        "queries": queries,
    })
}

/// One query in a DuckDB of its own, and what the server sent for it.
fn query(server: &Server, bucket: &Bucket, path: &str, day: Option<&str>, written: &Written) -> Value {
    let python = std::env::var("TACHOGRAPH_TEST_PYTHON").expect("TACHOGRAPH_TEST_PYTHON: run `cargo xtask bench`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/lookup.py");
    let before = server.counters();
    let mut command = Command::new(python);
    command.arg(script).args([bucket.endpoint(), bucket.name(), path]).args(day);
    let output = command.output().expect("python");
    assert!(output.status.success(), "lookup.py: {}", String::from_utf8_lossy(&output.stderr));
    let mut answer: Value = serde_json::from_slice(&output.stdout).expect("lookup.py prints JSON");
    // The server counts a request when its answer is out.
    thread::sleep(Duration::from_millis(500));
    let counted = server.counters().since(&before);
    answer["requests"] = json!(counted.requests);
    answer["sent_mb"] = json!(round(counted.sent as f64 / 1e6));
    answer["share_of_records_percent"] = json!(round(counted.sent as f64 / written.records_bytes as f64 * 100.0));
    answer
}

fn write(bucket: &Bucket, records: u64, of_segment: u64) -> Written {
    let keep = Duration::from_secs(24 * 3600);
    let retention = Retention { lock: Lock::Compliance, default: keep, classes: Vec::new(), proofs: keep };
    let spool = tempfile::tempdir().expect("a spool");
    let settings =
        S3Settings { lock: Lock::Compliance, spool: spool.path().to_owned(), ..S3Settings::of_url(&bucket.url()) };
    let store: Arc<dyn Store> = Arc::new(S3Store::writer(settings, Arc::new(Brief), "bench").expect("the bucket"));
    Days::before_today(DAYS, records).write(&store, Some(retention), of_segment)
}
