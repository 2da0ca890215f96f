//! The walk along the leaves, one after another: chain, tree, MACs, times of sealing, producers' numbers.

use tachograph_ledger::{
    ChainVerifier, Commit, Continues, Hash, Leaf, MacKey, Object, VerifyingKey, empty_root, epoch_of, leaf_hash,
};

use super::Totals;
use super::certificates::RECORDER_PRODUCER;
use super::checkpoints::{Remembered, Seen};
use super::collector::Collector;
use super::receipts::Receipts;
use super::report::{Axis, Finding};
use super::sequences::{Counted, Sequences};
use super::streams::{Streams, Within};
use super::timestamps::Anchor;
use crate::archive::reader::LeafGroup;

/// Kind of the recorder's own records.
const LIFECYCLE: &str = "lifecycle";

const NANOS_PER_DAY: u64 = 86_400_000_000_000;

/// Most backward steps of the clock that are looked into.
const MAX_STEPS: usize = 100_000;

/// Where the walk stands.
pub(crate) struct Walk<'c> {
    collector: &'c Collector,
    key: VerifyingKey,
    /// `None` behind a break, until the next commit says where the tree stood.
    chain: Option<ChainVerifier>,
    mac_key: Option<MacKey>,
    outside: Remembered,
    receipts: Option<Receipts>,
    sequences: Sequences,
    streams: Streams,
    sealed_at: u64,
    /// Records that were sealed before the record before them, and the object and row they stand in.
    steps: Vec<Finding>,
    /// Sizes of the tree over which there are time stamps, rising.
    stamped: Vec<u64>,
    walked: Walked,
}

/// What the walk tells of the times of sealing, for comparison with time stamps.
#[derive(Default)]
pub(crate) struct Walked {
    /// For each stamped size the latest time of sealing (nanoseconds since 1970) of the records between it and the one before, and the
    /// first record with it.
    pub(crate) latest: Vec<Option<(u64, u64)>>,
    /// Where times went back: the records that were sealed before the one before them.
    pub(crate) lows: Vec<Anchor>,
    /// The last record of anybody but the recorder.
    pub(crate) last_sender: Option<u64>,
    /// Which stamped size comes next.
    next: usize,
}

/// What is brought along to the walk.
pub(crate) struct Brought {
    /// The first MAC key.
    pub(crate) mac_key: Option<MacKey>,
    /// Roots that others have seen.
    pub(crate) outside: Remembered,
    /// Sizes of the tree over which there are time stamps, rising.
    pub(crate) stamped: Vec<u64>,
    /// What senders kept.
    pub(crate) receipts: Option<Receipts>,
    /// What the ledger before this one counted of producers.
    pub(crate) sequences: Sequences,
}

/// What stands before and behind the ledger, where more of its producers' numbers may be.
pub(crate) struct Around<'a> {
    /// What it continues, if that was not verified.
    pub(crate) unchecked: Option<&'a Continues>,
    /// Whether it is closed, and may be continued.
    pub(crate) is_closed: bool,
}

impl<'c> Walk<'c> {
    pub(crate) fn new(
        key: &VerifyingKey,
        Brought { mac_key, outside, stamped, receipts, sequences }: Brought,
        streams: Streams,
        collector: &'c Collector,
    ) -> Self {
        let chain = Some(ChainVerifier::new(key));
        let mut walk = Self {
            collector,
            key: key.clone(),
            chain,
            mac_key,
            outside,
            receipts,
            sequences,
            streams,
            sealed_at: 0,
            steps: Vec::new(),
            walked: Walked { latest: vec![None; stamped.len()], ..Walked::default() },
            stamped,
        };
        walk.compare_outside(0, empty_root());
        walk
    }

    /// Enters a segment.
    pub(crate) fn begin(&mut self, commit: &Commit) {
        // The gap itself was reported with the commits.
        if self.chain.as_ref().is_some_and(|chain| chain.next_index() != commit.first) {
            self.lose();
        }
    }

    /// The rest of the segment's leaves can't be read.
    pub(crate) fn lose(&mut self) {
        self.chain = None;
        self.streams.lose();
    }

