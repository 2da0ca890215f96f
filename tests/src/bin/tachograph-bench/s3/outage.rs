//! The server is gone for a minute while records come in, and comes back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::Server;
use crate::collector::{Collector, new_ledger};
use crate::ingest::round;
use crate::load;

const BATCH: u64 = 100;
const MAX_AGE: Duration = Duration::from_secs(5);
/// Records a second, before, during and after the outage.
const RATES: [f64; 2] = [5_000.0, 10_000.0];

pub(crate) fn run(server: &Server, dir: &Path, seconds: u64) -> Value {
    json!(RATES.map(|rate| one(server, dir, rate, Duration::from_secs(seconds.max(20) * 3))))
}

fn one(server: &Server, dir: &Path, rate: f64, outage: Duration) -> Value {
    let bucket = server.bucket(&format!("outage-{}", rate as u64));
    let data = new_ledger(dir, "s3-outage");
    let collector = Collector::start(&data, &bucket.settings(&format!("max_age: {}s", MAX_AGE.as_secs())));
    let done = AtomicBool::new(false);
    let (numbers, (acknowledged, refused)) = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let (mut acknowledged, mut refused) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let (sent, _, _) = load::send(&collector.http, BATCH, Duration::from_secs(5), Some(rate));
                acknowledged += sent.acknowledged.load(Ordering::Relaxed);
                refused += sent.refused.load(Ordering::Relaxed);
            }
            (acknowledged, refused)
        });
        let numbers = watch(server, &collector, rate, outage);
        done.store(true, Ordering::Relaxed);
        (numbers, sender.join().expect("sender"))
    });
    collector.wait_archived();
    let archived = collector.metric("tachograph_archived_records");
    let memory = collector.memory_mb("VmHWM:");
    collector.stop();
    let _ = std::fs::remove_dir_all(&data);
    json!({
        "live_per_second": rate,
        "outage_seconds": outage.as_secs(),
        "acknowledged_records": acknowledged,
        "refused_records": refused,
        "archived_records_with_the_collectors_own": archived,
        "memory_peak_mb": round(memory),
        "catching_up": numbers,
    })
}

/// Takes the server away and back, and watches the archive catch up while the load goes on.
fn watch(server: &Server, collector: &Collector, rate: f64, outage: Duration) -> Value {
    let archived = || collector.metric("tachograph_archived_records");
    let lag = || collector.metric("tachograph_archive_lag_records");
    thread::sleep(Duration::from_secs(15));
    let normal_lag = lag();
    server.down();
    thread::sleep(outage);
    let memory = collector.memory_mb("VmHWM:");
    let (behind, before) = (lag(), archived());
    server.up();
    let back = Instant::now();
    while archived() <= before {
        thread::sleep(Duration::from_millis(20));
    }
    // What came with the first segment had waited for it; the rate counts from there.
    let (first, first_size) = (Instant::now(), archived());
    let (mut last, mut last_size) = (first, first_size);
    // As far behind as a segment that fills up for its age.
    while lag() > rate * (MAX_AGE.as_secs_f64() + 1.0) {
        thread::sleep(Duration::from_millis(20));
        let size = archived();
        if size > last_size {
            (last, last_size) = (Instant::now(), size);
        }
        assert!(back.elapsed() < Duration::from_secs(600), "it does not catch up");
    }
    let (size, now) = (archived(), Instant::now());
    if size > last_size {
        (last, last_size) = (now, size);
    }
    let per_second = (last_size - first_size) / (last - first).as_secs_f64();
    let all = (last_size - before) / (last - back).as_secs_f64();
    json!({
        "unarchived_before": normal_lag,
        "unarchived_at_its_return": behind,
        "memory_peak_mb_at_its_return": round(memory),
        "seconds_until_the_first_segment": round((first - back).as_secs_f64()),
        "seconds_until_caught_up": round((last - back).as_secs_f64()),
        "archived_per_second": per_second.round(),
        "multiple_of_live_rate": round(per_second / rate),
        "archived_per_second_from_its_return": all.round(),
        "multiple_of_live_rate_from_its_return": round(all / rate),
    })
}
