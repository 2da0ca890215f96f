//! One sealed event, 48 bytes: id, digest of the content, index, time.

use crate::journal::layout::array;

/// An event's id: a UUID's bytes.
pub type EventId = [u8; 16];
/// The first half of the SHA-256 of a record's content.
pub type ContentDigest = [u8; 16];

/// Bytes of an encoded entry.
pub(super) const ENTRY_BYTES: usize = 48;
/// Set in the time field of the first entry that has its id. Times use 63 bits.
const HEAD: u64 = 1 << 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: EventId,
    pub(super) digest: ContentDigest,
    index: u64,
    sealed_at_and_head: u64,
}

impl Entry {
    pub(super) fn new(id: EventId, digest: ContentDigest, index: u64, sealed_at: u64) -> Entry {
        Entry { id, digest, index, sealed_at_and_head: sealed_at & !HEAD }
    }

    pub(super) fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn sealed_at(&self) -> u64 {
        self.sealed_at_and_head & !HEAD
    }

    /// Whether it is the first with its id among those it is kept with.
    pub(super) fn is_head(&self) -> bool {
        self.sealed_at_and_head & HEAD != 0
    }

    pub(super) fn set_head(&mut self, head: bool) {
        self.sealed_at_and_head = if head { self.sealed_at_and_head | HEAD } else { self.sealed_at() };
    }

    /// The order of a run: by id; the head before the others with its id, those by digest.
    pub(super) fn sort_key(&self) -> (EventId, bool, ContentDigest, u64) {
        (self.id, !self.is_head(), self.digest, self.index)
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..16].copy_from_slice(&self.id);
        bytes[16..32].copy_from_slice(&self.digest);
        bytes[32..40].copy_from_slice(&self.index.to_le_bytes());
        bytes[40..].copy_from_slice(&self.sealed_at_and_head.to_le_bytes());
        bytes
    }

    /// The first 48 bytes of `bytes`, which has as many.
    pub(super) fn decode(bytes: &[u8]) -> Entry {
        Entry {
            id: array(bytes, 0),
            digest: array(bytes, 16),
            index: u64::from_le_bytes(array(bytes, 32)),
            sealed_at_and_head: u64::from_le_bytes(array(bytes, 40)),
        }
    }
}
