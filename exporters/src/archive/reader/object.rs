//! A Parquet object of the archive, opened.

use std::io::{self, BufReader, Read};
use std::ops::{ControlFlow, Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::file::statistics::Statistics;
use parquet::schema::types::{SchemaDescriptor, TypePtr};
use tachograph_ledger::{Hash, Object};
use tachograph_record::{COLUMNS, Value};

use super::group::{Cell, Cells, ColumnCells, LeafGroup, RecordGroup};
use super::{Found, ReadError};
use crate::archive::schema::{self, MAX_BODY_BYTES, MAX_GROUP_BODY_BYTES};
use crate::archive::store::{ReadAt, Store, StoreError};

/// Most rows of a row group that is read.
pub const MAX_READ_GROUP_ROWS: usize = 1 << 16;

/// Most bytes, uncompressed, of one column of a row group: a full row group that one longest body overshoots.
const MAX_CHUNK_BYTES: i64 = (MAX_GROUP_BODY_BYTES + MAX_BODY_BYTES + (1 << 20)) as i64;

/// Most row groups of an object.
const MAX_GROUPS: usize = 1 << 16;

const INDEX_COLUMN: usize = 0;
/// The derived columns stand behind the index.
const FIRST_DERIVED: usize = 1;

/// The leaves of one segment.
pub struct LeavesObject(ParquetObject);

/// The bodies and columns of one segment and retention class.
pub struct RecordsObject(ParquetObject);

impl LeavesObject {
    /// Reads the footer.
    pub fn open(store: &dyn Store, object: &Object) -> Result<Self, ReadError> {
        let schema = |error: ParquetError| damaged(&object.path, &error);
        ParquetObject::open(store, object, schema::leaves_schema().map_err(schema)?).map(Self)
    }

    /// Number of row groups.
    pub fn group_count(&self) -> usize {
        self.0.rows.len()
    }

    /// Rows of a row group.
    pub(crate) fn rows(&self, group: usize) -> usize {
        self.0.rows.get(group).copied().unwrap_or(0)
    }

    /// Decodes a row group.
    pub fn group(&self, group: usize) -> Result<LeafGroup, ReadError> {
        self.0.guarded(|object| {
            Ok(LeafGroup {
                indexes: object.required::<Int64Type>(group, INDEX_COLUMN)?,
                leaves: object.required::<ByteArrayType>(group, 1)?,
                hashes: object.required::<FixedLenByteArrayType>(group, 2)?,
                macs: object.required::<FixedLenByteArrayType>(group, 3)?,
            })
        })
    }

    /// Hash and MAC of every row of a row group.
    pub(crate) fn macs(&self, group: usize) -> Result<Vec<(Hash, [u8; 32])>, ReadError> {
        self.0.guarded(|object| {
            let short = || ParquetError::General("a hash or a MAC has not 32 bytes".to_owned());
            let hashes = object.required::<FixedLenByteArrayType>(group, 2)?;
            let macs = object.required::<FixedLenByteArrayType>(group, 3)?;
            let row = |(hash, mac): (FixedLenByteArray, FixedLenByteArray)| {
                let hash = hash.data().try_into().map(Hash::from_bytes).map_err(|_| short())?;
                Ok((hash, mac.data().try_into().map_err(|_| short())?))
            };
            hashes.into_iter().zip(macs).map(row).collect()
        })
    }

    /// The hashes of a row group, and nothing else of it.
    pub(crate) fn hashes(&self, group: usize) -> Result<Vec<Hash>, ReadError> {
        self.0.guarded(|object| {
            let short = || ParquetError::General("a hash has not 32 bytes".to_owned());
            let hashes = object.required::<FixedLenByteArrayType>(group, 2)?;
            hashes.iter().map(|hash| hash.data().try_into().map(Hash::from_bytes).map_err(|_| short())).collect()
        })
    }
}

impl RecordsObject {
    /// Reads the footer.
    pub fn open(store: &dyn Store, object: &Object) -> Result<Self, ReadError> {
        let schema = |error: ParquetError| damaged(&object.path, &error);
        ParquetObject::open(store, object, schema::records_schema().map_err(schema)?).map(Self)
    }

    /// Number of row groups.
    pub fn group_count(&self) -> usize {
        self.0.rows.len()
    }

    /// Rows of each row group.
    pub fn group_rows(&self) -> &[usize] {
        &self.0.rows
    }

    /// Decodes a row group.
    pub fn group(&self, group: usize) -> Result<RecordGroup, ReadError> {
        self.0.guarded(|object| {
            let columns = (0..COLUMNS.len()).map(|at| object.derived(group, at)).collect::<Result<_, _>>()?;
            Ok(RecordGroup {
                indexes: object.required::<Int64Type>(group, INDEX_COLUMN)?,
                columns,
                bodies: object.required::<ByteArrayType>(group, BODY_COLUMN)?,
            })
        })
    }

    /// Index of every row of a row group, as it is stored.
    pub(crate) fn indexes(&self, group: usize) -> Result<Vec<i64>, ReadError> {
        self.0.guarded(|object| object.required::<Int64Type>(group, INDEX_COLUMN))
    }

    /// Index and body of every row of a row group.
    pub(crate) fn bodies(&self, group: usize) -> Result<Vec<(u64, Bytes)>, ReadError> {
        self.0.guarded(|object| {
            let indexes = object.required::<Int64Type>(group, INDEX_COLUMN)?;
            let bodies = object.required::<ByteArrayType>(group, BODY_COLUMN)?;
            indexes
                .into_iter()
                .zip(bodies)
                .map(|(index, body)| Ok((index_of(index)?, Bytes::copy_from_slice(body.data()))))
                .collect()
        })
    }

    /// Appends the first `limit` records whose derived column `at` has `value`.
    pub(crate) fn find(
        &self,
        at: usize,
        value: Value<'_>,
        limit: usize,
        found: &mut Vec<Found>,
    ) -> Result<(), ReadError> {
        let mut left = limit;
        for group in 0..self.0.rows.len() {
            let hits = self.hits(group, at, value, left)?;
            left -= hits.len();
            found.extend(hits);
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Whether any record whose derived column `at` has `value` is such that `matches` says so.
    pub(crate) fn any(
        &self,
        at: usize,
        value: Value<'_>,
        matches: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, ReadError> {
        for group in 0..self.0.rows.len() {
            if self.hits(group, at, value, usize::MAX)?.iter().any(|found| matches(&found.body)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn hits(&self, group: usize, at: usize, value: Value<'_>, limit: usize) -> Result<Vec<Found>, ReadError> {
        self.0.guarded(|object| {
            if !object.may_hold(group, FIRST_DERIVED + at, value)? {
                return Ok(Vec::new());
            }
            let mut cells = object.derived(group, at)?;
            let rows: Vec<usize> =
                (0..object.rows[group]).filter(|_| cells.next_cell().is(value)).take(limit).collect();
            object.take(group, &rows)
        })
    }

    /// The smallest and the largest value of a derived column of integers, by the statistics of all row groups; `None` if one
    /// of them has none.
    pub(crate) fn range_of(&self, at: usize) -> Option<(i64, i64)> {
        let mut bounds = (0..self.0.rows.len()).map(|group| self.0.range_of(group, FIRST_DERIVED + at));
        bounds
            .try_fold((i64::MAX, i64::MIN), |(low, high), bound| bound.map(|(min, max)| (low.min(min), high.max(max))))
    }

    /// Appends the first `limit` records whose derived column `at`, of integers, has a value in `range`.
    pub(crate) fn find_range(
        &self,
        at: usize,
        range: &Range<i64>,
        limit: usize,
        found: &mut Vec<Found>,
    ) -> Result<(), ReadError> {
        let end = found.len().saturating_add(limit);
        for group in 0..self.0.rows.len() {
            let hits = self.0.guarded(|object| {
                let bounds = object.range_of(group, FIRST_DERIVED + at);
                if bounds.is_some_and(|(min, max)| max < range.start || min >= range.end) {
                    return Ok(Vec::new());
                }
                let mut cells = object.derived(group, at)?;
                let rows: Vec<usize> = (0..object.rows[group])
                    .filter(|_| matches!(cells.next_cell(), Cell::Int(value) if range.contains(&value)))
                    .take(end - found.len())
                    .collect();
                object.take(group, &rows)
            })?;
            found.extend(hits);
        }
        Ok(())
    }

    /// Index and body of the records of a run, a row group at a time, until `each` says stop.
    pub(crate) fn run(
        &self,
        run: &RangeInclusive<u64>,
        mut each: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        for group in 0..self.0.rows.len() {
            let bounds = self.0.range_of(group, INDEX_COLUMN);
            let outside = |(min, max): (i64, i64)| max < as_index(*run.start()) || min > as_index(*run.end());
            if bounds.is_some_and(outside) {
                continue;
            }
            for (index, body) in self.bodies(group)? {
                if run.contains(&index) && each(index, &body).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The record at `index`, if it is here.
    pub(crate) fn by_index(&self, index: u64) -> Result<Option<Found>, ReadError> {
        let Ok(wanted) = i64::try_from(index) else { return Ok(None) };
        for group in 0..self.0.rows.len() {
            let hit = self.0.guarded(|object| {
                if !object.may_hold(group, INDEX_COLUMN, Value::Int(wanted))? {
                    return Ok(Vec::new());
                }
                let indexes = object.required::<Int64Type>(group, INDEX_COLUMN)?;
                let row = indexes.iter().position(|found| *found == wanted);
                object.take(group, row.as_slice())
            })?;
            if let Some(hit) = hit.into_iter().next() {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }
}

const BODY_COLUMN: usize = FIRST_DERIVED + COLUMNS.len();

struct ParquetObject {
    path: String,
    file: SerializedFileReader<Chunks>,
    chunks: Chunks,
    /// Rows of each row group.
    rows: Vec<usize>,
}

impl ParquetObject {
    fn open(store: &dyn Store, object: &Object, schema: TypePtr) -> Result<Self, ReadError> {
        let path = object.path.clone();
        let chunks = Chunks { object: store.open(&path)?, failure: Arc::default() };
        let for_file = chunks.clone();
        let file = guard(&path, &chunks, move || SerializedFileReader::new(for_file))?;
        let rows = guard(&path, &chunks, || check_footer(&file, object, &SchemaDescriptor::new(schema)))?;
        Ok(Self { path, file, chunks, rows })
    }

    fn guarded<T>(&self, read: impl FnOnce(&Self) -> Result<T, ParquetError>) -> Result<T, ReadError> {
        guard(&self.path, &self.chunks, || read(self))
    }

    fn column(&self, group: usize, at: usize) -> Result<ColumnReader, ParquetError> {
        self.file.get_row_group(group)?.get_column_reader(at)
    }

    fn required<T: DataType>(&self, group: usize, at: usize) -> Result<Vec<T::T>, ParquetError> {
        let mut values = Vec::new();
        let mut reader = get_typed_column_reader::<T>(self.column(group, at)?);
        read_all(&mut reader, self.rows[group], None, &mut values)?;
        Ok(values)
    }

    fn derived(&self, group: usize, at: usize) -> Result<ColumnCells, ParquetError> {
        let column = &COLUMNS[at];
        let reader = self.column(group, FIRST_DERIVED + at)?;
        let rows = self.rows[group];
        let mut levels = Vec::new();
        let wanted = (!column.required).then_some(&mut levels);
        let mut cells = Cells::empty(column.kind);
        match (&mut cells, reader) {
            (Cells::Bytes(values), ColumnReader::ByteArrayColumnReader(mut reader)) => {
                read_all(&mut reader, rows, wanted, values)?
            }
            (Cells::Fixed(values), ColumnReader::FixedLenByteArrayColumnReader(mut reader)) => {
                read_all(&mut reader, rows, wanted, values)?
            }
            (Cells::Int(values), ColumnReader::Int64ColumnReader(mut reader)) => {
                read_all(&mut reader, rows, wanted, values)?
            }
            (Cells::Double(values), ColumnReader::DoubleColumnReader(mut reader)) => {
                read_all::<DoubleType>(&mut reader, rows, wanted, values)?
            }
            _ => return Err(ParquetError::General(format!("column {} has another type", column.name))),
        }
        Ok(ColumnCells::new(column, levels, cells))
    }

    /// Bounds of a column of integers in a row group, if its statistics have them.
    fn range_of(&self, group: usize, at: usize) -> Option<(i64, i64)> {
        match self.file.metadata().row_group(group).column(at).statistics()? {
            Statistics::Int64(found) => found.min_opt().copied().zip(found.max_opt().copied()),
            _ => None,
        }
    }

    /// Whether a row group's statistics and bloom filter allow that `value` is in column `at`.
    fn may_hold(&self, group: usize, at: usize, value: Value<'_>) -> Result<bool, ParquetError> {
        let column = self.file.metadata().row_group(group).column(at);
        if column.statistics().is_some_and(|statistics| excludes(statistics, value)) {
            return Ok(false);
        }
        let Some(filter) = Sbbf::read_from_column_chunk(column, &self.chunks)? else { return Ok(true) };
        Ok(match value {
            Value::Text(text) => filter.check(text),
            Value::Bytes(bytes) => filter.check(bytes),
            _ => true,
        })
    }

    /// Index and body of some rows of a row group, in order.
    fn take(&self, group: usize, rows: &[usize]) -> Result<Vec<Found>, ParquetError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let indexes = self.required::<Int64Type>(group, INDEX_COLUMN)?;
        let mut reader = get_typed_column_reader::<ByteArrayType>(self.column(group, BODY_COLUMN)?);
        let mut found = Vec::with_capacity(rows.len());
        let mut at = 0;
        for &row in rows {
            reader.skip_records(row - at)?;
            let mut body: Vec<ByteArray> = Vec::with_capacity(1);
            read_all(&mut reader, 1, None, &mut body)?;
            at = row + 1;
            found.push(Found { index: index_of(indexes[row])?, body: body[0].data().to_vec() });
        }
        Ok(found)
    }
}

fn excludes(statistics: &Statistics, value: Value<'_>) -> bool {
    fn outside(statistics: &Statistics, value: &[u8]) -> bool {
        // A truncated bound is still a bound.
        statistics.min_bytes_opt().is_some_and(|min| value < min)
            || statistics.max_bytes_opt().is_some_and(|max| value > max)
    }
    match (statistics, value) {
        (Statistics::Int64(bounds), Value::Int(value)) => {
            bounds.min_opt().is_some_and(|min| value < *min) || bounds.max_opt().is_some_and(|max| value > *max)
        }
        (Statistics::ByteArray(_), Value::Text(text)) => outside(statistics, text.as_bytes()),
        (Statistics::FixedLenByteArray(_), Value::Bytes(bytes)) => outside(statistics, bytes),
        _ => false,
    }
}

/// As a column holds it: indexes are far below the bound.
fn as_index(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn index_of(stored: i64) -> Result<u64, ParquetError> {
    u64::try_from(stored).map_err(|_| ParquetError::General(format!("index {stored} is negative")))
}

/// Reads exactly `rows` rows, which must be all that the column chunk was said to have.
fn read_all<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    mut levels: Option<&mut Vec<i16>>,
    values: &mut Vec<T::T>,
) -> Result<(), ParquetError> {
    let mut read = 0;
    while read < rows {
        let (records, _, _) = reader.read_records(rows - read, levels.as_deref_mut(), None, values)?;
        if records == 0 {
            return Err(ParquetError::General(format!("a column ends after {read} of {rows} rows")));
        }
        read += records;
    }
    Ok(())
}

/// Checks what the footer claims before anything is allocated from it. Gives the rows of each row group.
fn check_footer(
    file: &SerializedFileReader<Chunks>,
    object: &Object,
    schema: &SchemaDescriptor,
) -> Result<Vec<usize>, ParquetError> {
    let refuse = |what: String| Err(ParquetError::General(what));
    let metadata = file.metadata();
    if metadata.file_metadata().schema_descr().columns() != schema.columns() {
        return refuse("the columns are not those of format version 1".to_owned());
    }
    if metadata.num_row_groups() > MAX_GROUPS {
        return refuse(format!("{} row groups, the limit is {MAX_GROUPS}", metadata.num_row_groups()));
    }
    let rows = metadata.row_groups().iter().map(|group| rows_of(group, object.size)).collect::<Result<Vec<_>, _>>()?;
    let total: u64 = rows.iter().map(|rows| *rows as u64).sum();
    if total != object.rows {
        return refuse(format!("{total} rows, but its commit says {}", object.rows));
    }
    Ok(rows)
}

fn rows_of(group: &RowGroupMetaData, file_size: u64) -> Result<usize, ParquetError> {
    let rows = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
    if rows == 0 || rows > MAX_READ_GROUP_ROWS {
        return Err(ParquetError::General(format!(
            "a row group of {} rows, the limit is {MAX_READ_GROUP_ROWS}",
            group.num_rows()
        )));
    }
    for column in group.columns() {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let within = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
        let within = within.and_then(|(start, size)| start.checked_add(size)).is_some_and(|end| end <= file_size);
        let sizes =
            (0..=MAX_CHUNK_BYTES).contains(&column.uncompressed_size()) && column.num_values() == group.num_rows();
        if !within || !sizes || column.bloom_filter_length().is_some_and(|length| length < 0) {
            return Err(ParquetError::General(format!(
                "column {} has impossible sizes in the footer",
                column.column_path()
            )));
        }
    }
    Ok(rows)
}

/// Runs the Parquet reader over bytes that may be hostile.
///
/// The checks above keep it from absurd sizes; it returns errors for nearly all other damage, and yet has asserts
/// and index operations left that damaged pages can reach. Those panics become errors here, as the last resort:
/// a verifier that dies on a damaged archive would prove nothing. Nothing that was being read is used afterwards,
/// so no broken state is seen.
fn guard<T>(path: &str, chunks: &Chunks, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ReadError> {
    let what = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the Parquet reader gave up on it".to_owned(),
    };
    // Damage is evidence, a disk that does not answer is not.
    match chunks.failure() {
        Some(kind) => Err(ReadError::Store(StoreError::of_io(path, "read", &kind.into()))),
        None => Err(ReadError::Damaged { path: path.to_owned(), what }),
    }
}

fn damaged(path: &str, error: &ParquetError) -> ReadError {
    ReadError::Damaged { path: path.to_owned(), what: error.to_string() }
}

/// An object as the Parquet reader wants it.
#[derive(Clone)]
struct Chunks {
    object: Arc<dyn ReadAt>,
    /// The first failure to read. The Parquet reader gives no way to tell it from damage: its decompressor
    /// reports damage as an input error, and it turns input errors into text.
    failure: Arc<Mutex<Option<io::ErrorKind>>>,
}

struct Position {
    chunks: Chunks,
    at: u64,
}

impl Chunks {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.object.read_at(offset, length).inspect_err(|error| {
            // To read beyond the end is what a damaged footer asks for.
            if error.kind() != io::ErrorKind::UnexpectedEof {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.kind());
            }
        })
    }

    fn failure(&self) -> Option<io::ErrorKind> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.object.size()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<Position>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        // Only page headers and footers are read this way.
        Ok(BufReader::with_capacity(512, Position { chunks: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.read_at(start, length)?)
    }
}

impl Read for Position {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.chunks.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let bytes = self.chunks.read_at(self.at, buffer.len().min(left))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}
