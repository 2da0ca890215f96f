//! The streams of a ledger, computed anew from all its leaves: each record's number and link, and what the recorder states of them.

use tachograph_ledger::stream::{StreamEvent, StreamFault};
use tachograph_ledger::{Hash, Leaf, StreamPlace, StreamRule, StreamTracker};

use super::collector::Collector;
use super::report::Axis;

/// The generation that a leaf stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Within {
    /// Its first record.
    pub(crate) first: u64,
    pub(crate) rule: StreamRule,
}

/// What the walk knows of streams. Memory: one generation.
pub(crate) struct Streams {
    /// Id of the key that the auditor has.
    key: Option<Hash>,
    tracker: StreamTracker,
    records: u64,
    statements: u64,
    /// Generations that are left without a statement, and the first of them.
    abandoned: (u64, Option<u64>),
    lost: bool,
    /// Records whose stream can't be computed, because it is under another key than the auditor's, or he has none.
    under_other_keys: u64,
}

impl Streams {
    /// For an auditor who has the stream key of this id, or none.
    pub(crate) fn new(key: Option<Hash>) -> Self {
        let tracker = StreamTracker::default();
        Self { key, tracker, records: 0, statements: 0, abandoned: (0, None), lost: false, under_other_keys: 0 }
    }

    /// Takes the next leaf.
    pub(crate) fn push(&mut self, leaf: &Leaf<'_>, hash: &Hash) -> Result<(), StreamFault> {
        if let Ok(StreamPlace::In { .. }) = StreamPlace::of(leaf) {
            self.records += 1;
            let key = self.tracker.generation().map(|generation| generation.rule().key);
            self.under_other_keys += u64::from(self.key.is_none() || self.key != key);
        }
        match self.tracker.push(leaf, hash)? {
            StreamEvent::None => {}
            StreamEvent::Closed(_) => self.statements += 1,
            StreamEvent::Abandoned(first) => {
                self.abandoned.0 += 1;
                self.abandoned.1.get_or_insert(first);
            }
        }
        Ok(())
    }

    /// The generation that the last leaf stands in, if streams are sealed there.
    pub(crate) fn within(&self) -> Option<Within> {
        let generation = self.tracker.generation()?;
        Some(Within { first: generation.first(), rule: generation.rule() })
    }

    /// Leaves could not be followed.
    pub(crate) fn lose(&mut self) {
        self.tracker.lose();
        self.lost = true;
    }

    pub(crate) fn finish(&self, collector: &Collector) {
        if self.records == 0 && self.statements == 0 {
            return;
        }
        let reason = format!(
            "{} records are numbered and linked as those of a session or an agent, and {} statements of the recorder say how many each has",
            self.records, self.statements
        );
        collector.rests_on(Axis::Completeness, reason);
        match (self.under_other_keys, self.key) {
            (0, _) => {
                let reason = "each of the records of sessions and agents whose body is here was held against the stream of its own session or agent, by the stream key";
                collector.note(Axis::Completeness, reason);
            }
            (count, key) => {
                let why = if key.is_some() { "they are under another stream key" } else { "that takes the stream key" };
                let reason = format!(
                    "of {count} records of sessions and agents it was not checked that they are in the stream of their own session or agent, and not in another's: {why}"
                );
                collector.note(Axis::Completeness, reason);
            }
        }
        if let (count, Some(first)) = self.abandoned {
            let reason = format!(
                "{count} generations of sessions and agents are left without a statement, the first began with record {first}: no bundle can show that nothing of \
                 them was left out; the whole ledger does"
            );
            collector.rests_on(Axis::Completeness, reason);
        }
        if self.lost {
            let reason =
                "not all leaves could be followed: whether records of sessions and agents are missing is not known";
            collector.incomplete(Axis::Completeness, reason);
        }
    }
}
