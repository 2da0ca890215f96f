//! Where a ledger ends and another begins: what the recorder says of it, and whether that holds.
//!
//! A ledger contradicts itself if anything of others stands behind its end, if it ends twice, or if it says anywhere but in its first record
//! what it continues. What another ledger says of this one, which is its last checkpoint, is held against it as one that somebody outside
//! remembers: so a holder of this ledger's key can't cut its end, or write it anew, without the other's.

use std::collections::BTreeSet;

use serde::Serialize;
use tachograph_ledger::shard::{LEDGER_CLOSED, LEDGER_CONTINUES, closed_ledger};
use tachograph_ledger::{Checkpoint, Commit, Continues, KeyHistory, LedgerName, ObjectKind, VerifyingKey};
use tachograph_record::{Body, Kind};

use super::certificates::RECORDER_PRODUCER;
use super::checkpoints::{Remembered, Seen};
use super::collector::Collector;
use super::report::{Axis, Finding};
use crate::archive::reader::RecordsObject;
use crate::archive::store::Store;
use crate::archive::{Identity, MAX_NOTE_BYTES, paths};

/// Action of the first record of a ledger that seals anew what a fenced collector of another acknowledged.
pub const LEDGER_RESEALED: &str = "ledger.resealed";

/// Whether a record by this body closes `ledger`. What `reseal` brought along of another ledger's end closes nothing.
pub fn closes(body: &[u8], ledger: &LedgerName) -> bool {
    details_of(body, LEDGER_CLOSED).and_then(|details| closed_ledger(&details)).as_ref() == Some(ledger)
}

/// The details of a record of the recorder's of this action; `None` if it is another one, or has none.
pub fn details_of(body: &[u8], action: &str) -> Option<String> {
    let body = Body::parse(body).ok()?;
    let record = &body.record;
    let is_own = record.kind == Kind::Lifecycle && record.producer.as_deref() == Some(RECORDER_PRODUCER);
    let details = record.details.as_ref().filter(|_| is_own && record.action_type.as_deref() == Some(action))?;
    Some(details.as_str().to_owned())
}

/// How an archive says that it begins: nothing of it is checked.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Its name, if it has one.
    pub ledger: Option<LedgerName>,
    /// What it continues, if it says so.
    pub continues: Option<Continues>,
    /// Its first key, where that is known from elsewhere than its archive and the ledger that continues it.
    pub key: Option<VerifyingKey>,
}

impl Beginning {
    /// Reads name and first record. What can't be read is absent: whoever verifies the archive is told why.
    pub fn read(store: &dyn Store) -> Self {
        let ledger = Identity::read(store).ok().and_then(Result::ok).map(|identity| identity.vkey.name().clone());
        Self { ledger, continues: first_record(store).and_then(|body| continues_of(&body)), key: None }
    }
}

fn first_record(store: &dyn Store) -> Option<Vec<u8>> {
    let first = store.read(&paths::commit(0), MAX_NOTE_BYTES).ok()?;
    let commit = Commit::parse_unverified(&first).ok()?;
    let records = commit.objects.iter().filter(|object| matches!(object.kind, ObjectKind::Records { .. }));
    let mut found = records.filter_map(|object| RecordsObject::open(store, object).ok()?.by_index(0).ok()?);
    found.next().map(|found| found.body)
}

fn continues_of(body: &[u8]) -> Option<Continues> {
    Continues::parse(&details_of(body, LEDGER_CONTINUES)?).ok()
}

/// The ledger that continues the one that is verified.
#[derive(Clone, Debug)]
pub struct ContinuedBy {
    /// Its name.
    pub ledger: LedgerName,
    /// What its first record says.
    pub says: Continues,
}

impl ContinuedBy {
    /// Adds its checkpoint to those that are held against the history.
    pub(crate) fn remember(&self, keys: &KeyHistory, outside: &mut Remembered, collector: &Collector) {
        match Checkpoint::open(self.says.checkpoint().as_bytes(), keys) {
            Ok(Checkpoint { size, root, .. }) => {
                outside.entry(size).or_default().push(Seen { root, by: "the ledger that continues this one" });
            }
            Err(error) => {
                let what = format!(
                    "ledger {} says that it continues this one from a checkpoint that this one's keys did not sign: {error}",
                    self.ledger
                );
                collector.fail(Axis::Authenticity, Finding::of_object(paths::LEDGER, what));
            }
        }
    }
}

/// What a ledger continues, for a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContinuesReport {
    /// The ledger before it.
    pub ledger: String,
    /// The first key of that.
    pub vkey: String,
    /// Records of that under the checkpoint that is named.
    pub records: u64,
    /// Whether that ledger was verified too.
    pub checked: bool,
}

