//! A row group of bodies against its leaves, and its typed columns against the bodies.

use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE};
use tachograph_ledger::shard::{LEDGER_CLOSED, LEDGER_CONTINUES};
use tachograph_ledger::{Hash, Leaf, LedgerName, Object, StreamKey, sha256};
use tachograph_record::{Body, Kind, Record, Value};

use super::border::LEDGER_RESEALED;
use super::certificates::{RECORDER_PRODUCER, Statements, holds_statements};
use super::collector::Collector;
use super::lives::{self, PRODUCER_CLOSE, PRODUCER_HEARTBEAT};
use super::published::MAC_PUBLISHED;
use super::report::{Axis, Finding};
use super::sources::Sources;
use super::streams::Within;
use super::timestamps::TIME_ANCHOR;
use crate::archive::reader::{ColumnCells, RecordGroup, describe_value};

/// What a lifecycle record says after the clock went back.
pub const CLOCK_JUMP: &str = "clock.jump_back";

/// Where the row group stands.
pub(crate) struct GroupPlace<'a> {
    pub(crate) object: &'a Object,
    /// Its first row within the object.
    pub(crate) first_row: u64,
    /// Index of each row's record.
    pub(crate) indexes: Vec<u64>,
    /// The generation that each row's record stands in, where streams are sealed.
    pub(crate) streams: Vec<Option<Within>>,
}

/// What tells which stream a record must be in.
pub(crate) struct Assigned<'k> {
    pub(crate) ledger: LedgerName,
    /// The stream key, if the auditor has it.
    pub(crate) key: Option<&'k StreamKey>,
    /// Its id.
    pub(crate) key_id: Option<Hash>,
}

/// A body that is the one its leaf seals.
pub(crate) struct SealedBody<'b> {
    bytes: &'b [u8],
    /// Without what no column is made from.
    parsed: Body<'b>,
    sealed_at: u64,
    /// The stream that its leaf says it belongs to.
    stream: Option<&'b str>,
}

impl<'b> SealedBody<'b> {
    pub(crate) fn bytes(&self) -> &'b [u8] {
        self.bytes
    }

    /// When its leaf says that it was sealed, nanoseconds since 1970.
    pub(crate) fn sealed_at(&self) -> u64 {
        self.sealed_at
    }
}

/// Checks every row. `leaves` are those of the same records, already checked by the walk. Gives the body bytes checked.
pub(crate) fn check<'l>(
    place: &GroupPlace<'_>,
    mut group: RecordGroup,
    leaves: impl Iterator<Item = &'l [u8]>,
    (statements, assigned, sources): (&Statements<'_>, &Assigned<'_>, &Sources),
    collector: &Collector,
) -> u64 {
    let mut bytes = 0;
    for (at, leaf) in leaves.enumerate().take(group.bodies.len()) {
        let Some(&index) = place.indexes.get(at) else { break };
        let body = group.bodies[at].data();
        bytes += body.len() as u64;
        let fail = |what: String| {
            collector
                .fail(Axis::Integrity, Finding::of_row(&place.object.path, place.first_row + at as u64, index, what))
        };
        if group.indexes[at] != index as i64 {
            fail(format!("the index column says {}, but record {index} should stand here", group.indexes[at]));
        }
        match check_body(body, leaf) {
            Ok(Some(body)) => {
                compare_columns(&mut group.columns, Some(&body.parsed), fail);
                if let Some(within) = place.streams.get(at).copied().flatten()
                    && let Some(what) = misplaced(&body, within, assigned)
                {
                    let row = place.first_row + at as u64;
                    collector.fail(Axis::Completeness, Finding::of_row(&place.object.path, row, index, what));
                }
                if let Some(what) = sources.check(body.parsed.record.producer.as_deref(), body.bytes) {
                    let row = place.first_row + at as u64;
                    collector.fail(Axis::Authenticity, Finding::of_row(&place.object.path, row, index, what));
                }
                note_lifecycle(&body, index, collector);
                if holds_statements(place.object) {
                    statements.hear(index, &body);
                }
                match own_action(&body.parsed.record) {
                    Some(TIME_ANCHOR) => statements.hear_anchor(index, &body),
                    Some(KEY_ANNOUNCE | KEY_RETIRE) => statements.hear_keys(index, &body),
                    Some(MAC_PUBLISHED) => statements.hear_published(index, &body, collector),
                    Some(LEDGER_CLOSED) => statements.hear_closed(index, &body),
                    Some(LEDGER_RESEALED) => statements.hear_resealed(index),
                    Some(LEDGER_CONTINUES) => statements.hear_continues(index, &body, collector),
                    _ => {}
                }
            }
            // The leaf is broken, which the walk said.
            Ok(None) => compare_columns(&mut group.columns, None, fail),
            Err(what) => {
                fail(what);
                compare_columns(&mut group.columns, None, |_| {});
            }
        }
    }
    bytes
}

