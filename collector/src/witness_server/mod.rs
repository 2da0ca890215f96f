//! A small witness ([c2sp.org/tlog-witness](https://c2sp.org/tlog-witness)), which another team or legal entity runs.
//!
//! It sees names, sizes and roots of ledgers, and nothing of their records. It cosigns a checkpoint only if that is consistent with the
//! one that it cosigned last, so that nobody can have it vouch for two histories.
//!
//! | module | owns |
//! |---|---|
//! | [`directory`] | its files: keys, ledgers that it follows |
//! | [`evidence`] | what it refused: forks, and what was not shown to be none |
//! | [`desk`] | what it answers |
//! | [`http`] | sockets |
//!
//! Invariants: what it cosigns is on the disk, synced, before anybody sees the cosignature; one ledger's requests are judged one after
//! another; a write whose outcome is not known ends the process.

pub mod desk;
pub mod directory;
pub mod evidence;
pub mod http;

pub use desk::{Answer, Desk};
pub use directory::{Follows, WitnessDir, WitnessDirError};
pub use evidence::{Finding, Kept};
