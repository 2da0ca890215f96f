//! Reading an archive back: looking records up, and the row groups that verification walks.
//!
//! What is read may be hostile. Every size is checked before anything is allocated from it where Parquet's API shows it,
//! and nothing panics. The reader holds one row group at a time.

mod group;
mod object;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range, RangeInclusive};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tachograph_ledger::{Commit, CommitError, Hash, KeyHistory, Object, ObjectKind};
use tachograph_record::{COLUMNS, Value};

use super::identity::{Identity, IdentityError};
use super::key_links::Links;
use super::segment::sha256_of;
use super::store::{ErrorKind, Store, StoreError};
use super::{MAX_NOTE_BYTES, paths};

pub(crate) use group::describe_value;
pub use group::{Cell, ColumnCells, LeafGroup, RecordGroup};
pub use object::{LeavesObject, MAX_READ_GROUP_ROWS, RecordsObject};

/// Why an archive can't be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The bytes of an object are not what the format says.
    #[error("{path}: {what}")]
    Damaged {
        /// The object.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// `ledger.json` is missing or unreadable.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A commit is not good.
    #[error("{path}: {source}")]
    Commit {
        /// The commit.
        path: String,
        /// What is wrong.
        source: CommitError,
    },
    /// There is no such column.
    #[error("records have no column {0:?}")]
    NoColumn(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Position in the ledger.
    pub index: u64,
    /// The body, as it was stored.
    pub body: Vec<u8>,
}

/// Which records of an object are worth a look.
#[derive(Clone, Debug)]
pub struct Search<'v> {
    /// Columns and values of which a record has at least one; empty for all records.
    pub any: Vec<(&'static str, Value<'v>)>,
    /// `timestamp` in nanoseconds since 1970: from, and up to but not including.
    pub times: (u64, u64),
}

/// The reading end of an archive, as its commits stood when it was opened.
pub struct Reader {
    store: Arc<dyn Store>,
    identity: Identity,
    keys: KeyHistory,
    commits: Vec<Commit>,
    gone: Mutex<BTreeSet<String>>,
}

