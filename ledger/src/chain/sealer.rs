//! Gives records their index, leaf, hash and MAC. One sealer per ledger, one caller at a time.
//!
//! The sealer runs ahead of the disk by the records that were sealed and not yet written. A writer takes a
//! [`Snapshot`] before it seals a batch and, if the write fails, restores it: indexes, chain and MAC epoch
//! are then as if nothing had been sealed, so a failed write can't leave a gap.
//!
//! Invariants: a seal that fails changes nothing, neither here nor in the caller's buffer. The key of an
//! earlier epoch stays until [`Sealer::retire_before`], because the key file may still hold only that one.

use std::collections::VecDeque;
use std::ops::Range;

use crate::hash::{Hash, leaf_hash};
use crate::leaf::{Leaf, LeafError, MAX_LEAF_BYTES, genesis};
use crate::mac::{EpochKey, MacError, MacKey, epoch_of};
use crate::note::VerifyingKey;
use crate::stream::StreamPlace;
use crate::{LedgerName, MAX_RECORDS};

/// What the sealer is told about a record. The meanings are those of [`Leaf`].
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Bytes of the body.
    pub body_len: u64,
    /// SHA-256 of the body.
    pub body_sha256: Hash,
    /// When it happened, nanoseconds since 1970, at most 2^63 - 1.
    pub event_time: u64,
    /// Kind of record.
    pub kind: &'a str,
    /// Who numbered the record.
    pub producer: Option<&'a str>,
    /// One start of the producer.
    pub producer_epoch: Option<&'a str>,
    /// The producer's number for it.
    pub producer_seq: Option<u64>,
    /// When it is sealed, nanoseconds since 1970, at most 2^63 - 1.
    pub sealed_at: u64,
    /// W3C span id.
    pub span_id: Option<[u8; 8]>,
    /// W3C trace id.
    pub trace_id: Option<[u8; 16]>,
}

/// A sealed record. The leaf's bytes are in the caller's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Position in the ledger.
    pub index: u64,
    /// Hash of the leaf.
    pub hash: Hash,
    /// MAC over ledger name, index and hash.
    pub mac: [u8; 32],
    /// Where the leaf stands in the buffer.
    pub leaf_range: Range<usize>,
}

