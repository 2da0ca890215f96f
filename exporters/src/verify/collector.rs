//! Where all threads report what they find. Bounded: of more, only the number is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Totals;
use super::commits::History;
use super::keys::Trusted;
use super::lives::Lives;
use super::report::{Axis, AxisReport, Finding, KeyChangeReport, MAX_FINDINGS, Report, Verdict};
use crate::archive::reader::ReadError;
use crate::archive::store::ErrorKind;

const MAX_REASONS: usize = 20;
const MAX_UNREADABLE: usize = 100;
const MAX_STRANGERS: usize = 100;
const MAX_ORPHANS: usize = 100;
/// Most backward steps and clock records that are compared.
const MAX_CLOCK_EVENTS: usize = 100_000;

/// The findings so far.
#[derive(Default)]
pub(crate) struct Collector(Mutex<Found>);

#[derive(Default)]
struct Found {
    /// By record, then by what is more exact: the first of them is what a person should look at first.
    findings: BTreeMap<(u64, bool, String, Option<u64>, String), Finding>,
    left_out: u64,
    failed: BTreeMap<Axis, u64>,
    incomplete: BTreeMap<Axis, BTreeSet<String>>,
    passes: BTreeMap<Axis, Vec<String>>,
    notes: BTreeMap<Axis, Vec<String>>,
    unreadable: BTreeSet<String>,
    strangers: BTreeSet<String>,
    orphans: BTreeSet<String>,
    /// Records that say that the clock jumped back.
    clock_jumps: BTreeSet<u64>,
    lives: Lives,
    bodies: u64,
    body_bytes: u64,
    destroyed: u64,
}

impl Collector {
    fn found(&self) -> MutexGuard<'_, Found> {
        // Each change is complete when the lock is released: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports what fails `axis`. A finding about a whole object sorts by the record that its name begins with.
    pub(crate) fn fail(&self, axis: Axis, finding: Finding) {
        let finding = Finding { axis, ..finding };
        let mut found = self.found();
        let first = finding.index.or_else(|| crate::archive::paths::first_of(&finding.object)).unwrap_or(0);
        let key = (first, finding.row.is_none(), finding.object.clone(), finding.row, finding.what.clone());
        // The same damage may be met twice: by the hash of the object and by its reader.
        if found.findings.insert(key, finding).is_some() {
            return;
        }
        *found.failed.entry(axis).or_default() += 1;
        if found.findings.len() > MAX_FINDINGS {
            found.findings.pop_last();
            found.left_out += 1;
        }
    }

    /// Says why `axis` is not wholly checked.
    pub(crate) fn incomplete(&self, axis: Axis, reason: impl Into<String>) {
        let mut found = self.found();
        let reasons = found.incomplete.entry(axis).or_default();
        if reasons.len() < MAX_REASONS {
            reasons.insert(reason.into());
        }
    }

    /// Says what a pass of `axis` rests on.
    pub(crate) fn rests_on(&self, axis: Axis, reason: impl Into<String>) {
        self.found().passes.entry(axis).or_default().push(reason.into());
    }

    /// Says of `axis` what whoever reads its verdict must know, whichever that is.
    pub(crate) fn note(&self, axis: Axis, reason: impl Into<String>) {
        self.found().notes.entry(axis).or_default().push(reason.into());
    }

    /// Reports a failure to read: damage fails integrity, an unreadable store leaves it incomplete.
    pub(crate) fn read_error(&self, object: &str, error: &ReadError) {
        match error {
            ReadError::Store(error) if error.kind == ErrorKind::NotFound => {
                self.fail(Axis::Integrity, Finding::of_object(object, "missing, though a commit names it"));
            }
            ReadError::Store(error) => self.unreadable(error.to_string()),
            ReadError::Damaged { what, .. } => self.fail(Axis::Integrity, Finding::of_object(object, what.clone())),
            other => self.fail(Axis::Integrity, Finding::of_object(object, other.to_string())),
        }
    }

    pub(crate) fn unreadable(&self, what: String) {
        self.unreadable_on(Axis::Integrity, what);
    }

    pub(crate) fn unreadable_on(&self, axis: Axis, what: String) {
        self.incomplete(axis, "not everything could be read");
        let mut found = self.found();
        if found.unreadable.len() < MAX_UNREADABLE {
            found.unreadable.insert(what);
        }
    }

    pub(crate) fn stranger(&self, path: String) {
        let mut found = self.found();
        if found.strangers.len() < MAX_STRANGERS {
            found.strangers.insert(path);
        }
    }

    /// Names objects that no commit names and that the ledger reports.
    pub(crate) fn orphans(&self, paths: &[String]) {
        if paths.is_empty() {
            return;
        }
        let reason = format!(
            "{} objects that no commit names are reported by the ledger as left over: they are evidence of nothing, and queries that read all files see them",
            paths.len()
        );
        self.rests_on(Axis::Integrity, reason);
        self.found().orphans.extend(paths.iter().take(MAX_ORPHANS).cloned());
    }

