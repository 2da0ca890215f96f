//! What a ledger holds: the archive, and the journal behind it, read without any running collector.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tachograph_collector::journal::{Journal, JournalError};
use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::DirectoryStore;
use tachograph_record::{Body, EventId, Kind};

use crate::home::LEDGER;

/// One record.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Position in the ledger.
    pub index: u64,
    /// Identity.
    pub event_id: EventId,
    /// What kind of event.
    pub kind: Kind,
    body: Vec<u8>,
}

impl Stored {
    fn new(index: u64, bytes: &[u8]) -> Self {
        let body = Body::parse_columns(bytes).unwrap_or_else(|e| panic!("record {index}: {e}"));
        Self { index, event_id: body.record.event_id, kind: body.record.kind, body: bytes.to_vec() }
    }

    /// The body.
    ///
    /// # Panics
    /// If it is no JSON.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("record {}: {e}", self.index))
    }

    /// The body's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }
}

/// Every record in the data directory, in order and without a gap.
///
/// # Panics
/// If it can't be read, or an index is missing.
pub fn read(data: &Path) -> Vec<Stored> {
    let archive = data.join("archive");
    // Beside a collector that runs, records move from the journal to the archive between two looks.
    let mut looks = 0;
    let all = loop {
        match behind(archived(&archive), data) {
            Err(_) if looks < 5 => looks += 1,
            read => break read.unwrap_or_else(|e| panic!("{e}")),
        }
    };
    expect_no_gap(&all);
    all
}

/// Each record must stand where its index says.
///
/// # Panics
/// If one is missing.
#[track_caller]
pub fn expect_no_gap(all: &[Stored]) {
    for (at, record) in all.iter().enumerate() {
        assert_eq!(record.index, at as u64, "the ledger has a gap");
    }
}

/// What is archived, and what the journal in the data directory has behind it.
///
/// # Errors
/// If the journal can't be read, or begins behind what is archived.
pub fn behind(archived: Vec<Stored>, data: &Path) -> Result<Vec<Stored>, JournalError> {
    let mut all = archived;
    let next = all.len() as u64;
    let journal = Journal::read_only(&data.join("journal"), LEDGER)?;
    if journal.next_index().is_some_and(|end| end > next) {
        let mut frames = journal.read_from(next)?;
        while let Some(frame) = frames.next_frame()? {
            all.extend(frame.records().map(|record| Stored::new(record.index, record.body)));
        }
    }
    Ok(all)
}

/// Every record that the journal in the data directory holds.
///
/// # Errors
/// If it can't be read.
pub fn journaled(data: &Path) -> Result<Vec<Stored>, JournalError> {
    let journal = Journal::read_only(&data.join("journal"), LEDGER)?;
    let mut all = Vec::new();
    if let Some(first) = journal.oldest_index() {
        let mut frames = journal.read_from(first)?;
        while let Some(frame) = frames.next_frame()? {
            all.extend(frame.records().map(|record| Stored::new(record.index, record.body)));
        }
    }
    Ok(all)
}

/// Every record of an archive; none if there is no archive yet.
///
/// # Panics
/// If it can't be read.
pub fn archived(archive: &Path) -> Vec<Stored> {
    let mut all = Vec::new();
    each_archived(archive, |record| all.push(record));
    all
}

/// Hands over every record of an archive, one after another: for more of them than fit into memory.
///
/// # Panics
/// If it can't be read.
pub fn each_archived(archive: &Path, mut each: impl FnMut(Stored)) {
    if archive.join("ledger.json").is_file() {
        let store = DirectoryStore::reader(archive).unwrap_or_else(|e| panic!("{e}"));
        let reader = Reader::open(Arc::new(store)).unwrap_or_else(|e| panic!("{e}"));
        let scanned = reader.scan(|index, body| {
            each(Stored::new(index, body));
            true
        });
        scanned.unwrap_or_else(|e| panic!("{e}"));
    }
}

/// How often each event is in the ledger; the collector's own records are left out.
pub fn counts(records: &[Stored]) -> BTreeMap<EventId, u64> {
    let mut counts = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind != Kind::Lifecycle) {
        *counts.entry(record.event_id).or_default() += 1;
    }
    counts
}

/// Every acknowledged event must be there, and none twice.
///
/// # Panics
/// If one is missing or doubled.
#[track_caller]
pub fn expect_once(counts: &BTreeMap<EventId, u64>, acknowledged: &[EventId]) {
    let missing: Vec<String> =
        acknowledged.iter().filter(|id| !counts.contains_key(*id)).map(EventId::to_string).collect();
    assert!(
        missing.is_empty(),
        "{} of {} acknowledged events are lost, the first {:?}",
        missing.len(),
        acknowledged.len(),
        missing.first()
    );
    let doubled: Vec<String> = counts.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id.to_string()).collect();
    assert!(doubled.is_empty(), "{} events were sealed twice, the first {:?}", doubled.len(), doubled.first());
}

/// The proof that the check can fail.
#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u8]) -> Vec<EventId> {
        numbers.iter().map(|number| EventId([*number; 16])).collect()
    }

    fn ledger(numbers: &[u8]) -> BTreeMap<EventId, u64> {
        let mut counts = BTreeMap::new();
        ids(numbers).into_iter().for_each(|id| *counts.entry(id).or_default() += 1);
        counts
    }

    #[test]
    fn each_once_is_good_and_so_is_one_whose_answer_was_lost() {
        expect_once(&ledger(&[1, 2, 3]), &ids(&[1, 2]));
    }

    #[test]
    #[should_panic(expected = "1 of 2 acknowledged events are lost")]
    fn a_lost_event_is_noticed() {
        expect_once(&ledger(&[1, 3]), &ids(&[1, 2]));
    }

    #[test]
    #[should_panic(expected = "1 events were sealed twice")]
    fn a_doubled_event_is_noticed() {
        expect_once(&ledger(&[1, 2, 2]), &ids(&[1]));
    }
}
