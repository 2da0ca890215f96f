//! The stage: whom to ask when, and what is enough.
//!
//! One thread. A round asks all witnesses that lack the newest checkpoint at once; rounds begin `every` apart at most. A witness that
//! fails is asked again after pauses that grow to [`LONGEST_PAUSE`]. One that answers with some of its keys does not fail: it is asked once
//! more for the others, and again for the next checkpoint. Once the quorum is met, what has been cosigned then is written into
//! the archive; what comes later brings its witness up to date and is not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tachograph_exporters::archive::store::{Confirmed, Store, StoreError};
use tachograph_exporters::archive::{Links, witnessed};
use tachograph_ledger::{Checkpoint, Hash, KeyHistory, Policy, VerifyingKey, parse_note};

use super::client::{Asked, Carrier, Failure, NoProof, Proofs, Witness, ask};
use super::metrics::WitnessMetrics;
use super::sizes::Sizes;
use crate::data_dir::DataDir;
use crate::mailbox::{Mailbox, Signed, Wake};
use crate::outbound::Outbound;
use crate::publication::Seen;

/// Longest pause before a witness that fails is asked again; also for a store that fails.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// For a whole request to a witness.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Which witnesses are asked, and what is enough.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// The policy.
    pub policy: Policy,
    /// Least time between two rounds.
    pub every: Duration,
    /// The way to them.
    pub outbound: Outbound,
}

impl Witnesses {
    /// Those that have a URL, and so can be asked. Keys with one URL are one witness, who is asked once and answers for all of them.
    pub fn asked(&self) -> Vec<Witness> {
        let mut asked: Vec<Witness> = Vec::new();
        for witness in self.policy.witnesses() {
            let Some(url) = witness.url.as_deref() else { continue };
            let (key, url) = (witness.key.clone(), format!("{}/add-checkpoint", url.trim_end_matches('/')));
            match asked.iter_mut().find(|known| known.url == url) {
                Some(known) => known.more_keys.push(key),
                None => asked.push(Witness { key, more_keys: Vec::new(), url }),
            }
        }
        asked
    }

    /// Why the policy can't be for the ledger of `keys`, if it can't: it must name one of them, if any log.
    pub fn problem(&self, keys: &KeyHistory) -> Option<String> {
        let logs = self.policy.logs();
        (!logs.is_empty() && logs.iter().all(|log| keys.keys().all(|key| log.key != *key))).then(|| {
            format!(
                "witnesses.policy is for other logs than this ledger, whose line is `log {}`",
                keys.first().to_line()
            )
        })
    }
}

/// The stage and what it works with.
pub struct Stage {
    /// Who is asked.
    pub witnesses: Vec<Witness>,
    /// What is enough.
    pub policy: Policy,
    /// Least time between two rounds.
    pub every: Duration,
    /// The way to them.
    pub carrier: Box<dyn Carrier>,
    /// Makes proofs from the archive.
    pub proofs: Box<dyn Proofs>,
    /// The archive.
    pub store: Arc<dyn Store>,
    /// The ledger's first key.
    pub key: VerifyingKey,
    /// Remembers what they have seen.
    pub data_dir: Arc<DataDir>,
    /// Where checkpoints come from.
    pub mailbox: Arc<Mailbox>,
    /// Counters.
    pub metrics: Arc<WitnessMetrics>,
    /// Learns what the quorum has seen.
    pub seen: Seen,
}

/// When something that failed is tried again.
#[derive(Default)]
struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
    /// Answers in a row that lacked the cosignature of one of several keys.
    partial: u32,
}

impl Backoff {
    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|then| then <= now)
    }

    fn failed(&mut self, first: Duration) {
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE.max(first));
        self.failures += 1;
        self.not_before = Some(Instant::now() + pause);
    }
}

/// The newest checkpoint, and how far it is.
struct Current {
    signed: Signed,
    /// What its signatures stand under.
    text: String,
    /// Signature lines by witness.
    lines: BTreeMap<usize, String>,
    /// Witnesses that have cosigned with all of their keys, or twice with some of them: they are asked no more.
    done: BTreeSet<usize>,
    /// Witnesses were asked.
    is_shown: bool,
    is_written: bool,
}

