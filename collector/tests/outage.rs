//! A day without the store, in simulated time: the store is a real S3 server that is really down, writer, journal and archiver are
//! the real ones, and only the clock and the pauses between attempts are ours. Traffic comes in as simulated time passes.

#[path = "../../tests/src/minio.rs"]
#[allow(dead_code, unreachable_pub)]
mod minio;

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use minio::Minio;
use tachograph_collector::archiver::{Archiver, Cut};
use tachograph_collector::batch::{Batch, Entropy, SystemEntropy};
use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_collector::config::{Config, Overrides};
use tachograph_collector::data_dir::DataDir;
use tachograph_collector::intake::Refusal;
use tachograph_collector::observe::Metrics;
use tachograph_collector::place::Place;
use tachograph_collector::progress::Progress;
use tachograph_collector::retention::Classifier;
use tachograph_collector::seal::{self, Own, Parts, Queue, Writer};
use tachograph_collector::startup;
use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::StoreError;
use tachograph_exporters::archive::store::s3::{Patience, S3Store};
use tachograph_exporters::bucket;
use tachograph_exporters::verify::{Axis, Options, Verdict, verify};
use tachograph_ledger::LedgerName;
use tachograph_record::{Body, EventId, Kind, Record, Time};
use zeroize::Zeroizing;

/// Set in the process that simulates: it must have its credentials from the environment, as a collector has.
const INSIDE: &str = "TACHOGRAPH_TEST_SIMULATION";

const NANOS: u64 = 1_000_000_000;
const OUTAGE: Duration = Duration::from_secs(24 * 3600);
/// A batch is sent in each minute of simulated time.
const BATCH_EVERY: Duration = Duration::from_secs(60);
const BATCH_RECORDS: u64 = 10;
/// Less than a day's traffic: the bound must be reached, and hold.
const CONFIG: &str = "
journal: { max_bytes: 8MiB, max_file_bytes: 1MiB }
archive:
  s3: { bucket: simulated, prefix: prod/, region: us-east-1, endpoint: ENDPOINT, mode: compliance }
  retention: { default: 30d }
  max_age: 50ms
  max_bytes: 1MiB
";

#[test]
fn a_day_of_outage_leaves_no_gap() {
    if std::env::var_os(INSIDE).is_some() {
        return simulate();
    }
    let myself = std::env::current_exe().unwrap();
    let status = Command::new(myself)
        .args(["--exact", "a_day_of_outage_leaves_no_gap", "--nocapture"])
        .envs(Minio::environment())
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "the simulation failed: see above");
}

/// Simulated time: it passes only when somebody waits.
struct SimulatedClock(AtomicU64);

