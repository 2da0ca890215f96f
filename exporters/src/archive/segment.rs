//! A segment: a run of consecutive records on its way into its Parquet objects.
//!
//! Rows are checked against the chain as they come (the archive must never hold what verification would refuse),
//! buffered up to one row group, and written: the leaves of all to one object, the bodies of each retention class to another. With
//! one class both objects have the same row groups, so that a verifier that walks them side by side holds one group of each.
//! However many classes there are, no more bodies are buffered than one row group has. Equal rows give equal files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use sha2::{Digest, Sha256};
use tachograph_ledger::commit::MAX_RETAIN_UNTIL;
use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE};
use tachograph_ledger::{ChainError, ChainVerifier, Edge, Hash, Lock, Object, ObjectKind};
use tachograph_record::{Body, BodyError, COLUMNS, Kind, Time, TimeError};

use super::columns::{ColumnBuffer, Strings, int_of, write_ints};
use super::paths;
use super::retention::{Classify, MAX_CLASSES, Retention};
use super::schema::{self, MAX_BODY_BYTES, MAX_GROUP_BODY_BYTES, MAX_GROUP_ROWS};
use super::store::{ErrorKind, Keep, MAX_SKEW, ReadAt, Store, StoreError, Upload, shown_date};
use crate::verify::RECORDER_PRODUCER;

/// The class of what no other class takes.
pub const DEFAULT_CLASS: &str = "default";

/// Default zstd level. On records of 2.4 KB, level 3 took more time and made the objects no smaller.
pub const DEFAULT_ZSTD_LEVEL: i32 = 1;

/// One sealed record.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Position in the ledger.
    pub index: u64,
    /// The leaf's bytes.
    pub leaf: &'a [u8],
    /// Hash of the leaf.
    pub hash: &'a Hash,
    /// The record's MAC.
    pub mac: &'a [u8; 32],
    /// The body's bytes.
    pub body: &'a [u8],
}

/// What [`Segment::push`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The record is in the segment.
    Taken,
    /// Not taken: it was sealed on another day, and a segment never spans two. Append this segment and begin the next with it.
    OtherDay,
}

/// Why a segment can't be written. The segment is of no more use: drop it and begin again.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The record does not continue the chain.
    #[error("the record does not continue the ledger: {0}; the journal and the archive disagree")]
    Chain(#[from] ChainError),
    /// The body is not what the leaf was made for.
    #[error("record {index}: the body has {found} bytes, the leaf says {expected}; the journal is damaged")]
    BodyLength {
        /// The record.
        index: u64,
        /// Length of the body.
        found: usize,
        /// `body_len` in the leaf.
        expected: u64,
    },
    /// The body is larger than a reader takes.
    #[error("record {index}: the body has {bytes} bytes, the limit is {MAX_BODY_BYTES}")]
    BodyTooLong {
        /// The record.
        index: u64,
        /// Its length.
        bytes: usize,
    },
    /// The body does not follow the format.
    #[error("record {index}: {source}")]
    Body {
        /// The record.
        index: u64,
        /// Why.
        source: BodyError,
    },
    /// The leaf's time is out of range.
    #[error("record {index}: {source}")]
    Time {
        /// The record.
        index: u64,
        /// Why.
        source: TimeError,
    },
    /// More classes than a segment may have.
    #[error("record {index} would begin class number {}, `{class}`: at most {MAX_CLASSES} are allowed", MAX_CLASSES + 1)]
    Classes {
        /// The record.
        index: u64,
        /// Its class.
        class: String,
    },
    /// Nothing was pushed.
    #[error("a segment needs at least one record")]
    Empty,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The Parquet writer failed.
    #[error("can't write Parquet: {0}")]
    Parquet(ParquetError),
}