/// What the records say.
#[derive(Default)]
pub(crate) struct Border {
    pub(crate) continues: Option<Continues>,
    /// The first record behind the first one that says what the ledger continues.
    late: Option<u64>,
    /// Whether the first record says that it seals anew what another ledger lost: among that may be how the other one began.
    is_resealed: bool,
    /// The first two records that close the ledger.
    closed: BTreeSet<u64>,
}

impl Border {
    /// Takes a record [`LEDGER_CLOSED`].
    pub(crate) fn hear_closed(&mut self, index: u64, body: &[u8], ledger: &LedgerName) {
        if closes(body, ledger) {
            self.closed.insert(index);
            if self.closed.len() > 2 {
                self.closed.pop_last();
            }
        }
    }

    /// Takes a record that says what this ledger continues.
    pub(crate) fn hear_continues(&mut self, index: u64, body: &[u8], ledger: &LedgerName, collector: &Collector) {
        let fail = |what: String| {
            collector.fail(Axis::Integrity, Finding { index: Some(index), ..Finding::of_object(paths::LEAVES, what) });
        };
        if index != 0 {
            self.late = Some(self.late.map_or(index, |late| late.min(index)));
            return;
        }
        match Continues::parse(&details_of(body, LEDGER_CONTINUES).unwrap_or_default()) {
            Ok(says) if says.ledger() == ledger => fail("says that the ledger continues itself".to_owned()),
            Ok(says) => self.continues = Some(says),
            Err(error) => {
                fail(format!("says that the ledger continues another one, but not in the form of that: {error}"));
            }
        }
    }

    /// Takes a record [`LEDGER_RESEALED`].
    pub(crate) fn hear_resealed(&mut self, index: u64) {
        self.is_resealed |= index == 0;
    }

    /// Whether a record closes the ledger.
    pub(crate) fn is_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    fn judge_late(&self, complete: bool, collector: &Collector) {
        let Some(late) = self.late.filter(|_| !self.is_resealed) else { return };
        let what = "says that the ledger continues another one, which only its first record can say";
        match complete {
            true => collector
                .fail(Axis::Integrity, Finding { index: Some(late), ..Finding::of_object(paths::LEAVES, what) }),
            false => collector.incomplete(
                Axis::Integrity,
                format!(
                    "record {late} {what}, unless that is {LEDGER_RESEALED}, which is not known, since not all bodies could be read"
                ),
            ),
        }
    }

    /// Judges beginning and end. `last` is the last record of anybody but the recorder; all bodies were heard if `complete`. Gives the record that
    /// closes the ledger.
    pub(crate) fn judge(
        &self,
        last: Option<u64>,
        complete: bool,
        continued: Option<&ContinuedBy>,
        collector: &Collector,
    ) -> Option<u64> {
        self.judge_late(complete, collector);
        let mut closed = self.closed.iter().copied();
        let (first, second) = (closed.next(), closed.next());
        if let (Some(first), Some(second)) = (first, second) {
            let what = format!("closes the ledger once more, which record {first} did: it ends once");
            collector.fail(Axis::Integrity, Finding { index: Some(second), ..Finding::of_object(paths::LEAVES, what) });
        }
        if let (Some(first), Some(last)) = (first, last.filter(|last| Some(*last) > first)) {
            let what = format!(
                "a record that is not the recorder's own stands behind record {first}, which closed the ledger: it was added after its end"
            );
            collector.fail(Axis::Integrity, Finding { index: Some(last), ..Finding::of_object(paths::LEAVES, what) });
        }
        if let Some(continued) = continued {
            continued.judge(first, complete, collector);
        }
        first
    }
}

impl ContinuedBy {
    fn judge(&self, closed: Option<u64>, complete: bool, collector: &Collector) {
        let (ledger, size) = (&self.ledger, self.says.size());
        let fail = |what: String| {
            collector.fail(Axis::NonEquivocation, Finding::of_object(paths::LEAVES, what));
        };
        match closed {
            Some(closed) if closed < size => {}
            Some(closed) => fail(format!(
                "ledger {ledger} continues this one from its {size} records on, but the record that closes it is {closed}: it was not closed then"
            )),
            None if complete => fail(format!(
                "ledger {ledger} continues this one from its {size} records on, but no record closes it: that one was made of another history, or too early"
            )),
            None => collector.incomplete(
                Axis::NonEquivocation,
                format!(
                    "ledger {ledger} continues this one; whether it was closed is not known, since not all bodies could be read"
                ),
            ),
        }
    }
}
