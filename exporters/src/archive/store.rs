//! A write-once object store: what the archive asks of a disk or of a bucket.
//!
//! Invariants that every implementation keeps (the conformance suite checks them):
//! - an object appears under its name whole and durable, or not at all;
//! - no object is ever changed: a second creation fails with [`ErrorKind::AlreadyExists`], and the caller reads
//!   back and compares, because equal bytes mean that it is its own earlier write;
//! - what is being uploaded is visible to nobody before [`Upload::finish`].

mod directory;
#[cfg(feature = "s3")]
pub mod s3;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod faulty;

use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tachograph_ledger::Lock;
use tachograph_record::Time;

pub use directory::{DirectorySettings, DirectoryStore};

/// Longest object path, in bytes.
pub const MAX_PATH_BYTES: usize = 512;

/// The most that a store's clock and this machine's may be apart. Beyond it one of them is wrong, and no date is taken from either.
pub const MAX_SKEW: Duration = Duration::from_secs(300);

/// Takes one object of many: its path, and its bytes or why they can't be read.
pub type EachRead<'a> = dyn FnMut(&str, Result<Vec<u8>, StoreError>) -> ControlFlow<()> + 'a;

/// A place that keeps objects and never changes one.
pub trait Store: Send + Sync {
    /// Where this is, for messages.
    fn place(&self) -> String;

    /// Begins an object whose name is not known yet, since the name may hold the hash of what is written.
    fn begin(&self) -> Result<Box<dyn Upload>, StoreError>;

    /// The whole object; refused if it is larger than `limit` bytes.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Many small objects, whole, in the order of `paths`. A store that is far away asks for several at once.
    fn read_each(&self, paths: &[String], limit: u64, each: &mut EachRead<'_>) {
        for path in paths {
            if each(path, self.read(path, limit)).is_break() {
                return;
            }
        }
    }

    /// The object, for reading parts of it.
    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError>;

