//! The command line.

mod bucket;
mod check;
mod close;
mod demo;
mod expire;
mod export_tlog;
mod hold;
mod init;
mod key;
mod key_change;
mod output;
mod prove;
mod reseal;
mod retention;
mod run;
mod trace;
mod verify;
mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tachograph_collector::config::Overrides;

/// How a command ended, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Exit {
    /// Done, all good.
    Done = 0,
    /// `verify` found tampering.
    Tampered = 1,
    /// Wrong use, wrong configuration, or something that could not be read or checked in full.
    Incomplete = 2,
    /// The collector had to stop.
    Stopped = 3,
    /// `trace` or `prove` found nothing.
    NotFound = 4,
}

const AFTER_HELP: &str = "\
Begin:
  tachograph init ./audit                 create a ledger and its keys, once
  tachograph run --data ./audit           record: OTLP on 127.0.0.1:4317 (gRPC) and :4318 (HTTP)
  tachograph verify ./audit               check everything, offline
  tachograph trace ID --data ./audit      the chain of events around one
  tachograph prove ID --data ./audit -o bundle    evidence of it, to hand out

Exit codes: 0 done; 1 verify found tampering; 2 wrong use, or something could not be read or checked in full;
3 the collector had to stop; 4 trace or prove found nothing.";

/// The tamper-evident recorder for AI: receives OpenTelemetry, seals every record into a hash chain, and keeps it as Parquet on
/// write-once storage. A sender is acknowledged only when its records are on the disk.
#[derive(Parser)]
#[command(name = "tachograph", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a ledger and its keys in a new or empty directory
    Init(init::Init),
    /// Check a configuration and the ledger that it names, and change nothing
    Check(check::Check),
    /// Record, until SIGTERM
    Run(run::Run),
    /// Verify an archive or a data directory, offline
    Verify(verify::Verify),
    /// Show the chain of events around one of them
    Trace(trace::Trace),
    /// Make a bundle of evidence about an event, a chain of events, a session or a time, which anybody can check without us
    Prove(prove::Prove),
    /// Write the ledger as a transparency log's static files
    ExportTlog(export_tlog::ExportTlog),
    /// Show it all: a collector, four example programs, an archive, a proof
    Demo(demo::Demo),
    /// Make, check or try the bucket that an archive is to be kept in
    #[command(subcommand)]
    Bucket(bucket::Bucket),
    /// Put records under a legal hold, lift one, list them
    #[command(subcommand)]
    Hold(hold::Hold),
    /// Report what is kept until when
    #[command(subcommand)]
    Retention(retention::Retention),
    /// Destroy bodies that are past their date
    Expire(expire::Expire),
    /// Close a ledger for good: another goes on
    Close(close::Close),
    /// Save what a fenced collector acknowledged into a ledger of another name
    Reseal(reseal::Reseal),
    /// Change the key that signs; encrypt the files with keys, decrypt them, or make a key
    #[command(subcommand)]
    Key(key::Key),
    /// Run a witness, which cosigns other parties' checkpoints
    #[command(subcommand)]
    Witness(witness::Witness),
    /// Print completions for a shell, for example: tachograph completions bash > /etc/bash_completion.d/tachograph
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which configuration.
#[derive(Args, Clone, Debug)]
struct Source {
    /// Configuration file; without one the defaults hold
    #[arg(short, long, env = "TACHOGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: tachograph-data]
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where OTLP/gRPC is received [default: 127.0.0.1:4317]
    #[arg(long, value_name = "ADDR")]
    grpc: Option<SocketAddr>,
    /// Where OTLP/HTTP is received [default: 127.0.0.1:4318]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are served [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
}

impl Source {
    fn overrides(&self) -> Overrides {
        Overrides {
            data: self.data.clone(),
            grpc: self.grpc,
            http: self.http,
            admin: self.admin,
            ..Overrides::default()
        }
    }
}

/// Runs the command that was given.
pub(crate) fn main() -> ExitCode {
    let command = Cli::parse().command;
    let outcome = match command {
        Command::Init(init) => init.run(),
        Command::Check(check) => check.run(),
        Command::Run(run) => run.run(),
        Command::Verify(verify) => verify.run(),
        Command::Trace(trace) => trace.run(),
        Command::Prove(prove) => prove.run(),
        Command::ExportTlog(export) => export.run(),
        Command::Demo(demo) => demo.run(),
        Command::Bucket(bucket) => bucket.run(),
        Command::Hold(hold) => hold.run(),
        Command::Retention(retention) => retention.run(),
        Command::Expire(expire) => expire.run(),
        Command::Close(close) => close.run(),
        Command::Reseal(reseal) => reseal.run(),
        Command::Key(key) => key.run(),
        Command::Witness(witness) => witness.run(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tachograph", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            output::error(&error);
            ExitCode::from(Exit::Incomplete as u8)
        }
    }
}
