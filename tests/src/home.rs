//! A ledger in a temporary directory, with a configuration and a log beside it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::collector::{Collector, Starting, log_end};
use crate::minio::Minio;
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

/// Any port that is free.
const FREE: &str = "127.0.0.1:0";

/// A ledger and what belongs to it; gone when dropped.
#[derive(Debug)]
pub struct Home {
    /// Held for its end.
    _temporary: Option<tempfile::TempDir>,
    root: PathBuf,
    data: PathBuf,
    /// For its collectors: credentials of a bucket.
    environment: Vec<(String, String)>,
}

impl Home {
    /// A new ledger. `config` is YAML.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn new(config: &str) -> Self {
        let home = Self::temporary();
        home.found(config);
        home
    }

    /// A new ledger whose keys are where its configuration says, with these variables for all its processes.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn born(config: &str, variables: &[(&str, &str)]) -> Self {
        let home = Self::temporary().with_environment(variables);
        home.configure(config);
        let mut command = programs::command();
        command.arg("init").arg(&home.data).args(["--name", LEDGER, "--config"]).arg(home.config());
        command.envs(home.environment.iter().cloned());
        command::run(command).expect(0, &[]);
        home
    }

    /// A new ledger below `root`, a directory that somebody else takes care of.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn within(root: &Path, config: &str) -> Self {
        let home = Self { _temporary: None, root: root.to_owned(), data: root.join("ledger"), environment: Vec::new() };
        home.found(config);
        home
    }

    /// A new ledger whose data directory is `data`; configuration and log are elsewhere.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn with_data(data: PathBuf, config: &str) -> Self {
        let mut home = Self::temporary();
        home.data = data;
        home.found(config);
        home
    }

    /// A ledger that somebody else made in `data`; configuration and log are elsewhere.
    ///
    /// # Panics
    /// If the configuration can't be written.
    pub fn of_ledger(data: PathBuf, config: &str) -> Self {
        let mut home = Self::temporary();
        home.data = data;
        home.configure(config);
        home
    }

    /// A new ledger whose collectors are let into the test's S3 server.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn in_s3(config: &str) -> Self {
        let mut home = Self::new(config);
        home.environment = s3_environment();
        home
    }

    /// The same ledger with other variables for its collectors; each replaces one of the same name.
    pub fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// The same ledger once more: another directory with the same bytes.
    ///
    /// # Panics
    /// If it can't be copied.
    pub fn copy(&self) -> Self {
        let mut home = Self::temporary();
        home.environment.clone_from(&self.environment);
        tree::copy(&self.data, &home.data);
        fs::copy(self.config(), home.config()).expect("the configuration can be copied");
        home
    }

    fn temporary() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let root = temporary.path().to_owned();
        Self { data: root.join("ledger"), root, _temporary: Some(temporary), environment: Vec::new() }
    }

    fn found(&self, config: &str) {
        self.configure(config);
        command::tachograph(&[&"init", &self.data, &"--name", &LEDGER]).expect(0, &[]);
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
        self.data.clone()
    }

    /// The archive.
    pub fn archive(&self) -> PathBuf {
        self.data.join("archive")
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

    /// Starts a collector on free ports and does not wait for it.
    pub fn spawn(&self) -> Starting {
        self.spawn_at(FREE, FREE, &[])
    }

    /// The same with further arguments.
    pub fn spawn_with(&self, arguments: &[&str]) -> Starting {
        self.spawn_at(FREE, FREE, arguments)
    }

    fn spawn_at(&self, grpc: &str, http: &str, arguments: &[&str]) -> Starting {
        let mut command = programs::command();
        command.arg("run").arg("--json").arg("--config").arg(self.config()).arg("--data").arg(&self.data);
        command.args(["--grpc", grpc, "--http", http, "--admin", FREE]).args(arguments);
        command.envs(self.environment.iter().cloned());
        Starting::spawn(command, &self.log())
    }

    /// Starts a collector on free ports.
    pub fn start(&self) -> Collector {
        self.spawn().ready()
    }

    /// Starts a collector where another one listened.
    pub fn start_at(&self, grpc: SocketAddr, http: SocketAddr) -> Collector {
        self.spawn_at(&grpc.to_string(), &http.to_string(), &[]).ready()
    }

    /// Runs a collector that must refuse to start.
    pub fn refused(&self) -> command::Outcome {
        self.refused_with(&["--grpc", FREE, "--http", FREE, "--admin", FREE])
    }

    /// The same with other arguments about where to listen.
    pub fn refused_with(&self, arguments: &[&str]) -> command::Outcome {
        let mut command = programs::command();
        command.arg("run").arg("--config").arg(self.config()).arg("--data").arg(&self.data).args(arguments);
        command.envs(self.environment.iter().cloned());
        command::run(command)
    }

    /// The journal's files, oldest first.
    pub fn journal_files(&self) -> Vec<PathBuf> {
        let mut files = tree::files(&self.data.join("journal"));
        files.retain(|path| path.extension().is_some_and(|extension| extension == "tgj"));
        files
    }
}

fn s3_environment() -> Vec<(String, String)> {
    Minio::environment().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() && self.log().is_file() {
            eprintln!("end of the log in {}:\n{}", self.data.display(), log_end(&self.log()));
        }
    }
}
