//! Starting and stopping: settings, the guard, and the final count.

use crate::content::Policy;
use crate::delivery::{self, Folders, OWN_LIMIT, Rhythm};
use crate::ids;
use crate::lifecycle::Event;
use crate::processor::LosslessSpanProcessor;
use crate::queue::{Limits, Queue, WhenFull};
use crate::receipts::ReceiptFile;
use crate::recorder::{self, Producer, Recorder};
use crate::report::Report;
use crate::signing::Signer;
use crate::spool::folder::{self, Folder, Space};
use crate::spool::writer::Writer;
use crate::spool::{self, Durability, Spool};
use crate::transport::{Exporter, Otlp, Protocol, Settings, Transport};
use crate::warning::Warnings;
use crate::wire;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanExporter, SpanLimits};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Starts recording with the settings of the environment. Keep the guard until the program ends.
///
/// `OTEL_SERVICE_NAME` names the service, `OTEL_EXPORTER_OTLP_ENDPOINT` the collector
/// (`http://127.0.0.1:4317` if it is not set).
///
/// # Errors
///
/// If a setting is wrong or recording was started already. An unreachable collector is no error:
/// records wait for it.
pub fn init() -> Result<Guard, InitError> {
    Init::from_environment().init()
}

/// Settings of the recorder.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = tachograph::Init::new("image-service")
///     .endpoint("http://collector:4317")
///     .init()?;
/// // …
/// guard.shutdown()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing starts before `init`"]
pub struct Init {
    service: Option<String>,
    endpoint: Option<String>,
    protocol: Option<Protocol>,
    spool: Option<Spool>,
    producer_id: Option<String>,
    resource: Vec<KeyValue>,
    limits: Limits,
    interval: Duration,
    heartbeat: Option<Duration>,
    shutdown_limit: Duration,
    receipts: Option<PathBuf>,
    signer: Signer,
    warnings: Warnings,
    pub(crate) content: Policy,
}

