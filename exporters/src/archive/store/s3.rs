//! The archive in a bucket of S3 with Object Lock.
//!
//! Every object is one PutObject of known length with its SHA-256 in a header, `If-None-Match: *`, and the lock's mode and date;
//! a HEAD of the version that came out of it must say the same, or nothing goes on. What fails for a while is tried again with
//! the same bytes for as long as [`Patience`] says: an outage of hours is one call that takes hours. A reply that got lost shows
//! as a 412 in the next attempt, and is told from somebody else's object by its bytes.
//!
//! Listing is by versions. Object Lock keeps versions, but anyone may hide them behind a delete marker or put another version
//! in front: a key with such an anomaly is still listed, and what is read is its oldest version, which is the one that was archived.

pub mod client;
mod clock;
pub mod error;
mod listing;
mod object;
mod patience;
mod upload;
mod url;
mod write;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

#[cfg(test)]
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumMode, ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockMode};
use tachograph_ledger::Lock;
use tachograph_record::Time;

use super::{
    Destroyed, EachRead, ErrorKind, Held, ReadAt, Removal, Store, StoreError, Upload, Version, check_path, shown_date,
};
use client::Connection;
pub use clock::StoreClock;
use clock::Untold;
use error::{Asked, Failure, TRIED_AGAIN, failure};
use object::{Files, Ranged};
pub use patience::{Brief, Patience};
pub use url::{S3Url, UrlError};

/// Small objects that are asked for at once, and that lie read at most.
const READERS: usize = 32;
const READ_TOGETHER: usize = 256;

/// Below the prefix: where `bucket doctor` tries what the store does. No part of an archive.
pub const PROBE: &str = "probe/";

/// Where the archive is and how objects are written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with: empty, or ending with `/`.
    pub prefix: String,
    /// The bucket's region; without it what environment or profile say.
    pub region: Option<String>,
    /// A store other than Amazon's.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name; without it only where there is an endpoint.
    pub path_style: Option<bool>,
    /// How objects are locked.
    pub lock: Lock,
    /// How the store encrypts them.
    pub encryption: Encryption,
    /// Where uploads and downloads lie while they are under way.
    pub spool: PathBuf,
}

/// Encryption by the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// What the bucket does by default.
    #[default]
    Default,
    /// SSE-S3.
    SseS3,
    /// SSE-KMS, with this key or the account's.
    SseKms(Option<String>),
}

impl S3Settings {
    /// For reading what a URL names.
    pub fn of_url(url: &S3Url) -> Self {
        Self {
            bucket: url.bucket.clone(),
            prefix: url.prefix.clone(),
            region: url.region.clone(),
            endpoint: url.endpoint.clone(),
            path_style: url.path_style,
            lock: Lock::None,
            encryption: Encryption::Default,
            spool: std::env::temp_dir(),
        }
    }

    /// The place that it is about, without how it is written.
    pub fn url(&self) -> S3Url {
        S3Url {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.path_style,
        }
    }

    /// For messages.
    pub fn place(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }
}

/// Objects in a bucket.
pub struct S3Store {
    requests: Arc<Requests>,
    /// Of keys that have more than their one version: the oldest, which is the evidence.
    oldest: Mutex<HashMap<String, String>>,
    /// Whole objects, fetched for an auditor.
    files: Option<Files>,
}

impl S3Store {
    /// For writing. `writer` names this instance in the metadata of what it writes.
    ///
    /// # Errors
    /// If the spool can't be made.
    pub fn writer(settings: S3Settings, patience: Arc<dyn Patience>, writer: &str) -> Result<Self, StoreError> {
        write::clear_spool(&settings.spool)?;
        Self::new(settings, patience, Some(writer.to_owned()), None)
    }

    /// For reading here and there: parts of objects are fetched as they are asked for.
    ///
    /// # Errors
    /// If no connection can be prepared.
    pub fn reader(settings: S3Settings) -> Result<Self, StoreError> {
        Self::new(settings, Arc::new(Brief), None, None)
    }

    /// For questions about the bucket, asked as long as `patience` says.
    ///
    /// # Errors
    /// If no connection can be prepared.
    pub fn patient(settings: S3Settings, patience: Arc<dyn Patience>) -> Result<Self, StoreError> {
        Self::new(settings, patience, None, None)
    }

    /// For reading everything: objects are fetched whole, ahead of their use, into unnamed temporary files.
    ///
    /// # Errors
    /// If no connection can be prepared.
    pub fn auditor(settings: S3Settings) -> Result<Self, StoreError> {
        let files = Files::new(settings.spool.clone());
        Self::new(settings, Arc::new(Brief), None, Some(files))
    }

