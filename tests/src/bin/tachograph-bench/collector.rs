//! A collector in a process of its own, and what the kernel says of it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process;

pub(crate) struct Collector {
    process: Child,
    pub(crate) http: String,
    pub(crate) admin: String,
}

/// The binary that was built beside this one.
pub(crate) fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("own path");
    let binary = this.with_file_name("tachograph");
    assert!(binary.is_file(), "{} is missing: run `cargo xtask bench`", binary.display());
    binary
}

/// A new ledger in a new directory below `dir`.
pub(crate) fn new_ledger(dir: &Path, name: &str) -> PathBuf {
    let data = dir.join(format!("tachograph-bench-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    let made = Command::new(binary())
        .arg("init")
        .arg(&data)
        .args(["--name", "bench.example/ledger"])
        .stdout(Stdio::null())
        .status();
    assert!(made.expect("tachograph init").success());
    data
}

impl Collector {
    pub(crate) fn start(data: &Path, settings: &str) -> Self {
        let config = data.with_extension("yaml");
        std::fs::write(&config, settings).expect("configuration");
        let mut process = Command::new(binary())
            .args(["run", "--json", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .arg("-c")
            .arg(&config)
            .env("TACHOGRAPH_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("tachograph run");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("output")).read_line(&mut line).expect("announcement");
        let announced: Value = serde_json::from_str(&line).expect("the collector started");
        let text = |key: &str| announced[key].as_str().unwrap_or_default().to_owned();
        Self { process, http: text("http"), admin: text("admin") }
    }

    /// CPU seconds used so far: user and system, all threads.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.process.id())
    }

    /// A line of `/proc/<pid>/status`, in MB.
    pub(crate) fn memory_mb(&self, name: &str) -> f64 {
        process::memory_mb(self.process.id(), name)
    }

    /// One number off the metrics page.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let page = crate::load::get(&self.admin, "/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with(' ')));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0.0)
    }

    /// Waits until everything durable is archived.
    pub(crate) fn wait_archived(&self) {
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.metric("tachograph_archive_lag_records") > 0.0 {
            assert!(Instant::now() < deadline, "the archive does not catch up");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        assert!(self.process.wait().expect("exit").success(), "the collector failed");
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().expect("SIGKILL");
        let _ = self.process.wait();
    }
}