impl Stage {
    /// Works until the mailbox is closed. The last checkpoint is shown once.
    pub fn run(self) {
        let mut sizes = Sizes::of(&self.data_dir);
        let mut backoffs: Vec<Backoff> = self.witnesses.iter().map(|_| Backoff::default()).collect();
        let mut store = Backoff::default();
        let mut current: Option<Current> = None;
        let (mut deadline, mut next_round) = (None, Instant::now());
        loop {
            let wake = self.mailbox.wait(deadline);
            let is_closed = wake == Wake::Closed;
            let newest = match wake {
                Wake::Newest(signed) => Some(signed),
                Wake::Closed => self.mailbox.rest(),
                Wake::Time => None,
            };
            current = newest.and_then(|signed| self.begin(signed)).or(current);
            if is_closed && current.as_ref().is_none_or(|current| current.is_shown) {
                return;
            }
            let Some(current) = &mut current else { continue };
            if Instant::now() < next_round && !is_closed {
                deadline = Some(next_round);
                continue;
            }
            next_round = Instant::now() + self.every;
            current.is_shown = true;
            self.round(current, &mut sizes, &mut backoffs);
            if !current.is_written && store.is_due(Instant::now()) {
                self.keep(current, &mut store);
            }
            // Nothing to do before a witness, or the store, may be tried again.
            let missing = (0..self.witnesses.len()).filter(|at| !current.done.contains(at));
            let pauses = missing.map(|at| backoffs[at].not_before);
            let pauses = pauses.chain((!current.is_written).then_some(store.not_before));
            deadline = pauses.map(|then| then.unwrap_or(next_round).max(next_round)).min();
        }
    }

    fn begin(&self, signed: Signed) -> Option<Current> {
        // It was signed a moment ago: it is a note.
        let text = parse_note(signed.note.as_bytes()).ok()?.text().to_owned();
        Some(Current {
            signed,
            text,
            lines: BTreeMap::new(),
            done: BTreeSet::new(),
            is_shown: false,
            is_written: false,
        })
    }

    /// Asks everybody who has not cosigned the newest checkpoint and may be asked.
    fn round(&self, current: &mut Current, sizes: &mut Sizes, backoffs: &mut [Backoff]) {
        let now = Instant::now();
        let due: Vec<usize> =
            (0..self.witnesses.len()).filter(|at| !current.done.contains(at) && backoffs[*at].is_due(now)).collect();
        let proofs = Shared { proofs: &*self.proofs, made: Mutex::default() };
        let question = (&current.signed, current.text.as_str());
        let answers: Vec<(usize, Option<Asked>)> = std::thread::scope(|scope| {
            let asked = due.iter().map(|&at| {
                let (witness, known) = (&self.witnesses[at], sizes.get(&self.witnesses[at].key.label()));
                let (carrier, proofs) = (&*self.carrier, &proofs);
                let thread = std::thread::Builder::new().name("witness-ask".to_owned());
                (at, thread.spawn_scoped(scope, move || ask(carrier, proofs, witness, question, known)).ok())
            });
            let asked: Vec<_> = asked.collect();
            // Without a thread, or if one panicked, it is as if the witness had not answered.
            asked.into_iter().map(|(at, thread)| (at, thread.and_then(|thread| thread.join().ok()))).collect()
        });
        let mut is_news = false;
        for (at, asked) in answers {
            let failure = Failure::Unanswered("could not be asked".to_owned());
            let unasked = Asked { seen: None, lines: String::new(), cosigned: Err(failure) };
            let Asked { seen, lines, cosigned } = asked.unwrap_or(unasked);
            let label = self.witnesses[at].key.label();
            if let Some(seen) = seen {
                let before = sizes.get(&label);
                if seen < before {
                    tracing::warn!(witness = %label, seen, before, "the witness has forgotten what it had cosigned: it can't notice a fork below that any more");
                }
                is_news |= sizes.set(&label, seen);
            }
            let is_partial = cosigned.is_err() && !lines.is_empty();
            let is_first = !lines.is_empty() && current.lines.insert(at, lines).is_none();
            match cosigned {
                Ok(()) => {
                    backoffs[at] = Backoff::default();
                    self.metrics.cosigned(at);
                    current.done.insert(at);
                }
                Err(failure) if is_partial => {
                    self.partial(at, &failure, current.signed.size, &mut backoffs[at]);
                    if !is_first {
                        current.done.insert(at);
                    }
                }
                Err(failure) => self.failed(at, &failure, current.signed.size, seen, &mut backoffs[at]),
            }
        }
        if is_news {
            sizes.remember(&self.data_dir);
        }
    }

