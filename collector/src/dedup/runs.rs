//! All runs, oldest first, and which of them may list an id.

use std::path::Path;

use super::entry::{ContentDigest, EventId};
use super::error::DedupError;
use super::ranges::{Map, is_timed, prefix};
use super::run::{Hit, Run};
use crate::journal::disk::Disk;

/// End of a run's name, behind the 20 digits of its first index.
pub(super) const RUN_SUFFIX: &str = ".run";
/// The same, until it is durable.
pub(super) const TEMPORARY_SUFFIX: &str = ".run.tmp";

/// So many of the newest runs keep their file open.
const OPEN_FILES: usize = 64;
/// So many of the newest runs keep their filter in memory: late events are looked for in these.
const FILTERS_IN_MEMORY: usize = 8;

#[derive(Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
    map: Map,
}

impl Runs {
    /// Reads the headers of all runs, and removes what an interrupted write left.
    pub(super) fn open(dir: &Path, disk: &dyn Disk) -> Result<Runs, DedupError> {
        let mut names = disk.list(dir).map_err(DedupError::io("list", dir))?;
        names.sort_unstable();
        let mut runs = Runs::default();
        for name in names {
            let path = dir.join(&name);
            if name.ends_with(TEMPORARY_SUFFIX) {
                disk.remove(&path).map_err(DedupError::io("remove", &path))?;
            } else if name.ends_with(RUN_SUFFIX) {
                let run = Run::open(disk, &path)?;
                if format!("{:020}{RUN_SUFFIX}", run.header().first_index) != name {
                    return Err(DedupError::corrupt(&path, "its name is not that of its first index"));
                }
                if runs.highest_index().is_some_and(|highest| highest >= run.header().first_index) {
                    return Err(DedupError::corrupt(&path, "it overlaps the run before it"));
                }
                runs.runs.push(run);
            }
        }
        runs.arrange(disk)?;
        Ok(runs)
    }

    /// The highest index of all runs, changing nothing.
    pub(super) fn look(dir: &Path, disk: &dyn Disk) -> Result<Option<u64>, DedupError> {
        let mut names = disk.list(dir).map_err(DedupError::io("list", dir))?;
        names.retain(|name| name.ends_with(RUN_SUFFIX));
        // Named after their first index, and without overlap: the last has the highest.
        match names.iter().max() {
            Some(newest) => Ok(Some(Run::open(disk, &dir.join(newest))?.header().last_index)),
            None => Ok(None),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn entries(&self) -> u64 {
        self.runs.iter().map(|run| run.header().count).sum()
    }

    pub(super) fn highest_index(&self) -> Option<u64> {
        self.runs.last().map(|run| run.header().last_index)
    }

    /// Takes up the run that was just written.
    pub(super) fn add(&mut self, disk: &dyn Disk, path: &Path) -> Result<(), DedupError> {
        let run = Run::open(disk, path).map_err(DedupError::into_broken)?;
        self.runs.push(run);
        self.arrange(disk).map_err(DedupError::into_broken)
    }

    /// What the runs have of an id, newest run first.
    pub(super) fn find(&self, disk: &dyn Disk, id: &EventId, digest: &ContentDigest) -> Result<Vec<Hit>, DedupError> {
        let prefix = prefix(id);
        let mut candidates: Vec<u32> = if is_timed(id) {
            self.map.around(prefix).collect()
        } else {
            let around = |run: &Run| (run.header().untimed.0..=run.header().untimed.1).contains(&prefix);
            (0..self.runs.len() as u32).filter(|at| around(&self.runs[*at as usize])).collect()
        };
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        let mut hits = Vec::new();
        for at in candidates {
            let Some(hit) = self.runs[at as usize].find(disk, id, digest)? else { continue };
            hits.push(hit);
            if hit.exact.is_some() {
                break;
            }
        }
        Ok(hits)
    }

    /// Removes the runs that are `old`. Says how many.
    pub(super) fn remove_where(
        &mut self,
        dir: &Path,
        disk: &dyn Disk,
        old: impl Fn(&Run) -> bool,
    ) -> Result<usize, DedupError> {
        let before = self.runs.len();
        let mut failed = None;
        self.runs.retain(|run| {
            if failed.is_some() || !old(run) {
                return true;
            }
            match disk.remove(run.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    failed = Some(DedupError::io("remove", run.path())(error));
                    true
                }
                _ => false,
            }
        });
        let removed = before - self.runs.len();
        if removed > 0 {
            self.arrange(disk)?;
            // A run that comes back after a power cut is removed again; it does no harm.
            disk.sync_dir(dir).map_err(DedupError::io("sync", dir))?;
        }
        failed.map_or(Ok(removed), Err)
    }

    pub(super) fn remove_oldest(&mut self, dir: &Path, disk: &dyn Disk) -> Result<(), DedupError> {
        let Some(oldest) = self.runs.first().map(|run| run.header().first_index) else { return Ok(()) };
        self.remove_where(dir, disk, |run| run.header().first_index == oldest).map(drop)
    }

    fn arrange(&mut self, disk: &dyn Disk) -> Result<(), DedupError> {
        let len = self.runs.len();
        for (at, run) in self.runs.iter_mut().enumerate() {
            let age = len - at;
            run.keep(disk, age <= OPEN_FILES, age <= FILTERS_IN_MEMORY)?;
        }
        self.map = Map::new((0..).zip(self.runs.iter().map(|run| run.header().timed.clone())));
        Ok(())
    }
}
