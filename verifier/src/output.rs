//! A report in words, on standard output.

use std::collections::BTreeMap;
use std::io::Write;

use tachograph_exporters::bundle::check::BundleReport;
use tachograph_exporters::verify::{
    Axis, AxisReport, Finding, KeyChangeReport, ProducerReport, ProducerState, RECORDER_PRODUCER, Report, SourceReport,
    Verdict,
};

/// Starts of producers that are printed.
const SHOWN_PRODUCERS: usize = 20;

/// Prints a line on standard output. A reader that went away (`| head`) is no error.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The report on an archive.
pub fn archive(report: &Report, required: &[Axis]) {
    line(&format!("Ledger {} in {}", report.ledger, report.place));
    line(&format!(
        "  {} records, {} bodies ({:.1} MB) in {} objects, {} commits, {} checkpoints, {} time stamps",
        report.records,
        report.bodies,
        report.body_bytes as f64 / 1e6,
        report.objects,
        report.commits,
        report.checkpoints,
        report.timestamps
    ));
    if let Some(root) = &report.root {
        line(&format!("  root {root}"));
    }
    line(&format!("  key  {}", report.vkey));
    keys(&report.keys, &report.key_changes);
    if let Some(continues) = &report.continues {
        let checked = if continues.checked { "verified below" } else { "not checked: give it with --previous" };
        line(&format!("  continues ledger {} from its {} records on ({checked})", continues.ledger, continues.records));
    }
    if let Some(closed) = report.closed {
        line(&format!("  closed by record {closed}: behind it no record of a sender may stand"));
    }
    if let Some(receipts) = &report.receipts {
        line(&format!(
            "  receipts: {} compared, {} differ, {} of records that are not here, {} without a hash, {} of other ledgers",
            receipts.checked, receipts.differ, receipts.missing, receipts.without_hash, receipts.other_ledgers
        ));
    }
    producers(&report.producers);
    sources(&report.sources);
    line("");
    answers(&report.axes, required);
    findings(&report.findings, report.findings_left_out);
    for what in &report.unreadable {
        line(&format!("\n  unreadable: {what}"));
    }
    for path in &report.orphans {
        line(&format!("\n  left over, as the ledger reports, and evidence of nothing: {path}"));
    }
    for path in &report.strangers {
        line(&format!("\n  no part of the archive: {path}"));
    }
    verdict(report.exit_code(required));
}

/// The report on a bundle.
pub fn bundle(report: &BundleReport, required: &[Axis]) {
    let about = report.about.as_deref().unwrap_or("nothing that can be read");
    line(&format!("Bundle {} of ledger {}: {about}", report.bundle, report.ledger));
    line(&format!(
        "  {} records, {} bodies, {} proven to be under the checkpoint of {} records",
        report.records, report.bodies, report.proven, report.size
    ));
    line(&format!("  root {}", report.root));
    line(&format!("  key  {}", report.vkey));
    keys(&report.keys, &report.key_changes);
    line("");
    answers(&report.axes, required);
    findings(&report.findings, report.findings_left_out);
    verdict(report.exit_code(required));
}

/// Which keys signed. Whoever has the first alone sees that there are others, or that none is recorded.
fn keys(keys: &[String], changes: &[KeyChangeReport]) {
    match keys.first() {
        Some(first) if changes.is_empty() => {
            line(&format!("  the ledger's first key is {first}; no change of it is recorded here"))
        }
        Some(first) => line(&format!("  the ledger's first key is {first}")),
        None => {}
    }
    changes.iter().for_each(|change| line(&format!("    {}", change.sentence())));
}

fn producers(producers: &[ProducerReport]) {
    // The recorder does not say of itself that it ends: the ledger's end is that.
    let senders = producers.iter().filter(|producer| producer.producer != RECORDER_PRODUCER);
    for producer in senders.clone().take(SHOWN_PRODUCERS) {
        let state = match producer.state {
            ProducerState::Closed => "CLOSED",
            ProducerState::Open => "OPEN",
        };
        let heartbeat = producer.last_heartbeat.as_ref().map_or(String::new(), |at| format!(", last heartbeat {at}"));
        line(&format!(
            "  producer {} epoch {}: {state}, numbers to {}, {} missing{heartbeat}",
            producer.producer, producer.epoch, producer.last, producer.missing
        ));
    }
    let left_out = senders.count().saturating_sub(SHOWN_PRODUCERS);
    if left_out > 0 {
        line(&format!("  … and {left_out} starts of producers more (--json)"));
    }
}

fn sources(sources: &[SourceReport]) {
    for source in sources {
        let failed = if source.failed == 0 { String::new() } else { format!(", of {} others not", source.failed) };
        line(&format!(
            "  producer {}: the source's signature was checked and holds for {} records{failed}",
            source.producer, source.records
        ));
    }
}

fn answers(axes: &BTreeMap<Axis, AxisReport>, required: &[Axis]) {
    for axis in Axis::ALL {
        let answer = axes.get(&axis);
        let word = match answer.map_or(Verdict::Incomplete, |answer| answer.verdict) {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Incomplete => "INCOMPLETE",
        };
        let needed = if required.contains(&axis) { "" } else { "  (not required)" };
        line(&format!("  {:<17} {word}{needed}", axis.as_str()));
        for reason in answer.map_or(&[][..], |answer| &answer.reasons) {
            line(&format!("      {reason}"));
        }
    }
}

fn findings(findings: &[Finding], left_out: u64) {
    for finding in findings {
        let at = |name: &str, number: Option<u64>| number.map_or(String::new(), |number| format!(", {name} {number}"));
        line(&format!(
            "\n  {} in {}{}{}:\n      {}",
            finding.axis.as_str(),
            finding.object,
            at("row", finding.row),
            at("index", finding.index),
            finding.what
        ));
    }
    if left_out > 0 {
        line(&format!("\n  … and {left_out} findings more."));
    }
}

fn verdict(code: u8) {
    line(&format!("\n{}", sentence(code)));
}

/// What several ledgers come to.
pub(crate) fn overall(ledgers: usize, code: u8) {
    line(&format!("\nAll {ledgers} ledgers together: {}", sentence(code)));
}

fn sentence(code: u8) -> &'static str {
    match code {
        0 => "VERIFIED on every required axis.",
        1 => "TAMPERED: at least one axis fails.",
        _ => {
            "NOT VERIFIED IN FULL: nothing speaks against it, but a required axis is incomplete or something could not be read."
        }
    }
}

/// The same in a word, for JSON.
pub(crate) fn word(code: u8) -> &'static str {
    match code {
        0 => "verified",
        1 => "tampered",
        _ => "not_verified_in_full",
    }
}
