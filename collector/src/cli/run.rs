//! `tachograph run`

use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;
use tachograph_collector::config::{Config, Overrides};
use tachograph_collector::pipeline::{self, Addresses};
use tachograph_collector::startup::Ready;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Source, output};

/// Record until SIGTERM or SIGINT, then drain, archive all that is sealed, and exit 0. Without a file the defaults hold.
#[derive(clap::Args)]
pub(super) struct Run {
    #[command(flatten)]
    source: Source,
    /// The journal is lost for good: begin a new one behind the archive's end. It is recorded in the ledger
    #[arg(long)]
    journal_lost: bool,
    /// Print where it listens as one JSON line once all ports are open
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let config = Config::load(
            self.source.config.as_deref(),
            &Overrides { journal_lost: self.journal_lost, ..self.source.overrides() },
        )?;
        output::start_logs(&config.log)?;
        // Keys and records are in its memory: no copy of that goes to the disk when it crashes.
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        if let Err(error) = setrlimit(Resource::Core, none) {
            tracing::warn!(%error, "core files can't be forbidden");
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let json = self.json;
        let outcome = runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let stop = async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            anyhow::Ok(pipeline::run(config, stop, |ready, addresses| announce(ready, addresses, json)).await)
        })?;
        match outcome {
            Ok(()) => {
                tracing::info!("stopped: all that was sealed is archived");
                Ok(Exit::Done)
            }
            // Whoever watches over the process may start it again and again until the store answers.
            Err(error) if error.is_temporary() => {
                tracing::error!(%error, "not started");
                Ok(Exit::Stopped)
            }
            Err(error) if error.is_start() => Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "stopped");
                Ok(Exit::Stopped)
            }
        }
    }
}

fn announce(ready: &Ready, addresses: Addresses, json: bool) {
    if let Some(torn) = &ready.recovered.torn {
        tracing::warn!(
            file = torn.file,
            offset = torn.offset,
            bytes = torn.bytes,
            "a torn tail was cut off the journal: the remains of a write that was never acknowledged"
        );
    }
    for object in &ready.settled.removed {
        tracing::warn!(object, "removed an object of a segment that was interrupted before its commit");
    }
    if let Some(size) = ready.settled.checkpoint_signed {
        tracing::warn!(size, "signed the checkpoint that the last run had no time for");
    }
    tracing::info!(
        ledger = %ready.data_dir.ledger(),
        data = %ready.data_dir.root().display(),
        next_index = ready.sealer.next_index(),
        archived = ready.archive.tail().size,
        grpc = shown(addresses.grpc),
        http = shown(addresses.http),
        admin = shown(addresses.admin),
        "{}", if ready.closing.is_some() { "not recording: this ledger is closed" } else { "recording" }
    );
    if let Some(closing) = &ready.closing {
        tracing::warn!(
            from = closing.marker.from,
            by = closing.marker.by,
            "this ledger is closed and takes no records of senders: no OTLP port is open. Archiving, witnesses, time stamps and expiry go on"
        );
    }
    if json {
        let text = |address: Option<std::net::SocketAddr>| address.map(|a| a.to_string());
        let line = json!({
            "ledger": ready.data_dir.ledger().as_str(),
            "data": ready.data_dir.root(),
            "grpc": text(addresses.grpc),
            "http": text(addresses.http),
            "admin": text(addresses.admin),
            "closed": ready.closing.is_some(),
        });
        output::line(&line.to_string());
    }
}

fn shown(address: Option<std::net::SocketAddr>) -> String {
    address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}
