//! Checkpoints: those in the archive, and those that somebody remembered elsewhere.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tachograph_ledger::{Checkpoint, CheckpointError, Hash, KeyHistory};

use super::collector::Collector;
use super::commits::History;
use super::report::{Axis, Finding};
use crate::archive::store::{ErrorKind, Store, StoreError};
use crate::archive::{MAX_NOTE_BYTES, paths};

/// Roots that were seen, by tree size.
pub(crate) type Remembered = BTreeMap<u64, Vec<Seen>>;

/// A root that somebody saw.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) root: Hash,
    /// Who: for sentences such as "the root that … remembers".
    pub(crate) by: &'static str,
}

impl Seen {
    /// By somebody outside.
    pub(crate) fn outside(root: Hash) -> Self {
        Self { root, by: "somebody outside" }
    }
}

/// Reads the checkpoints that the auditor brought along, and the one that lies beside the archive.
pub(crate) fn remembered(
    notes: &[Vec<u8>],
    own: Option<&[u8]>,
    keys: &KeyHistory,
    collector: &Collector,
) -> Remembered {
    let mut roots = Remembered::new();
    for (number, note) in notes.iter().enumerate() {
        match Checkpoint::open(note, keys) {
            Ok(checkpoint) => roots.entry(checkpoint.size).or_default().push(Seen::outside(checkpoint.root)),
            Err(error) => collector.incomplete(
                Axis::NonEquivocation,
                format!("the checkpoint number {} that was given is of no use: {error}", number + 1),
            ),
        }
    }
    match own.map(|note| Checkpoint::open(note, keys)) {
        Some(Ok(Checkpoint { size, root, .. })) => {
            roots.entry(size).or_default().push(Seen { root, by: "the data directory" });
        }
        Some(Err(error)) => {
            let what = format!("the checkpoint that the data directory remembers is of no use: {error}");
            collector.unreadable(what);
        }
        None => {}
    }
    roots
}

/// Checks the archive's checkpoints, as listed before the commits were, against its commits. Gives their number, and how many records the largest
/// good one covers.
pub(crate) fn check(
    store: &dyn Store,
    listed: Vec<String>,
    keys: &KeyHistory,
    history: &History,
    collector: &Collector,
) -> (u64, u64) {
    let mut covered = 0;
    let mut sizes = Vec::new();
    store.read_each(&listed, MAX_NOTE_BYTES, &mut |path, bytes| {
        // A stray name was reported with the store's objects.
        if let Some(size) = paths::number_of(path, paths::CHECKPOINTS) {
            sizes.push(size);
            if check_one(bytes, path, size, keys, history, collector) {
                covered = covered.max(size);
            }
        }
        ControlFlow::Continue(())
    });
    let end = history.size();
    if covered < end {
        collector.incomplete(Axis::Coverage, format!("{} records are under no checkpoint", end - covered));
    } else {
        collector.rests_on(Axis::Coverage, format!("the checkpoint of {covered} records covers all"));
    }
    // Each checkpoint is signed before the next segment begins, so that only the last can be missing by a crash.
    let last = sizes.last().copied().unwrap_or(0);
    for commit in &history.commits {
        let size = commit.first + commit.count;
        if size < last && sizes.binary_search(&size).is_err() {
            let what = "this checkpoint is missing, though later ones were signed: it was removed";
            collector.fail(
                Axis::Coverage,
                Finding { index: Some(commit.first), ..Finding::of_object(paths::checkpoint(size), what) },
            );
        }
    }
    (sizes.len() as u64, covered)
}

/// Whether the checkpoint holds.
fn check_one(
    bytes: Result<Vec<u8>, StoreError>,
    path: &str,
    size: u64,
    keys: &KeyHistory,
    history: &History,
    collector: &Collector,
) -> bool {
    let fail = |axis, what: String| {
        collector.fail(axis, Finding { index: Some(size.saturating_sub(1)), ..Finding::of_object(path, what) });
        false
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind == ErrorKind::TooLarge => return fail(Axis::Integrity, error.what),
        Err(error) => {
            collector.unreadable(error.to_string());
            return false;
        }
    };
    let checkpoint = match Checkpoint::open(&bytes, keys) {
        Ok(checkpoint) => checkpoint,
        Err(error @ (CheckpointError::Note(_) | CheckpointError::OtherLedger { .. })) => {
            return fail(Axis::Authenticity, error.to_string());
        }
        Err(error) => return fail(Axis::Integrity, error.to_string()),
    };
    if checkpoint.size != size {
        return fail(
            Axis::Integrity,
            format!("this is the checkpoint of {} records: another was put in its place", checkpoint.size),
        );
    }
    if size > history.size() {
        return fail(
            Axis::Coverage,
            format!(
                "{size} records were checkpointed, but the commits hold only {}: the end was removed",
                history.size()
            ),
        );
    }
    match history.ending_at(size) {
        None => fail(Axis::Integrity, format!("no commit ends with {size} records")),
        Some(commit) if commit.root != checkpoint.root => fail(
            Axis::Integrity,
            format!("the root is {}, but the commit that ends there has {}", checkpoint.root, commit.root),
        ),
        Some(_) => true,
    }
}