    fn new(
        settings: S3Settings,
        patience: Arc<dyn Patience>,
        writer: Option<String>,
        files: Option<Files>,
    ) -> Result<Self, StoreError> {
        let connection = Connection::new(&settings)?;
        let requests = Arc::new(Requests { settings, connection, patience, writer });
        Ok(Self { requests, oldest: Mutex::default(), files })
    }

    #[cfg(test)]
    fn with_credentials(settings: S3Settings, access_key: &str, secret: &str) -> Self {
        let credentials = aws_credential_types::Credentials::new(access_key, secret, None, None, "test");
        Self::with_parts(settings, SharedCredentialsProvider::new(credentials), client::SILENCE, Arc::new(Brief))
    }

    #[cfg(test)]
    fn with_parts(
        settings: S3Settings,
        credentials: SharedCredentialsProvider,
        silence: std::time::Duration,
        patience: Arc<dyn Patience>,
    ) -> Self {
        let connection = Connection::with(&settings, Some(credentials), silence).unwrap();
        let requests = Arc::new(Requests { settings, connection, patience, writer: Some("test".to_owned()) });
        Self { requests, oldest: Mutex::default(), files: None }
    }

    /// What is known of the store's clock.
    pub fn clock(&self) -> &StoreClock {
        self.requests.connection.clock()
    }

    /// The connection, for questions beyond objects.
    pub fn connection(&self) -> &Connection {
        &self.requests.connection
    }

    /// The settings.
    pub fn settings(&self) -> &S3Settings {
        &self.requests.settings
    }

    /// Asks until there is an answer that no repetition would change.
    pub(crate) fn ask<T, F>(&self, make: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        self.requests.ask(make)
    }

    fn key(&self, path: &str) -> Result<String, StoreError> {
        check_path(path)?;
        Ok(format!("{}{path}", self.requests.settings.prefix))
    }

    /// The version to read, if it is not the only one.
    fn version_of(&self, path: &str) -> Option<String> {
        self.oldest.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// What the store says of the version of `path` that counts.
    fn head(&self, path: &str) -> Result<Head, Failure> {
        let key = self.key(path).map_err(Failure::of_store)?;
        self.requests.head_version(&key, self.version_of(path))
    }
}

/// What makes requests: shared with uploads under way.
struct Requests {
    settings: S3Settings,
    connection: Connection,
    patience: Arc<dyn Patience>,
    writer: Option<String>,
}

impl Requests {
    /// Asks until there is an answer that no repetition would change.
    fn ask<T, F>(&self, make: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let mut attempt = 0;
        let mut in_doubt = false;
        loop {
            let answer = self.connection.run(make(self.connection.client().clone()));
            let failure = match answer.map_err(Failure::of_store).and_then(|answer| answer) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            in_doubt |= failure.in_doubt;
            if !failure.retry {
                return Err(Failure { in_doubt, ..failure });
            }
            attempt += 1;
            let pause = patience::pause(attempt, failure.retry_after);
            if !self.patience.wait(&failure.error, attempt, pause) {
                let mut failure = Failure { in_doubt, ..failure };
                if self.writer.is_none() {
                    // Whoever only reads may ask again himself.
                    failure.error.what = failure.error.what.replace(TRIED_AGAIN, "");
                }
                return Err(failure);
            }
        }
    }

    /// Fails if locks may not be seen.
    fn retention_of_version(&self, key: &str, version: &str) -> Result<(), Failure> {
        let (settings, key, version) = (self.settings.clone(), key.to_owned(), version.to_owned());
        let asked = self.ask(move |client| {
            let (settings, key, version) = (settings.clone(), key.clone(), version.clone());
            async move {
                let asked = Asked { action: "s3:GetObjectRetention", key: &key };
                let get = client.get_object_retention().bucket(&settings.bucket).key(&key).version_id(version);
                get.send().await.map(drop).map_err(|error| failure(&settings, asked, &error))
            }
        });
        match asked {
            Err(failure) if failure.error.kind == ErrorKind::Denied || failure.retry => Err(failure),
            // There is none, whatever the store calls that.
            _ => Ok(()),
        }
    }

