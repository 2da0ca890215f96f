//! `cargo xtask bench`: the numbers of `docs/benchmarks.md`.
//!
//! The load is what the documents say: GenAI spans of about 2.2 KB protobuf with 25 attributes, 8 connections, collector and
//! generator on the same cores, fsync on. The collector is the real binary in a process of its own.

mod collector;
mod ingest;
mod instrument;
mod latency;
mod load;
mod startup;
mod verify;

use std::path::PathBuf;

use serde_json::{Value, json};

/// What is measured, and how long.
struct Plan {
    parts: Vec<String>,
    seconds: u64,
    dir: PathBuf,
}

const PARTS: [&str; 5] = ["ingest", "latency", "verify", "startup", "instrument"];

fn main() {
    let plan = plan();
    let mut report = serde_json::Map::new();
    report.insert("machine".to_owned(), machine());
    for part in &plan.parts {
        eprintln!("== {part}");
        let numbers = match part.as_str() {
            "ingest" => json!([ingest::run(&plan.dir, 100, plan.seconds), ingest::run(&plan.dir, 512, plan.seconds)]),
            "latency" => latency::run(&plan.dir, plan.seconds),
            "verify" => verify::run(&plan.dir, plan.seconds),
            "startup" => startup::run(&plan.dir),
            _ => instrument::run(),
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
            part if PARTS.contains(&part) => plan.parts.push(part.to_owned()),
            _ => usage(),
        }
    }
    if plan.parts.is_empty() {
        plan.parts = PARTS.iter().map(|part| (*part).to_owned()).collect();
    }
    plan
}

fn usage<T>() -> T {
    eprintln!("usage: cargo xtask bench [{}] [--seconds N] [--dir DIR on the disk to measure]", PARTS.join("|"));
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
        "loadavg": std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
    })
}
