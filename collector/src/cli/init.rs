//! `tachograph init`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use tachograph_collector::batch::{Entropy, SystemEntropy};
use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_collector::config::{Config, Overrides};
use tachograph_collector::continuation::{self, ContinuationError};
use tachograph_collector::data_dir::{Birth, DataDir};
use tachograph_collector::keys::{self, Born, Protection};
use tachograph_collector::place::Place;
use tachograph_collector::reseal::Surroundings;
use tachograph_ledger::{Continues, LedgerName, SigningKey};
use tachograph_verifier::key_line;
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
    /// The closed ledger that this one continues, as a data directory or an archive (s3://bucket/prefix too): its last checkpoint
    /// becomes the first record
    #[arg(long, value_name = "OLD")]
    continues: Option<String>,
    /// With --continues, public key of that ledger, from a source that you trust: a file or the key line itself. A data directory brings
    /// its own
    #[arg(long, value_name = "FILE|VKEY", requires = "continues")]
    previous_key: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let keys = Config::load(self.config.as_deref(), &Overrides::default())?.keys;
        let protection = Protection::load(keys.encryption.as_ref())?;
        let name = match self.name.clone() {
            Some(name) => name,
            None => default_name()?,
        };
        let name = LedgerName::parse(&name).with_context(|| format!("--name {name}"))?;
        let continues = self.continued(&name)?;
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
        let unfinished = continues.is_some();
        let birth = Birth { vkey: &vkey, signing_key: signing_key.as_ref(), mac: &mac, escrow, protection, unfinished };
        let data_dir = Arc::new(DataDir::create(&self.dir, SystemClock.now(), birth)?);
        if let Some(continues) = &continues {
            let around = Surroundings { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
            continuation::begin(&data_dir, continues, &around)?;
        }
        let (dir, vkey) = (self.dir.display(), data_dir.vkey().to_line());
        if self.json {
            let mut made = json!({ "data": self.dir, "ledger": name.as_str(), "vkey": vkey });
            if let Some(continues) = &continues {
                made["continues"] = json!({ "ledger": continues.ledger().as_str(), "records": continues.size() });
            }
            output::json(&made);
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
            let continued = continues.as_ref().map_or_else(String::new, |continues| {
                format!("It continues {} from its {} records on.\n", continues.ledger(), continues.size())
            });
            output::line(&format!(
                "Ledger {name} created in {dir}.\n{continued}\n\
                 Public key, for all who verify (also in {dir}/ledger.vkey):\n  {vkey}\n\n\
                 {first_mac_key}\n\
                 Back up {dir}/keys. Then: tachograph run --data {dir}"
            ));
        }
        Ok(Exit::Done)
    }
}

impl Init {
    /// What is to be continued.
    fn continued(&self, name: &LedgerName) -> anyhow::Result<Option<Continues>> {
        let Some(old) = &self.continues else { return Ok(None) };
        let key = self.previous_key.as_deref().map(|key| key_line("--previous-key", key)).transpose()?;
        let continues = continuation::of(&Place::parse(old)?, key.as_ref()).with_context(|| old.clone())?;
        if continues.ledger() == name {
            return Err(ContinuationError::SameName(name.clone()).into());
        }
        Ok(Some(continues))
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
