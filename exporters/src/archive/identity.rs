//! `ledger.json`: whose archive this is and in which format.

use serde::Deserialize;
use tachograph_ledger::{KeyError, VerifyingKey};
use tachograph_record::Time;

use super::paths;
use super::store::{ErrorKind, Store, StoreError};

/// The format that this release writes, and the only one that it reads.
pub(crate) const FORMAT: &str = "1";

const MAX_BYTES: u64 = 4_096;

/// Whose archive it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The ledger's key, which has the ledger's name.
    pub vkey: VerifyingKey,
    /// When the archive was created.
    pub created_at: Time,
}

/// Why this is not the archive that was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No `ledger.json`.
    #[error("no archive: there is no ledger.json; create one with `tachograph init`, or check the path")]
    Missing,
    /// A format that this release does not know.
    #[error("ledger.json says format {0:?}, this release reads format {FORMAT:?}: use a newer release")]
    Format(String),
    /// Not the JSON of format 1.
    #[error("ledger.json is damaged: {0}")]
    Damaged(String),
    /// The key in it is none.
    #[error("the vkey in ledger.json is wrong: {0}")]
    Key(#[from] KeyError),
    /// The archive belongs to another ledger.
    #[error("this is the archive of ledger `{found}`, not of `{expected}`: check the path or the key")]
    OtherLedger {
        /// Name in `ledger.json`.
        found: String,
        /// Name of the key.
        expected: String,
    },
    /// Same name, other key.
    #[error(
        "this is the archive of a ledger with key {found}, the key given is {expected}: a new key needs a new ledger name"
    )]
    OtherKey {
        /// Key in `ledger.json`.
        found: String,
        /// Key given.
        expected: String,
    },
}

#[derive(Deserialize)]
struct FormatOnly {
    format: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    created_at: Time,
    #[serde(rename = "format")]
    _format: String,
    ledger: String,
    vkey: String,
}

impl Identity {
    /// The archive of the ledger of `vkey`.
    pub fn new(vkey: VerifyingKey, created_at: Time) -> Self {
        Self { vkey, created_at }
    }

    /// The bytes of `ledger.json`. Names and keys need no JSON escapes.
    pub fn encode(&self) -> String {
        let (created_at, name, vkey) = (self.created_at, self.vkey.name(), self.vkey.to_line());
        format!(r#"{{"created_at":"{created_at}","format":"{FORMAT}","ledger":"{name}","vkey":"{vkey}"}}"#)
    }

    /// Reads the bytes of `ledger.json`.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let damaged = |error: serde_json::Error| IdentityError::Damaged(error.to_string());
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format != FORMAT {
            return Err(IdentityError::Format(format));
        }
        let members: Members = serde_json::from_slice(bytes).map_err(damaged)?;
        let identity = Self::new(VerifyingKey::parse(&members.vkey)?, members.created_at);
        if identity.vkey.name().as_str() != members.ledger {
            return Err(IdentityError::Damaged(format!(
                "ledger `{}` has a key of `{}`",
                members.ledger,
                identity.vkey.name()
            )));
        }
        if identity.encode().as_bytes() != bytes {
            return Err(IdentityError::Damaged("not in its one spelling".to_owned()));
        }
        Ok(identity)
    }

    /// Reads `ledger.json` of an archive.
    pub fn read(store: &dyn Store) -> Result<Result<Self, IdentityError>, StoreError> {
        match store.read(paths::LEDGER, MAX_BYTES) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Err(IdentityError::Missing)),
            Err(error) if error.kind == ErrorKind::TooLarge => Ok(Err(IdentityError::Damaged(error.what))),
            Err(error) => Err(error),
        }
    }

    /// Whether this is the archive of the ledger of `vkey`.
    pub fn check_key(self, vkey: &VerifyingKey) -> Result<Self, IdentityError> {
        if self.vkey.name() != vkey.name() {
            let (found, expected) = (self.vkey.name().to_string(), vkey.name().to_string());
            return Err(IdentityError::OtherLedger { found, expected });
        }
        if self.vkey.to_line() != vkey.to_line() {
            return Err(IdentityError::OtherKey { found: self.vkey.to_line(), expected: vkey.to_line() });
        }
        Ok(self)
    }
}