    fn head_version(&self, key: &str, version: Option<String>) -> Result<Head, Failure> {
        let (settings, key) = (self.settings.clone(), key.to_owned());
        self.ask(move |client| {
            let (settings, key, version) = (settings.clone(), key.clone(), version.clone());
            async move {
                let asked = Asked { action: "s3:GetObject", key: &key };
                let head = client
                    .head_object()
                    .bucket(&settings.bucket)
                    .key(&key)
                    .set_version_id(version)
                    .checksum_mode(ChecksumMode::Enabled)
                    .send()
                    .await
                    .map_err(|error| failure(&settings, asked, &error))?;
                Ok(Head {
                    size: head.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    sha256: head.checksum_sha256().map(str::to_owned),
                    held: Held {
                        lock: lock_of(head.object_lock_mode(), head.object_lock_retain_until_date()),
                        legal_hold: head.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
                    },
                    version: head.version_id().map(str::to_owned),
                })
            }
        })
    }
}

/// What a HEAD says.
#[derive(Clone, Debug)]
struct Head {
    size: u64,
    /// In base64; of the whole object only if it was not uploaded in parts.
    sha256: Option<String>,
    held: Held,
    version: Option<String>,
}

fn lock_of(mode: Option<&ObjectLockMode>, until: Option<&aws_smithy_types::DateTime>) -> Option<(Lock, u64)> {
    let lock = match mode? {
        ObjectLockMode::Compliance => Lock::Compliance,
        ObjectLockMode::Governance => Lock::Governance,
        _ => return None,
    };
    Some((lock, u64::try_from(until?.secs()).unwrap_or(0)))
}

impl Failure {
    pub(crate) fn of_store(error: StoreError) -> Self {
        let in_doubt = error.kind == ErrorKind::Unknown;
        Self { error, status: None, code: String::new(), retry_after: None, retry: false, in_doubt }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl Store for S3Store {
    fn place(&self) -> String {
        self.requests.settings.place()
    }

    fn begin(&self) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(write::S3Upload::new(Arc::clone(&self.requests))))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let key = self.key(path)?;
        if path == crate::archive::paths::LEDGER {
            // Read before anything was listed: it may be hidden, or have another version in front.
            self.pin(path)?;
        }
        let (settings, version) = (self.requests.settings.clone(), self.version_of(path));
        let bytes = self.requests.ask(move |client| {
            let (settings, key, version) = (settings.clone(), key.clone(), version.clone());
            async move { object::get(&client, &settings, &key, version, limit).await }
        })?;
        Ok(bytes)
    }

