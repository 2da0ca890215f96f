//! `tachograph retention …`

use std::collections::BTreeMap;
use std::path::PathBuf;

use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_collector::config::DEFAULT_DATA;
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::holds::Hold;
use tachograph_collector::inventory::{Inventory, Item, State};
use tachograph_collector::view::View;
use tachograph_record::Time;

use super::{Exit, output};

/// What is kept, and how long.
#[derive(clap::Subcommand)]
pub(super) enum Retention {
    /// Show what is kept until when, what may be destroyed, what is held, and what was destroyed with which certificate
    Report(Report),
}

#[derive(clap::Args)]
pub(super) struct Report {
    /// Data directory
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// Print JSON, with every object
    #[arg(long)]
    json: bool,
}

impl Retention {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self::Report(report) = self;
        report.run()
    }
}

impl Report {
    fn run(self) -> anyhow::Result<Exit> {
        let view = View::of_statements(&DataDir::open(&self.data)?)?;
        let inventory = Inventory::of(&view, now(&view)?)?;
        if self.json {
            output::json(&serde_json::to_value(&inventory)?);
        } else {
            print(&inventory);
        }
        Ok(Exit::Done)
    }
}

/// The earlier of the store's clock and this machine's: nothing is past its date before both say so.
pub(super) fn now(view: &View) -> anyhow::Result<Time> {
    let ours = SystemClock.now();
    Ok(match view.store() {
        Some(store) => store.now()?.map_or(ours, |theirs| theirs.min(ours)),
        None => ours,
    })
}

/// Objects, records and bytes of one sort.
#[derive(Default)]
struct Sum {
    objects: u64,
    records: u64,
    bytes: u64,
    dates: Option<(String, String)>,
}

impl Sum {
    fn add(&mut self, item: &Item) {
        self.objects += 1;
        self.records += item.object.rows.parse::<u64>().unwrap_or(0);
        self.bytes += item.bytes;
        let date = &item.object.retain_until;
        if !date.is_empty() {
            let (from, to) = self.dates.get_or_insert_with(|| (date.clone(), date.clone()));
            if date < from {
                from.clone_from(date);
            }
            if date > to {
                to.clone_from(date);
            }
        }
    }
}

fn print(inventory: &Inventory) {
    output::line(&format!("As of {}", inventory.as_of));
    let mut sums: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    for item in &inventory.items {
        sums.entry((&item.object.class, word(&item.state))).or_default().add(item);
    }
    if sums.is_empty() {
        output::line("Nothing is archived yet.");
    }
    for ((class, word), sum) in &sums {
        let dates = match &sum.dates {
            None => String::new(),
            Some((from, to)) if from == to => format!(", until {}", day(from)),
            Some((from, to)) => format!(", until {} to {}", day(from), day(to)),
        };
        output::line(&format!(
            "  class {class:<16} {word:<28} {} records in {} objects, {:.1} MB{dates}",
            sum.records,
            sum.objects,
            sum.bytes as f64 / 1e6
        ));
    }
    if let Some(until) = &inventory.proofs_until {
        output::line(&format!("  proofs of all these are kept until {} at least", day(until)));
    }
    let active: Vec<&Hold> = inventory.holds.iter().filter(|hold| hold.is_active()).collect();
    if !active.is_empty() {
        output::line("\nHolds in force:");
        active.into_iter().for_each(super::hold::print);
    }
    let mut certificates: BTreeMap<&str, (&str, u64, u64)> = BTreeMap::new();
    for item in &inventory.items {
        if let State::Destroyed { certificate, at, .. } = &item.state {
            let sum = certificates.entry(certificate).or_insert((at, 0, 0));
            sum.1 += 1;
            sum.2 += item.object.rows.parse::<u64>().unwrap_or(0);
        }
    }
    if !certificates.is_empty() {
        output::line("\nCertificates of destruction (events in the ledger):");
    }
    for (certificate, (at, objects, records)) in certificates {
        output::line(&format!("{certificate}  {at}: {records} records in {objects} objects"));
    }
    for item in &inventory.items {
        match &item.state {
            State::Held { by } => output::line(&format!("\nheld: {} by {}", item.object.path, by.join(", "))),
            State::Missing => output::line(&format!(
                "\nMISSING: {}: it is past its date and gone, and no certificate says why",
                item.object.path
            )),
            _ => {}
        }
    }
    let due = inventory.expired().count();
    if due > 0 {
        output::line(&format!("\n{due} objects may be destroyed: tachograph expire"));
    }
}

/// The day, and the time of day where somebody may wait for it.
fn day(date: &str) -> &str {
    date.get(..19).unwrap_or(date)
}

fn word(state: &State) -> &'static str {
    match state {
        State::Undated => "kept without a date",
        State::Kept => "kept",
        State::Due => "may be destroyed",
        State::Held { .. } => "past its date, but held",
        State::Announced { .. } => "destruction was interrupted",
        State::Destroyed { .. } => "destroyed",
        State::Missing => "MISSING",
    }
}