    /// What came is as good as ever, so that the next checkpoint does not wait.
    fn partial(&self, at: usize, failure: &Failure, size: u64, backoff: &mut Backoff) {
        self.metrics.failed(at);
        *backoff = Backoff { partial: backoff.partial.saturating_add(1), ..Backoff::default() };
        if backoff.partial.is_power_of_two() {
            let (witness, url) = (&self.witnesses[at].key.label(), &self.witnesses[at].url);
            tracing::warn!(witness, url, size, error = %failure, answers = backoff.partial, "a witness did not cosign with all of its keys; it is asked once more for each checkpoint");
        }
    }

    fn failed(&self, at: usize, failure: &Failure, size: u64, seen: Option<u64>, backoff: &mut Backoff) {
        self.metrics.failed(at);
        backoff.failed(self.every);
        let (witness, url) = (&self.witnesses[at].key.label(), &self.witnesses[at].url);
        if let Failure::Fork(what) = failure {
            self.metrics.forks.add(1);
            tracing::error!(witness, url, size, seen, "FORK OR ROLLBACK: {what}");
        } else if backoff.failures.is_power_of_two() {
            // The first, the second, the fourth, …: an outage of days is not a log of days.
            tracing::warn!(witness, url, size, error = %failure, failures = backoff.failures, "a witness did not cosign; it is asked again");
        }
    }

    /// Writes the checkpoint with its cosignatures, if they are enough.
    fn keep(&self, current: &mut Current, backoff: &mut Backoff) {
        let note = format!("{}{}", current.signed.note, current.lines.values().map(String::as_str).collect::<String>());
        if !self.is_met(&note) {
            return;
        }
        let size = current.signed.size;
        match self.write(current, &note) {
            Ok(good) => {
                *backoff = Backoff::default();
                current.is_written = true;
                if good {
                    self.metrics.witnessed(size);
                    self.seen.up_to(size);
                    let cosignatures: usize = current.lines.values().map(|lines| lines.lines().count()).sum();
                    tracing::info!(size, cosignatures, "checkpoint witnessed");
                }
            }
            Err(error) => {
                backoff.failed(self.every);
                tracing::warn!(size, %error, "the witnessed checkpoint can't be archived; it is tried again");
            }
        }
    }

    /// Whether the archive has now a witnessed checkpoint of this size that is enough.
    fn write(&self, current: &Current, note: &str) -> Result<bool, StoreError> {
        let Signed { size, kept, .. } = &current.signed;
        match witnessed::write(&*self.store, *size, note.as_bytes(), *kept)? {
            Confirmed::Created | Confirmed::AlreadyOurs => return Ok(true),
            Confirmed::Different => {}
        }
        // An earlier run had other answers: its note is as good.
        let there = witnessed::read(&*self.store, *size)?.unwrap_or_default();
        let keys = Links::read(&*self.store, self.key.clone())?.history;
        match Checkpoint::open(&there, &keys) {
            Ok(checkpoint) if Checkpoint::open(note.as_bytes(), &keys).is_ok_and(|ours| ours != checkpoint) => {
                self.metrics.forks.add(1);
                tracing::error!(size, root = %checkpoint.root, "FORK: the archive holds a witnessed checkpoint of this size with another root, signed with this ledger's key");
                Ok(false)
            }
            Ok(_) if self.is_met(&String::from_utf8_lossy(&there)) => Ok(true),
            Ok(_) => {
                tracing::warn!(
                    size,
                    "the archive holds this checkpoint with fewer cosignatures than the policy asks for, and keeps it so"
                );
                Ok(false)
            }
            Err(error) => {
                tracing::error!(size, %error, "something that this ledger did not sign stands where the witnessed checkpoint belongs: run `tachograph verify`");
                Ok(false)
            }
        }
    }

    fn is_met(&self, note: &str) -> bool {
        let evaluation = parse_note(note.as_bytes()).and_then(|note| Ok(self.policy.evaluate(&note)?.is_met));
        evaluation.unwrap_or(false)
    }
}

/// By older and newer size.
type Made = HashMap<(u64, u64), Result<Vec<Hash>, NoProof>>;

/// Proofs of one round, each made once.
struct Shared<'p> {
    proofs: &'p dyn Proofs,
    made: Mutex<Made>,
}

impl Proofs for Shared<'_> {
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, NoProof> {
        // Held while one is made: whoever needs the same waits for it.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry((old, new)).or_insert_with(|| self.proofs.consistency(old, new)).clone()
    }
}

#[cfg(test)]
mod tests;
