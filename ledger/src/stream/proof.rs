//! The proof that a stream has so many records in a generation, or none.

use crate::hash::{Hash, empty_root};
use crate::tree::{ProofError, verify_inclusion};

use super::generation::{StreamEntry, Tail};
use super::key::StreamId;
use super::place::Statement;

/// An entry, and the way from it to the root that the statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryProof {
    /// Its position among the entries, from 0.
    pub position: u64,
    /// The entry.
    pub entry: StreamEntry,
    /// From its sibling up.
    pub path: Vec<Hash>,
}

/// Why it is not proven how many records a stream has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamProofError {
    /// An entry is not the statement's.
    #[error("the entry at position {position} is not in the statement's tree: {source}")]
    NotStated {
        /// Its position.
        position: u64,
        /// Why.
        source: ProofError,
    },
    /// The entries tell nothing of the stream.
    #[error("the entries neither are the stream's nor the two between which it would stand")]
    TellsNothing,
    /// The tree of no entry has another root.
    #[error("the statement speaks of no stream, but its root is not that of an empty tree")]
    NotEmpty,
}

/// Where the stream `id` stands in a generation: `None` if it has no record there.
pub fn in_generation(
    statement: &Statement,
    id: &StreamId,
    proof: &[EntryProof],
) -> Result<Option<Tail>, StreamProofError> {
    for EntryProof { position, entry, path } in proof {
        verify_inclusion(&entry.hash(), *position, statement.streams, path, &statement.root)
            .map_err(|source| StreamProofError::NotStated { position: *position, source })?;
    }
    let is_absent = match proof {
        [own] if own.entry.id == *id => return Ok(Some(own.entry.tail)),
        [] if statement.streams == 0 && statement.root == empty_root() => true,
        [] if statement.streams == 0 => return Err(StreamProofError::NotEmpty),
        [first] if *id < first.entry.id => first.position == 0,
        [last] => last.entry.id < *id && last.position + 1 == statement.streams,
        [before, after] => before.position + 1 == after.position && before.entry.id < *id && *id < after.entry.id,
        _ => false,
    };
    if is_absent { Ok(None) } else { Err(StreamProofError::TellsNothing) }
}