impl Reader {
    /// Reads the commits and checks their signatures with the keys that the archive itself names. It does not verify the archive.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, ReadError> {
        let identity = Identity::read(&*store)??;
        let mut listed = store.list(paths::COMMITS)?;
        listed.retain(|path| paths::number_of(path, paths::COMMITS).is_some());
        // Behind the list of commits: a collector that runs meanwhile links a key before it signs with it.
        let keys = Links::read(&*store, identity.vkey.clone())?.history;
        let mut commits: Vec<Commit> = Vec::new();
        let mut bad: Option<(u64, ReadError)> = None;
        store.read_each(&listed, MAX_NOTE_BYTES, &mut |path, bytes| {
            let opened = bytes.map_err(ReadError::from).and_then(|bytes| {
                Commit::open(&bytes, &keys).map_err(|source| ReadError::Commit { path: path.to_owned(), source })
            });
            match opened {
                Ok(commit) => commits.push(commit),
                Err(ReadError::Store(error)) if error.kind != ErrorKind::TooLarge => {
                    bad = Some((0, error.into()));
                    return ControlFlow::Break(());
                }
                Err(error) => bad = bad.take().or(Some((paths::number_of(path, paths::COMMITS).unwrap_or(0), error))),
            }
            ControlFlow::Continue(())
        });
        let end = commits.last().map_or(0, Commit::end);
        // What somebody put behind the end is a verifier's business.
        if let Some((number, error)) = bad
            && number <= end
        {
            return Err(error);
        }
        Ok(Self { store, identity, keys, commits, gone: Mutex::default() })
    }

    /// Whose archive it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The ledger's keys, as far as they are linked to the one that the archive names.
    pub const fn keys(&self) -> &KeyHistory {
        &self.keys
    }

    /// The commits, in order.
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        self.commits.last().map_or(0, Commit::end)
    }

    /// The first `limit` records, in order of index, whose `column` has `value`.
    ///
    /// Row groups are left out by their statistics and bloom filters. A string longer than a column keeps
    /// ([`tachograph_record::COLUMN_TEXT_LIMIT`]) is not found.
    pub fn find(&self, column: &str, value: Value<'_>, limit: usize) -> Result<Vec<Found>, ReadError> {
        let at = self::column(column)?;
        let mut found = Vec::new();
        for commit in &self.commits {
            let mut of_commit = Vec::new();
            for object in self.open_records(commit)? {
                object.find(at, value, limit - found.len(), &mut of_commit)?;
            }
            // Each object is in order; classes interleave.
            of_commit.sort_by_key(|found: &Found| found.index);
            found.extend(of_commit);
            if found.len() >= limit {
                found.truncate(limit);
                break;
            }
        }
        Ok(found)
    }

    /// The records of a run, in order of index, whose `column` has `value`.
    pub fn find_within(&self, run: Range<u64>, column: &str, value: Value<'_>) -> Result<Vec<Found>, ReadError> {
        let at = self::column(column)?;
        let mut found = Vec::new();
        let within = |commit: &&Commit| commit.first < run.end && commit.end() > run.start;
        for commit in self.commits.iter().filter(within) {
            for object in self.open_records(commit)? {
                object.find(at, value, usize::MAX, &mut found)?;
            }
        }
        found.retain(|found| run.contains(&found.index));
        found.sort_by_key(|found| found.index);
        Ok(found)
    }

    /// The first `limit` records, in order of index, whose `timestamp` lies in `times`, nanoseconds since 1970.
    pub fn happened(&self, times: Range<u64>, limit: usize) -> Result<Vec<Found>, ReadError> {
        let at = self::column("timestamp")?;
        let nanos = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        let range = nanos(times.start)..nanos(times.end);
        let mut found = Vec::new();
        for commit in &self.commits {
            let before = found.len();
            for object in self.open_records(commit)? {
                object.find_range(at, &range, limit - before, &mut found)?;
            }
            found[before..].sort_by_key(|found: &Found| found.index);
            if found.len() >= limit {
                found.truncate(limit);
                break;
            }
        }
        Ok(found)
    }

    /// Calls `each` with the records of a run whose bodies are there, in no order, until it returns `false`.
    pub fn run(
        &self,
        run: &RangeInclusive<u64>,
        mut each: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let within = |commit: &&Commit| commit.first <= *run.end() && commit.end() > *run.start();
        for commit in self.commits.iter().filter(within) {
            for object in self.open_records(commit)? {
                object.run(run, &mut each)?;
            }
        }
        Ok(())
    }

    /// Records objects that were looked into and are not there, though they had a date: destroyed, if the ledger says so.
    pub fn gone(&self) -> Vec<String> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The records objects of a commit that are there.
    fn open_records(&self, commit: &Commit) -> Result<Vec<RecordsObject>, ReadError> {
        let mut opened = Vec::new();
        for object in commit.objects.iter().filter(|object| is_records(object)) {
            opened.extend(self.open_one(object)?);
        }
        Ok(opened)
    }

    fn open_one(&self, object: &Object) -> Result<Option<RecordsObject>, ReadError> {
        let mut opened = RecordsObject::open(&*self.store, object);
        if matches!(&opened, Err(ReadError::Store(error)) if error.kind == ErrorKind::NotFound) {
            // Gone, or only hidden.
            self.store.pin(&object.path)?;
            opened = RecordsObject::open(&*self.store, object);
        }
        match opened {
            Err(ReadError::Store(error)) if error.kind == ErrorKind::NotFound && object.retain_until.is_some() => {
                self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(object.path.clone());
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// The record at `index`.
    pub fn by_index(&self, index: u64) -> Result<Option<Found>, ReadError> {
        let holder =
            self.commits.iter().find(|commit| index.checked_sub(commit.first).is_some_and(|at| at < commit.count));
        let Some(commit) = holder else { return Ok(None) };
        for object in self.open_records(commit)? {
            let found = object.by_index(index)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Calls `each` with every record in order of index, until it returns `false`.
    pub fn scan(&self, mut each: impl FnMut(u64, &[u8]) -> bool) -> Result<(), ReadError> {
        for commit in &self.commits {
            let objects = self.open_records(commit)?;
            let mut heads = objects.iter().map(Rows::begin).collect::<Result<Vec<_>, _>>()?;
            // Classes interleave: the lowest index comes first.
            while let Some(head) =
                heads.iter_mut().filter(|rows| rows.index().is_some()).min_by_key(|rows| rows.index())
            {
                if let Some((index, body)) = head.take()?
                    && !each(index, &body)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with every record of the recorder's own class, in order of index, until it returns `false`. Cheap: it is an
    /// object apart.
    ///
    /// What decides over destruction rests on these, so all of them must be there, byte for byte as their commits say.
    pub fn scan_class(&self, class: &str, mut each: impl FnMut(u64, &[u8]) -> bool) -> Result<(), ReadError> {
        for object in self.commits.iter().flat_map(|commit| &commit.objects) {
            if !matches!(&object.kind, ObjectKind::Records { class: found } if found == class) {
                continue;
            }
            if !self.check(object)? {
                let what = "missing, though its commit names it; run `tachograph verify`".to_owned();
                return Err(ReadError::Damaged { path: object.path.clone(), what });
            }
            let object = RecordsObject::open(&*self.store, object)?;
            for group in 0..object.group_count() {
                if !object.bodies(group)?.iter().all(|(index, body)| each(*index, body)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether an object is there, whatever stands in front of it. It is read as a whole.
    ///
    /// # Errors
    /// If it is not, byte for byte, what its commit says.
    pub fn check(&self, object: &Object) -> Result<bool, ReadError> {
        self.store.pin(&object.path)?;
        match sha256_of(&*self.store, &object.path, object.size) {
            Ok(Some(found)) if found == object.sha256 => Ok(true),
            Ok(_) => {
                let what = "not what its commit says; run `tachograph verify`".to_owned();
                Err(ReadError::Damaged { path: object.path.clone(), what })
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks that no commit is missing, up to at least `size` records.
    ///
    /// # Errors
    /// Naming where one is missing.
    pub fn check_commits(&self, size: u64) -> Result<(), ReadError> {
        let mut next = 0;
        for commit in &self.commits {
            if commit.first != next {
                break;
            }
            next = commit.end();
        }
        if next < size || next != self.size() {
            let what = "missing, though the ledger goes on behind it; run `tachograph verify`".to_owned();
            return Err(ReadError::Damaged { path: paths::commit(next), what });
        }
        Ok(())
    }

    /// Whether any record of one object is such that `matches` says so; `None` if the object is gone.
    ///
    /// Only records are looked at that have one of the values of `search` in their columns (all, if it names none), and none of an
    /// object whose times lie wholly outside `search.times`.
    pub fn any_in(
        &self,
        object: &Object,
        search: &Search<'_>,
        mut matches: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<bool>, ReadError> {
        let Some(records) = self.open_one(object)? else { return Ok(None) };
        let (from, to) = search.times;
        let times = column("timestamp").ok().and_then(|at| records.range_of(at));
        let nanos = |bound: i64| u64::try_from(bound).unwrap_or(0);
        if times.is_some_and(|(min, max)| nanos(min) >= to || nanos(max) < from) {
            return Ok(Some(false));
        }
        for (name, value) in &search.any {
            if records.any(column(name)?, *value, &mut matches)? {
                return Ok(Some(true));
            }
        }
        if search.any.is_empty() {
            for group in 0..records.group_count() {
                if records.bodies(group)?.iter().any(|(_, body)| matches(body)) {
                    return Ok(Some(true));
                }
            }
        }
        Ok(Some(false))
    }

    /// The object with the leaf at `index`, and the index of its first.
    fn leaves_of(&self, index: u64) -> Result<Option<(LeavesObject, u64)>, ReadError> {
        let holder =
            self.commits.iter().find(|commit| index.checked_sub(commit.first).is_some_and(|at| at < commit.count));
        let leaves = holder.and_then(|commit| commit.objects.iter().find(|object| object.kind == ObjectKind::Leaves));
        let (Some(commit), Some(object)) = (holder, leaves) else { return Ok(None) };
        Ok(Some((LeavesObject::open(&*self.store, object)?, commit.first)))
    }

    /// Hash and MAC of the leaf at `index`.
    pub fn mac(&self, index: u64) -> Result<Option<(Hash, [u8; 32])>, ReadError> {
        let Some((leaves, mut first)) = self.leaves_of(index)? else { return Ok(None) };
        for group in 0..leaves.group_count() {
            let rows = leaves.rows(group) as u64;
            if index < first + rows {
                let at = usize::try_from(index - first).unwrap_or(usize::MAX);
                return Ok(leaves.macs(group)?.into_iter().nth(at));
            }
            first += rows;
        }
        Ok(None)
    }

    /// Hash of the leaf at `index`.
    pub fn leaf_hash(&self, index: u64) -> Result<Option<Hash>, ReadError> {
        let Some((leaves, mut first)) = self.leaves_of(index)? else { return Ok(None) };
        for group in 0..leaves.group_count() {
            let rows = leaves.rows(group) as u64;
            if index < first + rows {
                let group = leaves.group(group)?;
                let at = usize::try_from(index - first).unwrap_or(usize::MAX);
                let bytes = group.hashes.get(at).and_then(|hash| <[u8; 32]>::try_from(hash.data()).ok());
                return Ok(bytes.map(Hash::from_bytes));
            }
            first += rows;
        }
        Ok(None)
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

/// The rows of one records object, one after another; a row group at a time is held.
struct Rows<'o> {
    object: &'o RecordsObject,
    next_group: usize,
    rows: std::vec::IntoIter<(u64, Bytes)>,
}

impl<'o> Rows<'o> {
    fn begin(object: &'o RecordsObject) -> Result<Self, ReadError> {
        let mut rows = Self { object, next_group: 0, rows: Vec::new().into_iter() };
        rows.fill()?;
        Ok(rows)
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        while self.rows.len() == 0 && self.next_group < self.object.group_count() {
            self.rows = self.object.bodies(self.next_group)?.into_iter();
            self.next_group += 1;
        }
        Ok(())
    }

    fn index(&self) -> Option<u64> {
        self.rows.as_slice().first().map(|(index, _)| *index)
    }

    fn take(&mut self) -> Result<Option<(u64, Bytes)>, ReadError> {
        let taken = self.rows.next();
        self.fill()?;
        Ok(taken)
    }
}

/// Appends all records of an object whose `column` has `value`.
pub(crate) fn find_in(
    object: &RecordsObject,
    name: &str,
    value: Value<'_>,
    found: &mut Vec<Found>,
) -> Result<(), ReadError> {
    object.find(column(name)?, value, usize::MAX, found)
}

/// Where a derived column stands.
fn column(name: &str) -> Result<usize, ReadError> {
    let at = COLUMNS.iter().position(|known| known.name == name);
    at.ok_or_else(|| ReadError::NoColumn(name.chars().take(80).collect()))
}

fn is_records(object: &Object) -> bool {
    matches!(object.kind, ObjectKind::Records { .. })
}