impl SegmentError {
    /// Whether the same records may be archived later without anybody changing the configuration.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}

/// The store's error, if it was that which stopped the Parquet writer: the writer itself keeps only its text.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<StoreError>>>);

impl Failure {
    fn note(&self, error: &io::Error) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| StoreError::of_write("segment", error));
    }

    fn behind(&self, error: ParquetError) -> SegmentError {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(store) => SegmentError::Store(store),
            None => SegmentError::Parquet(error),
        }
    }
}

/// A run of records that is being written. See [`Archive::begin`](super::Archive::begin).
pub struct Segment {
    first: u64,
    chain: ChainVerifier,
    store: Arc<dyn Store>,
    zstd_level: i32,
    sealed_on: Option<Time>,
    newest: Time,
    leaves: SerializedFileWriter<Hashed>,
    leaf_group: LeafGroup,
    classes: BTreeMap<String, Class>,
    failure: Failure,
    /// Of the row groups being filled.
    buffered_bytes: usize,
    body_bytes: u64,
    changes: Vec<Change>,
}

/// A record that changes the ledger's keys: its index and body.
pub(crate) type Change = (u64, Vec<u8>);

/// The records of one retention class.
struct Class {
    writer: SerializedFileWriter<Hashed>,
    group: Group,
    rows: u64,
}

/// A segment whose objects are durable.
pub(crate) struct Written {
    pub(crate) first: u64,
    pub(crate) edge: Edge,
    pub(crate) last_hash: Hash,
    pub(crate) objects: Vec<Object>,
    /// How commit and checkpoint are kept: not for less than the commit signs.
    pub(crate) proofs: Option<Keep>,
    pub(crate) changes: Vec<Change>,
}

/// The row group of leaves that is being filled.
struct LeafGroup {
    indexes: Vec<i64>,
    leaves: Strings,
    hashes: Strings,
    macs: Strings,
}

/// The row group of bodies that is being filled.
struct Group {
    indexes: Vec<i64>,
    columns: Vec<ColumnBuffer>,
    bodies: Strings,
}

impl Segment {
    pub(crate) fn begin(store: Arc<dyn Store>, chain: ChainVerifier, zstd_level: i32) -> Result<Self, SegmentError> {
        let failure = Failure::default();
        let upload = Hashed::new(store.begin()?, failure.clone());
        let writer =
            || SerializedFileWriter::new(upload, schema::leaves_schema()?, schema::leaves_properties(zstd_level)?);
        let leaves = writer().map_err(|error| failure.behind(error))?;
        let first = chain.next_index();
        Ok(Self {
            first,
            chain,
            store,
            zstd_level,
            sealed_on: None,
            newest: Time::default(),
            leaves,
            leaf_group: LeafGroup::new(),
            classes: BTreeMap::new(),
            failure,
            buffered_bytes: 0,
            body_bytes: 0,
            changes: Vec::new(),
        })
    }

    /// Takes the next record, in the order of the ledger.
    pub fn push(&mut self, row: Row<'_>, classify: &dyn Classify) -> Result<Pushed, SegmentError> {
        let index = row.index;
        if row.body.len() > MAX_BODY_BYTES {
            return Err(SegmentError::BodyTooLong { index, bytes: row.body.len() });
        }
        // Looked at before the chain moves on: the record may belong into the next segment.
        let sealed_at = sealed_at(row)?;
        if self.sealed_on.is_some_and(|day| day.day_number() != sealed_at.day_number()) {
            return Ok(Pushed::OtherDay);
        }
        let body = Body::parse_columns(row.body).map_err(|source| SegmentError::Body { index, source })?;
        let stored = int_of(index).map_err(SegmentError::Parquet)?;
        let leaf = self.chain.push(index, row.leaf, row.hash)?;
        if leaf.body_len != row.body.len() as u64 {
            return Err(SegmentError::BodyLength { index, found: row.body.len(), expected: leaf.body_len });
        }
        self.sealed_on.get_or_insert(sealed_at);
        self.newest = self.newest.max(sealed_at);
        self.buffer(stored, row, &body, classify.class(&body, row.body))?;
        self.body_bytes += row.body.len() as u64;
        if changes_keys(&body) {
            self.changes.push((index, row.body.to_vec()));
        }
        Ok(Pushed::Taken)
    }

