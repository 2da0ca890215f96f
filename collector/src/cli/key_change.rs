//! `tachograph key rotate`, `retire` and `list`.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use serde_json::json;
use tachograph_collector::batch::{Entropy, SystemEntropy};
use tachograph_collector::config::{Config, DEFAULT_DATA, Overrides};
use tachograph_collector::control::Client;
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::expiry::Recorder;
use tachograph_collector::key_ring::Named;
use tachograph_collector::keys::Protection;
use tachograph_exporters::archive::Links;
use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE};
use tachograph_ledger::{KeyHistory, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::{Exit, output};

/// Make a new signing key and announce it: from then on both sign, until the old one is retired. A collector must be running.
#[derive(clap::Args)]
pub(super) struct Rotate {
    /// The data directory
    #[arg(env = "TACHOGRAPH_DATA", value_name = "DIR", default_value = DEFAULT_DATA)]
    dir: PathBuf,
    /// Configuration file: where `keys.encryption` is set, the new key is encrypted as the others are
    #[arg(short, long, env = "TACHOGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Retire one of the two keys that sign, by default the older: it signs nothing more. A collector must be running.
#[derive(clap::Args)]
pub(super) struct Retire {
    /// The data directory
    #[arg(env = "TACHOGRAPH_DATA", value_name = "DIR", default_value = DEFAULT_DATA)]
    dir: PathBuf,
    /// The key to retire, if not the older one
    #[arg(long, value_name = "VKEY")]
    vkey: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show the ledger's keys, and which of them sign.
#[derive(clap::Args)]
pub(super) struct List {
    /// The data directory
    #[arg(env = "TACHOGRAPH_DATA", value_name = "DIR", default_value = DEFAULT_DATA)]
    dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rotate {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let encryption = match &self.config {
            Some(path) => Config::load(Some(path), &Overrides::default())?.keys.encryption,
            None => None,
        };
        let data_dir = DataDir::open(&self.dir)?.protected_by(Protection::load(encryption.as_ref())?);
        // Can it be read? A plain key must not come beside encrypted ones.
        data_dir.mac_key()?;
        let history = history(&data_dir)?;
        let present: Vec<String> = history.present().map(VerifyingKey::to_line).collect();
        if present.len() > 1 {
            bail!("two keys sign already, {}: retire one first (tachograph key retire)", present.join(" and "));
        }
        // One that an interrupted run made is as good as a new one.
        let made = data_dir.later_keys()?.into_iter().find(|key| history.valid_above(&key.public()).is_none());
        let key = match made {
            Some(key) => key,
            None => {
                let mut seed = Zeroizing::new([0; 32]);
                SystemEntropy.fill(&mut *seed)?;
                let key = SigningKey::from_seed(data_dir.ledger().clone(), *seed);
                data_dir.keep_later_key(&key)?;
                key
            }
        };
        let vkey = key.public().to_line();
        let id = Client::new(&self.dir).say(KEY_ANNOUNCE, serde_json::to_value(Named { vkey: vkey.clone() })?)?;
        if self.json {
            output::json(&json!({ "event_id": id, "vkey": vkey, "old": present }));
        } else {
            let dir = self.dir.display();
            output::line(&format!(
                "A new key is announced in the ledger (event {id}), and signs beside the old one from now on:\n  {vkey}\n\n\
                 Back up {dir}/keys. Give the link to whoever needs it: the newest file in the archive's keys/, for witnesses\n\
                 `tachograph witness add DIR LEDGER.VKEY --link FILE`. Then: tachograph key retire {dir}"
            ));
        }
        Ok(Exit::Done)
    }
}

impl Retire {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let data_dir = DataDir::open(&self.dir)?;
        let history = history(&data_dir)?;
        let oldest = history.present().next().map(VerifyingKey::to_line);
        let vkey = self.vkey.or(oldest).ok_or_else(|| anyhow!("no key signs"))?;
        if history.present().count() < 2 {
            bail!("one key signs, {vkey}: announce another first (tachograph key rotate)");
        }
        let id = Client::new(&self.dir).say(KEY_RETIRE, serde_json::to_value(Named { vkey: vkey.clone() })?)?;
        if self.json {
            output::json(&json!({ "event_id": id, "vkey": vkey }));
        } else {
            output::line(&format!(
                "Retired (event {id}), and signs nothing more:\n  {vkey}\n\n\
                 Its private half is of no use any more: what it signs beyond this point counts for nothing. Destroy it where it is."
            ));
        }
        Ok(Exit::Done)
    }
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let data_dir = DataDir::open(&self.dir)?;
        let history = history(&data_dir)?;
        let present: Vec<&VerifyingKey> = history.present().collect();
        let keys: Vec<_> = history
            .keys()
            .map(|key| {
                let above = history.valid_above(key).unwrap_or(0);
                json!({ "vkey": key.to_line(), "signs": present.contains(&key), "above": above })
            })
            .collect();
        if self.json {
            output::json(&json!({ "ledger": data_dir.ledger().as_str(), "keys": keys }));
        } else {
            for key in history.keys() {
                let state = if present.contains(&key) { "signs" } else { "retired" };
                let above = history.valid_above(key).unwrap_or(0);
                output::line(&format!("{}\n  {state}; from the tree of {} records on", key.to_line(), above + 1));
            }
        }
        Ok(Exit::Done)
    }
}

/// The keys, by the archive's links.
fn history(data_dir: &DataDir) -> anyhow::Result<KeyHistory> {
    let place = data_dir.archive()?;
    if place.directory().is_some_and(|path| !path.is_dir()) {
        return Ok(KeyHistory::new(data_dir.vkey().clone()));
    }
    Ok(Links::read(&*place.reader()?, data_dir.vkey().clone())?.history)
}
