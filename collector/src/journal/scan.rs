//! Reading one journal file: its header, its frames, and what a bad frame means.
//!
//! A frame is begun only after the one before it was synced. So a bad frame is a torn tail, never
//! acknowledged, if nothing was begun behind it; and it is corruption of acknowledged data if anything was:
//! a later frame header of the same file (its random nonce rules out a chance find) or a later file.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::error::JournalError;
use super::frame::StoredFrame;
use super::layout::{
    FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, FileHeader, FrameHeader, FrameKind, HeaderFault,
};

/// How much is read at a time when a later frame is looked for.
const SEARCH_CHUNK_BYTES: usize = 1 << 20;

/// What stands at a position of a file.
#[derive(Debug)]
pub(super) enum Found {
    /// A whole frame.
    Frame(FrameHeader),
    /// No whole frame, and why.
    Bad(&'static str),
    /// A frame of a version that is not known.
    Version(u16),
}

/// Reads the frame header at `at`; `end` is the end of what may be read.
pub(super) fn read_header(file: &dyn DiskFile, at: u64, end: u64, nonce: [u8; 8]) -> io::Result<Found> {
    let mut bytes = [0; FRAME_HEADER_BYTES];
    if end.saturating_sub(at) < FRAME_HEADER_BYTES as u64 {
        return Ok(Found::Bad("the frame header is cut short"));
    }
    file.read_exact_at(&mut bytes, at)?;
    Ok(match FrameHeader::decode(&bytes, Some(nonce)) {
        Ok(header) if header.frame_len() > end - at => Found::Bad("the frame is cut short"),
        Ok(header) => Found::Frame(header),
        Err(HeaderFault::Version(version)) => Found::Version(version),
        Err(HeaderFault::Bad) => Found::Bad("there is no valid frame header"),
    })
}

/// Reads the payload of the frame at `at` into `payload`; says whether it is what was written.
pub(super) fn read_payload(
    file: &dyn DiskFile,
    at: u64,
    header: &FrameHeader,
    payload: &mut Vec<u8>,
) -> io::Result<Result<(), &'static str>> {
    // `decode` bounds the length, and `read_header` has seen that the file is that long.
    payload.resize(header.payload_len as usize, 0);
    file.read_exact_at(payload, at + FRAME_HEADER_BYTES as u64)?;
    Ok(if crc32c::crc32c(payload) != header.payload_crc {
        Err("the payload's checksum is wrong")
    } else if header.kind == FrameKind::Records && StoredFrame::parse(*header, payload, 0).is_none() {
        Err("the records do not fill the payload")
    } else {
        Ok(())
    })
}

/// Reads the whole header of a file.
pub(super) fn read_file_header(file: &dyn DiskFile) -> io::Result<Result<FileHeader, HeaderFault>> {
    let mut bytes = [0; FILE_HEADER_BYTES];
    let read = file.read_full_at(&mut bytes, 0)?;
    Ok(FileHeader::decode(&bytes[..read]))
}

/// Position of the first frame header in `from..end`. Without a nonce, of any file's.
fn find_frame(file: &dyn DiskFile, from: u64, end: u64, nonce: Option<[u8; 8]>) -> io::Result<Option<u64>> {
    let finder = memchr::memmem::Finder::new(FRAME_MAGIC);
    let mut chunk = vec![0; SEARCH_CHUNK_BYTES];
    let mut at = from;
    while end.saturating_sub(at) >= FRAME_HEADER_BYTES as u64 {
        let want = chunk.len().min((end - at) as usize);
        let read = file.read_full_at(&mut chunk[..want], at)?;
        for hit in finder.find_iter(&chunk[..read]) {
            let whole = chunk[hit..read].get(..FRAME_HEADER_BYTES);
            if whole.is_some_and(|bytes| FrameHeader::decode(bytes, nonce) != Err(HeaderFault::Bad)) {
                return Ok(Some(at + hit as u64));
            }
        }
        if read < chunk.len() {
            break;
        }
        // A header that lies across the edge of the chunk is seen whole in the next one.
        at += (read - (FRAME_HEADER_BYTES - 1)) as u64;
    }
    Ok(None)
}

