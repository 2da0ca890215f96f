//! The streams of a ledger, computed anew from all its leaves: each record's number and link, and what the recorder states of them.

use tachograph_ledger::stream::{StreamEvent, StreamFault};
use tachograph_ledger::{Hash, Leaf, StreamBy, StreamPlace, StreamTracker};

use super::collector::Collector;
use super::report::Axis;

/// What the walk knows of streams. Memory: one generation.
#[derive(Default)]
pub(crate) struct Streams {
    tracker: StreamTracker,
    records: u64,
    statements: u64,
    /// Generations that are left without a statement, and the first of them.
    abandoned: (u64, Option<u64>),
    lost: bool,
}

impl Streams {
    /// Takes the next leaf.
    pub(crate) fn push(&mut self, leaf: &Leaf<'_>, hash: &Hash) -> Result<(), StreamFault> {
        self.records += u64::from(matches!(StreamPlace::of(leaf), Ok(StreamPlace::In { .. })));
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

    /// Which stream the record of the last leaf must belong to, if streams are sealed there.
    pub(crate) fn by(&self) -> Option<StreamBy> {
        self.tracker.generation().map(|generation| generation.rule().by)
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
