//! `tachograph key`

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;
use tachograph_collector::batch::{Entropy, SystemEntropy};
use tachograph_collector::config::{Config, Overrides};
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::keys::Protection;
use tachograph_ledger::{LedgerName, SigningKey};
use zeroize::Zeroizing;

use super::key_change::{List, Retire, Rotate};
use super::{Exit, output};

/// The keys of a ledger.
#[derive(clap::Subcommand)]
pub(super) enum Key {
    /// Encrypt the files with keys in a data directory, as `keys.encryption` of the configuration says
    Encrypt(Protect),
    /// Write them plain again
    Decrypt(Protect),
    /// Make a new signing key and announce it in the ledger: from then on both sign
    Rotate(Rotate),
    /// Retire one of two keys that sign
    Retire(Retire),
    /// Show the keys, and which of them sign
    List(List),
    /// Make a private key for a ledger that is yet to be created, and print its line: for `keys.signing`
    New(New),
}

/// Which keys. No collector may run on them.
#[derive(clap::Args)]
pub(super) struct Protect {
    /// Configuration file, whose `keys.encryption` says how the files are, or are to be, encrypted
    #[arg(short, long, env = "TACHOGRAPH_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Data directory [default: as the configuration says]
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Make a private key.
#[derive(clap::Args)]
pub(super) struct New {
    /// Name of the ledger
    name: String,
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Encrypt(protect) => protect.run(true),
            Self::Decrypt(protect) => protect.run(false),
            Self::Rotate(rotate) => rotate.run(),
            Self::Retire(retire) => retire.run(),
            Self::List(list) => list.run(),
            Self::New(new) => new.run(),
        }
    }
}

impl Protect {
    fn run(self, on: bool) -> anyhow::Result<Exit> {
        let overrides = Overrides { data: self.data, ..Overrides::default() };
        let config = Config::load(Some(&self.config), &overrides)?;
        let protection = Protection::load(config.keys.encryption.as_ref())?;
        if !protection.is_on() {
            bail!("{}: keys.encryption is missing: it says how keys are encrypted", self.config.display());
        }
        let data_dir = DataDir::open(&config.data)?;
        let _lock = data_dir.lock()?;
        let (mut data_dir, wanted) = match on {
            true => (data_dir, protection),
            false => (data_dir.protected_by(protection), Protection::default()),
        };
        let changed = data_dir.protect(wanted)?;
        let done = if on { "encrypted" } else { "plain again" };
        if self.json {
            output::json(&json!({ "data": data_dir.root(), "encrypted": on, "changed": changed }));
        } else if changed.is_empty() {
            output::line("Nothing to do: they are all so already.");
        } else {
            output::line(&format!("{} {done} in {}.", changed.join(", "), data_dir.root().display()));
        }
        Ok(Exit::Done)
    }
}

impl New {
    fn run(self) -> anyhow::Result<Exit> {
        let name = LedgerName::parse(&self.name).with_context(|| self.name.clone())?;
        let mut seed = Zeroizing::new([0; 32]);
        SystemEntropy.fill(&mut *seed)?;
        output::line(&SigningKey::from_seed(name, *seed).to_line());
        Ok(Exit::Done)
    }
}
