//! Appends records to a folder's segments.

use super::disk::{Disk, sync_folder};
use super::folder::Folder;
use super::format::{ENTRY_HEAD, Entry, Header, LONGEST_RECORD};
use crate::queue::Tally;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LARGEST_SEGMENT: u64 = 8 << 20;

/// Why not all was written.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The spool's bound is reached: there will be room once some of it was delivered.
    Full,
    /// The disk does not take it.
    Failed(String),
}

#[derive(Debug)]
pub(crate) struct Writer {
    folder: Arc<Folder>,
    disk: Arc<dyn Disk>,
    header: Vec<u8>,
    segment_bytes: u64,
    next_number: u64,
    open: Option<Open>,
    buffer: Vec<u8>,
    tally: Tally,
    /// Since when something is not synced.
    dirty: Option<Instant>,
    /// A segment's name is not synced.
    new_name: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    length: u64,
}

impl Writer {
    /// The error says that the resource can't be written.
    pub(crate) fn new(folder: Arc<Folder>, disk: Arc<dyn Disk>, resource: &[u8]) -> io::Result<Self> {
        let header = Header::write(resource)
            .ok_or_else(|| io::Error::other("the resource attributes have more than 1 MiB; give fewer"))?;
        let segment_bytes = (folder.space.limit / 8).min(LARGEST_SEGMENT);
        Ok(Self {
            folder,
            disk,
            header,
            segment_bytes,
            next_number: 1,
            open: None,
            buffer: Vec::new(),
            tally: Tally::default(),
            dirty: None,
            new_name: false,
        })
    }

    /// Writes records, as many as it can: how many, and what kept it from writing the others.
    pub(crate) fn append<'a>(&mut self, entries: impl IntoIterator<Item = Entry<'a>>) -> (usize, Result<(), Trouble>) {
        let (mut written, mut gathered) = (0, 0);
        self.forget();
        for entry in entries {
            let bytes = (ENTRY_HEAD + entry.record.len()) as u64;
            if let Err(trouble) = self.make_room(bytes, &mut written, &mut gathered, entry.record.len()) {
                // What was gathered before still goes in, if it can; if nothing is gathered any more, that failed.
                let gathered = if self.buffer.is_empty() { 0 } else { gathered };
                if let Err(other) = self.put() {
                    return (written, Err(other));
                }
                // So that all of it can go once it was delivered.
                let ended = if matches!(trouble, Trouble::Full) { self.end_segment() } else { Ok(()) };
                return (written + gathered, ended.and(Err(trouble)));
            }
            entry.write(&mut self.buffer);
            self.tally.add(entry.own);
            gathered += 1;
        }
        match self.put() {
            Ok(()) => (written + gathered, Ok(())),
            Err(trouble) => (written, Err(trouble)),
        }
    }

    /// Has a segment open that takes so many bytes more, within the spool's bound.
    fn make_room(
        &mut self,
        bytes: u64,
        written: &mut usize,
        gathered: &mut usize,
        record: usize,
    ) -> Result<(), Trouble> {
        if record > LONGEST_RECORD || bytes + self.header.len() as u64 > self.folder.space.limit {
            return Err(Trouble::Failed(format!("a record of {bytes} bytes is larger than the spool")));
        }
        let held = |writer: &Self| writer.open.as_ref().map_or(0, |open| open.length) + writer.buffer.len() as u64;
        let holds_records = held(self) > self.header.len() as u64;
        if self.open.is_some() && holds_records && held(self) + bytes > self.segment_bytes {
            self.put()?;
            *written += std::mem::take(gathered);
            self.end_segment()?;
        }
        let beside = if self.open.is_none() { self.header.len() as u64 } else { 0 };
        if !self.folder.space.has_room(self.buffer.len() as u64 + bytes + beside) {
            return Err(Trouble::Full);
        }
        if self.open.is_none() { self.begin_segment() } else { Ok(()) }
    }

    /// Whether so many bytes more have room, in a segment of their own.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.folder.space.has_room(bytes + self.header.len() as u64)
    }

    fn begin_segment(&mut self) -> Result<(), Trouble> {
        let path = self.folder.segment_path(self.next_number);
        let make = || {
            let mut file = self.disk.create(&path)?;
            self.disk.write(&mut file, 0, &self.header).map(|()| file)
        };
        let file = make().map_err(|error| {
            let _ = std::fs::remove_file(&path);
            Trouble::Failed(format!("{} can't be made: {error}", path.display()))
        })?;
        let length = self.header.len() as u64;
        self.folder.begin_segment(self.next_number, length);
        self.next_number += 1;
        self.open = Some(Open { file, length });
        self.new_name = true;
        Ok(())
    }

    fn end_segment(&mut self) -> Result<(), Trouble> {
        let synced = self.sync();
        self.folder.seal();
        self.open = None;
        synced
    }

    /// Writes what was gathered.
    fn put(&mut self) -> Result<(), Trouble> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Err(error) = self.disk.write(&mut open.file, open.length, &self.buffer) {
            if self.disk.cut(&open.file, open.length).is_err() {
                // What stands behind its end is of no account: it is read up to its length, and its numbers come again.
                self.folder.seal();
                self.open = None;
            }
            self.forget();
            return Err(Trouble::Failed(format!("the spool can't be written: {error}")));
        }
        if !self.folder.grew(self.buffer.len() as u64, self.tally) {
            self.forget();
            self.open = None;
            return Err(Trouble::Failed("the newest segment was damaged from outside".to_owned()));
        }
        open.length += self.buffer.len() as u64;
        self.dirty.get_or_insert_with(Instant::now);
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        self.buffer.clear();
        // One giant must not hold its memory for ever.
        self.buffer.shrink_to(LARGEST_SEGMENT as usize);
        self.tally = Tally::default();
    }

    /// When what was written is to be synced at the latest.
    pub(crate) fn sync_due(&self, every: Duration) -> Option<Instant> {
        self.dirty.and_then(|since| since.checked_add(every))
    }

    /// Has all that was written survive the machine. If that fails it is not tried again on the same file: nobody would know what a
    /// second success is worth.
    pub(crate) fn sync(&mut self) -> Result<(), Trouble> {
        let (Some(_), Some(open)) = (self.dirty.take(), &self.open) else { return Ok(()) };
        let mut synced = self.disk.sync(&open.file);
        if synced.is_ok() && self.new_name {
            synced = sync_folder(&self.folder.path);
        }
        match synced {
            Ok(()) => {
                self.new_name = false;
                Ok(())
            }
            Err(error) => {
                self.folder.seal();
                self.open = None;
                Err(Trouble::Failed(format!("the spool can't be synced: {error}")))
            }
        }
    }
}
