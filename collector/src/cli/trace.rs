//! `tachograph trace`

use serde_json::{Value, json};
use tachograph_collector::place::Place;
use tachograph_collector::trace::{Event, Forest, MAX_SHOWN};
use tachograph_collector::view::View;
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
        let view = View::open(&Place::parse(&self.data)?)?;
        let forest = view.records().trace(&self.id, MAX_SHOWN)?;
        for object in view.gone() {
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
    for (index, depth) in forest.in_order() {
        if let Some(event) = forest.events.get(&index) {
            print_event(event, depth)?;
        }
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
