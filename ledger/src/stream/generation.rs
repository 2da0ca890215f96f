//! The streams of one generation, and what the recorder states of them.

use std::collections::BTreeMap;

use crate::text::parse_decimal;
use crate::tree::inclusion_proof;
use crate::{Edge, Hash, leaf_hash};

use super::key::StreamId;
use super::place::{Statement, StreamRule};
use super::proof::EntryProof;

/// Where a stream stands within a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Its records.
    pub count: u64,
    /// Hash of the last one's leaf.
    pub last: Hash,
}

/// A leaf of the tree that a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// The stream.
    pub id: StreamId,
    /// Its records, and the last of them.
    pub tail: Tail,
}

impl StreamEntry {
    /// `<stream id> <count> <hash of its last leaf>`
    pub fn encode(&self) -> String {
        format!("{} {} {}", self.id, self.tail.count, self.tail.last)
    }

    /// Reads that, in its one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [id, count, last] = *words.as_slice() else { return None };
        let tail = Tail { count: parse_decimal(count).filter(|count| *count > 0)?, last: Hash::from_hex(last)? };
        Some(Self { id: StreamId::parse(id)?, tail })
    }

    /// Its hash as a leaf of the tree.
    pub fn hash(&self) -> Hash {
        leaf_hash(self.encode().as_bytes())
    }
}

/// The streams that have records in one generation. Memory: some 100 bytes for each.
#[derive(Clone, Debug)]
pub struct Generation {
    first: u64,
    rule: StreamRule,
    tails: BTreeMap<StreamId, Tail>,
}

impl Generation {
    /// An empty one that begins with record `first`.
    pub const fn new(first: u64, rule: StreamRule) -> Self {
        Self { first, rule, tails: BTreeMap::new() }
    }

    /// Its first record, which is its name.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// How its streams are made.
    pub const fn rule(&self) -> StreamRule {
        self.rule
    }

    /// Whether no record in it belongs to a stream.
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    /// How many streams have records in it.
    pub fn streams(&self) -> u64 {
        self.tails.len() as u64
    }

    /// Number and link that the next record of a stream has.
    pub fn next(&self, id: &StreamId) -> (u64, Option<Hash>) {
        self.tails.get(id).map_or((0, None), |tail| (tail.count, Some(tail.last)))
    }

    /// Takes a record of a stream. Gives where the stream stood, for [`put_back`](Self::put_back).
    pub fn push(&mut self, id: StreamId, hash: Hash) -> Option<Tail> {
        let before = self.tails.get(&id).copied();
        let count = before.map_or(0, |tail| tail.count) + 1;
        self.tails.insert(id, Tail { count, last: hash });
        before
    }

    /// Undoes a [`push`](Self::push), the latest first.
    pub fn put_back(&mut self, id: StreamId, before: Option<Tail>) {
        match before {
            Some(tail) => self.tails.insert(id, tail),
            None => self.tails.remove(&id),
        };
    }

    /// What is stated of it as it stands.
    pub fn statement(&self, is_end: bool) -> Statement {
        let mut edge = Edge::new();
        self.entries().for_each(|entry| edge.push(entry.hash()));
        Statement { first: self.first, streams: self.streams(), root: edge.root(), rule: self.rule, is_end }
    }

    /// What proves, against the statement, how many records of the stream `id` are in it: its entry, or those between which it would
    /// stand.
    pub fn prove(&self, id: &StreamId) -> Vec<EntryProof> {
        let entries: Vec<StreamEntry> = self.entries().collect();
        let hashes: Vec<Hash> = entries.iter().map(StreamEntry::hash).collect();
        let at = match entries.binary_search_by(|entry| entry.id.cmp(id)) {
            Ok(at) => at..at + 1,
            Err(at) => at.saturating_sub(1)..(at + 1).min(entries.len()),
        };
        at.map(|at| {
            let path = inclusion_proof(&hashes, at as u64, hashes.len() as u64);
            let path = path.expect("the position lies within the tree");
            EntryProof { position: at as u64, entry: entries[at], path }
        })
        .collect()
    }

    fn entries(&self) -> impl Iterator<Item = StreamEntry> {
        self.tails.iter().map(|(id, tail)| StreamEntry { id: *id, tail: *tail })
    }
}
