//! What a verification says.

use std::collections::BTreeMap;

use serde::Serialize;
use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE, Link};
use tachograph_ledger::{KeyChange, KeyHistory};

use super::border::ContinuesReport;
use super::receipts::ReceiptsReport;
use super::sequences::Counted;
use super::sources::SourceReport;

/// One question about an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Is every record as it was sealed, in its place, with none missing in between?
    Integrity,
    /// Did the holder of the ledger's key make this?
    Authenticity,
    /// Is every record under a signed checkpoint, and every checkpoint's record here?
    Coverage,
    /// Is this the history that others were shown?
    NonEquivocation,
    /// Do the times of sealing hold?
    Time,
    /// Did every record that its producer numbered arrive?
    Completeness,
    /// Is every object in the store as it was locked, alone and in sight?
    Storage,
}

impl Axis {
    /// All axes.
    pub const ALL: [Self; 7] = [
        Self::Integrity,
        Self::Authenticity,
        Self::Coverage,
        Self::NonEquivocation,
        Self::Time,
        Self::Completeness,
        Self::Storage,
    ];

    /// The word in the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Authenticity => "authenticity",
            Self::Coverage => "coverage",
            Self::NonEquivocation => "non_equivocation",
            Self::Time => "time",
            Self::Completeness => "completeness",
            Self::Storage => "storage",
        }
    }

    /// The axis of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|axis| axis.as_str() == word)
    }
}

/// The axes that an archive must pass unless its auditor says otherwise.
pub const DEFAULT_REQUIRED: &[Axis] = &[Axis::Integrity, Axis::Authenticity, Axis::Coverage];

/// The answer on one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Checked, and it holds.
    Pass,
    /// Not, or not wholly, checked; nothing speaks against it.
    Incomplete,
    /// It does not hold.
    Fail,
}

/// The answer on one axis, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AxisReport {
    /// The answer.
    pub verdict: Verdict,
    /// Why it is not a pass, or what a pass rests on.
    pub reasons: Vec<String>,
}

impl AxisReport {
    /// What a pass rested on is no reason for another verdict.
    fn leave_pass(&mut self) {
        if self.verdict == Verdict::Pass {
            self.reasons.clear();
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which axis it fails.
    pub axis: Axis,
    /// The object, as a path within the archive.
    pub object: String,
    /// Row within the object, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Index of the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Finding {
    /// About a whole object. The axis is set when it is reported.
    pub(crate) fn of_object(object: impl Into<String>, what: impl Into<String>) -> Self {
        Self { axis: Axis::Integrity, object: object.into(), row: None, index: None, what: what.into() }
    }

    /// About one record.
    pub(crate) fn of_row(object: &str, row: u64, index: u64, what: impl Into<String>) -> Self {
        Self { row: Some(row), index: Some(index), ..Self::of_object(object, what) }
    }
}

/// How a start of a producer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProducerState {
    /// It said its last number, and none is higher: what it numbered must be there.
    Closed,
    /// It did not: it lives, was killed, or never says. What it numbered last is not known.
    Open,
}

/// The numbers that one start of a producer gave its records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProducerReport {
    /// The producer.
    pub producer: String,
    /// Which start of it.
    pub epoch: String,
    /// Whether it ended in good order.
    pub state: ProducerState,
    /// How many records it counts as lost itself, if it closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// When it said for the last time that it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<String>,
    /// Numbers seen.
    pub seen: u64,
    /// The highest number.
    pub last: u64,
    /// Numbers between 0 and the highest that did not arrive.
    pub missing: u64,
    /// Records whose number had been seen before.
    pub repeated: u64,
    /// The first gaps.
    pub gaps: Vec<Gap>,
}

/// A key of the ledger that came or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyChangeReport {
    /// The record that says so.
    pub record: u64,
    /// `key.announce` or `key.retire`.
    pub action: &'static str,
    /// The key.
    pub vkey: String,
    /// It signs trees of more than so many records, or does not any more.
    pub above: u64,
}

impl KeyChangeReport {
    /// Of all links.
    pub(crate) fn of(keys: &KeyHistory) -> Vec<Self> {
        let change = |link: &Link| Self {
            record: link.index,
            action: match link.change {
                KeyChange::Announce(_) => KEY_ANNOUNCE,
                KeyChange::Retire(_) => KEY_RETIRE,
            },
            vkey: link.change.key().to_line(),
            above: link.checkpoint.size,
        };
        keys.links().iter().map(change).collect()
    }

    /// In words.
    pub fn sentence(&self) -> String {
        let Self { record, vkey, above, .. } = self;
        match self.action {
            KEY_RETIRE => format!("record {record} retires {vkey}: it signs nothing of more than {above} records"),
            _ => format!("record {record} announces {vkey}: it signs all of more than {above} records"),
        }
    }
}