    fn buffer(&mut self, stored: i64, row: Row<'_>, body: &Body<'_>, class: &str) -> Result<(), SegmentError> {
        let full = |name: &str, group: &Group| name == class && group.indexes.len() >= MAX_GROUP_ROWS;
        if let Some(name) =
            self.classes.iter().find(|(name, class)| full(name, &class.group)).map(|(name, _)| name.clone())
        {
            self.flush_group(&name)?;
        }
        while self.buffered_bytes > 0 && self.buffered_bytes + row.body.len() > MAX_GROUP_BODY_BYTES {
            let fullest = self.classes.iter().max_by_key(|(_, class)| class.group.bodies.byte_len());
            let Some(name) = fullest.map(|(name, _)| name.clone()) else { break };
            self.flush_group(&name)?;
        }
        if self.leaf_group.indexes.len() >= MAX_GROUP_ROWS {
            self.flush_leaves()?;
        }
        if !self.classes.contains_key(class) {
            let new = self.begin_class(row.index, class)?;
            self.classes.insert(class.to_owned(), new);
        }
        if let Some(class) = self.classes.get_mut(class) {
            class.group.push(stored, row, body);
            class.rows += 1;
        }
        self.leaf_group.push(stored, row);
        self.buffered_bytes += row.body.len();
        Ok(())
    }

    fn begin_class(&self, index: u64, class: &str) -> Result<Class, SegmentError> {
        if self.classes.len() >= MAX_CLASSES {
            return Err(SegmentError::Classes { index, class: class.to_owned() });
        }
        let upload = Hashed::new(self.store.begin()?, self.failure.clone());
        let writer = || {
            SerializedFileWriter::new(upload, schema::records_schema()?, schema::records_properties(self.zstd_level)?)
        };
        let writer = writer().map_err(|error| self.failure.behind(error))?;
        Ok(Class { writer, group: Group::new(), rows: 0 })
    }

    /// Index of the first record.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Number of records taken.
    pub fn rows(&self) -> u64 {
        self.chain.next_index() - self.first
    }

    /// Bytes of all bodies taken.
    pub const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Number of retention classes among them.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Bytes of the objects so far. The row groups being filled are not in it.
    pub fn written_bytes(&self) -> u64 {
        let records: usize = self.classes.values().map(|class| class.writer.bytes_written()).sum();
        (self.leaves.bytes_written() + records) as u64
    }

    /// Writes out the row group of a class, and the leaves so far: with one class both objects have the same row groups.
    fn flush_group(&mut self, class: &str) -> Result<(), SegmentError> {
        self.flush_leaves()?;
        let Some(class) = self.classes.get_mut(class) else { return Ok(()) };
        self.buffered_bytes -= class.group.bodies.byte_len();
        class.flush().map_err(|error| self.failure.behind(error))
    }

    fn flush_leaves(&mut self) -> Result<(), SegmentError> {
        if self.leaf_group.indexes.is_empty() {
            return Ok(());
        }
        let written = self.leaves.next_row_group().and_then(|group| self.leaf_group.write(group));
        written.map_err(|error| self.failure.behind(error))
    }