impl Clock for SimulatedClock {
    fn now(&self) -> Time {
        Time::from_unix_nanos(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Waits in simulated time, in which senders go on sending.
struct SimulatedPatience {
    clock: Arc<SimulatedClock>,
    server: Arc<Minio>,
    down: AtomicBool,
    back_at: AtomicU64,
    attempts: AtomicU64,
    senders: OnceLock<Mutex<Senders>>,
}

impl Patience for SimulatedPatience {
    fn wait(&self, _error: &StoreError, _attempt: u32, pause: Duration) -> bool {
        if !self.down.load(Ordering::SeqCst) {
            // The server takes a moment to start.
            std::thread::sleep(Duration::from_millis(20));
            return true;
        }
        self.attempts.fetch_add(1, Ordering::SeqCst);
        let now = self.clock.0.fetch_add(pause.as_nanos() as u64, Ordering::SeqCst) + pause.as_nanos() as u64;
        if let Some(senders) = self.senders.get() {
            senders.lock().unwrap().send_until(now);
        }
        if now >= self.back_at.load(Ordering::SeqCst) {
            self.server.up();
            self.down.store(false, Ordering::SeqCst);
        }
        true
    }
}

/// What is sent, acknowledged and refused.
struct Senders {
    queue: Queue,
    clock: Arc<SimulatedClock>,
    metrics: Arc<Metrics>,
    next_at: u64,
    made: u64,
    /// Refused: sent again before anything newer.
    waiting: Vec<(Vec<EventId>, Batch)>,
    acknowledged: Vec<EventId>,
    refusals: u64,
    first_refused_at_bytes: Option<u64>,
}

impl Senders {
    fn send_until(&mut self, now: u64) {
        while self.next_at <= now {
            self.next_at += BATCH_EVERY.as_nanos() as u64;
            let batch = self.batch();
            self.waiting.push(batch);
            self.send_waiting();
        }
    }

    fn send_waiting(&mut self) {
        for (ids, batch) in std::mem::take(&mut self.waiting) {
            if !self.waiting.is_empty() {
                self.waiting.push((ids, batch));
                continue;
            }
            let again = copy(&batch);
            match self.queue.seal_blocking(batch) {
                Ok(_) => self.acknowledged.extend(ids),
                Err(Refusal::Full { .. }) => {
                    self.refusals += 1;
                    self.first_refused_at_bytes.get_or_insert(self.metrics.journal_bytes.get());
                    self.waiting.push((ids, again));
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    fn batch(&mut self) -> (Vec<EventId>, Batch) {
        let now = self.clock.now();
        let mut random = [0; 32];
        let records: Vec<Record<'_>> = (0..BATCH_RECORDS)
            .map(|_| {
                SystemEntropy.fill(&mut random).unwrap();
                let mut record = Record::new(EventId::v7(now, &random), now, Kind::Generation);
                self.made += 1;
                record.prompt = Some(format!("{:0>600}", self.made).into());
                record
            })
            .collect();
        let ids = records.iter().map(|record| record.event_id).collect();
        (ids, Batch::from_records(&records, now, &SystemEntropy).unwrap())
    }
}

/// What a sender that was refused sends again.
fn copy(batch: &Batch) -> Batch {
    Batch::from_sealed(batch.records().map(|(_, body)| body)).unwrap()
}

fn simulate() {
    let server = Arc::new(Minio::start());
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let name = LedgerName::parse("simulated.example/audit").unwrap();
    let started = SystemClock.now().unix_nanos() - OUTAGE.as_nanos() as u64 - 3600 * NANOS;
    let clock = Arc::new(SimulatedClock(AtomicU64::new(started)));
    DataDir::init(&data, &name, clock.now(), &Zeroizing::new([7; 64])).unwrap();
    let overrides = Overrides { data: Some(data.clone()), ..Overrides::default() };
    let config = Config::parse("test", &CONFIG.replace("ENDPOINT", &server.endpoint()), &overrides).unwrap();
    bucket::init(&S3Store::reader(config.archive.s3.clone().unwrap()).unwrap(), None).unwrap();

    let patience = Arc::new(SimulatedPatience {
        clock: Arc::clone(&clock),
        server: Arc::clone(&server),
        down: AtomicBool::new(false),
        back_at: AtomicU64::new(started + OUTAGE.as_nanos() as u64),
        attempts: AtomicU64::new(0),
        senders: OnceLock::new(),
    });
    let as_patience = Arc::clone(&patience) as Arc<dyn Patience>;
    let ready = startup::open(&config, clock.now(), "simulated", &as_patience).unwrap();
    let metrics = Arc::new(Metrics::default());
    metrics.journal_max_bytes.set(config.journal.max_bytes);
    let progress = Arc::new(Progress::new(ready.sealer.next_index()));
    let (queue, receiver) = seal::queue();
    let archiver = Archiver {
        archive: ready.archive,
        journal: ready.journal.reader(),
        progress: Arc::clone(&progress),
        queue: queue.clone(),
        data_dir: Arc::clone(&ready.data_dir),
        checkpoints: Vec::new(),
        metrics: Arc::clone(&metrics),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        unsigned: None,
        classify: Box::new(Classifier::new(Vec::new(), config.archive.retention.clone(), Arc::clone(&metrics))),
        cut: Cut {
            max_age: config.archive.max_age,
            max_records: config.archive.max_records,
            max_bytes: config.archive.max_bytes,
            max_objects_per_day: config.archive.max_objects_per_day,
            drain_timeout: Duration::from_secs(60),
        },
    };
    let writer = Writer::new(Parts {
        sealer: ready.sealer,
        journal: ready.journal,
        dedup: ready.dedup,
        data_dir: ready.data_dir,
        last_sealed_at: ready.last_sealed_at,
        mac_key_epoch: ready.mac_key_epoch,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy),
        own: Arc::new(Own::new(&SystemEntropy).unwrap()),
        metrics: Arc::clone(&metrics),
        progress: Arc::clone(&progress),
        durability: config.durability,
        archive_wait: Duration::MAX,
        gap_after: Duration::MAX,
        streams: tachograph_collector::seal::Streams::off(None),
        closing: None,
    });
    let senders = Senders {
        queue: queue.clone(),
        clock: Arc::clone(&clock),
        metrics: Arc::clone(&metrics),
        next_at: started,
        made: 0,
        waiting: Vec::new(),
        acknowledged: Vec::new(),
        refusals: 0,
        first_refused_at_bytes: None,
    };
    assert!(patience.senders.set(Mutex::new(senders)).is_ok());
    let writer = std::thread::spawn(move || writer.run(&receiver));
    let archiver = std::thread::spawn(move || archiver.run());
    let senders = || patience.senders.get().unwrap().lock().unwrap();

    // An hour of peace, of which all is archived; then the store goes away.
    clock.0.fetch_add(3600 * NANOS, Ordering::SeqCst);
    senders().send_until(started + 3600 * NANOS);
    until("the first hour is archived", || progress.now().archived == progress.now().durable);
    let before = progress.now().archived;
    server.down();
    patience.back_at.fetch_add(3600 * NANOS, Ordering::SeqCst);
    patience.down.store(true, Ordering::SeqCst);
    // One batch more, so that the archiver finds out; from then on time passes while it waits.
    let now = clock.now().unix_nanos() + BATCH_EVERY.as_nanos() as u64;
    clock.0.store(now, Ordering::SeqCst);
    senders().send_until(now);

    until("the store is back", || !patience.down.load(Ordering::SeqCst));
    {
        let senders = senders();
        let bound = config.journal.max_bytes;
        assert!(senders.refusals > 0, "the bound was not reached: the outage proved nothing");
        assert!(metrics.journal_bytes.get() <= bound, "the journal outgrew its bound");
        let refused_at = senders.first_refused_at_bytes.unwrap();
        assert!(refused_at > bound / 10 * 9, "senders were refused with {refused_at} of {bound} bytes used");
        println!(
            "outage: 24 simulated hours, {} attempts, {} records acknowledged, first refusal at {refused_at} of {bound} bytes",
            patience.attempts.load(Ordering::SeqCst),
            senders.acknowledged.len(),
        );
    }
    // It catches up, and then there is room for what was refused.
    until("all is acknowledged and archived", || {
        let mut senders = senders();
        senders.send_waiting();
        senders.waiting.is_empty() && progress.now().archived == progress.now().durable
    });
    assert!(progress.now().archived > before);
    queue.stop();
    drop(queue);
    let Senders { acknowledged, made, .. } = {
        // The last sender to the writer goes with it.
        let mut senders = senders();
        std::mem::replace(&mut *senders, Senders { queue: seal::queue().0, ..empty(&clock, &metrics) })
    };
    archiver.join().unwrap().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(acknowledged.len() as u64, made, "something was never acknowledged");

    let place = Place::parse(&format!("s3://simulated/prod/?endpoint={}&region=us-east-1", server.endpoint())).unwrap();
    let key = DataDir::open(&data).unwrap().vkey().clone();
    let report =
        verify(&*place.auditor().unwrap(), Options { key: Some(key), threads: 2, ..Options::default() }).unwrap();
    for axis in [Axis::Integrity, Axis::Authenticity, Axis::Coverage, Axis::Storage] {
        assert_eq!(report.verdict(axis), Verdict::Pass, "{axis:?}: {}", report.to_json());
    }
    let mut found = BTreeSet::new();
    let mut next = 0;
    let scanned = Reader::open(place.reader().unwrap()).unwrap().scan(|index, body| {
        assert_eq!(index, next, "a gap");
        next += 1;
        assert!(found.insert(Body::parse_columns(body).unwrap().record.event_id), "sealed twice");
        true
    });
    scanned.unwrap();
    assert_eq!(found.len() as u64, report.records);
    assert!(acknowledged.iter().all(|id| found.contains(id)), "an acknowledged record is lost");
}

fn empty(clock: &Arc<SimulatedClock>, metrics: &Arc<Metrics>) -> Senders {
    Senders {
        queue: seal::queue().0,
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
        next_at: u64::MAX,
        made: 0,
        waiting: Vec::new(),
        acknowledged: Vec::new(),
        refusals: 0,
        first_refused_at_bytes: None,
    }
}

#[track_caller]
fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within two minutes");
}
