//! Time to acknowledgement with each durability.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::server::Server;
use crate::collector::{Collector, new_ledger};
use crate::latency::at;
use crate::load;

const BATCH: u64 = 100;
/// So little that no request waits for another of its connection.
const LIGHT: f64 = 400.0;

pub(crate) fn run(server: &Server, dir: &Path, seconds: u64) -> Value {
    let rounds = [("wal", Some(LIGHT)), ("archive", Some(LIGHT)), ("wal", None), ("archive", None)];
    let numbers = rounds.iter().enumerate().map(|(at, (durability, rate))| {
        let duration = Duration::from_secs(if rate.is_some() { seconds.max(20) * 3 } else { seconds });
        one(server, dir, at, durability, *rate, duration)
    });
    numbers.collect()
}

fn one(server: &Server, dir: &Path, round: usize, durability: &str, rate: Option<f64>, duration: Duration) -> Value {
    let bucket = server.bucket(&format!("acknowledgement-{round}"));
    let data = new_ledger(dir, "s3-acknowledgement");
    let settings = format!("durability: {durability}\n{}", bucket.settings(""));
    let collector = Collector::start(&data, &settings);
    let (sent, took, mut micros) = load::send(&collector.http, BATCH, duration, rate);
    micros.sort_unstable();
    let memory = collector.memory_mb("VmHWM:");
    collector.stop();
    let _ = std::fs::remove_dir_all(&data);
    json!({
        "durability": durability,
        "load": if rate.is_some() { "light" } else { "as fast as 8 connections are acknowledged" },
        "acknowledged_per_second": (sent.acknowledged.load(Ordering::Relaxed) as f64 / took).round(),
        "requests": micros.len(),
        "p50_ms": at(&micros, 0.5),
        "p99_ms": at(&micros, 0.99),
        "max_ms": at(&micros, 1.0),
        "memory_peak_mb": memory.round(),
    })
}
