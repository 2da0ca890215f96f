//! A recorded call beside its peers: a program of its own, which `cargo xtask bench calls` runs alone.

use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) fn run() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--package", "tachograph-calls"]).stderr(Stdio::inherit());
    let output = command.output().expect("cargo can be started");
    assert!(output.status.success(), "{command:?} failed");
    serde_json::from_slice(&output.stdout).expect("tachograph-calls prints JSON")
}
