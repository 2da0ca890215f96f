//! Time stamps from outside, and what they say of the times of sealing.
//!
//! A token over a checkpoint bounds the records under it from above: they are not later than the token. A record that has a token's hash
//! in it, the anchor, bounds itself and all behind it from below: they are not earlier. So a machine's clock that was set wrong shows.
//!
//! What is kept for it: the tokens' times and hashes, the latest time of sealing between two stamped checkpoints, and the anchors, of
//! which there is at most one a token.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tachograph_ledger::{Checkpoint, Hash, KeyHistory, sha256};
use tachograph_record::Time;

use super::collector::Collector;
use super::commits::History;
use super::leaves::Walked;
use super::report::{Axis, Finding};
use crate::archive::paths;
use crate::archive::store::{ErrorKind, Store, StoreError};
use crate::timestamp::{self, MAX_TOKEN_BYTES, Roots, Stamp, TimestampError};

/// Action of the record that holds the hash of a token.
pub const TIME_ANCHOR: &str = "time.anchor";

/// How far a machine's clock may be off before it is a finding, besides what the authority says of its own: 300 seconds.
pub const CLOCK_TOLERANCE_NANOS: u64 = 300 * 1_000_000_000;

/// A checkpoint has three short lines, and a signature for each who signed it.
const LONGEST_CHECKPOINT: u64 = 16 << 10;

/// The tokens of an archive whose signatures hold, by rising size.
#[derive(Default)]
pub(crate) struct Timestamps {
    tokens: Vec<Token>,
    by_hash: BTreeMap<Hash, usize>,
    /// Paths of the tokens that were found, good or not.
    found: BTreeSet<String>,
    /// Of authorities that the auditor does not know: how many, and one of them.
    unknown: Option<(u64, String)>,
    no_roots: bool,
}

struct Token {
    path: String,
    /// Records under the checkpoint that it is over.
    size: u64,
    stamp: Stamp,
}

/// A record that has a token's hash in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Anchor {
    pub(crate) index: u64,
    pub(crate) sealed_at: u64,
}

/// What the recorder says of tokens.
#[derive(Default)]
pub(crate) struct Anchors {
    /// By the number of the token, the first of each.
    pub(crate) first: BTreeMap<usize, Anchor>,
    /// Of tokens that are not here: how many, and the first with the token's path.
    pub(crate) lost: Option<(u64, u64, String)>,
}

impl Anchors {
    /// A record holds the hash of the token of this number.
    pub(crate) fn note(&mut self, number: usize, anchor: Anchor) {
        let first = self.first.entry(number).or_insert(anchor);
        *first = anchor.min(*first);
    }

    /// A record holds the hash of a token that is not here.
    pub(crate) fn note_lost(&mut self, index: u64, path: String) {
        let (count, first, of_first) = self.lost.get_or_insert((0, index, path.clone()));
        *count += 1;
        if index < *first {
            (*first, *of_first) = (index, path);
        }
    }
}

/// What the auditor brings to it.
pub(crate) struct Auditor<'a> {
    pub(crate) keys: &'a KeyHistory,
    pub(crate) roots: &'a Roots,
}

impl Timestamps {
    /// Reads the tokens at `listed` and checks each against its checkpoint.
    pub(crate) fn read(
        store: &dyn Store,
        listed: &[String],
        history: &History,
        auditor: &Auditor<'_>,
        collector: &Collector,
    ) -> Self {
        let named: Vec<String> = listed.iter().filter(|path| paths::timestamp_of(path).is_some()).cloned().collect();
        let checkpoints = read_checkpoints(store, &named, collector);
        let mut timestamps = Self { no_roots: auditor.roots.is_empty(), ..Self::default() };
        store.read_each(&named, MAX_TOKEN_BYTES, &mut |path, bytes| {
            timestamps.found.insert(path.to_owned());
            if let Some((hash, token)) = timestamps.check(path, bytes, &checkpoints, history, auditor, collector) {
                timestamps.by_hash.insert(hash, timestamps.tokens.len());
                timestamps.tokens.push(token);
            }
            ControlFlow::Continue(())
        });
        timestamps
    }

