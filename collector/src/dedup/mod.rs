//! The duplicate index: which event ids were sealed lately, so that a resent record is acknowledged and not sealed again.
//!
//! The newest entries are in a table in memory, and in a log beside it so that a restart finds them again. A full
//! table becomes an immutable sorted file, a *run*; runs are dropped once all they list is older than the retention.
//! `docs/format-journal.md` gives the bytes.
//!
//! Memory is bounded whatever the rate: about 36 MiB for the table, and for 8,192 runs at most 16 MiB of ranges. A
//! fresh UUIDv7 lies in no run's ranges, so the usual lookup touches no disk; a random id costs one 64-byte read a run.
//!
//! Contract with the journal, which holds every entry's record:
//! - Entries come in the order of their index; an index that is not above [`Dedup::highest_index`] is known already,
//!   so replaying the journal from anywhere is harmless.
//! - The log is not synced at each group. Before the journal releases records, [`Dedup::sync`] must return `Ok`; what
//!   a stopped machine lost of the log is still in the journal then, and start-up replays it from
//!   [`Dedup::highest_index`].
//! - Entries of a group are staged until [`Dedup::commit_staged`], which is called when the group is durable;
//!   [`Dedup::rollback_staged`] forgets them. So nothing here is ever ahead of the journal: an entry whose record the
//!   journal has lost is evidence that the journal lost acknowledged records.

mod bloom;
mod entry;
mod error;
mod log;
mod ranges;
mod run;
mod run_writer;
mod runs;
mod table;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::journal::disk::Disk;
use entry::Entry;
pub use entry::{ContentDigest, EventId};
pub use error::DedupError;
use log::Log;
use runs::Runs;
use table::Table;

/// Most entries that one group may stage.
pub const MAX_STAGED: usize = 1 << 16;

/// Most entries that the table may be set to hold.
const MAX_TABLE: usize = 1 << 19;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Entries in memory before they become a run (48 bytes each, and 16 for finding them). At most 2^19.
    pub table_entries: usize,
    /// For how long a duplicate is known at least, counted from when the record was sealed.
    pub retention: Duration,
    /// More runs than this are not kept: the oldest goes early, which is logged and counted. At most 8,192.
    pub max_runs: usize,
    /// Source of the random numbers that key each run's filter, so that no sender can aim at it.
    pub random: fn() -> std::io::Result<[u8; 16]>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            table_entries: MAX_TABLE,
            retention: Duration::from_secs(24 * 60 * 60),
            max_runs: 8192,
            random: system_random,
        }
    }
}

fn system_random() -> std::io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// Whether a record was sealed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its event id is not known.
    New,
    /// The same id with the same content was sealed.
    Duplicate {
        /// Where.
        index: u64,
    },
    /// The same id was sealed, always with other content.
    Conflict {
        /// Where first.
        first_index: u64,
    },
}

/// The index. One thread owns it.
pub struct Dedup {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    settings: Settings,
    table: Table,
    /// Entries of the table up to here are durable in the journal; those behind are staged.
    committed: usize,
    /// Entries of the table up to here are in the log.
    logged: usize,
    log: Log,
    runs: Runs,
    dropped_early: u64,
    broken: Option<String>,
}

/// The highest index that the index in `dir` knows, without changing anything: for readers beside a writer.
pub fn highest_index_in(dir: &Path) -> Result<Option<u64>, DedupError> {
    let disk = crate::journal::disk::RealDisk;
    let mut highest = Runs::look(dir, &disk)?;
    log::read(dir, &disk, |entry| highest = highest.max(Some(entry.index())))?;
    Ok(highest)
}

