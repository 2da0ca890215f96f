//! What can go wrong with the journal, sorted by what the caller has to do.

use std::io;
use std::path::PathBuf;

/// The journal can't be opened or read. All but [`JournalError::Io`] need a person.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("journal: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Bytes that were acknowledged are not what was written.
    #[error(
        "journal file {} is corrupt at byte {offset} (record index {index}): {what}. Those records were acknowledged, so the \
         file was left as it is: put it back from a copy, or keep it aside as evidence and recover from the archive",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// First record that is affected.
        index: u64,
        /// What was found.
        what: String,
    },
    /// Written by a newer release.
    #[error(
        "journal file {} has format version {version}, this program reads version 1: start the release that wrote it \
         (or, if none did, the file's header is damaged: put it back from a copy)",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The files belong to another ledger.
    #[error(
        "journal file {} belongs to ledger `{found}`, this is ledger `{expected}`: give the data directory of `{expected}`",
        path.display()
    )]
    OtherLedger {
        /// The file.
        path: PathBuf,
        /// Name in the file.
        found: String,
        /// Name in the settings.
        expected: String,
    },
    /// A setting can't work.
    #[error("journal: {0}")]
    Setting(String),
    /// A record was asked for that the journal does not hold.
    #[error(
        "journal: record {index} is not held (it holds {held}): it was released after it had been archived, or never written"
    )]
    NotHeld {
        /// The index asked for.
        index: u64,
        /// What there is.
        held: String,
    },
}

/// A group was not taken. Nothing of it is in the journal, or (if broken) nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No room: nothing was kept of the group. Answer "full, come back later" and try again later.
    #[error("journal full: {0}")]
    Full(Full),
    /// The outcome of a write is unknown: stop the process; the next start finds out.
    #[error("journal stopped, restart the collector to recover: {what}")]
    Broken {
        /// The first failure.
        what: String,
    },
}

/// What has no room.
#[derive(Debug, thiserror::Error)]
pub enum Full {
    /// The journal's own limit.
    #[error("it holds {bytes} bytes and its limit is {limit}; the archive is behind, or the limit is too low")]
    Limit {
        /// Bytes held.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk, a quota, or the largest file allowed.
    #[error("no room on disk to write {}: {source}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}
