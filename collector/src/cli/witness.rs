//! `tachograph witness …`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use tachograph_collector::batch::{Entropy, SystemEntropy};
use tachograph_collector::clock::SystemClock;
use tachograph_collector::config::Log;
use tachograph_collector::witness_server::{Desk, Finding, Follows, WitnessDir, WitnessDirError, http};
use tachograph_ledger::{Keys, WitnessName, WitnessVerifyingKey};
use tachograph_record::Time;
use tachograph_verifier::key_line;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use super::{Exit, output};

/// A witness cosigns the checkpoints of ledgers that other parties write, after a check that each continues the one before. It sees no
/// record. Whoever runs it should not be the one who runs the collector.
#[derive(clap::Subcommand)]
pub(super) enum Witness {
    /// Create a witness's key in a new or empty directory
    Init(Init),
    /// Give a witness that does not run a second key, ML-DSA-44, whose cosignatures a quantum computer can't forge
    PostQuantum(PostQuantum),
    /// Follow a ledger from now on; a running witness needs no new start
    Add(Add),
    /// Answer until SIGTERM
    Run(Run),
    /// List the ledgers that are followed, and what was cosigned last
    List(List),
}

#[derive(clap::Args)]
pub(super) struct Init {
    /// The directory to create
    dir: PathBuf,
    /// Name of the witness, for ever, for example witness.example/w1
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Create a second key too, ML-DSA-44: the witness then answers with a cosignature of each
    #[arg(long)]
    post_quantum: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct PostQuantum {
    /// The witness's directory
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Add {
    /// The witness's directory
    dir: PathBuf,
    /// The ledger's public key: its ledger.vkey, or the line itself
    #[arg(value_name = "FILE|VKEY")]
    vkey: String,
    /// A link to a later key of the ledger: a file of its archive, keys/…. May be given several times, in the order of their names
    #[arg(long, value_name = "FILE")]
    link: Vec<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Run {
    /// The witness's directory
    dir: PathBuf,
    /// Where to answer, in plain HTTP
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9470")]
    listen: SocketAddr,
    /// Print where it listens as one JSON line once the port is open
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// The witness's directory
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Witness {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Init(init) => init.run(),
            Self::PostQuantum(post_quantum) => post_quantum.run(),
            Self::Add(add) => add.run(),
            Self::Run(run) => run.run(),
            Self::List(list) => list.run(),
        }
    }
}

impl Init {
    fn run(self) -> anyhow::Result<Exit> {
        let name = WitnessName::parse(&self.name).with_context(|| format!("--name {}", self.name))?;
        let mut made = WitnessDir::init(&self.dir, &name, &seed()?)?;
        if self.post_quantum {
            made.add_post_quantum(&seed()?, &made.lock()?)?;
        }
        if self.json {
            output::json(&described(&self.dir, &made));
        } else {
            let dir = self.dir.display();
            output::line(&format!(
                "Witness {name} created in {dir}.\n\n{}\n\n\
                 Then: tachograph witness add {dir} LEDGER.VKEY, and tachograph witness run {dir} --listen ADDR",
                policy_lines(&self.dir, &made)
            ));
        }
        Ok(Exit::Done)
    }
}

impl PostQuantum {
    fn run(self) -> anyhow::Result<Exit> {
        let (mut dir, lock) = WitnessDir::open_alone(&self.dir).map_err(|error| match error {
            error @ WitnessDirError::InUse(_) => anyhow::Error::new(error)
                .context("the second key is made while the witness does not run: stop it first"),
            error => error.into(),
        })?;
        let is_new = dir.add_post_quantum(&seed()?, &lock)?;
        if self.json {
            output::json(&described(&self.dir, &dir));
        } else {
            let name = dir.vkey().name();
            let said = match is_new {
                true => format!("Witness {name} has a second key, and cosigns with both from its next start on."),
                false => format!("Witness {name} has a second key already."),
            };
            output::line(&format!("{said}\n\n{}", policy_lines(&self.dir, &dir)));
        }
        Ok(Exit::Done)
    }
}

/// What a key pair is made of.
fn seed() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemEntropy.fill(&mut *seed)?;
    Ok(seed)
}

fn described(place: &Path, dir: &WitnessDir) -> serde_json::Value {
    let second = dir.post_quantum_vkey().map(WitnessVerifyingKey::to_line);
    json!({ "dir": place, "name": dir.vkey().name().as_str(), "vkey": dir.vkey().to_line(), "post_quantum_vkey": second })
}

/// What those who trust the witness write into their policies.
fn policy_lines(place: &Path, dir: &WitnessDir) -> String {
    let (place, first) = (place.display(), dir.vkey().to_line());
    match dir.post_quantum_vkey() {
        None => format!(
            "Line for the policies of those who trust it (also in {place}/witness.vkey), with its URL for collectors:\n  \
             witness NAME {first} URL"
        ),
        Some(second) => format!(
            "Lines for the policies of those who trust it (also in {place}/witness.vkey and {place}/witness-ml-dsa-44.vkey), with its one URL for collectors:\n  \
             witness NAME-1 {first} URL\n  witness NAME-2 {} URL\n  group NAME all NAME-1 NAME-2",
            second.to_line()
        ),
    }
}

impl Add {
    fn run(self) -> anyhow::Result<Exit> {
        let key = key_line("VKEY", &self.vkey)?;
        let dir = WitnessDir::open(&self.dir)?;
        // Links first: a running witness never sees this ledger with its first key alone.
        for path in &self.link {
            let link = std::fs::read(path).with_context(|| path.display().to_string())?;
            output::line(&match dir.link(&key, &link).with_context(|| path.display().to_string())? {
                true => format!("{}: the change of keys is known from now on.", path.display()),
                false => format!("{}: the change of keys is known already.", path.display()),
            });
        }
        output::line(&match dir.add(&key)? {
            true => format!("{} is followed from now on.", key.name()),
            false => format!("{} is followed already.", key.name()),
        });
        Ok(Exit::Done)
    }
}

impl Run {
    fn run(self) -> anyhow::Result<Exit> {
        output::start_logs(&Log { json: false, level: "info".to_owned() })?;
        let (dir, _lock) = WitnessDir::open_alone(&self.dir)?;
        let (vkey, second) = (dir.vkey().to_line(), dir.post_quantum_vkey().map(WitnessVerifyingKey::to_line));
        let desk = Arc::new(Desk::open(dir, Arc::new(SystemClock))?);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let served = runtime.block_on(async {
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let stop = async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            let listener = TcpListener::bind(self.listen).await;
            let listener =
                listener.with_context(|| format!("cannot listen on {}; choose another with --listen", self.listen))?;
            let address = listener.local_addr()?;
            tracing::info!(%address, vkey, post_quantum_vkey = second, ledgers = desk.count(), "witnessing");
            if self.json {
                output::line(
                    &json!({ "listen": address.to_string(), "vkey": vkey, "post_quantum_vkey": second }).to_string(),
                );
            }
            anyhow::Ok(http::serve(listener, Arc::clone(&desk), stop).await)
        })?;
        match served {
            Ok(()) => Ok(Exit::Done),
            Err(error) => {
                tracing::error!(%error, "stopped");
                Ok(Exit::Stopped)
            }
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<Exit> {
        let dir = WitnessDir::open(&self.dir)?;
        let all = dir.all()?;
        let second = dir.post_quantum_vkey().map(WitnessVerifyingKey::to_line);
        let (forks, unproven) = (dir.count(Finding::Fork)?, dir.count(Finding::Unproven)?);
        if self.json {
            let ledgers: Vec<_> = all
                .iter()
                .map(|follows| {
                    json!({
                        "ledger": follows.keys.ledger().as_str(),
                        "vkey": follows.keys.first().to_line(),
                        "records": follows.size,
                        "root": follows.note.as_ref().map(|_| follows.root.to_hex()),
                        "cosigned_at": at(follows),
                    })
                })
                .collect();
            output::json(
                &json!({ "vkey": dir.vkey().to_line(), "post_quantum_vkey": second, "ledgers": ledgers, "forks": forks, "unproven": unproven }),
            );
        } else {
            let keys = std::iter::once(dir.vkey().to_line()).chain(second);
            output::line(&format!("Witness {}\n", keys.collect::<Vec<_>>().join("\n        ")));
            for follows in &all {
                let last = match at(follows) {
                    Some(time) => format!("{} records, cosigned {time}", follows.size),
                    None => "nothing cosigned yet".to_owned(),
                };
                output::line(&format!(
                    "  {}: {last}\n      {}",
                    follows.keys.ledger(),
                    follows.keys.present().map(|key| key.to_line()).collect::<Vec<_>>().join("\n      ")
                ));
            }
            let dir = self.dir.display();
            output::line(&format!(
                "{} ledgers; evidence of {forks} forks in {dir}/forks; {unproven} checkpoints that were not shown to continue the one before in {dir}/unproven",
                all.len()
            ));
        }
        Ok(Exit::Done)
    }
}

fn at(follows: &Follows) -> Option<String> {
    let nanos = follows.time?.checked_mul(1_000_000_000)?;
    Some(Time::from_unix_nanos(nanos).ok()?.to_string())
}
