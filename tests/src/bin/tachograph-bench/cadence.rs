//! What it costs to read a day that was archived in many small segments instead of few large ones: one day of even traffic, written
//! with a segment every so many seconds.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};

use crate::collector::binary;
use crate::ingest::{round, size_on_disk};
use crate::verify::timed;
use crate::written::{Days, path_of};

const RECORDS: u64 = 1_000_000;
/// Seconds between two segments: what the default budget of objects gives, and one and twelve a minute.
const PERIODS: [u64; 3] = [60, 23, 5];
const SECONDS_PER_DAY: u64 = 86_400;
/// The first of them warms the page cache.
const ROUNDS: usize = 4;

pub(crate) fn run(dir: &Path) -> Value {
    let records = std::env::var("TACHOGRAPH_BENCH_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(RECORDS);
    let periods = PERIODS.map(|seconds| {
        let place = dir.join(format!("tachograph-bench-cadence-{seconds}"));
        let _ = std::fs::remove_dir_all(&place);
        let numbers = one(&place, records, seconds);
        let _ = std::fs::remove_dir_all(&place);
        numbers
    });
    json!({ "records_in_a_day": records, "periods": periods })
}

fn one(place: &Path, records: u64, seconds: u64) -> Value {
    let began = Instant::now();
    let store: Arc<dyn Store> =
        Arc::new(DirectoryStore::writer(place, DirectorySettings::default()).expect("a directory"));
    let written = Days::before_today(1, records).write(&store, None, (records * seconds / SECONDS_PER_DAY).max(1));
    let seconds_to_write = began.elapsed().as_secs_f64();
    drop(store);
    // Beside it: a directory with a key file is taken for a data directory.
    let key = place.with_extension("vkey");
    std::fs::write(&key, Days::key().public().to_line()).expect("a key file");
    let path = path_of(records * 37 / 100);
    let tachograph = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments);
        timed(&mut command)
    };
    let (archive, key) = (place.to_str().expect("a name"), key.to_str().expect("a name"));
    let rounds: Vec<Value> = (0..ROUNDS)
        .map(|_| {
            json!({
                "verify_one_thread_seconds": round(tachograph(&["verify", archive, "--key", key, "--threads", "1"])),
                "trace_by_output_path_seconds": round(tachograph(&["trace", &path, "--data", archive])),
                "duckdb_seconds": queries(archive, &path),
            })
        })
        .skip(1)
        .collect();
    json!({
        "seconds_between_segments": seconds,
        "segments": written.segments,
        "body_mb": round(written.body_bytes as f64 / 1e6),
        "records_objects_mb": round(written.records_bytes as f64 / 1e6),
        "leaves_objects_mb": round(written.leaves_bytes as f64 / 1e6),
        "on_disk_mb": round(size_on_disk(place) as f64 / 1e6),
        "seconds_to_write": round(seconds_to_write),
        "rounds": rounds,
    })
}

fn queries(archive: &str, path: &str) -> Value {
    let python = std::env::var("TACHOGRAPH_TEST_PYTHON").expect("TACHOGRAPH_TEST_PYTHON: run `cargo xtask bench`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/day.py");
    let output = Command::new(python).arg(script).args([archive, path]).output().expect("python");
    assert!(output.status.success(), "day.py: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("day.py prints JSON")
}
