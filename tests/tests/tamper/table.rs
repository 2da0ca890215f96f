//! The attacker's Parquet: reads an object into rows of plain cells, lets them be changed, writes them back.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
}

/// All rows of a Parquet object, flat and of one row group when written.
pub(crate) struct Table {
    schema: TypePtr,
    names: Vec<String>,
    optional: Vec<bool>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn read(path: &Path) -> Self {
        let file = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let schema = file.metadata().file_metadata().schema_descr();
        let columns = schema.columns();
        let mut table = Self {
            schema: schema.root_schema_ptr(),
            names: columns.iter().map(|column| column.name().to_owned()).collect(),
            optional: columns.iter().map(|column| column.max_def_level() > 0).collect(),
            rows: Vec::new(),
        };
        for group in 0..file.num_row_groups() {
            let group = file.get_row_group(group).unwrap();
            let count = group.metadata().num_rows() as usize;
            let first = table.rows.len();
            table.rows.resize(first + count, Vec::new());
            for at in 0..columns.len() {
                let cells = read_column(group.get_column_reader(at).unwrap(), count, table.optional[at]);
                table.rows[first..].iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
            }
        }
        table
    }

    pub(crate) fn column(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap()
    }

    pub(crate) fn cell(&mut self, row: usize, name: &str) -> &mut Cell {
        let at = self.column(name);
        &mut self.rows[row][at]
    }

    pub(crate) fn bytes(&mut self, row: usize, name: &str) -> &mut Vec<u8> {
        match self.cell(row, name) {
            Cell::Bytes(bytes) => bytes,
            other => panic!("{name} is {other:?}"),
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
        let mut file = SerializedFileWriter::new(Vec::new(), Arc::clone(&self.schema), Arc::new(properties)).unwrap();
        let mut group = file.next_row_group().unwrap();
        for at in 0..self.names.len() {
            let cells: Vec<&Cell> = self.rows.iter().map(|row| &row[at]).collect();
            let mut column = group.next_column().unwrap().unwrap();
            write_column(column.untyped(), &cells, self.optional[at]);
            column.close().unwrap();
        }
        group.close().unwrap();
        file.into_inner().unwrap()
    }
}

fn read_column(reader: ColumnReader, count: usize, optional: bool) -> Vec<Cell> {
    match reader {
        ColumnReader::Int64ColumnReader(reader) => read_typed(reader, count, optional, Cell::Int),
        ColumnReader::DoubleColumnReader(reader) => read_typed(reader, count, optional, Cell::Double),
        ColumnReader::ByteArrayColumnReader(reader) => {
            read_typed(reader, count, optional, |bytes: ByteArray| Cell::Bytes(bytes.data().to_vec()))
        }
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            read_typed(reader, count, optional, |bytes: FixedLenByteArray| Cell::Bytes(bytes.data().to_vec()))
        }
        _ => panic!("a column of a type that no archive has"),
    }
}

fn read_typed<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    count: usize,
    optional: bool,
    cell: impl Fn(T::T) -> Cell,
) -> Vec<Cell> {
    let (mut values, mut levels, mut read) = (Vec::new(), Vec::new(), 0);
    while read < count {
        let levels = optional.then_some(&mut levels);
        read += reader.read_records(count - read, levels, None, &mut values).unwrap().0;
    }
    let mut values = values.into_iter().map(cell);
    match optional {
        false => values.collect(),
        true => levels.iter().map(|level| if *level > 0 { values.next().unwrap() } else { Cell::Null }).collect(),
    }
}

fn write_column(writer: &mut ColumnWriter<'_>, cells: &[&Cell], optional: bool) {
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(**cell != Cell::Null)).collect();
    let levels = optional.then_some(levels.as_slice());
    let ints = || cells.iter().filter_map(|cell| if let Cell::Int(int) = cell { Some(*int) } else { None });
    let doubles = || cells.iter().filter_map(|cell| if let Cell::Double(double) = cell { Some(*double) } else { None });
    let bytes = || {
        cells
            .iter()
            .filter_map(|cell| if let Cell::Bytes(bytes) = cell { Some(ByteArray::from(bytes.clone())) } else { None })
    };
    let written = match writer {
        ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&ints().collect::<Vec<_>>(), levels, None),
        ColumnWriter::DoubleColumnWriter(writer) => writer.write_batch(&doubles().collect::<Vec<_>>(), levels, None),
        ColumnWriter::ByteArrayColumnWriter(writer) => writer.write_batch(&bytes().collect::<Vec<_>>(), levels, None),
        ColumnWriter::FixedLenByteArrayColumnWriter(writer) => {
            writer.write_batch(&bytes().map(FixedLenByteArray::from).collect::<Vec<_>>(), levels, None)
        }
        _ => panic!("a column of a type that no archive has"),
    };
    written.unwrap();
}
