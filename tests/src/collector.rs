//! A running collector: a process of its own, with real sockets and a real disk.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::http;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A collector that may not listen yet.
#[derive(Debug)]
pub struct Starting {
    process: Process,
    announced: std::process::ChildStdout,
}

/// A collector that listens.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    /// OTLP/gRPC. Of a closed ledger port 0, where nobody listens.
    pub grpc: SocketAddr,
    /// OTLP/HTTP, in the same way.
    pub http: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
}

/// A process that does not outlive its owner.
#[derive(Debug)]
struct Process {
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a child that was not waited for can be signalled");
    }

    fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the collector did not end within {timeout:?}; its log:\n{}", log_end(&self.log));
    }
}

impl Starting {
    /// Starts `command`, which must be a `tachograph run --json`, with its log appended to `log`.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn spawn(mut command: Command, log: &Path) -> Self {
        let file: File = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let announced = child.stdout.take().expect("its output is piped");
        Self { process: Process { child, log: log.to_owned() }, announced }
    }

    /// Waits until all ports are open.
    ///
    /// # Panics
    /// If it ends before, or takes too long.
    #[track_caller]
    pub fn ready(self) -> Collector {
        let log = self.process.log.clone();
        self.outcome()
            .unwrap_or_else(|code| panic!("the collector did not start, exit code {code}; its log:\n{}", log_end(&log)))
    }

    /// Waits until all ports are open, or it has ended: then the exit code.
    ///
    /// # Errors
    /// If it has ended.
    ///
    /// # Panics
    /// If it does neither, or announces nonsense.
    pub fn outcome(self) -> Result<Collector, i32> {
        let Self { mut process, announced } = self;
        let (sender, receiver) = sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(announced).read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
        });
        let Ok(line) = receiver.recv_timeout(START_TIMEOUT) else {
            panic!("the collector did not start within {START_TIMEOUT:?}; its log:\n{}", log_end(&process.log));
        };
        let line = line.expect("its output can be read");
        if line.is_empty() {
            return Err(process.wait(STOP_TIMEOUT).code().unwrap_or(-1));
        }
        let announced: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("it announces {line:?}: {e}"));
        let closed = announced["closed"] == true;
        let address = |name: &str| {
            if closed && announced[name].is_null() {
                return SocketAddr::from(([127, 0, 0, 1], 0));
            }
            let text = announced[name].as_str().unwrap_or_else(|| panic!("no address of {name} in {line}"));
            text.parse().unwrap_or_else(|e| panic!("{name} at {text}: {e}"))
        };
        Ok(Collector { grpc: address("grpc"), http: address("http"), admin: address("admin"), process })
    }

    /// SIGKILL, wherever it is.
    pub fn kill(mut self) {
        let _ = self.process.child.kill();
        self.process.wait(STOP_TIMEOUT);
    }
}

impl Collector {
    /// SIGKILL: the process has no say in it.
    ///
    /// # Panics
    /// If it has ended by itself before: nothing that a test does may bring that about.
    #[track_caller]
    pub fn kill(mut self) {
        if let Some(status) = self.process.child.try_wait().expect("a child can be waited for") {
            panic!("the collector had ended by itself ({status}); its log:\n{}", log_end(&self.process.log));
        }
        self.kill_now();
    }

    /// SIGKILL after [`Collector::terminate`], which it may have obeyed already: then it must have ended well.
    ///
    /// # Panics
    /// If it ended badly.
    #[track_caller]
    pub fn kill_while_stopping(mut self) {
        if let Some(status) = self.process.child.try_wait().expect("a child can be waited for") {
            assert!(status.success(), "it ended badly ({status}); its log:\n{}", log_end(&self.process.log));
        }
        self.kill_now();
    }

    /// SIGKILL, unless it has ended by itself: then its exit code.
    ///
    /// # Panics
    /// If it can't be waited for.
    pub fn kill_unless_ended(self) -> Option<i32> {
        match self.ended() {
            Err(code) => Some(code),
            Ok(mut collector) => {
                collector.kill_now();
                None
            }
        }
    }

    /// The collector, if it still runs.
    ///
    /// # Errors
    /// Its exit code, if it has ended by itself.
    ///
    /// # Panics
    /// If it can't be waited for.
    pub fn ended(mut self) -> Result<Self, i32> {
        match self.process.child.try_wait().expect("a child can be waited for") {
            None => Ok(self),
            Some(status) => Err(status.code().unwrap_or(-1)),
        }
    }

    /// The same, after at most that long.
    ///
    /// # Errors
    /// Its exit code, if it has ended by itself.
    pub fn ended_within(self, timeout: Duration) -> Result<Self, i32> {
        let deadline = Instant::now() + timeout;
        let mut running = self.ended()?;
        while Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            running = running.ended()?;
        }
        Ok(running)
    }

    /// SIGSTOP: as a machine that hangs for a while, and does not know it.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    fn kill_now(&mut self) {
        let _ = self.process.child.kill();
        self.process.wait(STOP_TIMEOUT);
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// SIGTERM, and the exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub fn stop_with(mut self) -> i32 {
        self.process.signal(Signal::TERM);
        self.process.wait(STOP_TIMEOUT).code().unwrap_or(-1)
    }

    /// SIGTERM; it must drain and end well.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn stop(self) {
        let log = self.process.log.clone();
        let code = self.stop_with();
        assert_eq!(code, 0, "the collector ended badly; its log:\n{}", log_end(&log));
    }

    /// One number from `/metrics`.
    ///
    /// # Panics
    /// If it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let page = http::get(self.admin, "/metrics").text();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.unwrap_or_else(|| panic!("no {name} in\n{page}"));
        value.parse().unwrap_or_else(|e| panic!("{name} {value}: {e}"))
    }

    /// Waits until `done`.
    ///
    /// # Panics
    /// If it takes more than `timeout`.
    #[track_caller]
    pub fn wait_until(&self, what: &str, timeout: Duration, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + timeout;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{what}: not within {timeout:?}; the log:\n{}",
                log_end(&self.process.log)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every record is archived.
    #[track_caller]
    pub fn wait_archived(&self) {
        self.wait_until("everything archived", Duration::from_secs(30), |collector| {
            collector.metric("tachograph_archive_lag_records") == 0.0
        });
    }
}

/// The last lines of a log.
pub fn log_end(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
