//! What a leaf says of streams, in its keys `stream`, `stream_seq` and `stream_prev`.
//!
//! Invariant: one meaning has one spelling.

use std::fmt;

use crate::text::parse_decimal;
use crate::{Hash, Leaf};

use super::key::{StreamId, StreamKind};

/// The producer whose records may open and close generations. No sender can take this name.
pub const RECORDER: &str = "tachograph-collector";

const LIFECYCLE: &str = "lifecycle";
const OPEN: &str = "open";
const CLOSED: &str = "closed";
const ENDED: &str = "ended";

/// Which stream a record belongs to: the first of these that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBy {
    first: StreamKind,
    second: Option<StreamKind>,
}

impl StreamBy {
    /// One or two kinds, in order of preference; `None` if there is none, or one stands there twice.
    pub fn new(kinds: &[StreamKind]) -> Option<Self> {
        match *kinds {
            [first] => Some(Self { first, second: None }),
            [first, second] if first != second => Some(Self { first, second: Some(second) }),
            _ => None,
        }
    }

    /// Reads `session`, `agent`, `session,agent` or `agent,session`.
    pub fn parse(text: &str) -> Option<Self> {
        let kinds = text.split(',').map(StreamKind::parse).collect::<Option<Vec<_>>>()?;
        Self::new(&kinds)
    }

    /// The kind whose records are all in streams of it.
    pub const fn first(&self) -> StreamKind {
        self.first
    }

    /// The stream of a record that has these ids, or not.
    pub fn choose<T>(&self, session: Option<T>, agent: Option<T>) -> Option<(StreamKind, T)> {
        let (mut session, mut agent) = (session, agent);
        [Some(self.first), self.second].into_iter().flatten().find_map(|kind| {
            let id = match kind {
                StreamKind::Session => session.take(),
                StreamKind::Agent => agent.take(),
            };
            id.map(|id| (kind, id))
        })
    }
}

impl fmt::Display for StreamBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.first.as_str())?;
        self.second.map_or(Ok(()), |second| write!(f, ",{}", second.as_str()))
    }
}

/// How the streams of a generation are made. Another rule means another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRule {
    /// Which stream a record belongs to.
    pub by: StreamBy,
    /// Names the stream key: [`StreamKey::id`](super::StreamKey::id).
    pub key: Hash,
}

impl StreamRule {
    fn parse(by: &str, key: &str) -> Option<Self> {
        Some(Self { by: StreamBy::parse(by)?, key: Hash::from_hex(key)? })
    }
}

impl fmt::Display for StreamRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.by, self.key)
    }
}

/// What the recorder states of a generation, in the leaf of the record that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The generation's first record, by which it is named. Its last is the one before the statement.
    pub first: u64,
    /// How many streams have records in it.
    pub streams: u64,
    /// Root of the RFC 6962 tree over their entries.
    pub root: Hash,
    /// How its streams are made.
    pub rule: StreamRule,
    /// No generation begins behind it.
    pub is_end: bool,
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_end { ENDED } else { CLOSED };
        write!(f, "{word} {} {} {} {}", self.first, self.streams, self.root, self.rule)
    }
}

/// What a leaf says of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamPlace {
    /// Nothing.
    None,
    /// The record belongs to a stream.
    In {
        /// Which.
        id: StreamId,
        /// How many records of the stream stand before it in the generation.
        seq: u64,
        /// Hash of the last of them.
        prev: Option<Hash>,
    },
    /// From here on the recorder that writes seals streams, in the generation that begins, or began, with record `first`.
    Open {
        /// The generation.
        first: u64,
        /// How streams are made.
        rule: StreamRule,
    },
    /// A generation ends.
    Closed(Statement),
}

impl StreamPlace {
    /// What `leaf` says; or what is wrong with it.
    pub fn of(leaf: &Leaf<'_>) -> Result<Self, &'static str> {
        match (leaf.stream, leaf.stream_seq, leaf.stream_prev) {
            (None, None, None) => Ok(Self::None),
            (None, ..) => Err("`stream_seq` or `stream_prev` without a `stream`"),
            (Some(text), Some(seq), prev) => {
                let id = StreamId::parse(text).ok_or("`stream` is no stream's id: 64 hex digits")?;
                if (seq == 0) != prev.is_none() {
                    return Err("`stream_prev` must be there exactly if `stream_seq` is not 0");
                }
                Ok(Self::In { id, seq, prev })
            }
            (Some(_), None, Some(_)) => Err("`stream_prev` without `stream_seq`"),
            (Some(text), None, None) => {
                if leaf.kind != LIFECYCLE || leaf.producer != Some(RECORDER) || leaf.producer_epoch.is_none() {
                    return Err("`stream` without `stream_seq` in a record that is not the recorder's own");
                }
                Self::mark(text).ok_or("`stream` is neither an id with its number nor a statement of the recorder")
            }
        }
    }

    fn mark(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        match *words.as_slice() {
            [OPEN, first, by, key] => {
                Some(Self::Open { first: parse_decimal(first)?, rule: StreamRule::parse(by, key)? })
            }
            [word @ (CLOSED | ENDED), first, streams, root, by, key] => Some(Self::Closed(Statement {
                first: parse_decimal(first)?,
                streams: parse_decimal(streams)?,
                root: Hash::from_hex(root)?,
                rule: StreamRule::parse(by, key)?,
                is_end: word == ENDED,
            })),
            _ => None,
        }
    }

    /// The leaf's `stream`.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::In { id, .. } => Some(id.to_hex()),
            Self::Open { first, rule } => Some(format!("{OPEN} {first} {rule}")),
            Self::Closed(statement) => Some(statement.to_string()),
        }
    }

    /// The leaf's `stream_seq` and `stream_prev`.
    pub(crate) const fn link(&self) -> (Option<u64>, Option<Hash>) {
        match self {
            Self::In { seq, prev, .. } => (Some(*seq), *prev),
            _ => (None, None),
        }
    }
}
