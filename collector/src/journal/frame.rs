//! A frame: the records of one group commit, to be written and as read back.

use super::layout::{FRAME_HEADER_BYTES, FrameHeader, FrameKind, array};

/// A frame takes no further record once its payload has this many bytes.
pub const FULL_PAYLOAD_BYTES: usize = 16 << 20;
/// Most bytes of a leaf.
pub const MAX_LEAF_BYTES: usize = 65_535;
/// Most bytes of a body.
pub const MAX_BODY_BYTES: usize = 64 << 20;
/// Bytes of a record besides leaf and body: two lengths and the MAC.
pub(super) const RECORD_OVERHEAD: usize = 4 + 4 + 32;
/// Most bytes of a payload: a full one and the record that filled it.
pub(super) const MAX_PAYLOAD_BYTES: usize = FULL_PAYLOAD_BYTES + RECORD_OVERHEAD + MAX_LEAF_BYTES + MAX_BODY_BYTES;

/// A buffer that grew beyond this for one large frame is given back afterwards.
const KEPT_CAPACITY: usize = FULL_PAYLOAD_BYTES + (1 << 20);

/// Why a record did not fit into a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The frame is full: append it, then begin another.
    #[error("the frame is full")]
    FrameFull,
    /// The leaf is too long for any frame.
    #[error("a leaf of {0} bytes is longer than {MAX_LEAF_BYTES}")]
    LeafTooLong(usize),
    /// The body is too long for any frame.
    #[error("a body of {0} bytes is longer than {MAX_BODY_BYTES}")]
    BodyTooLong(usize),
}

/// The records of one group commit, gathered in one buffer that is written at once.
#[derive(Debug)]
pub struct Frame {
    first_index: u64,
    prev: [u8; 32],
    sealed_at: u64,
    count: u32,
    /// Room for the header, then the payload.
    buffer: Vec<u8>,
}

impl Frame {
    /// An empty frame whose first record will be `first_index`. `prev` is the hash of the leaf before it,
    /// `sealed_at` the time at which it is sealed (nanoseconds since 1970).
    #[must_use]
    pub fn begin(first_index: u64, prev: [u8; 32], sealed_at: u64) -> Frame {
        Frame { first_index, prev, sealed_at, count: 0, buffer: vec![0; FRAME_HEADER_BYTES] }
    }

    /// Empties the frame for the next group; the buffer is used again.
    pub fn restart(&mut self, first_index: u64, prev: [u8; 32], sealed_at: u64) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.truncate(FRAME_HEADER_BYTES);
        buffer.shrink_to(KEPT_CAPACITY);
        *self = Frame { first_index, prev, sealed_at, count: 0, buffer };
    }

    /// Adds the next record. On error the frame is as before.
    pub fn push(&mut self, leaf: &[u8], body: &[u8], mac: &[u8; 32]) -> Result<(), PushError> {
        if leaf.len() > MAX_LEAF_BYTES {
            return Err(PushError::LeafTooLong(leaf.len()));
        }
        if body.len() > MAX_BODY_BYTES {
            return Err(PushError::BodyTooLong(body.len()));
        }
        if self.is_full() {
            return Err(PushError::FrameFull);
        }
        self.buffer.extend_from_slice(&(leaf.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(mac);
        self.buffer.extend_from_slice(leaf);
        self.buffer.extend_from_slice(body);
        self.count += 1;
        Ok(())
    }

    /// Whether the frame takes no further record.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buffer.len() - FRAME_HEADER_BYTES >= FULL_PAYLOAD_BYTES
    }

    /// Whether there is no record in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of records.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Index of the first record.
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.first_index
    }

    /// Index behind the last record.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.first_index + u64::from(self.count)
    }

    /// Bytes that the frame will take on disk, as it is now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }

    pub(super) fn prev(&self) -> [u8; 32] {
        self.prev
    }

    pub(super) fn sealed_at(&self) -> u64 {
        self.sealed_at
    }

    /// Completes the header and gives all bytes of the frame.
    pub(super) fn finish(&mut self, nonce: [u8; 8]) -> &[u8] {
        let payload = &self.buffer[FRAME_HEADER_BYTES..];
        let header = FrameHeader {
            kind: FrameKind::Records,
            nonce,
            first_index: self.first_index,
            sealed_at: self.sealed_at,
            payload_len: payload.len() as u64,
            count: self.count,
            payload_crc: crc32c::crc32c(payload),
        };
        self.buffer[..FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
        &self.buffer
    }
}

/// A frame that was read and found whole.
#[derive(Debug, Clone, Copy)]
pub struct StoredFrame<'a> {
    header: FrameHeader,
    payload: &'a [u8],
    /// Records below this index are passed over.
    from: u64,
}

impl<'a> StoredFrame<'a> {
    /// `None` if the records do not fill the payload exactly.
    pub(super) fn parse(header: FrameHeader, payload: &'a [u8], from: u64) -> Option<StoredFrame<'a>> {
        let mut rest = payload;
        for _ in 0..header.count {
            (_, rest) = split_record(rest)?;
        }
        rest.is_empty().then_some(StoredFrame { header, payload, from })
    }

    /// Index of the first record that [`StoredFrame::records`] gives.
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.header.first_index.max(self.from)
    }

    /// Index behind the last record.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.header.next_index()
    }

    /// When the frame's first record was sealed.
    #[must_use]
    pub fn sealed_at(&self) -> u64 {
        self.header.sealed_at
    }

    /// Bytes of the payload.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// The records in order, from the index that was asked for.
    pub fn records(&self) -> impl Iterator<Item = StoredRecord<'a>> + use<'a> {
        let (mut index, mut rest, from) = (self.header.first_index, self.payload, self.from);
        std::iter::from_fn(move || {
            let ((mac, leaf, body), after) = split_record(rest)?;
            rest = after;
            index += 1;
            Some(StoredRecord { index: index - 1, leaf, body, mac })
        })
        .skip_while(move |record| record.index < from)
    }
}

/// One record as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    /// Position in the ledger.
    pub index: u64,
    /// The leaf.
    pub leaf: &'a [u8],
    /// The body.
    pub body: &'a [u8],
    /// The MAC.
    pub mac: [u8; 32],
}

type RecordParts<'a> = ([u8; 32], &'a [u8], &'a [u8]);

fn split_record(payload: &[u8]) -> Option<(RecordParts<'_>, &[u8])> {
    let (fixed, rest) = payload.split_at_checked(RECORD_OVERHEAD)?;
    let leaf_len = u32::from_le_bytes(array(fixed, 0)) as usize;
    let body_len = u32::from_le_bytes(array(fixed, 4)) as usize;
    let (leaf, rest) = rest.split_at_checked(leaf_len)?;
    let (body, rest) = rest.split_at_checked(body_len)?;
    Some(((array(fixed, 8), leaf, body), rest))
}
