//! The mathematics of Tachograph: what makes a record impossible to change unseen.
//!
//! ```text
//! body ──SHA-256──► leaf ──SHA-256(0x00 ‖ leaf)──► hash ──► MAC
//!                    ▲ prev = hash of the leaf before       └─► Merkle tree ─► root ─► checkpoint (signed)
//! ```
//!
//! | module | owns |
//! |---|---|
//! | [`hash`] | SHA-256 with the tree's domain separation |
//! | [`name`] | the ledger's name |
//! | [`leaf`] | the bytes that are kept for ever for one record |
//! | [`chain`] | sealing records in order, and checking that they are in order |
//! | [`tree`] | the RFC 6962 tree: edge, root, proofs |
//! | [`mac`] | the per-record MAC under a key that evolves |
//! | [`note`] | signed notes, their keys, and who signs them |
//! | [`checkpoint`] | the signed statement of size and root |
//! | [`proof`] | the proof of one record, as a file |
//! | [`shard`] | how one ledger ends and the next continues it |
//! | [`stream`] | the records of one session or agent, numbered and linked |
//! | [`commit`] | the signed statement of which objects hold which records |
//! | [`cosignature`] | what a witness adds to a checkpoint, and its keys |
//! | [`keys`] | which keys may sign, from which size of the tree on |
//! | [`add_checkpoint`] | how a witness is asked for it |
//! | [`policy`] | which witnesses' cosignatures are enough |
//! | [`source`] | the key with which a producer signs what it says |
//!
//! `docs/format.md` is the authority for every byte; `tests/golden/ledger-v1.json` holds vectors made by an
//! independent program.
//!
//! Invariants: no I/O, no clock, no randomness, no threads. Everything that parses takes hostile bytes, has a
//! bound, and accepts exactly one spelling: what was parsed and is encoded again gives the same bytes.

pub mod add_checkpoint;
pub mod chain;
pub mod checkpoint;
pub mod commit;
pub mod cosignature;
pub mod hash;
pub mod keys;
pub mod leaf;
pub mod mac;
pub mod name;
pub mod note;
pub mod policy;
pub mod proof;
pub mod shard;
pub mod source;
pub mod stream;
mod text;
pub mod tree;

pub use add_checkpoint::{AddCheckpoint, AddCheckpointError};
pub use chain::{ChainError, ChainVerifier, Entry, SealError, Sealed, Sealer, Snapshot};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use commit::{Commit, CommitError, Lock, Object, ObjectKind, Terms};
pub use cosignature::{WitnessName, WitnessNameError, WitnessSigningKey, WitnessVerifyingKey};
pub use hash::{Hash, empty_root, leaf_hash, node_hash, sha256};
pub use keys::{KeyChange, KeyHistory, Keys, LinkError};
pub use leaf::{Leaf, LeafError, genesis};
pub use mac::{EPOCH_BITS, EpochKey, MacError, MacKey, MacScheme, epoch_of, indexes_of};
pub use name::{LedgerName, NameError};
pub use note::{
    FalseSignature, KeyError, Note, NoteError, PRIVATE_PREFIX, SignError, Signer, SigningKey, VerifyingKey, parse_note,
    sign_note, sign_note_by,
};
pub use policy::{Policy, PolicyError};
pub use proof::{MAX_EXTRA_BYTES, TlogProof, TlogProofError};
pub use shard::{Continues, ContinuesError};
pub use source::{SourceKeyError, SourceVerifyingKey};
pub use stream::{
    Generation, Statement, StreamBy, StreamId, StreamKey, StreamKind, StreamPlace, StreamRule, StreamSecret,
    StreamTracker, Tail,
};
pub use tree::{
    Edge, ProofError, consistency_nodes, consistency_proof, inclusion_nodes, inclusion_proof, root_of,
    verify_consistency, verify_inclusion,
};

/// Most records that one ledger can hold: indexes are below this, so that no arithmetic on them overflows.
pub const MAX_RECORDS: u64 = 1 << 62;