impl Init {
    /// Settings for a service of this name. The name given here wins over `OTEL_SERVICE_NAME`.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: Some(service.into()), ..Self::from_environment() }
    }

    /// Settings for a service that the environment names.
    pub fn from_environment() -> Self {
        Self {
            service: None,
            endpoint: None,
            protocol: None,
            spool: variable("TACHOGRAPH_SPOOL").map(Spool::new),
            producer_id: None,
            resource: Vec::new(),
            limits: Limits {
                records: 16_384,
                bytes: 64 << 20,
                when_full: WhenFull::WaitAtMost(Duration::from_secs(5)),
                wake_at: delivery::WAKE_AT,
                spool: false,
                confirm: false,
            },
            interval: Duration::from_millis(200),
            heartbeat: Some(Duration::from_secs(60)),
            shutdown_limit: Duration::from_secs(15),
            receipts: variable("TACHOGRAPH_RECEIPTS").map(PathBuf::from),
            signer: Signer::default(),
            warnings: Warnings::to_stderr(),
            content: Policy::default(),
        }
    }

    /// Where the collector listens: for gRPC its address, for HTTP what stands before `/v1/traces`. Wins over the environment.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// How records are sent. Wins over `OTEL_EXPORTER_OTLP_PROTOCOL`; gRPC if neither says.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Where records wait on disk until the collector has acknowledged them. Wins over `TACHOGRAPH_SPOOL`, which names a directory;
    /// without either they wait in memory alone.
    pub fn spool(mut self, spool: Spool) -> Self {
        self.spool = Some(spool);
        self
    }

    /// Who numbers the records: 1 to 64 of `A-Z a-z 0-9 . _ : -`. Wins over
    /// `TACHOGRAPH_PRODUCER_ID`; a random name if neither is given. No personal data: it is kept for ever.
    pub fn producer_id(mut self, id: impl Into<String>) -> Self {
        self.producer_id = Some(id.into());
        self
    }

    /// A resource attribute, `deployment.environment.name` for example.
    pub fn resource(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.resource.push(KeyValue::new(key, value.into()));
        self
    }

    /// Bounds of the queue: records and (about) bytes that may wait for the collector. 16,384 and
    /// 64 MiB unless told otherwise.
    pub fn queue(mut self, records: usize, bytes: usize) -> Self {
        self.limits.records = records.max(1);
        self.limits.bytes = bytes;
        self.limits.wake_at = delivery::WAKE_AT.min(self.limits.records.div_ceil(2));
        self
    }

    /// What a call does whose record finds no place. [`WhenFull::WaitAtMost`] five seconds unless told otherwise.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.limits.when_full = when_full;
        self
    }

    /// How long a call waits for a place in a full queue before its record is counted as lost: short for
    /// [`when_full`](Init::when_full) with [`WhenFull::WaitAtMost`]. Zero never makes a caller wait.
    pub fn wait_at_most(self, limit: Duration) -> Self {
        self.when_full(WhenFull::WaitAtMost(limit))
    }

    /// How long a record waits for others to share its request. 200 ms unless told otherwise.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How often a record says that this process lives and which number it gave last. Every 60 seconds unless told otherwise;
    /// zero for never.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval).filter(|interval| !interval.is_zero());
        self
    }

    /// How long [`Guard::shutdown`] keeps trying to deliver. 15 seconds unless told otherwise.
    pub fn shutdown_limit(mut self, limit: Duration) -> Self {
        self.shutdown_limit = limit;
        self
    }

    /// Asks the collector for a receipt of each record and adds it to this file, which is made if there is none. Wins over
    /// `TACHOGRAPH_RECEIPTS`; without either no receipts are asked for. `tachograph verify --receipts` checks them.
    pub fn receipts(mut self, file: impl Into<PathBuf>) -> Self {
        self.receipts = Some(file.into());
        self
    }

    /// Signs each record with this key, so that not even the collector can alter what it says. Wins over `TACHOGRAPH_SOURCE_KEY`, which
    /// names the file of such a key. Needs a [producer id](Self::producer_id): `tachograph verify --source-key` ties the key to it.
    #[cfg(feature = "signing")]
    pub fn sign_with(mut self, key: crate::SourceKey) -> Self {
        self.signer = Signer::of(key);
        self
    }

    /// Where warnings go (records that wait or are lost), instead of to standard error.
    pub fn on_warning(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.warnings = Warnings::new(Box::new(sink));
        self
    }

    /// Starts recording to an OTLP collector.
    ///
    /// # Errors
    ///
    /// As [`init()`].
    pub fn init(mut self) -> Result<Guard, InitError> {
        let settings = Settings::new(self.protocol, self.endpoint.take())?;
        let receipts = match self.receipts.take() {
            None => None,
            Some(path) => Some(ReceiptFile::open(&path).map_err(|source| InitError::Receipts { path, source })?),
        };
        let resource = self.identity()?;
        self.start(resource, move |queue| Otlp::new(settings, receipts, Arc::clone(queue)))
    }

    /// Starts recording to an OpenTelemetry exporter of your own: another transport, or memory. No receipts are kept then, and there
    /// is no spool.
    ///
    /// # Errors
    ///
    /// As [`init()`], and if a spool was asked for.
    pub fn init_with<E: SpanExporter + 'static>(mut self, exporter: E) -> Result<Guard, InitError> {
        if self.spool.is_some() {
            return Err(InitError::SpoolWithExporter);
        }
        let resource = self.identity()?;
        let shown = resource.clone();
        self.start(resource, move |_| Ok(Exporter::new(exporter, &shown)))
    }

    /// Who records: the producer's name, the key that signs, and the resource that says so.
    fn identity(&mut self) -> Result<Resource, InitError> {
        self.producer_id = self.producer_id.take().or_else(|| variable("TACHOGRAPH_PRODUCER_ID"));
        self.signer = std::mem::take(&mut self.signer).complete(self.producer_id.is_some())?;
        let attributes = [std::mem::take(&mut self.resource), self.signer.resource()].concat();
        Ok(resource(self.service.take(), attributes))
    }

    /// What it says of content, and the environment.
    pub(crate) fn into_content(self) -> Result<Policy, InitError> {
        self.content.with_environment(Policy::of_environment())
    }

    fn start<T, F>(mut self, resource: Resource, transport: F) -> Result<Guard, InitError>
    where
        T: Transport,
        F: FnOnce(&Arc<Queue>) -> Result<T, InitError> + Send + 'static,
    {
        let producer = Producer {
            id: Arc::from(producer_id(self.producer_id)?),
            epoch: Arc::from(ids::random_name()),
            signer: self.signer,
        };
        #[cfg(feature = "logs")]
        let signs = producer.signer.signs();
        let content = self.content.with_environment(Policy::of_environment())?;
        let shared = wire::resource(&resource);
        self.limits.spool = self.spool.is_some();
        self.limits.confirm = self.spool.as_ref().is_some_and(|spool| spool.durability != Durability::Memory);
        let queue = Arc::new(Queue::new(self.limits, self.warnings));
        let recorder = Arc::new(Recorder::new(Arc::clone(&queue), content));
        // Before anybody else can take a number.
        let heartbeat = self.heartbeat.unwrap_or_default();
        queue.push_own(|_| Event::Open { heartbeat }.span(recorder.scope()));
        // Installed first, so that of two racing calls one fails before it starts a thread.
        if !recorder::install(Arc::clone(&recorder)) {
            return Err(InitError::AlreadyStarted);
        }
        let rhythm = Rhythm { interval: self.interval, heartbeat: self.heartbeat, scope: recorder.scope() };
        let (spool, shutdown_limit) = (self.spool, self.shutdown_limit);
        let threads = || {
            let opened = spool.map(|spool| open_spool(spool, &producer, &shared)).transpose()?;
            let (folders, writer) = opened.unzip();
            queue.set_adopting(folders.as_ref().is_some_and(|folders| !folders.dead.is_empty()));
            let folder = folders.as_ref().map(|folders: &Folders| Arc::clone(&folders.own));
            let work = delivery::Work {
                queue: Arc::clone(&queue),
                producer: producer.clone(),
                resource: shared,
                rhythm,
                spool: folders,
            };
            let delivery = delivery::start(work, transport)?;
            let writer = writer.map(|(writer, durability, sync_every)| {
                let queue = Arc::clone(&queue);
                spool::thread::start(spool::thread::Work { queue, producer, writer, durability, sync_every })
            });
            let mut threads = vec![delivery];
            match writer.transpose() {
                Ok(writer) => threads.extend(writer),
                Err(error) => return Err(InitError::Thread(error)),
            }
            Ok((threads, folder))
        };
        let (threads, folder) = threads().inspect_err(|_| {
            recorder::remove();
            // A call that came by then must not wait for threads that there are not.
            queue.finish();
        })?;
        Ok(Guard {
            queue,
            recorder,
            resource,
            threads: Some(threads),
            folder,
            #[cfg(feature = "logs")]
            takes_logs: T::WIRE && !signs,
            shutdown_limit,
        })
    }
}

