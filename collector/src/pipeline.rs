//! The one file that wires the stages: who owns what, who ends when.
//!
//! ```text
//! receive (tokio) ─► Queue ─► writer (thread) ─► Progress ─► archiver (thread)
//!                      ▲────── archived up to N ──────────────────┼─► Mailbox ─► witness (thread)
//!                      ▲────── hash of a time stamp ── timestamp ◄─┘ newest checkpoint
//!                      ▲────── MAC key of an epoch that is over ── publisher
//! ```
//!
//! Shut-down goes along the flow: stop the intake, let the requests under way end, stop the writer, archive what is left,
//! close. If writer or archiver ends before it was told to, the process stops and says why: nothing is taken that could
//! not be kept.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tachograph_exporters::archive::Archive;
use tachograph_exporters::archive::store::s3::Patience;
use tachograph_exporters::verify::ARCHIVE_ORPHANS;
use tachograph_ledger::{Generation, SignError};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

use crate::admin::{self, Health};
use crate::archiver::{Archiver, ArchiverError, Cut, Outage};
use crate::batch::{Entropy, SystemEntropy};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::{self, Speaker};
use crate::data_dir::{DataDir, DataDirError};
use crate::journal::JournalReader;
use crate::key_ring::KeyDesk;
use crate::mailbox::Mailbox;
use crate::observe::Metrics;
use crate::progress::Progress;
use crate::publication::{Publisher, Seen, Stop};
use crate::receive::{self, Bound, Listeners, ReceiveError, ReceiveMetrics};
use crate::retention::Classifier;
use crate::seal::{self, Assigner, Lent, Own, Parts, Queue, Streams, Writer, WriterError};
use crate::startup::{self, COLLECTOR_START, Probed, Ready, StartError};
use crate::timestamp::{self, Authorities, Timestamps};
use crate::witness::{self, WitnessMetrics};

/// Objects that one record lists.
const ORPHANS_PER_RECORD: usize = 500;

/// How long the archive may fail at shutdown before the rest is left to the next start.
const ARCHIVE_DRAIN: Duration = Duration::from_secs(20);

/// How long a stop waits for witnesses to see the last checkpoint.
const WITNESS_DRAIN: Duration = Duration::from_secs(3);

/// Why the collector stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No port.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// The witnesses' policy.
    #[error("{0}")]
    Witnesses(String),
    /// No admin port.
    #[error(
        "cannot listen on admin address {address}: {source}; choose another with `--admin ADDR`, or `admin: off` in the file"
    )]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A time-stamp authority of the configuration.
    #[error(transparent)]
    Timestamp(#[from] timestamp::AuthorityError),
    /// The writer ended.
    #[error("the writer of the ledger stopped: {0}")]
    Writer(#[from] WriterError),
    /// The archiver ended.
    #[error("the archive stopped: {0}")]
    Archiver(#[from] ArchiverError),
    /// A bug.
    #[error("the {0} thread panicked; this is a bug in tachograph. Nothing unsynced was acknowledged")]
    Panicked(&'static str),
    /// The system has no randomness.
    #[error("no randomness from the system: {0}; without it nothing can be sealed")]
    Entropy(std::io::Error),
    /// The system has no more threads.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl RunError {
    /// Whether the same start may succeed later by itself.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Start(error) if error.is_temporary())
    }

    /// Whether it failed before it took anything.
    pub fn is_start(&self) -> bool {
        matches!(
            self,
            Self::Start(_)
                | Self::Receive(_)
                | Self::Witnesses(_)
                | Self::Timestamp(_)
                | Self::Admin { .. }
                | Self::Entropy(_)
                | Self::Thread(_)
        )
    }
}

/// Where a running collector listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// OTLP/gRPC.
    pub grpc: Option<SocketAddr>,
    /// OTLP/HTTP.
    pub http: Option<SocketAddr>,
    /// Health and metrics.
    pub admin: Option<SocketAddr>,
}

/// Runs the collector until `stop` yields or a stage fails.
///
/// `started` is called once all ports are open.
///
/// # Errors
/// If it could not start, or had to stop before it was told to.
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    started: impl FnOnce(&Ready, Addresses) + Send,
) -> Result<(), RunError> {
    run_embedded(config, stop, started, |_| ()).await
}