/// One file as start-up found it.
#[derive(Debug)]
pub(super) struct ScannedFile {
    pub(super) path: PathBuf,
    pub(super) first_index: u64,
    /// `None`: the file was being created when the machine stopped; it holds nothing.
    pub(super) header: Option<FileHeader>,
    pub(super) next_index: u64,
    /// Length up to the end of the last whole frame.
    pub(super) len: u64,
    /// Bytes behind that: the torn tail.
    pub(super) torn_bytes: u64,
    /// Position and length of the last frame, be it records or a marker.
    pub(super) last_frame: Option<(u64, u64)>,
    pub(super) ends_synced: bool,
    pub(super) first_sealed_at: Option<u64>,
}

/// Reads and checks a whole file, one frame in memory at a time. `newest`: no file comes after it.
pub(super) fn scan_file(
    disk: &dyn Disk,
    path: &Path,
    first_index: u64,
    ledger: &str,
    newest: bool,
) -> Result<ScannedFile, JournalError> {
    let failed = |source| JournalError::Io { action: "read", path: path.to_owned(), source };
    let file = disk.open_read(path).map_err(failed)?;
    let file = file.as_ref();
    let end = file.len().map_err(failed)?;
    let mut scanned = ScannedFile {
        path: path.to_owned(),
        first_index,
        header: None,
        next_index: first_index,
        len: 0,
        torn_bytes: end,
        last_frame: None,
        ends_synced: false,
        first_sealed_at: None,
    };
    let Some(header) = usable_header(file, path, first_index, ledger, newest, end)? else { return Ok(scanned) };
    let nonce = header.nonce;
    scanned.header = Some(header);
    scanned.len = FILE_HEADER_BYTES as u64;

    let mut payload = Vec::new();
    while scanned.len < end {
        let what = match read_header(file, scanned.len, end, nonce).map_err(failed)? {
            Found::Version(version) => return Err(JournalError::Version { path: path.to_owned(), version }),
            Found::Bad(what) => what,
            Found::Frame(frame) => match read_payload(file, scanned.len, &frame, &mut payload).map_err(failed)? {
                Ok(()) if frame.first_index == scanned.next_index => {
                    scanned.take(&frame);
                    continue;
                }
                // The checksum holds: this is no torn write.
                Ok(()) => return Err(scanned.corrupt("the frame begins at another index than the one before it ended")),
                Err(what) => what,
            },
        };
        if !newest {
            return Err(scanned.corrupt(&format!("{what}, and a later file exists")));
        }
        if let Some(later) = find_frame(file, scanned.len + 1, end, Some(nonce)).map_err(failed)? {
            return Err(scanned.corrupt(&format!("{what}, and a later frame stands at byte {later}")));
        }
        break;
    }
    scanned.torn_bytes = end - scanned.len;
    Ok(scanned)
}

/// The file's header; `None` if the file was torn while it was created.
fn usable_header(
    file: &dyn DiskFile,
    path: &Path,
    first_index: u64,
    ledger: &str,
    newest: bool,
    end: u64,
) -> Result<Option<FileHeader>, JournalError> {
    let failed = |source| JournalError::Io { action: "read", path: path.to_owned(), source };
    let corrupt = |what: &str| {
        Err(JournalError::Corrupt { path: path.to_owned(), offset: 0, index: first_index, what: what.to_owned() })
    };
    match read_file_header(file).map_err(failed)? {
        Ok(header) if header.ledger != ledger => {
            Err(JournalError::OtherLedger { path: path.to_owned(), found: header.ledger, expected: ledger.to_owned() })
        }
        Ok(header) if header.first_index != first_index => {
            corrupt("its header gives another first index than its name")
        }
        Ok(header) => Ok(Some(header)),
        Err(HeaderFault::Version(version)) => Err(JournalError::Version { path: path.to_owned(), version }),
        Err(HeaderFault::Bad) if !newest => corrupt("the file header is damaged, and a later file exists"),
        Err(HeaderFault::Bad) => match find_frame(file, 0, end, None).map_err(failed)? {
            Some(_) => corrupt("the file header is damaged, and frames follow it"),
            None => Ok(None),
        },
    }
}

impl ScannedFile {
    fn take(&mut self, frame: &FrameHeader) {
        self.last_frame = Some((self.len, frame.frame_len()));
        if frame.kind == FrameKind::Records {
            self.first_sealed_at.get_or_insert(frame.sealed_at);
        }
        self.ends_synced = frame.kind == FrameKind::Synced;
        self.next_index = frame.next_index();
        self.len += frame.frame_len();
    }

    fn corrupt(&self, what: &str) -> JournalError {
        JournalError::Corrupt {
            path: self.path.clone(),
            offset: self.len,
            index: self.next_index,
            what: what.to_owned(),
        }
    }
}
