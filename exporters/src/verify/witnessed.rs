//! Checkpoints that witnesses have cosigned: is this the history that they were shown?
//!
//! What witnesses have seen is an outside checkpoint that the archive brings along. It needs no trust in the archive, for whoever makes
//! another history can't make their signatures; but which witnesses are to be believed only the auditor's own policy says.

use std::ops::ControlFlow;

use tachograph_ledger::{Checkpoint, KeyHistory, Keys, Policy, parse_note};
use tachograph_record::Time;

use super::checkpoints::{Remembered, Seen};
use super::collector::Collector;
use super::commits::History;
use super::report::{Axis, Finding};
use crate::archive::store::{ErrorKind, Store, StoreError};
use crate::archive::{MAX_NOTE_BYTES, paths};

/// A witnessed checkpoint that is what it says.
struct Witnessed {
    checkpoint: Checkpoint,
    /// Who of the policy's witnesses cosigned it, and when (seconds since 1970).
    cosigned: Vec<(String, u64)>,
    /// Whether that is enough.
    is_met: bool,
}

/// Checks all witnessed checkpoints, as listed before the commits were, against the commits and the policy. The newest one that meets the
/// policy is added to those from `outside`, with which the walk compares the tree. Gives its size.
pub(crate) fn check(
    store: &dyn Store,
    listed: &[String],
    keys: &KeyHistory,
    policy: Option<&Policy>,
    history: &History,
    outside: &mut Remembered,
    collector: &Collector,
) -> Option<u64> {
    let policy = policy.filter(|policy| accepts(policy, keys, collector));
    let (mut newest, mut best): (Option<Witnessed>, Option<Witnessed>) = (None, None);
    store.read_each(listed, MAX_NOTE_BYTES, &mut |path, bytes| {
        // A stray name was reported with the store's objects.
        let Some(size) = paths::number_of(path, paths::WITNESSED) else { return ControlFlow::Continue(()) };
        if let Some(witnessed) = open(bytes, path, size, keys, policy, collector)
            && compare(&witnessed.checkpoint, path, history, outside, collector)
        {
            if witnessed.is_met {
                newest = Some(witnessed);
            } else if best.as_ref().is_none_or(|best| witnessed.cosigned.len() >= best.cosigned.len()) {
                best = Some(witnessed);
            }
        }
        ControlFlow::Continue(())
    });
    let policy = policy?;
    let Some(newest) = newest else {
        collector.incomplete(Axis::NonEquivocation, unwitnessed(policy, best.as_ref()));
        return None;
    };
    let Checkpoint { size, root, .. } = newest.checkpoint;
    outside.entry(size).or_default().push(Seen::outside(root));
    collector.rests_on(Axis::NonEquivocation, said(policy, &newest, history.size()));
    Some(size)
}

/// Whether the policy is for this ledger and asks for witnesses at all.
pub(crate) fn accepts(policy: &Policy, keys: &KeyHistory, collector: &Collector) -> bool {
    let incomplete = |reason: &str| collector.incomplete(Axis::NonEquivocation, reason);
    if !policy.logs().is_empty() && policy.logs().iter().all(|log| keys.keys().all(|key| log.key != *key)) {
        if let Some(log) = policy.logs().iter().find(|log| log.key.name() == keys.ledger()) {
            let what = format!(
                "the policy says that the ledger's key is {}, not {}",
                log.key.to_line(),
                keys.first().to_line()
            );
            collector.fail(Axis::Authenticity, Finding::of_object(paths::LEDGER, what));
        }
        incomplete("the policy that was given is for other logs, not for the key of this ledger");
        return false;
    }
    if !policy.asks_for_witnesses() {
        incomplete("the policy that was given asks for no witness (quorum none)");
        return false;
    }
    true
}

