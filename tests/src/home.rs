//! A ledger in a temporary directory, with a configuration and a log beside it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::collector::{Collector, Starting, log_end};
use crate::{command, programs, tree};

/// Name of the ledgers of the tests.
pub const LEDGER: &str = "e2e.example/ai-audit";

/// Small settings, so that few records reach every step: rotation, release, commits, checkpoints.
pub const SMALL: &str = "\
journal:
  max_file_bytes: 1MiB
  max_bytes: 64MiB
archive:
  max_bytes: 1MiB
  max_age: 200ms
";

/// A ledger and what belongs to it; gone when dropped.
#[derive(Debug)]
pub struct Home {
    /// Held for its end.
    _directory: Option<tempfile::TempDir>,
    root: PathBuf,
}

impl Home {
    /// A new ledger. `config` is YAML.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = Self { root: directory.path().to_owned(), _directory: Some(directory) };
        home.found(config);
        home
    }

    /// A new ledger in a directory that somebody else takes care of.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn within(root: &Path, config: &str) -> Self {
        let home = Self { root: root.to_owned(), _directory: None };
        home.found(config);
        home
    }

    /// The same ledger once more: another directory with the same bytes.
    ///
    /// # Panics
    /// If it can't be copied.
    pub fn copy(&self) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        tree::copy(&self.root, directory.path());
        Self { root: directory.path().to_owned(), _directory: Some(directory) }
    }

    fn found(&self, config: &str) {
        self.configure(config);
        command::tachograph(&[&"init", &self.data(), &"--name", &LEDGER]).expect(0, &[]);
    }

    /// Replaces the configuration.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn configure(&self, config: &str) {
        fs::write(self.config(), config).expect("the configuration can be written");
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.join("ledger")
    }

    /// The archive.
    pub fn archive(&self) -> PathBuf {
        self.data().join("archive")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.root.join("tachograph.yaml")
    }

    /// What the collectors said.
    pub fn log(&self) -> PathBuf {
        self.root.join("collector.log")
    }

    /// What the collectors said, as text.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts a collector and does not wait for it.
    pub fn spawn(&self) -> Starting {
        let mut command = programs::command();
        command.arg("run").arg("--json").arg("--config").arg(self.config()).arg("--data").arg(self.data());
        command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        Starting::spawn(command, &self.log())
    }

    /// Starts a collector on free ports.
    pub fn start(&self) -> Collector {
        self.spawn().ready()
    }

    /// Runs a collector that must refuse to start, with further arguments.
    pub fn refused(&self, arguments: &[&str]) -> command::Outcome {
        let (config, data) = (self.config(), self.data());
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"run", &"--config", &config, &"--data", &data];
        if arguments.is_empty() {
            all.extend([&"--grpc" as &dyn AsRef<_>, &"127.0.0.1:0", &"--http", &"127.0.0.1:0", &"--admin", &"127.0.0.1:0"]);
        }
        all.extend(arguments.iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>));
        command::tachograph(&all)
    }

    /// The journal's files, oldest first.
    pub fn journal_files(&self) -> Vec<PathBuf> {
        let mut files = tree::files(&self.data().join("journal"));
        files.retain(|path| path.extension().is_some_and(|extension| extension == "tgj"));
        files
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() && self.log().is_file() {
            eprintln!("end of the log in {}:\n{}", self.root.display(), log_end(&self.log()));
        }
    }
}
