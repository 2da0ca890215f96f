//! Receipts: what senders were told of their records when these were acknowledged, held against the ledger.
//!
//! A receipt names a record's leaf hash, and through `prev` that hash pins all records before it. So a receipt that its sender kept
//! shows a change that the holder of the key made before anybody saw a checkpoint, and an acknowledged record that is gone.
//! The files are read once, sorted by index with bounded memory, and compared while the leaves are walked.

mod line;
mod sorted;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tachograph_ledger::{Hash, LedgerName};

use super::collector::Collector;
use super::report::{Axis, Finding, Report};
pub use line::{MAX_LINE_BYTES, NoReceipt, ReceiptLine};
use sorted::{Entry, Sorted, Sorter};

/// What became of the receipts that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReceiptsReport {
    /// Receipts whose leaf hash was compared with the record's.
    pub checked: u64,
    /// Those of them that differ: the record, or one before it, is not the one that was acknowledged.
    pub differ: u64,
    /// Receipts without a hash whose record is there.
    pub without_hash: u64,
    /// Receipts of records that are not there: acknowledged, and behind the end.
    pub missing: u64,
    /// Receipts whose record could not be looked at.
    pub unchecked: u64,
    /// Receipts of other ledgers.
    pub other_ledgers: u64,
    /// Lines that are no receipts.
    pub unreadable: u64,
    /// The highest record whose receipt agrees. It pins all records before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<u64>,
}

impl ReceiptsReport {
    /// Whether there was a receipt of this ledger among them.
    pub fn concern_this(&self) -> bool {
        self.checked > 0 || self.without_hash > 0 || self.missing > 0 || self.unchecked > 0
    }
}

/// Receipts on their way along the ledger: those of the records passed are judged, the others wait.
pub struct Receipts {
    sorted: Sorted,
    report: ReceiptsReport,
    /// Nothing else from outside was given.
    only_witness: bool,
    /// Receipts whose records could not be looked at, of which the report was told.
    told: u64,
    /// Failures to read the receipts themselves, which say nothing of the ledger's end.
    failures: usize,
}

impl Receipts {
    /// Reads the receipts of `ledger` in `places`, files or directories of files.
    pub(crate) fn read(places: &[PathBuf], ledger: &LedgerName, only_witness: bool, collector: &Collector) -> Self {
        let mut reading = Reading { ledger, sorter: Sorter::default(), report: ReceiptsReport::default(), collector };
        let mut failures = 0;
        for place in places {
            let read = files(place).and_then(|files| files.iter().try_for_each(|file| reading.file(file)));
            if let Err(error) = read {
                failures += 1;
                let what = format!("cannot read receipts in {}: {error}", place.display());
                collector.unreadable_on(Axis::NonEquivocation, what);
            }
        }
        let report = reading.report;
        let sorted = reading.sorter.finish().unwrap_or_else(|error| {
            failures += 1;
            collector.unreadable_on(Axis::NonEquivocation, format!("cannot sort the receipts: {error}"));
            Sorted::default()
        });
        Self { sorted, report, only_witness, told: 0, failures }
    }

    /// Passes record `index`, whose leaf has `hash`. Gives what is wrong, for the first receipt that differs.
    pub fn pass(&mut self, index: u64, hash: &Hash) -> Option<String> {
        self.skip_to(index);
        let mut wrong = None;
        while let Some(entry) = self.sorted.next_if(|entry| entry.index == index) {
            match entry.hash {
                None => self.report.without_hash += 1,
                Some(told) if told == *hash => {
                    self.report.checked += 1;
                    self.report.highest = Some(index);
                }
                Some(told) => {
                    self.report.checked += 1;
                    self.report.differ += 1;
                    // Every later one differs too: the first says where to look.
                    if self.report.differ == 1 {
                        wrong = Some(self.differs(index, hash, &told));
                    }
                }
            }
        }
        wrong
    }

    fn differs(&self, index: u64, hash: &Hash, told: &Hash) -> String {
        let between = match self.report.highest {
            Some(highest) if highest < index => format!("; receipts up to record {highest} agree"),
            _ => String::new(),
        };
        format!(
            "its sender was told the leaf hash {told} when record {index} was acknowledged, here it is {hash}: this record, or one before it, was changed after that{between}"
        )
    }

