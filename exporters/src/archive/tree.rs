//! The tree of an archive: roots, leaves and proofs, made from a few of its objects.
//!
//! A commit's edge has the roots of the perfect subtrees that its tree is made of. So a subtree that spans many segments is put
//! together from the edges of a few commits (at most one a level) and from the leaf hashes of the segments in which it begins or ends;
//! no more is read. See `TreeReader::perfect`.
//!
//! Nothing that is read is believed: each proof is checked against the signed root that it leads to before it is handed out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tachograph_ledger::{
    Commit, Hash, KeyHistory, ObjectKind, ProofError, VerifyingKey, consistency_nodes, empty_root, inclusion_nodes,
    leaf_hash, node_hash, verify_consistency, verify_inclusion,
};

use super::identity::Identity;
use super::key_links::Links;
use super::reader::{LeafGroup, LeavesObject, ReadError, Reader};
use super::store::Store;
use super::{MAX_NOTE_BYTES, paths};

/// Nodes below this level are cheaper to hash again than to remember.
const LOWEST_REMEMBERED: u32 = 4;

/// Nodes that are remembered: some 60 MiB.
const MAX_REMEMBERED: usize = 1 << 20;

/// Row groups whose hashes are held, of 2 MiB at most. A proof goes to and fro between the record's own row group, its neighbours' where
/// segments are short, and the ledger's last one.
const HELD_GROUPS: usize = 8;

/// Why there is no proof.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TreeError {
    /// The archive can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No commit ends there: only such trees have a signed root.
    #[error("no commit ends at {size}: proofs are made for the sizes of checkpoints")]
    NoCommit {
        /// Size asked for.
        size: u64,
    },
    /// There is no such leaf, or no such proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// What the archive holds gives another root than the one that is signed.
    #[error("{what}; run `tachograph verify`")]
    Damaged {
        /// What was found.
        what: String,
    },
}

/// Reads the tree of an archive.
pub struct TreeReader {
    store: Arc<dyn Store>,
    /// The ledger's first key.
    first: VerifyingKey,
    state: Mutex<State>,
}

struct State {
    /// The keys as far as they were linked at the last look.
    keys: KeyHistory,
    /// Commits by their first record; `None` until one is needed.
    commits: BTreeMap<u64, Option<Arc<Commit>>>,
    nodes: HashMap<(u32, u64), Hash>,
    /// The row groups that were read last, each with the index of its first leaf; the latest first.
    hashes: VecDeque<(u64, Vec<Hash>)>,
    leaves: Option<(u64, LeafGroup)>,
}

impl TreeReader {
    /// The tree as the archive's commits are now.
    pub fn open(store: Arc<dyn Store>) -> Result<Self, ReadError> {
        Self::open_behind(store, 0)
    }

    /// The same, where nothing is asked about what lies well below `known`: commits of years are not listed. A proof that needs an
    /// older commit all the same fails.
    pub fn open_behind(store: Arc<dyn Store>, known: u64) -> Result<Self, ReadError> {
        let first = Identity::read(&*store)??.vkey;
        let this = Self { store, state: Mutex::new(State::new(KeyHistory::new(first.clone()))), first };
        // The commit that `known` lies in begins before it.
        let after = known.checked_sub(1 << 20).map_or(paths::COMMITS.to_owned(), paths::commit);
        this.list_after(&after)?;
        Ok(this)
    }

    /// The tree of an archive that is open already.
    pub fn of(reader: &Reader) -> Self {
        let commits = reader.commits().iter().map(|commit| (commit.first, Some(Arc::new(commit.clone())))).collect();
        let state = State { commits, ..State::new(reader.keys().clone()) };
        Self { store: Arc::clone(reader.store()), first: reader.identity().vkey.clone(), state: Mutex::new(state) }
    }

    /// Takes up what was committed since.
    pub fn refresh(&self) -> Result<(), ReadError> {
        let newest = self.state().commits.last_key_value().map(|(first, _)| *first);
        let after = newest.map_or(paths::COMMITS.to_owned(), paths::commit);
        self.list_after(&after)
    }

    /// Takes up commits, and then keys: each is linked before it signs.
    fn list_after(&self, after: &str) -> Result<(), ReadError> {
        let listed = self.store.list_after(paths::COMMITS, after)?;
        let keys = Links::read(&*self.store, self.first.clone())?.history;
        let mut state = self.state();
        state.list(&listed);
        state.keys = keys;
        Ok(())
    }

    /// Leaves in the tree of the newest commit.
    pub fn size(&self) -> Result<u64, TreeError> {
        let mut state = self.state();
        let Some((first, _)) = state.commits.last_key_value() else { return Ok(0) };
        let first = *first;
        Ok(self.commit(&mut state, first)?.end())
    }

    /// Root of the tree of `size` leaves, which a commit signs.
    pub fn root(&self, size: u64) -> Result<Hash, TreeError> {
        self.root_at(&mut self.state(), size)
    }

