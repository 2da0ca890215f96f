//! `tachograph verify`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tachograph_collector::audit::verify_data_dir;
use tachograph_collector::data_dir::{DataDir, read_escrow};
use tachograph_collector::place::Place;
use tachograph_exporters::archive::Identity;
use tachograph_exporters::verify::{
    Axis, DEFAULT_REQUIRED, Options, ProducerState, Progress, RECORDER_PRODUCER, Report, Verdict, verify,
};
use tachograph_ledger::{MacKey, VerifyingKey};

use super::{Exit, output};

/// Starts of producers that are printed.
const SHOWN_PRODUCERS: usize = 20;

/// More threads than any machine has would only fail to start.
const MAX_THREADS: usize = 256;

/// Verify an archive or a data directory, offline: every hash, link, signature, checkpoint, and that the typed columns say what
/// the sealed bodies say. One verdict per axis; one that could not be checked is INCOMPLETE, never a pass.
///
/// Exit code: 0 if no axis fails and all required ones pass; 1 if any fails (tampering); 2 if a required one is incomplete or
/// something could not be read.
#[derive(clap::Args)]
pub(super) struct Verify {
    /// A data directory, or an archive: a directory, or s3://bucket/prefix
    place: String,
    /// For an archive in a bucket: a store other than Amazon's, such as http://127.0.0.1:9000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// For an archive in a bucket: its region [default: as the environment or profile says]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The ledger's public key, from a source that you trust: a file (ledger.vkey) or the key line itself. A data directory
    /// brings its own
    #[arg(long, value_name = "FILE|VKEY")]
    key: Option<String>,
    /// A checkpoint of this ledger that you kept; the archive must contain all it covers. May be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Receipts that a sender of records kept (TACHOGRAPH_RECEIPTS): a file or a directory of files. The ledger must hold each
    /// record as it was acknowledged. May be given several times
    #[arg(long, value_name = "FILE|DIR")]
    receipts: Vec<PathBuf>,
    /// The escrowed MAC key (mac-escrow.key): checks every MAC too
    #[arg(long, value_name = "FILE")]
    mac_key: Option<PathBuf>,
    /// Axes that must pass for exit code 0, or `all` [default: integrity,authenticity,coverage]
    #[arg(long, value_name = "AXES", value_delimiter = ',')]
    require: Vec<String>,
    /// Threads [default: one per CPU]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let required = required_axes(&self.require)?;
        let bar = Bar::new(std::io::stderr().is_terminal() && !self.json);
        let options = Options {
            key: self.key.as_deref().map(read_key).transpose()?,
            checkpoints: self
                .checkpoint
                .iter()
                .map(|path| std::fs::read(path).with_context(|| path.display().to_string()))
                .collect::<anyhow::Result<_>>()?,
            receipts: self.receipts.clone(),
            mac_key: None,
            threads: self
                .threads
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
                .min(MAX_THREADS),
            progress: Some(&bar),
        };
        let place = self.place()?;
        let report = if let Some(data) = place.directory().filter(|path| DataDir::is_one(path)) {
            let data_dir = DataDir::open(data)?;
            let mac_key = self.mac_key(data_dir.vkey())?;
            verify_data_dir(&data_dir, Options { mac_key, ..options })?
        } else {
            let store = place.auditor()?;
            let key = match (&options.key, Identity::read(&*store)?) {
                (Some(key), _) => Some(key.clone()),
                (None, Ok(identity)) => Some(identity.vkey),
                (None, Err(_)) => None,
            };
            let mac_key = key.map(|key| self.mac_key(&key)).transpose()?.flatten();
            verify(&*store, Options { mac_key, ..options })?
        };
        bar.finish();
        if self.json {
            output::line(&report.to_json());
        } else {
            print(&report, &required);
        }
        Ok(match report.exit_code(&required) {
            0 => Exit::Done,
            1 => Exit::Tampered,
            _ => Exit::Incomplete,
        })
    }

    fn place(&self) -> anyhow::Result<Place> {
        let mut place = Place::parse(&self.place)?;
        match &mut place {
            Place::S3(url) => {
                url.endpoint = self.endpoint.clone().or(url.endpoint.take());
                url.region = self.region.clone().or(url.region.take());
                // Read again, so that what was given is checked.
                Ok(Place::parse(&place.to_string())?)
            }
            Place::Directory(_) if self.endpoint.is_some() || self.region.is_some() => {
                bail!("--endpoint and --region go with a place in a bucket: s3://bucket/prefix")
            }
            Place::Directory(_) => Ok(place),
        }
    }

    fn mac_key(&self, key: &VerifyingKey) -> anyhow::Result<Option<MacKey>> {
        let read = |path: &PathBuf| read_escrow(path, key.name()).map_err(anyhow::Error::from);
        self.mac_key.as_ref().map(read).transpose()
    }
}

