//! The same load into a directory and into a bucket, in turn.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::{Counters, Server};
use crate::collector::{Collector, new_ledger};
use crate::ingest::round;
use crate::load;

const BATCH: u64 = 100;
const ROUNDS: usize = 3;
/// Objects of a segment that hold records and leaves; one class, which is the default.
const DATA_OBJECTS: f64 = 2.0;

struct Round {
    acknowledged: f64,
    archived: f64,
    collector_cpu: f64,
    server_cpu: f64,
    memory: f64,
    segments: f64,
    counters: Counters,
}

pub(crate) fn run(server: &Server, dir: &Path, seconds: u64) -> Value {
    let mut directory = Vec::new();
    let mut bucket = Vec::new();
    for round in 0..ROUNDS {
        // Each goes first in turn.
        for place in [round % 2, (round + 1) % 2] {
            if place == 0 {
                directory.push(one(server, dir, "archive: { max_age: 5s }\n", seconds));
            } else {
                let settings = server.bucket(&format!("throughput-{round}")).settings("max_age: 5s");
                bucket.push(one(server, dir, &settings, seconds));
            }
        }
    }
    let of = |rounds: &[Round], pick: fn(&Round) -> f64| rounds.iter().map(|r| round(pick(r))).collect::<Vec<_>>();
    let numbers = |rounds: &[Round]| {
        json!({
            "acknowledged_per_second": of(rounds, |r| r.acknowledged.round()),
            "archived_per_second": of(rounds, |r| r.archived.round()),
            "collector_cpu_seconds_per_million": of(rounds, |r| r.collector_cpu),
            "server_cpu_seconds_per_million": of(rounds, |r| r.server_cpu),
            "memory_peak_mb": of(rounds, |r| r.memory.round()),
            "segments": of(rounds, |r| r.segments),
        })
    };
    let ratios = bucket.iter().zip(&directory).map(|(s3, local)| round(s3.archived / local.archived));
    json!({
        "batch": BATCH,
        "seconds": seconds,
        "directory": numbers(&directory),
        "bucket": numbers(&bucket),
        "archived_ratio": ratios.collect::<Vec<_>>(),
        "requests_per_segment": bucket.iter().map(requests_per_segment).collect::<Vec<_>>(),
    })
}

/// Of the server's count: what the start needed is in it.
fn requests_per_segment(round: &Round) -> Value {
    let each = |count: u64| super::super::ingest::round(count as f64 / round.segments);
    let all: u64 = round.counters.requests.values().sum();
    json!({
        "by_name": round.counters.requests.iter().map(|(api, count)| (api.clone(), json!(each(*count)))).collect::<serde_json::Map<_, _>>(),
        "beyond_data_objects": super::super::ingest::round(all as f64 / round.segments - DATA_OBJECTS),
    })
}

fn one(server: &Server, dir: &Path, settings: &str, seconds: u64) -> Round {
    let data = new_ledger(dir, "s3-throughput");
    let collector = Collector::start(&data, settings);
    let (server_cpu, counters) = (server.cpu_seconds(), server.counters());
    let (sent, took, _) = load::send(&collector.http, BATCH, Duration::from_secs(seconds), None);
    let drained = Instant::now();
    collector.wait_archived();
    let drain = drained.elapsed().as_secs_f64();
    let acknowledged = sent.acknowledged.load(Ordering::Relaxed) as f64;
    let million = acknowledged / 1e6;
    let round = Round {
        acknowledged: acknowledged / took,
        archived: acknowledged / (took + drain),
        collector_cpu: collector.cpu_seconds() / million,
        server_cpu: (server.cpu_seconds() - server_cpu) / million,
        memory: collector.memory_mb("VmHWM:"),
        segments: collector.metric("tachograph_archive_segments_total"),
        counters: server.counters().since(&counters),
    };
    collector.stop();
    let _ = std::fs::remove_dir_all(&data);
    round
}