/// As [`run`], for a program that the collector is part of: `offer` gets what takes records, once it does. Whoever holds
/// it for longer than an export holds up the end.
///
/// # Errors
/// As [`run`].
pub async fn run_embedded(
    config: Config,
    stop: impl Future<Output = ()>,
    started: impl FnOnce(&Ready, Addresses) + Send,
    offer: impl FnOnce(Weak<seal::Intake>) + Send,
) -> Result<(), RunError> {
    let authorities = Authorities::open(&config.timestamps)?;
    let entropy = SystemEntropy;
    let shared = Shared {
        clock: Arc::new(SystemClock),
        own: Arc::new(Own::new(&entropy).map_err(RunError::Entropy)?),
        entropy: Arc::new(entropy),
        metrics: Arc::new(Metrics::default()),
    };
    let writer = writer_name(&shared.own);
    let outage = Arc::new(Outage::new(Arc::clone(&shared.metrics), ARCHIVE_DRAIN));
    let opening = {
        let (config, now, patience) = (config.clone(), shared.clock.now(), Arc::clone(&outage) as Arc<dyn Patience>);
        // A store far away may take its time, and a stop must not wait for it.
        tokio::task::spawn_blocking(move || startup::open(&config, now, &writer, &patience))
    };
    tokio::pin!(stop);
    let ready = tokio::select! {
        opened = opening => opened.unwrap_or_else(|_| Err(StartError::Panicked))?,
        () = &mut stop => return Ok(()),
    };

    if let Some(problem) = config.witnesses.as_ref().and_then(|witnesses| witnesses.problem(ready.archive.keys())) {
        return Err(RunError::Witnesses(problem));
    }
    let receive_metrics = Arc::new(ReceiveMetrics::default());
    let listeners = Listeners {
        grpc: config.receive.grpc,
        http: config.receive.http,
        tls: config.receive.tls.clone(),
        auth: config.receive.auth.clone(),
        limits: config.receive.limits.clone(),
    };
    // Of a closed ledger nothing of a sender is taken any more: its ports are for the ledger that continues it.
    let wants_ports = listeners.grpc.is_some() || listeners.http.is_some();
    let bound = match &ready.closing {
        None if wants_ports => Some(receive::bind(listeners, Arc::clone(&receive_metrics)).await?),
        None | Some(_) => None,
    };
    let admin = match config.admin {
        None => None,
        Some(address) => {
            let listener = tokio::net::TcpListener::bind(address).await;
            Some(listener.map_err(|source| RunError::Admin { address, source })?)
        }
    };
    let addresses = Addresses {
        grpc: bound.as_ref().and_then(|bound| bound.local_addrs().grpc),
        http: bound.as_ref().and_then(|bound| bound.local_addrs().http),
        admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
    };
    // Open before anybody is told that we are here; served once there is somebody to speak.
    let control = bind_control(&ready.data_dir);
    started(&ready, addresses);

    let metrics = Arc::clone(&shared.metrics);
    metrics.next_index.set(ready.sealer.next_index());
    metrics.archived.set(ready.archive.tail().size);
    metrics.journal_bytes.set(ready.journal.bytes());
    metrics.journal_max_bytes.set(config.journal.max_bytes);
    if let Some(skew) = ready.bucket.as_ref().and_then(|bucket| bucket.inspection.clock_skew_ms) {
        metrics.store_clock_skew_ms.set(skew.unsigned_abs());
    }
    let start_details = start_details(&ready, config.journal.lost);
    let data_dir = Arc::clone(&ready.data_dir);
    let keys = KeyDesk {
        store: Arc::clone(ready.archive.store()),
        first: ready.data_dir.vkey().clone(),
        ring: Arc::clone(&ready.keyring),
    };
    let orphans = ready.settled.kept.clone();
    let bucket = ready.bucket.as_ref().map(probed);
    let assigner = assigner(&config, &ready.data_dir, &shared)?;
    let unstated = ready.closing.as_ref().filter(|closing| closing.statement.is_none());
    let unstated = unstated.map(|closing| closing.marker.by.clone());
    let (starting, queue) = Stages::start(ready, &config, &shared, assigner.clone())?;
    seal_own(&shared, &queue, COLLECTOR_START, Some(start_details)).await;
    if bucket.is_some() {
        seal_own(&shared, &queue, "archive.probe", bucket).await;
    }
    // An earlier process was told to close it, and had no time to say so.
    if let Some(by) = unstated
        && let Err(refusal) = queue.close(by).await
    {
        tracing::error!(
            ?refusal,
            "the ledger is closed, but that is not stated yet: run `tachograph close` once there is room"
        );
    }
    // Before the archiver buries them: what no commit will name must be accounted for by then.
    for some in orphans.chunks(ORPHANS_PER_RECORD) {
        let details = serde_json::json!({ "objects": some }).to_string();
        seal_own(&shared, &queue, ARCHIVE_ORPHANS, Some(details)).await;
    }
    // Witnesses' word counts for more than an authority's, which sees no history.
    let (witnessed, stamped) = (Seen::default(), Seen::default());
    let seen = match (&config.witnesses, authorities.is_empty()) {
        (Some(_), _) => Some(witnessed.clone()),
        (None, false) => Some(stamped.clone()),
        (None, true) => None,
    };
    let publishing = begin_publishing(seen, &starting, &shared)?;
    let stamping = begin_timestamps(authorities, &starting, &shared, stamped)?;
    let stages = starting.begin_archiving(&config, &shared, &outage, (stamping.as_ref(), witnessed))?;
    // Not before: were there no room for the first record, the journal would be empty with good reason.
    if shared.metrics.sealed.get() > 0
        && let Err(error) = data_dir.remember_begun()
    {
        tracing::warn!(%error, "can't remember that records were sealed here; it is tried again at the next start");
    }

    let accepting = Arc::new(AtomicBool::new(true));
    let health = Health {
        metrics: Arc::clone(&metrics),
        receive: Arc::clone(&receive_metrics),
        accepting: Arc::clone(&accepting),
        clock: Arc::clone(&shared.clock),
    };
    let admin = admin.map(|listener| tokio::spawn(admin::serve(listener, health)));
    let control = control.map(|listener| begin_control(listener, &shared, &queue, &stages, &config, keys));
    let intake = seal::Intake {
        queue: queue.clone(),
        clock: Arc::clone(&shared.clock),
        entropy: Arc::clone(&shared.entropy),
        max_field_bytes: config.receive.max_field_bytes,
        held: Arc::default(),
        streams: assigner,
    };
    let intake = Arc::new(intake);
    offer(Arc::downgrade(&intake));
    let (shutdown, watch_shutdown) = watch::channel(false);
    let mut serving = tokio::spawn(serve(bound, intake, watch_shutdown));

    let Stages { writer, archiver, witnesses, mut ended, .. } = stages;
    tokio::select! {
        () = &mut stop => tracing::info!("stopping: no new requests, finishing those under way"),
        _ = ended.recv() => tracing::error!("a stage has ended: stopping"),
        _ = &mut serving => tracing::error!("the receive stage has ended: stopping"),
    }
    accepting.store(false, Ordering::Relaxed);
    let _ = shutdown.send(true);
    if !serving.is_finished() {
        let _ = serving.await;
    }
    if let Some(control) = control {
        control.abort();
    }
    publishing.end();
    if let Some(stamping) = stamping {
        stamping.end();
    }
    if let Err(refusal) = queue.close_streams().await {
        tracing::warn!(?refusal, "what streams there were is not stated; the next start does it");
    }
    seal_own(&shared, &queue, "collector.stop", None).await;
    let joined = tokio::task::spawn_blocking(move || {
        queue.stop();
        drop(queue);
        let archived = join("archiver", archiver).and_then(|ended| ended.map_err(RunError::from));
        let written = join("writer", writer).and_then(|ended| ended.map_err(RunError::from));
        if let Some(witnesses) = witnesses {
            witnesses.end();
        }
        written.and(archived)
    });
    let outcome = joined.await.unwrap_or(Err(RunError::Panicked("shutdown")));
    if let Err(error) = &outcome {
        metrics.verification_failures.add(u64::from(is_tampering(error)));
    }
    if let Some(admin) = admin {
        admin.abort();
    }
    outcome
}