fn required_axes(words: &[String]) -> anyhow::Result<Vec<Axis>> {
    if words.is_empty() {
        return Ok(DEFAULT_REQUIRED.to_vec());
    }
    if words == ["all"] {
        return Ok(Axis::ALL.to_vec());
    }
    words
        .iter()
        .map(|word| match Axis::parse(word) {
            Some(axis) => Ok(axis),
            None => {
                let known: Vec<&str> = Axis::ALL.iter().map(|axis| axis.as_str()).collect();
                bail!("--require {word}: no such axis; there are {} and `all`", known.join(", "))
            }
        })
        .collect()
}

/// A key line, or a file that holds one.
fn read_key(key: &str) -> anyhow::Result<VerifyingKey> {
    let text = match Path::new(key).is_file() {
        true => std::fs::read_to_string(key).with_context(|| key.to_owned())?,
        false => key.to_owned(),
    };
    VerifyingKey::parse(text.trim())
        .with_context(|| format!("--key {key}: neither a file with a public key nor a public key"))
}

fn print(report: &Report, required: &[Axis]) {
    output::line(&format!("Ledger {} in {}", report.ledger, report.place));
    output::line(&format!(
        "  {} records, {} bodies ({:.1} MB) in {} objects, {} commits, {} checkpoints",
        report.records,
        report.bodies,
        report.body_bytes as f64 / 1e6,
        report.objects,
        report.commits,
        report.checkpoints
    ));
    if let Some(root) = &report.root {
        output::line(&format!("  root {root}"));
    }
    output::line(&format!("  key  {}", report.vkey));
    if let Some(receipts) = &report.receipts {
        output::line(&format!(
            "  receipts: {} compared, {} differ, {} of records that are not here, {} without a hash, {} of other ledgers",
            receipts.checked, receipts.differ, receipts.missing, receipts.without_hash, receipts.other_ledgers
        ));
    }
    // The recorder does not say of itself that it ends: the ledger's end is that.
    let senders = report.producers.iter().filter(|producer| producer.producer != RECORDER_PRODUCER);
    for producer in senders.clone().take(SHOWN_PRODUCERS) {
        let state = match producer.state {
            ProducerState::Closed => "CLOSED",
            ProducerState::Open => "OPEN",
        };
        let heartbeat = producer.last_heartbeat.as_ref().map_or(String::new(), |at| format!(", last heartbeat {at}"));
        output::line(&format!(
            "  producer {} epoch {}: {state}, numbers to {}, {} missing{heartbeat}",
            producer.producer, producer.epoch, producer.last, producer.missing
        ));
    }
    let left_out = senders.count().saturating_sub(SHOWN_PRODUCERS);
    if left_out > 0 {
        output::line(&format!("  … and {left_out} starts of producers more (--json)"));
    }
    output::line("");
    for axis in Axis::ALL {
        let word = match report.verdict(axis) {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::Incomplete => "INCOMPLETE",
        };
        let needed = if required.contains(&axis) { "" } else { "  (not required)" };
        output::line(&format!("  {:<17} {word}{needed}", axis.as_str()));
        for reason in report.axes.get(&axis).map_or(&[][..], |axis| &axis.reasons) {
            output::line(&format!("      {reason}"));
        }
    }
    for finding in &report.findings {
        let at = |name: &str, number: Option<u64>| number.map_or(String::new(), |number| format!(", {name} {number}"));
        output::line(&format!(
            "\n  {} in {}{}{}:\n      {}",
            finding.axis.as_str(),
            finding.object,
            at("row", finding.row),
            at("index", finding.index),
            finding.what
        ));
    }
    if report.findings_left_out > 0 {
        output::line(&format!("\n  … and {} findings more.", report.findings_left_out));
    }
    for what in &report.unreadable {
        output::line(&format!("\n  unreadable: {what}"));
    }
    for path in &report.orphans {
        output::line(&format!("\n  left over, as the ledger reports, and evidence of nothing: {path}"));
    }
    for path in &report.strangers {
        output::line(&format!("\n  no part of the archive: {path}"));
    }
    output::line(match report.exit_code(required) {
        0 => "\nVERIFIED on every required axis.",
        1 => "\nTAMPERED: at least one axis fails.",
        _ => {
            "\nNOT VERIFIED IN FULL: nothing speaks against it, but a required axis is incomplete or something could not be read."
        }
    });
}

/// A progress bar, if a terminal is there.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(shown: bool) -> Self {
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("verifying {bar:40} {pos}/{len} records, {per_sec}, {eta} left");
        Self { bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())) }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn begin(&self, records: u64) {
        self.bar.set_length(records);
    }

    fn advance(&self, records: u64, _body_bytes: u64) {
        self.bar.inc(records);
    }
}
