//! Reading durable frames, also from another thread while the journal is written.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::error::JournalError;
use super::frame::StoredFrame;
use super::held::{Held, HeldFile};
use super::layout::{FILE_HEADER_BYTES, FrameHeader, FrameKind, HeaderFault};
use super::scan::{Found, read_file_header, read_header, read_payload};

/// Gives readers of the journal's durable part. Cheap to clone, may go to another thread.
#[derive(Clone)]
pub struct JournalReader {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) held: Arc<Held>,
    pub(super) ledger: Arc<str>,
}

impl JournalReader {
    /// First index held; `None` if the journal has no file.
    #[must_use]
    pub fn oldest_index(&self) -> Option<u64> {
        self.held.lock().range().map(|range| range.start)
    }

    /// Index behind the last durable record; `None` while the journal has never held one.
    #[must_use]
    pub fn next_index(&self) -> Option<u64> {
        self.held.lock().range().map(|range| range.end)
    }

    /// Frames in order, from the one that holds `index`. They end at the durable end; asked again after more
    /// was appended, they go on.
    pub fn read_from(&self, index: u64) -> Result<Frames, JournalError> {
        let range = self.held.lock().range();
        if let Some(range) = range
            && (index < range.start || index > range.end)
        {
            let held = format!("{} up to, not including, {}", range.start, range.end);
            return Err(JournalError::NotHeld { index, held });
        }
        Ok(Frames { reader: self.clone(), want: index, cursor: None, payload: Vec::new() })
    }

    /// The leaf of one record; `None` if it is not durable.
    pub fn leaf(&self, index: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let mut frames = self.read_from(index)?;
        let Some(frame) = frames.next_frame()? else { return Ok(None) };
        Ok(frame.records().find(|record| record.index == index).map(|record| record.leaf.to_vec()))
    }
}

/// The durable frames from some index on. Holds one frame in memory.
pub struct Frames {
    reader: JournalReader,
    /// Next record to give.
    want: u64,
    cursor: Option<Cursor>,
    payload: Vec<u8>,
}

struct Cursor {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    nonce: [u8; 8],
    first_index: u64,
    /// Where the next frame begins, and which index it must have.
    offset: u64,
    next_index: u64,
}

enum Step {
    /// A frame begins at the cursor; `end` is the file's durable end.
    Frame { end: u64 },
    /// The file is read through, this one follows.
    File(HeldFile),
    /// All that is durable has been read.
    End,
}

impl Frames {
    /// Index of the next record that will be given.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.want
    }

    /// The next frame; `None` at the durable end.
    pub fn next_frame(&mut self) -> Result<Option<StoredFrame<'_>>, JournalError> {
        let Some(header) = self.find_next()? else { return Ok(None) };
        let from = self.want;
        self.want = header.next_index();
        let frame = StoredFrame::parse(header, &self.payload, from);
        assert!(frame.is_some(), "the payload was checked when it was read");
        Ok(frame)
    }

    /// Reads the payload of the next frame that reaches beyond the wanted index.
    fn find_next(&mut self) -> Result<Option<FrameHeader>, JournalError> {
        loop {
            let end = match self.step()? {
                Step::End => return Ok(None),
                Step::File(held) => {
                    self.cursor = Some(open(&self.reader, &held)?);
                    continue;
                }
                Step::Frame { end } => end,
            };
            let Some(cursor) = self.cursor.as_mut() else { return Ok(None) };
            let at = cursor.offset;
            let header = match read_header(cursor.file.as_ref(), at, end, cursor.nonce).map_err(|e| cursor.failed(e))? {
                Found::Frame(header) if header.first_index == cursor.next_index => header,
                Found::Frame(_) => return Err(cursor.corrupt("the frame has another index than the one due")),
                Found::Bad(what) => return Err(cursor.corrupt(what)),
                Found::Version(version) => return Err(JournalError::Version { path: cursor.path.clone(), version }),
            };
            let wanted = header.kind == FrameKind::Records && header.next_index() > self.want;
            if wanted {
                read_payload(cursor.file.as_ref(), at, &header, &mut self.payload)
                    .map_err(|e| cursor.failed(e))?
                    .map_err(|what| cursor.corrupt(what))?;
            }
            cursor.offset += header.frame_len();
            cursor.next_index = header.next_index();
            if wanted {
                return Ok(Some(header));
            }
        }
    }

    fn step(&self) -> Result<Step, JournalError> {
        let held = self.reader.held.lock();
        let Some(cursor) = &self.cursor else {
            let first = held.files.iter().rev().find(|file| file.first_index <= self.want);
            return match first {
                Some(file) => Ok(Step::File(file.clone())),
                None if held.files.is_empty() => Ok(Step::End),
                None => Err(self.not_held("later ones")),
            };
        };
        let mut files = held.files.iter().skip_while(|file| file.first_index < cursor.first_index);
        match files.next() {
            Some(file) if file.first_index == cursor.first_index => {
                if cursor.offset < file.len {
                    return Ok(Step::Frame { end: file.len });
                }
                Ok(files.next().map_or(Step::End, |next| Step::File(next.clone())))
            }
            // Its file was released when all of it had been read, and the next one follows.
            Some(next) if next.first_index == cursor.next_index => Ok(Step::File(next.clone())),
            _ => Err(self.not_held("later ones")),
        }
    }

    fn not_held(&self, held: &str) -> JournalError {
        JournalError::NotHeld { index: self.want, held: held.to_owned() }
    }
}

fn open(reader: &JournalReader, held: &HeldFile) -> Result<Cursor, JournalError> {
    let failed = |source| JournalError::Io { action: "read", path: held.path.clone(), source };
    let corrupt = |what: &str| JournalError::Corrupt {
        path: held.path.clone(),
        offset: 0,
        index: held.first_index,
        what: what.to_owned(),
    };
    let file = reader.disk.open_read(&held.path).map_err(failed)?;
    let header = match read_file_header(file.as_ref()).map_err(failed)? {
        Ok(header) => header,
        Err(HeaderFault::Version(version)) => return Err(JournalError::Version { path: held.path.clone(), version }),
        Err(HeaderFault::Bad) => return Err(corrupt("the file header is damaged")),
    };
    if header.first_index != held.first_index || *header.ledger != *reader.ledger {
        return Err(corrupt("the file header is not the one that was written"));
    }
    Ok(Cursor {
        file,
        path: held.path.clone(),
        nonce: header.nonce,
        first_index: held.first_index,
        offset: FILE_HEADER_BYTES as u64,
        next_index: held.first_index,
    })
}

impl Cursor {
    fn failed(&self, source: std::io::Error) -> JournalError {
        JournalError::Io { action: "read", path: self.path.clone(), source }
    }

    fn corrupt(&self, what: &str) -> JournalError {
        JournalError::Corrupt {
            path: self.path.clone(),
            offset: self.offset,
            index: self.next_index,
            what: what.to_owned(),
        }
    }
}
