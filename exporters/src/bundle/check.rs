//! Verifying a bundle, offline, from its bytes and the ledger's key alone. One verdict per [`Axis`], as for an archive.
//!
//! What is proven of each record: that its body is the one its leaf seals, and that the leaf is in the tree whose root the ledger's key
//! signed. What is not: that nothing else answers to the question (see `completeness`), and all that only the whole ledger can show.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tachograph_ledger::{Checkpoint, CheckpointError, Leaf, NoteError, TlogProof, VerifyingKey, leaf_hash, parse_note};
use tachograph_record::{Body, EventId, Record, TraceId};

use super::about::{About, RecordLine, Selection};
use super::files::Files;
use super::{
    ABOUT, CHECKPOINT, MANIFEST, MAX_RECORDS, NOT_AFTER, NOT_BEFORE, NOT_BEFORE_CHECKPOINT, RECORDS, VKEY, WITNESSED,
    proof_path,
};
use crate::verify::{Axis, AxisReport, Collector, Finding, Verdict, check_body, exit_code};

/// What is there for people and for other programs. Nothing rests on it, but a bundle without it is not whole.
const FOR_PEOPLE: [&str; 5] = ["index.html", "VERIFY.md", "verify.py", "verify.sh", "verify.sql"];

/// What whoever checks brings along.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The ledger's public key, from a source other than the bundle.
    pub key: Option<VerifyingKey>,
    /// Checkpoints of this ledger that were remembered elsewhere: signed notes.
    pub checkpoints: Vec<Vec<u8>>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct BundleReport {
    /// Version of this report's form.
    pub report: &'static str,
    /// The bundle.
    pub bundle: String,
    /// What it is about; absent if that can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Name of the ledger.
    pub ledger: String,
    /// The key that the signature was checked with.
    pub vkey: String,
    /// Leaves under the bundle's checkpoint.
    pub size: u64,
    /// Root of their tree, as the bundle says.
    pub root: String,
    /// Records in it.
    pub records: u64,
    /// Records whose proof leads to the signed root.
    pub proven: u64,
    /// Records whose body was checked.
    pub bodies: u64,
    /// One answer per axis.
    pub axes: BTreeMap<Axis, AxisReport>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub findings_left_out: u64,
}

impl BundleReport {
    /// 1 if any axis fails; 2 if a required one is incomplete; else 0.
    pub fn exit_code(&self, required: &[Axis]) -> u8 {
        exit_code(&self.axes, required, false)
    }

    /// The answer on one axis.
    pub fn verdict(&self, axis: Axis) -> Verdict {
        self.axes.get(&axis).map_or(Verdict::Incomplete, |report| report.verdict)
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Verifies the bundle in `files`, which came from `place`.
pub fn check(files: &Files, place: &str, options: &Options) -> BundleReport {
    let collector = Collector::default();
    let check = Check { files, options, collector: &collector };
    check.strangers();
    let about = check.about();
    let (key, checkpoint) = match &about {
        None => (None, None),
        Some(about) => {
            let key = check.key(about);
            let checkpoint = key.as_ref().and_then(|key| check.checkpoint(about, key));
            (key, checkpoint)
        }
    };
    let counted = about.as_ref().map(|about| check.records(about, checkpoint.as_ref())).unwrap_or_default();
    check.what_only_others_can_tell(about.as_ref(), checkpoint.as_ref(), key.as_ref());
    let (axes, findings, findings_left_out) = collector.into_axes();
    BundleReport {
        report: "1",
        bundle: place.to_owned(),
        about: about.as_ref().map(|about| about.selection.describe()),
        ledger: about.as_ref().map(|about| about.ledger.to_string()).unwrap_or_default(),
        vkey: key.map(|key| key.to_line()).unwrap_or_default(),
        size: about.as_ref().map_or(0, |about| about.size),
        root: about.as_ref().map(|about| about.root.to_hex()).unwrap_or_default(),
        records: counted.records,
        proven: counted.proven,
        bodies: counted.bodies,
        axes,
        findings,
        findings_left_out,
    }
}

struct Check<'c> {
    files: &'c Files,
    options: &'c Options,
    collector: &'c Collector,
}

#[derive(Default)]
struct Counted {
    records: u64,
    proven: u64,
    bodies: u64,
}

/// A checkpoint whose signature holds, and the note that the proofs must bring.
struct Signed {
    checkpoint: Checkpoint,
    note: Vec<u8>,
}

impl Check<'_> {
    fn fail(&self, axis: Axis, object: &str, index: Option<u64>, what: impl Into<String>) {
        self.collector.fail(axis, Finding { index, ..Finding::of_object(object, what) });
    }

