//! Verification of a data directory: its archive, against what the directory itself remembers, and its journal behind the
//! archive's end.

use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_exporters::archive::store::StoreError;
use tachograph_exporters::archive::tree::TreeReader;
use tachograph_exporters::verify::{
    Axis, Finding, Options, RECORDER_PRODUCER, Receipts, Report, VerifyError, verify_beginning,
};
use tachograph_ledger::{ChainVerifier, Edge, Leaf, MacKey, VerifyingKey, epoch_of, genesis, leaf_hash, sha256};
use tachograph_record::{Body, Kind};

use crate::data_dir::{DataDir, DataDirError};
use crate::dedup::{self, DedupError};
use crate::journal::{Journal, JournalError};

/// Why a data directory can't be verified.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The directory itself.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is no archive in it.
    #[error(
        "nothing is archived in {0} yet: start the collector, or wait `archive.max_age` (some seconds by default). If `archive.path` places it \
         elsewhere, verify that place, with --key {0}/ledger.vkey --checkpoint {0}/checkpoint"
    )]
    NoArchive(String),
    /// Its archive's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its archive.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Verifies the ledger in a data directory.
///
/// `options` brings what the auditor has from elsewhere; key and remembered checkpoint of the directory are added where it has none.
///
/// # Errors
/// If there is nothing to verify. Damage is a finding, not an error.
pub fn verify_data_dir(data_dir: &DataDir, mut options: Options<'_>) -> Result<Report, AuditError> {
    let place = data_dir.archive()?;
    if place.directory().is_some_and(|path| !path.is_dir()) {
        return Err(AuditError::NoArchive(data_dir.root().display().to_string()));
    }
    options.key.get_or_insert_with(|| data_dir.vkey().clone());
    // What the chain begins with, whichever of the ledger's keys the auditor gave.
    let key = data_dir.vkey().clone();
    options.own_checkpoint = data_dir.checkpoint()?;
    // Without it everything else is checked all the same, and the report says that this was not.
    options.stream_key = data_dir.stream_key().unwrap_or_else(|error| {
        tracing::warn!(%error, "the stream key can't be read");
        None
    });
    let store = place.auditor()?;
    // The escrowed key would be used up by the archive; the journal's own MACs need the present epoch's.
    let own = data_dir.mac_key();
    let derived = match (&options.mac_key, &own) {
        (Some(escrow), Ok(own)) => {
            MacKey::at(escrow.scheme(), escrow.epoch(), *escrow.expose()).evolve_to(own.epoch()).ok()
        }
        _ => None,
    };
    let suspect = match (&own, &derived) {
        (Err(error), _) => Some(error.to_string()),
        (Ok(own), Some(derived)) if own.scheme() != derived.scheme() || own.expose() != derived.expose() => {
            Some("keys/mac.key does not follow from the escrowed key: one of them is not this ledger's".to_owned())
        }
        _ => None,
    };
    let mac_key = derived.or(own.ok());
    // Before the journal is looked at: a collector that runs meanwhile only adds to both.
    let known = dedup::highest_index_in(&data_dir.dedup());
    let (mut report, mut receipts) = verify_beginning(&*store, options)?;
    report.unreadable.extend(suspect);
    match Reader::open(store) {
        Ok(archive) => {
            let closed = data_dir.closed()?.map(|marker| marker.from).or(report.closed);
            let mut tail = Tail { report: &mut report, closed, key: &key, mac_key, receipts: receipts.as_mut() };
            tail.check(data_dir, &archive, known);
        }
        Err(ReadError::Store(error)) => return Err(error.into()),
        // The report has said what is wrong with it.
        Err(_) => {}
    }
    if let Some(receipts) = receipts {
        receipts.finish(&mut report);
    }
    Ok(report)
}

/// The journal behind the archive's end.
struct Tail<'r> {
    report: &'r mut Report,
    /// From where on no record of a sender may stand, if the ledger is closed.
    closed: Option<u64>,
    key: &'r VerifyingKey,
    mac_key: Option<MacKey>,
    receipts: Option<&'r mut Receipts>,
}