    /// Counts bodies that were checked.
    pub(crate) fn checked(&self, bodies: u64, bytes: u64) {
        let mut found = self.found();
        found.bodies += bodies;
        found.body_bytes += bytes;
    }

    /// Bodies that were checked.
    pub(crate) fn bodies(&self) -> u64 {
        self.found().bodies
    }

    /// An object is gone, as the ledger certifies.
    pub(crate) fn destroyed(&self, object: &str, rows: u64, certificate: u64) {
        let mut found = self.found();
        found.destroyed += rows;
        let passes = found.passes.entry(Axis::Integrity).or_default();
        if passes.len() < MAX_REASONS {
            passes.push(format!(
                "{object} ({rows} records) was destroyed after its retention had ended, as record {certificate} certifies; its leaves are checked"
            ));
        }
    }

    /// The record at `index` says that the clock jumped back.
    pub(crate) fn clock_jump(&self, index: u64) {
        let mut found = self.found();
        if found.clock_jumps.len() < MAX_CLOCK_EVENTS {
            found.clock_jumps.insert(index);
        }
    }

    /// Hears or asks what producers said of themselves.
    pub(crate) fn with_lives<T>(&self, use_them: impl FnOnce(&mut Lives) -> T) -> T {
        use_them(&mut self.found().lives)
    }

    pub(crate) fn explains_step(&self, index: u64) -> bool {
        let found = self.found();
        found.clock_jumps.contains(&index) || found.clock_jumps.contains(&(index + 1))
    }

    /// The answers, what is wrong, and how many findings more there are.
    pub(crate) fn into_axes(self) -> (BTreeMap<Axis, AxisReport>, Vec<Finding>, u64) {
        let found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let axes = found.axes();
        (axes, found.findings.into_values().collect(), found.left_out)
    }

    #[cfg(test)]
    pub(crate) fn verdict(&self, axis: Axis) -> Verdict {
        self.found().axis(axis).verdict
    }

    pub(super) fn into_report(
        self,
        place: String,
        trusted: &Trusted,
        history: &History,
        checkpoints: u64,
        totals: Totals,
    ) -> Report {
        let found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let axes = found.axes();
        Report {
            report: "1",
            place,
            ledger: trusted.root().name().to_string(),
            vkey: trusted.root().to_line(),
            keys: trusted.keys().keys().map(|key| key.to_line()).collect(),
            key_changes: KeyChangeReport::of(trusted.keys()),
            records: history.size(),
            bodies: found.bodies,
            body_bytes: found.body_bytes,
            commits: history.commits.len() as u64,
            objects: history.commits.iter().map(|commit| commit.objects.len() as u64).sum(),
            checkpoints,
            witnessed_records: None,
            timestamps: totals.timestamps,
            timestamped: totals.timestamped,
            published_mac_epochs: totals.published_epochs,
            published_macs: totals.published_macs,
            continues: totals.continues,
            closed: totals.closed,
            counted: totals.counted,
            root: totals.root.map(|root| root.to_hex()),
            axes,
            findings: found.findings.into_values().collect(),
            findings_left_out: found.left_out,
            unreadable: found.unreadable.into_iter().collect(),
            strangers: found.strangers.into_iter().collect(),
            orphans: found.orphans.into_iter().collect(),
            producers: totals.producers,
            sources: totals.sources,
            unnumbered: totals.unnumbered,
            destroyed: found.destroyed,
            receipts: None,
        }
    }
}

impl Found {
    fn axes(&self) -> BTreeMap<Axis, AxisReport> {
        Axis::ALL.into_iter().map(|axis| (axis, self.axis(axis))).collect()
    }

    fn axis(&self, axis: Axis) -> AxisReport {
        let incomplete = self.incomplete.get(&axis);
        let failed = self.failed.get(&axis).copied().unwrap_or(0);
        let mut reasons = Vec::new();
        if failed > 0 {
            let first = self.findings.values().find(|finding| finding.axis == axis);
            let first =
                first.map(|finding| format!("; the first: {}: {}", finding.object, finding.what)).unwrap_or_default();
            reasons.push(format!("{failed} finding{}{first}", if failed == 1 { "" } else { "s" }));
        }
        reasons.extend(incomplete.into_iter().flatten().cloned());
        let verdict = match (failed, incomplete) {
            (1.., _) => Verdict::Fail,
            (0, Some(_)) => Verdict::Incomplete,
            (0, None) => Verdict::Pass,
        };
        if verdict == Verdict::Pass {
            reasons.extend(self.passes.get(&axis).into_iter().flatten().cloned());
        }
        reasons.extend(self.notes.get(&axis).into_iter().flatten().cloned());
        AxisReport { verdict, reasons }
    }
}
