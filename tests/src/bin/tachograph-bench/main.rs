//! `cargo xtask bench`: the numbers of `docs/benchmarks.md`.
//!
//! The load is what the documents say: GenAI spans of about 2.2 KB protobuf with 25 attributes, 8 connections, collector and
//! generator on the same cores, fsync on. The collector is the real binary in a process of its own. The parts `s3-…` need MinIO,
//! which `TACHOGRAPH_TEST_MINIO` names; `s3` is all of them.

mod cadence;
mod calls;
mod collector;
mod ingest;
mod latency;
mod load;
mod process;
mod s3;
mod seal;
mod startup;
mod verify;
mod written;

use std::path::PathBuf;

use serde_json::{Value, json};

/// What is measured, and how long.
struct Plan {
    parts: Vec<String>,
    seconds: u64,
    dir: PathBuf,
}

const PARTS: [&str; 7] = ["ingest", "latency", "verify", "seal", "startup", "calls", "cadence"];

fn main() {
    let plan = plan();
    if plan.parts.iter().any(|part| s3::PARTS.contains(&part.as_str())) {
        s3::ensure_environment();
    }
    let mut report = serde_json::Map::new();
    report.insert("machine".to_owned(), machine());
    for part in &plan.parts {
        eprintln!("== {part}");
        let numbers = match part.as_str() {
            "ingest" => json!([ingest::run(&plan.dir, 100, plan.seconds), ingest::run(&plan.dir, 512, plan.seconds)]),
            "latency" => latency::run(&plan.dir, plan.seconds),
            "verify" => verify::run(&plan.dir, plan.seconds),
            "startup" => startup::run(&plan.dir),
            "seal" => seal::run(),
            "cadence" => cadence::run(&plan.dir),
            part if s3::PARTS.contains(&part) => s3::run(part, &plan.dir, plan.seconds),
            _ => calls::run(),
        };
        println!("{numbers:#}");
        report.insert(part.clone(), numbers);
    }
    println!("{:#}", Value::Object(report));
}

fn plan() -> Plan {
    let mut plan = Plan { parts: Vec::new(), seconds: 20, dir: std::env::temp_dir() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => plan.seconds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or_else(usage),
            "--dir" => plan.dir = arguments.next().map_or_else(usage, PathBuf::from),
            "s3" => plan.parts.extend(s3::PARTS.map(str::to_owned)),
            part if PARTS.contains(&part) || s3::PARTS.contains(&part) => plan.parts.push(part.to_owned()),
            _ => usage(),
        }
    }
    if plan.parts.is_empty() {
        plan.parts = PARTS.map(str::to_owned).to_vec();
        if s3::can_run() {
            plan.parts.extend(s3::PARTS.map(str::to_owned));
        } else {
            eprintln!("no S3 server (TACHOGRAPH_TEST_MINIO is not set): its parts are left out");
        }
    }
    plan
}

fn usage<T>() -> T {
    let parts = PARTS.join("|");
    let of_s3 = s3::PARTS.join("|");
    eprintln!("usage: cargo xtask bench [{parts}|s3|{of_s3}] [--seconds N] [--dir DIR on the disk to measure]");
    std::process::exit(2)
}

fn machine() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches([' ', '\t', ':']);
    json!({
        "cpu": model,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "sha_extensions": cpuinfo.contains(" sha_ni"),
        "loadavg": loadavg(),
    })
}

fn loadavg() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
