//! `tachograph expire`

use std::path::PathBuf;

use serde_json::json;
use tachograph_collector::config::DEFAULT_DATA;
use tachograph_collector::control::Client;
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::expiry;
use tachograph_collector::inventory::{Inventory, State};
use tachograph_collector::view::View;

use super::{Exit, output, retention};

/// Destroy bodies that are past their date and that no hold keeps. Leaves, proofs, and a certificate in the ledger stay, so that
/// the rest still verifies. A collector must be running: it states in the ledger what is destroyed, before and after.
///
/// In a bucket this needs rights that the collector has not (tachograph bucket policies --for destroyer).
#[derive(clap::Args)]
pub(super) struct Expire {
    /// Data directory
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// Do it. Without this it only shows what it would destroy
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Expire {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let data_dir = DataDir::open(&self.data)?;
        // Held to the end: no hold comes in between the look at them and the deed.
        let _lock = data_dir.lock_retention()?;
        let view = View::of_statements(&data_dir)?;
        let inventory = Inventory::of(&view, retention::now(&view)?)?;
        if !self.yes {
            return Ok(self.show(&inventory));
        }
        let Some(store) = view.store() else { return Ok(self.show(&inventory)) };
        let outcome = expiry::destroy(store, &inventory, &mut Client::new(&self.data))?;
        if self.json {
            output::json(&serde_json::to_value(&outcome)?);
        } else {
            let records: u64 = outcome.destroyed.iter().filter_map(|object| object.rows.parse::<u64>().ok()).sum();
            output::line(&format!("{records} records in {} objects are destroyed.", outcome.destroyed.len()));
            for certificate in &outcome.certificates {
                output::line(&format!("Certificate: event {certificate}"));
            }
        }
        for (object, what) in &outcome.refused {
            eprintln!("not destroyed: {}: {what}", object.path);
        }
        Ok(if outcome.refused.is_empty() { Exit::Done } else { Exit::Incomplete })
    }

    fn show(&self, inventory: &Inventory) -> Exit {
        let would: Vec<_> = inventory.expired().collect();
        if self.json {
            output::json(&json!({ "as_of": inventory.as_of, "would_destroy": would }));
            return Exit::Done;
        }
        for item in &would {
            let object = &item.object;
            output::line(&format!("{}  ({} records, kept until {})", object.path, object.rows, object.retain_until));
        }
        let held = inventory.items.iter().filter(|item| matches!(item.state, State::Held { .. })).count();
        if held > 0 {
            output::line(&format!("{held} objects more are past their date, but held: tachograph retention report"));
        }
        output::line(&match would.len() {
            0 => "Nothing is to be destroyed.".to_owned(),
            n => format!("{n} objects are to be destroyed. To do it: tachograph expire --yes"),
        });
        Exit::Done
    }
}
