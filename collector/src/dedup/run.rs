//! A run on disk: header, filter, sorted entries. Written once, see `run_writer.rs`, then only read.

use std::path::{Path, PathBuf};

use super::bloom;
use super::entry::{ContentDigest, ENTRY_BYTES, Entry, EventId};
use super::error::DedupError;
use super::ranges::{MAX_RANGES, Range};
use crate::journal::disk::{Disk, DiskFile};
use crate::journal::layout::array;

/// Bytes of the header, and of a block of entries.
pub(super) const PAGE_BYTES: usize = 4096;
/// Entries of a block; what is left of the page is zero up to its CRC-32C, the last four bytes.
pub(super) const ENTRIES_PER_PAGE: usize = 85;
const MAGIC: &[u8; 6] = b"TGDRUN";
const VERSION: u16 = 1;
const RANGES_AT: usize = 128;

/// What a run's first page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunHeader {
    pub(super) count: u64,
    pub(super) first_index: u64,
    pub(super) last_index: u64,
    pub(super) first_sealed_at: u64,
    pub(super) last_sealed_at: u64,
    pub(super) keys: [u64; 2],
    /// Range of the ids that are no UUIDv7; empty if the first is above the second.
    pub(super) untimed: Range,
    /// Ranges of the UUIDv7s.
    pub(super) timed: Vec<Range>,
}

impl RunHeader {
    pub(super) fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        page[..6].copy_from_slice(MAGIC);
        page[6..8].copy_from_slice(&VERSION.to_le_bytes());
        let numbers = [
            self.count,
            self.first_index,
            self.last_index,
            self.first_sealed_at,
            self.last_sealed_at,
            self.keys[0],
            self.keys[1],
            self.untimed.0,
            self.untimed.1,
            self.timed.len() as u64,
        ];
        for (at, number) in numbers.iter().enumerate() {
            page[8 + at * 8..16 + at * 8].copy_from_slice(&number.to_le_bytes());
        }
        for (at, (low, high)) in self.timed.iter().enumerate() {
            let at = RANGES_AT + at * 16;
            page[at..at + 8].copy_from_slice(&low.to_le_bytes());
            page[at + 8..at + 16].copy_from_slice(&high.to_le_bytes());
        }
        seal_page(&mut page);
        page
    }

    fn decode(page: &[u8; PAGE_BYTES], path: &Path) -> Result<RunHeader, DedupError> {
        if &page[..6] != MAGIC || !is_whole_page(page) {
            return Err(DedupError::corrupt(path, "its header is not valid"));
        }
        let version = u16::from_le_bytes(array(page, 6));
        if version != VERSION {
            return Err(DedupError::Version { path: path.to_owned(), version });
        }
        let number = |at: usize| u64::from_le_bytes(array(page, at));
        let timed = number(80) as usize;
        if timed > MAX_RANGES || number(8) == 0 || number(8) > u64::from(u32::MAX) {
            return Err(DedupError::corrupt(path, "its header has a number out of bounds"));
        }
        Ok(RunHeader {
            count: number(8),
            first_index: number(16),
            last_index: number(24),
            first_sealed_at: number(32),
            last_sealed_at: number(40),
            keys: [number(48), number(56)],
            untimed: (number(64), number(72)),
            timed: (0..timed).map(|at| (number(RANGES_AT + at * 16), number(RANGES_AT + at * 16 + 8))).collect(),
        })
    }

    /// Where the entries begin.
    fn pages_at(&self) -> u64 {
        PAGE_BYTES as u64 + bloom::blocks_for(self.count) * bloom::BLOCK_BYTES as u64
    }

    fn file_len(&self) -> u64 {
        self.pages_at() + self.count.div_ceil(ENTRIES_PER_PAGE as u64) * PAGE_BYTES as u64
    }
}

/// Puts the checksum into a page.
pub(super) fn seal_page(page: &mut [u8; PAGE_BYTES]) {
    let crc = crc32c::crc32c(&page[..PAGE_BYTES - 4]);
    page[PAGE_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
}

fn is_whole_page(page: &[u8; PAGE_BYTES]) -> bool {
    u32::from_le_bytes(array(page, PAGE_BYTES - 4)) == crc32c::crc32c(&page[..PAGE_BYTES - 4])
}

/// What a run has of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Index of the first entry with the id and the content.
    pub(super) exact: Option<u64>,
    /// Index of the first entry with the id.
    pub(super) head: u64,
}

/// A run that is there. Holds no more in memory than the header says, unless it is told to keep its file open.
pub(super) struct Run {
    path: PathBuf,
    header: RunHeader,
    open: Option<OpenRun>,
}

struct OpenRun {
    file: Box<dyn DiskFile>,
    filter: Option<Vec<u8>>,
}