    /// Records before `index` could not be looked at, or were passed.
    fn skip_to(&mut self, index: u64) {
        while self.sorted.next_if(|entry| entry.index < index).is_some() {
            self.report.unchecked += 1;
        }
    }

    /// The archive of `size` records is walked.
    pub(crate) fn end_archive(&mut self, size: u64, collector: &Collector) {
        self.skip_to(size);
        if self.report.unchecked > 0 {
            let reason = format!("the records of {} receipts could not be looked at", self.report.unchecked);
            collector.incomplete(Axis::NonEquivocation, reason);
        }
        self.told = self.report.unchecked;
        match self.report.highest {
            Some(highest) => collector.rests_on(
                Axis::NonEquivocation,
                format!(
                    "the receipts of {} records agree, up to record {highest}: all up to there is what their senders were told; nothing is said of later ones",
                    self.report.checked - self.report.differ
                ),
            ),
            None if self.only_witness => {
                let reason = "no receipt that was given has the hash of an archived record, and no checkpoint from outside was given";
                collector.incomplete(Axis::NonEquivocation, reason);
            }
            None => {}
        }
    }

    /// All records are passed: what is left are receipts of records that are not there.
    pub fn finish(mut self, report: &mut Report) {
        if self.report.unchecked > self.told {
            let reason = format!("the records of {} receipts could not be looked at", self.report.unchecked);
            report.incomplete(Axis::NonEquivocation, reason);
        }
        let mut first = None;
        while let Some(entry) = self.sorted.next_if(|_| true) {
            first.get_or_insert(entry.index);
            self.report.missing += 1;
        }
        if let Some(index) = first
            && report.unreadable.len() > self.failures
        {
            // What could not be read may have them.
            let reason = format!(
                "{} receipts are of records that were not found, the first of record {index}, but not everything could be read",
                self.report.missing
            );
            report.incomplete(Axis::Coverage, reason);
        } else if let Some(index) = first {
            let what = format!(
                "{} receipts are of records that are not here, the first of record {index}: they were acknowledged and removed or lost, \
                 unless they are so new that they wait for the archive in the collector's journal (verify the data directory, or again after `archive.max_age`)",
                self.report.missing
            );
            report.fail(Axis::Coverage, Finding { index: Some(index), ..Finding::of_object("receipts", what) });
        }
        if let Some(error) = self.sorted.error() {
            report.unreadable.push(format!("cannot read the sorted receipts again: {error}"));
        }
        report.receipts = Some(self.report);
    }
}

/// The files at `place`: itself, or those in it.
fn files(place: &Path) -> io::Result<Vec<PathBuf>> {
    if !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

struct Reading<'r> {
    ledger: &'r LedgerName,
    sorter: Sorter,
    report: ReceiptsReport,
    collector: &'r Collector,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path) -> io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        let mut first_bad = None;
        let mut bad = 0_u64;
        for number in 1_u64.. {
            line.clear();
            let taken = (&mut reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
            if taken == 0 {
                break;
            }
            let whole = line.last() == Some(&b'\n');
            if !whole && taken > MAX_LINE_BYTES {
                reader.skip_until(b'\n')?;
            }
            match ReceiptLine::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
                Ok(receipt) => self.take(&receipt)?,
                // The end of a file that is being written, or whose writer was killed.
                Err(_) if !whole && taken <= MAX_LINE_BYTES => {}
                Err(error) => {
                    bad += 1;
                    first_bad.get_or_insert((number, error));
                }
            }
        }
        if let Some((number, error)) = first_bad {
            self.report.unreadable += bad;
            let reason =
                format!("{}: {bad} lines are no receipts, the first is line {number}: {error}", path.display());
            self.collector.incomplete(Axis::NonEquivocation, reason);
        }
        Ok(())
    }

    fn take(&mut self, receipt: &ReceiptLine<'_>) -> io::Result<()> {
        if receipt.ledger != self.ledger.as_str() {
            self.report.other_ledgers += 1;
            return Ok(());
        }
        self.sorter.push(Entry { index: receipt.index, hash: receipt.hash })
    }
}

#[cfg(test)]
mod tests;
