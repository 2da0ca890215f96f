//! Verification of an archive, offline, from its bytes and the public key alone.
//!
//! A hash chain proves little by itself: edit, truncation, rollback, fork and backdating each need another
//! witness. So there is one verdict per [`Axis`], never one boolean, and an axis that could not be checked is
//! [`Verdict::Incomplete`], not a pass.
//!
//! One pass: the leaves are walked in order by one thread, while row groups of bodies and the hashes of whole
//! objects are checked by others. Memory is one row group per thread. Everything read may be hostile.

mod border;
mod certificates;
mod checkpoints;
mod collector;
mod commits;
mod jobs;
mod keys;
mod leaves;
mod lives;
mod orphans;
mod published;
mod receipts;
mod records;
mod report;
mod sequences;
mod sources;
mod storage;
mod streams;
mod timestamps;
mod witnessed;

use std::path::PathBuf;

use tachograph_ledger::{Hash, Keys, MacKey, Policy, StreamKey, VerifyingKey};
use tachograph_record::Time;

use crate::archive::store::{Store, StoreError};
use crate::archive::{Identity, IdentityError, paths};
use crate::timestamp::Roots;
use certificates::Statements;
pub(crate) use collector::Collector;
use jobs::Workshop;
use keys::Trusted;
pub(crate) use keys::put_off;
use leaves::{Around, Brought, Walk};
use records::Assigned;
pub(crate) use records::check_body;
pub(crate) use report::exit_code;
use streams::Streams;
pub(crate) use timestamps::tolerance;
use timestamps::{Auditor, Timestamps};
pub(crate) use witnessed::accepts;

pub use border::{Beginning, ContinuedBy, ContinuesReport, LEDGER_RESEALED, closes, details_of};
pub use certificates::{ARCHIVE_ORPHANS, RECORDER_PRODUCER, RETENTION_DESTROY, RETENTION_DESTROYED};
pub use lives::{PRODUCER_CLOSE, PRODUCER_HEARTBEAT, PRODUCER_OPEN};
pub use published::MAC_PUBLISHED;
pub use receipts::{MAX_LINE_BYTES, NoReceipt, ReceiptLine, Receipts, ReceiptsReport};
pub use records::CLOCK_JUMP;
pub use report::{
    Axis, AxisReport, DEFAULT_REQUIRED, Finding, Gap, KeyChangeReport, MAX_FINDINGS, MAX_PRODUCERS, ProducerReport,
    ProducerState, Report, Verdict,
};
pub use sequences::Counted;
pub use sources::{SourceReport, Sources, difference};
pub use timestamps::{CLOCK_TOLERANCE_NANOS, TIME_ANCHOR};

/// What the auditor brings along.
#[derive(Default)]
pub struct Options<'a> {
    /// A public key of the ledger, from a source other than the archive: its first, or a later one.
    pub key: Option<VerifyingKey>,
    /// Checkpoints of this ledger that were remembered elsewhere: signed notes.
    pub checkpoints: Vec<Vec<u8>>,
    /// The checkpoint that a data directory remembers beside its archive. Whoever rolls one back can roll back the other: it contradicts, and
    /// confirms nothing.
    pub own_checkpoint: Option<Vec<u8>>,
    /// Which witnesses' cosignatures are enough, by the auditor's own judgement.
    pub policy: Option<Policy>,
    /// Receipts that senders of records kept: files, or directories of files.
    pub receipts: Vec<PathBuf>,
    /// The initial MAC key, out of escrow.
    pub mac_key: Option<MacKey>,
    /// The stream key: with it each record is held against the stream that it must be in.
    pub stream_key: Option<StreamKey>,
    /// Keys with which producers sign what they say: each of their records is held against its signature.
    pub sources: Sources,
    /// Time-stamp authorities that the auditor trusts.
    pub timestamp_authorities: Roots,
    /// The auditor's clock: by it certificates of time stamps have ended. Without it none has.
    pub now: Option<Time>,
    /// The ledger that continues this one: its first record is held against this one. Give with it the key that it names.
    pub continued_by: Option<ContinuedBy>,
    /// What the verification of the ledger that this one continues counted of producers.
    pub previous: Option<Counted>,
    /// Threads that check bodies; 0 and 1 mean that everything is done by the caller's.
    pub threads: usize,
    /// Told how far it is.
    pub progress: Option<&'a dyn Progress>,
}

