//! The records of a bundle: bodies, leaves, proofs, and whether they are what was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tachograph_ledger::{Checkpoint, Hash, Leaf, TlogProof, leaf_hash};
use tachograph_record::{Body, EventId, Record, TraceId};

use super::streams::Placed;
use super::{Check, Signed};
use crate::bundle::about::{About, RecordLine, Selection};
use crate::bundle::{ABOUT, MAX_RECORDS, PROOFS, RECORDS, proof_path};
use crate::verify::{Axis, Finding, RECORDER_PRODUCER, TIME_ANCHOR, check_body};

/// What was found of all records.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) records: u64,
    pub(super) proven: u64,
    pub(super) bodies: u64,
    /// Index and time of sealing of the records that are proven.
    pub(super) sealed: Vec<(u64, u64)>,
    /// SHA-256 of a token, as the record `anchor` holds it.
    pub(super) anchored: Option<Hash>,
    /// How the records of a chain hang together.
    links: Links,
    /// Where the records of a session or an agent stand in their streams.
    pub(super) placed: Vec<Placed>,
    missing: bool,
}

/// What was found of one record.
#[derive(Default)]
struct Checked {
    /// Its body is there and good.
    body: bool,
    /// Its proof holds.
    proven: bool,
    /// Its time of sealing.
    sealed_at: u64,
}

