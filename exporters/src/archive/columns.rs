//! One row group's values on their way into Parquet, column by column.
//!
//! Values of variable length are copied into one buffer per column, of which Parquet gets slices: no allocation
//! per value.

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::SerializedColumnWriter;
use tachograph_record::{Column, ColumnType, Value};

/// Byte strings, end to end.
#[derive(Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn write(&mut self, writer: &mut SerializedColumnWriter<'_>, levels: Option<&[i16]>) -> Result<()> {
        self.lend(|values: &[ByteArray]| writer.typed::<ByteArrayType>().write_batch(values, levels, None).map(drop))
    }

    pub(crate) fn write_fixed(
        &mut self,
        writer: &mut SerializedColumnWriter<'_>,
        levels: Option<&[i16]>,
    ) -> Result<()> {
        self.lend(|values: &[FixedLenByteArray]| {
            writer.typed::<FixedLenByteArrayType>().write_batch(values, levels, None).map(drop)
        })
    }

    /// Lends all values as slices of one allocation, and leaves this empty. The allocation comes back for the next
    /// row group, since fresh pages for 20 MB of bodies show in a profile.
    fn lend<V: From<ByteArray>>(&mut self, write: impl FnOnce(&[V]) -> Result<()>) -> Result<()> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let mut begin = 0;
        let slice = |end| V::from(ByteArray::from(bytes.slice(std::mem::replace(&mut begin, end)..end)));
        let values: Vec<V> = self.ends.drain(..).map(slice).collect();
        let written = write(&values);
        drop(values);
        // The writer has copied what it keeps; were a slice still alive, this would copy, which is as right.
        self.bytes = Vec::from(bytes);
        self.bytes.clear();
        written
    }
}

/// A derived column of the row group that is being filled.
pub(crate) struct ColumnBuffer {
    column: &'static Column,
    /// 1 where a row has a value; empty for a required column.
    levels: Vec<i16>,
    cells: Cells,
}

enum Cells {
    Text(Strings),
    Fixed(Strings),
    Int(Vec<i64>),
    Double(Vec<f64>),
}

impl ColumnBuffer {
    pub(crate) fn new(column: &'static Column) -> Self {
        let cells = match column.kind {
            ColumnType::Text => Cells::Text(Strings::default()),
            ColumnType::Int | ColumnType::Time => Cells::Int(Vec::new()),
            ColumnType::Double => Cells::Double(Vec::new()),
            ColumnType::Uuid | ColumnType::Fixed(_) => Cells::Fixed(Strings::default()),
        };
        Self { column, levels: Vec::new(), cells }
    }

    pub(crate) const fn column(&self) -> &'static Column {
        self.column
    }

    /// Takes the value of the next row.
    ///
    /// # Panics
    /// If the value is not of the column's type: the table of columns contradicts itself.
    pub(crate) fn push(&mut self, value: Value<'_>) {
        match (&mut self.cells, value) {
            (_, Value::Null) => {
                assert!(!self.column.required, "column {} always has a value", self.column.name);
                self.levels.push(0);
                return;
            }
            (Cells::Text(cells), Value::Text(text)) => cells.push(text.as_bytes()),
            (Cells::Fixed(cells), Value::Bytes(bytes)) => cells.push(bytes),
            (Cells::Int(cells), Value::Int(value)) => cells.push(value),
            (Cells::Double(cells), Value::Double(value)) => cells.push(value),
            (_, value) => panic!("column {} can't hold {value:?}", self.column.name),
        }
        if !self.column.required {
            self.levels.push(1);
        }
    }

    /// Writes the column and leaves it empty.
    pub(crate) fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = (!self.column.required).then_some(self.levels.as_slice());
        match &mut self.cells {
            Cells::Text(cells) => cells.write(writer, levels)?,
            Cells::Fixed(cells) => cells.write_fixed(writer, levels)?,
            Cells::Int(cells) => write_ints(cells, writer, levels)?,
            Cells::Double(cells) => {
                writer.typed::<DoubleType>().write_batch(cells, levels, None)?;
                cells.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}

pub(crate) fn write_ints(
    values: &mut Vec<i64>,
    writer: &mut SerializedColumnWriter<'_>,
    levels: Option<&[i16]>,
) -> Result<()> {
    writer.typed::<Int64Type>().write_batch(values, levels, None)?;
    values.clear();
    Ok(())
}

/// An index as Parquet has it. No ledger reaches 2^63 records.
pub(crate) fn int_of(index: u64) -> Result<i64> {
    i64::try_from(index).map_err(|_| ParquetError::General(format!("index {index} is above 2^63")))
}