impl Tail<'_> {
    fn check(&mut self, data_dir: &DataDir, archive: &Reader, known: Result<Option<u64>, DedupError>) {
        let archived = archive.size();
        let (edge, last) = match archive.commits().last() {
            None => (Ok(Edge::new()), genesis(&self.key.to_line())),
            Some(commit) => (Edge::from_parts(archived, commit.edge.clone()), commit.last_hash),
        };
        // A bad edge is a finding already.
        let Ok(edge) = edge else { return };
        self.pass_archived_since(archive);
        let mut chain = ChainVerifier::resume(self.key, edge, last);
        let checked =
            Journal::read_only(&data_dir.journal(), self.key.name().as_str()).and_then(|journal| {
                match journal.next_index() {
                    Some(next) if next > archived => self.walk(&journal, archived, &mut chain),
                    Some(next) if next < archived => {
                        let what = format!(
                            "the journal ends at record {next}, the archive at {archived}: the journal was rolled back"
                        );
                        self.fail(Axis::Integrity, Finding::journal(next, what));
                        Ok(())
                    }
                    None if data_dir.has_begun() => {
                        let what =
                            "the journal is empty, though records were sealed here: those not archived yet are missing";
                        self.fail(Axis::Integrity, Finding::journal(archived, what.to_owned()));
                        Ok(())
                    }
                    _ => Ok(()),
                }
            });
        match checked {
            Ok(()) => {}
            Err(JournalError::Corrupt { path, offset, index, what }) => {
                let what = format!("{} at byte {offset}: {what}", path.display());
                self.fail(Axis::Integrity, Finding::journal(index, what));
            }
            // Where the journal ends is not known then, and nothing can be said to be missing behind it.
            Err(error) => return self.report.unreadable.push(error.to_string()),
        }
        self.check_epoch(chain.next_index());
        self.check_known(chain.next_index(), known);
        let waiting = chain.next_index() - archived;
        if waiting > 0 {
            let reason = format!(
                "{waiting} records are in the journal and under no checkpoint yet: only their chain and MACs protect them"
            );
            self.incomplete(Axis::Coverage, reason);
        }
    }

    /// A collector that runs may have archived more since the archive was walked: the receipts of those records are held against their
    /// leaves. Everything else about them the next verification says.
    fn pass_archived_since(&mut self, archive: &Reader) {
        let walked = self.report.records;
        let Some(receipts) = self.receipts.as_mut().filter(|_| archive.size() > walked) else { return };
        let mut wrong = Vec::new();
        let read = TreeReader::of(archive).each_leaf(walked, archive.size(), |index, _, hash| {
            wrong.extend(receipts.pass(index, hash).map(|what| (index, what)));
            Ok(())
        });
        for (index, what) in wrong {
            self.fail(Axis::NonEquivocation, Finding { object: "leaves".to_owned(), ..Finding::journal(index, what) });
        }
        if let Err(error) = read {
            self.report.unreadable.push(error.to_string());
        }
    }

    fn walk(
        &mut self,
        journal: &crate::journal::JournalReader,
        archived: u64,
        chain: &mut ChainVerifier,
    ) -> Result<(), JournalError> {
        let mut frames = journal.read_from(archived)?;
        while let Some(frame) = frames.next_frame()? {
            for record in frame.records() {
                let hash = leaf_hash(record.leaf);
                let leaf = match chain.push(record.index, record.leaf, &hash) {
                    Ok(leaf) => leaf,
                    // Behind a break nothing can be placed any more.
                    Err(error) => {
                        self.fail(Axis::Integrity, Finding::journal(record.index, error.to_string()));
                        return Ok(());
                    }
                };
                if let Some(what) = self.receipts.as_mut().and_then(|receipts| receipts.pass(record.index, &hash)) {
                    self.fail(Axis::NonEquivocation, Finding::journal(record.index, what));
                }
                // The chain goes on, and what follows is still checked: an edited leaf shows in the record behind it.
                if let Some((axis, what)) = self.check_record(&leaf, record.body, &record.mac) {
                    self.fail(axis, Finding::journal(record.index, what));
                }
            }
        }
        Ok(())
    }

    fn check_record(&self, leaf: &Leaf<'_>, body: &[u8], mac: &[u8; 32]) -> Option<(Axis, String)> {
        if sha256(body) != leaf.body_sha256 || body.len() as u64 != leaf.body_len {
            return Some((Axis::Integrity, "the body is not the one that was sealed".to_owned()));
        }
        let record = match Body::parse(body) {
            Ok(body) => body.record,
            Err(error) => return Some((Axis::Integrity, error.to_string())),
        };
        let is_own = record.kind == Kind::Lifecycle && record.producer.as_deref() == Some(RECORDER_PRODUCER);
        if !is_own && self.closed.is_some_and(|closed| leaf.index >= closed) {
            return Some((Axis::Integrity, "a record of a sender stands behind the end of the ledger".to_owned()));
        }
        let key = self.mac_key.as_ref().filter(|key| key.epoch() == epoch_of(leaf.index))?;
        let mut encoded = Vec::new();
        leaf.encode_into(&mut encoded);
        let verified = key.verify(self.key.name(), leaf.index, &leaf_hash(&encoded), mac);
        verified.err().map(|_| {
            (
                Axis::Authenticity,
                "the MAC is wrong: it was not sealed by the holder of the key, or keys/mac.key is not the ledger's"
                    .to_owned(),
            )
        })
    }

    /// The MAC key only goes on: if it is ahead of the records, some are gone.
    fn check_epoch(&mut self, next_index: u64) {
        let Some(key) = &self.mac_key else { return };
        if let Err(what) = crate::archiver::check_mac_key(key, next_index) {
            self.fail(Axis::Integrity, Finding::journal(next_index, what));
        }
    }

    /// The duplicate index is never ahead of the journal: what it knows and nothing else has is lost.
    fn check_known(&mut self, next_index: u64, known: Result<Option<u64>, DedupError>) {
        match known {
            Ok(Some(known)) if known >= next_index => {
                let what = format!(
                    "record {known} was sealed (the duplicate index knows it), but journal and archive end at record {next_index}: \
                     acknowledged records are missing"
                );
                self.fail(Axis::Integrity, Finding::journal(next_index, what));
            }
            Ok(_) => {}
            Err(error) => self.report.unreadable.push(error.to_string()),
        }
    }

    fn fail(&mut self, axis: Axis, finding: Finding) {
        self.report.fail(axis, finding);
    }

    fn incomplete(&mut self, axis: Axis, reason: String) {
        self.report.incomplete(axis, reason);
    }
}

/// A finding about the journal.
trait OfJournal {
    fn journal(index: u64, what: String) -> Self;
}

impl OfJournal for Finding {
    fn journal(index: u64, what: String) -> Self {
        Finding { axis: Axis::Integrity, object: "journal".to_owned(), row: None, index: Some(index), what }
    }
}
