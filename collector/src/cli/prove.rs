//! `tachograph prove`

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;
use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::place::Place;
use tachograph_collector::prove::{ProveError, prove};
use tachograph_collector::view::View;
use tachograph_exporters::bundle::about::Selection;
use tachograph_record::Time;

use super::hold::time;
use super::{Exit, output};

/// Make a bundle of evidence: the records that answer, the proof of each, the signed checkpoint that the proofs lead to, the story for
/// a person, and all that anybody needs to check it without us. A folder, or a zip if the name ends with .zip.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["id", "session", "from", "indexes"])))]
pub(super) struct Prove {
    /// The event with this event id, correlation id, trace id, output path or output hash
    id: Option<String>,
    /// With all that caused it, and all that it caused
    #[arg(long, requires = "id")]
    chain: bool,
    /// All of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// All that happened at this time or later: 2026-11-25 or 2026-11-25T10:00:00Z
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// … and before this time
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// A run of records by index, for example 100-199: the one selection of which a bundle proves that nothing was left out
    #[arg(long, value_name = "FIRST-LAST")]
    indexes: Option<String>,
    /// Where the bundle goes: a new folder, or a zip if the name ends with .zip. Nothing that is there is overwritten
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// A data directory, or an archive: a directory, or s3://bucket/prefix?endpoint=…&region=…
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "PLACE", default_value = tachograph_collector::config::DEFAULT_DATA)]
    data: String,
    /// Print JSON: `bundle`, `records` (how many, with the one that bounds their time), `size` (of the checkpoint), `bytes` (of all files)
    #[arg(long)]
    json: bool,
}

impl Prove {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let selection = self.selection()?;
        let place = Place::parse(&self.data)?;
        let view = View::open(&place)?;
        let key = match place.directory().filter(|path| DataDir::is_one(path)) {
            Some(data) => Some(DataDir::open(data)?.vkey().clone()),
            None => None,
        };
        let (files, report) = match prove(&view, key, selection, SystemClock.now()) {
            Ok(made) => made,
            Err(error @ ProveError::NotFound(_)) => {
                output::error(&error.into());
                return Ok(Exit::NotFound);
            }
            Err(error) => return Err(error.into()),
        };
        for object in view.gone() {
            eprintln!(
                "Not looked at, because it is gone: {object}. `tachograph verify` says whether the ledger certifies that its retention had ended."
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
            output::line(&format!(
                "Hand it out with the ledger's key from another source. To check it: tachograph verify {bundle} --key {}; or read VERIFY.md in it.",
                report.vkey
            ));
        }
        Ok(Exit::Done)
    }

    fn selection(&self) -> anyhow::Result<Selection> {
        let instant = |text: &str| -> anyhow::Result<Time> { Time::parse(&time(text)?).context("a time of this era") };
        if let Some(id) = self.id.clone() {
            return Ok(if self.chain { Selection::Chain { id } } else { Selection::Event { id } });
        }
        if let Some(session_id) = self.session.clone() {
            return Ok(Selection::Session { session_id });
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
