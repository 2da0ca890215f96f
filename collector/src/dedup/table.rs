//! The newest entries, in the order they came, with two open-addressing maps into them: by id and content, and by
//! id for the first entry of each id.
//!
//! Ids and contents come from outside, so the maps hash with a random key. Entries leave in the reverse of the order
//! in which they came, or all at once; so a slot that is cleared never breaks a probe chain of an entry that stays.

use std::hash::{BuildHasher, Hash, RandomState};

use super::entry::{ContentDigest, Entry, EventId};

pub(super) struct Table {
    entries: Vec<Entry>,
    capacity: usize,
    exact: Slots,
    heads: Slots,
}

impl Table {
    /// Takes at most `capacity` entries.
    pub(super) fn new(capacity: usize) -> Table {
        Table {
            entries: Vec::with_capacity(capacity),
            capacity,
            exact: Slots::new(capacity),
            heads: Slots::new(capacity),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Index of the first entry with this id and content.
    pub(super) fn find_exact(&self, id: &EventId, digest: &ContentDigest) -> Option<u64> {
        self.exact.find((id, digest), |at| matches(&self.entries[at], id, digest)).map(|at| self.entries[at].index())
    }

    /// Index of the first entry with this id.
    pub(super) fn find_head(&self, id: &EventId) -> Option<u64> {
        self.heads.find(id, |at| self.entries[at].id == *id).map(|at| self.entries[at].index())
    }

    /// # Panics
    /// If the table is full.
    pub(super) fn insert(&mut self, mut entry: Entry) {
        assert!(self.entries.len() < self.capacity, "the caller keeps the table within its capacity");
        let at = self.entries.len();
        entry.set_head(self.find_head(&entry.id).is_none());
        // A second entry with the same id and content can't be found, and needs no slot.
        if self.find_exact(&entry.id, &entry.digest).is_none() {
            self.exact.put((&entry.id, &entry.digest), at);
        }
        if entry.is_head() {
            self.heads.put(entry.id, at);
        }
        self.entries.push(entry);
    }

    /// Forgets the entries from the `len`th on.
    pub(super) fn truncate(&mut self, len: usize) {
        if len == 0 {
            self.entries.clear();
            self.exact.clear();
            self.heads.clear();
        }
        while self.entries.len() > len {
            let Some(entry) = self.entries.pop() else { return };
            let at = self.entries.len();
            self.exact.remove((&entry.id, &entry.digest), at);
            if entry.is_head() {
                self.heads.remove(entry.id, at);
            }
        }
    }
}

fn matches(entry: &Entry, id: &EventId, digest: &ContentDigest) -> bool {
    entry.id == *id && entry.digest == *digest
}

/// Positions of entries plus one; 0 is an empty slot. Never more than two thirds are taken.
struct Slots {
    slots: Box<[u32]>,
    key: RandomState,
}

impl Slots {
    fn new(capacity: usize) -> Slots {
        let len = (capacity * 3 / 2).max(8).next_power_of_two();
        Slots { slots: vec![0; len].into_boxed_slice(), key: RandomState::new() }
    }

    fn probe<K: Hash>(&self, key: K) -> impl Iterator<Item = usize> + use<K> {
        let mask = self.slots.len() - 1;
        let start = self.key.hash_one(key) as usize;
        (0..=mask).map(move |step| start.wrapping_add(step) & mask)
    }

    fn find(&self, key: impl Hash, is: impl Fn(usize) -> bool) -> Option<usize> {
        self.probe(key)
            .map(|slot| self.slots[slot])
            .take_while(|taken| *taken != 0)
            .map(|taken| taken as usize - 1)
            .find(|at| is(*at))
    }

    fn put(&mut self, key: impl Hash, at: usize) {
        if let Some(slot) = self.probe(key).find(|slot| self.slots[*slot] == 0) {
            self.slots[slot] = at as u32 + 1;
        }
    }

    fn remove(&mut self, key: impl Hash, at: usize) {
        let slot = self.probe(key).take_while(|slot| self.slots[*slot] != 0).find(|s| self.slots[*s] == at as u32 + 1);
        if let Some(slot) = slot {
            self.slots[slot] = 0;
        }
    }

    fn clear(&mut self) {
        self.slots.fill(0);
    }
}
