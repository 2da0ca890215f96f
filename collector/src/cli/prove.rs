//! `tachograph prove`

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;
use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_collector::config::{Config, Overrides};
use tachograph_collector::control::{Client, ControlError};
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::keys::Protection;
use tachograph_collector::place::Place;
use tachograph_collector::prove::{ProveError, prove};
use tachograph_collector::view::View;
use tachograph_exporters::bundle::about::Selection;
use tachograph_exporters::verify::{Axis, Verdict};
use tachograph_record::Time;

use super::hold::time;
use super::{Exit, output};

/// Make a bundle of evidence: the records that answer, the proof of each, the signed checkpoint that the proofs lead to, the story for
/// a person, and all that anybody needs to check it without us. A folder, or a zip if the name ends with .zip.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["id", "session", "agent", "from", "indexes"])))]
pub(super) struct Prove {
    /// The event with this event id, correlation id, trace id, output path or output hash
    id: Option<String>,
    /// With all that caused it, and all that it caused
    #[arg(long, requires = "id")]
    chain: bool,
    /// All of this session. The bundle shows that nothing of it is missing, as far as streams were sealed (`streams` in the configuration);
    /// a collector that runs is asked to state them first
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// All of this agent, in the same way
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// All that happened at this time or later: 2026-11-25 or 2026-11-25T10:00:00Z
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// … and before this time
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// A run of records by index, for example 100-199: the bundle proves that none was left out
    #[arg(long, value_name = "FIRST-LAST")]
    indexes: Option<String>,
    /// Where the bundle goes: a new folder, or a zip if the name ends with .zip. Nothing that is there is overwritten
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// A data directory, or an archive: a directory, or s3://bucket/prefix?endpoint=…&region=…
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "PLACE", default_value = tachograph_collector::config::DEFAULT_DATA)]
    data: String,
    /// For a data directory whose keys are encrypted: the configuration file, whose `keys.encryption` opens the stream key
    #[arg(short, long, env = "TACHOGRAPH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Make the bundle although objects that may hold records that answer are gone
    #[arg(long)]
    allow_missing: bool,
    /// Print JSON: `bundle`, `records` (how many, with the one that bounds their time), `size` (of the checkpoint), `bytes` (of all files)
    #[arg(long)]
    json: bool,
}

impl Prove {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let selection = self.selection()?;
        let place = Place::parse(&self.data)?;
        let data_dir = match place.directory().filter(|path| DataDir::is_one(path)) {
            Some(data) => Some(DataDir::open(data)?.protected_by(self.protection()?)),
            None => None,
        };
        let is_stream = matches!(selection, Selection::Session { .. } | Selection::Agent { .. });
        let streams = match data_dir.as_ref().filter(|_| is_stream) {
            // What it would show is left out then, and nothing else.
            Some(data_dir) => data_dir.stream_key().unwrap_or_else(|error| {
                eprintln!("That nothing was left out can't be shown without the stream key: {error}");
                None
            }),
            None => None,
        };
        if let Some(data_dir) = data_dir.as_ref().filter(|_| streams.is_some()) {
            match Client::new(data_dir.root()).close_streams() {
                // Without one the last has stated what it sealed.
                Ok(()) | Err(ControlError::NotRunning { .. }) => {}
                Err(error) => eprintln!("What was sealed last is not stated: {error}"),
            }
        }
        let view = View::open(&place)?;
        let key = data_dir.as_ref().map(|data_dir| data_dir.vkey().clone());
        let (files, report, why) = match prove(&view, key, streams.as_ref(), selection, SystemClock.now()) {
            Ok(made) => made,
            Err(error @ ProveError::NotFound(_)) => {
                output::error(&error.into());
                return Ok(Exit::NotFound);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = why {
            eprintln!("That nothing was left out can't be shown, and is not claimed: {why}");
        }
        let gone = view.gone();
        for object in &gone {
            eprintln!(
                "Not looked at, because it is gone: {object}. `tachograph verify` says whether the ledger certifies that its retention had ended."
            );
        }
        // A run of records names each of them, those without bodies too: nothing is left out of it.
        if !gone.is_empty() && !self.allow_missing && self.indexes.is_none() {
            bail!(
                "{} objects are gone, and records that answer may have been in them: no bundle was made. With --allow-missing it is made of what is left",
                gone.len()
            );
        }
        match self.output.extension().is_some_and(|extension| extension == "zip") {
            true => files.write_zip(&self.output)?,
            false => files.write_folder(&self.output)?,
        }
        let bundle = self.output.display().to_string();
        if self.json {
            output::json(&json!({
                "bundle": bundle, "records": report.records, "size": report.size.to_string(), "bytes": files.bytes(),
            }));
        } else {
            output::line(&format!(
                "{bundle}: {} records, proven to be under the ledger's checkpoint of {} records",
                report.records, report.size
            ));
            if is_stream {
                let completeness = report.axes.get(&Axis::Completeness);
                let reasons = completeness.map(|axis| axis.reasons.join("; ")).unwrap_or_default();
                let verdict = report.verdict(Axis::Completeness);
                output::line(&match verdict {
                    Verdict::Pass => format!(
                        "It shows that none of it is missing in the part of the ledger that it covers: {reasons}."
                    ),
                    _ => format!("It does not show wholly that none of it is missing: {reasons}."),
                });
            }
            output::line(&format!(
                "Hand it out with the ledger's key from another source. To check it: tachograph verify {bundle} --key {}; or read VERIFY.md in it.",
                report.vkey
            ));
        }
        Ok(Exit::Done)
    }

    /// What opens the stream key.
    fn protection(&self) -> anyhow::Result<Protection> {
        let config = self.config.as_deref().map(|path| Config::load(Some(path), &Overrides::default())).transpose()?;
        Ok(Protection::load(config.and_then(|config| config.keys.encryption).as_ref())?)
    }

    fn selection(&self) -> anyhow::Result<Selection> {
        let instant = |text: &str| -> anyhow::Result<Time> { Time::parse(&time(text)?).context("a time of this era") };
        if let Some(id) = self.id.clone() {
            return Ok(if self.chain { Selection::Chain { id } } else { Selection::Event { id } });
        }
        if let Some(session_id) = self.session.clone() {
            return Ok(Selection::Session { session_id });
        }
        if let Some(agent_id) = self.agent.clone() {
            return Ok(Selection::Agent { agent_id });
        }
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            return Ok(Selection::Time { from: instant(from)?, to: instant(to)? });
        }
        let indexes = self.indexes.as_deref().unwrap_or_default();
        let (first, last) = indexes.split_once('-').unwrap_or((indexes, indexes));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Ok(Selection::Indexes { first, last }),
            _ => bail!(
                "--indexes {indexes}: one index, or the first and the last with a hyphen between, such as 100-199"
            ),
        }
    }
}
