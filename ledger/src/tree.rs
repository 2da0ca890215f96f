//! The Merkle tree of RFC 6962 section 2.1 with SHA-256, and the proofs of RFC 9162 sections 2.1.3 and 2.1.4.
//!
//! Invariants: a tree of n > 1 leaves splits at the largest power of two below n; an [`Edge`] has one hash for
//! each one-bit of its size. The verifying functions take any numbers without overflow or long loops: their
//! work is bounded by 64 steps or by the length of the proof.

use crate::MAX_RECORDS;
use crate::hash::{Hash, empty_root, node_hash};

/// The roots of the perfect subtrees that make up a tree, largest first: all that is needed to append to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    hashes: Vec<Hash>,
}

/// Why an edge or a proof can't be made, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Each one-bit of the size needs one hash.
    #[error("the edge of a tree of {size} leaves has {expected} hashes, not {found}")]
    EdgeLength {
        /// Number of leaves.
        size: u64,
        /// Hashes that this size needs.
        expected: usize,
        /// Hashes given.
        found: usize,
    },
    /// No ledger has so many records.
    #[error("a tree of {size} leaves is larger than the limit of {MAX_RECORDS}")]
    TooLarge {
        /// Number of leaves.
        size: u64,
    },
    /// The index lies outside the tree.
    #[error("index {index} is not in a tree of {size} leaves")]
    IndexOutside {
        /// Index asked for.
        index: u64,
        /// Number of leaves.
        size: u64,
    },
    /// The older tree is larger than the newer, or one is larger than the leaves at hand.
    #[error("a tree of {old} leaves is not the beginning of a tree of {new} leaves")]
    SizeOrder {
        /// Leaves of the older tree.
        old: u64,
        /// Leaves of the newer tree (or the leaves at hand).
        new: u64,
    },
    /// A proof for these sizes has another number of hashes.
    #[error("the proof has {found} hashes, which is not the number that these tree sizes need")]
    ProofLength {
        /// Hashes given.
        found: usize,
    },
    /// The proof leads to another root.
    #[error("the proof leads to root {computed}, not to {expected}")]
    RootMismatch {
        /// Root that leaf and proof give.
        computed: Hash,
        /// Root that was claimed.
        expected: Hash,
    },
}

impl Edge {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a tree from its size and its edge, largest subtree first.
    pub fn from_parts(size: u64, hashes: Vec<Hash>) -> Result<Self, ProofError> {
        if size > MAX_RECORDS {
            return Err(ProofError::TooLarge { size });
        }
        let expected = size.count_ones() as usize;
        if hashes.len() != expected {
            return Err(ProofError::EdgeLength { size, expected, found: hashes.len() });
        }
        Ok(Self { size, hashes })
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    ///
    /// # Panics
    /// After 2^64 leaves, which a tree that starts below [`MAX_RECORDS`] does not reach.
    pub fn push(&mut self, leaf: Hash) {
        let merges = self.size.trailing_ones();
        self.size = self.size.checked_add(1).expect("a tree has fewer than 2^64 leaves");
        let mut node = leaf;
        for _ in 0..merges {
            let left = self.hashes.pop().expect("one hash for each one-bit of the size");
            node = node_hash(&left, &node);
        }
        self.hashes.push(node);
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut smallest_first = self.hashes.iter().rev();
        let Some(first) = smallest_first.next() else {
            return empty_root();
        };
        smallest_first.fold(*first, |right, left| node_hash(left, &right))
    }

    /// Roots of the perfect subtrees, largest first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

/// Root of the tree over `leaves` (leaf hashes).
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut edge = Edge::new();
    leaves.iter().for_each(|leaf| edge.push(*leaf));
    edge.root()
}

/// Proof that the leaf at `index` is in the tree of the first `size` of `leaves`.
pub fn inclusion_proof(leaves: &[Hash], index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
    let leaves = first_leaves(leaves, size)?;
    Ok(inclusion_nodes(index, size)?.into_iter().map(|node| root_of_node(leaves, node)).collect())
}

/// Proof that the tree of the first `old` of `leaves` is the beginning of the tree of the first `new`.
/// Empty if the two are equal or `old` is 0.
pub fn consistency_proof(leaves: &[Hash], old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
    let leaves = first_leaves(leaves, new)?;
    Ok(consistency_nodes(old, new)?.into_iter().map(|node| root_of_node(leaves, node)).collect())
}

/// The subtrees whose roots prove that the leaf at `index` is in a tree of `size` leaves (RFC 9162, 2.1.3.1), from the leaf's sibling
/// up: each as its first leaf and the one behind its last. Fewer than 64.
pub fn inclusion_nodes(index: u64, size: u64) -> Result<Vec<(u64, u64)>, ProofError> {
    if size > MAX_RECORDS {
        return Err(ProofError::TooLarge { size });
    }
    if index >= size {
        return Err(ProofError::IndexOutside { index, size });
    }
    let (mut from, mut to) = (0, size);
    let mut nodes = Vec::new();
    while to - from > 1 {
        let middle = from + split_of(to - from);
        if index < middle {
            nodes.push((middle, to));
            to = middle;
        } else {
            nodes.push((from, middle));
            from = middle;
        }
    }
    nodes.reverse();
    Ok(nodes)
}

/// The subtrees whose roots prove that a tree of `old` leaves is the beginning of one of `new` (RFC 9162, 2.1.4.1), each as its first
/// leaf and the one behind its last. None if the two are equal or `old` is 0.
pub fn consistency_nodes(old: u64, new: u64) -> Result<Vec<(u64, u64)>, ProofError> {
    if new > MAX_RECORDS {
        return Err(ProofError::TooLarge { size: new });
    }
    if old > new {
        return Err(ProofError::SizeOrder { old, new });
    }
    let mut nodes = Vec::new();
    if old == 0 || old == new {
        return Ok(nodes);
    }
    let (mut from, mut to) = (0, new);
    // While only left branches were taken, the verifier holds the old tree's own root already.
    let mut is_old_root = true;
    while old < to {
        let middle = from + split_of(to - from);
        if old <= middle {
            nodes.push((middle, to));
            to = middle;
        } else {
            nodes.push((from, middle));
            from = middle;
            is_old_root = false;
        }
    }
    if !is_old_root {
        nodes.push((from, to));
    }
    nodes.reverse();
    Ok(nodes)
}

/// Checks that the leaf is at `index` in the tree with `size` leaves and root `root` (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutside { index, size });
    }
    let wrong_length = ProofError::ProofLength { found: proof.len() };
    let (mut node, mut last) = (index, size - 1);
    let mut computed = *leaf_hash;
    for sibling in proof {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            computed = node_hash(sibling, &computed);
            // Levels on which the last node has no sibling add nothing to the proof.
            let lone = node.trailing_zeros();
            (node, last) = (shift_right(node, lone), shift_right(last, lone));
        } else {
            computed = node_hash(&computed, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong_length);
    }
    same_root(computed, root)
}

