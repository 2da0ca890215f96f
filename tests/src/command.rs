//! The commands that a person or a script would run, and what they answer.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tachograph_exporters::verify::Axis;

use crate::minio::Minio;
use crate::programs;

/// What a command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Runs `tachograph` with these arguments to its end.
///
/// # Panics
/// If it can't be started.
pub fn tachograph(arguments: &[&dyn AsRef<OsStr>]) -> Outcome {
    let mut command = programs::command();
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    run(command)
}

/// The same, let into the test's S3 server.
///
/// # Panics
/// If it can't be started.
pub fn tachograph_in_s3(arguments: &[&str]) -> Outcome {
    let mut command = programs::command();
    command.args(arguments).envs(Minio::environment());
    run(command)
}

/// Runs a command to its end.
///
/// # Panics
/// If it can't be started.
pub fn run(mut command: Command) -> Outcome {
    let output = command.output().unwrap_or_else(|e| panic!("{}: {e}", programs::tachograph().display()));
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Outcome {
    /// What it printed, as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// The exit code must be `code`, and what it complained of must hold every one of `words`.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "nothing about {word:?} in: {}", self.stderr);
        }
    }
}

/// What `tachograph verify` said.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The exit code.
    pub code: i32,
    /// The report; null if there is none.
    pub report: Value,
    /// What it complained of.
    pub stderr: String,
}

impl Verified {
    /// What `tachograph verify --json` said.
    pub fn of(outcome: &Outcome) -> Self {
        let report = serde_json::from_str(&outcome.stdout).unwrap_or(Value::Null);
        Self { code: outcome.code, report, stderr: outcome.stderr.clone() }
    }

    /// The verdict on an axis: `pass`, `incomplete` or `fail`.
    pub fn verdict(&self, axis: Axis) -> &str {
        self.report["axes"][axis.as_str()]["verdict"].as_str().unwrap_or("missing")
    }

    /// The exit code must be 0, with every required axis passed.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn expect_clean(&self) {
        assert_eq!(self.code, 0, "{}\n{:#}", self.stderr, self.report);
        assert_eq!(self.report["findings"], Value::Array(Vec::new()));
    }
}

/// Verifies `place` with further arguments.
pub fn verify(place: &Path, arguments: &[&dyn AsRef<OsStr>]) -> Verified {
    let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"verify", &place, &"--json"];
    all.extend(arguments);
    Verified::of(&tachograph(&all))
}

/// The same of a ledger and of those before it, by `--json`: the first report has the others under `previous`.
pub fn verify_with(place: &Path, previous: &[&Path], arguments: &[&dyn AsRef<OsStr>]) -> Verified {
    let mut all: Vec<&dyn AsRef<OsStr>> = Vec::new();
    for old in previous {
        all.extend([&"--previous" as &dyn AsRef<OsStr>, old]);
    }
    all.extend(arguments);
    verify(place, &all)
}

/// Verifies a data directory, and then its archive as somebody who has only the public key, the escrowed MAC key and a
/// checkpoint would: both must be clean.
///
/// # Panics
/// If one is not.
#[track_caller]
pub fn expect_verified(data: &Path) {
    verify(data, &[]).expect_clean();
    let (key, mac_key, checkpoint) = (data.join("ledger.vkey"), data.join("mac-escrow.key"), data.join("checkpoint"));
    let given: [&dyn AsRef<OsStr>; 6] = [&"--key", &key, &"--mac-key", &mac_key, &"--checkpoint", &checkpoint];
    let archive = verify(&data.join("archive"), &given);
    archive.expect_clean();
    assert_eq!(archive.verdict(Axis::NonEquivocation), "pass", "{:#}", archive.report);
}

/// Traces `id` in the ledger at `data`: the events, or `None` if nothing has that id.
///
/// # Panics
/// If it fails.
pub fn trace(data: &Path, id: &str) -> Option<Vec<Value>> {
    let outcome = tachograph(&[&"trace", &id, &"--data", &data, &"--json"]);
    match outcome.code {
        4 => None,
        0 => Some(outcome.json()["events"].as_array().cloned().unwrap_or_default()),
        _ => panic!("trace {id}: {outcome:?}"),
    }
}
