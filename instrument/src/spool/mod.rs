//! The spool: records on disk until the receiver has acknowledged them. The format is in `docs/format-spool.md`.
//!
//! One thread writes ([`thread`]), the delivery thread reads ([`reader`]); a dead process's folder is read by the same code.

pub(crate) mod disk;
pub(crate) mod folder;
pub mod format;
pub(crate) mod reader;
mod refused;
#[cfg(test)]
mod tests;
pub(crate) mod thread;
pub(crate) mod writer;

use disk::{Disk, RealDisk};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const LEAST: u64 = 1 << 20;

/// A directory in which records wait for the collector: [`Init::spool`](crate::Init::spool).
///
/// Processes may share it. What one leaves behind when it ends or is killed, the next that starts with the directory delivers.
///
/// ```no_run
/// use std::time::Duration;
/// use tachograph::{Durability, Init, Spool};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let spool = Spool::new("/var/lib/loan-service/spool").limit(4 << 30).durability(Durability::Process);
/// let guard = Init::new("loan-service").spool(spool).init()?;
/// # guard.shutdown()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing before it is given to `Init::spool`"]
pub struct Spool {
    pub(crate) directory: PathBuf,
    pub(crate) limit: u64,
    pub(crate) durability: Durability,
    pub(crate) sync_every: Duration,
    pub(crate) disk: Arc<dyn Disk>,
}

/// What holds once an annotated call has returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The record is in memory, and about 10 ms later in the spool. A process that is killed loses what is not there yet.
    #[default]
    Memory,
    /// The record is in the spool's file: it survives the process, but not a machine that loses power.
    Process,
    /// The file is synced: the record survives the machine. Calls that end at the same time share a sync.
    Machine,
}

impl Spool {
    /// A spool in this directory, which is made if there is none: 1 GiB at most, [`Durability::Memory`], synced each second.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            limit: 1 << 30,
            durability: Durability::default(),
            sync_every: Duration::from_secs(1),
            disk: Arc::new(RealDisk),
        }
    }

    /// How many bytes may be on the disk, those of earlier processes included; at least 1 MiB. A spool that has reached its bound
    /// takes no more, and the queue in memory fills.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes.max(LEAST);
        self
    }

    /// What holds once an annotated call has returned.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// For tests: a disk that fails.
    #[doc(hidden)]
    pub fn on_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// How often what was written is synced, if not with each write. Each second unless told otherwise.
    pub fn sync_every(mut self, interval: Duration) -> Self {
        self.sync_every = interval;
        self
    }
}
