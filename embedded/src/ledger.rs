//! A ledger that is open in this process: the collector's pipeline on threads of its own.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

use tachograph_collector::batch::{Entropy, SystemEntropy};
use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_collector::config::{Config, ConfigError, Overrides};
use tachograph_collector::data_dir::{DataDir, DataDirError};
use tachograph_collector::pipeline::{self, RunError};
use tachograph_collector::seal::Intake;
use tachograph_ledger::{LedgerName, NameError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::exporter::LedgerExporter;

/// Why no ledger was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// It can't be called so.
    #[error("{name:?} is no name for a ledger: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: NameError,
    },
    /// It can't be there.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// No randomness for its keys.
    #[error("no randomness from the system for the ledger's keys: {0}")]
    Entropy(std::io::Error),
}

/// Why a ledger is not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is there, or what the archive's store says.
    #[error(transparent)]
    Start(#[from] RunError),
    /// It was closed with `tachograph close`.
    #[error("the ledger in {0} is closed: begin another that continues it, with `tachograph init --continues`")]
    Closed(std::path::PathBuf),
    /// No thread or runtime.
    #[error("no thread for the ledger: {0}")]
    Thread(std::io::Error),
}

/// Why not everything was archived.
#[derive(Debug, thiserror::Error)]
#[error("{0}. What was acknowledged is in the journal, and the next start archives it")]
pub struct CloseError(#[from] RunError);

/// A ledger that is open in this process. Dropping it closes it; [`Ledger::close`] also says whether that went well.
#[derive(Debug)]
#[must_use = "the ledger is closed when this is dropped"]
pub struct Ledger {
    exporter: LedgerExporter,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), RunError>>,
}

impl Ledger {
    /// Whether there is a ledger in this directory.
    pub fn exists(dir: impl AsRef<Path>) -> bool {
        DataDir::is_one(dir.as_ref())
    }

    /// Makes a ledger and its keys in a new or empty directory, as `tachograph init` does, and gives its public key line, which all who
    /// verify need from a source that they trust. Keys elsewhere (a passphrase, a key service) are the command's matter.
    ///
    /// # Errors
    /// If the name is none or the directory is in use.
    pub fn create(dir: impl AsRef<Path>, name: &str) -> Result<String, CreateError> {
        let name = LedgerName::parse(name).map_err(|source| CreateError::Name { name: name.to_owned(), source })?;
        let mut seeds = Zeroizing::new([0; 64]);
        SystemEntropy.fill(&mut *seeds).map_err(CreateError::Entropy)?;
        Ok(DataDir::init(dir.as_ref(), &name, SystemClock.now(), &seeds)?.vkey().to_line())
    }

    /// Opens the ledger in a directory with the collector's default settings.
    ///
    /// # Errors
    /// If there is none, it is in use by another process, or it is not whole.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(dir, None::<&Path>)
    }

    /// As [`Ledger::open`], with a collector's configuration file: archive in a bucket, retention, witnesses, time stamps, keys. Its ports
    /// stay closed, whatever it says.
    ///
    /// # Errors
    /// As [`Ledger::open`], and if the file is wrong.
    pub fn open_with(dir: impl AsRef<Path>, config: Option<impl AsRef<Path>>) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let overrides = Overrides { data: Some(dir.to_owned()), embedded: true, ..Overrides::default() };
        let config = Config::load(config.as_ref().map(AsRef::as_ref), &overrides)?;
        let (stop, stopped) = oneshot::channel();
        let (ready, opened) = sync_channel(1);
        let failure = Arc::new(OnceLock::new());
        let failed = Arc::clone(&failure);
        let thread = std::thread::Builder::new()
            .name("tachograph-ledger".to_owned())
            .spawn(move || run(config, stopped, &ready).inspect_err(|error| drop(failed.set(error.to_string()))))
            .map_err(OpenError::Thread)?;
        match opened.recv() {
            Ok(Opened::Ready(intake, handle)) => {
                let exporter = LedgerExporter::new(intake, handle, failure);
                Ok(Self { exporter, running: Some(Running { stop, thread }) })
            }
            Ok(Opened::Closed) => {
                let _ = stop.send(());
                drop(thread.join());
                Err(OpenError::Closed(dir.to_owned()))
            }
            Ok(Opened::NoRuntime(error)) => Err(OpenError::Thread(error)),
            // It ended before it was ready.
            Err(_) => Err(OpenError::Start(match thread.join() {
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => RunError::Panicked("tachograph-ledger"),
            })),
        }
    }

    /// What takes records: a `SpanExporter` and a `LogExporter` for any OpenTelemetry pipeline, and for `tachograph::Init::init_with`.
    pub fn exporter(&self) -> LedgerExporter {
        self.exporter.clone()
    }

    /// Takes no further records, archives all that was taken, and signs the last checkpoint. End the pipelines that export to it before.
    ///
    /// # Errors
    /// If something could not be archived. Nothing is lost then: the next start goes on.
    pub fn close(mut self) -> Result<(), CloseError> {
        self.end().map_err(CloseError)
    }

    fn end(&mut self) -> Result<(), RunError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        // An error means that it has ended already; then the thread says why.
        let _ = running.stop.send(());
        running.thread.join().unwrap_or(Err(RunError::Panicked("tachograph-ledger")))
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            // Not `eprintln!`, which panics where standard error is closed.
            let _ = writeln!(std::io::stderr(), "tachograph: {}", CloseError(error));
        }
    }
}

enum Opened {
    Ready(Weak<Intake>, Handle),
    Closed,
    NoRuntime(std::io::Error),
}

/// The ledger's thread, until `stopped`.
fn run(config: Config, stopped: oneshot::Receiver<()>, ready: &SyncSender<Opened>) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tachograph-ledger")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(ready.send(Opened::NoRuntime(error)));
            return Ok(());
        }
    };
    let handle = runtime.handle().clone();
    let closed = AtomicBool::new(false);
    let stop = async {
        // That its sender is gone means the same.
        drop(stopped.await);
    };
    runtime.block_on(pipeline::run_embedded(
        config,
        stop,
        |ready, _| closed.store(ready.closing.is_some(), Ordering::Relaxed),
        |intake| {
            drop(ready.send(if closed.load(Ordering::Relaxed) {
                Opened::Closed
            } else {
                Opened::Ready(intake, handle)
            }))
        },
    ))
}
