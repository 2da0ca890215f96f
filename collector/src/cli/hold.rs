//! `tachograph hold …`

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use serde_json::json;
use tachograph_collector::config::DEFAULT_DATA;
use tachograph_collector::control::Client;
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::expiry::Recorder;
use tachograph_collector::holds::{self, Added, Hold as InForce, Query, Released, check_reason};
use tachograph_collector::inventory::bodies;
use tachograph_collector::statements::{self, HOLD_ADD, HOLD_RELEASE};
use tachograph_collector::view::View;
use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_ledger::Object;
use tachograph_record::Time;

use super::{Exit, output};

/// Legal holds: records that must not be destroyed, whatever their date. Each is an event in the ledger; a collector must be running.
#[derive(clap::Subcommand)]
pub(super) enum Hold {
    /// Hold all records, present and future, of which all that is given is true
    Add(Add),
    /// Lift a hold
    Release(Release),
    /// Set the store's own legal hold again on all that a hold in force is about: after a missing right or an outage
    Mark(Mark),
    /// List all holds, lifted ones too
    List(List),
}

#[derive(clap::Args)]
struct Data {
    /// Data directory
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Add {
    #[command(flatten)]
    data: Data,
    /// This event. May be given several times, for any of them
    #[arg(long, value_name = "ID")]
    event: Vec<String>,
    /// All of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// All that this actor did
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// All that happened at this time or later: 2026-11-25 or 2026-11-25T10:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// All that happened before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Why: a case number, an order. It stands in the ledger as long as proofs do
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(clap::Args)]
pub(super) struct Release {
    #[command(flatten)]
    data: Data,
    /// The hold, as `hold add` printed it and `hold list` shows it
    id: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(clap::Args)]
pub(super) struct Mark {
    #[command(flatten)]
    data: Data,
    /// The hold, as `hold add` printed it and `hold list` shows it
    id: String,
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    data: Data,
}

impl Hold {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Add(add) => add.run(),
            Self::Release(release) => release.run(),
            Self::Mark(mark) => mark.run(),
            Self::List(list) => list.run(),
        }
    }
}

impl Add {
    fn run(self) -> anyhow::Result<Exit> {
        let query = Query {
            event_ids: self.event,
            session_id: self.session,
            actor_id: self.actor,
            from: self.from.as_deref().map(time).transpose()?,
            to: self.to.as_deref().map(time).transpose()?,
        };
        query.check().map_err(anyhow::Error::msg)?;
        check_reason(&self.reason).map_err(anyhow::Error::msg)?;
        let data_dir = DataDir::open(&self.data.data)?;
        let _lock = data_dir.lock_retention()?;
        let details = serde_json::to_value(Added { query, reason: self.reason })?;
        let id = Client::new(&self.data.data).say(HOLD_ADD, details)?;
        let view = View::of_statements(&data_dir)?;
        let known = holds_of(&view)?;
        let marked = mark(&view, find(&known, &id)?, &[], true);
        report(self.data.json, &id, "is in force", &marked)
    }
}

impl Release {
    fn run(self) -> anyhow::Result<Exit> {
        check_reason(&self.reason).map_err(anyhow::Error::msg)?;
        let data_dir = DataDir::open(&self.data.data)?;
        let _lock = data_dir.lock_retention()?;
        let view = View::of_statements(&data_dir)?;
        let known = holds_of(&view)?;
        let hold = find(&known, &self.id)?;
        match &hold.released {
            // An earlier run may have been interrupted before it came to the store.
            Some((when, why)) => eprintln!("hold {} was lifted already, at {when}: {why}", self.id),
            None => {
                let details = serde_json::to_value(Released { hold: self.id.clone(), reason: self.reason })?;
                Client::new(&self.data.data).say(HOLD_RELEASE, details)?;
            }
        }
        // What another hold is about stays marked.
        let others: Vec<&InForce> = known.iter().filter(|other| other.is_active() && other.id != self.id).collect();
        let marked = mark(&view, hold, &others, false);
        report(self.data.json, &self.id, "is lifted", &marked)
    }
}

impl Mark {
    fn run(self) -> anyhow::Result<Exit> {
        let data_dir = DataDir::open(&self.data.data)?;
        let _lock = data_dir.lock_retention()?;
        let view = View::of_statements(&data_dir)?;
        let known = holds_of(&view)?;
        let hold = find(&known, &self.id)?;
        if let Some((when, why)) = &hold.released {
            bail!("hold {} was lifted at {when}: {why}", self.id);
        }
        let marked = mark(&view, hold, &[], true);
        report(self.data.json, &self.id, "is in force", &marked)
    }
}

impl List {
    fn run(self) -> anyhow::Result<Exit> {
        let holds = holds_of(&View::of_statements(&DataDir::open(&self.data.data)?)?)?;
        if self.data.json {
            output::json(&json!({ "holds": holds }));
            return Ok(Exit::Done);
        }
        if holds.is_empty() {
            output::line("No holds.");
        }
        for hold in holds {
            print(&hold);
        }
        Ok(Exit::Done)
    }
}

