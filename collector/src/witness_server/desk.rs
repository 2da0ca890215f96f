//! What a witness answers: the checks of [c2sp.org/tlog-witness](https://c2sp.org/tlog-witness), in its order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tachograph_ledger::{AddCheckpoint, Checkpoint, Keys, WitnessSigningKey, parse_note, verify_consistency};

use super::directory::{Follows, WitnessDir, WitnessDirError, origin_hash};
use super::evidence::{Finding, Kept};
use crate::clock::Clock;

const TEXT: &str = "text/plain; charset=utf-8";
const FORK: &str = "two roots for one size, both signed by the ledger: this is a fork";
/// The media type of a size that the specification asks for.
const SIZE: &str = "text/x.tlog.size";

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    fn new(status: u16, what: impl ToString) -> Self {
        Self { status, content_type: TEXT, body: format!("{}\n", what.to_string()) }
    }
}

/// Judges requests. One per witness: the directory's lock sees to it.
pub struct Desk {
    dir: WitnessDir,
    /// Each adds its line to an answer.
    keys: Vec<WitnessSigningKey>,
    clock: Arc<dyn Clock>,
    /// Ledgers that were asked about, by the hash of their name. What is in here is what is on the disk.
    known: Mutex<HashMap<String, Arc<Mutex<Follows>>>>,
    /// It is not known what is on the disk.
    broken: AtomicBool,
    /// How much was refused since the start and not kept, since as much of that ledger is. By the hash of its name.
    not_kept: Mutex<HashMap<(String, Finding), u64>>,
}

impl Desk {
    /// Opens the desk, after a look at everything that was cosigned.
    ///
    /// # Errors
    /// If a key or a ledger's files are damaged.
    pub fn open(dir: WitnessDir, clock: Arc<dyn Clock>) -> Result<Self, WitnessDirError> {
        let keys = dir.signing_keys()?;
        let all = dir.all()?;
        let place = |follows: Follows| (origin_hash(follows.keys.ledger().as_str()), Arc::new(Mutex::new(follows)));
        let known = Mutex::new(all.iter().cloned().map(place).collect());
        let desk = Self { dir, keys, clock, known, broken: AtomicBool::new(false), not_kept: Mutex::default() };
        all.iter().for_each(|last| desk.settle(last));
        Ok(desk)
    }

    /// Ledgers that it follows.
    pub fn count(&self) -> usize {
        locked(&self.known).len()
    }

