//! Reading an archive back: looking records up, and the row groups that verification walks.
//!
//! What is read may be hostile. Every size is checked before anything is allocated from it where Parquet's API shows it,
//! and nothing panics. The reader holds one row group at a time.

mod group;
mod object;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tachograph_ledger::{Commit, CommitError, Object, ObjectKind};
use tachograph_record::{COLUMNS, Value};

use super::identity::{Identity, IdentityError};
use super::store::{Store, StoreError};
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

/// The reading end of an archive, as its commits stood when it was opened.
pub struct Reader {
    store: Arc<dyn Store>,
    identity: Identity,
    commits: Vec<Commit>,
}

impl Reader {
    /// Reads the commits and checks their signatures with the key that the archive itself names. It does not verify the archive.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, ReadError> {
        let identity = Identity::read(&*store)??;
        let mut commits = Vec::new();
        for path in store.list(paths::COMMITS)? {
            let bytes = store.read(&path, MAX_NOTE_BYTES)?;
            let commit = Commit::open(&bytes, &identity.vkey).map_err(|source| ReadError::Commit { path, source })?;
            commits.push(commit);
        }
        Ok(Self { store, identity, commits })
    }

    /// Whose archive it is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The commits, in order.
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.first.saturating_add(commit.count))
    }

    /// The first `limit` records, in order of index, whose `column` has `value`.
    ///
    /// Row groups are left out by their statistics and bloom filters. A string longer than a column keeps
    /// ([`tachograph_record::COLUMN_TEXT_LIMIT`]) is not found.
    pub fn find(&self, column: &str, value: Value<'_>, limit: usize) -> Result<Vec<Found>, ReadError> {
        let at = COLUMNS.iter().position(|known| known.name == column);
        let at = at.ok_or_else(|| ReadError::NoColumn(column.chars().take(80).collect()))?;
        let mut found = Vec::new();
        for object in self.records_objects() {
            if found.len() >= limit {
                break;
            }
            RecordsObject::open(&*self.store, object)?.find(at, value, limit - found.len(), &mut found)?;
        }
        Ok(found)
    }

    /// The record at `index`.
    pub fn by_index(&self, index: u64) -> Result<Option<Found>, ReadError> {
        let holder =
            self.commits.iter().find(|commit| index.checked_sub(commit.first).is_some_and(|at| at < commit.count));
        let Some(commit) = holder else { return Ok(None) };
        for object in commit.objects.iter().filter(|object| is_records(object)) {
            let found = RecordsObject::open(&*self.store, object)?.by_index(index)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Calls `each` with every record in order of index, until it returns `false`.
    pub fn scan(&self, mut each: impl FnMut(u64, &[u8]) -> bool) -> Result<(), ReadError> {
        for object in self.records_objects() {
            let object = RecordsObject::open(&*self.store, object)?;
            for group in 0..object.group_count() {
                let group = object.bodies(group)?;
                if !group.iter().all(|(index, body)| each(*index, body)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn records_objects(&self) -> impl Iterator<Item = &Object> {
        self.commits.iter().flat_map(|commit| &commit.objects).filter(|object| is_records(object))
    }
}

fn is_records(object: &Object) -> bool {
    matches!(object.kind, ObjectKind::Records { .. })
}
