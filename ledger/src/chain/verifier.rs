//! Checks records one after another: leaf, order, chain, hash; and builds their tree.

use crate::hash::{Hash, leaf_hash};
use crate::leaf::{Leaf, LeafError, genesis};
use crate::name::LedgerName;
use crate::note::VerifyingKey;
use crate::tree::Edge;

/// The first thing wrong with a chain. The verifier did not move on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {index}: {what}")]
pub struct ChainError {
    /// Index of the record that was given.
    pub index: u64,
    /// What is wrong with it.
    pub what: ChainFault,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// A record is missing, doubled or out of place.
    #[error("record {expected} should stand here")]
    Order {
        /// The index that comes next.
        expected: u64,
    },
    /// Leaf and stored hash do not belong together.
    #[error("the leaf's hash is {computed}, but {stored} is stored")]
    Hash {
        /// Hash of the stored leaf.
        computed: Hash,
        /// The hash stored beside it.
        stored: Hash,
    },
    /// The leaf is none.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The leaf is another ledger's.
    #[error("the leaf is of ledger `{found}`, not of `{expected}`")]
    Ledger {
        /// Name in the leaf.
        found: String,
        /// Name of the ledger.
        expected: LedgerName,
    },
    /// The leaf has another index than the row it stands in.
    #[error("the leaf says that it is record {found}")]
    Index {
        /// Index in the leaf.
        found: u64,
    },
    /// The leaf does not follow the one before.
    #[error("the leaf follows {found}, but the record before has hash {expected}")]
    Prev {
        /// `prev` in the leaf.
        found: Hash,
        /// Hash of the record before, or the genesis value.
        expected: Hash,
    },
}

/// A walk along the chain.
#[derive(Clone, Debug)]
pub struct ChainVerifier {
    name: LedgerName,
    prev: Hash,
    edge: Edge,
}

impl ChainVerifier {
    /// Begins at record 0 of the ledger of `vkey`.
    pub fn new(vkey: &VerifyingKey) -> Self {
        Self::resume(vkey, Edge::new(), genesis(&vkey.to_line()))
    }

    /// Goes on behind a tree that was verified, whose last leaf has the hash `prev`.
    pub fn resume(vkey: &VerifyingKey, edge: Edge, prev: Hash) -> Self {
        Self { name: vkey.name().clone(), prev, edge }
    }

    /// Checks the next record, as the row at `index` holds it, and takes it into the tree.
    ///
    /// On an error the verifier stands where it stood.
    pub fn push<'a>(&mut self, index: u64, leaf: &'a [u8], stored: &Hash) -> Result<Leaf<'a>, ChainError> {
        let parsed = self.check(index, leaf, stored).map_err(|what| ChainError { index, what })?;
        self.prev = *stored;
        self.edge.push(*stored);
        Ok(parsed)
    }

    /// Index of the next record: also the number of records that were checked, from 0.
    pub const fn next_index(&self) -> u64 {
        self.edge.size()
    }

    /// Hash of the record checked last, or the genesis value.
    pub const fn prev(&self) -> Hash {
        self.prev
    }

    /// The tree of the records checked.
    pub const fn edge(&self) -> &Edge {
        &self.edge
    }

    fn check<'a>(&self, index: u64, leaf: &'a [u8], stored: &Hash) -> Result<Leaf<'a>, ChainFault> {
        if index != self.next_index() {
            return Err(ChainFault::Order { expected: self.next_index() });
        }
        let computed = leaf_hash(leaf);
        if computed != *stored {
            return Err(ChainFault::Hash { computed, stored: *stored });
        }
        let leaf = Leaf::parse(leaf)?;
        if leaf.ledger != self.name.as_str() {
            return Err(ChainFault::Ledger { found: leaf.ledger.to_owned(), expected: self.name.clone() });
        }
        if leaf.index != index {
            return Err(ChainFault::Index { found: leaf.index });
        }
        if leaf.prev != self.prev {
            return Err(ChainFault::Prev { found: leaf.prev, expected: self.prev });
        }
        Ok(leaf)
    }
}