    /// The file, which must be there.
    fn need(&self, path: &str) -> Option<&[u8]> {
        let found = self.files.get(path);
        if found.is_none() {
            self.fail(Axis::Integrity, path, None, "missing: a bundle without it proves nothing");
        }
        found
    }

    /// Damage on the way, and files that are no part of a bundle.
    fn strangers(&self) {
        for (path, what) in self.files.against_manifest() {
            self.fail(Axis::Integrity, &path, None, what);
        }
        let known = [ABOUT, VKEY, CHECKPOINT, WITNESSED, RECORDS, MANIFEST, NOT_BEFORE, NOT_BEFORE_CHECKPOINT];
        for path in FOR_PEOPLE.into_iter().filter(|path| self.files.get(path).is_none()) {
            self.fail(Axis::Integrity, path, None, "missing");
        }
        for (path, _) in self.files.iter() {
            let stamp = path.strip_prefix(NOT_AFTER).is_some_and(|name| name.ends_with(".tsr") && !name.contains('/'));
            if !known.contains(&path) && !FOR_PEOPLE.contains(&path) && !stamp && !path.starts_with(super::PROOFS) {
                self.fail(Axis::Integrity, path, None, "no part of a bundle");
            }
        }
    }

    fn about(&self) -> Option<About> {
        match About::parse(self.need(ABOUT)?) {
            Ok(about) => Some(about),
            Err(error) => {
                self.fail(Axis::Integrity, ABOUT, None, error.to_string());
                None
            }
        }
    }

    /// The key to check with.
    fn key(&self, about: &About) -> Option<VerifyingKey> {
        let line = String::from_utf8_lossy(self.need(VKEY).unwrap_or_default()).trim_end().to_owned();
        if line != about.vkey {
            self.fail(Axis::Integrity, VKEY, None, format!("not the key that {ABOUT} names, {}", about.vkey));
        }
        if let Some(key) = &self.options.key {
            if key.to_line() != line {
                let what = format!("the bundle is of the key {line}; the key given is {}", key.to_line());
                self.fail(Axis::Authenticity, VKEY, None, what);
            }
            return Some(key.clone());
        }
        let reason = "the key came from the bundle itself, where a forger would put his own: pass the ledger's key from another source";
        self.collector.incomplete(Axis::Authenticity, reason);
        match VerifyingKey::parse(&line) {
            Ok(key) => Some(key),
            Err(error) => {
                self.fail(Axis::Integrity, VKEY, None, error.to_string());
                None
            }
        }
    }