    fn check(
        &mut self,
        path: &str,
        bytes: Result<Vec<u8>, StoreError>,
        checkpoints: &BTreeMap<u64, Vec<u8>>,
        history: &History,
        auditor: &Auditor<'_>,
        collector: &Collector,
    ) -> Option<(Hash, Token)> {
        let size = paths::timestamp_of(path)?;
        let fail = |what: String| {
            collector
                .fail(Axis::Time, Finding { index: Some(size.saturating_sub(1)), ..Finding::of_object(path, what) });
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) if error.kind == ErrorKind::TooLarge => {
                fail(error.what);
                return None;
            }
            Err(error) => {
                collector.unreadable_on(Axis::Time, error.to_string());
                return None;
            }
        };
        let hash = sha256(&bytes);
        if paths::timestamp(size, &hash) != path {
            fail(format!("its SHA-256 is {hash}, its name says another: it is not what was stored"));
            return None;
        }
        let Some(checkpoint) = checkpoints.get(&size) else {
            fail(format!("the checkpoint of {size} records, which it is over, is not here"));
            return None;
        };
        // Whatever is wrong with it, no collector would have stored it so.
        if let Err(error) = timestamp::inspect(&bytes, checkpoint) {
            fail(error.to_string());
            return None;
        }
        let stamp = match timestamp::verify(&bytes, checkpoint, auditor.roots) {
            Ok(stamp) => stamp,
            Err(TimestampError::UnknownAuthority { authority }) => {
                self.unknown.get_or_insert((0, authority)).0 += 1;
                return None;
            }
            Err(error) => {
                collector.incomplete(Axis::Time, format!("{path} does not count: {error}"));
                return None;
            }
        };
        if !is_of_history(checkpoint, size, history, auditor.keys) {
            let reason = format!("{path} does not count: the checkpoint that it is over is not of this history");
            collector.incomplete(Axis::Time, reason);
            return None;
        }
        Some((hash, Token { path: path.to_owned(), size, stamp }))
    }

    /// The token of this hash, by its number.
    pub(crate) fn number_of(&self, sha256: &Hash) -> Option<usize> {
        self.by_hash.get(sha256).copied()
    }

    /// Tokens that were found, good or not.
    pub(crate) fn found(&self) -> u64 {
        self.found.len() as u64
    }

    /// Whether a token of this path should be here and is not.
    pub(crate) fn lacks(&self, path: &str) -> bool {
        paths::timestamp_of(path).is_some() && !self.found.contains(path)
    }

    /// The sizes that are stamped, rising; several tokens may be over one.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        self.tokens.iter().map(|token| token.size).collect()
    }

    /// Says what all of it says. All leaves must have been walked and all bodies heard. Gives the number of records under a good token.
    pub(crate) fn judge(
        &self,
        anchors: &Anchors,
        walked: &Walked,
        records: u64,
        now: Option<Time>,
        collector: &Collector,
    ) -> u64 {
        if let Some((count, index, path)) = &anchors.lost {
            collector.incomplete(
                Axis::Time,
                format!("{count} time stamps are missing whose hashes were sealed; the first: record {index} has that of {path}"),
            );
        }
        if self.found.is_empty() {
            collector.incomplete(
                Axis::Time,
                "no time stamp from outside is in the archive: the times are what the collector's clock said",
            );
            return 0;
        }
        if let Some((count, authority)) = &self.unknown {
            let why = if self.no_roots { "no --tsa-ca was given" } else { "the --tsa-ca given are of others" };
            collector.incomplete(
                Axis::Time,
                format!("{count} time stamps are whole, but their authority is not known to the auditor ({why}); one is of `{authority}`"),
            );
        }
        let good = self.good(anchors, now, collector);
        let covered = good.iter().map(|number| self.tokens[*number].size).max().unwrap_or(0);
        if good.is_empty() {
            collector.incomplete(Axis::Time, "no time stamp counts: the times are what the collector's clock said");
            return 0;
        }
        self.compare_above(&good, walked, collector);
        self.compare_below(&good, anchors, walked, collector);
        self.say(&good, anchors, covered, records, collector);
        covered
    }

    /// The tokens that prove something today, by rising size. One whose certificate has ended does so if a later one was over its
    /// hash before that.
    fn good(&self, anchors: &Anchors, now: Option<Time>, collector: &Collector) -> BTreeSet<usize> {
        let mut good = BTreeSet::new();
        // A token that is over another one's hash is over a larger checkpoint.
        for (number, token) in self.tokens.iter().enumerate().rev() {
            let ended = now.is_some_and(|now| now > token.stamp.expires);
            let renewed = || {
                let anchor = anchors.first.get(&number)?;
                good.iter().find(|later| {
                    let later: &Token = &self.tokens[**later];
                    later.size > anchor.index && later.stamp.time < token.stamp.expires
                })
            };
            if !ended || renewed().is_some() {
                good.insert(number);
            } else {
                collector.incomplete(
                    Axis::Time,
                    format!(
                        "{} does not count: its certificate ended at {}, and no good time stamp from before that is over its hash",
                        token.path, token.stamp.expires
                    ),
                );
            }
        }
        good
    }

    /// No record under a token may say that it was sealed after it.
    fn compare_above(&self, good: &BTreeSet<usize>, walked: &Walked, collector: &Collector) {
        let mut latest = None;
        for (number, token) in self.tokens.iter().enumerate() {
            latest = latest.max(walked.latest.get(number).copied().flatten());
            let Some((sealed_at, index)) = latest.filter(|_| good.contains(&number)) else { continue };
            if sealed_at > token.stamp.time.unix_nanos().saturating_add(tolerance(&token.stamp)) {
                let what = format!(
                    "record {index} says that it was sealed at {}, but this token, which is over it, is of {}: the clock was ahead, or the record was dated forward",
                    shown(sealed_at),
                    token.stamp.time
                );
                collector.fail(Axis::Time, Finding { index: Some(index), ..Finding::of_object(&token.path, what) });
            }
        }
    }

    /// No record from an anchor on may say that it was sealed before the anchored token.
    fn compare_below(&self, good: &BTreeSet<usize>, anchors: &Anchors, walked: &Walked, collector: &Collector) {
        let anchors = anchors.first.iter().filter(|(number, _)| good.contains(number));
        let mut points: Vec<(Anchor, Option<usize>)> =
            anchors.map(|(number, anchor)| (*anchor, Some(*number))).collect();
        // Between them times only rise.
        points.extend(walked.lows.iter().map(|low| (*low, None)));
        points.sort();
        let mut strictest: Option<(u64, usize)> = None;
        for (point, number) in points {
            if let Some(number) = number {
                let stamp = &self.tokens[number].stamp;
                let bound = stamp.time.unix_nanos().saturating_sub(tolerance(stamp));
                strictest = strictest.max(Some((bound, number)));
            }
            let Some((bound, number)) = strictest else { continue };
            if point.sealed_at < bound {
                let token = &self.tokens[number];
                let what = format!(
                    "record {} says that it was sealed at {}, but it stands behind the hash of this token, which is of {}: the clock was behind, or the record was dated back",
                    point.index,
                    shown(point.sealed_at),
                    token.stamp.time
                );
                collector
                    .fail(Axis::Time, Finding { index: Some(point.index), ..Finding::of_object(&token.path, what) });
            }
        }
    }

    fn say(&self, good: &BTreeSet<usize>, anchors: &Anchors, covered: u64, records: u64, collector: &Collector) {
        let newest = good.iter().map(|number| &self.tokens[*number]).max_by_key(|token| token.size);
        let newest =
            newest.map(|token| format!("{} of {} by `{}`", token.path, token.stamp.time, token.stamp.authority));
        collector.rests_on(
            Axis::Time,
            format!(
                "{covered} records are not later than a time stamp ({} good; the newest: {}); the newest {} are under none yet",
                good.len(),
                newest.unwrap_or_default(),
                records.saturating_sub(covered)
            ),
        );
        let first =
            anchors.first.iter().filter(|(number, _)| good.contains(number)).map(|(_, anchor)| anchor.index).min();
        let below = match first {
            Some(first) => format!(
                "the {} records from record {first} on are not earlier than a time stamp whose hash is before them; the {first} before it have no such bound",
                records.saturating_sub(first)
            ),
            None => {
                "no record has the hash of a time stamp before it yet, so that none is bounded from below".to_owned()
            }
        };
        collector.rests_on(Axis::Time, below);
        collector.rests_on(
            Axis::Time,
            "times of sealing were compared with both bounds, to 300 s and what the authority says of its clock",
        );
    }
}

