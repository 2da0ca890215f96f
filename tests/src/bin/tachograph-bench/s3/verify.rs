//! `tachograph verify s3://…` beside a plain download of the same objects, and beside the same verification of a local copy.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph_exporters::archive::store::Store;

use super::server::{Bucket, Server};
use crate::collector::{Collector, binary, new_ledger};
use crate::ingest::round;
use crate::verify::timed;
use crate::{load, process};

const ROUNDS: usize = 4;
/// Downloads at once: as many as the verifier has under way.
const DOWNLOADS: usize = 4;

/// Seconds, and CPU seconds of this program's part of the work and of the server's.
struct Run {
    seconds: f64,
    cpu: f64,
    server_cpu: f64,
}

pub(crate) fn run(server: &Server, dir: &Path, seconds: u64) -> Value {
    let bucket = server.bucket("verify");
    let data = new_ledger(dir, "s3-verify");
    let collector = Collector::start(&data, &bucket.settings("max_age: 5s"));
    load::send(&collector.http, 512, Duration::from_secs(seconds), None);
    collector.wait_archived();
    collector.stop();
    let copy = data.join("copy");
    let bytes = mirror(&bucket, &copy);
    let (key, url) = (data.join("ledger.vkey"), bucket.url().to_string());
    let verify = |place: &str, threads: &str| {
        let mut command = Command::new(binary());
        command.args(["verify", place, "--threads", threads]).arg("--key").arg(&key);
        timed(&mut command);
    };
    let copy_text = copy.display().to_string();
    let mut runs: [Vec<Run>; 5] = Default::default();
    for at in 0..ROUNDS {
        let five = [
            measured(server, || download(&bucket)),
            measured(server, || verify(&copy_text, "1")),
            measured(server, || verify(&url, "1")),
            measured(server, || verify(&copy_text, "2")),
            measured(server, || verify(&url, "2")),
        ];
        // The first round warms the page cache.
        if at > 0 {
            runs.iter_mut().zip(five).for_each(|(runs, run)| runs.push(run));
        }
    }
    let counters = server.counters();
    verify(&url, "2");
    let counted = server.counters().since(&counters);
    let mb = bytes as f64 / 1e6;
    let numbers = |runs: &[Run]| {
        json!({
            "mb_per_second": runs.iter().map(|run| round(mb / run.seconds)).collect::<Vec<_>>(),
            "own_cpu_seconds": runs.iter().map(|run| round(run.cpu)).collect::<Vec<_>>(),
            "server_cpu_seconds": runs.iter().map(|run| round(run.server_cpu)).collect::<Vec<_>>(),
        })
    };
    let share = |local: usize, remote: usize| -> Vec<f64> {
        (0..ROUNDS - 1)
            .map(|at| round(runs[0][at].seconds.max(runs[local][at].seconds) / runs[remote][at].seconds))
            .collect()
    };
    let answer = json!({
        "object_mb": round(mb),
        "download": numbers(&runs[0]),
        "verify_copy_one_thread": numbers(&runs[1]),
        "verify_bucket_one_thread": numbers(&runs[2]),
        "share_of_the_slower_one_thread": share(1, 2),
        "verify_copy_two_threads": numbers(&runs[3]),
        "verify_bucket_two_threads": numbers(&runs[4]),
        "share_of_the_slower_two_threads": share(3, 4),
        "requests_of_one_verification": counted.requests,
        "mb_sent_for_one_verification": round(counted.sent as f64 / 1e6),
    });
    let _ = fs::remove_dir_all(&data);
    answer
}

fn measured(server: &Server, work: impl FnOnce()) -> Run {
    let cpu = || process::cpu_seconds("self") + process::children_cpu_seconds();
    let (own, server_cpu, began) = (cpu(), server.cpu_seconds(), Instant::now());
    work();
    Run { seconds: began.elapsed().as_secs_f64(), cpu: cpu() - own, server_cpu: server.cpu_seconds() - server_cpu }
}

/// Fetches every object, as many at once as the verifier does, and throws it away.
fn download(bucket: &Bucket) {
    let store = bucket.reader();
    let mut paths = store.list("").expect("a list");
    // What is large first, so that none is left over for the end.
    paths.sort_by_key(|path| !path.ends_with(".parquet"));
    let next = Mutex::new(paths.into_iter());
    thread::scope(|scope| {
        for _ in 0..DOWNLOADS {
            scope.spawn(|| {
                loop {
                    let path = next.lock().expect("no panic").next();
                    let Some(path) = path else { return };
                    store.read(&path, u64::MAX).expect("an object");
                }
            });
        }
    });
}

/// Copies the bucket into a directory and gives the bytes of all objects.
fn mirror(bucket: &Bucket, to: &Path) -> u64 {
    let store = bucket.reader();
    let copied = store.list("").expect("a list").into_iter().map(|path| {
        let bytes = store.read(&path, u64::MAX).expect("an object");
        let file = to.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, &bytes).expect("a copy");
        bytes.len() as u64
    });
    copied.sum()
}
