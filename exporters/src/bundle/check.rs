//! Verifying a bundle, offline, from its bytes and the ledger's key alone. One verdict per [`Axis`], as for an archive.
//!
//! What is proven of each record: that its body is the one its leaf seals, and that the leaf is in the tree whose root the ledger's key
//! signed. What is not: that nothing else answers to the question (see `completeness`), and all that only the whole ledger can show.
//!
//! `verify.py`, which every bundle carries along, checks the same, and gives the same verdicts.

mod outside;
mod records;
mod streams;

use std::collections::BTreeMap;

use serde::Serialize;
use tachograph_ledger::{Checkpoint, CheckpointError, KeyHistory, NoteError, Policy, VerifyingKey, parse_note};
use tachograph_record::Time;

use super::about::About;
use super::files::Files;
use super::{
    ABOUT, ASSETS, CHECKPOINT, CLOSED, KEYS, MANIFEST, NOT_AFTER, NOT_BEFORE, NOT_BEFORE_CHECKPOINT, PAGE, PROOFS,
    RECORDS, STREAMS, VKEY, WITNESSED,
};
use crate::timestamp::Roots;
use crate::verify::{Axis, AxisReport, Collector, Finding, KeyChangeReport, Verdict, exit_code, put_off};
use records::Counted;
pub(crate) use records::anchored_token;

/// What whoever checks brings along.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A public key of the ledger, from a source other than the bundle: its first, or a later one.
    pub key: Option<VerifyingKey>,
    /// Checkpoints of this ledger that were remembered elsewhere: signed notes.
    pub checkpoints: Vec<Vec<u8>>,
    /// Which witnesses' cosignatures are enough, by the auditor's own judgement.
    pub policy: Option<Policy>,
    /// Time-stamp authorities that the auditor trusts.
    pub timestamp_authorities: Roots,
    /// The auditor's clock: by it certificates of time stamps have ended. Without it none has.
    pub now: Option<Time>,
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
    /// All keys of the ledger up to its checkpoint, the first one first.
    pub keys: Vec<String>,
    /// When keys came and went up to there, in order. Empty: none did.
    pub key_changes: Vec<KeyChangeReport>,
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
    check.files();
    let about = check.about();
    let (key, signed, counted) = match &about {
        None => {
            let axes = [Axis::Authenticity, Axis::Coverage, Axis::NonEquivocation, Axis::Time, Axis::Completeness];
            axes.into_iter()
                .for_each(|axis| collector.incomplete(axis, "without bundle.json there is nothing to check"));
            (None, None, Counted::default())
        }
        Some(about) => {
            let key = check.keys(about);
            let signed = key.as_ref().and_then(|keys| check.checkpoint(about, keys));
            let counted = check.records(about, signed.as_ref());
            check.completeness(about, &counted, signed.as_ref());
            check.compare_outside(signed.as_ref(), key.as_ref());
            check.time(about, key.as_ref(), &counted);
            (key, signed, counted)
        }
    };
    collector.incomplete(Axis::Storage, "a bundle says nothing of the store");
    let (axes, findings, findings_left_out) = collector.into_axes();
    BundleReport {
        report: "1",
        bundle: place.to_owned(),
        about: about.as_ref().map(|about| about.selection.describe()),
        ledger: about.as_ref().map(|about| about.ledger.to_string()).unwrap_or_default(),
        keys: key.iter().flat_map(KeyHistory::keys).map(VerifyingKey::to_line).collect(),
        key_changes: key.as_ref().map(KeyChangeReport::of).unwrap_or_default(),
        vkey: options.key.clone().or(key.map(|keys| keys.first().clone())).map(|key| key.to_line()).unwrap_or_default(),
        size: signed.as_ref().map_or(0, |signed| signed.checkpoint.size),
        root: signed.map(|signed| signed.checkpoint.root.to_hex()).unwrap_or_default(),
        records: counted.records,
        proven: counted.proven,
        bodies: counted.bodies,
        axes,
        findings,
        findings_left_out,
    }
}