/// Serves what is received, if anything is, until `shutdown`.
async fn serve(bound: Option<Bound>, intake: Arc<seal::Intake>, mut shutdown: watch::Receiver<bool>) {
    match bound {
        Some(bound) => bound.serve(intake, shutdown).await,
        // That its sender is gone means the same.
        None => drop(shutdown.wait_for(|stop| *stop).await),
    }
}

fn is_tampering(error: &RunError) -> bool {
    matches!(error, RunError::Archiver(error) if error.is_tampering())
}

/// What finds the streams of records, if any are sealed. The key is made when it is needed for the first time.
fn assigner(config: &Config, data_dir: &DataDir, shared: &Shared) -> Result<Option<Arc<Assigner>>, RunError> {
    let Some(by) = config.streams.by else { return Ok(None) };
    let of_start = |error: DataDirError| RunError::Start(error.into());
    let key = match data_dir.stream_key().map_err(of_start)? {
        Some(key) => key,
        None => {
            let mut random = Zeroizing::new([0; 32]);
            shared.entropy.fill(&mut *random).map_err(RunError::Entropy)?;
            data_dir.make_stream_key(&random).map_err(of_start)?
        }
    };
    Ok(Some(Arc::new(Assigner::new(key, by))))
}

fn streams(config: &Config, assigner: Option<Arc<Assigner>>, left: Option<Generation>) -> Streams {
    match assigner {
        Some(assigner) => Streams::on(assigner, left, config.streams.close_after),
        None => Streams::off(left),
    }
}

