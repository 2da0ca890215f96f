//! `streams.json` of a bundle, and how it is made: of each generation that is covered, where the stream stands in what the recorder
//! states of it.
//!
//! `docs/format.md` section 13 has the file; [`check`](super::check) holds a bundle to it.

use serde::{Deserialize, Serialize};
use tachograph_ledger::stream::{EntryProof, StreamEntry, StreamEvent};
use tachograph_ledger::{Hash, Leaf, LedgerName, StreamKind, StreamPlace, StreamSecret, StreamTracker};

use super::MAX_RECORDS;
use super::about::decimal;
use crate::archive::streams;
use crate::archive::tree::{TreeError, TreeReader};

/// Leaves that are read at a time.
const LOOK: u64 = 8_192;

/// A stream that is to be shown as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Session or agent.
    pub kind: StreamKind,
    /// What gives it away.
    pub secret: StreamSecret,
}

/// A stream's place in each generation that is covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsProof {
    /// The stream.
    pub stream: Stream,
    /// Rising.
    pub generations: Vec<Covered>,
}

/// With the first and the last record covered.
type Spanned = (StreamsProof, (u64, u64));

/// A generation that is covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The record that states its end.
    pub closed: u64,
    /// The stream's entry, or those between which it would stand.
    pub entries: Vec<EntryProof>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJson {
    generations: Vec<CoveredJson>,
    kind: String,
    secret: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoveredJson {
    closed: String,
    entries: Vec<EntryJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson {
    entry: String,
    path: Vec<String>,
    position: String,
}

impl StreamsProof {
    /// The file's bytes.
    pub fn encode(&self) -> String {
        let entry = |proof: &EntryProof| EntryJson {
            entry: proof.entry.encode(),
            path: proof.path.iter().map(Hash::to_hex).collect(),
            position: proof.position.to_string(),
        };
        let json = FileJson {
            generations: self
                .generations
                .iter()
                .map(|covered| CoveredJson {
                    closed: covered.closed.to_string(),
                    entries: covered.entries.iter().map(entry).collect(),
                })
                .collect(),
            kind: self.stream.kind.as_str().to_owned(),
            secret: self.stream.secret.to_hex(),
        };
        serde_json::to_string(&json).unwrap_or_default() + "\n"
    }

    /// Reads the file; or what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let json: FileJson = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let wrong = |member: &str, expected: &str| format!("`{member}` is wrong: {expected} expected");
        let entry = |json: &EntryJson| {
            let path = json.path.iter().map(|hash| Hash::from_hex(hash)).collect::<Option<Vec<_>>>();
            Ok(EntryProof {
                position: decimal(&json.position).ok_or_else(|| wrong("position", "a decimal number"))?,
                entry: StreamEntry::parse(&json.entry).ok_or_else(|| wrong("entry", "id, count and hash"))?,
                path: path
                    .filter(|path| path.len() < 64)
                    .ok_or_else(|| wrong("path", "less than 64 hashes of 64 hex digits"))?,
            })
        };
        let generations = json.generations.iter().map(|covered| {
            Ok(Covered {
                closed: decimal(&covered.closed).ok_or_else(|| wrong("closed", "an index"))?,
                entries: covered.entries.iter().map(entry).collect::<Result<_, String>>()?,
            })
        });
        let generations: Vec<Covered> = generations.collect::<Result<_, String>>()?;
        let is_rising = generations.is_sorted_by(|one, next| one.closed < next.closed);
        if generations.is_empty() || generations.len() > MAX_RECORDS || !is_rising {
            return Err(wrong("generations", "1 to 100,000, rising"));
        }
        Ok(Self {
            stream: Stream {
                kind: StreamKind::parse(&json.kind).ok_or_else(|| wrong("kind", "`session` or `agent`"))?,
                secret: StreamSecret::from_hex(&json.secret).ok_or_else(|| wrong("secret", "64 hex digits"))?,
            },
            generations,
        })
    }

    /// The stream's place, and the first and last record covered, in each generation from that of record `first` to that of record `last`, as far as they are closed; `None`
    /// if none is. Reads all leaves between.
    pub(crate) fn of(
        stream: &Stream,
        tree: &TreeReader,
        ledger: &LedgerName,
        (first, last, size): (u64, u64, u64),
    ) -> Result<Option<Spanned>, TreeError> {
        let tracker = streams::resume(tree, first)?;
        let mut scan = Scan { stream, ledger, tracker, last, from: 0, is_ended: false, generations: Vec::new() };
        let mut at = first;
        while at < size && !scan.is_done() {
            let to = (at + LOOK).min(size);
            tree.each_leaf(at, to, |index, leaf, hash| {
                scan.pass(index, leaf, hash);
                Ok(())
            })?;
            at = to;
        }
        let Scan { from, generations, .. } = scan;
        let Some(newest) = generations.last() else { return Ok(None) };
        let span = (from, newest.closed.saturating_sub(1));
        Ok(Some((Self { stream: stream.clone(), generations }, span)))
    }
}

struct Scan<'s> {
    stream: &'s Stream,
    ledger: &'s LedgerName,
    tracker: StreamTracker,
    last: u64,
    /// First record of the first generation.
    from: u64,
    /// No generation began behind the last.
    is_ended: bool,
    generations: Vec<Covered>,
}

impl Scan<'_> {
    fn is_done(&self) -> bool {
        self.generations.last().is_some_and(|covered| covered.closed > self.last)
            || self.generations.len() > MAX_RECORDS
    }

    fn pass(&mut self, index: u64, bytes: &[u8], hash: &Hash) {
        if self.is_done() {
            return;
        }
        let Ok(leaf) = Leaf::parse(bytes) else { return };
        let proof = match (StreamPlace::of(&leaf), self.tracker.generation()) {
            (Ok(StreamPlace::Closed(_)), Some(open)) => {
                Some(open.prove(&self.stream.secret.id(self.ledger, open.first())))
            }
            _ => None,
        };
        match (self.tracker.push(&leaf, hash), proof) {
            (Ok(StreamEvent::Closed(statement)), Some(entries)) => {
                let joins = |last: &Covered| self.is_ended || statement.first == last.closed + 1;
                if !self.generations.last().is_some_and(joins) {
                    // One between them was empty and is left without a statement.
                    self.generations.clear();
                    self.from = statement.first;
                }
                self.is_ended = statement.is_end;
                self.generations.push(Covered { closed: index, entries });
            }
            (Ok(StreamEvent::None | StreamEvent::Closed(_)), _) => {}
            // What comes before does not join what follows.
            (Ok(StreamEvent::Abandoned(_)), _) => self.generations.clear(),
            // The verifier says what is wrong here; nothing is claimed across it.
            (Err(_), _) => {
                self.generations.clear();
                self.tracker.lose();
            }
        }
    }
}