    fn read_each(&self, paths: &[String], limit: u64, each: &mut EachRead<'_>) {
        for some in paths.chunks(READ_TOGETHER) {
            let next = AtomicUsize::new(0);
            let read: Vec<OnceLock<_>> = some.iter().map(|_| OnceLock::new()).collect();
            // Each thread waits for an answer most of its time.
            std::thread::scope(|scope| {
                for _ in 0..READERS.min(some.len()) {
                    scope.spawn(|| {
                        loop {
                            let at = next.fetch_add(1, Ordering::Relaxed);
                            let (Some(path), Some(slot)) = (some.get(at), read.get(at)) else { return };
                            // Nobody else has this number.
                            let _ = slot.set(self.read(path, limit));
                        }
                    });
                }
            });
            for (path, read) in some.iter().zip(read) {
                let read = read.into_inner().unwrap_or_else(|| self.read(path, limit));
                if each(path, read).is_break() {
                    return;
                }
            }
        }
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        let key = self.key(path)?;
        if let Some(files) = &self.files {
            return files.open(&self.requests, &key, self.version_of(path));
        }
        let head = self.head(path)?;
        Ok(Arc::new(Ranged::new(Arc::clone(&self.requests), key, head.version, head.size)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.paths(prefix, None)
    }

    fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        self.paths(prefix, Some(after))
    }

    fn pin(&self, path: &str) -> Result<(), StoreError> {
        self.paths(path, None).map(drop)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.common_prefixes(prefix)
    }

    fn len(&self, path: &str) -> Result<Option<u64>, StoreError> {
        match self.head(path) {
            Ok(head) => Ok(Some(head.size)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Objects are locked, and a writer has no right to delete: it keeps all.
    fn remove_orphan(&self, _path: &str) -> Result<Removal, StoreError> {
        Ok(Removal::Kept)
    }

    fn lock(&self) -> Lock {
        self.requests.settings.lock
    }

    fn now(&self) -> Result<Option<Time>, StoreError> {
        if let Ok(now) = self.clock().agreed() {
            return Ok(Some(now));
        }
        // Any answer tells the time. The last one is old, or it was wrong: that may have been somebody's between us and the store.
        match self.head(crate::archive::paths::LEDGER) {
            Err(failure) if failure.status.is_none() => return Err(failure.into()),
            _ => {}
        }
        self.clock().agreed().map(Some).map_err(|untold| {
            let what = match untold {
                Untold::Old => "the store's answers do not tell the time (header Date)".to_owned(),
                Untold::Apart(ms) => format!(
                    "the store's clock is {} s {} this machine's: dates of retention could not be told. Mend the clock, with chrony or ntpd",
                    ms.unsigned_abs() / 1_000,
                    if ms > 0 { "ahead of" } else { "behind" }
                ),
            };
            let what = format!("{what}.{TRIED_AGAIN}");
            StoreError::new(ErrorKind::Unavailable, self.place(), what)
        })
    }

    fn clock_skew_ms(&self) -> Option<i64> {
        self.clock().skew_ms()
    }

    fn retention(&self, path: &str) -> Result<Option<Held>, StoreError> {
        Ok(Some(self.head(path)?.held))
    }

    fn versions(&self, prefix: &str) -> Result<Option<Vec<Version>>, StoreError> {
        self.all_versions(prefix, None).map(Some)
    }

    fn held(&self, version: &Version) -> Result<Held, StoreError> {
        // A listed key may hold anything; it is sent back as it came.
        let key = format!("{}{}", self.requests.settings.prefix, version.path);
        let held = self.requests.head_version(&key, Some(version.id.clone()))?.held;
        if held.lock.is_none() {
            // A HEAD leaves the lock out, too, for whoever may not see it.
            self.requests.retention_of_version(&key, &version.id)?;
        }
        Ok(held)
    }

    fn prefetch(&self, path: &str) {
        if let (Some(files), Ok(key)) = (&self.files, self.key(path)) {
            files.begin(&self.requests, &key, self.version_of(path));
        }
    }

    fn set_legal_hold(&self, path: &str, on: bool) -> Result<bool, StoreError> {
        let key = self.key(path)?;
        let (settings, version) = (self.requests.settings.clone(), self.version_of(path));
        let status = if on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        self.requests.ask(move |client| {
            let (settings, key, version, status) = (settings.clone(), key.clone(), version.clone(), status.clone());
            async move {
                let asked = Asked { action: "s3:PutObjectLegalHold", key: &key };
                let put = client.put_object_legal_hold().bucket(&settings.bucket).key(&key).set_version_id(version);
                let hold = ObjectLockLegalHold::builder().status(status).build();
                put.legal_hold(hold).send().await.map_err(|error| failure(&settings, asked, &error))?;
                Ok(())
            }
        })?;
        Ok(true)
    }

    fn destroy(&self, path: &str) -> Result<Destroyed, StoreError> {
        self.key(path)?;
        let mut versions = self.all_versions(path, None)?;
        versions.retain(|version| version.path == path);
        if !versions.iter().any(|version| !version.is_delete_marker) {
            return Ok(Destroyed::WasGone);
        }
        // Newest first, and markers too: while any is left the object is not gone.
        for version in versions.iter().rev() {
            self.destroy_version(version)?;
        }
        match self.all_versions(path, None)?.iter().any(|version| version.path == path && !version.is_delete_marker) {
            false => Ok(Destroyed::Gone),
            true => {
                let what = "the store answered that the object is deleted, and still lists a version of it";
                Err(StoreError::new(ErrorKind::Held, format!("{}{path}", self.place()), what))
            }
        }
    }
}

impl S3Store {
    fn destroy_version(&self, version: &Version) -> Result<(), StoreError> {
        let (settings, key) =
            (self.requests.settings.clone(), format!("{}{}", self.requests.settings.prefix, version.path));
        let id = version.id.clone();
        let deleted = self.requests.ask(move |client| {
            let (settings, key, id) = (settings.clone(), key.clone(), id.clone());
            async move {
                let asked = Asked { action: "s3:DeleteObjectVersion", key: &key };
                let delete = client.delete_object().bucket(&settings.bucket).key(&key).version_id(id);
                delete.send().await.map_err(|error| failure(&settings, asked, &error))?;
                Ok(())
            }
        });
        let failure = match deleted {
            Ok(()) => return Ok(()),
            Err(failure) if failure.is_not_found() => return Ok(()),
            Err(failure) => failure,
        };
        // A lock and a missing right give the same answer: what holds the version tells which.
        if let Ok(held) = self.held(version)
            && (held.legal_hold || held.lock.is_some())
        {
            let place = failure.error.place;
            let now = self.now().ok().flatten().map_or(0, |now| now.unix_nanos() / 1_000_000_000);
            let what = match held.lock.filter(|(_, until)| *until > now) {
                _ if held.legal_hold => "under a legal hold: `tachograph hold release` lifts it".to_owned(),
                Some((lock, until)) => {
                    let until = shown_date(until);
                    format!("locked in mode {} until {until}: {}", lock.as_str(), failure.error.what)
                }
                None => failure.error.what,
            };
            return Err(StoreError::new(ErrorKind::Held, place, what));
        }
        Err(failure.into())
    }
}

#[cfg(test)]
mod tests;
