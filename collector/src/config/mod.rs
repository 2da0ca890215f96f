//! Configuration: one YAML file, strict, and complete without one.
//!
//! The file's types (in `file.rs`) are what may be written; one conversion makes a [`Config`] of them, reporting every problem at
//! once. Nothing later checks again.

mod archive;
mod file;
mod key_services;
mod keys;
mod quantity;
mod streams;
mod timestamps;
mod witnesses;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tachograph_exporters::archive::Retention;
use tachograph_exporters::archive::store::s3::S3Settings;
use tachograph_ledger::StreamBy;

use crate::keys::service::ServiceSettings;
use crate::receive::{Auth, Limits, Secret, Tls};
use crate::retention::Class;
use crate::witness::Witnesses;

/// Where data lies if nobody says otherwise.
pub const DEFAULT_DATA: &str = "tachograph-data";
/// Largest string in a span or log record, unless configured.
pub const DEFAULT_MAX_FIELD_BYTES: usize = 8 << 20;

/// Everything that `tachograph run` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// The receive stage.
    pub receive: Receive,
    /// The journal.
    pub journal: Journal,
    /// The archive.
    pub archive: Archive,
    /// When a sender is acknowledged.
    pub durability: Durability,
    /// How long a resent record is known again.
    pub duplicates_retention: Duration,
    /// Time stamps from outside.
    pub timestamps: Timestamps,
    /// Streams of records that belong together.
    pub streams: Streams,
    /// How long a gap in a producer's numbers stays open before it is recorded.
    pub gap_after: Duration,
    /// Where health and metrics are served; `None` for nowhere.
    pub admin: Option<SocketAddr>,
    /// Where the ledger's keys are.
    pub keys: Keys,
    /// Who is asked to cosign checkpoints.
    pub witnesses: Option<Witnesses>,
    /// Logs.
    pub log: Log,
}

/// Settings of the receive stage.
#[derive(Clone, Debug)]
pub struct Receive {
    /// OTLP/gRPC.
    pub grpc: Option<SocketAddr>,
    /// OTLP/HTTP.
    pub http: Option<SocketAddr>,
    /// TLS for both.
    pub tls: Option<Tls>,
    /// Bearer tokens for both.
    pub auth: Auth,
    /// Bounds.
    pub limits: Limits,
    /// Largest string in a span or log record.
    pub max_field_bytes: usize,
}

/// Settings of the journal.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Bound on all files.
    pub max_bytes: u64,
    /// When a new file is begun.
    pub max_file_bytes: u64,
    /// `--journal-lost`: begin a new journal behind the archive's end.
    pub lost: bool,
}

/// Settings of the archive.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Which directory, if not the one in the data directory.
    pub path: Option<PathBuf>,
    /// A segment is closed when it has waited this long …
    pub max_age: Duration,
    /// … or has this many records …
    pub max_records: u64,
    /// … or has this many bytes of bodies.
    pub max_bytes: u64,
    /// Zstandard level.
    pub compression_level: i32,
    /// Whether objects get the immutable attribute.
    pub immutable: bool,
    /// In a bucket instead of a directory.
    pub s3: Option<S3Settings>,
    /// How long what is kept.
    pub retention: Option<Retention>,
    /// Which records belong to which class.
    pub classes: Vec<Class>,
    /// Most objects that segments closed for their age or number of records may make in a day.
    pub max_objects_per_day: u64,
}

/// When a sender is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When its records are in the journal, on the disk.
    Wal,
    /// When the commit that names its records is in the archive.
    Archive,
}

/// Settings of streams.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    /// Which stream a record belongs to; `None` if none are sealed.
    pub by: Option<StreamBy>,
    /// A generation is stated when its first stream is this old.
    pub close_after: Duration,
}

/// Settings of time stamps.
#[derive(Clone, Debug)]
pub struct Timestamps {
    /// Who is asked; nobody if it is empty.
    pub authorities: Vec<TimestampAuthority>,
    /// Each is asked at most once in this time.
    pub every: Duration,
    /// This long before the certificate of the newest token ends, the ledger is stamped again without news.
    pub renew_before: Duration,
}

/// A time-stamp authority (RFC 3161).
#[derive(Clone, Debug)]
pub struct TimestampAuthority {
    /// Where it is asked.
    pub url: String,
    /// PEM file of certificates to which its tokens must lead before they are kept.
    pub ca: Option<PathBuf>,
    /// PEM file of authorities of its HTTPS certificate; without it those that the machine trusts.
    pub tls_ca: Option<PathBuf>,
    /// Value of the header `authorization`.
    pub authorization: Option<Secret>,
}

/// Where the ledger's keys are, and how files with keys are kept.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The key that signs.
    pub signing: KeySource,
    /// Where the first MAC key comes from when a ledger is created; else it is made at random.
    pub mac: Option<KeySource>,
    /// How files with keys in the data directory are encrypted.
    pub encryption: Option<Encryption>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file: this one, or the data directory's own.
    File {
        /// Which file.
        path: Option<PathBuf>,
    },
    /// In this variable of the environment.
    Env(String),
    /// In a service, which never gives it out.
    Service(ServiceSettings),
}

impl Default for KeySource {
    fn default() -> Self {
        Self::File { path: None }
    }
}

/// How a file with a key is encrypted: as the program `age` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With the passphrase on the first line of this file.
    PassphraseFile(PathBuf),
    /// With the passphrase in this variable of the environment.
    PassphraseEnv(String),
    /// For a recipient, whose identity is in a file.
    Age {
        /// `age1…`
        recipient: String,
        /// Holds `AGE-SECRET-KEY-1…`.
        identity_file: PathBuf,
    },
}

/// Settings of logs.
#[derive(Clone, Debug)]
pub struct Log {
    /// JSON instead of text.
    pub json: bool,
    /// A `tracing` filter, for example `info` or `tachograph_collector=debug`.
    pub level: String,
}

/// What the command line says; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--data`
    pub data: Option<PathBuf>,
    /// `--grpc`
    pub grpc: Option<SocketAddr>,
    /// `--http`
    pub http: Option<SocketAddr>,
    /// `--admin`
    pub admin: Option<SocketAddr>,
    /// `--journal-lost`
    pub journal_lost: bool,
    /// No port is opened, whatever the file says: records are handed in by the program that the recorder is part of.
    pub embedded: bool,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{path}: {source}. Name an existing file with -c, or leave -c away for the defaults")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not what it must be.
    #[error("{origin}: {}", problems.join(&format!("\n{origin}: ")))]
    Problems {
        /// File, or `command line`.
        origin: String,
        /// Every problem found.
        problems: Vec<String>,
    },
}

impl Config {
    /// Reads a file (or takes the defaults) and applies the command line.
    ///
    /// # Errors
    /// Naming every problem.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        match path {
            None => Self::parse("defaults", "", overrides),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                Self::parse(&path.display().to_string(), &text, overrides)
            }
        }
    }

    /// Reads YAML text. `origin` names it in errors.
    ///
    /// # Errors
    /// Naming every problem.
    pub fn parse(origin: &str, text: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        file::parse(text, overrides).map_err(|problems| ConfigError::Problems { origin: origin.to_owned(), problems })
    }
}

#[cfg(test)]
mod tests;