impl Run {
    /// Reads the header; the entries are checked when they are read.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Run, DedupError> {
        let file = disk.open_read(path).map_err(DedupError::read(path))?;
        let mut page = [0; PAGE_BYTES];
        file.read_exact_at(&mut page, 0).map_err(DedupError::read(path))?;
        let header = RunHeader::decode(&page, path)?;
        let len = file.len().map_err(DedupError::read(path))?;
        if len != header.file_len() {
            return Err(DedupError::corrupt(path, &format!("it has {len} bytes instead of {}", header.file_len())));
        }
        Ok(Run { path: path.to_owned(), header, open: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn header(&self) -> &RunHeader {
        &self.header
    }

    pub(super) fn last_sealed_at(&self) -> u64 {
        self.header.last_sealed_at
    }

    /// Keeps the file open, and the filter in memory, or neither.
    pub(super) fn keep(&mut self, disk: &dyn Disk, file: bool, filter: bool) -> Result<(), DedupError> {
        if !file {
            self.open = None;
            return Ok(());
        }
        if self.open.is_none() {
            let file = disk.open_read(&self.path).map_err(DedupError::read(&self.path))?;
            self.open = Some(OpenRun { file, filter: None });
        }
        let len = bloom::blocks_for(self.header.count) as usize * bloom::BLOCK_BYTES;
        if let Some(open) = &mut self.open {
            if !filter {
                open.filter = None;
            } else if open.filter.is_none() {
                let mut blocks = vec![0; len];
                open.file.read_exact_at(&mut blocks, PAGE_BYTES as u64).map_err(DedupError::read(&self.path))?;
                open.filter = Some(blocks);
            }
        }
        Ok(())
    }

    /// Looks for an id; `None` if it is not listed.
    pub(super) fn find(
        &self,
        disk: &dyn Disk,
        id: &EventId,
        digest: &ContentDigest,
    ) -> Result<Option<Hit>, DedupError> {
        let opened;
        let (file, filter) = match &self.open {
            Some(open) => (open.file.as_ref(), open.filter.as_deref()),
            None => {
                opened = disk.open_read(&self.path).map_err(DedupError::read(&self.path))?;
                (opened.as_ref(), None)
            }
        };
        if !self.perhaps(file, filter, id)? {
            return Ok(None);
        }
        let mut pages = Pages { run: self, file, number: None, page: [0; PAGE_BYTES] };
        let first = pages.lower_bound(0, |entry| entry.id < *id)?;
        let Some(head) = pages.entry(first)?.filter(|head| head.id == *id) else { return Ok(None) };
        if head.digest == *digest {
            return Ok(Some(Hit { exact: Some(head.index()), head: head.index() }));
        }
        let at = pages.lower_bound(first + 1, |entry| (entry.id, entry.digest) < (*id, *digest))?;
        let exact = pages.entry(at)?.filter(|entry| entry.id == *id && entry.digest == *digest);
        Ok(Some(Hit { exact: exact.map(|entry| entry.index()), head: head.index() }))
    }

    fn perhaps(&self, file: &dyn DiskFile, filter: Option<&[u8]>, id: &EventId) -> Result<bool, DedupError> {
        let place = bloom::place(id, self.header.keys, bloom::blocks_for(self.header.count));
        let at = place.block as usize * bloom::BLOCK_BYTES;
        let mut block = [0; bloom::BLOCK_BYTES];
        match filter {
            Some(filter) => block.copy_from_slice(&filter[at..at + bloom::BLOCK_BYTES]),
            None => {
                file.read_exact_at(&mut block, (PAGE_BYTES + at) as u64).map_err(DedupError::read(&self.path))?;
            }
        }
        if !bloom::is_whole(&block) {
            return Err(DedupError::corrupt(&self.path, "a block of its filter has a wrong checksum"));
        }
        Ok(place.is_set(&block))
    }
}

/// The entries of a run by their number, with the page that was read last.
struct Pages<'a> {
    run: &'a Run,
    file: &'a dyn DiskFile,
    number: Option<u64>,
    page: [u8; PAGE_BYTES],
}

impl Pages<'_> {
    fn entry(&mut self, number: u64) -> Result<Option<Entry>, DedupError> {
        if number >= self.run.header.count {
            return Ok(None);
        }
        let page = number / ENTRIES_PER_PAGE as u64;
        if self.number != Some(page) {
            self.number = None;
            let at = self.run.header.pages_at() + page * PAGE_BYTES as u64;
            self.file.read_exact_at(&mut self.page, at).map_err(DedupError::read(&self.run.path))?;
            if !is_whole_page(&self.page) {
                return Err(DedupError::corrupt(
                    &self.run.path,
                    &format!("the page at byte {at} has a wrong checksum"),
                ));
            }
            self.number = Some(page);
        }
        let at = (number % ENTRIES_PER_PAGE as u64) as usize * ENTRY_BYTES;
        Ok(Some(Entry::decode(&self.page[at..at + ENTRY_BYTES])))
    }

    /// Number of the first entry, from `low` on, that is not `before`.
    fn lower_bound(&mut self, mut low: u64, before: impl Fn(&Entry) -> bool) -> Result<u64, DedupError> {
        let mut high = self.run.header.count;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle)? {
                Some(entry) if before(&entry) => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