    /// Paths of all objects that begin with `prefix` (which ends with `/` or is empty), sorted by bytes. A store that keeps
    /// versions lists what somebody hid behind a delete marker too.
    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// The same, but only paths behind `after`: a store may find those without listing all.
    fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let mut paths = self.list(prefix)?;
        paths.retain(|path| path.as_str() > after);
        Ok(paths)
    }

    /// Names of the folders directly below `prefix`, each as a path that ends with `/`, sorted.
    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut folders: Vec<String> = self
            .list(prefix)?
            .iter()
            .filter_map(|path| {
                let end = prefix.len() + path[prefix.len()..].find('/')? + 1;
                Some(path[..end].to_owned())
            })
            .collect();
        folders.dedup();
        Ok(folders)
    }

    /// Finds out which version of the object counts, where another may stand in front of it or hide it. Listing does it for all
    /// that it lists.
    fn pin(&self, _path: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Size of the object, `None` if there is none.
    fn len(&self, path: &str) -> Result<Option<u64>, StoreError>;

    /// Removes an object that never became evidence. A store that can't remove keeps it and says so.
    fn remove_orphan(&self, path: &str) -> Result<Removal, StoreError>;

    /// How the store holds objects until their date.
    fn lock(&self) -> Lock {
        Lock::None
    }

    /// The store's own clock, by which it lets go of objects; `None` where that is this machine's. An error if the two are further
    /// apart than [`MAX_SKEW`].
    fn now(&self) -> Result<Option<Time>, StoreError> {
        Ok(None)
    }

    /// Milliseconds that this clock is ahead of this machine's, as far as it is known.
    fn clock_skew_ms(&self) -> Option<i64> {
        None
    }

    /// What the store itself tells of the object at `path`, as far as it tells anything: `None` where it keeps neither
    /// dates nor versions.
    fn retention(&self, _path: &str) -> Result<Option<Held>, StoreError> {
        Ok(None)
    }

    /// Every version and delete marker below `prefix`, sorted by path, the oldest first; `None` where there are no versions.
    fn versions(&self, _prefix: &str) -> Result<Option<Vec<Version>>, StoreError> {
        Ok(None)
    }

    /// What one version is held by.
    fn held(&self, _version: &Version) -> Result<Held, StoreError> {
        Ok(Held::default())
    }

    /// Says that the object will soon be read as a whole. A store that is far away may fetch it.
    fn prefetch(&self, _path: &str) {}

    /// Puts a legal hold on the object, or takes it off. `false` where the store knows none.
    fn set_legal_hold(&self, _path: &str, _on: bool) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Destroys an object whose retention is over, all versions of it. The store refuses while it is locked.
    fn destroy(&self, path: &str) -> Result<Destroyed, StoreError>;

    /// Creates an object of `bytes`, durable on return, kept until `until` (seconds since 1970).
    fn create(&self, path: &str, bytes: &[u8], until: Option<u64>) -> Result<(), StoreError> {
        let mut upload = self.begin()?;
        upload.write_all(bytes).map_err(|error| StoreError::of_write(path, &error))?;
        upload.finish(path, until)
    }

    /// Creates an object of `bytes`, or finds that it stands there already with just these bytes, held as `keep` says. The same bytes
    /// that are held otherwise are an error: nobody may go on as if they were archived.
    fn create_or_confirm(&self, path: &str, bytes: &[u8], keep: Option<Keep>) -> Result<Confirmed, StoreError> {
        if let Some(keep) = keep.filter(|keep| keep.lock > self.lock())
            && self.len(path)?.is_none()
        {
            let (needed, configured) = (keep.lock.as_str(), self.lock().as_str());
            let what = format!(
                "it must be locked in mode {needed}, and this store locks in mode {configured}: set archive.s3.mode to {needed} for one start"
            );
            return Err(StoreError::new(ErrorKind::Misplaced, path, what));
        }
        match self.create(path, bytes, keep.map(|keep| keep.until)) {
            Ok(()) => Ok(Confirmed::Created),
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                let size = self.len(path)?.unwrap_or(0);
                if size != bytes.len() as u64 || self.read(path, size)? != bytes {
                    return Ok(Confirmed::Different);
                }
                if let Some(keep) = keep {
                    self.confirm_held(path, keep.lock, keep.at_least)?;
                }
                Ok(Confirmed::AlreadyOurs)
            }
            Err(error) => Err(error),
        }
    }

    /// Until when the object at `path`, which is there already, is locked in mode `lock` or a stronger one: `until` (seconds since
    /// 1970) or later, or this is an error. A store without locks holds nothing, and is asked for nothing.
    fn confirm_held(&self, path: &str, lock: Lock, until: u64) -> Result<u64, StoreError> {
        if lock == Lock::None {
            return Ok(until);
        }
        let held = self.retention(path)?.and_then(|held| held.lock);
        if let Some((mode, date)) = held
            && mode >= lock
            && date >= until
        {
            return Ok(date);
        }
        let found = match held {
            Some((mode, date)) => format!("locked in mode {} until {}", mode.as_str(), shown_date(date)),
            None => "not locked, or its lock is not shown (s3:GetObjectRetention is needed)".to_owned(),
        };
        let what = format!(
            "it is there already, {found}, but must be locked in mode {} until {}: lock it so (aws s3api put-object-retention), or set \
             archive.s3.mode and archive.retention as they were when it was written, for one start",
            lock.as_str(),
            shown_date(until)
        );
        Err(StoreError::new(ErrorKind::Misplaced, path, what))
    }
}

/// An object on its way. Dropped without [`finish`](Upload::finish), it leaves nothing behind.
pub trait Upload: Write + Send {
    /// Makes the object durable under `path`, which must not exist, and locks it until `until` (seconds since 1970) in a
    /// store that can. A store without locks keeps no date.
    fn finish(self: Box<Self>, path: &str, until: Option<u64>) -> Result<(), StoreError>;
}

/// One version of an object, or a delete marker, as a store with versions lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Path of the object.
    pub path: String,
    /// The store's name of the version.
    pub id: String,
    /// A marker that hides what is older.
    pub is_delete_marker: bool,
    /// Whether a plain read gives this one.
    pub is_latest: bool,
    /// Bytes; 0 for a marker.
    pub size: u64,
}

/// How an object is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// In this mode at least.
    pub lock: Lock,
    /// Until then, in seconds since 1970.
    pub until: u64,
    /// One that is there already may have been given an earlier date than `until`, but not earlier than this.
    pub at_least: u64,
}

/// What holds an object in its store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The lock's mode and date, in seconds since 1970.
    pub lock: Option<(Lock, u64)>,
    /// A legal hold.
    pub legal_hold: bool,
}

/// What became of an object that was to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroyed {
    /// It is gone now.
    Gone,
    /// It was gone before.
    WasGone,
}