/// One hold, for people.
pub(super) fn print(hold: &InForce) {
    let state = match &hold.released {
        None => "in force".to_owned(),
        Some((when, why)) => format!("lifted {when}: {why}"),
    };
    output::line(&format!("{}  {state}", hold.id));
    output::line(&format!("    since {} by {}: {}", hold.since, hold.by.as_deref().unwrap_or("?"), hold.reason));
    output::line(&format!("    on {}", serde_json::to_string(&hold.query).unwrap_or_default()));
}

fn find<'h>(known: &'h [InForce], id: &str) -> anyhow::Result<&'h InForce> {
    known
        .iter()
        .find(|hold| hold.id == id)
        .ok_or_else(|| anyhow!("there is no hold {id}; `tachograph hold list` shows all"))
}

fn holds_of(view: &View) -> anyhow::Result<Vec<InForce>> {
    holds::of(&statements::read(view)?).map_err(anyhow::Error::msg)
}

/// What became of the store's own holds.
#[derive(Default)]
struct Marked {
    done: usize,
    /// The store knows no holds: the ledger's must do.
    not_known: usize,
    failed: Vec<String>,
}

/// Sets or lifts the store's own legal hold on every object that the hold is about, and none of `others`. What fails is told and passed
/// over: the ledger's own word stands.
fn mark(view: &View, hold: &InForce, others: &[&InForce], on: bool) -> Marked {
    let mut marked = Marked::default();
    let Some(archive) = &view.archive else { return marked };
    for (_, object, _) in archive.commits().iter().flat_map(bodies) {
        match mark_one(archive, object, hold, others, on) {
            Ok(Some(true)) => marked.done += 1,
            Ok(Some(false)) => marked.not_known += 1,
            Ok(None) => {}
            Err(error) => marked.failed.push(format!("{}: {error}", object.path)),
        }
    }
    marked
}

/// `None` if the hold is not about the object, or another is too; else whether the store knows holds.
fn mark_one(
    archive: &Reader,
    object: &Object,
    hold: &InForce,
    others: &[&InForce],
    on: bool,
) -> Result<Option<bool>, ReadError> {
    archive.store().pin(&object.path)?;
    if hold.holds(archive, object)? != Some(true) {
        return Ok(None);
    }
    for other in others {
        if other.holds(archive, object)? == Some(true) {
            return Ok(None);
        }
    }
    Ok(Some(archive.store().set_legal_hold(&object.path, on)?))
}

fn report(as_json: bool, id: &str, state: &str, marked: &Marked) -> anyhow::Result<Exit> {
    let failed = &marked.failed;
    if as_json {
        output::json(&json!({
            "hold": id, "objects_marked": marked.done, "objects_by_ledger_alone": marked.not_known, "failed": failed,
        }));
    } else {
        output::line(&format!("Hold {id} {state}: it stands in the ledger, and `tachograph expire` heeds it."));
        if marked.done > 0 {
            output::line(&format!("The store's own legal hold was changed on {} objects.", marked.done));
        }
        if marked.done + marked.not_known + failed.len() == 0 {
            output::line("No object that is archived by now has a record for which only this hold stands.");
        }
        if marked.not_known > 0 {
            output::line(&format!("{} objects are in a store that knows no holds.", marked.not_known));
        }
    }
    for error in failed {
        eprintln!("not changed in the store: {error}");
    }
    if !failed.is_empty() {
        eprintln!("`tachograph hold mark`, or release, with {id} again tries again.");
    }
    Ok(if failed.is_empty() { Exit::Done } else { Exit::Incomplete })
}

/// A day, a time to the second or finer, in UTC, as a record has it.
pub(super) fn time(text: &str) -> anyhow::Result<String> {
    let full = match text.strip_suffix('Z') {
        None if text.len() == 10 => format!("{text}T00:00:00.000000000Z"),
        Some(time) if time.len() == 19 => format!("{time}.000000000Z"),
        Some(time) if time.len() > 20 && time.len() < 29 => format!("{time:0<29}Z"),
        _ => text.to_owned(),
    };
    match Time::parse(&full) {
        Ok(time) => Ok(time.to_string()),
        Err(_) => bail!("`{text}` is no time: write 2026-11-25 or 2026-11-25T10:00:00Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, full) in [
            ("2026-11-25", "2026-11-25T00:00:00.000000000Z"),
            ("2026-11-25T10:00:00Z", "2026-11-25T10:00:00.000000000Z"),
            ("2026-11-25T10:00:00.25Z", "2026-11-25T10:00:00.250000000Z"),
            ("2026-11-25T10:00:00.123456789Z", "2026-11-25T10:00:00.123456789Z"),
        ] {
            assert_eq!(time(text).unwrap(), full);
        }
        for text in ["", "yesterday", "2026-13-01", "2026-11-25T10:00:00", "2026-11-25T10:00:00+01:00"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
