//! In which stretches of time a run's ids lie.
//!
//! A UUIDv7 begins with a time, so the ids of a run crowd in a short stretch, and a fresh id lies behind it. A single
//! lowest-to-highest range would be spoilt by one sender with a wrong clock; so up to [`MAX_RANGES`] ranges leave
//! out the widest gaps. Ids of other versions are random and have one range of their own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::journal::layout::array;

use super::entry::EventId;

/// Most ranges of a run.
pub(super) const MAX_RANGES: usize = 32;

/// Both ends belong to it. They are the first eight bytes of ids, big-endian.
pub(super) type Range = (u64, u64);

/// The part of an id that ranges are about.
pub(super) fn prefix(id: &EventId) -> u64 {
    u64::from_be_bytes(array(id, 0))
}

/// Whether an id is a UUIDv7.
pub(super) fn is_timed(id: &EventId) -> bool {
    id[6] >> 4 == 7
}

/// Covers prefixes, which come sorted, with few ranges that leave out the widest gaps.
pub(super) fn cover(sorted: impl Iterator<Item = u64> + Clone) -> Vec<Range> {
    let mut widest = BinaryHeap::with_capacity(MAX_RANGES);
    let mut before = None;
    for value in sorted.clone() {
        if let Some(before) = before
            && value > before
        {
            widest.push(Reverse((value - before, value)));
            if widest.len() == MAX_RANGES {
                widest.pop();
            }
        }
        before = Some(value);
    }
    let mut starts: Vec<u64> = widest.into_iter().map(|Reverse((_, start))| start).collect();
    starts.sort_unstable();
    let mut starts = starts.into_iter().peekable();
    let mut ranges: Vec<Range> = Vec::new();
    for value in sorted {
        let starts_here = starts.next_if_eq(&value).is_some();
        match ranges.last_mut() {
            Some(range) if !starts_here => range.1 = value,
            _ => ranges.push((value, value)),
        }
    }
    ranges
}

/// All runs' ranges, to find those that may hold an id.
#[derive(Default)]
pub(super) struct Map {
    /// Sorted by lower end; third is the run's number.
    ranges: Vec<(u64, u64, u32)>,
    /// Highest upper end up to each position.
    highest: Vec<u64>,
}

impl Map {
    pub(super) fn new(runs: impl Iterator<Item = (u32, Vec<Range>)>) -> Map {
        let mut ranges: Vec<(u64, u64, u32)> =
            runs.flat_map(|(run, ranges)| ranges.into_iter().map(move |(low, high)| (low, high, run))).collect();
        ranges.sort_unstable();
        let mut so_far = 0;
        let highest = ranges
            .iter()
            .map(|(_, high, _)| {
                so_far = so_far.max(*high);
                so_far
            })
            .collect();
        Map { ranges, highest }
    }

    /// Numbers of the runs that have a range around `prefix`.
    pub(super) fn around(&self, prefix: u64) -> impl Iterator<Item = u32> {
        let behind = self.ranges.partition_point(|(low, _, _)| *low <= prefix);
        (0..behind)
            .rev()
            .take_while(move |at| self.highest[*at] >= prefix)
            .map(|at| self.ranges[at])
            .filter(move |(_, high, _)| *high >= prefix)
            .map(|(_, _, run)| run)
    }
}
