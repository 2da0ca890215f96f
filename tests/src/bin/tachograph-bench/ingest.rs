//! Sustained ingest: acknowledged after fsync, archived to Parquet.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::DirectoryStore;

use crate::collector::{Collector, new_ledger};
use crate::{load, process};

/// Most records whose JSON lines are compressed for comparison.
const COMPARED: u64 = 200_000;

pub(crate) fn run(dir: &Path, batch: u64, seconds: u64) -> Value {
    let data = new_ledger(dir, &format!("ingest-{batch}"));
    let collector = Collector::start(&data, "archive: { max_age: 5s }\n");
    let own = process::cpu_seconds("self");
    let done = AtomicBool::new(false);
    let ((sent, took, _), memory) = std::thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let mut samples = Vec::new();
            while !done.load(Ordering::Relaxed) {
                samples.push(collector.memory_mb("VmRSS:").round());
                std::thread::sleep(Duration::from_secs((seconds / 10).max(1)));
            }
            samples
        });
        let sent = load::send(&collector.http, batch, Duration::from_secs(seconds), None);
        done.store(true, Ordering::Relaxed);
        (sent, memory.join().expect("memory"))
    });
    let generator = process::cpu_seconds("self") - own;
    let behind = collector.metric("tachograph_archive_lag_records");
    let drained = Instant::now();
    collector.wait_archived();
    let drain = drained.elapsed().as_secs_f64();
    let acknowledged = sent.acknowledged.load(Ordering::Relaxed);
    let million = acknowledged as f64 / 1e6;
    let cpu = collector.cpu_seconds();
    let peak = collector.memory_mb("VmHWM:");
    let fsync = collector.metric("tachograph_fsync_seconds_sum") / collector.metric("tachograph_fsync_seconds_count");
    collector.stop();
    let size = size_on_disk(&data.join("archive"));
    let compared = compare_gzip(&data.join("archive"));
    let numbers = json!({
        "batch": batch,
        "seconds": round(took),
        "acknowledged_records": acknowledged,
        "refused_records": sent.refused.load(Ordering::Relaxed),
        "protobuf_bytes_per_record": sent.bytes.load(Ordering::Relaxed) / acknowledged.max(1),
        "acknowledged_per_second": (acknowledged as f64 / took).round(),
        "archived_per_second": (acknowledged as f64 / (took + drain)).round(),
        "unarchived_when_the_load_ended": behind,
        "collector_cpu_seconds_per_million": round(cpu / million),
        "generator_cpu_seconds_per_million": round(generator / million),
        "mean_fsync_ms": round(fsync * 1e3),
        "memory_mb": memory,
        "memory_peak_mb": round(peak),
        "archive_bytes_per_record": size / acknowledged.max(1),
        "compared_with_gzip": compared,
    });
    if std::env::var_os("TACHOGRAPH_BENCH_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(&data);
    }
    numbers
}

pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

pub(crate) fn size_on_disk(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size_on_disk(&entry.path()),
        _ => entry.metadata().map_or(0, |m| m.len()),
    });
    sizes.sum()
}

/// `gzip -6` of the same records as JSON lines: the bodies alone, and sealed records with leaf, hash and MAC in hex.
fn compare_gzip(archive: &Path) -> Value {
    let store = Arc::new(DirectoryStore::reader(archive).expect("archive"));
    let reader = Reader::open(store).expect("archive");
    let mut bodies = GzEncoder::new(Counted(0), Compression::new(6));
    let mut records = 0;
    let scanned = reader.scan(|_, body| {
        records += 1;
        bodies.write_all(body).and_then(|()| bodies.write_all(b"\n")).expect("gzip");
        records < COMPARED
    });
    scanned.expect("bodies");
    let gzip = bodies.finish().expect("gzip").0 / records;
    json!({ "records": records, "gzip6_body_lines_bytes_per_record": gzip })
}

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
