//! The default store: a directory on a local disk.
//!
//! An object is written to `.incoming/` under a number, made read-only and synced, and then linked to its final
//! name: `link(2)` fails if the name exists, so nothing is ever replaced, and a name never shows half a file.
//! `.incoming` lies inside the archive, hence on its file system, and its name keeps it out of queries that
//! read `records/**`. A writer holds a lock on it, and clears on start what a crash left there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::fs::{FlockOperation, IFlags};

use super::{Destroyed, ErrorKind, ReadAt, Removal, Store, StoreError, Upload, check_path};

const INCOMING: &str = ".incoming";
/// Directory levels that listing goes down: an archive has four.
const MAX_DEPTH: usize = 8;

/// How a [`DirectoryStore`] writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectorySettings {
    /// Also set the file system's immutable attribute (`chattr +i`) on each finished object. It needs Linux, a file
    /// system that has it, and CAP_LINUX_IMMUTABLE. Off by default: only root can then delete an archive, which
    /// must be an operator's decision.
    pub immutable: bool,
}

/// Objects as files below one directory.
pub struct DirectoryStore {
    root: PathBuf,
    /// The lock on `.incoming`; absent in a store that only reads.
    incoming: Option<Arc<Incoming>>,
    settings: DirectorySettings,
}

struct Incoming {
    directory: PathBuf,
    _lock: File,
    next: AtomicU64,
}

impl DirectoryStore {
    /// For reading alone: takes no lock and changes nothing.
    pub fn reader(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let metadata = fs::metadata(&root).map_err(|error| of_io(&root, "open", &error))?;
        if !metadata.is_dir() {
            return Err(of_io(&root, "open", &io::ErrorKind::NotADirectory.into()));
        }
        Ok(Self { root, incoming: None, settings: DirectorySettings::default() })
    }

    /// For writing: creates the directory if need be, locks it against a second writer, and removes half-written
    /// files.
    pub fn writer(root: impl Into<PathBuf>, settings: DirectorySettings) -> Result<Self, StoreError> {
        let root = root.into();
        create_directories(&root)?;
        let directory = root.join(INCOMING);
        create_directories(&directory)?;
        let lock = File::open(&directory).map_err(|error| of_io(&directory, "open", &error))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let what = "another process is writing this archive: stop it, or give this one a directory of its own";
                return Err(StoreError::new(ErrorKind::Locked, root.display().to_string(), what));
            }
            Err(error) => return Err(of_io(&directory, "lock", &error.into())),
        }
        for entry in fs::read_dir(&directory).map_err(|error| of_io(&directory, "list", &error))? {
            let left = entry.map_err(|error| of_io(&directory, "list", &error))?.path();
            fs::remove_file(&left).map_err(|error| of_io(&left, "remove", &error))?;
        }
        let incoming = Incoming { directory, _lock: lock, next: AtomicU64::new(0) };
        Ok(Self { root, incoming: Some(Arc::new(incoming)), settings })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn file_of(&self, path: &str) -> Result<PathBuf, StoreError> {
        check_path(path)?;
        Ok(self.root.join(path))
    }
}

impl Store for DirectoryStore {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn begin(&self) -> Result<Box<dyn Upload>, StoreError> {
        let Some(incoming) = &self.incoming else {
            return Err(StoreError::new(ErrorKind::Denied, self.place(), "this archive was opened for reading only"));
        };
        let name = incoming.next.fetch_add(1, Ordering::Relaxed).to_string();
        let temporary = incoming.directory.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|error| of_io(&temporary, "create", &error))?;
        let root = self.root.clone();
        Ok(Box::new(FileUpload { file, temporary, root, settings: self.settings, _incoming: Arc::clone(incoming) }))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.file_of(path)?;
        let file = open_file(&path)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| of_io(&path, "read", &error))?;
        if bytes.len() as u64 > limit {
            let what = format!("larger than the {limit} bytes that such an object may have");
            return Err(StoreError::new(ErrorKind::TooLarge, path.display().to_string(), what));
        }
        Ok(bytes)
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        let path = self.file_of(path)?;
        let file = open_file(&path)?;
        let size = file.metadata().map_err(|error| of_io(&path, "read", &error))?.len();
        Ok(Arc::new(FileObject { file, size }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = prefix.trim_end_matches('/');
        let start = if folder.is_empty() { self.root.clone() } else { self.file_of(folder)? };
        let mut found = Vec::new();
        list_into(&start, folder, MAX_DEPTH, &mut found)?;
        found.sort_unstable();
        Ok(found)
    }

    fn len(&self, path: &str) -> Result<Option<u64>, StoreError> {
        let path = self.file_of(path)?;
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of_io(&path, "read", &error)),
        }
    }

    fn remove_orphan(&self, path: &str) -> Result<Removal, StoreError> {
        let path = self.file_of(path)?;
        if self.settings.immutable && set_immutable(&path, false).is_err() {
            return Ok(Removal::Kept);
        }
        fs::remove_file(&path).map_err(|error| of_io(&path, "remove", &error))?;
        sync_parent(&path)?;
        Ok(Removal::Removed)
    }

    fn destroy(&self, path: &str) -> Result<Destroyed, StoreError> {
        let path = self.file_of(path)?;
        let removed = match fs::remove_file(&path) {
            // Whoever destroys need not know how the collector is configured.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                set_immutable(&path, false).map_err(|error| immutable_refused(&path, &error))?;
                fs::remove_file(&path).map(|()| Destroyed::Gone).map_err(|error| of_io(&path, "remove", &error))?
            }
            Ok(()) => Destroyed::Gone,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Destroyed::WasGone,
            Err(error) => return Err(of_io(&path, "remove", &error)),
        };
        if path.parent().is_some_and(Path::is_dir) {
            sync_parent(&path)?;
        }
        Ok(removed)
    }
}

