//! The log of the table: what a restart needs to fill the table again.
//!
//! One block is appended for each group, not synced. Power loss may leave any of the blocks that were not synced, so
//! what stands behind a bad block does not count; the journal still has it. A *synced* block says that all before it
//! was synced and may have left the journal: a bad block before it is damage, and start-up refuses.

use std::path::{Path, PathBuf};

use super::entry::{ENTRY_BYTES, Entry};
use super::error::DedupError;
use crate::journal::disk::{Disk, DiskFile};
use crate::journal::layout::array;

const FILE_NAME: &str = "current.log";
const TEMPORARY_NAME: &str = "current.log.tmp";
const FILE_MAGIC: &[u8; 6] = b"TGDLOG";
const VERSION: u16 = 1;
const FILE_HEADER_BYTES: usize = 12;
const BLOCK_MAGIC: &[u8; 4] = b"TGDB";
const BLOCK_HEADER_BYTES: usize = 24;
/// Most entries of one block; more are written as several.
const MAX_BLOCK_ENTRIES: usize = 1 << 14;
const SEARCH_CHUNK_BYTES: usize = 1 << 20;

pub(super) struct Log {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    len: u64,
    synced: bool,
    buffer: Vec<u8>,
}

impl Log {
    /// Puts a log with these entries, durable, in the place of the one there is. An error other than
    /// [`DedupError::Broken`] left that one in its place.
    pub(super) fn create(dir: &Path, disk: &dyn Disk, entries: &[Entry]) -> Result<Log, DedupError> {
        let (path, temporary) = (dir.join(FILE_NAME), dir.join(TEMPORARY_NAME));
        let written = Log::create_temporary(disk, &temporary, entries);
        let mut log = match written {
            Ok(log) => log,
            Err(error) => {
                // What stays of it, if this fails too, goes with the next attempt.
                let _ = disk.remove(&temporary);
                return Err(error);
            }
        };
        // Even after an error the file may have its name: then the log that was there before is no longer found.
        disk.rename(&temporary, &path).map_err(|error| DedupError::broken("rename", &temporary, &error))?;
        disk.sync_dir(dir).map_err(|error| DedupError::broken("sync", dir, &error))?;
        log.path = path;
        Ok(log)
    }

    fn create_temporary(disk: &dyn Disk, temporary: &Path, entries: &[Entry]) -> Result<Log, DedupError> {
        match disk.remove(temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DedupError::io("remove", temporary)(error));
            }
            _ => {}
        }
        let file = disk.create_new(temporary).map_err(DedupError::io("create", temporary))?;
        let mut log = Log { file, path: temporary.to_owned(), len: 0, synced: false, buffer: Vec::new() };
        let mut header = [0; FILE_HEADER_BYTES];
        header[..6].copy_from_slice(FILE_MAGIC);
        header[6..8].copy_from_slice(&VERSION.to_le_bytes());
        let crc = crc32c::crc32c(&header[..8]);
        header[8..].copy_from_slice(&crc.to_le_bytes());
        log.buffer.extend_from_slice(&header);
        log.write_buffer()?;
        log.append(entries)?;
        log.sync()?;
        Ok(log)
    }

    /// Appends entries. An error other than [`DedupError::Broken`] left the log as it was.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<(), DedupError> {
        let before = self.len;
        for block in entries.chunks(MAX_BLOCK_ENTRIES) {
            let header_at = self.buffer.len();
            self.buffer.resize(header_at + BLOCK_HEADER_BYTES, 0);
            for entry in block {
                self.buffer.extend_from_slice(&entry.encode());
            }
            let payload = header_at + BLOCK_HEADER_BYTES;
            let header = BlockHeader {
                count: block.len() as u32,
                payload_crc: crc32c::crc32c(&self.buffer[payload..]),
                synced_len: 0,
            };
            self.buffer[header_at..payload].copy_from_slice(&header.encode());
            if let Err(error) = self.write_buffer() {
                self.undo(before)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes all blocks durable, and says so in a block of its own, if there is room.
    pub(super) fn sync(&mut self) -> Result<(), DedupError> {
        if self.synced {
            return Ok(());
        }
        self.file.sync().map_err(|error| DedupError::broken("sync", &self.path, &error))?;
        let marker = BlockHeader { count: 0, payload_crc: 0, synced_len: self.len };
        self.buffer.extend_from_slice(&marker.encode());
        match self.write_buffer() {
            Ok(()) | Err(DedupError::NoRoom { .. }) => {}
            Err(error) => return Err(error),
        }
        self.synced = true;
        Ok(())
    }

    /// Writes the buffer at the end, and empties it. A write that fails is undone.
    fn write_buffer(&mut self) -> Result<(), DedupError> {
        let outcome = self.file.write_all_at(&self.buffer, self.len);
        let written = self.buffer.len() as u64;
        self.buffer.clear();
        match outcome {
            Ok(()) => {
                self.len += written;
                self.synced = false;
                Ok(())
            }
            Err(error) => {
                self.undo(self.len)?;
                Err(DedupError::write(&self.path, error))
            }
        }
    }

    fn undo(&mut self, len: u64) -> Result<(), DedupError> {
        self.file.truncate(len).map_err(|error| DedupError::broken("undo a failed write of", &self.path, &error))?;
        self.len = len;
        Ok(())
    }
}

/// How many entries the log has at most.
pub(super) fn most_entries(dir: &Path, disk: &dyn Disk) -> Result<u64, DedupError> {
    let path = dir.join(FILE_NAME);
    match disk.open_read(&path).and_then(|file| file.len()) {
        Ok(len) => Ok(len / ENTRY_BYTES as u64),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(DedupError::read(&path)(error)),
    }
}

/// Reads the log's entries, one block in memory at a time.
pub(super) fn read(dir: &Path, disk: &dyn Disk, mut each: impl FnMut(Entry)) -> Result<(), DedupError> {
    let path = dir.join(FILE_NAME);
    let file = match disk.open_read(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DedupError::read(&path)(error)),
    };
    let end = file.len().map_err(DedupError::read(&path))?;
    check_file_header(file.as_ref(), &path)?;
    let mut at = FILE_HEADER_BYTES as u64;
    let mut payload = Vec::new();
    while let Some(header) = read_block(file.as_ref(), at, end, &mut payload).map_err(DedupError::read(&path))? {
        payload.chunks_exact(ENTRY_BYTES).for_each(|bytes| each(Entry::decode(bytes)));
        at += header.block_len();
    }
    if at < end && was_synced(file.as_ref(), at, end).map_err(DedupError::read(&path))? {
        return Err(DedupError::corrupt(&path, &format!("at byte {at} is no valid block, though it had been synced")));
    }
    Ok(())
}