/// Random access to one object.
pub trait ReadAt: Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;
    /// `length` bytes from `offset`; an error if the object ends before.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

/// What [`Store::create_or_confirm`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It was not there; now it is.
    Created,
    /// It was there with the same bytes: our own earlier write, whose answer was lost.
    AlreadyOurs,
    /// Somebody else's object has this name.
    Different,
}

/// What became of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// The store does not let it go before its retention ends.
    Kept,
}

/// What a caller can do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The object is there: read it back and compare.
    AlreadyExists,
    /// There is no such object.
    NotFound,
    /// No space or quota left: keep the data and try again later.
    NoSpace,
    /// The store does not answer, or asks to come back later; what is written is not in doubt. Try again later.
    Unavailable,
    /// The store holds the object: its retention or a legal hold is not over.
    Held,
    /// Not allowed to read or write here: the operator must act.
    Denied,
    /// The place is not what it must be (a file where a directory should be, a read-only file system).
    Misplaced,
    /// Another process writes here.
    Locked,
    /// The object is larger than it may be.
    TooLarge,
    /// The path is not one of an archive.
    Path,
    /// It is not known whether the write took effect: stop and recover through start-up.
    Unknown,
    /// Reading failed.
    Read,
}

/// A failure of the store, with the object it met and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{place}: {what}")]
pub struct StoreError {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// The object or directory.
    pub place: String,
    /// What happened and what to do.
    pub what: String,
}

impl StoreError {
    /// An error about `place`.
    pub fn new(kind: ErrorKind, place: impl Into<String>, what: impl fmt::Display) -> Self {
        Self { kind, place: place.into(), what: what.to_string() }
    }

    /// Whether the same call may succeed later without anybody changing the configuration.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::NoSpace | ErrorKind::Unavailable)
    }

    /// The error of a write into an upload: what [`Upload`]'s `Write` gave, which may carry a `StoreError`.
    pub fn of_write(place: &str, error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(inner) => inner.clone(),
            None => Self::of_io(place, "write", error),
        }
    }

    /// Names an operating system's error and its remedy.
    pub(crate) fn of_io(place: impl Into<String>, action: &str, error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        let (kind, remedy) = match error.kind() {
            Io::AlreadyExists => (ErrorKind::AlreadyExists, "an object is never written twice"),
            Io::NotFound => (ErrorKind::NotFound, "check the path"),
            Io::StorageFull | Io::QuotaExceeded => {
                (ErrorKind::NoSpace, "free space or raise the quota; nothing is lost, and it is tried again")
            }
            Io::FileTooLarge => (ErrorKind::NoSpace, "raise the file size limit (ulimit -f) or make segments smaller"),
            Io::PermissionDenied => {
                (ErrorKind::Denied, "let the collector's user write here (chown, chmod), or choose another directory")
            }
            Io::ReadOnlyFilesystem => (
                ErrorKind::Misplaced,
                "the file system is read-only: remount it for writing, or choose another directory",
            ),
            Io::NotADirectory => (
                ErrorKind::Misplaced,
                "a file stands where a directory should be: move it away, or choose another directory",
            ),
            Io::CrossesDevices => (
                ErrorKind::Misplaced,
                "the archive spans file systems, so that files can't be put in place at once: keep it on one",
            ),
            _ if action == "read" => (ErrorKind::Read, "check the disk"),
            _ => (ErrorKind::Unknown, "check the disk, then start again: start-up finds out what is there"),
        };
        Self::new(kind, place, format_args!("can't {action}: {error}; {remedy}"))
    }
}

/// A date of retention, in seconds since 1970, for messages.
pub(crate) fn shown_date(seconds: u64) -> String {
    match Time::from_unix_nanos(seconds.saturating_mul(1_000_000_000)) {
        Ok(time) => time.to_string(),
        Err(_) => "a time after 2262-04-11".to_owned(),
    }
}

/// Checks that `path` is relative, of plain characters, and stays inside the archive.
pub fn check_path(path: &str) -> Result<(), StoreError> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-=/".contains(&c);
    let good = !path.is_empty()
        && path.len() <= MAX_PATH_BYTES
        && path.bytes().all(plain)
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    if good {
        return Ok(());
    }
    let shown: String = path.chars().take(80).collect();
    Err(StoreError::new(
        ErrorKind::Path,
        format!("{shown:?}"),
        "not a path inside an archive: relative, of A-Z a-z 0-9 . _ - = /, no part beginning with `.`",
    ))
}
