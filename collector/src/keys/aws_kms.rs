//! Keys in AWS KMS.
//!
//! Signs ECDSA P-256 (`ECC_NIST_P256`) and Ed25519 (`ECC_NIST_EDWARDS25519`, always `ED25519_SHA_512`, never the pre-hashed variant, whose
//! signatures are others), and makes MACs with `HMAC_256` keys. KMS takes messages of at most 4,096 bytes; a longer one is hashed
//! here for P-256, which gives the same signature. For Ed25519 there is no such way, and it is refused.

use std::future::Future;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MacAlgorithmSpec, MessageType, SigningAlgorithmSpec};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use super::service::{KeyService, PublicKey, ServiceError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
const CALL_TIMEOUT: Duration = Duration::from_secs(25);
const ATTEMPTS: u32 = 3;
/// The longest message that KMS takes.
const LONGEST_MESSAGE: usize = 4_096;
/// So many retention classes, among them the default one and the recorder's, keep a commit below [`LONGEST_MESSAGE`] up to 2^30 records.
pub(super) const MAX_CLASSES_ED25519: usize = 4;
/// Where no region is configured anywhere: endpoints of one's own take this one.
const DEFAULT_REGION: &str = "us-east-1";

/// Which key, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKmsSettings {
    /// Its ARN, its id, or `alias/NAME`.
    pub key: String,
    /// The region; without it that of the key's ARN, or as environment or profile say.
    pub region: Option<String>,
    /// Another endpoint than the region's own.
    pub endpoint: Option<String>,
}

/// A key in KMS.
pub struct AwsKms {
    key: String,
    client: Client,
    /// Dropped in the background: it may be dropped inside another runtime.
    runtime: Option<Runtime>,
}

impl AwsKms {
    /// Asks nothing of KMS yet; the region may be asked of the machine's profile.
    ///
    /// Credentials are the SDK's chain: environment, profile, web identity, container, instance. They are refreshed while in use.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn open(settings: &AwsKmsSettings) -> Result<Self, ServiceError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kms")
            .enable_all()
            .build()
            .map_err(|error| ServiceError::new(format!("KMS: no thread: {error}")))?;
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        let region = settings.region.as_deref().or_else(|| region_of(&settings.key));
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let shared = wait(&runtime, loader.load())?;
        let mut config = aws_sdk_kms::config::Builder::from(&shared);
        if shared.region().is_none() {
            config = config.region(Region::new(DEFAULT_REGION));
        }
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let client = Client::from_conf(config.build());
        Ok(Self { key: settings.key.clone(), client, runtime: Some(runtime) })
    }

    fn run<T, E>(
        &self,
        action: &str,
        future: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send + 'static,
    ) -> Result<T, ServiceError>
    where
        T: Send + 'static,
        E: ProvideErrorMetadata + std::error::Error + Send + 'static,
    {
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        wait(runtime, future)?.map_err(|error| self.failure(action, &error))
    }

    fn failure<E>(&self, action: &str, error: &SdkError<E, HttpResponse>) -> ServiceError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (code, said) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
        let what = match (error, code) {
            (SdkError::ServiceError(_), "AccessDeniedException") => {
                format!("{action} is denied; grant it on this key: {said}")
            }
            (SdkError::ServiceError(_), "NotFoundException") => {
                format!("there is no such key in this region and account: {said}")
            }
            (SdkError::ServiceError(_), "DisabledException") => format!("the key is disabled; enable it: {said}"),
            (SdkError::ServiceError(_), "KMSInvalidStateException") => {
                format!("the key is not in use, or is to be deleted; cancel that: {said}")
            }
            (SdkError::ServiceError(_), "InvalidKeyUsageException") => {
                format!("the key is of another kind than {action} needs: {said}")
            }
            (SdkError::ServiceError(_), _) => format!("{action} failed: {code}: {said}"),
            (SdkError::TimeoutError(_), _) => format!("no answer to {action} in time; check network and endpoint"),
            _ if without_credentials(error) => format!(
                "no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or give this machine a role: {}",
                DisplayErrorContext(error)
            ),
            _ => format!("no answer to {action}; check network, DNS and endpoint: {}", DisplayErrorContext(error)),
        };
        self.wrong(what)
    }

    fn wrong(&self, what: impl std::fmt::Display) -> ServiceError {
        ServiceError::new(format!("{}: {what}", self.place()))
    }
}