/// Why a record can't be sealed. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A value of the entry can't stand in a leaf.
    #[error("the record can't be sealed: {0}")]
    Leaf(#[from] LeafError),
    /// The MAC key is of a later epoch than the next record, or unbelievably far behind.
    #[error("the MAC key does not fit the next record: {0}")]
    Mac(#[from] MacError),
    /// The ledger holds as many records as it can.
    #[error("the ledger is full: it holds {MAX_RECORDS} records; begin a new one")]
    Full,
}

/// Where a sealer stood: take one before a batch, restore it if the write fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a snapshot serves to restore the sealer after a failed write"]
pub struct Snapshot {
    next_index: u64,
    prev: Hash,
    mac_epoch: u64,
}

/// The one that gives out indexes.
#[derive(Debug)]
pub struct Sealer {
    name: LedgerName,
    vkey_line: String,
    next_index: u64,
    prev: Hash,
    /// Keys of rising epochs, never empty; the last is the newest.
    keys: VecDeque<MacKey>,
}

impl Sealer {
    /// Begins the ledger of `vkey`: the next record is number 0. `mac_key` is its initial key.
    pub fn new(vkey: &VerifyingKey, mac_key: MacKey) -> Result<Self, SealError> {
        Self::resume(vkey, 0, genesis(&vkey.to_line()), mac_key)
    }

    /// Goes on behind record `next_index - 1`, whose hash is `prev`.
    ///
    /// `mac_key` may be of an earlier epoch than the next record's; it is kept beside the one that follows
    /// from it until [`retire_before`](Self::retire_before).
    pub fn resume(vkey: &VerifyingKey, next_index: u64, prev: Hash, mac_key: MacKey) -> Result<Self, SealError> {
        if next_index > MAX_RECORDS {
            return Err(SealError::Full);
        }
        let needed = epoch_of(next_index);
        let mut keys = VecDeque::with_capacity(2);
        if mac_key.epoch() < needed {
            let present = MacKey::at(mac_key.scheme(), mac_key.epoch(), *mac_key.expose()).evolve_to(needed)?;
            keys.extend([mac_key, present]);
        } else {
            keys.push_back(mac_key.evolve_to(needed)?);
        }
        let vkey_line = vkey.to_line();
        Ok(Self { name: vkey.name().clone(), vkey_line, next_index, prev, keys })
    }

    /// Seals one record: appends its leaf to `leaves` and moves on by one.
    pub fn seal(&mut self, entry: Entry<'_>, leaves: &mut Vec<u8>) -> Result<Sealed, SealError> {
        self.seal_in(entry, &StreamPlace::None, leaves)
    }

    /// The same for a record that has a place among streams.
    pub fn seal_in(
        &mut self,
        entry: Entry<'_>,
        place: &StreamPlace,
        leaves: &mut Vec<u8>,
    ) -> Result<Sealed, SealError> {
        let index = self.next_index;
        if index >= MAX_RECORDS {
            return Err(SealError::Full);
        }
        let stream = place.text();
        let leaf = self.leaf(index, entry, (stream.as_deref(), place.link()));
        leaf.check()?;
        let begin = leaves.len();
        leaf.encode_into(leaves);
        let leaf_range = begin..leaves.len();
        assert!(leaf_range.len() <= MAX_LEAF_BYTES, "the checked values bound a leaf far below its limit");
        let hash = leaf_hash(&leaves[begin..]);
        if self.current_mac_key().epoch() < epoch_of(index) {
            self.keys.push_back(self.current_mac_key().successor());
        }
        let mac = self.current_mac_key().mac(&self.name, index, &hash);
        let mac = mac.expect("the newest key is of the next record's epoch");
        self.next_index = index + 1;
        self.prev = hash;
        Ok(Sealed { index, hash, mac, leaf_range })
    }

    /// Where the sealer stands now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { next_index: self.next_index, prev: self.prev, mac_epoch: self.mac_epoch() }
    }

    /// Takes back all that was sealed since `snapshot`, which must be of this sealer.
    ///
    /// # Panics
    /// If the snapshot lies ahead, or its MAC key was retired: both would break the chain on disk.
    pub fn restore(&mut self, snapshot: Snapshot) {
        assert!(snapshot.next_index <= self.next_index, "a sealer is restored backwards only");
        while self.mac_epoch() > snapshot.mac_epoch {
            self.keys.pop_back();
            assert!(!self.keys.is_empty(), "a key is retired only after its last record was written");
        }
        self.next_index = snapshot.next_index;
        self.prev = snapshot.prev;
    }

    /// Wipes the keys of epochs before `epoch`. To be called once the key file holds a later one and the
    /// records of those epochs are written. The key that the next record needs always stays.
    pub fn retire_before(&mut self, epoch: u64) {
        while self.keys.len() > 1 && self.keys[0].epoch() < epoch {
            self.keys.pop_front();
        }
    }

    /// Index of the next record: also the number of records sealed.
    pub const fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Hash of the record sealed last, or the genesis value.
    pub const fn prev(&self) -> Hash {
        self.prev
    }

    /// Epoch of the newest MAC key. It turns with the first record of an epoch.
    pub fn mac_epoch(&self) -> u64 {
        self.current_mac_key().epoch()
    }

    /// The newest MAC key: the one for the key file.
    pub fn current_mac_key(&self) -> &MacKey {
        self.keys.back().expect("a sealer always has a key")
    }

    /// The MAC key of `epoch`, if it is held.
    pub fn mac_key(&self, epoch: u64) -> Option<&MacKey> {
        self.keys.iter().find(|key| key.epoch() == epoch)
    }

    /// What is to be published of the epochs that are over, of the newest `most` of them and from the oldest key on that is held. Ask
    /// before [`retire_before`](Self::retire_before). Nothing under a scheme that publishes nothing.
    pub fn ended_keys(&self, most: u64) -> Vec<EpochKey> {
        let (present, mut ended) = (self.mac_epoch(), Vec::new());
        let oldest = self.keys.front().map(|key| MacKey::at(key.scheme(), key.epoch(), *key.expose()));
        let from = |key: &MacKey| key.epoch().max(present.saturating_sub(most));
        let mut next = oldest.and_then(|key| {
            let from = from(&key);
            key.evolve_to(from).ok()
        });
        while let Some(key) = next.take().filter(|key| key.epoch() < present) {
            ended.extend(key.publishable().map(|key| EpochKey::at(key.epoch(), *key.expose())));
            next = Some(key.evolve());
        }
        ended
    }

    /// The ledger's name.
    pub const fn name(&self) -> &LedgerName {
        &self.name
    }

    /// The ledger's verifier key line.
    pub fn vkey_line(&self) -> &str {
        &self.vkey_line
    }

    fn leaf<'a>(
        &'a self,
        index: u64,
        entry: Entry<'a>,
        (stream, (stream_seq, stream_prev)): (Option<&'a str>, (Option<u64>, Option<Hash>)),
    ) -> Leaf<'a> {
        Leaf {
            body_len: entry.body_len,
            body_sha256: entry.body_sha256,
            cipher_sha256: None,
            dek_id: None,
            event_time: entry.event_time,
            index,
            kind: entry.kind,
            ledger: self.name.as_str(),
            prev: self.prev,
            producer: entry.producer,
            producer_epoch: entry.producer_epoch,
            producer_seq: entry.producer_seq,
            sealed_at: entry.sealed_at,
            span_id: entry.span_id,
            stream,
            stream_prev,
            stream_seq,
            trace_id: entry.trace_id,
        }
    }
}
