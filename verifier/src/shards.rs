//! Ledgers that continue one another, verified together: each is held against what the next says of its end.

use anyhow::bail;
use tachograph_exporters::verify::{Axis, Beginning, ContinuedBy, Counted, Options, Progress, Report};
use tachograph_ledger::{Checkpoint, LedgerName};

use crate::arguments::Arguments;

/// Verifies the ledger that was named and those before it. `beginnings` are how they begin: first the ledger itself, then each that was
/// given with `--previous`, in any order. `verify` verifies the one at that place of the list.
///
/// The oldest is verified first, since each counts producers on from the one before; the reports are in order from the newest.
///
/// # Errors
/// If an argument is wrong, or one of them can't be verified at all.
pub fn verify_shards<'p>(
    arguments: &Arguments,
    beginnings: &[Beginning],
    progress: &'p dyn Progress,
    verify: &dyn Fn(usize, Options<'p>) -> anyhow::Result<Report>,
) -> anyhow::Result<Vec<Report>> {
    let (chain, others) = chain(beginnings)?;
    let mut counted: Option<Counted> = None;
    let mut reports = Vec::new();
    for (at, shard) in chain.iter().enumerate().rev() {
        let mut options = arguments.for_archive(progress)?;
        keep_own(&mut options, beginnings, *shard);
        options.previous = counted.take();
        if let Some(next) = at.checked_sub(1).and_then(|next| beginnings.get(chain[next]))
            && let (Some(ledger), Some(says)) = (&next.ledger, &next.continues)
        {
            options.key = Some(says.vkey().clone());
            options.continued_by = Some(ContinuedBy { ledger: ledger.clone(), says: says.clone() });
        }
        let report = verify(*shard, options)?;
        counted = Some(report.counted.clone());
        reports.push(report);
    }
    reports.reverse();
    for shard in others {
        let mut options = arguments.for_archive(progress)?;
        keep_own(&mut options, beginnings, shard);
        options.key = None;
        let mut report = verify(shard, options)?;
        let reason =
            "none of the ledgers that were given says that it continues this one, which was given with --previous";
        report.incomplete(Axis::NonEquivocation, reason.to_owned());
        // Whatever is required: what was asked for was not done.
        report.unreadable.push(reason.to_owned());
        reports.push(report);
    }
    Ok(reports)
}

/// From the ledger itself back, each the one that the one before it says it continues; and those that nobody continues.
fn chain(beginnings: &[Beginning]) -> anyhow::Result<(Vec<usize>, Vec<usize>)> {
    let mut others: Vec<usize> = (1..beginnings.len()).collect();
    for (at, shard) in others.iter().enumerate() {
        let Some(name) = &beginnings[*shard].ledger else { continue };
        if others[at + 1..].iter().any(|other| beginnings[*other].ledger.as_ref() == Some(name)) {
            bail!("two of the ledgers that were given with --previous have the name {name}: give one of them");
        }
    }
    let mut chain = vec![0];
    let mut newest = beginnings.first();
    while let Some(before) = newest.and_then(|newest| newest.continues.as_ref()).map(|says| says.ledger()) {
        let Some(at) = others.iter().position(|other| beginnings[*other].ledger.as_ref() == Some(before)) else {
            break;
        };
        let found = others.remove(at);
        chain.push(found);
        newest = beginnings.get(found);
    }
    Ok((chain, others))
}

/// Of what the auditor gave for all of them, what is about this one: checkpoints by their ledger's name, the rest for the first alone.
fn keep_own(options: &mut Options<'_>, beginnings: &[Beginning], shard: usize) {
    if beginnings.len() < 2 {
        return;
    }
    let of = |note: &[u8]| Checkpoint::parse_unverified(note).ok().map(|checkpoint| checkpoint.origin);
    let is_known = |name: &LedgerName| beginnings.iter().any(|other| other.ledger.as_ref() == Some(name));
    let own = beginnings.get(shard).and_then(|beginning| beginning.ledger.clone());
    // What is nobody's is said of the first.
    options.checkpoints.retain(|note| match of(note) {
        Some(name) if is_known(&name) => Some(name) == own,
        _ => shard == 0,
    });
}

#[cfg(test)]
mod tests {
    use tachograph_ledger::{Continues, SigningKey, empty_root};

    use super::*;

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(LedgerName::parse(name).unwrap(), [7; 32])
    }

    fn shard(name: &str, before: Option<&str>) -> Beginning {
        let continues = before.map(|before| {
            let key = key(before);
            let checkpoint = Checkpoint { origin: key.public().name().clone(), size: 4, root: empty_root() };
            Continues::new(key.public(), &checkpoint.sign(&key).unwrap()).unwrap()
        });
        Beginning { ledger: Some(LedgerName::parse(name).unwrap()), continues }
    }

    #[test]
    fn the_order_does_not_matter() {
        let (new, middle, old) = (shard("c", Some("b")), shard("b", Some("a")), shard("a", None));
        let in_order = chain(&[new.clone(), middle.clone(), old.clone()]).unwrap();
        assert_eq!(in_order, (vec![0, 1, 2], vec![]));
        assert_eq!(chain(&[new.clone(), old.clone(), middle]).unwrap(), (vec![0, 2, 1], vec![]));
        assert_eq!(chain(&[new.clone(), old.clone()]).unwrap(), (vec![0], vec![1]));
        assert!(chain(&[new, old.clone(), old]).unwrap_err().to_string().contains("have the name a"));
    }

    #[test]
    fn ledgers_that_continue_each_other_end_somewhere() {
        let (a, b) = (shard("a", Some("b")), shard("b", Some("a")));
        assert_eq!(chain(&[a, b]).unwrap(), (vec![0, 1], vec![]));
    }
}