/// The record whose link between keys is in this file.
fn link_of(path: &str) -> Option<u64> {
    let digits = path.strip_prefix(KEYS)?;
    (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

struct Check<'c> {
    files: &'c Files,
    options: &'c Options,
    collector: &'c Collector,
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

    /// Damage on the way, files that are missing, and files that are no part of a bundle.
    fn files(&self) {
        for (path, what) in self.files.against_manifest() {
            self.fail(Axis::Integrity, &path, None, what);
        }
        let assets = || ASSETS.iter().map(|(name, _)| *name);
        for path in [ABOUT, VKEY, CHECKPOINT, RECORDS, PAGE].into_iter().chain(assets()) {
            if self.files.get(path).is_none() {
                self.fail(Axis::Integrity, path, None, "missing");
            }
        }
        let foreign: Vec<&str> = ASSETS
            .iter()
            .filter(|(name, content)| self.files.get(name).is_some_and(|bytes| bytes != content.as_bytes()))
            .map(|(name, _)| *name)
            .collect();
        if !foreign.is_empty() {
            let reason = format!("{} are not those of this release, and were not judged", foreign.join(", "));
            self.collector.rests_on(Axis::Integrity, reason);
        }
        self.collector.rests_on(
            Axis::Integrity,
            "what index.html tells was not compared: it is for people, and nothing rests on it",
        );
        let known = [ABOUT, VKEY, CHECKPOINT, WITNESSED, RECORDS, MANIFEST, NOT_BEFORE, NOT_BEFORE_CHECKPOINT, PAGE];
        for (path, _) in self.files.iter() {
            let is_stamp =
                path.strip_prefix(NOT_AFTER).is_some_and(|name| name.ends_with(".tsr") && !name.contains('/'));
            let is_known = [STREAMS].contains(&path)
                || path.starts_with(CLOSED)
                || known.contains(&path)
                || assets().any(|name| name == path);
            if !is_known && !is_stamp && !path.starts_with(PROOFS) && link_of(path).is_none() {
                self.fail(Axis::Integrity, path, None, "no part of a bundle");
            }
        }
    }

    /// The file's bytes; that it is missing was said.
    fn file(&self, path: &str) -> &[u8] {
        self.files.get(path).unwrap_or_default()
    }

    fn about(&self) -> Option<About> {
        let about = About::parse(self.files.get(ABOUT)?);
        about.inspect_err(|error| self.fail(Axis::Integrity, ABOUT, None, error.to_string())).ok()
    }

    /// The keys to check with.
    fn keys(&self, about: &About) -> Option<KeyHistory> {
        let text = String::from_utf8_lossy(self.file(VKEY));
        let line = text.strip_suffix('\n').unwrap_or(&text).to_owned();
        let fail = |what: String| self.fail(Axis::Authenticity, VKEY, None, what);
        if text != format!("{}\n", about.vkey) {
            fail(format!("not the key that {ABOUT} names, {}", about.vkey));
        }
        let named = VerifyingKey::parse(&line).inspect_err(|error| fail(error.to_string())).ok();
        let Some(given) = &self.options.key else {
            let reason = "the key came from the bundle itself, where a forger would put his own: pass the ledger's key from another source";
            self.collector.incomplete(Axis::Authenticity, reason);
            return named.map(|first| self.linked(first, about.size));
        };
        let history = named.map(|first| self.linked(first, about.size));
        match history {
            // The ledger's first key, or a later one that signed the checkpoint, or whose own links lead to those that did.
            Some(history) if history.valid_above(given).is_some_and(|above| about.size > above) => Some(history),
            _ => {
                fail(format!("unknown key: the bundle is of the key {line}, the key given is {}", given.to_line()));
                Some(KeyHistory::new(given.clone()))
            }
        }
    }

    /// The keys that follow from the first by the links in the bundle, whose checkpoint is of `size` records.
    fn linked(&self, first: VerifyingKey, size: u64) -> KeyHistory {
        let mut history = KeyHistory::new(first);
        for (path, link) in self.files.iter().filter(|(path, _)| path.starts_with(KEYS)) {
            let Some(index) = link_of(path) else { continue };
            match history.extend(index, link) {
                // It would be of no use here, and beside a checkpoint of its record it would have been put off.
                Ok(link) if link.checkpoint.size >= size => {
                    let what = format!(
                        "the link was signed over {} records, and the bundle's checkpoint is of {size}: none but those before it belong here",
                        link.checkpoint.size
                    );
                    self.fail(Axis::Authenticity, path, Some(index), what);
                }
                Ok(_) => {}
                Err(error) => self.fail(Axis::Authenticity, path, Some(index), error.to_string()),
            }
        }
        history
    }

    /// Holds a good checkpoint of `size` records, which `by` has, against the links.
    fn contradict(&self, keys: &KeyHistory, size: u64, by: &str) {
        if let Some(link) = keys.contradicted_by(size) {
            let path = format!("{KEYS}{:020}", link.index);
            self.fail(Axis::Authenticity, &path, Some(link.index), put_off(link, size, by));
        }
    }

    /// The checkpoint, if it is this ledger's and signed.
    fn checkpoint(&self, about: &About, keys: &KeyHistory) -> Option<Signed> {
        let bytes = self.file(CHECKPOINT);
        let note = match self.files.get(WITNESSED) {
            Some(witnessed) if self.is_witnessed(witnessed, bytes) => witnessed.to_vec(),
            _ => bytes.to_vec(),
        };
        let checkpoint = match Checkpoint::open(bytes, keys) {
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
            self.fail(Axis::Coverage, CHECKPOINT, None, what);
            return None;
        }
        self.collector.rests_on(
            Axis::Authenticity,
            format!("the ledger's key signed the checkpoint of {} records", checkpoint.size),
        );
        Some(Signed { checkpoint, note })
    }

    /// Whether the note says what the checkpoint says, with all its signatures and some more.
    fn is_witnessed(&self, witnessed: &[u8], checkpoint: &[u8]) -> bool {
        let text = |note: &[u8]| parse_note(note).ok().map(|note| note.text().to_owned());
        let good =
            witnessed.starts_with(checkpoint) && text(witnessed).is_some() && text(witnessed) == text(checkpoint);
        if !good {
            let what = "not the checkpoint with further signatures below those that it has";
            self.fail(Axis::Integrity, WITNESSED, None, what);
        }
        good
    }
}
