//! A segment: a run of consecutive records on its way into its two Parquet objects.
//!
//! Rows are checked against the chain as they come (the archive must never hold what verification would refuse),
//! buffered up to one row group, and written. Both objects have the same row groups, so that a verifier that
//! walks them side by side holds one group of each. Equal rows give equal files.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use sha2::{Digest, Sha256};
use tachograph_ledger::{ChainError, ChainVerifier, Edge, Hash, Object, ObjectKind};
use tachograph_record::{Body, BodyError, COLUMNS, Time, TimeError};

use super::columns::{ColumnBuffer, Strings, int_of, write_ints};
use super::paths;
use super::retention::Classify;
use super::schema::{self, MAX_BODY_BYTES, MAX_GROUP_BODY_BYTES, MAX_GROUP_ROWS};
use super::store::{ErrorKind, Store, StoreError, Upload};

/// The one retention class of format version 1.
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
    sealed_on: Option<Time>,
    leaves: SerializedFileWriter<Hashed>,
    records: SerializedFileWriter<Hashed>,
    failure: Failure,
    group: Group,
    body_bytes: u64,
}

/// A segment whose two objects are durable.
pub(crate) struct Written {
    pub(crate) first: u64,
    pub(crate) edge: Edge,
    pub(crate) last_hash: Hash,
    pub(crate) objects: Vec<Object>,
}

/// The row group that is being filled.
struct Group {
    indexes: Vec<i64>,
    leaves: Strings,
    hashes: Strings,
    macs: Strings,
    columns: Vec<ColumnBuffer>,
    bodies: Strings,
}

impl Segment {
    pub(crate) fn begin(store: &dyn Store, chain: ChainVerifier, zstd_level: i32) -> Result<Self, SegmentError> {
        let failure = Failure::default();
        let uploads = [store.begin()?, store.begin()?].map(|upload| Hashed::new(upload, failure.clone()));
        let writers = || {
            let [leaves, records] = uploads;
            Ok((
                SerializedFileWriter::new(leaves, schema::leaves_schema()?, schema::leaves_properties(zstd_level)?)?,
                SerializedFileWriter::new(records, schema::records_schema()?, schema::records_properties(zstd_level)?)?,
            ))
        };
        let (leaves, records) = writers().map_err(|error| failure.behind(error))?;
        let first = chain.next_index();
        Ok(Self { first, chain, sealed_on: None, leaves, records, failure, group: Group::new(), body_bytes: 0 })
    }

    /// Takes the next record, in the order of the ledger.
    pub fn push(&mut self, row: Row<'_>, _classify: &dyn Classify) -> Result<Pushed, SegmentError> {
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
        if self.group.is_full_for(row.body.len()) {
            self.flush_group()?;
        }
        self.group.push(stored, row, &body);
        self.body_bytes += row.body.len() as u64;
        Ok(Pushed::Taken)
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

    /// Bytes of the two objects so far. The row group being filled is not in it.
    pub fn written_bytes(&self) -> u64 {
        (self.leaves.bytes_written() + self.records.bytes_written()) as u64
    }

    fn flush_group(&mut self) -> Result<(), SegmentError> {
        if self.group.indexes.is_empty() {
            return Ok(());
        }
        let leaves = self.leaves.next_row_group().and_then(|group| self.group.write_leaves(group));
        let both =
            leaves.and_then(|()| self.records.next_row_group()).and_then(|group| self.group.write_records(group));
        both.map_err(|error| self.failure.behind(error))
    }

    /// Writes what is left and makes both objects durable.
    pub(crate) fn finish(mut self, store: &dyn Store) -> Result<Written, SegmentError> {
        let (Some(day), rows) = (self.sealed_on, self.rows()) else { return Err(SegmentError::Empty) };
        self.flush_group()?;
        let (first, day) = (self.first, day.day());
        let failure = self.failure;
        let leaves = self.leaves.into_inner().map_err(|error| failure.behind(error))?;
        let records = self.records.into_inner().map_err(|error| failure.behind(error))?;
        let leaves = leaves.finish(store, rows, ObjectKind::Leaves, |hash| paths::leaves(&day, first, rows, hash))?;
        let kind = ObjectKind::Records { class: DEFAULT_CLASS.to_owned() };
        let records =
            records.finish(store, rows, kind, |hash| paths::records(DEFAULT_CLASS, &day, first, rows, hash))?;
        Ok(Written {
            first,
            last_hash: self.chain.prev(),
            edge: self.chain.edge().clone(),
            objects: vec![leaves, records],
        })
    }
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

impl Group {
    fn new() -> Self {
        Self {
            indexes: Vec::with_capacity(MAX_GROUP_ROWS),
            leaves: Strings::default(),
            hashes: Strings::default(),
            macs: Strings::default(),
            columns: COLUMNS.iter().map(ColumnBuffer::new).collect(),
            bodies: Strings::default(),
        }
    }

    fn is_full_for(&self, body_len: usize) -> bool {
        let rows = self.indexes.len();
        rows >= MAX_GROUP_ROWS || (rows > 0 && self.bodies.byte_len() + body_len > MAX_GROUP_BODY_BYTES)
    }

    fn push(&mut self, index: i64, row: Row<'_>, body: &Body<'_>) {
        self.indexes.push(index);
        self.leaves.push(row.leaf);
        self.hashes.push(row.hash.as_bytes());
        self.macs.push(row.mac);
        for column in &mut self.columns {
            column.push(column.column().derive(body));
        }
        self.bodies.push(row.body);
        debug_assert_eq!(self.indexes.len(), self.bodies.len());
    }

    fn write_leaves(&mut self, mut group: SerializedRowGroupWriter<'_, Hashed>) -> Result<(), ParquetError> {
        let mut indexes = self.indexes.clone();
        next(&mut group, |writer| write_ints(&mut indexes, writer, None))?;
        next(&mut group, |writer| self.leaves.write(writer, None))?;
        next(&mut group, |writer| self.hashes.write_fixed(writer, None))?;
        next(&mut group, |writer| self.macs.write_fixed(writer, None))?;
        group.close().map(drop)
    }

    fn write_records(&mut self, mut group: SerializedRowGroupWriter<'_, Hashed>) -> Result<(), ParquetError> {
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
        path: impl FnOnce(&Hash) -> String,
    ) -> Result<Object, StoreError> {
        let sha256 = Hash::from_bytes(self.hasher.finalize().into());
        let object = Object { kind, path: path(&sha256), rows, sha256, size: self.size, retain_until: None };
        match self.upload.finish(&object.path, None) {
            // The name holds the hash, so what is there should be our own earlier upload; make sure of it.
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                if sha256_of(store, &object.path, object.size)? == Some(sha256) { Ok(object) } else { Err(error) }
            }
            finished => finished.map(|()| object),
        }
    }
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

/// SHA-256 of an object, read piece by piece; `None` if it has not `size` bytes.
pub(crate) fn sha256_of(store: &dyn Store, path: &str, size: u64) -> Result<Option<Hash>, StoreError> {
    const PIECE: u64 = 1 << 18;
    let object = store.open(path)?;
    if object.size() != size {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    let mut at = 0;
    while at < size {
        let length = PIECE.min(size - at);
        let piece = object.read_at(at, length as usize).map_err(|error| StoreError::of_io(path, "read", &error))?;
        hasher.update(&piece);
        at += length;
    }
    Ok(Some(Hash::from_bytes(hasher.finalize().into())))
}