struct FileUpload {
    file: File,
    temporary: PathBuf,
    root: PathBuf,
    settings: DirectorySettings,
    /// Keeps the lock while the upload lives.
    _incoming: Arc<Incoming>,
}

impl Write for FileUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        written.map_err(|error| io::Error::new(error.kind(), of_io(&self.temporary, "write", &error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for FileUpload {
    fn finish(self: Box<Self>, path: &str, _until: Option<u64>) -> Result<(), StoreError> {
        check_path(path)?;
        let path = self.root.join(path);
        let read_only = Permissions::from_mode(0o444);
        self.file.set_permissions(read_only).map_err(|error| of_io(&self.temporary, "make read-only", &error))?;
        self.file.sync_all().map_err(|error| of_sync(&self.temporary, &error))?;
        create_directories(path.parent().unwrap_or(&self.root))?;
        let linked = fs::hard_link(&self.temporary, &path);
        if let Err(error) = &linked
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(of_io(&path, "create", error));
        }
        // An object that is there already may be our own whose directory was not synced yet: the sync makes it last.
        sync_parent(&path)?;
        linked.map_err(|error| of_io(&path, "create", &error))?;
        let immutable = self.settings.immutable;
        // An immutable file can't lose a link: the temporary name goes first.
        drop(self);
        if immutable {
            // The object is there: to try again would be to find somebody else's.
            set_immutable(&path, true)
                .map_err(|error| StoreError { kind: ErrorKind::Unknown, ..immutable_refused(&path, &error) })?;
        }
        Ok(())
    }
}

impl Drop for FileUpload {
    fn drop(&mut self) {
        // What can't be removed now is removed at the next start.
        let _ = fs::remove_file(&self.temporary);
    }
}

struct FileObject {
    file: File,
    size: u64,
}

impl ReadAt for FileObject {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        // Checked first, so that a length out of a hostile file allocates nothing.
        let ends = offset.checked_add(length as u64).is_some_and(|end| end <= self.size);
        if !ends {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}

/// Only regular files are objects: a link could lead out of the archive, a pipe would never end.
fn open_file(path: &Path) -> Result<File, StoreError> {
    let metadata = fs::symlink_metadata(path).map_err(|error| of_io(path, "open", &error))?;
    if !metadata.is_file() {
        return Err(StoreError::new(ErrorKind::Misplaced, path.display().to_string(), "not a regular file"));
    }
    File::open(path).map_err(|error| of_io(path, "open", &error))
}

fn list_into(directory: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) -> Result<(), StoreError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(of_io(directory, "list", &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| of_io(directory, "list", &error))?;
        // A name that is not text is no object of ours, yet must show up: verification reports it.
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefix.is_empty() && name == INCOMING {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let is_directory = entry.file_type().map_err(|error| of_io(directory, "list", &error))?.is_dir();
        if is_directory && depth > 0 {
            list_into(&entry.path(), &path, depth - 1, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Creates what is missing of `path`, each level synced into the one above.
fn create_directories(path: &Path) -> Result<(), StoreError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_directories(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Ok(())
            } else {
                Err(of_io(path, "create", &io::ErrorKind::NotADirectory.into()))
            }
        }
        Err(error) => Err(of_io(path, "create", &error)),
    }
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|error| of_directory_sync(parent, &error))
}

fn set_immutable(path: &Path, on: bool) -> io::Result<()> {
    let file = File::open(path)?;
    let mut flags = rustix::fs::ioctl_getflags(&file)?;
    flags.set(IFlags::IMMUTABLE, on);
    Ok(rustix::fs::ioctl_setflags(&file, flags)?)
}

fn immutable_refused(path: &Path, error: &io::Error) -> StoreError {
    let what = format!(
        "can't set the immutable attribute: {error}; give this process CAP_LINUX_IMMUTABLE on a file system that has the attribute, or switch it off"
    );
    StoreError::new(ErrorKind::Denied, path.display().to_string(), what)
}

/// After a failed sync the kernel may have dropped the data and call the next sync a success: never retried. For want of space what is
/// not linked yet is given up, and written anew.
fn of_sync(path: &Path, error: &io::Error) -> StoreError {
    let failed = of_io(path, "sync", error);
    let kind = if failed.kind == ErrorKind::NoSpace { ErrorKind::NoSpace } else { ErrorKind::Unknown };
    StoreError { kind, ..failed }
}

/// A name stands in the directory by now, or is gone from it: whatever the reason, it is not known whether that lasts, and whoever
/// tried again would take it for somebody else's.
fn of_directory_sync(path: &Path, error: &io::Error) -> StoreError {
    StoreError { kind: ErrorKind::Unknown, ..of_io(path, "sync", error) }
}

fn of_io(path: &Path, action: &str, error: &io::Error) -> StoreError {
    StoreError::of_io(path.display().to_string(), action, error)
}

#[cfg(test)]
mod tests;