/// The checkpoints that tokens are over.
fn read_checkpoints(store: &dyn Store, tokens: &[String], collector: &Collector) -> BTreeMap<u64, Vec<u8>> {
    let sizes: BTreeSet<u64> = tokens.iter().filter_map(|path| paths::timestamp_of(path)).collect();
    let listed: Vec<String> = sizes.into_iter().map(paths::checkpoint).collect();
    let mut checkpoints = BTreeMap::new();
    store.read_each(&listed, LONGEST_CHECKPOINT, &mut |path, bytes| {
        match (paths::number_of(path, paths::CHECKPOINTS), bytes) {
            (Some(size), Ok(bytes)) => drop(checkpoints.insert(size, bytes)),
            (_, Err(error)) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::TooLarge) => {}
            (_, Err(error)) => collector.unreadable_on(Axis::Time, error.to_string()),
            (None, Ok(_)) => {}
        }
        ControlFlow::Continue(())
    });
    checkpoints
}

/// Whether the commits say the same as the checkpoint, and the ledger's key signed it. Why not, is said where checkpoints are checked.
fn is_of_history(checkpoint: &[u8], size: u64, history: &History, keys: &KeyHistory) -> bool {
    let Ok(checkpoint) = Checkpoint::open(checkpoint, keys) else { return false };
    checkpoint.size == size && history.ending_at(size).is_some_and(|commit| commit.root == checkpoint.root)
}

/// How far a time of sealing may be beside a token's, in nanoseconds: the authority's own accuracy, and this machine's clock.
pub(crate) fn tolerance(stamp: &Stamp) -> u64 {
    u64::try_from(stamp.accuracy.as_nanos()).unwrap_or(u64::MAX).saturating_add(CLOCK_TOLERANCE_NANOS)
}

fn shown(nanos: u64) -> String {
    Time::from_unix_nanos(nanos).map_or_else(|_| format!("{nanos} ns"), |time| time.to_string())
}
