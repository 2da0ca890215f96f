//! An annotated call beside a hand-written OpenTelemetry span: the instrument crate's own benchmark.

use std::process::Command;

use serde_json::Value;

pub(crate) fn run() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "tachograph", "--example", "bench_call"])
        .output()
        .expect("cargo");
    assert!(output.status.success(), "bench_call: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("bench_call prints JSON")
}