    /// The checkpoint, if it is this ledger's and signed.
    fn checkpoint(&self, about: &About, key: &VerifyingKey) -> Option<Signed> {
        let bytes = self.need(CHECKPOINT)?;
        let checkpoint = match Checkpoint::open(bytes, key) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                let axis = match &error {
                    CheckpointError::Note(NoteError::NotSigned { .. } | NoteError::BadSignature { .. })
                    | CheckpointError::OtherLedger { .. } => Axis::Authenticity,
                    _ => Axis::Integrity,
                };
                self.fail(axis, CHECKPOINT, None, error.to_string());
                return None;
            }
        };
        if (&checkpoint.origin, checkpoint.size, checkpoint.root) != (&about.ledger, about.size, about.root) {
            let what = format!(
                "the checkpoint is of {} records of `{}`, {ABOUT} says {} of `{}`: another was put in its place",
                checkpoint.size, checkpoint.origin, about.size, about.ledger
            );
            self.fail(Axis::Integrity, CHECKPOINT, None, what);
            return None;
        }
        self.collector.rests_on(
            Axis::Authenticity,
            format!("the ledger's key signed the checkpoint of {} records", checkpoint.size),
        );
        let note = match self.files.get(WITNESSED) {
            Some(witnessed) if self.is_witnessed(witnessed, bytes) => witnessed.to_vec(),
            _ => bytes.to_vec(),
        };
        Some(Signed { checkpoint, note })
    }

    /// Whether the note says what the checkpoint says, with all its signatures and some more.
    fn is_witnessed(&self, witnessed: &[u8], checkpoint: &[u8]) -> bool {
        let good = witnessed.starts_with(checkpoint) && parse_note(witnessed).is_ok();
        if !good {
            let what = "not the checkpoint with further signatures below those that it has";
            self.fail(Axis::Integrity, WITNESSED, None, what);
        }
        good
    }

    fn records(&self, about: &About, signed: Option<&Signed>) -> Counted {
        let mut counted = Counted::default();
        let Some(bytes) = self.need(RECORDS) else { return counted };
        let wanted: BTreeSet<u64> = about.records.iter().copied().chain(about.anchor).collect();
        let mut seen = BTreeSet::new();
        for (row, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate().take(MAX_RECORDS + 1) {
            counted.records += 1;
            let row = row as u64;
            let fail = |index, what: String| {
                self.collector
                    .fail(Axis::Integrity, Finding { row: Some(row), index, ..Finding::of_object(RECORDS, what) });
            };
            let record = match RecordLine::parse(line.strip_suffix(b"\n").unwrap_or(line)) {
                Ok(record) => record,
                Err(error) => {
                    fail(None, error.to_string());
                    continue;
                }
            };
            if seen.last().is_some_and(|last| *last >= record.index) {
                fail(Some(record.index), "the records are not in order of index".to_owned());
            }
            seen.insert(record.index);
            if !wanted.contains(&record.index) {
                fail(Some(record.index), format!("{ABOUT} does not name this record"));
            }
            let (bodies, proven) = self.record(about, &record, signed, &|what| fail(Some(record.index), what));
            counted.bodies += u64::from(bodies);
            counted.proven += u64::from(proven);
        }
        for missing in wanted.difference(&seen) {
            self.fail(
                Axis::Integrity,
                RECORDS,
                Some(*missing),
                format!("{ABOUT} names this record, and it is missing"),
            );
        }
        for (path, _) in self.files.iter().filter(|(path, _)| path.starts_with(super::PROOFS)) {
            if !seen.iter().any(|index| proof_path(*index) == path) {
                self.fail(Axis::Integrity, path, None, "the proof of no record that is here");
            }
        }
        self.cover(&counted, signed);
        counted
    }

    fn cover(&self, counted: &Counted, signed: Option<&Signed>) {
        match signed {
            Some(signed) if counted.proven == counted.records => self.collector.rests_on(
                Axis::Coverage,
                format!(
                    "{} records are proven to be under the checkpoint of {}",
                    counted.proven, signed.checkpoint.size
                ),
            ),
            Some(_) => self.collector.incomplete(
                Axis::Coverage,
                format!("{} of {} records are not proven", counted.records - counted.proven, counted.records),
            ),
            None => {
                self.collector.incomplete(Axis::Coverage, "there is no good checkpoint that the records could be under")
            }
        }
    }

    /// Whether the record's body was there and good, and whether its proof holds.
    fn record(
        &self,
        about: &About,
        record: &RecordLine,
        signed: Option<&Signed>,
        fail: &dyn Fn(String),
    ) -> (bool, bool) {
        let leaf = match Leaf::parse(record.leaf.as_bytes()) {
            Ok(leaf) => leaf,
            Err(error) => {
                fail(error.to_string());
                return (false, false);
            }
        };
        let mut good = true;
        if leaf.index != record.index || leaf.ledger != about.ledger.as_str() {
            fail(format!("this is the leaf of record {} of `{}`", leaf.index, leaf.ledger));
            good = false;
        }
        let body = match &record.body {
            None => {
                self.collector.rests_on(
                    Axis::Integrity,
                    format!("record {} has no body any more; its leaf is proven", record.index),
                );
                false
            }
            Some(body) => match check_body(body.as_bytes(), record.leaf.as_bytes()) {
                Ok(_) => {
                    self.answers(about, record.index, body, fail);
                    true
                }
                Err(what) => {
                    fail(what);
                    false
                }
            },
        };
        let path = proof_path(record.index);
        let proven = self.need(&path).zip(signed).is_some_and(|(proof, signed)| {
            let checked = check_proof(proof, record, signed);
            if let Err(what) = &checked {
                self.fail(Axis::Integrity, &path, Some(record.index), what.clone());
            }
            checked.is_ok()
        });
        (body, proven && good)
    }

    /// A record that does not answer to the question has no place among those that do.
    fn answers(&self, about: &About, index: u64, body: &str, fail: &dyn Fn(String)) {
        if about.records.binary_search(&index).is_err() {
            return;
        }
        let Ok(body) = Body::parse(body.as_bytes()) else { return fail("the body is no record".to_owned()) };
        if !is_answer(&about.selection, index, &body.record) {
            fail(format!("this record is none of {}", about.selection.describe()));
        }
    }

    fn what_only_others_can_tell(&self, about: Option<&About>, signed: Option<&Signed>, key: Option<&VerifyingKey>) {
        let collector = self.collector;
        match about.map(|about| (&about.selection, &about.records)) {
            Some((Selection::Indexes { first, last }, records)) => {
                let whole = first <= last && records.len() as u64 == last - first + 1 && records.first() == Some(first);
                if whole {
                    collector.rests_on(Axis::Completeness, format!("every record from {first} to {last} is here"));
                } else {
                    self.fail(
                        Axis::Completeness,
                        ABOUT,
                        None,
                        format!("not every record from {first} to {last} is named"),
                    );
                }
            }
            _ => collector.incomplete(
                Axis::Completeness,
                "a bundle can't show that no other record answers to the question; a run of indexes can",
            ),
        }
        collector.incomplete(Axis::Time, "the bundle has no time stamp from outside");
        collector.incomplete(Axis::Storage, "a bundle says nothing of the store");
        self.compare_outside(signed, key);
    }

    fn compare_outside(&self, signed: Option<&Signed>, key: Option<&VerifyingKey>) {
        let collector = self.collector;
        if self.options.checkpoints.is_empty() {
            let reason =
                "no checkpoint from outside was given: whether others were shown the same history is not known";
            collector.incomplete(Axis::NonEquivocation, reason);
        }
        let Some((signed, key)) = signed.zip(key) else {
            return collector.incomplete(Axis::NonEquivocation, "there is no good checkpoint to compare");
        };
        for (number, note) in self.options.checkpoints.iter().enumerate() {
            let mine = &signed.checkpoint;
            match Checkpoint::open(note, key) {
                Ok(other) if other.size == mine.size && other.root == mine.root => collector.rests_on(
                    Axis::NonEquivocation,
                    format!("the checkpoint of {} records is the one that was remembered outside", mine.size),
                ),
                Ok(other) if other.size == mine.size => {
                    let what = format!(
                        "the bundle's checkpoint of {} records has root {}, one from outside has {}: there are two histories",
                        mine.size, mine.root, other.root
                    );
                    self.fail(Axis::NonEquivocation, CHECKPOINT, None, what);
                }
                Ok(other) => collector.incomplete(
                    Axis::NonEquivocation,
                    format!(
                        "the checkpoint from outside is of {} records, the bundle's of {}: only the archive can show that one continues the other",
                        other.size, mine.size
                    ),
                ),
                Err(error) => collector.incomplete(
                    Axis::NonEquivocation,
                    format!("the checkpoint number {} that was given is of no use: {error}", number + 1),
                ),
            }
        }
    }
}

