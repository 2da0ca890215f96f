//! The chain: sealing records in order ([`Sealer`]) and checking that they are in order ([`ChainVerifier`]).
//!
//! Each leaf names the hash of the leaf before, and the first the ledger's key, so that a record can be neither
//! changed, moved, inserted nor taken out without every later hash changing.

mod sealer;
mod verifier;

pub use sealer::{Entry, SealError, Sealed, Sealer, Snapshot};
pub use verifier::{ChainError, ChainFault, ChainVerifier};

#[cfg(test)]
mod tests;