/// Takes a witnessed checkpoint apart; what is false about it is reported.
fn open(
    bytes: Result<Vec<u8>, StoreError>,
    path: &str,
    size: u64,
    keys: &KeyHistory,
    policy: Option<&Policy>,
    collector: &Collector,
) -> Option<Witnessed> {
    let fail = |axis, what: String| {
        collector.fail(axis, Finding { index: Some(size.saturating_sub(1)), ..Finding::of_object(path, what) });
        None
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind == ErrorKind::TooLarge => return fail(Axis::Authenticity, error.what),
        Err(error) => {
            collector.unreadable(error.to_string());
            return None;
        }
    };
    let checkpoint = match Checkpoint::open(&bytes, keys) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return fail(Axis::Authenticity, error.to_string()),
    };
    if checkpoint.size != size {
        let what = format!("this is the checkpoint of {} records: another was put in its place", checkpoint.size);
        return fail(Axis::Integrity, what);
    }
    let Some(policy) = policy else { return Some(Witnessed { checkpoint, cosigned: Vec::new(), is_met: false }) };
    // It was opened, so that it is a note.
    match parse_note(&bytes).and_then(|note| policy.evaluate(&note)) {
        Ok(evaluation) => {
            let name =
                |(witness, time): &(&tachograph_ledger::policy::PolicyWitness, u64)| (witness.key.described(), *time);
            let cosigned = evaluation.cosigned.iter().map(name).collect();
            Some(Witnessed { checkpoint, cosigned, is_met: evaluation.is_met })
        }
        Err(error) => fail(Axis::Authenticity, error.to_string()),
    }
}

/// Whether the commits tell the same history. It was signed, so that another one is a fork.
fn compare(
    checkpoint: &Checkpoint,
    path: &str,
    history: &History,
    outside: &mut Remembered,
    collector: &Collector,
) -> bool {
    let Checkpoint { size, root, .. } = checkpoint;
    let fail = |axis, what: String| {
        collector.fail(axis, Finding { index: Some(size.saturating_sub(1)), ..Finding::of_object(path, what) });
        false
    };
    if *size > history.size() {
        let what = format!(
            "{size} records were signed and shown to witnesses, but the commits hold only {}: the archive was rolled back, or its end removed",
            history.size()
        );
        return fail(Axis::NonEquivocation, what);
    }
    match history.ending_at(*size) {
        // The walk finds out whether the tree had this root.
        None => {
            outside.entry(*size).or_default().push(Seen::outside(*root));
            fail(Axis::Integrity, format!("no commit ends with {size} records"))
        }
        Some(commit) if commit.root != *root => fail(
            Axis::NonEquivocation,
            format!(
                "a fork: the root of {size} records that was signed and shown to witnesses is {root}, but the commit that ends there has {}",
                commit.root
            ),
        ),
        Some(_) => true,
    }
}

fn unwitnessed(policy: &Policy, best: Option<&Witnessed>) -> String {
    let (quorum, of) = (policy.quorum(), policy.witnesses().len());
    match best {
        None => format!("UNWITNESSED: the archive has no witnessed checkpoint; the policy asks for {quorum}"),
        Some(best) => format!(
            "UNWITNESSED: no checkpoint has the cosignatures that the policy asks for, {quorum}; that of {} records has those of {} of {of} keys of witnesses",
            best.checkpoint.size,
            best.cosigned.len()
        ),
    }
}

/// What a pass says: how far it reaches, on whose word, and as of when.
fn said(policy: &Policy, newest: &Witnessed, records: u64) -> String {
    let size = newest.checkpoint.size;
    let reach = match records.saturating_sub(size) {
        0 => format!("all {records} records"),
        beyond => format!("{size} records, all but the newest {beyond},"),
    };
    let names: Vec<&str> = newest.cosigned.iter().map(|(name, _)| name.as_str()).collect();
    // The latest word is the one that says how new the tree was when it was seen.
    let time = newest.cosigned.iter().map(|(_, time)| *time).max().unwrap_or_default();
    let time = time.checked_mul(1_000_000_000).and_then(|nanos| Time::from_unix_nanos(nanos).ok());
    format!(
        "{reach} are under a checkpoint that {} of {} keys of witnesses cosigned ({}; the policy asks for {}), lastly at {}",
        newest.cosigned.len(),
        policy.witnesses().len(),
        names.join(", "),
        policy.quorum(),
        time.map_or_else(|| "a time after 2262".to_owned(), |time| time.to_string())
    )
}