    /// Checks a row group of the segment's leaves object. `first_row` is the group's first row within the object. Gives of each leaf
    /// the generation that it stands in, if streams are sealed there.
    pub(crate) fn group(
        &mut self,
        commit: &Commit,
        object: &Object,
        first_row: u64,
        group: &LeafGroup,
    ) -> Vec<Option<Within>> {
        let mut streams = Vec::with_capacity(group.leaves.len());
        let day = object.path.split('/').find_map(|part| part.strip_prefix("day=")).unwrap_or_default();
        for (at, leaf) in group.leaves.iter().enumerate() {
            let row = first_row + at as u64;
            let index = commit.first + row;
            let hash = Hash::from_bytes(bytes_32(group.hashes[at].data()));
            let fail =
                |what: String| self.collector.fail(Axis::Integrity, Finding::of_row(&object.path, row, index, what));
            if group.indexes[at] != index as i64 {
                fail(format!("the index column says {}, but record {index} should stand here", group.indexes[at]));
            }
            let leaf = match self.check(index, leaf.data(), &hash) {
                Ok(leaf) => leaf,
                Err(what) => {
                    fail(what);
                    self.lose();
                    streams.push(None);
                    continue;
                }
            };
            self.check_receipts(&object.path, row, index, &hash);
            self.check_mac(&object.path, row, index, &hash, &bytes_32(group.macs[at].data()));
            self.check_time(&object.path, row, &leaf, day);
            self.sequences.push(leaf.producer, leaf.producer_epoch, leaf.producer_seq);
            if (leaf.kind, leaf.producer) != (LIFECYCLE, Some(RECORDER_PRODUCER)) {
                self.walked.last_sender = Some(index);
            }
            if let Err(fault) = self.streams.push(&leaf, &hash) {
                let finding = Finding::of_row(&object.path, row, index, fault.to_string());
                self.collector.fail(Axis::Completeness, finding);
            }
            streams.push(self.streams.within());
        }
        streams
    }

