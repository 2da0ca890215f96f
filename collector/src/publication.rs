//! Publishes the MAC keys of epochs that are over.
//!
//! A thread of its own that nobody waits for. Once all records of an epoch lie under a checkpoint that others have seen, what their MACs
//! were made with is of no more use to a forger: the recorder says it in the ledger (`mac.published`), so that everybody can check these
//! MACs, and wipes its own copy when that record is archived.
//!
//! Who the others are the configuration says: witnesses, by their quorum; where there are none, a time-stamp authority; where there is
//! none either, whoever reads the archive. The last is worth least: until somebody copies the checkpoint away, whoever holds the signing
//! key could still make both anew.
//!
//! It may end at any time. A key whose record was sealed and whose file is still there at the next start is published once more, which
//! changes nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tachograph_exporters::verify::MAC_PUBLISHED;
use tachograph_ledger::indexes_of;
use tachograph_record::Hex;

use crate::batch::Entropy;
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::progress::Progress;
use crate::seal::{Lent, Own};

/// How often it is written in the log that something can't be published.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How often it looks whether an epoch's time has come.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many records lie under a checkpoint that others have seen, as far as is known since the start.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<AtomicU64>);

impl Seen {
    /// Others have seen the checkpoint of `size` records.
    pub fn up_to(&self, size: u64) {
        self.0.fetch_max(size, Ordering::Relaxed);
    }

    /// Records under the newest of them.
    pub fn size(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The stage and what it works with.
pub struct Publisher {
    /// Where the keys are.
    pub data_dir: Arc<DataDir>,
    /// What others have seen; `None` where nobody is asked, and what is archived counts.
    pub seen: Option<Seen>,
    /// How far writer and archive are.
    pub progress: Arc<Progress>,
    /// To the writer.
    pub queue: Lent,
    /// Makes the records.
    pub own: Arc<Own>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Their salts.
    pub entropy: Arc<dyn Entropy>,
    /// Ends it.
    pub stop: Arc<Stop>,
}

/// Ends a stage that sleeps.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// From now on nothing more is begun.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, timeout: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(stopped, timeout, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Publisher {
    /// Works until it is stopped.
    pub fn run(self) {
        // Epochs whose record is durable, with the size of a ledger that holds it.
        let mut said = BTreeMap::new();
        let (mut looked_at, mut logged) = (None, None::<Instant>);
        while !self.stop.wait(INTERVAL) {
            let archived = self.progress.now().archived;
            let seen = self.seen.as_ref().map_or(archived, Seen::size).min(archived);
            if looked_at == Some((archived, seen)) {
                continue;
            }
            match self.look(archived, seen, &mut said) {
                Ok(()) => looked_at = Some((archived, seen)),
                Err(error) => {
                    if logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
                        logged = Some(Instant::now());
                        tracing::warn!(%error, "the MAC key of an epoch that is over is not published yet; it is tried again");
                    }
                }
            }
        }
    }

    /// The first error, if there was one: what is wrong with one epoch's key holds up no other's.
    fn look(&self, archived: u64, seen: u64, said: &mut BTreeMap<u64, u64>) -> Result<(), String> {
        let keys = self.data_dir.ended_keys();
        let mut looked = Ok(());
        for epoch in keys.epochs().map_err(|error| error.to_string())? {
            // An epoch that is not over has no record behind its last under any checkpoint.
            let seen = indexes_of(epoch).is_some_and(|(_, last)| last < seen);
            let done = match said.get(&epoch) {
                Some(size) if *size <= archived => keys.wipe(epoch).map_err(|error| error.to_string()).map(|()| {
                    said.remove(&epoch);
                    tracing::info!(epoch, "the MAC key of this epoch is published and wiped");
                }),
                None if seen => self.publish(epoch).map(|()| {
                    said.insert(epoch, self.progress.now().durable);
                }),
                _ => Ok(()),
            };
            looked = looked.and(done);
        }
        looked
    }

    fn publish(&self, epoch: u64) -> Result<(), String> {
        let key = self.data_dir.ended_keys().read(epoch).map_err(|error| error.to_string())?;
        let (first, last) = indexes_of(epoch).ok_or("no epoch of a ledger")?;
        let details = json!({
            "epoch": epoch.to_string(),
            "first": first.to_string(),
            "key": Hex(*key.expose()).to_string(),
            "last": last.to_string(),
            "ledger": self.data_dir.ledger().as_str(),
            "scheme": "2",
        });
        let batch = self.own.batch(self.clock.now(), MAC_PUBLISHED, Some(details.to_string()), &*self.entropy);
        let batch = batch.map_err(|error| error.to_string())?;
        self.queue.seal_blocking(batch).map(drop).map_err(|refusal| format!("{refusal:?}"))
    }
}

#[cfg(test)]
mod tests {
    use tachograph_ledger::{EpochKey, LedgerName};
    use tachograph_record::Time;
    use zeroize::Zeroizing;

    use super::*;
    use crate::batch::SystemEntropy;
    use crate::clock::SystemClock;
    use crate::ended_keys::EndedKeys;
    use crate::seal;

    #[test]
    fn a_damaged_key_holds_up_no_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let (root, name) = (dir.path().join("data"), LedgerName::parse("a/b").unwrap());
        let data_dir = DataDir::init(&root, &name, Time::default(), &Zeroizing::new([1; 64])).unwrap();
        data_dir.ended_keys().keep(&[EpochKey::at(0, [1; 32]), EpochKey::at(1, [2; 32])]).unwrap();
        // As a crash while it was wiped used to leave it.
        std::fs::write(root.join("keys").join(EndedKeys::file(0)), [0; 90]).unwrap();
        let (queue, receiver) = seal::queue();
        // Takes one batch and is gone.
        let writer = std::thread::spawn(move || receiver.recv().is_ok());
        let publisher = Publisher {
            data_dir: Arc::new(data_dir),
            seen: None,
            progress: Arc::new(Progress::new(2 << 16)),
            queue: Lent::new(queue),
            own: Arc::new(Own::new(&SystemEntropy).unwrap()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            stop: Arc::default(),
        };
        let error = publisher.look(2 << 16, 2 << 16, &mut BTreeMap::new()).unwrap_err();
        assert!(error.contains("not the MAC key of this epoch"), "{error}");
        drop(publisher);
        assert!(writer.join().unwrap(), "the key behind it is published");
    }
}