fn check_file_header(file: &dyn DiskFile, path: &Path) -> Result<(), DedupError> {
    let mut header = [0; FILE_HEADER_BYTES];
    // The log gets its name only once it is durable, so a bad header is no torn write.
    file.read_exact_at(&mut header, 0).map_err(DedupError::read(path))?;
    if &header[..6] != FILE_MAGIC || u32::from_le_bytes(array(&header, 8)) != crc32c::crc32c(&header[..8]) {
        return Err(DedupError::corrupt(path, "its header is not valid"));
    }
    match u16::from_le_bytes(array(&header, 6)) {
        VERSION => Ok(()),
        version => Err(DedupError::Version { path: path.to_owned(), version }),
    }
}

/// The block at `at`, its entries in `payload`; `None` if there is no whole block.
fn read_block(file: &dyn DiskFile, at: u64, end: u64, payload: &mut Vec<u8>) -> std::io::Result<Option<BlockHeader>> {
    let mut bytes = [0; BLOCK_HEADER_BYTES];
    if file.read_full_at(&mut bytes, at)? < bytes.len() {
        return Ok(None);
    }
    let Some(header) = BlockHeader::decode(&bytes).filter(|header| header.block_len() <= end - at) else {
        return Ok(None);
    };
    payload.resize(header.count as usize * ENTRY_BYTES, 0);
    file.read_exact_at(payload, at + BLOCK_HEADER_BYTES as u64)?;
    Ok((crc32c::crc32c(payload) == header.payload_crc).then_some(header))
}

/// Whether a later block says that the block at `bad` had been synced.
fn was_synced(file: &dyn DiskFile, bad: u64, end: u64) -> std::io::Result<bool> {
    let finder = memchr::memmem::Finder::new(BLOCK_MAGIC);
    let mut chunk = vec![0; SEARCH_CHUNK_BYTES];
    let mut at = bad;
    while end.saturating_sub(at) >= BLOCK_HEADER_BYTES as u64 {
        let read = file.read_full_at(&mut chunk, at)?;
        for hit in finder.find_iter(&chunk[..read]) {
            let header = chunk[hit..read].get(..BLOCK_HEADER_BYTES).and_then(BlockHeader::decode);
            if header.is_some_and(|header| header.count == 0 && header.synced_len > bad) {
                return Ok(true);
            }
        }
        if read < chunk.len() {
            break;
        }
        at += (read - (BLOCK_HEADER_BYTES - 1)) as u64;
    }
    Ok(false)
}

/// Before a block's entries; without entries it is a synced block.
struct BlockHeader {
    count: u32,
    payload_crc: u32,
    synced_len: u64,
}

impl BlockHeader {
    fn block_len(&self) -> u64 {
        (BLOCK_HEADER_BYTES + self.count as usize * ENTRY_BYTES) as u64
    }

    fn encode(&self) -> [u8; BLOCK_HEADER_BYTES] {
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        bytes[..4].copy_from_slice(BLOCK_MAGIC);
        bytes[4..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.synced_len.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<BlockHeader> {
        let valid = &bytes[..4] == BLOCK_MAGIC && u32::from_le_bytes(array(bytes, 20)) == crc32c::crc32c(&bytes[..20]);
        let header = BlockHeader {
            count: u32::from_le_bytes(array(bytes, 4)),
            payload_crc: u32::from_le_bytes(array(bytes, 8)),
            synced_len: u64::from_le_bytes(array(bytes, 12)),
        };
        (valid && header.count as usize <= MAX_BLOCK_ENTRIES).then_some(header)
    }
}
