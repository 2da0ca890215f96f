//! `tachograph trace`

use std::path::Path;

use serde_json::{Value, json};
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::journal::Journal;
use tachograph_collector::place as archive;
use tachograph_collector::trace::{Event, Forest, Records};
use tachograph_exporters::archive::reader::Reader;
use tachograph_record::Record;

use super::{Exit, output};

/// Show the chain of events around one of them, oldest cause first: who, what, when, which model, what was decided, what came
/// of it. Works beside a running collector too.
#[derive(clap::Args)]
pub(super) struct Trace {
    /// An event id, correlation id, trace id, output path or output hash
    id: String,
    /// A data directory, or an archive: a directory, or s3://bucket/prefix?endpoint=…&region=…
    #[arg(long, env = "TACHOGRAPH_DATA", value_name = "PLACE", default_value = tachograph_collector::config::DEFAULT_DATA)]
    data: String,
    /// Print JSON: `events`, each with its index, its cause's index and its record; `cut` if there were more
    #[arg(long)]
    json: bool,
}

impl Trace {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let place = Place::open(&self.data)?;
        let forest = place.records().trace(&self.id)?;
        for object in place.gone() {
            eprintln!(
                "Not looked at, because it is gone: {object}. `tachograph verify` says whether the ledger certifies that its retention had ended."
            );
        }
        if forest.events.is_empty() {
            eprintln!("No record has {} as event id, correlation id, trace id, output path or output hash.", self.id);
            return Ok(Exit::NotFound);
        }
        if self.json {
            output::json(&as_json(&forest)?);
        } else {
            print(&forest)?;
        }
        Ok(Exit::Done)
    }
}

/// An archive, and the journal's tail if the place is a data directory.
pub(super) struct Place {
    archive: Option<Reader>,
    tail: Vec<(u64, Vec<u8>)>,
}

impl Place {
    pub(super) fn open(place: &str) -> anyhow::Result<Self> {
        let place = archive::Place::parse(place)?;
        let data = match place.directory().filter(|path| DataDir::is_one(path)) {
            Some(data) => data,
            None => return Ok(Self { archive: Some(Reader::open(place.reader()?)?), tail: Vec::new() }),
        };
        let data_dir = DataDir::open(data)?;
        let archive = data_dir.archive()?;
        let archive = match archive.directory().is_none_or(Path::is_dir) {
            true => Some(Reader::open(archive.reader()?)?),
            false => None,
        };
        let archived = archive.as_ref().map_or(0, Reader::size);
        let mut tail = Vec::new();
        let reader = Journal::read_only(&data_dir.journal(), data_dir.ledger().as_str())?;
        if reader.next_index().is_some_and(|next| next > archived) {
            let mut frames = reader.read_from(archived)?;
            while let Some(frame) = frames.next_frame()? {
                tail.extend(frame.records().map(|record| (record.index, record.body.to_vec())));
            }
        }
        Ok(Self { archive, tail })
    }

    /// Shows every archived body to `each`.
    pub(super) fn archive_scan(&self, mut each: impl FnMut(&[u8]) -> Option<()>) -> anyhow::Result<()> {
        if let Some(archive) = &self.archive {
            archive.scan(|_, body| {
                each(body);
                true
            })?;
        }
        Ok(())
    }

    /// Objects that were looked for and are not there.
    pub(super) fn gone(&self) -> Vec<String> {
        self.archive.as_ref().map(Reader::gone).unwrap_or_default()
    }

    pub(super) fn records(&self) -> Records<'_> {
        Records { archive: self.archive.as_ref(), tail: &self.tail }
    }
}

fn as_json(forest: &Forest) -> anyhow::Result<Value> {
    let cause_of = |index: u64| {
        forest.children.iter().find(|(_, effects)| effects.contains(&index)).map(|(cause, _)| cause.to_string())
    };
    let events = forest.events.values().map(|event| {
        let body: Value = serde_json::from_slice(event.body())?;
        Ok(json!({ "index": event.index.to_string(), "cause": cause_of(event.index), "body": body }))
    });
    Ok(json!({ "events": events.collect::<anyhow::Result<Vec<_>>>()?, "cut": forest.cut }))
}

