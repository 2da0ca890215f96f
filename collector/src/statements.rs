//! What the recorder itself says in its ledger about holds and destruction. State is nowhere else: whoever reads the ledger
//! knows which holds are in force and what was destroyed.
//!
//! Statements are records of kind `lifecycle` whose producer is the recorder, a name that no sender can take. With retention
//! configured they have a class of their own, which is kept as long as proofs are. `docs/format.md` has the form of their details.

use serde_json::Value as Json;
use tachograph_exporters::archive::RECORDER_CLASS;
use tachograph_exporters::archive::reader::ReadError;
use tachograph_exporters::verify::{
    ARCHIVE_ORPHANS, MAC_PUBLISHED, RECORDER_PRODUCER, RETENTION_DESTROY, RETENTION_DESTROYED, TIME_ANCHOR,
};
use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE};
use tachograph_ledger::shard::{LEDGER_CLOSED, LEDGER_CONTINUES};
use tachograph_record::{Body, EventId, Kind, Record, Time};

use crate::view::View;

/// Action of the record that puts a hold on records.
pub const HOLD_ADD: &str = "hold.add";
/// Action of the record that lifts a hold.
pub const HOLD_RELEASE: &str = "hold.release";

/// All actions that are statements.
pub const ACTIONS: [&str; 11] = [
    ARCHIVE_ORPHANS,
    RETENTION_DESTROY,
    RETENTION_DESTROYED,
    HOLD_ADD,
    HOLD_RELEASE,
    TIME_ANCHOR,
    MAC_PUBLISHED,
    KEY_ANNOUNCE,
    KEY_RETIRE,
    LEDGER_CLOSED,
    LEDGER_CONTINUES,
];

/// The statements that a person has the recorder make.
pub const BY_PEOPLE: [&str; 6] =
    [RETENTION_DESTROY, RETENTION_DESTROYED, HOLD_ADD, HOLD_RELEASE, KEY_ANNOUNCE, KEY_RETIRE];

/// One statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Position in the ledger.
    pub index: u64,
    /// Identity.
    pub event_id: EventId,
    /// When the recorder said it.
    pub said_at: Time,
    /// What it is about: one of [`ACTIONS`].
    pub action: String,
    /// Who had it said.
    pub by: Option<String>,
    /// What it says.
    pub details: Json,
    /// Whether it is in the archive. What is only in the journal may still be lost with it: nothing is destroyed on the strength of that.
    pub archived: bool,
}

/// Whether it is what the recorder says of holds, of destruction, of leftovers, of time, of MACs, of keys, of where ledgers begin and end.
pub fn is_statement(record: &Record<'_>) -> bool {
    record.kind == Kind::Lifecycle
        && record.producer.as_deref() == Some(RECORDER_PRODUCER)
        && record.action_type.as_deref().is_some_and(|action| ACTIONS.contains(&action))
}

/// All statements of a ledger, in order.
///
/// # Errors
/// If any of them may be missing: a commit or an object of theirs is not there or not as it was, or the archive can't be read.
pub fn read(view: &View) -> Result<Vec<Statement>, ReadError> {
    let mut statements = Vec::new();
    if let Some(archive) = &view.archive {
        archive.check_commits(view.signed)?;
        archive.scan_class(RECORDER_CLASS, |index, body| {
            statements.extend(Statement::of(index, body, true));
            true
        })?;
    }
    statements.extend(view.tail.iter().filter_map(|(index, body)| Statement::of(*index, body, false)));
    Ok(statements)
}

impl Statement {
    fn of(index: u64, bytes: &[u8], archived: bool) -> Option<Self> {
        if !is_statement(&Body::parse_columns(bytes).ok()?.record) {
            return None;
        }
        // The details are in no column.
        let body = Body::parse(bytes).ok()?;
        let record = body.record;
        Some(Self {
            index,
            event_id: record.event_id,
            said_at: body.observed_at,
            action: record.action_type.as_deref()?.to_owned(),
            by: record.actor_id.as_deref().map(str::to_owned),
            details: serde_json::from_str(record.details.as_ref()?.as_str()).ok()?,
            archived,
        })
    }
}