/// What several stages use.
struct Shared {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    own: Arc<Own>,
    metrics: Arc<Metrics>,
}

/// The writer at work, and an archiver that has not begun.
struct Starting {
    writer: JoinHandle<Result<(), WriterError>>,
    archive: Archive,
    unsigned: Option<SignError>,
    journal: JournalReader,
    progress: Arc<Progress>,
    queue: Queue,
    data_dir: Arc<DataDir>,
    bell: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

/// The two threads, and the bell that rings when one of them ends.
struct Stages {
    writer: JoinHandle<Result<(), WriterError>>,
    archiver: JoinHandle<Result<(), ArchiverError>>,
    witnesses: Option<Asking>,
    progress: Arc<Progress>,
    ended: mpsc::Receiver<()>,
}

/// The thread that asks witnesses.
struct Asking {
    mailbox: Arc<Mailbox>,
    thread: JoinHandle<()>,
}

impl Asking {
    /// Shows the last checkpoint and waits a little. A witness that does not answer must not hold up a stop: the next start shows it
    /// what is newest.
    fn end(self) {
        self.mailbox.close();
        let deadline = Instant::now() + WITNESS_DRAIN;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The socket for commands. Without it everything else goes on.
fn bind_control(data_dir: &DataDir) -> Option<UnixListener> {
    control::bind(data_dir)
        .inspect_err(|error| {
            tracing::warn!(%error, "no control socket: `tachograph hold` and `tachograph expire` can't reach this collector");
        })
        .ok()
}

/// Lets commands speak.
fn begin_control(
    listener: UnixListener,
    shared: &Shared,
    queue: &Queue,
    stages: &Stages,
    config: &Config,
    keys: KeyDesk,
) -> tokio::task::JoinHandle<()> {
    let speaker = Speaker {
        queue: queue.clone(),
        own: Arc::clone(&shared.own),
        clock: Arc::clone(&shared.clock),
        entropy: Arc::clone(&shared.entropy),
        progress: Arc::clone(&stages.progress),
        retention: config.archive.retention.is_some(),
        keys,
        // What an earlier process sealed and did not archive may be a change of keys.
        key_change: AtomicU64::new(stages.progress.now().durable),
    };
    tokio::spawn(control::serve(listener, speaker))
}

/// The thread that has checkpoints time-stamped. Nobody waits for it, at a stop neither: it ends with the process.
struct Stamping {
    mailbox: Arc<Mailbox>,
    queue: Lent,
}

impl Stamping {
    /// Nothing more is shown, and nothing more is sealed: an authority that does not answer must not hold up a stop.
    fn end(self) {
        self.mailbox.close();
        self.queue.take_back();
    }
}

/// Has checkpoints time-stamped, if there is somebody to ask.
fn begin_timestamps(
    authorities: Authorities,
    starting: &Starting,
    shared: &Shared,
    seen: Seen,
) -> Result<Option<Stamping>, RunError> {
    if authorities.is_empty() {
        return Ok(None);
    }
    let stamping = Stamping { mailbox: Arc::default(), queue: Lent::new(starting.queue.clone()) };
    let stage = Timestamps::new(
        authorities,
        timestamp::Parts {
            store: Arc::clone(starting.archive.store()),
            mailbox: Arc::clone(&stamping.mailbox),
            queue: stamping.queue.clone(),
            progress: Arc::clone(&starting.progress),
            own: Arc::clone(&shared.own),
            clock: Arc::clone(&shared.clock),
            entropy: Arc::clone(&shared.entropy),
            metrics: Arc::clone(&shared.metrics),
            seen,
        },
    );
    let thread = std::thread::Builder::new().name("timestamp".to_owned()).spawn(move || stage.run());
    thread.map(|_| Some(stamping)).map_err(RunError::Thread)
}

/// The thread that publishes MAC keys. Nobody waits for it either.
struct Publishing {
    stop: Arc<Stop>,
    queue: Lent,
}

impl Publishing {
    fn end(self) {
        self.stop.stop();
        self.queue.take_back();
    }
}

/// Has MAC keys published, under a checkpoint that others have `seen`.
fn begin_publishing(seen: Option<Seen>, starting: &Starting, shared: &Shared) -> Result<Publishing, RunError> {
    let publishing = Publishing { stop: Arc::default(), queue: Lent::new(starting.queue.clone()) };
    let stage = Publisher {
        data_dir: Arc::clone(&starting.data_dir),
        seen,
        progress: Arc::clone(&starting.progress),
        queue: publishing.queue.clone(),
        own: Arc::clone(&shared.own),
        clock: Arc::clone(&shared.clock),
        entropy: Arc::clone(&shared.entropy),
        stop: Arc::clone(&publishing.stop),
    };
    let thread = std::thread::Builder::new().name("publisher".to_owned()).spawn(move || stage.run());
    thread.map(|_| publishing).map_err(RunError::Thread)
}

impl Stages {
    fn start(
        ready: Ready,
        config: &Config,
        shared: &Shared,
        assigner: Option<Arc<Assigner>>,
    ) -> Result<(Starting, Queue), RunError> {
        let (queue, receiver) = seal::queue();
        let progress = Arc::new(Progress::new(ready.sealer.next_index()));
        // Before the key has signed that, it is under no checkpoint, and nobody is told that it is archived.
        if ready.archive.checkpoint().is_some() {
            progress.archived(ready.archive.tail().size);
        }
        let journal = ready.journal.reader();
        let writer = Writer::new(Parts {
            sealer: ready.sealer,
            journal: ready.journal,
            dedup: ready.dedup,
            data_dir: Arc::clone(&ready.data_dir),
            last_sealed_at: ready.last_sealed_at,
            mac_key_epoch: ready.mac_key_epoch,
            clock: Arc::clone(&shared.clock),
            entropy: Arc::clone(&shared.entropy),
            own: Arc::clone(&shared.own),
            metrics: Arc::clone(&shared.metrics),
            progress: Arc::clone(&progress),
            durability: config.durability,
            archive_wait: config.archive.max_age + seal::ARCHIVE_TAKES,
            gap_after: config.gap_after,
            streams: streams(config, assigner, ready.generation),
            closing: ready.closing,
        });
        let (bell, ended) = mpsc::channel(2);
        let lock = ready.lock;
        let writer = spawn("writer", bell.clone(), Arc::clone(&progress), move || {
            // The right to write the directory ends with the writer, not before.
            let _lock = lock;
            writer.run(&receiver)
        })?;
        let starting = Starting {
            writer,
            archive: ready.archive,
            unsigned: ready.settled.unsigned,
            journal,
            progress,
            queue: queue.clone(),
            data_dir: ready.data_dir,
            bell,
            ended,
        };
        Ok((starting, queue))
    }
}

impl Starting {
    fn begin_archiving(
        self,
        config: &Config,
        shared: &Shared,
        outage: &Outage,
        (stamping, witnessed): (Option<&Stamping>, Seen),
    ) -> Result<Stages, RunError> {
        let progress = Arc::clone(&self.progress);
        outage.begin(Arc::clone(&progress));
        let witnesses = self.begin_witnesses(config, shared, witnessed)?;
        let archiver = Archiver {
            archive: self.archive,
            journal: self.journal,
            progress: self.progress,
            queue: self.queue,
            data_dir: self.data_dir,
            checkpoints: {
                let witnesses = witnesses.iter().map(|witnesses| &witnesses.mailbox);
                witnesses.chain(stamping.map(|stamping| &stamping.mailbox)).cloned().collect()
            },
            metrics: Arc::clone(&shared.metrics),
            clock: Arc::clone(&shared.clock),
            unsigned: self.unsigned,
            classify: Box::new(Classifier::new(
                config.archive.classes.clone(),
                config.archive.retention.clone(),
                Arc::clone(&shared.metrics),
            )),
            cut: Cut {
                max_age: config.archive.max_age,
                max_records: config.archive.max_records,
                max_bytes: config.archive.max_bytes,
                max_objects_per_day: config.archive.max_objects_per_day,
                drain_timeout: ARCHIVE_DRAIN,
            },
        };
        let archiver = spawn("archiver", self.bell, Arc::new(Progress::default()), move || archiver.run())?;
        Ok(Stages { writer: self.writer, archiver, witnesses, progress, ended: self.ended })
    }

    /// Witnesses are asked in a thread that dies alone.
    fn begin_witnesses(&self, config: &Config, shared: &Shared, seen: Seen) -> Result<Option<Asking>, RunError> {
        let Some(configured) = &config.witnesses else { return Ok(None) };
        let witnesses = configured.asked();
        let names = witnesses.iter().map(|witness| witness.key.name().to_string());
        let metrics = Arc::new(WitnessMetrics::new(names));
        let _ = shared.metrics.witness.set(Arc::clone(&metrics));
        // From each checkpoint on all witnesses are behind.
        let (behind, clock) = (Arc::clone(&metrics), Arc::clone(&shared.clock));
        let mailbox = Arc::new(Mailbox::new(move || behind.behind(clock.now().unix_nanos())));
        let store = Arc::clone(self.archive.store());
        let stage = witness::Stage {
            witnesses,
            policy: configured.policy.clone(),
            every: configured.every,
            carrier: Box::new(configured.outbound.clone()),
            proofs: Box::new(witness::ArchiveProofs::new(Arc::clone(&store))),
            store,
            key: self.data_dir.vkey().clone(),
            data_dir: Arc::clone(&self.data_dir),
            mailbox: Arc::clone(&mailbox),
            metrics,
            seen,
        };
        let thread = std::thread::Builder::new().name("witness".to_owned()).spawn(move || stage.run());
        Ok(Some(Asking { mailbox, thread: thread.map_err(RunError::Thread)? }))
    }
}

/// Names this instance in commits: host, process, start.
fn writer_name(own: &Own) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' };
    let host: String = host.trim().chars().take(64).map(plain).collect();
    let host = if host.is_empty() { "host" } else { &host };
    format!("{host}:{}:{}", std::process::id(), own.epoch())
}

fn spawn<E: Send + std::fmt::Display + 'static>(
    name: &'static str,
    bell: mpsc::Sender<()>,
    progress: Arc<Progress>,
    work: impl FnOnce() -> Result<(), E> + Send + 'static,
) -> Result<JoinHandle<Result<(), E>>, RunError> {
    /// Rings however the thread ends, by panic too.
    struct Ring(mpsc::Sender<()>, Arc<Progress>);
    impl Drop for Ring {
        fn drop(&mut self) {
            self.1.end();
            let _ = self.0.try_send(());
        }
    }
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ring = Ring(bell, progress);
        let ended = work();
        if let Err(error) = &ended {
            tracing::error!(stage = name, %error, "STAGE FAILED");
        }
        ended
    });
    thread.map_err(RunError::Thread)
}