type Writing = (Writer, Durability, Duration);

fn open_spool(spool: Spool, producer: &Producer, resource: &[u8]) -> Result<(Folders, Writing), InitError> {
    let open = || {
        let space = Arc::new(Space::new(spool.limit));
        let folder::Opened { own, dead } = folder::open(&spool.directory, &producer.epoch, &space)?;
        let own = Arc::new(own);
        let writer = Writer::new(Arc::clone(&own), spool.disk, resource)?;
        Ok((Folders { own, dead }, (writer, spool.durability, spool.sync_every)))
    };
    open().map_err(|source| InitError::Spool { path: spool.directory, source })
}

/// Why recording did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// There is a recorder in this process.
    #[error("recording was started already; keep the first guard and call `init` once")]
    AlreadyStarted,
    /// The producer id has other characters or is too long.
    #[error(
        "producer id {0:?} is not 1 to 64 characters of A-Z a-z 0-9 . _ : - (it comes from TACHOGRAPH_PRODUCER_ID or `Init::producer_id`)"
    )]
    ProducerId(String),
    /// The environment asks for another OTLP protocol.
    #[error("{variable} is {value:?}, but records are sent over `grpc` or `http/protobuf`; set it to one of these")]
    Protocol {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// The environment asks for another compression.
    #[error("{variable} is {value:?}, but requests are sent with `gzip` or `none`; set it to one of these")]
    Compression {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// What is asked for is not in this build.
    #[error("{wanted} needs the feature `{feature}` of the crate `tachograph`; add it in Cargo.toml")]
    Feature {
        /// What was asked for.
        wanted: String,
        /// The feature.
        feature: &'static str,
    },
    /// The collector's address can't be used.
    #[error(
        "the endpoint {endpoint:?} can't be used: {reason} (it comes from OTEL_EXPORTER_OTLP_ENDPOINT or `Init::endpoint`)"
    )]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The spool's directory can't be used.
    #[error("the spool can't be kept in {}: {source} (the directory comes from TACHOGRAPH_SPOOL or `Init::spool`)", path.display())]
    Spool {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A spool holds records as they are sent over OTLP, which an exporter of the application's own does not take.
    #[error("a spool works with `Init::init` alone; with `init_with` leave out `Init::spool` and TACHOGRAPH_SPOOL")]
    SpoolWithExporter,
    /// The environment asks for a way of capturing content that there is not.
    #[error("TACHOGRAPH_CAPTURE is {0:?}; set it to `full`, `hashed` or `off`")]
    Capture(String),
    /// The file for receipts can't be opened.
    #[error("receipts can't be kept in {}: {source} (the file comes from TACHOGRAPH_RECEIPTS or `Init::receipts`)", path.display())]
    Receipts {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The key that signs records can't be had.
    #[cfg(feature = "signing")]
    #[error(transparent)]
    SourceKey(crate::SourceKeyError),
    /// Records are to be signed, but their producer has no name.
    #[error(
        "records are to be signed, but their producer has no lasting name; set TACHOGRAPH_PRODUCER_ID or `Init::producer_id`: whoever verifies ties the key to it"
    )]
    UnnamedSource,
    /// Records are to be signed, but this program can't.
    #[error(
        "TACHOGRAPH_SOURCE_KEY is set, but this program was built without the feature `signing` of the crate `tachograph`"
    )]
    SigningNotBuilt,
    /// No thread or runtime for delivery.
    #[error("the delivery thread can't be started: {0}")]
    Thread(std::io::Error),
}

