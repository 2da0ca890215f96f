//! The bytes of a journal file: one file header, then frame headers each followed by its payload.
//!
//! `docs/format-journal.md` is the authority. All integers are little-endian.

use super::frame::{MAX_PAYLOAD_BYTES, RECORD_OVERHEAD};

/// Length of a file header.
pub const FILE_HEADER_BYTES: usize = 192;
/// Length of a frame header.
pub const FRAME_HEADER_BYTES: usize = 56;
/// The one version of both headers that this program reads and writes.
pub const VERSION: u16 = 1;
/// Most bytes of a ledger's name.
pub const MAX_LEDGER_NAME: usize = 128;
/// First bytes of every frame.
pub const FRAME_MAGIC: &[u8; 4] = b"TGJF";

const FILE_MAGIC: &[u8; 6] = b"TGJRNL";
const NAME_AT: usize = 58;

/// A header that can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// Magic, checksum, or a field is wrong.
    Bad,
    /// It says that it is of another version.
    Version(u16),
}

/// What a file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// Name of the ledger.
    pub ledger: String,
    /// Index of the file's first record.
    pub first_index: u64,
    /// Hash of the leaf before that record.
    pub prev: [u8; 32],
    /// Random bytes which every frame of this file repeats: nothing that a sender puts into a record,
    /// and no disk block that once belonged to another file, can be taken for a frame of this one.
    pub nonce: [u8; 8],
}

impl FileHeader {
    /// The bytes.
    ///
    /// # Panics
    /// If the ledger's name is longer than [`MAX_LEDGER_NAME`]; `Journal::open` refuses such a name.
    #[must_use]
    pub fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        assert!(self.ledger.len() <= MAX_LEDGER_NAME, "ledger name too long");
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..6].copy_from_slice(FILE_MAGIC);
        bytes[6..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.nonce);
        bytes[24..56].copy_from_slice(&self.prev);
        bytes[56..58].copy_from_slice(&(self.ledger.len() as u16).to_le_bytes());
        bytes[NAME_AT..NAME_AT + self.ledger.len()].copy_from_slice(self.ledger.as_bytes());
        let crc = crc32c::crc32c(&bytes[..FILE_HEADER_BYTES - 4]);
        bytes[FILE_HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    pub fn decode(bytes: &[u8]) -> Result<FileHeader, HeaderFault> {
        if bytes.len() < FILE_HEADER_BYTES || &bytes[..6] != FILE_MAGIC {
            return Err(HeaderFault::Bad);
        }
        let version = u16::from_le_bytes(array(bytes, 6));
        if version != VERSION {
            // A newer version may be laid out, and summed, in another way.
            return Err(HeaderFault::Version(version));
        }
        let crc = u32::from_le_bytes(array(bytes, FILE_HEADER_BYTES - 4));
        if crc != crc32c::crc32c(&bytes[..FILE_HEADER_BYTES - 4]) {
            return Err(HeaderFault::Bad);
        }
        let name_len = usize::from(u16::from_le_bytes(array(bytes, 56)));
        if name_len > MAX_LEDGER_NAME {
            return Err(HeaderFault::Bad);
        }
        let ledger = str::from_utf8(&bytes[NAME_AT..NAME_AT + name_len]).map_err(|_| HeaderFault::Bad)?;
        Ok(FileHeader {
            ledger: ledger.to_owned(),
            first_index: u64::from_le_bytes(array(bytes, 8)),
            prev: array(bytes, 24),
            nonce: array(bytes, 16),
        })
    }
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Records: one group commit.
    Records,
    /// Nothing. That it is there proves that all before it was synced.
    Synced,
}

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Records or a marker.
    pub kind: FrameKind,
    /// Repeats the file's nonce.
    pub nonce: [u8; 8],
    /// Index of the first record (of the next one, for a marker).
    pub first_index: u64,
    /// When the first record was sealed, in nanoseconds since 1970.
    pub sealed_at: u64,
    /// Length of the payload.
    pub payload_len: u64,
    /// Number of records.
    pub count: u32,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

impl FrameHeader {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let kind: u16 = match self.kind {
            FrameKind::Records => 0,
            FrameKind::Synced => 1,
        };
        bytes[..4].copy_from_slice(FRAME_MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.nonce);
        bytes[16..24].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sealed_at.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.count.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..FRAME_HEADER_BYTES - 4]);
        bytes[FRAME_HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back. With a `nonce`, a frame of another file is [`HeaderFault::Bad`].
    pub fn decode(bytes: &[u8], nonce: Option<[u8; 8]>) -> Result<FrameHeader, HeaderFault> {
        if bytes.len() < FRAME_HEADER_BYTES
            || &bytes[..4] != FRAME_MAGIC
            || nonce.is_some_and(|nonce| bytes[8..16] != nonce)
            || u32::from_le_bytes(array(bytes, FRAME_HEADER_BYTES - 4))
                != crc32c::crc32c(&bytes[..FRAME_HEADER_BYTES - 4])
        {
            return Err(HeaderFault::Bad);
        }
        let version = u16::from_le_bytes(array(bytes, 4));
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        let kind = match u16::from_le_bytes(array(bytes, 6)) {
            0 => FrameKind::Records,
            1 => FrameKind::Synced,
            _ => return Err(HeaderFault::Bad),
        };
        let header = FrameHeader {
            kind,
            nonce: array(bytes, 8),
            first_index: u64::from_le_bytes(array(bytes, 16)),
            sealed_at: u64::from_le_bytes(array(bytes, 24)),
            payload_len: u64::from_le_bytes(array(bytes, 32)),
            count: u32::from_le_bytes(array(bytes, 40)),
            payload_crc: u32::from_le_bytes(array(bytes, 44)),
        };
        if header.is_plausible() { Ok(header) } else { Err(HeaderFault::Bad) }
    }

    /// Index behind the frame's last record.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.first_index + u64::from(self.count)
    }

    /// Bytes of the frame, header included.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + self.payload_len
    }

    fn is_plausible(&self) -> bool {
        let filled = match self.kind {
            FrameKind::Records => self.count > 0 && self.payload_len >= u64::from(self.count) * RECORD_OVERHEAD as u64,
            FrameKind::Synced => self.count == 0 && self.payload_len == 0,
        };
        filled
            && self.payload_len <= MAX_PAYLOAD_BYTES as u64
            && self.first_index.checked_add(u64::from(self.count)).is_some()
    }
}

/// `N` bytes at `at`. The caller has checked the length.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
