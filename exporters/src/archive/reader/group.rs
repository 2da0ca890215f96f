//! One row group, decoded. Values are slices of the decompressed pages: nothing is copied.

use parquet::data_type::{ByteArray, FixedLenByteArray};
use tachograph_record::{Column, ColumnType, Value};

/// A row group of a leaves object.
#[derive(Debug, Default)]
pub struct LeafGroup {
    pub(crate) indexes: Vec<i64>,
    pub(crate) leaves: Vec<ByteArray>,
    pub(crate) hashes: Vec<FixedLenByteArray>,
    pub(crate) macs: Vec<FixedLenByteArray>,
}

/// A row group of a records object.
#[derive(Debug, Default)]
pub struct RecordGroup {
    pub(crate) indexes: Vec<i64>,
    pub(crate) columns: Vec<ColumnCells>,
    pub(crate) bodies: Vec<ByteArray>,
}

/// What stands in one row of one column. Unlike a [`Value`] it may be bytes that are no text.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A string or an id.
    Bytes(&'a [u8]),
    /// An integer or a time.
    Int(i64),
    /// A double.
    Double(f64),
}

impl Cell<'_> {
    /// Whether this is just `value`; doubles bit for bit.
    pub fn is(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bytes(found), Value::Text(text)) => *found == text.as_bytes(),
            (Self::Bytes(found), Value::Bytes(bytes)) => *found == bytes,
            (Self::Int(found), Value::Int(value)) => *found == value,
            (Self::Double(found), Value::Double(value)) => found.to_bits() == value.to_bits(),
            _ => false,
        }
    }

    /// For a message: at most 80 characters.
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bytes(bytes) => describe_bytes(bytes),
            Self::Int(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
        }
    }
}

/// A derived value for a message: at most 80 characters.
pub(crate) fn describe_value(value: Value<'_>) -> String {
    match value {
        Value::Null => Cell::Null,
        Value::Text(text) => Cell::Bytes(text.as_bytes()),
        Value::Bytes(bytes) => Cell::Bytes(bytes),
        Value::Int(value) => Cell::Int(value),
        Value::Double(value) => Cell::Double(value),
    }
    .describe()
}

fn describe_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => format!("{:?}", text.chars().take(76).collect::<String>()),
        _ => bytes.iter().take(40).map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The cells of one column, read one row after another.
#[derive(Debug)]
pub struct ColumnCells {
    pub(crate) column: &'static Column,
    /// 1 where a row has a value; empty for a required column.
    levels: Vec<i16>,
    cells: Cells,
    row: usize,
    value: usize,
}

#[derive(Debug)]
pub(crate) enum Cells {
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
    Int(Vec<i64>),
    Double(Vec<f64>),
}

impl Cells {
    pub(crate) fn empty(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Text => Self::Bytes(Vec::new()),
            ColumnType::Int | ColumnType::Time => Self::Int(Vec::new()),
            ColumnType::Double => Self::Double(Vec::new()),
            ColumnType::Uuid | ColumnType::Fixed(_) => Self::Fixed(Vec::new()),
        }
    }

    fn get(&self, at: usize) -> Option<Cell<'_>> {
        match self {
            Self::Bytes(values) => values.get(at).map(|value| Cell::Bytes(value.data())),
            Self::Fixed(values) => values.get(at).map(|value| Cell::Bytes(value.data())),
            Self::Int(values) => values.get(at).map(|value| Cell::Int(*value)),
            Self::Double(values) => values.get(at).map(|value| Cell::Double(*value)),
        }
    }
}

impl ColumnCells {
    pub(crate) fn new(column: &'static Column, levels: Vec<i16>, cells: Cells) -> Self {
        Self { column, levels, cells, row: 0, value: 0 }
    }

    /// The cell of the next row. Behind the last row, null.
    pub fn next_cell(&mut self) -> Cell<'_> {
        let present = self.column.required || self.levels.get(self.row).is_some_and(|level| *level > 0);
        self.row += 1;
        if !present {
            return Cell::Null;
        }
        self.value += 1;
        self.cells.get(self.value - 1).unwrap_or(Cell::Null)
    }
}