/// Recording goes on while this lives. Call [`Guard::shutdown`] before the program ends: it
/// delivers what waits and says what could not be delivered. Dropping the guard does the same but can
/// only print what it has to say.
#[derive(Debug)]
#[must_use = "recording ends when the guard is dropped"]
pub struct Guard {
    queue: Arc<Queue>,
    recorder: Arc<Recorder>,
    resource: Resource,
    threads: Option<Vec<std::thread::JoinHandle<()>>>,
    /// This start's part of the spool.
    folder: Option<Arc<Folder>>,
    #[cfg(feature = "logs")]
    takes_logs: bool,
    shutdown_limit: Duration,
}

/// Some records did not reach the receiver, and never will.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("records are lost ({report}); check that the collector runs and is reachable")]
pub struct Lost {
    /// The final count.
    pub report: Report,
}

impl Guard {
    /// Ends recording: refuses new records, delivers those that wait, and gives the final count.
    /// Blocks the thread for at most the shutdown limit; in an asynchronous program call it at the
    /// end of `main` or within `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// [`Lost`] if any record of this process, now or before, or one that an earlier process left in the spool, did not reach the
    /// receiver and never will. What is still in the spool is not lost: the next start delivers it.
    pub fn shutdown(mut self) -> Result<Report, Lost> {
        self.stop()
    }