    /// The leaf at `index`, byte for byte, and its hash.
    pub fn leaf(&self, index: u64) -> Result<(Vec<u8>, Hash), TreeError> {
        let state = &mut *self.state();
        let held = |(first, group): &(u64, LeafGroup)| (*first..*first + group.leaves.len() as u64).contains(&index);
        if !state.leaves.as_ref().is_some_and(held) {
            let (object, group, first) = self.group_of(state, index)?;
            state.leaves = Some((first, object.group(group)?));
        }
        let at =
            state.leaves.as_ref().and_then(|(first, group)| group.leaves.get(usize::try_from(index - first).ok()?));
        let leaf = at.ok_or_else(|| short(index))?.data().to_vec();
        let hash = leaf_hash(&leaf);
        if hash != self.hash(state, index)? {
            return Err(TreeError::Damaged { what: format!("leaf {index} is not what its hash says") });
        }
        Ok((leaf, hash))
    }

    /// Proof that the leaf at `index` is in the tree of `size` leaves, at which a commit ends (RFC 9162, 2.1.3).
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
        let state = &mut *self.state();
        let root = self.root_at(state, size)?;
        let nodes = inclusion_nodes(index, size)?;
        let proof = nodes.into_iter().map(|(from, to)| self.subtree(state, from, to)).collect::<Result<Vec<_>, _>>()?;
        let leaf = self.hash(state, index)?;
        verify_inclusion(&leaf, index, size, &proof, &root).map_err(damaged)?;
        Ok(proof)
    }

    /// Proof that the tree of `old` leaves is the beginning of the tree of `new`; a commit ends at both (RFC 9162, 2.1.4).
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, TreeError> {
        let state = &mut *self.state();
        let (old_root, new_root) = (self.root_at(state, old)?, self.root_at(state, new)?);
        let nodes = consistency_nodes(old, new)?;
        let proof = nodes.into_iter().map(|(from, to)| self.subtree(state, from, to)).collect::<Result<Vec<_>, _>>()?;
        verify_consistency(old, &old_root, new, &new_root, &proof).map_err(damaged)?;
        Ok(proof)
    }

    /// The leaves from `from` up to but not including `to`, one row group after another.
    pub fn each_leaf(
        &self,
        from: u64,
        to: u64,
        mut each: impl FnMut(u64, &[u8], &Hash) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let mut index = from;
        while index < to {
            let (object, group, first) = self.group_of(&mut self.state(), index)?;
            let group = object.group(group)?;
            let rows = group.leaves.iter().zip(&group.hashes).enumerate();
            for (row, (leaf, hash)) in rows.skip(usize::try_from(index - first).unwrap_or(usize::MAX)) {
                if first + row as u64 >= to {
                    break;
                }
                let hash = <[u8; 32]>::try_from(hash.data()).map(Hash::from_bytes).map_err(|_| short(index))?;
                if leaf_hash(leaf.data()) != hash {
                    return Err(TreeError::Damaged { what: format!("leaf {index} is not what its hash says") });
                }
                each(index, leaf.data(), &hash)?;
                index += 1;
            }
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn root_at(&self, state: &mut State, size: u64) -> Result<Hash, TreeError> {
        if size == 0 {
            return Ok(empty_root());
        }
        let (first, _) = state.commits.range(..size).next_back().ok_or(TreeError::NoCommit { size })?;
        let first = *first;
        let commit = self.commit(state, first)?;
        if commit.end() == size { Ok(commit.root) } else { Err(TreeError::NoCommit { size }) }
    }

    fn commit(&self, state: &mut State, first: u64) -> Result<Arc<Commit>, TreeError> {
        if let Some(Some(commit)) = state.commits.get(&first) {
            return Ok(Arc::clone(commit));
        }
        let path = paths::commit(first);
        self.store.pin(&path).map_err(ReadError::from)?;
        let bytes = self.store.read(&path, MAX_NOTE_BYTES).map_err(ReadError::from)?;
        let commit = Commit::open(&bytes, &state.keys).map_err(|source| ReadError::Commit { path, source })?;
        let next = state.commits.range(first + 1..).next().map(|(next, _)| *next);
        if commit.first != first || next.is_some_and(|next| next != commit.end()) {
            return Err(TreeError::Damaged {
                what: format!("the commits around record {first} do not follow one another"),
            });
        }
        let commit = Arc::new(commit);
        state.commits.insert(first, Some(Arc::clone(&commit)));
        Ok(commit)
    }

    /// Root of the subtree over the leaves from `from` up to but not including `to`: perfect, or the right end of a tree.
    fn subtree(&self, state: &mut State, from: u64, to: u64) -> Result<Hash, TreeError> {
        let count = to - from;
        if count.is_power_of_two() {
            let level = count.trailing_zeros();
            return self.perfect(state, level, from >> level, false);
        }
        let split = from + (1 << count.ilog2());
        let (left, right) = (self.subtree(state, from, split)?, self.subtree(state, split, to)?);
        Ok(node_hash(&left, &right))
    }

    /// Root of the perfect subtree `at` of 2^`level` leaves, counted from the left. `inside` says that one segment has them all.
    ///
    /// A left child [a, a + k) stands in the edge of every tree that ends in [a + k, a + 2k): its sibling is not whole there. A
    /// right child stands in no edge, but its own left child may.
    fn perfect(&self, state: &mut State, level: u32, at: u64, inside: bool) -> Result<Hash, TreeError> {
        if level == 0 {
            return self.hash(state, at);
        }
        if let Some(known) = state.nodes.get(&(level, at)) {
            return Ok(*known);
        }
        let (from, to) = (at << level, (at + 1) << level);
        let inside = inside || state.segment(from) == state.segment(to - 1);
        let of_edge = match at & 1 == 0 && !inside {
            true => self.in_an_edge(state, level, to)?,
            false => None,
        };
        let node = match of_edge {
            Some(node) => node,
            None => {
                let left = self.perfect(state, level - 1, at << 1, inside)?;
                node_hash(&left, &self.perfect(state, level - 1, (at << 1) | 1, inside)?)
            }
        };
        if level >= LOWEST_REMEMBERED {
            if state.nodes.len() >= MAX_REMEMBERED {
                state.nodes.clear();
            }
            state.nodes.insert((level, at), node);
        }
        Ok(node)
    }

    /// The subtree of 2^`level` leaves that ends at `to`, a left child, in the edge of a commit.
    fn in_an_edge(&self, state: &mut State, level: u32, to: u64) -> Result<Option<Hash>, TreeError> {
        let until = to + (1 << level);
        // A commit ends where the next one begins; where the newest ends it says itself.
        let mut before = state.commits.range(..until).rev().map(|(first, _)| *first);
        let (Some(last), second) = (before.next(), before.next()) else { return Ok(None) };
        for first in [Some(last), second].into_iter().flatten() {
            let next = state.commits.range(first + 1..).next().map(|(next, _)| *next);
            if next.is_some_and(|next| !(to..until).contains(&next)) {
                continue;
            }
            let commit = self.commit(state, first)?;
            if (to..until).contains(&commit.end()) {
                // One hash for each one-bit, the largest first.
                let place = (commit.end() >> (level + 1)).count_ones() as usize;
                return Ok(commit.edge.get(place).copied());
            }
        }
        Ok(None)
    }

    fn hash(&self, state: &mut State, index: u64) -> Result<Hash, TreeError> {
        let holds = |(first, hashes): &(u64, Vec<Hash>)| (*first..*first + hashes.len() as u64).contains(&index);
        let group = match state.hashes.iter().position(holds).and_then(|at| state.hashes.remove(at)) {
            Some(held) => held,
            None => {
                let (object, group, first) = self.group_of(state, index)?;
                (first, object.hashes(group)?)
            }
        };
        let hash = usize::try_from(index - group.0).ok().and_then(|at| group.1.get(at).copied());
        state.hashes.truncate(HELD_GROUPS - 1);
        state.hashes.push_front(group);
        hash.ok_or_else(|| short(index))
    }

    /// The object and row group with the leaf at `index`, and the index of that group's first leaf.
    fn group_of(&self, state: &mut State, index: u64) -> Result<(LeavesObject, usize, u64), TreeError> {
        let first = state.segment(index).ok_or(ProofError::IndexOutside { index, size: 0 })?;
        let commit = self.commit(state, first)?;
        if index >= commit.end() {
            return Err(ProofError::IndexOutside { index, size: commit.end() }.into());
        }
        let leaves = commit.objects.iter().find(|object| object.kind == ObjectKind::Leaves);
        let object = LeavesObject::open(&*self.store, leaves.ok_or_else(|| short(index))?)?;
        let mut begin = first;
        for group in 0..object.group_count() {
            let end = begin + object.rows(group) as u64;
            if index < end {
                return Ok((object, group, begin));
            }
            begin = end;
        }
        Err(short(index))
    }
}

impl State {
    fn new(keys: KeyHistory) -> Self {
        Self {
            keys,
            commits: BTreeMap::new(),
            nodes: HashMap::new(),
            hashes: Default::default(),
            leaves: Default::default(),
        }
    }

    fn list(&mut self, listed: &[String]) {
        for first in listed.iter().filter_map(|path| paths::number_of(path, paths::COMMITS)) {
            self.commits.entry(first).or_default();
        }
    }

    /// First record of the segment with this leaf.
    fn segment(&self, index: u64) -> Option<u64> {
        self.commits.range(..=index).next_back().map(|(first, _)| *first)
    }
}

fn short(index: u64) -> TreeError {
    TreeError::Damaged { what: format!("leaf {index} is missing from its object") }
}

fn damaged(error: ProofError) -> TreeError {
    TreeError::Damaged { what: format!("the leaves are not those of the signed root: {error}") }
}

#[cfg(test)]
mod tests;