    /// Writes what is left and makes all objects durable, each kept as long as `retention` says.
    pub(crate) fn finish(mut self, retention: Option<&Retention>) -> Result<Written, SegmentError> {
        let (Some(day), rows) = (self.sealed_on, self.rows()) else { return Err(SegmentError::Empty) };
        self.flush_leaves()?;
        let (first, day, store, failure) = (self.first, day.day(), &*self.store, self.failure);
        let dates = retention.map(|retention| Dates::in_store(store, retention, self.newest)).transpose()?;
        let mut finished = Vec::with_capacity(self.classes.len() + 1);
        for (name, mut class) in self.classes {
            class.flush().map_err(|error| failure.behind(error))?;
            let rows = class.rows;
            finished.push((name, rows, class.writer.into_inner().map_err(|error| failure.behind(error))?));
        }
        let leaves = self.leaves.into_inner().map_err(|error| failure.behind(error))?;
        let mut objects = Vec::with_capacity(finished.len() + 1);
        let keep = dates.as_ref().map(Dates::proofs);
        objects
            .push(leaves.finish(store, rows, ObjectKind::Leaves, keep, |hash| paths::leaves(&day, first, rows, hash))?);
        for (class, rows, upload) in finished {
            let keep = dates.as_ref().map(|dates| dates.of_class(&class));
            let path = |hash: &Hash| paths::records(&class, &day, first, rows, hash);
            objects.push(upload.finish(store, rows, ObjectKind::Records { class: class.clone() }, keep, path)?);
        }
        Ok(Written {
            first,
            last_hash: self.chain.prev(),
            edge: self.chain.edge().clone(),
            objects,
            proofs: dates.as_ref().map(Dates::proofs).map(|keep| Keep { at_least: keep.until, ..keep }),
            changes: self.changes,
        })
    }
}

impl Class {
    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.group.indexes.is_empty() {
            return Ok(());
        }
        self.writer.next_row_group().and_then(|group| self.group.write(group))
    }
}

/// Until when the objects of one segment are kept, by the store's clock.
struct Dates<'r> {
    retention: &'r Retention,
    /// Seconds since 1970, from which retention counts.
    base: u64,
    /// When the newest record was sealed: what was uploaded before must be kept from then on at least.
    sealed: u64,
}

impl<'r> Dates<'r> {
    /// An error before anything is locked that a commit could not sign.
    fn in_store(store: &dyn Store, retention: &'r Retention, newest: Time) -> Result<Self, StoreError> {
        let dates = Self::new(store.now()?, retention, newest);
        // No class is kept longer than proofs.
        if dates.proofs().until > MAX_RETAIN_UNTIL {
            let what = format!(
                "what counts from {} can't be kept for {} s: no commit signs a date after 2262-04-11. Mend the clock, or lower \
                 archive.retention. Nothing is lost, and it is tried again",
                shown_date(dates.base),
                retention.proofs.as_secs()
            );
            return Err(StoreError::new(ErrorKind::Unavailable, store.place(), what));
        }
        Ok(dates)
    }

    /// `now` is the store's. What was sealed while this machine's clock ran ahead counts from there: a lock can't be taken back.
    fn new(now: Option<Time>, retention: &'r Retention, newest: Time) -> Self {
        let seconds = |time: Time| time.unix_nanos().div_ceil(1_000_000_000);
        let sealed = seconds(newest);
        let base = now.map_or(sealed, |now| seconds(now).max(sealed.min(seconds(now) + MAX_SKEW.as_secs())));
        Self { retention, base, sealed: sealed.min(base) }
    }

    fn proofs(&self) -> Keep {
        self.keep(self.retention.proofs.as_secs())
    }

    fn of_class(&self, class: &str) -> Keep {
        self.keep(self.retention.keep(class).as_secs())
    }

    fn keep(&self, seconds: u64) -> Keep {
        Keep {
            lock: self.retention.lock,
            until: self.base.saturating_add(seconds),
            at_least: self.sealed.saturating_add(seconds),
        }
    }
}

/// Whether the recorder speaks of keys here.
fn changes_keys(body: &Body<'_>) -> bool {
    let record = &body.record;
    matches!(record.action_type.as_deref(), Some(KEY_ANNOUNCE | KEY_RETIRE))
        && record.kind == Kind::Lifecycle
        && record.producer.as_deref() == Some(RECORDER_PRODUCER)
}