impl Check<'_> {
    pub(super) fn records(&self, about: &About, signed: Option<&Signed>) -> Counted {
        let mut counted = Counted::default();
        let wanted: BTreeSet<u64> = about.records.iter().copied().chain(about.anchor).collect();
        let mut seen = BTreeSet::new();
        let lines = self.file(RECORDS).split_inclusive(|byte| *byte == b'\n').enumerate();
        for (row, line) in lines.take(MAX_RECORDS + 2) {
            counted.records += 1;
            let fail = |index, what: String| {
                let finding = Finding { row: Some(row as u64), index, ..Finding::of_object(RECORDS, what) };
                self.collector.fail(Axis::Integrity, finding);
            };
            let record = match RecordLine::parse(line) {
                Ok(record) => record,
                Err(error) => {
                    fail(None, error.to_string());
                    continue;
                }
            };
            let index = record.index;
            if seen.last().is_some_and(|last| *last >= index) {
                fail(Some(index), "the records are not in order of index".to_owned());
            }
            seen.insert(index);
            if !wanted.contains(&index) {
                self.fail(Axis::Completeness, RECORDS, Some(index), format!("{ABOUT} does not name this record"));
            }
            let checked = self.record(about, &record, signed, &mut counted, &|what| fail(Some(index), what));
            counted.bodies += u64::from(checked.body);
            if checked.proven {
                counted.proven += 1;
                counted.sealed.push((index, checked.sealed_at));
            }
        }
        for missing in wanted.difference(&seen) {
            counted.missing = true;
            self.fail(
                Axis::Completeness,
                RECORDS,
                Some(*missing),
                format!("{ABOUT} names this record, and it is missing"),
            );
        }
        let proofs: BTreeSet<String> = wanted.intersection(&seen).map(|index| proof_path(*index)).collect();
        for (path, _) in self.files.iter().filter(|(path, _)| path.starts_with(PROOFS) && !proofs.contains(*path)) {
            self.fail(Axis::Integrity, path, None, "the proof of no record that is named and here");
        }
        self.sum(&counted, signed);
        counted
    }

    fn sum(&self, counted: &Counted, signed: Option<&Signed>) {
        let collector = self.collector;
        let bare = counted.records - counted.bodies;
        if bare > 0 {
            let reason =
                format!("of {bare} records the body is not here, or not good: of these only the leaf can be checked");
            collector.incomplete(Axis::Integrity, reason);
        }
        match signed {
            Some(signed) if counted.proven == counted.records && !counted.missing => collector.rests_on(
                Axis::Coverage,
                format!(
                    "{} records are proven to be under the checkpoint of {}",
                    counted.proven, signed.checkpoint.size
                ),
            ),
            Some(_) => {
                let open = counted.records - counted.proven;
                collector.incomplete(
                    Axis::Coverage,
                    format!("{open} of {} records are not proven, or some are missing", counted.records),
                );
            }
            None => collector.incomplete(Axis::Coverage, "there is no good checkpoint that the records could be under"),
        }
    }

    fn record(
        &self,
        about: &About,
        record: &RecordLine,
        signed: Option<&Signed>,
        counted: &mut Counted,
        fail: &dyn Fn(String),
    ) -> Checked {
        let proven = self.proven(record, signed);
        let leaf = match Leaf::parse(record.leaf.as_bytes()) {
            Ok(leaf) => leaf,
            Err(error) => {
                fail(error.to_string());
                return Checked::default();
            }
        };
        let is_its_own = leaf.index == record.index && leaf.ledger == about.ledger.as_str();
        if !is_its_own {
            fail(format!("this is the leaf of record {} of `{}`", leaf.index, leaf.ledger));
        }
        let body = match record.body.as_deref().map(|body| (body, check_body(body.as_bytes(), record.leaf.as_bytes())))
        {
            None => false,
            Some((body, Ok(_))) => {
                self.answers(about, record.index, body, counted);
                true
            }
            Some((_, Err(what))) => {
                fail(what);
                false
            }
        };
        if Placed::is_asked(&about.selection) && about.records.binary_search(&record.index).is_ok() {
            let body = record.body.as_deref().filter(|_| body);
            counted.placed.push(Placed::of(&leaf, record.leaf.as_bytes(), body));
        }
        Checked { body, proven: proven && is_its_own, sealed_at: leaf.sealed_at }
    }

    /// Whether the record's proof is there and leads to the signed root.
    fn proven(&self, record: &RecordLine, signed: Option<&Signed>) -> bool {
        let path = proof_path(record.index);
        let proven = match (self.files.get(&path), signed) {
            (None, _) => Err("missing: without it nothing leads from the record to the checkpoint".to_owned()),
            (Some(_), None) => return false,
            (Some(proof), Some(signed)) => check_proof(proof, record, signed),
        };
        if let Err(what) = &proven {
            self.fail(Axis::Coverage, &path, Some(record.index), what.clone());
        }
        proven.is_ok()
    }

    /// A record that does not answer to the question has no place among those that do.
    fn answers(&self, about: &About, index: u64, body: &str, counted: &mut Counted) {
        let Ok(body) = Body::parse(body.as_bytes()) else { return };
        if about.anchor == Some(index) {
            counted.anchored = anchored_token(&body.record);
        }
        if about.records.binary_search(&index).is_err() {
            return;
        }
        let answers = is_answer(&about.selection, index, &body.record);
        if matches!(about.selection, Selection::Chain { .. }) {
            // One record must carry the id; the others caused it, or it caused them.
            counted.links.add(index, &body.record, answers);
        } else if !answers {
            let what = format!("this record is none of {}", about.selection.describe());
            self.fail(Axis::Completeness, RECORDS, Some(index), what);
        }
    }

    pub(super) fn completeness(&self, about: &About, counted: &Counted, signed: Option<&Signed>) {
        self.foreign_streams(about);
        let unknown = "a bundle can't show that no other record answers to the question; a run of indexes can";
        match &about.selection {
            Selection::Indexes { first, last } => {
                let records = &about.records;
                let count = last.checked_sub(*first).and_then(|span| span.checked_add(1));
                let ends = (records.first(), records.last());
                if count == Some(records.len() as u64) && ends == (Some(first), Some(last)) {
                    self.collector.rests_on(Axis::Completeness, format!("every record from {first} to {last} is here"));
                } else {
                    self.fail(
                        Axis::Completeness,
                        ABOUT,
                        None,
                        format!("not every record from {first} to {last} is named"),
                    );
                }
            }
            Selection::Chain { .. } => {
                // A record without its body may be the link.
                let is_whole = counted.bodies == counted.records;
                for index in counted.links.apart().into_iter().filter(|_| is_whole) {
                    let what = format!("this record is none of {}", about.selection.describe());
                    self.fail(Axis::Completeness, RECORDS, Some(index), what);
                }
                self.collector.incomplete(Axis::Completeness, unknown);
            }
            _ if self.streams(about, &counted.placed, signed) => {}
            _ => self.collector.incomplete(Axis::Completeness, unknown),
        }
        // An index is in the leaf.
        let needs_bodies = !matches!(about.selection, Selection::Indexes { .. });
        if needs_bodies && counted.bodies < counted.records {
            let reason = "whether records without a good body were asked for is not known";
            self.collector.incomplete(Axis::Completeness, reason);
        }
    }
}