impl KeyService for AwsKms {
    fn place(&self) -> String {
        format!("KMS key {}", self.key)
    }

    fn public_key(&self) -> Result<PublicKey, ServiceError> {
        let request = self.client.get_public_key().key_id(&self.key);
        let answer = self.run("kms:GetPublicKey", request.send())?;
        let spki = answer.public_key().map(AsRef::as_ref).unwrap_or_default();
        PublicKey::from_spki(spki).ok_or_else(|| {
            let spec = answer.key_spec().map_or("of an unknown kind", |spec| spec.as_str());
            self.wrong(format!("the key is {spec}; ECC_NIST_P256 or ECC_NIST_EDWARDS25519 is needed"))
        })
    }

    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let (kind, message) = match key {
            _ if message.len() <= LONGEST_MESSAGE => (MessageType::Raw, message.to_vec()),
            PublicKey::P256(_) => (MessageType::Digest, Sha256::digest(message).to_vec()),
            PublicKey::Ed25519(_) => {
                return Err(self.wrong(format!(
                    "KMS signs at most {LONGEST_MESSAGE} bytes with Ed25519, and this commit has {}; keep fewer retention classes, or use a P-256 key",
                    message.len()
                )));
            }
        };
        let algorithm = match key {
            PublicKey::P256(_) => SigningAlgorithmSpec::EcdsaSha256,
            PublicKey::Ed25519(_) => SigningAlgorithmSpec::Ed25519Sha512,
        };
        let request = self.client.sign().key_id(&self.key).message(Blob::new(message));
        let answer = self.run("kms:Sign", request.message_type(kind).signing_algorithm(algorithm).send())?;
        Ok(answer.signature().map(AsRef::as_ref).unwrap_or_default().to_vec())
    }

    fn mac(&self, message: &[u8]) -> Result<Zeroizing<[u8; 32]>, ServiceError> {
        let request = self.client.generate_mac().key_id(&self.key).message(Blob::new(message));
        let answer = self.run("kms:GenerateMac", request.mac_algorithm(MacAlgorithmSpec::HmacSha256).send())?;
        let mac = answer.mac.map(|mac| Zeroizing::new(mac.into_inner())).unwrap_or_default();
        let mac: [u8; 32] = mac.as_slice().try_into().map_err(|_| self.wrong("its MAC is not SHA-256's"))?;
        Ok(Zeroizing::new(mac))
    }
}

impl Drop for AwsKms {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs `future` on the runtime's own thread. The caller may be a thread of another runtime.
fn wait<T: Send + 'static>(
    runtime: &Runtime,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, ServiceError> {
    let (sender, receiver) = sync_channel(1);
    runtime.spawn(async move {
        // Nobody waits only if the caller's thread is gone.
        let _ = sender.send(future.await);
    });
    receiver.recv().map_err(|_| stopped())
}

fn stopped() -> ServiceError {
    ServiceError::new("KMS: the thread that asks it has stopped; can the AWS configuration of this machine be read?")
}

/// `arn:aws:kms:REGION:ACCOUNT:key/ID`
fn region_of(key: &str) -> Option<&str> {
    let mut parts = key.split(':');
    let (arn, kms, region) = (parts.next()?, parts.nth(1)?, parts.next()?);
    (arn == "arn" && kms == "kms" && !region.is_empty()).then_some(region)
}

fn without_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<CredentialsError>().is_some() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn the_region_of_an_arn_is_found() {
        assert_eq!(region_of("arn:aws:kms:eu-central-1:111122223333:key/1234abcd"), Some("eu-central-1"));
        assert_eq!(region_of("arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/a"), Some("us-gov-west-1"));
        for other in ["1234abcd-12ab-34cd-56ef-1234567890ab", "alias/ledger", "arn:aws:s3:::bucket", ""] {
            assert_eq!(region_of(other), None, "{other}");
        }
    }
}
