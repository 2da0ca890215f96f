//! From an acknowledgement to the checkpoint object that covers the record.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph_exporters::archive::store::Store;

use super::server::{Bucket, Server};
use crate::collector::{Collector, new_ledger};
use crate::latency::at;
use crate::load::Line;

const BATCH: u64 = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// How often the bucket is listed: the error of a measurement.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(server: &Server, dir: &Path, seconds: u64) -> Value {
    let rounds = [2, 10].map(|age| {
        let bucket = server.bucket(&format!("freshness-{age}"));
        let mut micros = one(&bucket, dir, age, Duration::from_secs(seconds.max(6 * age)));
        micros.sort_unstable();
        json!({
            "max_age_seconds": age,
            "records_per_second": BATCH as f64 / PAUSE.as_secs_f64(),
            "acknowledgements": micros.len(),
            "p50_ms": at(&micros, 0.5),
            "p99_ms": at(&micros, 0.99),
            "max_ms": at(&micros, 1.0),
            "goal_ms": (age + 2) * 1000,
        })
    });
    json!(rounds)
}

fn one(bucket: &Bucket, dir: &Path, age: u64, duration: Duration) -> Vec<u64> {
    let data = new_ledger(dir, "s3-freshness");
    let collector = Collector::start(&data, &bucket.settings(&format!("max_age: {age}s")));
    let done = AtomicBool::new(false);
    let (acknowledged, checkpoints) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(bucket, &done));
        let mut line = Line::open(&collector.http, BATCH);
        let mut acknowledged = Vec::new();
        let began = Instant::now();
        while began.elapsed() < duration {
            line.send();
            let at = Instant::now();
            // There is no other sender: the ledger ends with this batch.
            acknowledged.push((collector.metric("tachograph_next_index") as u64, at));
            thread::sleep(PAUSE.saturating_sub(at.elapsed()));
        }
        collector.wait_archived();
        thread::sleep(LOOK * 10);
        done.store(true, Ordering::Relaxed);
        (acknowledged, watcher.join().expect("watcher"))
    });
    collector.stop();
    let _ = std::fs::remove_dir_all(&data);
    let waited = acknowledged.iter().map(|(size, at)| {
        let (_, seen) = checkpoints.iter().find(|(covered, _)| covered >= size).expect("a checkpoint for every record");
        seen.saturating_duration_since(*at).as_micros() as u64
    });
    waited.collect()
}

/// Sizes of the checkpoints, and when each was first in the bucket.
fn watch(bucket: &Bucket, done: &AtomicBool) -> Vec<(u64, Instant)> {
    let store = bucket.reader();
    let mut newest = "checkpoint/".to_owned();
    let mut seen = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let paths = store.list_after("checkpoint/", &newest).expect("the bucket is listed");
        let now = Instant::now();
        for path in &paths {
            let size = path.rsplit('/').next().and_then(|digits| digits.parse().ok()).expect("a checkpoint's name");
            seen.push((size, now));
        }
        newest = paths.into_iter().next_back().unwrap_or(newest);
        thread::sleep(LOOK);
    }
    seen
}