fn check_proof(proof: &[u8], record: &RecordLine, signed: &Signed) -> Result<(), String> {
    let proof = TlogProof::parse(proof).map_err(|error| error.to_string())?;
    if proof.index != record.index {
        return Err(format!("this is the proof of record {}", proof.index));
    }
    if proof.extra.as_deref() != Some(record.leaf.as_bytes()) {
        return Err("the proof's `extra` is not the record's leaf".to_owned());
    }
    if proof.checkpoint.as_bytes() != signed.note {
        let other = Checkpoint::parse_unverified(proof.checkpoint.as_bytes()).ok();
        return Err(match other.filter(|other| other.size != signed.checkpoint.size) {
            Some(other) => {
                format!(
                    "this proof is for a tree of {} records, the bundle's checkpoint is of {}",
                    other.size, signed.checkpoint.size
                )
            }
            None => "the checkpoint in the proof is not the bundle's".to_owned(),
        });
    }
    let hash = leaf_hash(record.leaf.as_bytes());
    proof.verify(&hash, signed.checkpoint.size, &signed.checkpoint.root).map_err(|error| error.to_string())
}

/// Whether a record answers to a selection, as far as the record alone can tell.
pub(crate) fn is_answer(selection: &Selection, index: u64, record: &Record<'_>) -> bool {
    match selection {
        Selection::Event { id } => carries(record, id),
        // Cause and effect of others.
        Selection::Chain { .. } => true,
        Selection::Session { session_id } => record.session_id.as_deref() == Some(session_id),
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
