//! Ledgers that continue one another, verified together: each is held against what the next says of its end.

use anyhow::bail;
use tachograph_exporters::verify::{
    Axis, Beginning, ContinuedBy, Counted, Options, Progress, ReceiptsReport, Report, Verdict,
};
use tachograph_ledger::{Checkpoint, LedgerName, VerifyingKey};

use crate::arguments::Arguments;

/// The report on one of the ledgers, and what must pass of it.
pub struct Shard {
    /// The report.
    pub report: Report,
    /// The axes that must pass for exit code 0.
    pub required: Vec<Axis>,
    /// Whether it could be verified at all.
    is_read: bool,
    /// Whether the auditor has a word of its history from elsewhere than the ledger that continues it.
    has_outside: bool,
}

/// Verifies the ledger that was named and those before it. `beginnings` are how they begin: first the ledger itself, then each that was
/// given with `--previous`, in any order. `verify` verifies the one at that place of the list.
///
/// The oldest is verified first, since each counts producers on from the one before; the reports are in order from the newest. Of several,
/// one that can't be verified at all has a report that says so, and costs the others nothing.
///
/// # Errors
/// If an argument is wrong, or a ledger that is alone can't be verified at all.
pub fn verify_shards<'p>(
    arguments: &Arguments,
    beginnings: &[Beginning],
    progress: &'p dyn Progress,
    verify: &dyn Fn(usize, Options<'p>) -> anyhow::Result<Report>,
) -> anyhow::Result<Vec<Shard>> {
    let (chain, others) = chain(beginnings)?;
    let verify = |shard: usize, mut options: Options<'p>| {
        keep_own(&mut options, beginnings, shard);
        let (is_continued, expected) = (options.continued_by.is_some(), options.key.clone());
        let is_outside = options.policy.is_some() || !options.checkpoints.is_empty();
        let (is_read, report) = match verify(shard, options) {
            Ok(report) => (true, report),
            Err(error) if beginnings.len() < 2 => return Err(error),
            Err(error) => (false, unreadable(arguments, beginnings, shard, expected.as_ref(), &error)),
        };
        let has_outside = is_outside || report.receipts.as_ref().is_some_and(ReceiptsReport::concern_this);
        let required = arguments.required_given(has_outside || is_continued)?;
        Ok(Shard { report, required, is_read, has_outside })
    };
    let mut counted: Option<Counted> = None;
    let mut shards = Vec::new();
    for (at, shard) in chain.iter().enumerate().rev() {
        let mut options = arguments.for_archive(progress)?;
        options.previous = counted.take();
        if let Some(next) = at.checked_sub(1).and_then(|next| beginnings.get(chain[next]))
            && let (Some(ledger), Some(says)) = (&next.ledger, &next.continues)
        {
            options.key = Some(says.vkey().clone());
            options.continued_by = Some(ContinuedBy { ledger: ledger.clone(), says: says.clone() });
        }
        let verified = verify(*shard, options)?;
        // Of one that could not be read nothing was counted.
        counted = verified.is_read.then(|| verified.report.counted.clone());
        shards.push(verified);
    }
    shards.reverse();
    doubt(&mut shards, &chain, beginnings);
    for shard in others {
        let mut verified = verify(shard, Options { key: None, ..arguments.for_archive(progress)? })?;
        let reason =
            "none of the ledgers that were given says that it continues this one, which was given with --previous";
        verified.report.incomplete(Axis::NonEquivocation, reason.to_owned());
        // Whatever is required: what was asked for was not done.
        verified.report.unreadable.push(reason.to_owned());
        shards.push(verified);
    }
    miss_sources(&mut shards);
    // Receipts that are of none of them were given in vain.
    let is_vain = arguments.has_receipts() && !shards.iter().any(|shard| shard.has_outside);
    if let Some(newest) = shards.first_mut().filter(|_| is_vain) {
        newest.required = arguments.required_given(true)?;
    }
    Ok(shards)
}