fn join<T>(name: &'static str, thread: JoinHandle<T>) -> Result<T, RunError> {
    thread.join().map_err(|_| RunError::Panicked(name))
}

fn probed(bucket: &Probed) -> String {
    serde_json::json!({ "bucket": bucket.inspection, "checks": bucket.checks }).to_string()
}

fn start_details(ready: &Ready, journal_lost: bool) -> String {
    let journal_lost = journal_lost && ready.recovered.next_index.is_none();
    let torn = ready.recovered.torn.as_ref().map_or(0, |torn| torn.bytes);
    format!(
        "{{\"version\":\"{}\",\"journal_clean\":{},\"journal_lost\":{journal_lost},\"torn_tail_bytes\":{torn},\"next_index\":\"{}\",\"archived\":\"{}\",\"closed\":{}}}",
        env!("CARGO_PKG_VERSION"),
        ready.recovered.clean,
        ready.sealer.next_index(),
        ready.archive.tail().size,
        ready.closing.is_some(),
    )
}

/// Seals a record of the recorder itself. If there is no room for it, that is logged; it never stops the collector.
async fn seal_own(stages: &Shared, queue: &Queue, action: &'static str, details: Option<String>) {
    let sealed = match stages.own.batch(stages.clock.now(), action, details, &*stages.entropy) {
        Ok(batch) => queue.seal(batch, None).await.map(|_| ()).map_err(|refusal| format!("{refusal:?}")),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = sealed {
        tracing::error!(action, %error, "the collector's own record could not be sealed");
    }
}
