//! A running witness: `tachograph witness run`, a process of its own.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::collector::log_end;
use crate::{command, http, programs};

/// A witness with its directory below one that somebody else takes care of. Killed when dropped.
#[derive(Debug)]
pub struct Witness {
    /// What policies call it.
    pub name: String,
    /// Its verifier key line.
    pub vkey: String,
    /// Where it answers, or did last.
    pub address: SocketAddr,
    directory: PathBuf,
    process: Option<Child>,
}

impl Witness {
    /// Makes a witness of the ledgers with these keys, and starts it on a free port.
    ///
    /// # Panics
    /// If that fails.
    pub fn start(below: &Path, name: &str, ledgers: &[&Path]) -> Self {
        let directory = below.join(name);
        let made =
            command::tachograph(&[&"witness", &"init", &directory, &"--name", &format!("{name}.example"), &"--json"]);
        made.expect(0, &[]);
        for vkey in ledgers {
            command::tachograph(&[&"witness", &"add", &directory, vkey]).expect(0, &[]);
        }
        let vkey = made.json()["vkey"].as_str().unwrap_or_default().to_owned();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut witness = Self { name: name.to_owned(), vkey, address: free, directory, process: None };
        witness.restart();
        witness
    }

    /// Starts it again, where it answered.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        let log = OpenOptions::new().create(true).append(true).open(self.log()).expect("the log can be written");
        let mut command = programs::command();
        command.args(["witness", "run"]).arg(&self.directory).args(["--json", "--listen", &self.address.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        self.process = Some(child);
        let announced: Value = serde_json::from_str(&line).unwrap_or_else(|e| {
            panic!("the witness did not start ({read:?}, {e}); its log:\n{}", log_end(&self.log()))
        });
        self.address = announced["listen"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    }

    /// SIGSTOP: its connections are taken by the system, and never answered.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pause(&self) {
        let child = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), Signal::STOP).expect("a child that was not waited for can be signalled");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Gives it a second key, ML-DSA-44, and starts it again. The key's line.
    ///
    /// # Panics
    /// If that fails.
    pub fn give_second_key(&mut self) -> String {
        self.kill();
        let made = command::tachograph(&[&"witness", &"post-quantum", &self.directory, &"--json"]);
        made.expect(0, &[]);
        self.restart();
        made.json()["post_quantum_vkey"].as_str().unwrap_or_default().to_owned()
    }

    /// Its line in a policy.
    pub fn line(&self) -> String {
        format!("witness {} {} http://{}\n", self.name, self.vkey, self.address)
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it said.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    /// What `tachograph witness list` says.
    pub fn list(&self) -> Value {
        command::tachograph(&[&"witness", &"list", &self.directory, &"--json"]).json()
    }

    /// The checkpoint of a ledger that it serves, as anybody can fetch it.
    pub fn checkpoint(&self, ledger: &str) -> http::Response {
        let origin = tachograph_ledger::sha256(ledger.as_bytes()).to_hex();
        http::get(self.address, &format!("/{origin}/checkpoint"))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.kill();
    }
}
