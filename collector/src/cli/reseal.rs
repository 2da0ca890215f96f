//! `tachograph reseal`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tachograph_collector::batch::SystemEntropy;
use tachograph_collector::clock::SystemClock;
use tachograph_collector::reseal::{Surroundings, reseal};
use tachograph_ledger::LedgerName;

use super::{Exit, output};

/// Save what a fenced collector acknowledged: two collectors wrote one ledger by mistake, the archive has the records of one, and
/// this directory's journal those of the other. They are sealed again, as they are, in a new ledger of another name; the fenced
/// directory is only read.
#[derive(clap::Args)]
pub(super) struct Reseal {
    /// Data directory of the fenced collector, which must have ended
    fenced: PathBuf,
    /// The data directory to create for the new ledger
    into: PathBuf,
    /// Name of the new ledger, for ever
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reseal {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let name = LedgerName::parse(&self.name).with_context(|| format!("--name {}", self.name))?;
        let around = Surroundings { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
        let saved = reseal(&self.fenced, &self.into, &name, &around)?;
        if self.json {
            output::json(&serde_json::to_value(&saved)?);
        } else {
            let into = self.into.display();
            output::line(&format!(
                "{} records of {}, from record {} on, are sealed again in the new ledger {} in {into}.\n\n\
                 Public key, for all who verify (also in {into}/ledger.vkey):\n  {}\n\n\
                 Move {into}/mac-escrow.key into other hands. Give the new ledger a configuration with a place of its own for its archive\n\
                 (another archive.s3.prefix), then: tachograph run --data {into}",
                saved.records, saved.from, saved.first, saved.into, saved.vkey
            ));
        }
        Ok(Exit::Done)
    }
}