    /// Answers `add-checkpoint`. With status 200 the checkpoint is on the disk.
    ///
    /// # Errors
    /// If files can't be read or written. After a failed write nothing is cosigned any more: the process is to end.
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<Answer, WitnessDirError> {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Ok(Answer::new(400, error)),
        };
        let note = match parse_note(request.checkpoint.as_bytes()) {
            Ok(note) => note,
            Err(error) => return Ok(Answer::new(400, error)),
        };
        let origin = note.text().split('\n').next().unwrap_or_default();
        let Some(follows) = self.find(&origin_hash(origin))? else {
            return Ok(Answer::new(404, "this witness does not follow this log: `tachograph witness add DIR VKEY`"));
        };
        let mut last = locked(&follows);
        let stated = Checkpoint::parse_unverified(request.checkpoint.as_bytes()).map_or(u64::MAX, |stated| stated.size);
        // With links to later keys that were added while we run: from then on the old key alone is not enough.
        last.keys = self.dir.keys_now(&last.keys)?;
        let alone = match note.reduced_to_keys(&last.keys, stated) {
            Ok(alone) => alone,
            Err(error) => return Ok(Answer::new(403, error)),
        };
        let checkpoint = match Checkpoint::open(alone.as_bytes(), &last.keys) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Answer::new(400, error)),
        };
        // Signed by the ledger: from here on it may be evidence against it.
        let Checkpoint { size, root, .. } = &checkpoint;
        let forked = last.note.is_some() && *size == last.size && *root != last.root;
        if forked {
            self.keep(Finding::Fork, &last, &alone, &checkpoint, FORK);
        }
        let linked =
            last.keys.links().iter().find(|link| link.checkpoint.size == *size && link.checkpoint.root != *root);
        if let Some(link) = linked {
            let why = format!(
                "the ledger's link for the change of keys in record {} is over another root of these {size} records: {FORK}",
                link.index
            );
            self.keep(Finding::Fork, &last, &alone, &checkpoint, &why);
            return Ok(Answer::new(422, why));
        }
        if request.old > *size {
            return Ok(Answer::new(400, format!("old size {} is above the checkpoint's, {size}", request.old)));
        }
        if request.old != last.size {
            return Ok(Answer { status: 409, content_type: SIZE, body: format!("{}\n", last.size) });
        }
        // The keys that were changed are valid below their link for ever, but nobody who has them is asked any more: the ledger was past
        // this size when the link was made.
        if let Some(link) = last.keys.links().last().filter(|link| *size < link.checkpoint.size) {
            let (index, over) = (link.index, link.checkpoint.size);
            return Ok(Answer::new(
                403,
                format!(
                    "the ledger is past this checkpoint of {size} records: the link for the change of keys in record {index} is over {over}, and keys from before it sign nothing new"
                ),
            ));
        }
        if let Err(error) = verify_consistency(request.old, &last.root, *size, root, &request.proof) {
            if request.old > 0 && !forked {
                let why = format!(
                    "the checkpoint of {size} records was not shown to continue that of {}: {error}. Anybody who has a checkpoint can send it with a wrong proof, so that this alone says nothing of the ledger; ask its operator whether their collector was refused",
                    last.size
                );
                self.keep(Finding::Unproven, &last, &alone, &checkpoint, &why);
            }
            return Ok(Answer::new(422, error));
        }
        if self.broken.load(Ordering::Acquire) {
            return Ok(Answer::new(503, "stopping after a failed write"));
        }
        let time = self.clock.now().unix_nanos() / 1_000_000_000;
        let lines: String = self.keys.iter().map(|key| key.cosign(&checkpoint, time)).collect();
        if *size > last.size || !self.all_cosigned(&last) {
            let cosigned = format!("{alone}{lines}");
            // Before anybody sees a line.
            self.dir
                .remember(last.keys.first(), &cosigned)
                .inspect_err(|_| self.broken.store(true, Ordering::Release))?;
            (last.size, last.root) = (*size, *root);
            (last.note, last.time) = (Some(cosigned), Some(time));
            self.settle(&last);
            tracing::info!(ledger = %last.keys.ledger(), size, "cosigned");
        }
        Ok(Answer { status: 200, content_type: TEXT, body: lines })
    }

    /// Whether the checkpoint that was cosigned last has a cosignature of each key: not of one that the witness got since.
    fn all_cosigned(&self, last: &Follows) -> bool {
        let note = last.note.as_deref().and_then(|note| parse_note(note.as_bytes()).ok());
        note.is_some_and(|note| self.keys.iter().all(|key| matches!(key.public().cosigned(&note), Ok(Some(_)))))
    }

    /// The checkpoint that was cosigned last of the ledger whose name has this hash.
    ///
    /// # Errors
    /// If files can't be read.
    pub fn checkpoint(&self, origin: &str) -> Result<Answer, WitnessDirError> {
        let note = self.find(origin)?.and_then(|follows| locked(&follows).note.clone());
        Ok(match note {
            Some(body) => Answer { status: 200, content_type: TEXT, body },
            None => Answer::new(404, "no checkpoint of this log was cosigned here"),
        })
    }

    /// Whether a write failed, so that the process must end.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// One that was added while we run is found at its first request.
    fn find(&self, origin: &str) -> Result<Option<Arc<Mutex<Follows>>>, WitnessDirError> {
        let mut known = locked(&self.known);
        if let Some(follows) = known.get(origin) {
            return Ok(Some(Arc::clone(follows)));
        }
        let Some(follows) = self.dir.follows(origin)? else { return Ok(None) };
        let follows = Arc::new(Mutex::new(follows));
        known.insert(origin.to_owned(), Arc::clone(&follows));
        Ok(Some(follows))
    }

    /// What was refused is kept and told, once: whoever has such a checkpoint can send it again and again. That it can't be kept does
    /// not change the answer.
    fn keep(&self, finding: Finding, last: &Follows, refused: &str, checkpoint: &Checkpoint, why: &str) {
        let kept = self.dir.keep(finding, last, refused, &checkpoint.root, why);
        let note = match kept {
            Ok(Kept::New) => String::new(),
            Ok(Kept::Known) => return,
            Ok(Kept::Full) => {
                let mut not_kept = locked(&self.not_kept);
                let count = not_kept.entry((origin_hash(last.keys.ledger().as_str()), finding)).or_default();
                *count += 1;
                // Each of them can come again and again, and fill the log.
                if !count.is_power_of_two() {
                    return;
                }
                format!(" (not kept: {} of this ledger are; {count} times since the start)", finding.most_per_ledger())
            }
            Err(error) => format!(" (can't be kept: {error})"),
        };
        let (ledger, size, cosigned) = (last.keys.ledger(), checkpoint.size, last.size);
        match finding {
            Finding::Fork => tracing::error!(%ledger, size, cosigned, "REFUSED A FORK: {why}{note}"),
            Finding::Unproven => tracing::warn!(%ledger, size, cosigned, "refused a checkpoint: {why}{note}"),
        }
    }

    /// What was unproven may have become proof, of one or the other.
    fn settle(&self, last: &Follows) {
        match self.dir.settle(last) {
            Ok(forks) => {
                forks.iter().for_each(|(note, checkpoint)| self.keep(Finding::Fork, last, note, checkpoint, FORK));
            }
            Err(error) => {
                tracing::warn!(ledger = %last.keys.ledger(), %error, "what was refused before can't be looked at");
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under a lock is changed only once it is on the disk: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