/// Checks that the tree of `old_size` leaves is the beginning of the tree of `new_size` (RFC 9162, 2.1.4.2).
///
/// The empty tree is the beginning of every tree; equal sizes need equal roots. Both need an empty proof.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::SizeOrder { old: old_size, new: new_size });
    }
    let wrong_length = ProofError::ProofLength { found: proof.len() };
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(wrong_length);
        }
        if old_size == 0 {
            same_root(empty_root(), old_root)?;
        }
        return if new_size == 0 {
            same_root(empty_root(), new_root)
        } else if old_size == new_size {
            same_root(*old_root, new_root)
        } else {
            Ok(())
        };
    }
    // A perfect old tree is itself the first node of the path.
    let (start, path) =
        if old_size.is_power_of_two() { (old_root, proof) } else { proof.split_first().ok_or(wrong_length.clone())? };
    let lone = (old_size - 1).trailing_ones();
    let (mut node, mut last) = ((old_size - 1) >> lone, (new_size - 1) >> lone);
    let (mut old_computed, mut new_computed) = (*start, *start);
    for sibling in path {
        if last == 0 {
            return Err(wrong_length);
        }
        if node & 1 == 1 || node == last {
            old_computed = node_hash(sibling, &old_computed);
            new_computed = node_hash(sibling, &new_computed);
            let lone = node.trailing_zeros();
            (node, last) = (shift_right(node, lone), shift_right(last, lone));
        } else {
            new_computed = node_hash(&new_computed, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(wrong_length);
    }
    same_root(old_computed, old_root)?;
    same_root(new_computed, new_root)
}

fn first_leaves(leaves: &[Hash], size: u64) -> Result<&[Hash], ProofError> {
    usize::try_from(size)
        .ok()
        .and_then(|size| leaves.get(..size))
        .ok_or(ProofError::SizeOrder { old: size, new: leaves.len() as u64 })
}

/// Root over a run of the leaves, which are at hand.
fn root_of_node(leaves: &[Hash], (from, to): (u64, u64)) -> Hash {
    // Both are at most the slice's length.
    root_of(&leaves[from as usize..to as usize])
}

/// The largest power of two below `count`, which is at least 2.
fn split_of(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// `number >> bits`, where 64 bits (all of them) give 0.
fn shift_right(number: u64, bits: u32) -> u64 {
    number.checked_shr(bits).unwrap_or(0)
}

fn same_root(computed: Hash, expected: &Hash) -> Result<(), ProofError> {
    if computed == *expected { Ok(()) } else { Err(ProofError::RootMismatch { computed, expected: *expected }) }
}

#[cfg(test)]
mod tests;
