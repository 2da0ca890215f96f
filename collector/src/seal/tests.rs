//! The writer, driven through its queue in a thread of its own.

mod closing;
mod failures;
mod order;
mod streams;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tachograph_ledger::{Leaf, LedgerName, MacKey, leaf_hash};
use tachograph_record::{Body, EventId, Kind, Record};
use tempfile::TempDir;
use zeroize::Zeroizing;

use tachograph_exporters::archive::store::s3::Patience;

use super::*;
use crate::archiver::Outage;
use crate::batch::SystemEntropy;
use crate::config::Durability;
use crate::config::{Config, Overrides};
use crate::dedup;
use crate::journal::disk::RealDisk;
use crate::journal::memory_disk::MemoryDisk;
use crate::journal::{Journal, Settings};
use crate::startup::{self, StartError};

const START: u64 = 1_790_000_000_000_000_000;
const NAME: &str = "acme.example/test";

/// A clock that stands where it is put.
struct HandClock(AtomicU64);

impl HandClock {
    fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Time {
        Time::from_unix_nanos(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

fn time(nanos: u64) -> Time {
    Time::from_unix_nanos(nanos).unwrap()
}

/// A ledger in a directory of its own.
struct Place {
    dir: TempDir,
    clock: Arc<HandClock>,
    metrics: Arc<Metrics>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let seeds = Zeroizing::new(std::array::from_fn(|n| n as u8));
        DataDir::init(&dir.path().join("data"), &LedgerName::parse(NAME).unwrap(), time(START), &seeds).unwrap();
        Self { dir, clock: Arc::new(HandClock(AtomicU64::new(START))), metrics: Arc::new(Metrics::default()) }
    }

    fn config(&self) -> Config {
        let data = Some(self.dir.path().join("data"));
        Config::parse("test", "archive: { immutable: false }\n", &Overrides { data, ..Overrides::default() }).unwrap()
    }

    fn data_dir(&self) -> Arc<DataDir> {
        Arc::new(DataDir::open(&self.config().data).unwrap())
    }

    /// Starts as the collector does. The second part is the lock.
    fn open(&self) -> Result<(Parts, crate::data_dir::Lock), StartError> {
        let ready = startup::open(&self.config(), self.clock.now(), "test", &self.outage())?;
        let parts = Parts {
            last_sealed_at: ready.last_sealed_at,
            mac_key_epoch: ready.mac_key_epoch,
            ..self.parts(ready.sealer, ready.journal, ready.dedup)
        };
        Ok((parts, ready.lock))
    }

    /// A new ledger whose journal and index lie on disks that fail on demand.
    fn on_disks(&self, journal: &MemoryDisk, dedup: &MemoryDisk, max_bytes: u64) -> Parts {
        let settings = Settings { max_bytes, max_file_bytes: 4_096, ..Settings::new(NAME) };
        let (journal, recovered) = Journal::open(Path::new("/journal"), journal.as_disk(), settings).unwrap();
        assert_eq!(recovered.next_index, None, "a new ledger");
        let settings = dedup::Settings::default();
        let dedup = Dedup::open(Path::new("/dedup"), dedup.as_disk(), settings).unwrap();
        let data_dir = self.data_dir();
        let sealer = Sealer::new(data_dir.vkey(), data_dir.mac_key().unwrap()).unwrap();
        self.parts(sealer, journal, dedup)
    }

    fn outage(&self) -> Arc<dyn Patience> {
        Arc::new(Outage::new(Arc::clone(&self.metrics), Duration::ZERO))
    }

    fn parts(&self, sealer: Sealer, journal: Journal, dedup: Dedup) -> Parts {
        Parts {
            progress: Arc::new(Progress::new(sealer.next_index())),
            sealer,
            journal,
            dedup,
            data_dir: self.data_dir(),
            last_sealed_at: Time::default(),
            mac_key_epoch: 0,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::new(SystemEntropy),
            own: Arc::new(Own::new(&SystemEntropy).unwrap()),
            metrics: Arc::clone(&self.metrics),
            durability: Durability::Wal,
            archive_wait: Duration::MAX,
            gap_after: Duration::MAX,
            streams: Streams::off(None),
            closing: None,
        }
    }
}

/// A writer at work.
struct Running {
    queue: Queue,
    thread: JoinHandle<Result<(), WriterError>>,
}

impl Running {
    fn start(parts: Parts) -> Self {
        let (queue, receiver) = queue();
        Self::start_with(parts, queue, receiver)
    }

    /// With what waits in the queue already: all of it is one group.
    fn start_with(parts: Parts, queue: Queue, receiver: Receiver<Message>) -> Self {
        let writer = Writer::new(parts);
        Self { queue, thread: std::thread::spawn(move || writer.run(&receiver)) }
    }

    fn seal(&self, records: &[Record<'_>]) -> Result<Accepted, Refusal> {
        self.queue.seal_blocking(batch(records))
    }

    fn finish(self) -> Result<(), WriterError> {
        drop(self.queue);
        self.thread.join().unwrap()
    }
}

fn batch(records: &[Record<'_>]) -> Batch {
    Batch::from_records(records, time(START), &SystemEntropy).unwrap()
}

fn record(id: u8, prompt: &str) -> Record<'static> {
    let mut record = Record::new(EventId([id; 16]), time(START - 1), Kind::Generation);
    record.prompt = Some(prompt.to_owned().into());
    record
}

fn accepted(records: u64, duplicates: u64) -> Result<Accepted, Refusal> {
    Ok(Accepted { records, duplicates, ..Accepted::default() })
}

fn full() -> Result<Accepted, Refusal> {
    Err(Refusal::Full { retry_after: RETRY_AFTER, what: "journal" })
}

/// One record of the journal, read back.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    index: u64,
    id: u8,
    text: String,
    conflicts_with: Option<u64>,
    sealed_at: u64,
}

/// All records of a journal, with the chain, hashes and MACs checked.
fn read(journal: &Journal, mac_key: &MacKey) -> Vec<Stored> {
    let mut stored = Vec::new();
    let Some(mut index) = journal.oldest_index() else { return stored };
    let mut prev = None;
    let mut frames = journal.read_from(index).unwrap();
    while let Some(frame) = frames.next_frame().unwrap() {
        for found in frame.records() {
            let leaf = Leaf::parse(found.leaf).unwrap();
            let hash = leaf_hash(found.leaf);
            assert_eq!((found.index, leaf.index), (index, index), "no gap");
            assert!(prev.is_none_or(|prev| leaf.prev == prev), "record {index} continues the chain");
            assert_eq!(leaf.body_sha256, tachograph_ledger::sha256(found.body));
            assert_eq!(leaf.body_len, found.body.len() as u64);
            if tachograph_ledger::epoch_of(index) == mac_key.epoch() {
                mac_key.verify(&LedgerName::parse(NAME).unwrap(), index, &hash, &found.mac).unwrap();
            }
            let body = Body::parse(found.body).unwrap().record;
            assert_eq!((leaf.kind, leaf.event_time), (body.kind.as_str(), body.timestamp.unix_nanos()));
            stored.push(Stored {
                index,
                id: body.event_id.0[0],
                text: body.prompt.or(body.action_type).unwrap().0.into_owned(),
                conflicts_with: body.conflicts_with.map(|first| first.get()),
                sealed_at: leaf.sealed_at,
            });
            prev = Some(hash);
            index += 1;
        }
    }
    stored
}

/// The journal of a place whose writer has ended.
fn read_place(place: &Place) -> Vec<Stored> {
    let data_dir = place.data_dir();
    let (journal, recovered) = Journal::open(&data_dir.journal(), Arc::new(RealDisk), Settings::new(NAME)).unwrap();
    assert!(recovered.torn.is_none() && recovered.clean);
    read(&journal, &data_dir.mac_key().unwrap())
}

/// The journal on a disk in memory.
fn read_disk(disk: &MemoryDisk, place: &Place) -> Vec<Stored> {
    let (journal, _) = Journal::open(Path::new("/journal"), disk.copy().as_disk(), Settings::new(NAME)).unwrap();
    read(&journal, &place.data_dir().mac_key().unwrap())
}

fn ids(stored: &[Stored]) -> Vec<u8> {
    stored.iter().map(|stored| stored.id).collect()
}