pub(super) fn print(forest: &Forest) -> anyhow::Result<()> {
    // An explicit stack: a chain may be as long as a trace.
    let mut todo: Vec<(u64, usize)> = forest.roots.iter().rev().map(|root| (*root, 0)).collect();
    while let Some((index, depth)) = todo.pop() {
        if let Some(event) = forest.events.get(&index) {
            print_event(event, depth)?;
        }
        let effects = forest.children.get(&index).map_or(&[][..], Vec::as_slice);
        todo.extend(effects.iter().rev().map(|effect| (*effect, depth + 1)));
    }
    if forest.cut {
        output::line("… there are more events than are shown.");
    }
    Ok(())
}

/// Levels that are shown by indentation.
const DEEPEST_INDENT: usize = 32;

fn print_event(event: &Event, depth: usize) -> anyhow::Result<()> {
    let record = event.record()?;
    // Deeper ones stand below each other: a chain may be as long as a trace.
    let (indent, arrow) = match depth.min(DEEPEST_INDENT) {
        0 => (String::new(), ""),
        depth => ("   ".repeat(depth - 1), "└─ "),
    };
    let outcome = record.outcome.map_or("unknown", |outcome| outcome.as_str());
    let what = [Some(record.kind.as_str()), record.action_type.as_deref(), record.decision_type.as_deref()];
    let what: Vec<&str> = what.into_iter().flatten().collect();
    output::line(&format!("{indent}{arrow}{}  {}  → {outcome}", record.timestamp, clean(&what.join(" "))));
    let below = if depth == 0 { "  ".to_owned() } else { format!("{indent}     ") };
    for (name, value) in facts(&record) {
        output::line(&format!("{below}{name:<9} {}", clean(&value)));
    }
    output::line(&format!("{below}{:<9} {}  (record {})", "event", record.event_id, event.index));
    Ok(())
}

/// Who, model, decision and outcome, as far as they are known.
fn facts(record: &Record<'_>) -> Vec<(&'static str, String)> {
    let join = |parts: &[Option<&str>]| parts.iter().flatten().copied().collect::<Vec<_>>().join(" ");
    let actor = record.actor_id.as_deref();
    let facts = [
        ("service", join(&[record.service_name.as_deref(), record.environment.as_deref()])),
        (
            "who",
            join(&[record.actor_type.filter(|_| actor.is_some()).map(|t| t.as_str()), actor, record.team.as_deref()]),
        ),
        ("session", join(&[record.session_id.as_deref()])),
        ("agent", join(&[record.agent_id.as_deref(), record.agent_version.as_deref()])),
        ("model", join(&[record.provider.as_deref(), record.model.as_deref(), record.model_version.as_deref()])),
        ("on", join(&[record.resource_type.as_deref(), record.resource_id.as_deref()])),
        ("prompt", join(&[record.prompt.as_deref()])),
        ("decision", join(&[record.final_decision.as_deref()])),
        ("steps", join(&[record.decision_steps.as_ref().map(|json| json.as_str())])),
        (
            "conflict",
            record
                .conflicts_with
                .map_or(String::new(), |first| format!("same event id as record {}, other content", first.get())),
        ),
        ("output", join(&[record.output_path.as_deref(), record.output_hash.as_deref()])),
        ("reason", join(&[record.outcome_reason.as_deref(), record.error_type.as_deref(), record.error.as_deref()])),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Characters that turn the direction of the text behind them.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line, without control characters (a prompt must not be able to steer a terminal), not too long.
fn clean(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut clean: String =
        text.chars().take(LONGEST).map(|c| if c.is_control() || is_directional(c) { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}
