//! The archive in a bucket: a real MinIO beside the collector, on the same cores and the same disk. What the server uses of
//! them is counted apart.

mod acknowledgement;
mod freshness;
mod lookup;
mod outage;
mod server;
mod throughput;
mod verify;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tachograph_tests::minio::{ACCESS_KEY, Minio, VARIABLE};

use server::Server;

/// What can be measured, in the order in which `s3` measures it.
pub(crate) const PARTS: [&str; 6] =
    ["s3-throughput", "s3-freshness", "s3-outage", "s3-acknowledgement", "s3-verify", "s3-lookup"];

/// Whether there is a server to measure with.
pub(crate) fn can_run() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Begins this program again with the server's credentials in its environment, where SDK, collector and DuckDB look for them.
pub(crate) fn ensure_environment() {
    if std::env::var("AWS_ACCESS_KEY_ID").is_ok_and(|key| key == ACCESS_KEY) {
        return;
    }
    let error = Command::new(std::env::current_exe().expect("own path"))
        .args(std::env::args_os().skip(1))
        .envs(Minio::environment())
        // The server counts its requests by itself, and shows the numbers to whoever asks.
        .env("MINIO_PROMETHEUS_AUTH_TYPE", "public")
        .exec();
    panic!("this program does not start again: {error}");
}

pub(crate) fn run(part: &str, dir: &Path, seconds: u64) -> Value {
    let server = Server::start(dir);
    let numbers = match part {
        "s3-throughput" => throughput::run(&server, dir, seconds),
        "s3-freshness" => freshness::run(&server, dir, seconds),
        "s3-outage" => outage::run(&server, dir, seconds),
        "s3-acknowledgement" => acknowledgement::run(&server, dir, seconds),
        "s3-verify" => verify::run(&server, dir, seconds),
        _ => lookup::run(&server),
    };
    json!({ "began": server.began(), "loadavg_at_the_end": crate::loadavg(), "numbers": numbers })
}
