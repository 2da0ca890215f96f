//! The Parquet schemas of the archive and how each column is written. `docs/format.md`, section 7, is the authority.
//!
//! Statistics stand where a query can skip rows by them; bodies, leaves, hashes and random ids would only bloat the
//! footer with theirs. Dictionaries stand where values repeat within one row group.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{
    BloomFilterPosition, BloomFilterProperties, EnabledStatistics, WriterProperties, WriterPropertiesBuilder,
    WriterPropertiesPtr,
};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use tachograph_record::{COLUMNS, Column, ColumnType};

/// Most rows of a row group: small enough that fetching one body from afar is cheap.
pub const MAX_GROUP_ROWS: usize = 8_192;

/// Body bytes after which a row group ends: the bound on what a writer or a reader holds in memory.
pub const MAX_GROUP_BODY_BYTES: usize = 32 << 20;

/// Longest body.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// Large enough that zstd sees the repetition between bodies.
const PAGE_BYTES: usize = 1 << 20;

const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Fixed, so that equal records give equal files.
const CREATED_BY: &str = "tachograph version 1";

/// Columns of the leaves object.
pub(crate) const LEAVES_COLUMNS: [&str; 4] = ["index", "leaf", "hash", "mac"];

/// Columns whose values hardly ever repeat within a row group.
const UNREPEATED: &[&str] = &["response_id", "input_hash", "output_hash", "output_path"];

/// Schema of the leaves object.
pub(crate) fn leaves_schema() -> Result<TypePtr, ParquetError> {
    group(
        "leaves",
        vec![
            field("index", Physical::INT64, None, None, true)?,
            field("leaf", Physical::BYTE_ARRAY, Some(LogicalType::String), None, true)?,
            field("hash", Physical::FIXED_LEN_BYTE_ARRAY, None, Some(32), true)?,
            field("mac", Physical::FIXED_LEN_BYTE_ARRAY, None, Some(32), true)?,
        ],
    )
}

/// Schema of the records object: index, the derived columns, body.
pub(crate) fn records_schema() -> Result<TypePtr, ParquetError> {
    let mut fields = vec![field("index", Physical::INT64, None, None, true)?];
    for column in COLUMNS {
        let (physical, logical, length) = match column.kind {
            ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), None),
            ColumnType::Int => (Physical::INT64, None, None),
            ColumnType::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS)), None),
            ColumnType::Double => (Physical::DOUBLE, None, None),
            ColumnType::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), Some(16)),
            ColumnType::Fixed(bytes) => (Physical::FIXED_LEN_BYTE_ARRAY, None, Some(bytes)),
        };
        fields.push(field(column.name, physical, logical, length, column.required)?);
    }
    fields.push(field("body", Physical::BYTE_ARRAY, Some(LogicalType::String), None, true)?);
    group("records", fields)
}

fn group(name: &str, fields: Vec<TypePtr>) -> Result<TypePtr, ParquetError> {
    Type::group_type_builder(name).with_fields(fields).build().map(Arc::new)
}

fn field(
    name: &str,
    physical: Physical,
    logical: Option<LogicalType>,
    length: Option<usize>,
    required: bool,
) -> Result<TypePtr, ParquetError> {
    Type::primitive_type_builder(name, physical)
        .with_repetition(if required { Repetition::REQUIRED } else { Repetition::OPTIONAL })
        .with_logical_type(logical)
        .with_length(length.map_or(-1, |bytes| bytes as i32))
        .build()
        .map(Arc::new)
}

/// How the leaves object is written.
pub(crate) fn leaves_properties(zstd_level: i32) -> Result<WriterPropertiesPtr, ParquetError> {
    let properties = LEAVES_COLUMNS.iter().skip(1).fold(base(zstd_level)?, |properties, name| plain(properties, name));
    Ok(Arc::new(properties.build()))
}

/// How the records object is written.
pub(crate) fn records_properties(zstd_level: i32) -> Result<WriterPropertiesPtr, ParquetError> {
    let properties = COLUMNS.iter().fold(plain(base(zstd_level)?, "body"), of_column);
    Ok(Arc::new(properties.build()))
}

fn base(zstd_level: i32) -> Result<WriterPropertiesBuilder, ParquetError> {
    let by_index = SortingColumn { column_idx: 0, descending: false, nulls_first: false };
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(vec![by_index]))
        .set_bloom_filter_position(BloomFilterPosition::End)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    Ok(rising(properties, "index"))
}

/// Values that are only ever read as they are.
fn plain(properties: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(ColumnPath::from(name), false)
        .set_column_encoding(ColumnPath::from(name), Encoding::PLAIN)
        .set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::None)
}

/// Integers that mostly grow, and by which queries take ranges.
fn rising(properties: WriterPropertiesBuilder, name: &str) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(ColumnPath::from(name), false)
        .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED)
        .set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Page)
}

fn of_column(mut properties: WriterPropertiesBuilder, column: &Column) -> WriterPropertiesBuilder {
    let path = ColumnPath::from(column.name);
    properties = match column.kind {
        ColumnType::Time => rising(properties, column.name),
        ColumnType::Int => properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED),
        ColumnType::Double => properties.set_column_dictionary_enabled(path.clone(), false),
        // Event ids begin with the time, so ranges of them exclude row groups; trace and span ids are random.
        ColumnType::Uuid => properties.set_column_dictionary_enabled(path.clone(), false),
        ColumnType::Fixed(_) => plain(properties, column.name),
        ColumnType::Text if UNREPEATED.contains(&column.name) => {
            properties.set_column_dictionary_enabled(path.clone(), false)
        }
        ColumnType::Text => properties,
    };
    if !column.bloom {
        return properties;
    }
    // The writer folds a filter to the number of values that came: that of an empty column is 32 bytes.
    let filter = BloomFilterProperties::builder().with_fpp(BLOOM_FALSE_POSITIVES).with_max_ndv(MAX_GROUP_ROWS as u64);
    properties.set_column_bloom_filter_properties(path, filter.build())
}