/// When the record was sealed. The leaf is checked in full as the chain takes it; before that only its day is asked
/// for, and since no value of a leaf holds a quote, the key can't be found elsewhere.
fn sealed_at(row: Row<'_>) -> Result<Time, SegmentError> {
    const KEY: &[u8] = b"\"sealed_at\":\"";
    let at = row.leaf.windows(KEY.len()).rposition(|window| window == KEY);
    let digits = at.map(|at| row.leaf[at + KEY.len()..].iter().take_while(|byte| byte.is_ascii_digit()));
    let nanos = digits
        .into_iter()
        .flatten()
        .fold(0_u64, |nanos, digit| nanos.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    Time::from_unix_nanos(nanos).map_err(|source| SegmentError::Time { index: row.index, source })
}

impl LeafGroup {
    fn new() -> Self {
        Self {
            indexes: Vec::with_capacity(MAX_GROUP_ROWS),
            leaves: Strings::default(),
            hashes: Strings::default(),
            macs: Strings::default(),
        }
    }

    fn push(&mut self, index: i64, row: Row<'_>) {
        self.indexes.push(index);
        self.leaves.push(row.leaf);
        self.hashes.push(row.hash.as_bytes());
        self.macs.push(row.mac);
    }

    fn write(&mut self, mut group: SerializedRowGroupWriter<'_, Hashed>) -> Result<(), ParquetError> {
        next(&mut group, |writer| write_ints(&mut self.indexes, writer, None))?;
        next(&mut group, |writer| self.leaves.write(writer, None))?;
        next(&mut group, |writer| self.hashes.write_fixed(writer, None))?;
        next(&mut group, |writer| self.macs.write_fixed(writer, None))?;
        group.close().map(drop)
    }
}

impl Group {
    fn new() -> Self {
        Self {
            indexes: Vec::new(),
            columns: COLUMNS.iter().map(ColumnBuffer::new).collect(),
            bodies: Strings::default(),
        }
    }

    fn push(&mut self, index: i64, row: Row<'_>, body: &Body<'_>) {
        self.indexes.push(index);
        for column in &mut self.columns {
            column.push(column.column().derive(body));
        }
        self.bodies.push(row.body);
        debug_assert_eq!(self.indexes.len(), self.bodies.len());
    }

    fn write(&mut self, mut group: SerializedRowGroupWriter<'_, Hashed>) -> Result<(), ParquetError> {
        next(&mut group, |writer| write_ints(&mut self.indexes, writer, None))?;
        for column in &mut self.columns {
            next(&mut group, |writer| column.write(writer))?;
        }
        next(&mut group, |writer| self.bodies.write(writer, None))?;
        group.close().map(drop)
    }
}

type ColumnWriter<'a> = parquet::file::writer::SerializedColumnWriter<'a>;

fn next(
    group: &mut SerializedRowGroupWriter<'_, Hashed>,
    write: impl FnOnce(&mut ColumnWriter<'_>) -> Result<(), ParquetError>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns than are written".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    write(&mut column)?;
    column.close()
}

/// An upload that is hashed on its way.
struct Hashed {
    upload: Box<dyn Upload>,
    failure: Failure,
    hasher: Sha256,
    size: u64,
}

impl Hashed {
    fn new(upload: Box<dyn Upload>, failure: Failure) -> Self {
        Self { upload, failure, hasher: Sha256::new(), size: 0 }
    }

    /// Makes the object durable under the name that `path` gives to its hash.
    fn finish(
        self,
        store: &dyn Store,
        rows: u64,
        kind: ObjectKind,
        keep: Option<Keep>,
        path: impl FnOnce(&Hash) -> String,
    ) -> Result<Object, SegmentError> {
        let sha256 = Hash::from_bytes(self.hasher.finalize().into());
        let until = keep.map(|keep| keep.until);
        let object = Object { kind, path: path(&sha256), rows, sha256, size: self.size, retain_until: until };
        match self.upload.finish(&object.path, until) {
            // The name holds the hash, so what is there should be our own earlier upload; make sure of it.
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                if sha256_of(store, &object.path, object.size)? != Some(sha256) {
                    return Err(error.into());
                }
                Ok(adopt(store, object, keep)?)
            }
            finished => Ok(finished.map(|()| object)?),
        }
    }
}

/// An object that an interrupted run uploaded keeps mode and date that it was given then, if they are enough.
fn adopt(store: &dyn Store, object: Object, keep: Option<Keep>) -> Result<Object, StoreError> {
    let Some(keep) = keep.filter(|keep| keep.lock != Lock::None) else { return Ok(object) };
    let found = store.confirm_held(&object.path, keep.lock, keep.at_least)?;
    Ok(Object { retain_until: Some(found.min(keep.until)), ..object })
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.upload.write(bytes).inspect_err(|error| self.failure.note(error))?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}

/// SHA-256 of an object; `None` if it has not `size` bytes.
pub(crate) fn sha256_of(store: &dyn Store, path: &str, size: u64) -> Result<Option<Hash>, StoreError> {
    let object = store.open(path)?;
    if object.size() != size {
        return Ok(None);
    }
    hash(&*object, path).map(Some)
}

/// SHA-256 of an object of whatever size.
pub(crate) fn sha256_of_all(store: &dyn Store, path: &str) -> Result<Hash, StoreError> {
    hash(&*store.open(path)?, path)
}

/// Reads piece by piece.
fn hash(object: &dyn ReadAt, path: &str) -> Result<Hash, StoreError> {
    const PIECE: u64 = 1 << 18;
    let mut hasher = Sha256::new();
    let mut at = 0;
    while at < object.size() {
        let length = PIECE.min(object.size() - at);
        let piece = object.read_at(at, length as usize).map_err(|error| StoreError::of_io(path, "read", &error))?;
        hasher.update(&piece);
        at += length;
    }
    Ok(Hash::from_bytes(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::archive::tests::store_at;

    const THEN: u64 = 1_764_000_000;
    const KEEP: u64 = 86_400;

    fn at(seconds: u64) -> Time {
        Time::from_unix_nanos(seconds * 1_000_000_000).unwrap()
    }

    fn retention(proofs: u64) -> Retention {
        let (default, proofs) = (Duration::from_secs(KEEP), Duration::from_secs(proofs));
        Retention { lock: Lock::None, default, classes: Vec::new(), proofs }
    }

    #[test]
    fn dates_count_from_the_store_s_clock_and_hardly_from_one_that_runs_ahead() {
        let retention = retention(2 * KEEP);
        let skew = MAX_SKEW.as_secs();
        for (now, sealed, base, least) in [
            (Some(THEN), THEN - 60, THEN, THEN - 60),
            (Some(THEN), THEN + 60, THEN + 60, THEN + 60),
            (Some(THEN), THEN + 400 * KEEP, THEN + skew, THEN + skew),
            (None, THEN, THEN, THEN),
        ] {
            let dates = Dates::new(now.map(at), &retention, at(sealed));
            let (default, proofs) = (dates.of_class(DEFAULT_CLASS), dates.proofs());
            assert_eq!((default.until, default.at_least), (base + KEEP, least + KEEP), "{now:?} {sealed}");
            assert_eq!((proofs.until, proofs.at_least), (base + 2 * KEEP, least + 2 * KEEP), "{now:?} {sealed}");
        }
    }

    #[test]
    fn a_date_that_no_commit_can_sign_is_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_at(directory.path());
        let century = retention(100 * 365 * KEEP);
        let told = |sealed: u64| Dates::in_store(&store, &century, at(sealed)).map(|dates| dates.proofs().until);
        let last = MAX_RETAIN_UNTIL - century.proofs.as_secs();
        assert_eq!(told(last).unwrap(), MAX_RETAIN_UNTIL);
        let error = told(last + 1).unwrap_err();
        assert!(error.is_retryable() && error.what.contains("2262-04-11"), "{error}");
    }
}
