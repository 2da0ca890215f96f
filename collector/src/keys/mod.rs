//! Where a ledger's keys are: in files, plain or encrypted, or in the environment.
//!
//! A service that holds the key itself and gives out signatures alone is one more [`KeySource`] and one more module here, whose
//! [`Signer`] asks it. What every one of them keeps to:
//! - the ledger's own `vkey` is the truth: a key that is another is an error, as soon as it is seen;
//! - what can't be reached is no reason not to start: the signer is there, and [`Signer::sign`] fails until the key is;
//! - an error names the place and the remedy, and never holds a secret.

mod env;
mod file;
mod on_demand;
mod protection;

use std::sync::Arc;

use tachograph_ledger::{LedgerName, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::config::{KeySource, Keys};
use crate::data_dir::{DataDir, DataDirError};

pub use protection::{MAX_WORK_FACTOR, Protection, WORK_FACTOR};

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
    }
}

/// What a ledger that is about to be created signs with.
pub enum Born {
    /// A key that is elsewhere already: its public half.
    Elsewhere(VerifyingKey),
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
    };
    if key.name() != name {
        let what = format!(
            "{place}: this is a key of ledger {}, not of {name}: name the ledger so, or give another key",
            key.name()
        );
        return Err(KeysError::Wrong(what));
    }
    Ok(Born::Elsewhere(key.public()))
}

/// The first MAC key for a ledger that is about to be created: 32 bytes as 64 hex digits, if it is to come from somewhere.
///
/// # Errors
/// If there is none.
pub fn first_mac_key(keys: &Keys, protection: &Protection) -> Result<Option<Zeroizing<[u8; 32]>>, KeysError> {
    let (text, place) = match &keys.mac {
        None => return Ok(None),
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