/// Told how far a verification is. Called from several threads.
pub trait Progress: Sync {
    /// There are that many records to check.
    fn begin(&self, records: u64);
    /// That many more are checked.
    fn advance(&self, records: u64, body_bytes: u64);
}

/// Verifies the archive in `store`.
///
/// An error means that there is nothing to verify: no archive, or one of a newer format. Damage is no error but a finding.
pub fn verify(store: &dyn Store, options: Options<'_>) -> Result<Report, VerifyError> {
    let (mut report, receipts) = verify_beginning(store, options)?;
    if let Some(receipts) = receipts {
        receipts.finish(&mut report);
    }
    Ok(report)
}

/// The same for an archive behind which more records stand elsewhere, in a journal. Gives also the receipts that are left for
/// those, if any were given: the caller [passes](Receipts::pass) these records and [finishes](Receipts::finish).
pub fn verify_beginning(store: &dyn Store, options: Options<'_>) -> Result<(Report, Option<Receipts>), VerifyError> {
    let collector = Collector::default();
    let place = store.place();
    let identity = match Identity::read(store)? {
        Ok(identity) => Some(identity),
        Err(error) if options.key.is_none() => return Err(VerifyError::NoArchive { place, what: error.to_string() }),
        // Whoever removed the identity alone is found out; where there is nothing at all there is nothing to verify.
        Err(error @ IdentityError::Missing)
            if store.list(paths::COMMITS)?.is_empty() && store.list(paths::LEAVES)?.is_empty() =>
        {
            return Err(VerifyError::NoArchive { place, what: error.to_string() });
        }
        Err(error) => {
            collector.fail(Axis::Integrity, Finding::of_object(paths::LEDGER, error.to_string()));
            None
        }
    };
    // Before anything else: a store with versions tells by this which of them are the evidence. And before the commits: a collector that
    // runs meanwhile only adds, and what a commit names, and its checkpoint, stand on either side of it.
    let listed = store.list("")?;
    // And those before the keys, which are linked before they sign.
    let commits = store.list(paths::COMMITS)?;
    let Some(trusted) = Trusted::read(store, options.key.as_ref(), identity.as_ref(), &collector)? else {
        return Err(VerifyError::NoArchive { place, what: "no ledger.json and no key".to_owned() });
    };
    let keys = trusted.keys();
    let history = commits::read(store, &commits, keys, &collector);
    if let Some(progress) = options.progress {
        progress.begin(history.size());
    }
    let mut outside =
        checkpoints::remembered(&options.checkpoints, options.own_checkpoint.as_deref(), keys, &collector);
    if let Some(continued) = &options.continued_by {
        continued.remember(keys, &mut outside, &collector);
    }
    let foreign = commits::compare_objects(&listed, &history, &collector);
    let in_folder = |folder: &str| listed.iter().filter(|path| path.starts_with(folder)).cloned().collect::<Vec<_>>();
    let checkpoints = in_folder(paths::CHECKPOINTS);
    let beside = [in_folder(paths::WITNESSED), in_folder(paths::TIMESTAMPS)];
    let [witnessed, tokens] = &beside;
    let cosigned =
        witnessed::check(store, witnessed, keys, options.policy.as_ref(), &history, &mut outside, &collector);
    let put_off = trusted.compare_outside(&outside);
    let nobody = options.checkpoints.is_empty() && options.policy.is_none() && options.continued_by.is_none();
    if nobody && options.receipts.is_empty() {
        let hint = match (witnessed.is_empty(), &options.own_checkpoint) {
            (false, _) => " (witnesses have cosigned checkpoints: give a policy)",
            (true, Some(_)) => " (the one that the data directory remembers lies beside the archive)",
            (true, None) => "",
        };
        collector.incomplete(
            Axis::NonEquivocation,
            format!(
                "no checkpoint and no receipt from outside was given{hint}: whether others were shown the same history is not known"
            ),
        );
    }
    let receipts =
        (!options.receipts.is_empty()).then(|| Receipts::read(&options.receipts, keys.ledger(), nobody, &collector));
    let auditor = Auditor { keys, roots: &options.timestamp_authorities };
    let timestamps = Timestamps::read(store, tokens, &history, &auditor, &collector);
    let escrowed = options.mac_key.is_some();
    let key_id = options.stream_key.as_ref().map(StreamKey::id);
    let streams = Streams::new(key_id);
    let is_checked = options.previous.is_some();
    let sequences = Counted::begin(options.previous, &collector);
    let brought = Brought { mac_key: options.mac_key, outside, stamped: timestamps.sizes(), receipts, sequences };
    let mut walk = Walk::new(keys.first(), brought, streams, &collector);
    let statements = Statements::new(keys.ledger(), &history, &foreign, &timestamps);
    let assigned = Assigned { ledger: keys.ledger().clone(), key: options.stream_key.as_ref(), key_id };
    let workshop = Workshop::new(store, statements, assigned, &options.sources, options.progress, &collector);
    let linked = in_folder(paths::KEYS);
    let mut certificates = jobs::run(workshop, &history, options.threads, &mut walk);
    let published = std::mem::take(&mut certificates.published);
    let continues = certificates.border.continues.as_ref();
    let around = Around {
        unchecked: continues.filter(|_| !is_checked),
        is_closed: certificates.border.is_closed() || options.continued_by.is_some(),
    };
    let (mut totals, walked, receipts) = walk.finish(history.size(), around);
    let is_whole = collector.bodies() == history.size();
    totals.closed = certificates.border.judge(walked.last_sender, is_whole, options.continued_by.as_ref(), &collector);
    totals.continues = continues.map(|says| ContinuesReport {
        ledger: says.ledger().to_string(),
        vkey: says.vkey().to_line(),
        records: says.size(),
        checked: is_checked,
    });
    (totals.published_epochs, totals.published_macs) =
        published.check(store, &history, keys.ledger(), escrowed, &collector);
    totals.timestamps = timestamps.found();
    totals.timestamped = timestamps.judge(&certificates.anchors, &walked, history.size(), options.now, &collector);
    let orphans = orphans::check(store, &foreign, &certificates, &collector);
    collector.orphans(&orphans);
    let expected = storage::expected(&history, &checkpoints, &beside.concat(), [&orphans, &linked], &certificates);
    storage::check(store, expected, options.threads, &collector)?;
    let (checkpoint_count, covered) = checkpoints::check(store, checkpoints, keys, &history, &collector);
    trusted.judge(&certificates.keys, &history, covered, &put_off, &collector);
    totals.sources = options.sources.report();
    let report = collector.into_report(place, &trusted, &history, checkpoint_count, totals);
    Ok((Report { witnessed_records: cosigned, ..report }, receipts))
}

/// Why there was nothing to verify.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VerifyError {
    /// No archive of a format that this release reads.
    #[error("{place}: {what}")]
    NoArchive {
        /// The place.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The store can't be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the walk along the leaves found.
#[derive(Default)]
pub(crate) struct Totals {
    producers: Vec<ProducerReport>,
    unnumbered: u64,
    root: Option<Hash>,
    timestamps: u64,
    timestamped: u64,
    published_epochs: u64,
    published_macs: u64,
    continues: Option<ContinuesReport>,
    closed: Option<u64>,
    counted: Counted,
    sources: Vec<SourceReport>,
}