/// A run of numbers that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The first that is missing.
    pub from: u64,
    /// The last that is missing.
    pub to: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this report's form.
    pub report: &'static str,
    /// The archive.
    pub place: String,
    /// Name of the ledger.
    pub ledger: String,
    /// The key that signatures were checked with.
    pub vkey: String,
    /// All keys of the ledger that are linked, the first one first.
    pub keys: Vec<String>,
    /// When keys came and went, in order. Empty: no change is recorded.
    pub key_changes: Vec<KeyChangeReport>,
    /// Records that the commits hold.
    pub records: u64,
    /// Records whose body was checked.
    pub bodies: u64,
    /// Bytes of those bodies.
    pub body_bytes: u64,
    /// Commits read.
    pub commits: u64,
    /// Objects that the commits name.
    pub objects: u64,
    /// Checkpoints read.
    pub checkpoints: u64,
    /// Records under the newest checkpoint that meets the policy that was given; absent if none was, or none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnessed_records: Option<u64>,
    /// Time-stamp tokens found.
    pub timestamps: u64,
    /// Records under a good one.
    pub timestamped: u64,
    /// Epochs whose MAC keys the ledger publishes.
    pub published_mac_epochs: u64,
    /// Records whose MACs were found good with those.
    pub published_macs: u64,
    /// What this ledger continues, by its first record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<ContinuesReport>,
    /// The record that closes the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<u64>,
    /// What was counted of producers, for the verification of the ledger that continues this one.
    #[serde(skip)]
    pub counted: Counted,
    /// Root of the tree over all records, as computed from the leaves; absent if the walk broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// One answer per axis.
    pub axes: BTreeMap<Axis, AxisReport>,
    /// What is wrong, the lowest index first; at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    pub findings_left_out: u64,
    /// What could not be read.
    pub unreadable: Vec<String>,
    /// Files that are no part of the archive and were not looked at.
    pub strangers: Vec<String>,
    /// Objects that no commit names and that the ledger reports as left over: no evidence. At most 100.
    pub orphans: Vec<String>,
    /// The producers that numbered their records; at most [`MAX_PRODUCERS`].
    pub producers: Vec<ProducerReport>,
    /// What became of the signatures of producers whose keys were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceReport>,
    /// Records without a producer's number.
    pub unnumbered: u64,
    /// Records whose bodies were destroyed after their retention had ended, as the ledger certifies.
    pub destroyed: u64,
    /// What became of the receipts, if any were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<ReceiptsReport>,
}

/// Most findings that a report lists.
pub const MAX_FINDINGS: usize = 100;

/// Most producers that a report lists.
pub const MAX_PRODUCERS: usize = 1_000;

impl Report {
    /// On an archive that could not be verified at all, and why.
    pub fn unreadable(place: String, ledger: String, vkey: String, what: String) -> Self {
        let none = AxisReport { verdict: Verdict::Incomplete, reasons: vec!["nothing could be read".to_owned()] };
        Self {
            report: "1",
            place,
            ledger,
            vkey,
            keys: Vec::new(),
            key_changes: Vec::new(),
            records: 0,
            bodies: 0,
            body_bytes: 0,
            commits: 0,
            objects: 0,
            checkpoints: 0,
            witnessed_records: None,
            timestamps: 0,
            timestamped: 0,
            published_mac_epochs: 0,
            published_macs: 0,
            continues: None,
            closed: None,
            counted: Counted::default(),
            root: None,
            axes: Axis::ALL.into_iter().map(|axis| (axis, none.clone())).collect(),
            findings: Vec::new(),
            findings_left_out: 0,
            unreadable: vec![what],
            strangers: Vec::new(),
            orphans: Vec::new(),
            producers: Vec::new(),
            sources: Vec::new(),
            unnumbered: 0,
            destroyed: 0,
            receipts: None,
        }
    }

    /// The answer on one axis.
    pub fn verdict(&self, axis: Axis) -> Verdict {
        self.axes.get(&axis).map_or(Verdict::Incomplete, |report| report.verdict)
    }

    /// 1 if any axis fails; 2 if a required axis was not wholly checked or something was unreadable; else 0.
    pub fn exit_code(&self, required: &[Axis]) -> u8 {
        exit_code(&self.axes, required, !self.unreadable.is_empty())
    }

    /// Reports what was found after the archive: it fails `axis`.
    pub fn fail(&mut self, axis: Axis, finding: Finding) {
        let bounded = self.findings.len() >= MAX_FINDINGS;
        let axis_report = self.axis(axis);
        axis_report.leave_pass();
        axis_report.verdict = Verdict::Fail;
        if bounded {
            self.findings_left_out += 1;
            return;
        }
        axis_report.reasons.push(finding.what.clone());
        self.findings.push(Finding { axis, ..finding });
    }

    /// Says after the archive why `axis` is not wholly checked.
    pub fn incomplete(&mut self, axis: Axis, reason: String) {
        let axis_report = self.axis(axis);
        axis_report.leave_pass();
        axis_report.verdict = axis_report.verdict.max(Verdict::Incomplete);
        axis_report.reasons.push(reason);
    }

    fn axis(&mut self, axis: Axis) -> &mut AxisReport {
        let none = AxisReport { verdict: Verdict::Pass, reasons: Vec::new() };
        self.axes.entry(axis).or_insert(none)
    }

    /// The report as JSON, with those on the ledgers before it as its member `previous`, and what all of them come to as `overall`.
    pub fn all_to_json(&self, previous: &[&Self], overall: &str) -> String {
        #[derive(Serialize)]
        struct All<'r> {
            #[serde(flatten)]
            report: &'r Report,
            overall: &'r str,
            previous: &'r [&'r Report],
        }
        // As below.
        serde_json::to_string_pretty(&All { report: self, overall, previous }).unwrap_or_default()
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with string keys: nothing that JSON lacks.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// 1 if any axis fails; 2 if a required one is not a pass or something was `unreadable`; else 0.
pub(crate) fn exit_code(axes: &BTreeMap<Axis, AxisReport>, required: &[Axis], unreadable: bool) -> u8 {
    let verdict = |axis: &Axis| axes.get(axis).map_or(Verdict::Incomplete, |report| report.verdict);
    if Axis::ALL.iter().any(|axis| verdict(axis) == Verdict::Fail) {
        1
    } else if unreadable || required.iter().any(|axis| verdict(axis) != Verdict::Pass) {
        2
    } else {
        0
    }
}