/// What a ledger says of the one before it is worth what that ledger is worth: behind one that is not verified, nothing of those before
/// it is a pass that rests on its word alone.
fn doubt(shards: &mut [Shard], chain: &[usize], beginnings: &[Beginning]) {
    let mut doubted: Option<String> = None;
    for (shard, at) in shards.iter_mut().zip(chain) {
        let report = &mut shard.report;
        if let Some(next) = &doubted {
            let reason = |what: &str| format!("{what} is what ledger {next} says, and that one is not verified");
            // Its own data directory says its key too.
            if beginnings[*at].key.as_ref().is_none_or(|key| key.to_line() != report.vkey) {
                report.incomplete(Axis::Authenticity, reason("its key"));
            }
            if !shard.has_outside {
                report.incomplete(Axis::NonEquivocation, reason("its end"));
            }
        }
        let holds = |axis| report.verdict(axis) == Verdict::Pass;
        let is_verified = holds(Axis::Integrity) && holds(Axis::Authenticity);
        let name = beginnings[*at].ledger.as_ref().map_or_else(|| report.ledger.clone(), LedgerName::to_string);
        doubted = (!is_verified).then_some(name);
    }
}

/// A key of a producer of which there is no record checks nothing: its name is wrong, or the records bear another.
fn miss_sources(shards: &mut [Shard]) {
    let is_met = |producer: &str| {
        let mut sources = shards.iter().flat_map(|shard| &shard.report.sources);
        sources.any(|source| source.producer == producer && source.records + source.failed > 0)
    };
    let given = shards.first().map(|shard| shard.report.sources.clone()).unwrap_or_default();
    let missed: Vec<_> = given.into_iter().filter(|source| !is_met(&source.producer)).collect();
    let Some(newest) = shards.first_mut() else { return };
    for source in missed {
        let reason = format!("no record with a body is of producer {}, whose key was given", source.producer);
        newest.report.incomplete(Axis::Authenticity, reason);
    }
}

/// The report on a ledger that could not be verified at all.
fn unreadable(
    arguments: &Arguments,
    beginnings: &[Beginning],
    shard: usize,
    key: Option<&VerifyingKey>,
    error: &anyhow::Error,
) -> Report {
    let place = shard.checked_sub(1).and_then(|at| arguments.previous.get(at)).unwrap_or(&arguments.place);
    let name = beginnings[shard].ledger.as_ref().or(key.map(VerifyingKey::name));
    let name = name.map_or_else(|| "of a name that can't be read".to_owned(), LedgerName::to_string);
    let vkey = key.map_or_else(|| "not known".to_owned(), VerifyingKey::to_line);
    Report::unreadable(place.clone(), name, vkey, format!("{error:#}"))
}

/// From the ledger itself back, each the one that the one before it says it continues; and those that nobody continues. If a single one
/// has no name that can be read, it is taken for the one that is missing: whether it is shows.
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
        let named = others.iter().position(|other| beginnings[*other].ledger.as_ref() == Some(before));
        let Some(at) = named.or_else(|| the_nameless(&others, beginnings)) else { break };
        let found = others.remove(at);
        chain.push(found);
        newest = beginnings.get(found);
    }
    Ok((chain, others))
}

fn the_nameless(others: &[usize], beginnings: &[Beginning]) -> Option<usize> {
    let mut nameless = others.iter().enumerate().filter(|(_, other)| beginnings[**other].ledger.is_none());
    let (at, _) = nameless.next()?;
    nameless.next().is_none().then_some(at)
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
        Beginning { ledger: Some(LedgerName::parse(name).unwrap()), continues, key: None }
    }

    #[test]
    fn the_order_does_not_matter() {
        let (new, middle, old) = (shard("c", Some("b")), shard("b", Some("a")), shard("a", None));
        let in_order = chain(&[new.clone(), middle.clone(), old.clone()]).unwrap();
        assert_eq!(in_order, (vec![0, 1, 2], vec![]));
        assert_eq!(chain(&[new.clone(), old.clone(), middle]).unwrap(), (vec![0, 2, 1], vec![]));
        assert_eq!(chain(&[new.clone(), old.clone()]).unwrap(), (vec![0], vec![1]));
        // One whose name can't be read is the one that is missing, if it is the only one.
        let nameless = Beginning::default();
        assert_eq!(chain(&[new.clone(), old.clone(), nameless.clone()]).unwrap(), (vec![0, 2], vec![1]));
        assert_eq!(chain(&[new.clone(), nameless.clone(), nameless]).unwrap(), (vec![0], vec![1, 2]));
        assert!(chain(&[new, old.clone(), old]).unwrap_err().to_string().contains("have the name a"));
    }

    #[test]
    fn ledgers_that_continue_each_other_end_somewhere() {
        let (a, b) = (shard("a", Some("b")), shard("b", Some("a")));
        assert_eq!(chain(&[a, b]).unwrap(), (vec![0, 1], vec![]));
    }
}