    fn check<'a>(&mut self, index: u64, leaf: &'a [u8], hash: &Hash) -> Result<Leaf<'a>, String> {
        let Some(chain) = &mut self.chain else {
            // Behind a break each leaf can still be checked by itself.
            let computed = leaf_hash(leaf);
            if computed != *hash {
                return Err(format!("the leaf's hash is {computed}, but {hash} is stored"));
            }
            return Leaf::parse(leaf).map_err(|error| error.to_string());
        };
        let leaf = chain.push(index, leaf, hash).map_err(|error| error.what.to_string())?;
        let size = chain.next_index();
        if self.outside.contains_key(&size) {
            let root = chain.edge().root();
            self.compare_outside(size, root);
        }
        Ok(leaf)
    }

    fn compare_outside(&mut self, size: u64, root: Hash) {
        for Seen { root: remembered, by } in self.outside.remove(&size).unwrap_or_default() {
            if remembered == root {
                self.collector.rests_on(
                    Axis::NonEquivocation,
                    format!("the tree of {size} records has the root that {by} remembers"),
                );
            } else {
                let what = format!(
                    "the tree of {size} records has root {root}, but a signed checkpoint that {by} remembers has {remembered}: there are two histories"
                );
                self.collector.fail(
                    Axis::NonEquivocation,
                    Finding { index: Some(size.saturating_sub(1)), ..Finding::of_object("leaves", what) },
                );
            }
        }
    }

    fn check_receipts(&mut self, object: &str, row: u64, index: u64, hash: &Hash) {
        if let Some(what) = self.receipts.as_mut().and_then(|receipts| receipts.pass(index, hash)) {
            self.collector.fail(Axis::NonEquivocation, Finding::of_row(object, row, index, what));
        }
    }

    fn check_mac(&mut self, object: &str, row: u64, index: u64, hash: &Hash, mac: &[u8; 32]) {
        let Some(key) = self.mac_key.take() else { return };
        let checked =
            key.evolve_to(epoch_of(index)).and_then(|key| key.verify(self.key.name(), index, hash, mac).map(|()| key));
        match checked {
            Ok(key) => self.mac_key = Some(key),
            Err(error) => {
                self.collector.fail(Axis::Authenticity, Finding::of_row(object, row, index, error.to_string()));
                self.collector.incomplete(Axis::Authenticity, format!("no MAC behind record {index} was checked"));
            }
        }
    }

    fn check_time(&mut self, object: &str, row: u64, leaf: &Leaf<'_>, day: &str) {
        // Only the first of a day is worth writing its date down for.
        if leaf.sealed_at / NANOS_PER_DAY != self.sealed_at / NANOS_PER_DAY || row == 0 {
            let sealed_on =
                tachograph_record::Time::from_unix_nanos(leaf.sealed_at).map(|time| time.day()).unwrap_or_default();
            if sealed_on != day {
                let what = format!("sealed on {sealed_on}, but stored under {day}");
                self.collector.fail(Axis::Integrity, Finding::of_row(object, row, leaf.index, what));
            }
        }
        while self.stamped.get(self.walked.next).is_some_and(|size| *size <= leaf.index) {
            self.walked.next += 1;
        }
        if let Some(latest) = self.walked.latest.get_mut(self.walked.next)
            && latest.is_none_or(|(sealed_at, _)| sealed_at < leaf.sealed_at)
        {
            *latest = Some((leaf.sealed_at, leaf.index));
        }
        if leaf.sealed_at < self.sealed_at {
            if self.steps.len() < MAX_STEPS {
                let what = format!(
                    "sealed {} ns before the record before it, and no record says that the clock jumped back",
                    self.sealed_at - leaf.sealed_at
                );
                self.steps.push(Finding::of_row(object, row, leaf.index, what));
                self.walked.lows.push(Anchor { index: leaf.index, sealed_at: leaf.sealed_at });
            } else {
                self.collector.incomplete(
                    Axis::Time,
                    format!("of the backward steps only the first {MAX_STEPS} were looked into"),
                );
            }
        }
        self.sealed_at = leaf.sealed_at;
    }

    /// Leaves a segment: its commit must say what the leaves gave.
    pub(crate) fn end(&mut self, commit: &Commit) {
        let commit_path = crate::archive::paths::commit(commit.first);
        let fail = |what: String| {
            self.collector
                .fail(Axis::Integrity, Finding { index: Some(commit.first), ..Finding::of_object(&commit_path, what) })
        };
        let size = commit.first + commit.count;
        if let Some(chain) = &self.chain {
            let root = chain.edge().root();
            if chain.next_index() != size {
                fail(format!(
                    "the leaves end before record {}, the commit with record {}",
                    chain.next_index(),
                    size - 1
                ));
            } else if root != commit.root || chain.edge().hashes() != commit.edge {
                fail(format!("the leaves' tree has root {root}, the commit says {}", commit.root));
            } else if chain.prev() != commit.last_hash {
                fail(format!("the last leaf's hash is {}, the commit says {}", chain.prev(), commit.last_hash));
            } else {
                return;
            }
        }
        // Later segments are checked from where this commit says that it ended.
        self.chain = commit.tree().ok().map(|edge| ChainVerifier::resume(&self.key, edge, commit.last_hash));
        if self.outside.contains_key(&size) {
            self.compare_outside(size, commit.root);
        }
    }

    /// Says what all leaves together tell, and gives the receipts of records behind them. All bodies must have been looked at: they
    /// explain steps of the clock.
    pub(crate) fn finish(mut self, size: u64, around: Around<'_>) -> (Totals, Walked, Option<Receipts>) {
        let Around { unchecked, is_closed } = around;
        if let Some(receipts) = &mut self.receipts {
            receipts.end_archive(size, self.collector);
        }
        for step in std::mem::take(&mut self.steps) {
            if !step.index.is_some_and(|index| self.collector.explains_step(index)) {
                self.collector.fail(Axis::Time, step);
            }
        }
        for (remembered, seen) in std::mem::take(&mut self.outside) {
            let by = seen.first().map_or("somebody", |seen| seen.by);
            if remembered > size {
                let what = format!(
                    "a signed checkpoint that {by} remembers has {remembered} records, the archive only {size}: it was rolled back"
                );
                self.collector.fail(Axis::NonEquivocation, Finding::of_object("commit", what));
            } else {
                let reason = format!(
                    "the root of {remembered} records could not be computed to compare it with the checkpoint that {by} remembers"
                );
                self.collector.incomplete(Axis::NonEquivocation, reason);
            }
        }
        if let Some(says) = unchecked {
            self.sequences.unseen = Some(says.ledger().clone());
        }
        let unseen = self.sequences.unseen.clone();
        let (judgement, producers, lives_overflowed) = self.collector.with_lives(|lives| {
            let (judgement, producers) = self.sequences.judge(lives);
            (judgement, producers, lives.overflowed)
        });
        self.streams.finish(self.collector);
        let (starts, missing) = judgement.gaps;
        if let Some(producer) = judgement.withheld {
            let first = producer.gaps.first().map_or(0, |gap| gap.from);
            let what = format!(
                "producer {} epoch {} closed with number {} and counts {} records as lost itself, but {} never arrived, the first with number {first}; \
                 {} starts of producers are so: their records were lost or removed after they were numbered",
                producer.producer,
                producer.epoch,
                producer.last,
                producer.lost.unwrap_or(0),
                producer.missing,
                judgement.withheld_starts
            );
            // They may stand where nobody looked; what came too late for a closed ledger, its producer sent to the next.
            let before = unseen.as_ref().map(|ledger| format!(", or stand in ledger {ledger}"));
            let behind =
                is_closed.then(|| ", or stand in the ledger that continues this one, whose verdict counts".to_owned());
            match before.into_iter().chain(behind).collect::<String>() {
                nowhere if nowhere.is_empty() => {
                    self.collector.fail(Axis::Completeness, Finding::of_object("leaves", what));
                }
                elsewhere => self.collector.incomplete(Axis::Completeness, what + &elsewhere),
            }
        }
        if let Some(ledger) = &unseen {
            let how = match unchecked {
                Some(says) => {
                    format!("this ledger continues ledger {ledger} from its {} records on, which", says.size())
                }
                None => format!("the ledgers before this one continue ledger {ledger}, which"),
            };
            let reason = format!(
                "{how} was not checked, nor which numbers of producers stand there: give that ledger with --previous"
            );
            self.collector.incomplete(Axis::Completeness, reason);
        }
        if judgement.open > 0 {
            let last = judgement.last_heard.map(|producer| {
                let heartbeat = producer.last_heartbeat.unwrap_or_else(|| "never".to_owned());
                format!("; producer {} epoch {}, last heartbeat {heartbeat}", producer.producer, producer.epoch)
            });
            let reason = format!(
                "{} starts of producers are OPEN: they did not close (they run, were killed, never say, or go on in a ledger that continues this one), so that what they numbered last is not known{}",
                judgement.open,
                last.unwrap_or_default()
            );
            self.collector.incomplete(Axis::Completeness, reason);
        }
        if starts > 0 {
            let first = producers.first().and_then(|producer| {
                let gap = producer.gaps.first()?;
                Some(format!(
                    "; the first: producer {} epoch {}, numbers {} to {}",
                    producer.producer, producer.epoch, gap.from, gap.to
                ))
            });
            let reason = format!(
                "{missing} numbered records of {starts} producer starts never arrived{}",
                first.unwrap_or_default()
            );
            self.collector.incomplete(Axis::Completeness, reason);
        }
        if self.sequences.unnumbered > 0 {
            let reason = format!(
                "{} records have no producer's number: whether others are missing beside them is not known",
                self.sequences.unnumbered
            );
            self.collector.incomplete(Axis::Completeness, reason);
        }
        if self.sequences.overflowed || lives_overflowed {
            self.collector.incomplete(Axis::Completeness, "there are more producers and gaps than are counted");
        }
        let whole = self.chain.filter(|chain| chain.next_index() == size);
        let root = whole.map(|chain| chain.edge().root());
        let unnumbered = self.sequences.unnumbered;
        let counted = Counted::end(self.sequences, self.collector);
        let totals = Totals { producers, unnumbered, root, counted, ..Totals::default() };
        (totals, self.walked, self.receipts)
    }
}

/// A hash or MAC column has exactly 32 bytes by its schema; anything else equals no hash.
fn bytes_32(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or_default()
}
