//! Reads a folder's segments in order, for delivery. Recovery is the same: a dead process's folder is read as one's own.

use super::folder::{Folder, Segment};
use super::format::{ENTRY_HEAD, Entry, Found, Header, Position};
use crate::queue::{Signal, Tally};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

/// What is read at once beside the records that are asked for.
const AHEAD: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) folder: Arc<Folder>,
    position: Position,
    position_file: Option<File>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    file: File,
    resource: Bytes,
    header: u64,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) bytes: Bytes,
    pub(crate) signal: Signal,
    pub(crate) sequence: u64,
    pub(crate) own: bool,
}

/// Records that follow one another, of both signals as they came.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) resource: Bytes,
    pub(crate) records: Vec<Record>,
    /// The number after the last one.
    pub(crate) below: u64,
    pub(crate) tally: Tally,
    segment: u64,
    end: u64,
}

pub(crate) enum Next {
    Batch(Batch),
    Nothing,
    /// Something was not readable; these are lost with it.
    Lost(Tally, String),
    /// The disk does not give it now. Nothing is lost, and it is to be tried again.
    Later(String),
}

impl Record {
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry { sequence: self.sequence, own: self.own, log: self.signal == Signal::Log, record: &self.bytes }
    }
}

impl Reader {
    pub(crate) fn new(folder: Arc<Folder>) -> Self {
        let position = folder.position();
        let position_file = File::options().create(true).truncate(false).write(true).open(folder.position_path()).ok();
        Self { folder, position, position_file, open: None }
    }

    /// The next records, within both bounds but at least one.
    pub(crate) fn next(&mut self, records: usize, bytes: usize) -> Next {
        let Some(segment) = self.advance() else { return Next::Nothing };
        match self.read(segment.number, segment.length, records.max(1), bytes) {
            Ok(batch) => Next::Batch(batch),
            // Out of descriptors, say, which says nothing about what is in the file.
            Err(error) if !self.is_damage(&error, segment.number) => {
                self.open = None;
                let path = self.folder.segment_path(segment.number);
                Next::Later(format!("{} can't be read: {error}", path.display()))
            }
            Err(error) => {
                let (path, offset) = (self.folder.segment_path(segment.number), self.position.offset);
                // What is behind was written, but can't be read: the writer goes on in the next segment.
                self.folder.give_up_rest(segment.number, offset);
                Next::Lost(segment.left, format!("{} can't be read at byte {offset}: {error}", path.display()))
            }
        }
    }

    /// Whether what was written is not there any more. A file that is not found is gone only if its folder is found.
    fn is_damage(&self, error: &io::Error, number: u64) -> bool {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => true,
            io::ErrorKind::NotFound => {
                self.folder.path.try_exists().is_ok_and(|there| there)
                    && self.folder.segment_path(number).try_exists().is_ok_and(|there| !there)
            }
            _ => false,
        }
    }

    /// Lets go of segments that are done with: the one in which there is something to read, if any.
    pub(crate) fn advance(&mut self) -> Option<Segment> {
        loop {
            let segment = self.folder.segment_from(self.position.segment)?;
            if segment.number != self.position.segment {
                self.position = Position { segment: segment.number, offset: 0 };
            }
            if self.position.offset.max(segment.body) < segment.length {
                return Some(segment);
            }
            if !segment.sealed {
                return None;
            }
            self.pass(segment.number);
        }
    }

    /// The segment is done with.
    fn pass(&mut self, number: u64) {
        self.open = None;
        self.position = Position { segment: number + 1, offset: 0 };
        self.save();
        self.folder.retire(number);
    }

    fn read(&mut self, number: u64, length: u64, records: usize, bytes: usize) -> io::Result<Batch> {
        let open = match self.open.take() {
            Some(open) if open.number == number => open,
            _ => open_segment(self.folder.segment_path(number), number)?,
        };
        self.position.offset = self.position.offset.max(open.header);
        let (from, left) = (self.position.offset, length.saturating_sub(self.position.offset));
        let open = self.open.insert(open);
        let usual = left.min((bytes + AHEAD) as u64) as usize;
        let mut buffer = open.bytes(from, usual)?;
        if let Found::Short(whole) = Entry::read(&buffer)
            && whole as u64 <= left
        {
            buffer = open.bytes(from, whole.max(usual))?;
            // Its head was cut off: now its length is known.
            if let Found::Short(whole) = Entry::read(&buffer)
                && whole as u64 <= left
            {
                buffer = open.bytes(from, whole)?;
            }
        }
        let mut batch = Batch {
            resource: open.resource.clone(),
            records: Vec::new(),
            below: 0,
            tally: Tally::default(),
            segment: number,
            end: from,
        };
        let mut at = 0;
        while batch.records.len() < records {
            let Found::Entry(entry, length) = Entry::read(&buffer[at..]) else { break };
            if !batch.records.is_empty() && at + length > bytes {
                break;
            }
            batch.records.push(Record {
                bytes: buffer.slice(at + ENTRY_HEAD..at + length),
                signal: if entry.log { Signal::Log } else { Signal::Span },
                sequence: entry.sequence,
                own: entry.own,
            });
            batch.tally.add(entry.own);
            batch.below = entry.sequence + 1;
            at += length;
        }
        if batch.records.is_empty() {
            return Err(damage("no entry stands there"));
        }
        batch.end = from + at as u64;
        Ok(batch)
    }

    /// These were acknowledged or given up: what comes next is behind them.
    pub(crate) fn settle(&mut self, batch: &Batch) {
        self.folder.took(batch.segment, batch.tally);
        self.position = Position { segment: batch.segment, offset: batch.end };
        self.save();
    }

    /// If this fails, some are sent again after a crash, and known by their event ids.
    fn save(&mut self) {
        if let Some(file) = &mut self.position_file {
            let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&self.position.write()));
        }
    }
}

impl Open {
    fn bytes(&mut self, from: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(from))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

fn damage(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn open_segment(path: std::path::PathBuf, number: u64) -> io::Result<Open> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    let mut wanted = 12;
    loop {
        let missing = wanted - bytes.len();
        if (&mut file).take(missing as u64).read_to_end(&mut bytes)? < missing {
            return Err(damage("its header is cut short"));
        }
        match Header::read(&bytes) {
            Header::Read(resource, length) => {
                let (resource, header) = (Bytes::copy_from_slice(resource), length as u64);
                return Ok(Open { number, file, resource, header });
            }
            Header::Short(more) if more > bytes.len() => wanted = more,
            Header::Short(_) | Header::Damaged | Header::Version(_) => {
                return Err(damage("its header is not readable"));
            }
        }
    }
}