impl Dedup {
    /// Opens the index in a directory that exists; an empty directory is an empty index.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>, settings: Settings) -> Result<Dedup, DedupError> {
        if !(1..=MAX_TABLE).contains(&settings.table_entries) || !(1..=8192).contains(&settings.max_runs) {
            return Err(DedupError::Setting("table entries are 1 to 524288, runs 1 to 8192".to_owned()));
        }
        let runs = Runs::open(dir, disk.as_ref())?;
        // The log may be of a time when the table was set to be larger.
        let in_log = usize::try_from(log::most_entries(dir, disk.as_ref())?).unwrap_or(usize::MAX);
        let mut table = Table::new(settings.table_entries.max(in_log.min(MAX_TABLE)) + MAX_STAGED);
        let known = runs.highest_index();
        log::read(dir, disk.as_ref(), |entry| {
            // A stop between the writing of a run and the new log leaves both; the run counts.
            if known.is_none_or(|known| entry.index() > known) && table.len() < table.capacity() {
                table.insert(entry);
            }
        })?;
        // Written anew, not continued: after a failed sync, what reads well need not be on the disk.
        let log = Log::create(dir, disk.as_ref(), table.entries())?;
        let entries = table.len();
        Ok(Dedup {
            dir: dir.to_owned(),
            disk,
            settings,
            table,
            committed: entries,
            logged: entries,
            log,
            runs,
            dropped_early: 0,
            broken: None,
        })
    }

    /// Whether a record with this id and content was sealed within the retention.
    pub fn lookup(&self, id: &EventId, digest: &ContentDigest) -> Result<Verdict, DedupError> {
        if let Some(index) = self.table.find_exact(id, digest) {
            return Ok(Verdict::Duplicate { index });
        }
        let mut first = self.table.find_head(id);
        for hit in self.runs.find(self.disk.as_ref(), id, digest)? {
            if let Some(index) = hit.exact {
                return Ok(Verdict::Duplicate { index });
            }
            first = Some(first.map_or(hit.head, |first| first.min(hit.head)));
        }
        Ok(first.map_or(Verdict::New, |first_index| Verdict::Conflict { first_index }))
    }

    /// Stages an entry: lookups see it at once. An index that is not above the highest known one changes nothing.
    ///
    /// [`DedupError::Full`] means that [`MAX_STAGED`] entries are staged, or that the table could not be written out
    /// for want of room on disk.
    pub fn insert(
        &mut self,
        id: &EventId,
        digest: &ContentDigest,
        index: u64,
        sealed_at: u64,
    ) -> Result<(), DedupError> {
        self.refuse_if_broken()?;
        if self.highest_index().is_some_and(|highest| index <= highest) {
            return Ok(());
        }
        if self.table.len() == self.table.capacity() || self.table.len() - self.committed == MAX_STAGED {
            return Err(DedupError::Full { entries: self.table.len() as u64 });
        }
        self.table.insert(Entry::new(*id, *digest, index, sealed_at));
        Ok(())
    }

    /// The staged entries' records are durable in the journal.
    pub fn commit_staged(&mut self) {
        self.committed = self.table.len();
    }

    /// The staged entries' records were not written: forget them.
    pub fn rollback_staged(&mut self) {
        self.table.truncate(self.committed);
    }

    /// Writes what was committed to the log, and a full table to a run. Nothing is lost by an error other than
    /// [`DedupError::Broken`]: try again with the next group.
    pub fn flush(&mut self) -> Result<(), DedupError> {
        self.refuse_if_broken()?;
        if self.committed >= self.settings.table_entries && self.table.len() == self.committed {
            return self.spill();
        }
        if self.logged < self.committed {
            let outcome = self.log.append(&self.table.entries()[self.logged..self.committed]);
            self.note(outcome)?;
            self.logged = self.committed;
        }
        Ok(())
    }

    /// Flushes, and makes durable all that was committed.
    pub fn sync(&mut self) -> Result<(), DedupError> {
        self.flush()?;
        let outcome = self.log.sync();
        self.note(outcome)
    }

    /// Drops the runs whose newest entry was sealed longer ago than the retention. `now` is in nanoseconds since 1970.
    /// Says how many.
    pub fn expire(&mut self, now: u64) -> Result<usize, DedupError> {
        let retention = u64::try_from(self.settings.retention.as_nanos()).unwrap_or(u64::MAX);
        let Some(before) = now.checked_sub(retention) else { return Ok(0) };
        self.runs.remove_where(&self.dir, self.disk.as_ref(), |run| run.last_sealed_at() < before)
    }

    /// Entries known, in memory and in runs.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.table.len() as u64 + self.runs.entries()
    }

    /// Number of runs on disk.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Runs that were dropped before their time, since start-up, because there were too many.
    #[must_use]
    pub fn dropped_early(&self) -> u64 {
        self.dropped_early
    }

    /// Highest index known (staged ones included): at start-up the journal is replayed from the one after it.
    #[must_use]
    pub fn highest_index(&self) -> Option<u64> {
        self.table.entries().last().map(Entry::index).or(self.runs.highest_index())
    }

    /// Writes the table as a run and begins an empty log.
    fn spill(&mut self) -> Result<(), DedupError> {
        while self.runs.len() >= self.settings.max_runs {
            tracing::warn!(runs = self.runs.len(), "too many duplicate-index runs: the oldest is dropped early");
            self.runs.remove_oldest(&self.dir, self.disk.as_ref())?;
            self.dropped_early += 1;
        }
        let written = run_writer::write(&self.dir, self.disk.as_ref(), self.table.entries(), self.settings.random)
            .and_then(|path| self.runs.add(self.disk.as_ref(), &path));
        self.note(written)?;
        self.table.truncate(0);
        (self.committed, self.logged) = (0, 0);
        match Log::create(&self.dir, self.disk.as_ref(), &[]) {
            Ok(log) => self.log = log,
            Err(error @ DedupError::Broken { .. }) => return self.note(Err(error)),
            // The old log goes on: what of it is in the run is passed over at start-up.
            Err(error) => tracing::warn!(%error, "the duplicate index's log could not be begun anew, it goes on"),
        }
        Ok(())
    }

    fn note(&mut self, outcome: Result<(), DedupError>) -> Result<(), DedupError> {
        if let Err(DedupError::Broken { what }) = &outcome {
            self.broken = Some(what.clone());
        }
        outcome
    }

    fn refuse_if_broken(&self) -> Result<(), DedupError> {
        match &self.broken {
            Some(what) => Err(DedupError::Broken { what: what.clone() }),
            None => Ok(()),
        }
    }
}