    /// Waits until everything recorded before this call was delivered or given up, at most `limit`.
    pub fn flush(&self, limit: Duration) -> Report {
        self.queue.flush(limit)
    }

    /// The count so far.
    pub fn report(&self) -> Report {
        self.queue.report()
    }

    /// A tracer provider whose spans go the same lossless way, for an application that makes
    /// OpenTelemetry spans of its own. It samples everything and drops no attribute. It is not made
    /// global; do that with `opentelemetry::global::set_tracer_provider` if you like.
    pub fn tracer_provider(&self) -> SdkTracerProvider {
        SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_limits(SpanLimits {
                max_events_per_span: u32::MAX,
                max_attributes_per_span: u32::MAX,
                max_links_per_span: u32::MAX,
                max_attributes_per_event: u32::MAX,
                max_attributes_per_link: u32::MAX,
            })
            .with_resource(self.resource.clone())
            .with_span_processor(self.span_processor())
            .build()
    }

    /// The lossless processor, for an application that has a tracer provider already.
    ///
    /// It gets what that provider lets through: the provider's sampler and limits come first, and what is not sampled is no record. The
    /// provider's resource does not go with its spans: all that this process sends has the resource of [`Init`].
    pub fn span_processor(&self) -> LosslessSpanProcessor {
        LosslessSpanProcessor::new(Arc::clone(&self.queue), self.recorder.content().clone())
    }

    /// The lossless processor for log records, for a logger provider of the application's. `None` if records go to an exporter of
    /// your own ([`Init::init_with`]), which takes spans alone, or are signed at the source, which log records are not.
    #[cfg(feature = "logs")]
    pub fn log_processor(&self) -> Option<crate::processor::LosslessLogProcessor> {
        let (queue, content) = (Arc::clone(&self.queue), self.recorder.content().clone());
        self.takes_logs.then(|| crate::processor::LosslessLogProcessor::new(queue, content))
    }

    fn stop(&mut self) -> Result<Report, Lost> {
        if let Some(threads) = self.threads.take() {
            recorder::remove();
            // An application that recorded nothing is not kept waiting for a receiver that is not there.
            let idle = self.queue.has_nothing_of_an_application();
            let limit = if idle { self.shutdown_limit.min(OWN_LIMIT) } else { self.shutdown_limit };
            let scope = self.recorder.scope();
            self.queue.close(limit, |last| Event::Close { last, lost: 0 }.span(scope));
            let grace = Duration::from_secs(2);
            if self.queue.wait_until_finished(limit.saturating_add(grace)) {
                // They have nothing left to do; a panic, if any, was counted as loss.
                threads.into_iter().for_each(|thread| drop(thread.join()));
                if let Some(folder) = self.folder.take() {
                    if self.queue.held() == (0, 0) {
                        folder.remove();
                    }
                    self.queue.set_spool_bytes(folder.space.used());
                }
            } else {
                // An exporter or a disk that blocks its thread: what it holds is lost.
                self.queue.finish();
            }
        }
        let report = self.queue.report();
        if report.lost + report.adopted_lost == 0 { Ok(report) } else { Err(Lost { report }) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.threads.is_some()
            && let Err(lost) = self.stop()
        {
            self.queue.warnings().say(crate::warning::Topic::Loss, || lost.to_string());
        }
    }
}

fn producer_id(given: Option<String>) -> Result<String, InitError> {
    let id = given.unwrap_or_else(ids::random_name);
    let fits =
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
    if fits { Ok(id) } else { Err(InitError::ProducerId(id)) }
}

fn resource(service: Option<String>, attributes: Vec<KeyValue>) -> Resource {
    let builder = Resource::builder();
    let builder = match service {
        Some(service) => builder.with_service_name(service),
        None => builder,
    };
    builder.with_attributes(attributes).build()
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
