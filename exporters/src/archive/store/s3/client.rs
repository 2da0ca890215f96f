//! A connection to one bucket: credentials, TLS, time-outs, and a runtime to call the SDK from threads that are not async.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::runtime::Runtime;

use super::S3Settings;
use super::clock::{StoreClock, WatchDates};
use crate::archive::store::{ErrorKind, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nothing may move: until an answer begins, or in the middle of a body on its way here or there.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// Where no region is configured anywhere: stores of one's own take this one.
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket, and what is needed to talk to it.
pub struct Connection {
    /// Dropped in the background: it may be dropped inside another runtime.
    runtime: Option<Runtime>,
    client: Client,
    clock: Arc<StoreClock>,
    silence: Duration,
}

impl Connection {
    /// Prepares a connection. Nothing is asked of the store; the region may be asked of the machine's profile.
    ///
    /// Credentials are the SDK's chain: environment, profile, web identity, container, instance. They are refreshed while in use.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(settings: &S3Settings) -> Result<Self, StoreError> {
        Self::with(settings, None, SILENCE)
    }

    /// The same with given credentials and another patience, for tests.
    pub(super) fn with(
        settings: &S3Settings,
        credentials: Option<SharedCredentialsProvider>,
        silence: Duration,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| {
                StoreError::new(ErrorKind::Unavailable, settings.place(), format!("no thread: {error}"))
            })?;
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(silence).build();
        // By default a pause of six seconds ends a body on its way, and with it hours of work. Uploads have a watch of their own.
        let stalled = StalledStreamProtectionConfig::enabled().upload_enabled(false).grace_period(silence).build();
        // Attempts are counted and paused by us, with the same bytes each time.
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(stalled)
            // It would sign the next request with the time of one wrong answer.
            .disable_clock_skew_correction(true);
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(credentials) = credentials {
            loader = loader.credentials_provider(credentials);
        }
        let shared = on(&runtime, loader.load(), settings)?;
        let clock = Arc::new(StoreClock::default());
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            .force_path_style(settings.path_style.unwrap_or(settings.endpoint.is_some()))
            // A checksum of ours goes along as a header: older stores break on trailers.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .interceptor(WatchDates(Arc::clone(&clock)));
        if shared.region().is_none() {
            config = config.region(Region::new(DEFAULT_REGION));
        }
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Self { runtime: Some(runtime), client: Client::from_conf(config.build()), clock, silence })
    }

    /// The SDK's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How long nothing may move.
    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    /// For a request whose body takes as long as it takes: what watches it is not the SDK.
    pub(super) fn unhurried() -> aws_sdk_s3::config::Builder {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).disable_read_timeout().build();
        aws_sdk_s3::config::Builder::new().timeout_config(timeouts)
    }

    /// What is known of the store's clock.
    pub fn clock(&self) -> &StoreClock {
        &self.clock
    }

    /// Runs `future` to its end. May be called from any thread, one of another runtime too.
    ///
    /// # Errors
    /// If it panicked, which is a bug.
    pub fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Result<T, StoreError> {
        let stopped = || StoreError::new(ErrorKind::Unknown, "s3", "the store's runtime has stopped; this is a bug");
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        let (sender, receiver) = sync_channel(1);
        runtime.spawn(async move {
            // Nobody waits only if the caller's thread is gone.
            let _ = sender.send(future.await);
        });
        receiver.recv().map_err(|_| stopped())
    }

    /// Starts `future` and does not wait for it.
    pub(super) fn start(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(future);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn on<T: Send + 'static>(
    runtime: &Runtime,
    future: impl Future<Output = T> + Send + 'static,
    settings: &S3Settings,
) -> Result<T, StoreError> {
    let (sender, receiver) = sync_channel(1);
    runtime.spawn(async move {
        let _ = sender.send(future.await);
    });
    receiver.recv().map_err(|_| {
        StoreError::new(ErrorKind::Denied, settings.place(), "the AWS configuration of this machine can't be read")
    })
}