/// What ties records to one another, as `tachograph trace` follows it: cause and effect, correlation, trace.
#[derive(Default)]
struct Links {
    /// Of each tie the records that have it.
    ties: HashMap<Tie, Vec<u64>>,
    of_record: BTreeMap<u64, Vec<Tie>>,
    /// Records that carry the id that was asked for.
    carriers: Vec<u64>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Tie {
    Event(EventId),
    Correlation(String),
    Trace(TraceId),
}

impl Links {
    fn add(&mut self, index: u64, record: &Record<'_>, is_carrier: bool) {
        let mut ties = vec![Tie::Event(record.event_id)];
        ties.extend(record.parent_id.map(Tie::Event));
        ties.extend(record.correlation_id.as_deref().map(|id| Tie::Correlation(id.to_owned())));
        ties.extend(record.trace_id.map(Tie::Trace));
        for tie in &ties {
            self.ties.entry(tie.clone()).or_default().push(index);
        }
        self.of_record.insert(index, ties);
        self.carriers.extend(is_carrier.then_some(index));
    }

    /// The records that nothing here ties to one that carries the id.
    fn apart(&self) -> Vec<u64> {
        let mut apart: BTreeSet<u64> = self.of_record.keys().copied().collect();
        let mut todo = self.carriers.clone();
        // Each tie is followed once, so that many records of one trace cost no more than few.
        let mut followed = HashSet::new();
        while let Some(index) = todo.pop() {
            if !apart.remove(&index) {
                continue;
            }
            for tie in self.of_record.get(&index).into_iter().flatten().filter(|tie| followed.insert(*tie)) {
                todo.extend(self.ties.get(tie).into_iter().flatten());
            }
        }
        apart.into_iter().collect()
    }
}

fn check_proof(proof: &[u8], record: &RecordLine, signed: &Signed) -> Result<(), String> {
    let leaf = proven_leaf(proof, record.index, signed)?;
    if leaf != record.leaf.as_bytes() { Err("the proof's `extra` is not the record's leaf".to_owned()) } else { Ok(()) }
}

/// The leaf that a proof brings along, if it leads to the signed root.
pub(super) fn proven_leaf(proof: &[u8], index: u64, signed: &Signed) -> Result<Vec<u8>, String> {
    let proof = TlogProof::parse(proof).map_err(|error| error.to_string())?;
    if proof.index != index {
        return Err(format!("this is the proof of record {}", proof.index));
    }
    let leaf = proof.extra.clone().ok_or("the proof brings no leaf along")?;
    let size = signed.checkpoint.size;
    if proof.checkpoint.as_bytes() != signed.note {
        let other = Checkpoint::parse_unverified(proof.checkpoint.as_bytes()).ok();
        return Err(match other.filter(|other| other.size != size) {
            Some(other) => {
                format!("this proof is for a tree of {} records, the bundle's checkpoint is of {size}", other.size)
            }
            None => "the checkpoint in the proof is not the bundle's".to_owned(),
        });
    }
    let hash = leaf_hash(&leaf);
    proof.verify(&hash, size, &signed.checkpoint.root).map_err(|error| error.to_string())?;
    Ok(leaf)
}

/// The hash of a token that a record `time.anchor` of the recorder itself holds.
pub(crate) fn anchored_token(record: &Record<'_>) -> Option<Hash> {
    let is_recorder = record.producer.as_deref() == Some(RECORDER_PRODUCER);
    let is_anchor = is_recorder && record.action_type.as_deref() == Some(TIME_ANCHOR);
    let details = record.details.as_ref().filter(|_| is_anchor)?;
    let details: serde_json::Value = serde_json::from_str(details.as_str()).ok()?;
    Hash::from_hex(details["token_sha256"].as_str()?)
}

/// Whether a record answers to a selection by itself. Of a chain those do that carry the id.
fn is_answer(selection: &Selection, index: u64, record: &Record<'_>) -> bool {
    match selection {
        Selection::Event { id } | Selection::Chain { id } => carries(record, id),
        Selection::Session { session_id } => record.session_id.as_deref() == Some(session_id),
        Selection::Agent { agent_id } => record.agent_id.as_deref() == Some(agent_id),
        Selection::Time { from, to } => (*from..*to).contains(&record.timestamp),
        Selection::Indexes { first, last } => (*first..=*last).contains(&index),
    }
}

/// Whether a record carries an id, as `tachograph trace` understands it.
fn carries(record: &Record<'_>, id: &str) -> bool {
    let hash = record.output_hash.as_deref();
    EventId::parse(id) == Some(record.event_id)
        || TraceId::parse(id).is_some_and(|trace| record.trace_id == Some(trace))
        || [record.correlation_id.as_deref(), record.output_path.as_deref(), hash].contains(&Some(id))
        || hash.and_then(|hash| hash.strip_prefix("sha256:")).is_some_and(|hash| hash.eq_ignore_ascii_case(id))
}