/// Checks the body against its leaf; `None` if the leaf is none.
pub(crate) fn check_body<'b>(body: &'b [u8], leaf: &'b [u8]) -> Result<Option<SealedBody<'b>>, String> {
    let Ok(leaf) = Leaf::parse(leaf) else { return Ok(None) };
    if leaf.body_len != body.len() as u64 {
        return Err(format!("the body has {} bytes, its leaf says {}", body.len(), leaf.body_len));
    }
    let hash = sha256(body);
    if hash != leaf.body_sha256 {
        return Err(format!("the body's SHA-256 is {hash}, its leaf says {}", leaf.body_sha256));
    }
    let parsed = Body::parse_columns(body).map_err(|error| error.to_string())?;
    match leaf.difference(&parsed.record) {
        Some(field) => Err(format!("leaf and body differ in {field}")),
        None => Ok(Some(SealedBody {
            bytes: body,
            parsed,
            sealed_at: leaf.sealed_at,
            stream: leaf.stream.filter(|_| leaf.stream_seq.is_some()),
        })),
    }
}

/// A record with a session or an agent belongs to a stream, and no other does. Which one only the stream key tells.
fn misplaced(body: &SealedBody<'_>, within: Within, assigned: &Assigned<'_>) -> Option<String> {
    let record = &body.parsed.record;
    let due = within.rule.by.choose(record.session_id.as_deref(), record.agent_id.as_deref());
    match (due, body.stream) {
        (Some((kind, _)), None) => Some(format!("the record has a {} and was sealed beside its stream", kind.as_str())),
        (None, Some(_)) => {
            Some("the record was sealed into a stream, but it has nothing that it could belong to".to_owned())
        }
        (Some((kind, id)), Some(found)) => {
            let key = assigned.key.filter(|_| assigned.key_id == Some(within.rule.key))?;
            let due = key.secret(kind, id).id(&assigned.ledger, within.first);
            (due.to_string() != found)
                .then(|| format!("the record was sealed into another stream than that of its {}", kind.as_str()))
        }
        (None, None) => None,
    }
}

/// Compares one row's cells with what the body gives; without a body only passes over the row.
fn compare_columns(columns: &mut [ColumnCells], body: Option<&Body<'_>>, fail: impl Fn(String)) {
    for cells in columns {
        let column = cells.column;
        let cell = cells.next_cell();
        let Some(body) = body else { continue };
        let value: Value<'_> = column.derive(body);
        if !cell.is(value) {
            fail(format!("column {} has {}, the body gives {}", column.name, cell.describe(), describe_value(value)));
        }
    }
}

/// What the recorder says in this record, if it is the recorder's.
fn own_action<'r>(record: &'r Record<'_>) -> Option<&'r str> {
    let own = record.kind == Kind::Lifecycle && record.producer.as_deref() == Some(RECORDER_PRODUCER);
    record.action_type.as_deref().filter(|_| own)
}

fn note_lifecycle(body: &SealedBody<'_>, index: u64, collector: &Collector) {
    let record = &body.parsed.record;
    if record.kind != Kind::Lifecycle {
        return;
    }
    match record.action_type.as_deref() {
        Some(CLOCK_JUMP) => collector.clock_jump(index),
        Some(PRODUCER_CLOSE | PRODUCER_HEARTBEAT) => lives::hear(body.bytes, collector),
        _ => {}
    }
}
