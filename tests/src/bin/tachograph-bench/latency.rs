//! Time to acknowledgement under half of the sustained load, beside the disk's own fsync.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::collector::{Collector, new_ledger};
use crate::ingest::round;
use crate::load;

const BATCH: u64 = 100;

pub(crate) fn run(dir: &Path, seconds: u64) -> Value {
    let data = new_ledger(dir, "latency");
    let collector = Collector::start(&data, "archive: { max_age: 5s }\n");
    let (sent, took, _) = load::send(&collector.http, BATCH, Duration::from_secs(seconds.min(10)), None);
    let sustained = sent.acknowledged.load(Ordering::Relaxed) as f64 / took;
    collector.wait_archived();
    let fsync = fsync_latencies(dir);
    let (sent, took, mut latencies) =
        load::send(&collector.http, BATCH, Duration::from_secs(seconds), Some(sustained / 2.0));
    collector.stop();
    latencies.sort_unstable();
    let numbers = json!({
        "batch": BATCH,
        "sustained_per_second": sustained.round(),
        "load_per_second": (sent.acknowledged.load(Ordering::Relaxed) as f64 / took).round(),
        "requests": latencies.len(),
        "acknowledged_p50_ms": at(&latencies, 0.5),
        "acknowledged_p99_ms": at(&latencies, 0.99),
        "fsync_of_256_kib_p50_ms": at(&fsync, 0.5),
        "fsync_of_256_kib_p99_ms": at(&fsync, 0.99),
    });
    let _ = std::fs::remove_dir_all(&data);
    numbers
}

/// The value below which `share` of the microseconds lie, in milliseconds.
pub(crate) fn at(sorted: &[u64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    round(sorted.get(at).copied().unwrap_or(0) as f64 / 1e3)
}

/// Append 256 KiB, about what one group has, and sync: as the journal does, with nothing else going on.
fn fsync_latencies(dir: &Path) -> Vec<u64> {
    let path = dir.join(format!("tachograph-bench-{}.fsync", std::process::id()));
    let mut file = File::create(&path).expect("file");
    let block = vec![0x5a; 256 << 10];
    let mut latencies: Vec<u64> = (0..300)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&block).and_then(|()| file.sync_data()).expect("fsync");
            began.elapsed().as_micros() as u64
        })
        .collect();
    let _ = std::fs::remove_file(path);
    latencies.sort_unstable();
    latencies
}
