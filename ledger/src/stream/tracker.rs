//! Follows the leaves of a ledger, in order, and holds each to what its streams must be.

use crate::{Hash, Leaf};

use super::MAX_GENERATION;
use super::generation::Generation;
use super::place::{RECORDER, Statement, StreamPlace};

/// Where the streams of a ledger stand. Memory: one generation.
#[derive(Clone, Debug, Default)]
pub struct StreamTracker {
    state: State,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// No generation: streams are not sealed here.
    #[default]
    Outside,
    /// What came before was not seen.
    Unknown,
    Inside {
        generation: Generation,
        /// `producer_epoch` of the recorder's start that writes.
        run: String,
    },
}

/// What a leaf meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// Nothing but its own place.
    None,
    /// It ends a generation, with this statement, which holds as far as the generation was seen.
    Closed(Statement),
    /// The generation that began with this record will not be stated any more: a recorder without streams went on, or a new
    /// generation begins.
    Abandoned(u64),
}

/// Why a leaf is not what its streams must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// The keys say nothing that is known.
    #[error("{0}")]
    Spelling(&'static str),
    /// There is no generation.
    #[error("the record has a stream, but no generation is open here")]
    Outside,
    /// Too long a generation.
    #[error("the generation that began with record {first} has more than {MAX_GENERATION} records")]
    TooLong {
        /// The generation.
        first: u64,
    },
    /// Not the stream's next record.
    #[error(
        "record {found} of its stream, where {expected} is due, or linked to another than the one before: a record of the stream was left out, put in or moved"
    )]
    Link {
        /// Number that is due.
        expected: u64,
        /// Number that it has.
        found: u64,
    },
    /// It speaks of another generation than the one that is open.
    #[error(
        "the recorder speaks of the generation that began with record {first}, which is not the one that is open here"
    )]
    OtherGeneration {
        /// Of which it speaks.
        first: u64,
    },
    /// The statement is false.
    #[error(
        "the recorder states {stated} streams with the root {stated_root} for the generation that began with record {first}, but its leaves give {found} with the root {root}: \
         a record was left out of the statement, or put in"
    )]
    Statement {
        /// The generation.
        first: u64,
        /// Streams that are stated.
        stated: u64,
        /// Root that is stated.
        stated_root: Hash,
        /// Streams that the leaves give.
        found: u64,
        /// Root that they give.
        root: Hash,
    },
}

impl StreamTracker {
    /// For one who begins in the middle of a ledger: what is said before the next generation begins is not judged.
    pub const fn in_the_middle() -> Self {
        Self { state: State::Unknown }
    }

    /// Takes up the next leaf, whose hash is `hash`. A fault is of this leaf; what follows can be judged further.
    pub fn push(&mut self, leaf: &Leaf<'_>, hash: &Hash) -> Result<StreamEvent, StreamFault> {
        let epoch = leaf.producer_epoch.unwrap_or_default();
        match StreamPlace::of(leaf).map_err(StreamFault::Spelling)? {
            StreamPlace::None => match &self.state {
                State::Inside { run, .. } if leaf.producer == Some(RECORDER) && run != epoch => Ok(self.leave()),
                _ => Ok(StreamEvent::None),
            },
            StreamPlace::In { id, seq, prev } => {
                let generation = match &mut self.state {
                    State::Inside { generation, .. } => generation,
                    State::Outside => return Err(StreamFault::Outside),
                    State::Unknown => return Ok(StreamEvent::None),
                };
                let first = generation.first();
                if leaf.index.saturating_sub(first) >= MAX_GENERATION {
                    return Err(StreamFault::TooLong { first });
                }
                let due = generation.next(&id);
                generation.push(id, *hash);
                if due == (seq, prev) {
                    Ok(StreamEvent::None)
                } else {
                    Err(StreamFault::Link { expected: due.0, found: seq })
                }
            }
            StreamPlace::Open { first, rule } if first == leaf.index => {
                let event = self.leave();
                self.state = State::Inside { generation: Generation::new(first, rule), run: epoch.to_owned() };
                Ok(event)
            }
            StreamPlace::Open { first, rule } => match &mut self.state {
                State::Unknown => Ok(StreamEvent::None),
                State::Inside { generation, run } if (generation.first(), generation.rule()) == (first, rule) => {
                    epoch.clone_into(run);
                    Ok(StreamEvent::None)
                }
                _ => {
                    self.state = State::Outside;
                    Err(StreamFault::OtherGeneration { first })
                }
            },
            StreamPlace::Closed(statement) => {
                let judged = self.judge(&statement);
                self.state = match statement.is_end {
                    true => State::Outside,
                    false => State::Inside {
                        generation: Generation::new(leaf.index + 1, statement.rule),
                        run: epoch.to_owned(),
                    },
                };
                judged.map(|()| StreamEvent::Closed(statement))
            }
        }
    }

    fn judge(&self, statement: &Statement) -> Result<(), StreamFault> {
        let first = statement.first;
        match &self.state {
            State::Unknown => Ok(()),
            State::Inside { generation, .. } if (generation.first(), generation.rule()) == (first, statement.rule) => {
                let found = generation.statement(statement.is_end);
                if found == *statement {
                    return Ok(());
                }
                Err(StreamFault::Statement {
                    first,
                    stated: statement.streams,
                    stated_root: statement.root,
                    found: found.streams,
                    root: found.root,
                })
            }
            _ => Err(StreamFault::OtherGeneration { first }),
        }
    }

    fn leave(&mut self) -> StreamEvent {
        match std::mem::take(&mut self.state) {
            State::Inside { generation, .. } if !generation.is_empty() => StreamEvent::Abandoned(generation.first()),
            _ => StreamEvent::None,
        }
    }

    /// Leaves were not seen: what follows is judged again from the next generation on.
    pub fn lose(&mut self) {
        self.state = State::Unknown;
    }

    /// The generation that the last leaf stands in, if there is one and all of it was seen.
    pub const fn generation(&self) -> Option<&Generation> {
        match &self.state {
            State::Inside { generation, .. } => Some(generation),
            _ => None,
        }
    }

    /// The same, at the end.
    pub fn into_generation(self) -> Option<Generation> {
        match self.state {
            State::Inside { generation, .. } => Some(generation),
            _ => None,
        }
    }
}
