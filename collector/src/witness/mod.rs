//! Witnesses: other parties who see each checkpoint and cosign it, so that nobody can be shown another history.
//!
//! ```text
//! archiver ──newest checkpoint──► Mailbox ─► stage (thread) ─► witnesses, all at once
//!                                                  └─► witnessed/<size> in the archive, once the policy's quorum is met
//! ```
//!
//! Behind the archive and never in its way: what fails here is tried again, counted and told, and stops nothing. Only the newest checkpoint
//! matters, since it covers all that are older.
//!
//! | module | owns |
//! |---|---|
//! | [`archive_proofs`] | consistency proofs from the archive |
//! | [`client`] | one question to one witness |
//! | [`sizes`] | what each witness has seen, remembered |
//! | [`stage`] | whom to ask when, and what is enough |
//! | [`metrics`] | what is counted |

pub mod archive_proofs;
pub mod client;
pub mod metrics;
pub mod sizes;
pub mod stage;

pub use archive_proofs::ArchiveProofs;
pub use metrics::WitnessMetrics;
pub use stage::{Stage, Witnesses};
