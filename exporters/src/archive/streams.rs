//! Where the streams of an archive stand at some record: read from its leaves, back to where the generation begins.

use tachograph_ledger::stream::MAX_GENERATION;
use tachograph_ledger::{Leaf, StreamPlace, StreamTracker};

use super::tree::{TreeError, TreeReader};

/// Leaves that are looked into first; more with each look, up to the other.
const FIRST_LOOK: u64 = 256;
const LARGEST_LOOK: u64 = 1 << 16;

/// Follows the streams up to but not including record `end`. Reads as many leaves as a generation may have, at most twice.
///
/// # Errors
/// If a leaf can't be read.
pub fn resume(tree: &TreeReader, end: u64) -> Result<StreamTracker, TreeError> {
    let Some(from) = begin(tree, end)? else { return Ok(StreamTracker::default()) };
    let mut tracker = StreamTracker::in_the_middle();
    tree.each_leaf(from, end, |_, leaf, hash| {
        // What is wrong with a leaf, or with what it says, is the verifier's to tell.
        if Leaf::parse(leaf).is_ok_and(|leaf| tracker.push(&leaf, hash).is_err()) {
            tracker.lose();
        }
        Ok(())
    })?;
    Ok(tracker)
}

/// The record behind which, or with which, the generation begins that is open before record `end`.
fn begin(tree: &TreeReader, end: u64) -> Result<Option<u64>, TreeError> {
    let (mut to, mut look) = (end, FIRST_LOOK);
    while to > 0 && end - to <= MAX_GENERATION {
        let from = to.saturating_sub(look);
        let mut found = None;
        tree.each_leaf(from, to, |index, leaf, _| {
            match Leaf::parse(leaf).map(|leaf| StreamPlace::of(&leaf)) {
                Ok(Ok(StreamPlace::Closed(_))) => found = Some(index),
                // The record before may be the statement that it begins behind.
                Ok(Ok(StreamPlace::Open { first, .. })) => found = Some(first.min(index).saturating_sub(1)),
                _ => {}
            }
            Ok(())
        })?;
        if found.is_some() {
            return Ok(found);
        }
        (to, look) = (from, (look * 8).min(LARGEST_LOOK));
    }
    Ok(None)
}
