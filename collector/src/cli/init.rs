//! `tachograph init`

use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;
use tachograph_collector::batch::{Entropy, SystemEntropy};
use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_collector::config::{Config, Overrides};
use tachograph_collector::data_dir::{Birth, DataDir};
use tachograph_collector::keys::{self, Born, Protection};
use tachograph_ledger::{LedgerName, SigningKey};
use zeroize::Zeroizing;

use super::{Exit, output};

/// Create a ledger and its keys in a new or empty directory. Done once, and on purpose: nothing else creates a ledger.
#[derive(clap::Args)]
pub(super) struct Init {
    /// The data directory to create
    dir: PathBuf,
    /// Name of the ledger, for ever: the origin of its checkpoints, for example acme.example/ai-audit
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Configuration file: what it says under `keys` holds for the new ledger's keys
    #[arg(short, long, env = "TACHOGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let keys = Config::load(self.config.as_deref(), &Overrides::default())?.keys;
        let protection = Protection::load(keys.encryption.as_ref())?;
        let name = match self.name {
            Some(name) => name,
            None => default_name()?,
        };
        let name = LedgerName::parse(&name).with_context(|| format!("--name {name}"))?;
        let (signing_key, vkey) = match keys::born(&keys, &protection, &name)? {
            Born::Elsewhere(vkey) => (None, *vkey),
            Born::New => {
                let key = SigningKey::from_seed(name.clone(), *random_32()?);
                let vkey = key.public();
                (Some(key), vkey)
            }
        };
        let of_service = keys::mac_key_of_service(&keys, &vkey)?;
        let mac = match (&of_service, keys::first_mac_key(&keys, &protection)?) {
            (Some(mac), _) => Zeroizing::new(*mac.expose()),
            (None, Some(mac)) => mac,
            (None, None) => random_32()?,
        };
        let escrow = of_service.is_none();
        let birth = Birth { vkey: &vkey, signing_key: signing_key.as_ref(), mac: &mac, escrow, protection };
        let data_dir = DataDir::create(&self.dir, SystemClock.now(), birth)?;
        let (dir, vkey) = (self.dir.display(), data_dir.vkey().to_line());
        if self.json {
            output::json(&json!({ "data": self.dir, "ledger": name.as_str(), "vkey": vkey }));
        } else {
            let first_mac_key = match escrow {
                true => format!(
                    "Move {dir}/mac-escrow.key into other hands, off this machine: with it every record's MAC can be\n\
                     checked, and forged."
                ),
                false => "Take the right to the MAC key in the key service away from the collector now: who has it can check\n\
                          every record's MAC, and forge it."
                    .to_owned(),
            };
            output::line(&format!(
                "Ledger {name} created in {dir}.\n\n\
                 Public key, for all who verify (also in {dir}/ledger.vkey):\n  {vkey}\n\n\
                 {first_mac_key}\n\
                 Back up {dir}/keys. Then: tachograph run --data {dir}"
            ));
        }
        Ok(Exit::Done)
    }
}

fn random_32() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut random = Zeroizing::new([0; 32]);
    SystemEntropy.fill(&mut *random)?;
    Ok(random)
}

/// A name that no other ledger has by accident.
fn default_name() -> anyhow::Result<String> {
    let mut random = [0; 4];
    SystemEntropy.fill(&mut random)?;
    Ok(format!("tachograph.local/{}", tachograph_record::Hex(random)))
}
