//! What can go wrong with the duplicate index.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::disk::out_of_space;

/// The index can't be used, or not now.
#[derive(Debug, thiserror::Error)]
pub enum DedupError {
    /// The operating system refused; nothing changed.
    #[error("duplicate index: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// There was no room on disk; nothing changed, try again later.
    #[error("duplicate index: no room on disk to write {}: {source}; free space", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The table takes no more until it could be written out. Answer "full, come back later".
    #[error("duplicate index full: {entries} entries wait to be written to disk")]
    Full {
        /// Entries in memory.
        entries: u64,
    },
    /// The outcome of a write is unknown: stop the process; the next start finds out.
    #[error("duplicate index stopped, restart the collector to recover: {what}")]
    Broken {
        /// The first failure.
        what: String,
    },
    /// A file is not what was written.
    #[error(
        "duplicate index file {} is damaged: {what}. With the collector stopped, put it back from a copy or remove it: \
         no record is lost thereby, but one that it listed and that its sender sends again will be sealed twice",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Written by a newer release.
    #[error("duplicate index file {} has format version {version}, this program reads version 1: start the release that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// A setting can't work.
    #[error("duplicate index: {0}")]
    Setting(String),
}

impl DedupError {
    /// Whether it is only for want of room: nothing changed, and a later attempt may find some. Not fatal after the
    /// journal took the group: what the log lacks is in memory and in the journal.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        match self {
            DedupError::NoRoom { .. } | DedupError::Full { .. } => true,
            DedupError::Io { source, .. } => out_of_space(source),
            _ => false,
        }
    }

    pub(super) fn read(path: &Path) -> impl Fn(io::Error) -> DedupError + use<'_> {
        move |source| match source.kind() {
            io::ErrorKind::UnexpectedEof => DedupError::corrupt(path, "it is cut short"),
            _ => DedupError::Io { action: "read", path: path.to_owned(), source },
        }
    }

    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DedupError + use<'a> {
        move |source| DedupError::Io { action, path: path.to_owned(), source }
    }

    pub(super) fn corrupt(path: &Path, what: &str) -> DedupError {
        DedupError::Corrupt { path: path.to_owned(), what: what.to_owned() }
    }

    /// For a write that was undone.
    pub(super) fn write(path: &Path, source: io::Error) -> DedupError {
        if out_of_space(&source) {
            DedupError::NoRoom { path: path.to_owned(), source }
        } else {
            DedupError::broken("write", path, &source)
        }
    }

    pub(super) fn broken(action: &str, path: &Path, source: &io::Error) -> DedupError {
        DedupError::Broken { what: format!("cannot {action} {}: {source}", path.display()) }
    }

    pub(super) fn into_broken(self) -> DedupError {
        match self {
            broken @ DedupError::Broken { .. } => broken,
            other => DedupError::Broken { what: other.to_string() },
        }
    }
}
