//! `tachograph verify` beside `sha256sum` over the same bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::DirectoryStore;

use crate::collector::{Collector, binary, new_ledger};
use crate::ingest::round;
use crate::load;

pub(crate) fn run(dir: &Path, seconds: u64) -> Value {
    let data = new_ledger(dir, "verify");
    let collector = Collector::start(&data, "{}\n");
    load::send(&collector.http, 512, Duration::from_secs(seconds), None);
    collector.stop();
    let archive = data.join("archive");
    let bodies = data.join("bodies");
    let bytes = dump(&archive, &bodies);
    // The first of each pair warms the page cache.
    let rounds: Vec<(f64, f64, f64)> = (0..4)
        .map(|_| {
            let sum = timed(Command::new("sha256sum").arg(&bodies));
            let verify = |threads: &str| {
                let mut command = Command::new(binary());
                command
                    .arg("verify")
                    .arg(&archive)
                    .arg("--key")
                    .arg(data.join("ledger.vkey"))
                    .args(["--threads", threads]);
                timed(&mut command)
            };
            (sum, verify("1"), verify("2"))
        })
        .skip(1)
        .collect();
    let mb = bytes as f64 / 1e6;
    let rate = |pick: fn(&(f64, f64, f64)) -> f64| -> Vec<f64> { rounds.iter().map(|r| round(mb / pick(r))).collect() };
    let numbers = json!({
        "body_mb": round(mb),
        "sha256sum_mb_per_second": rate(|r| r.0),
        "verify_one_thread_mb_per_second": rate(|r| r.1),
        "verify_two_threads_mb_per_second": rate(|r| r.2),
        "ratio_one_thread": rounds.iter().map(|r| round(r.0 / r.1)).collect::<Vec<_>>(),
    });
    let _ = std::fs::remove_dir_all(&data);
    numbers
}

/// Seconds that a command takes, which must succeed.
pub(crate) fn timed(command: &mut Command) -> f64 {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).status().expect("command");
    assert!(status.success(), "{command:?} failed");
    began.elapsed().as_secs_f64()
}

/// Writes all bodies into one file and gives their bytes.
fn dump(archive: &Path, to: &Path) -> u64 {
    let reader = Reader::open(Arc::new(DirectoryStore::reader(archive).expect("archive"))).expect("archive");
    let mut file = BufWriter::new(File::create(to).expect("file"));
    let mut bytes = 0;
    let scanned = reader.scan(|_, body| {
        bytes += body.len() as u64;
        file.write_all(body).expect("write");
        true
    });
    scanned.expect("bodies");
    file.flush().expect("flush");
    bytes
}
