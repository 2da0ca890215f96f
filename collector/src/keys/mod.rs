//! Where a ledger's keys are: in files, plain or encrypted, or in the environment.
//!
//! A service that holds the key itself and gives out signatures alone is one more [`KeySource`] and one more module here, whose
//! [`Signer`] asks it. What every one of them keeps to:
//! - the ledger's own `vkey` is the truth: a key that is another is an error, as soon as it is seen;
//! - what can't be reached is no reason not to start: the signer is there, and [`Signer::sign`] fails until the key is;
//! - an error names the place and the remedy, and never holds a secret.

pub mod aws_kms;
mod env;
mod file;
mod on_demand;
pub mod pkcs11;
mod pkcs11_module;
mod protection;
pub mod service;
pub mod source;
pub mod vault;

use std::sync::Arc;

use tachograph_ledger::{LedgerName, MacKey, MacScheme, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::config::{Config, KeySource, Keys};
use crate::data_dir::{DataDir, DataDirError};

pub use protection::{MAX_WORK_FACTOR, Protection, WORK_FACTOR};
use service::{PublicKey, ServiceError, ServiceSettings, ServiceSigner};

/// The most that is read of a file or a variable that holds a key.
pub(crate) const MAX_KEY_FILE_BYTES: u64 = 64 << 10;

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is out of reach now, and may come.
    #[error("{0}")]
    Away(String),
    /// It is wrong, or missing for good: a person must act.
    #[error("{0}")]
    Wrong(String),
}

impl From<ServiceError> for KeysError {
    fn from(error: ServiceError) -> Self {
        Self::Away(error.what)
    }
}

impl From<DataDirError> for KeysError {
    fn from(error: DataDirError) -> Self {
        Self::Wrong(error.to_string())
    }
}

/// Who signs for the ledger in `data_dir`. If the key is out of reach now, what is given signs once it is there.
///
/// # Errors
/// If the key is that of another ledger, or is none: nothing that waiting would mend.
pub fn signer(keys: &Keys, data_dir: &DataDir) -> Result<Arc<dyn Signer>, KeysError> {
    match &keys.signing {
        KeySource::File { path: None } => Ok(Arc::new(data_dir.signing_key()?)),
        KeySource::File { path: Some(path) } => file::signer(path, data_dir),
        KeySource::Env(variable) => Ok(Arc::new(checked(env::signing_key(variable)?, data_dir.vkey(), variable)?)),
        KeySource::Service(settings) => {
            // Nothing is asked of the service by these two: what fails is wrong here.
            let signer = settings.open().and_then(|service| ServiceSigner::new(data_dir.vkey().clone(), service));
            let signer = Arc::new(signer.map_err(|error| KeysError::Wrong(error.what))?);
            match service::compare_soon(&signer) {
                Ok(()) => {}
                Err(KeysError::Away(what)) => tracing::error!(
                    %what,
                    "THE LEDGER'S KEY IS OUT OF REACH: nothing is archived until it is there. Records are taken and stay in the journal"
                ),
                Err(error) => return Err(error),
            }
            Ok(signer)
        }
    }
}

/// Refuses a configuration whose commits the key's service could not sign one day: all that comes behind such a commit would wait for ever.
///
/// # Errors
/// If it is one.
pub fn check_commits(config: &Config, vkey: &VerifyingKey) -> Result<(), KeysError> {
    const MOST: usize = aws_kms::MAX_CLASSES_ED25519;
    let classes = config.archive.classes.len() + 2;
    let is_kms = matches!(config.keys.signing, KeySource::Service(ServiceSettings::AwsKms(_)));
    if is_kms && classes > MOST && matches!(PublicKey::of(vkey), Some(PublicKey::Ed25519(_))) {
        return Err(KeysError::Wrong(format!(
            "KMS signs at most 4,096 bytes with an Ed25519 key, and commits of {classes} retention classes (with the default one and the recorder's) \
             may be longer: keep at most {} in archive.retention.classes, or begin a ledger with a P-256 key",
            MOST - 2
        )));
    }
    Ok(())
}

/// What a ledger that is about to be created signs with.
pub enum Born {
    /// A key that is elsewhere already: its public half.
    Elsewhere(Box<VerifyingKey>),
    /// None yet: one is to be made, in the data directory.
    New,
}

/// The key for a ledger `name` that is about to be created.
///
/// # Errors
/// If it can't be read, or is that of another ledger.
pub fn born(keys: &Keys, protection: &Protection, name: &LedgerName) -> Result<Born, KeysError> {
    let (key, place) = match &keys.signing {
        KeySource::File { path: None } => return Ok(Born::New),
        KeySource::File { path: Some(path) } => (file::signing_key(path, protection)?, path.display().to_string()),
        KeySource::Env(variable) => (env::signing_key(variable)?, format!("${variable}")),
        KeySource::Service(settings) => {
            return Ok(Born::Elsewhere(Box::new(settings.open()?.public_key()?.named(name.clone())?)));
        }
    };
    if key.name() != name {
        let what = format!(
            "{place}: this is a key of ledger {}, not of {name}: name the ledger so, or give another key",
            key.name()
        );
        return Err(KeysError::Wrong(what));
    }
    Ok(Born::Elsewhere(Box::new(key.public())))
}

/// The first MAC key of the ledger with this key, if a service can make it again at any time: then there is no escrow file.
///
/// # Errors
/// If the service is away, or refuses.
pub fn mac_key_of_service(keys: &Keys, vkey: &VerifyingKey) -> Result<Option<MacKey>, KeysError> {
    let Some(KeySource::Service(settings)) = &keys.mac else { return Ok(None) };
    Ok(Some(MacKey::initial(MacScheme::V2, *service::first_mac_key(&*settings.open()?, vkey)?)))
}

/// The first MAC key for a ledger that is about to be created: 32 bytes as 64 hex digits, if it is to come from somewhere.
///
/// # Errors
/// If there is none.
pub fn first_mac_key(keys: &Keys, protection: &Protection) -> Result<Option<Zeroizing<[u8; 32]>>, KeysError> {
    let (text, place) = match &keys.mac {
        None | Some(KeySource::Service(_)) => return Ok(None),
        Some(KeySource::File { path: None }) => {
            return Err(KeysError::Wrong("keys.mac.file: `path` is missing".to_owned()));
        }
        Some(KeySource::File { path: Some(path) }) => (file::read(path, protection)?, path.display().to_string()),
        Some(KeySource::Env(variable)) => (env::read(variable)?, format!("${variable}")),
    };
    let key = tachograph_record::Hex::<32>::parse(text.trim());
    let wrong =
        || KeysError::Wrong(format!("{place}: the first MAC key is 32 random bytes as 64 hex digits, and this is not"));
    key.map(|key| Some(Zeroizing::new(key.0))).ok_or_else(wrong)
}

/// The key, if it is that of the ledger here.
fn checked(key: SigningKey, expected: &VerifyingKey, place: &str) -> Result<SigningKey, KeysError> {
    if key.public() == *expected {
        return Ok(key);
    }
    Err(KeysError::Wrong(format!(
        "{place}: this is the key of {}, not that of the ledger here ({}). Put the right key there",
        key.public().to_line(),
        expected.to_line()
    )))
}

fn parse(text: &str, place: &str) -> Result<SigningKey, KeysError> {
    SigningKey::parse(text).map_err(|error| KeysError::Wrong(format!("{place}: {error}")))
}

#[cfg(test)]
mod tests;
