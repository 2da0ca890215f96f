//! Where Tachograph's records go.
//!
//! [`archive`] is the truth: Parquet segments, signed commits and signed checkpoints in a write-once store
//! (`docs/format.md`, sections 6 and 7). [`verify`] reads an archive back and says, axis by axis, what holds.
//! [`timestamp`] reads the time-stamp tokens of others (RFC 3161) and needs neither.
//!
//! Everything here is synchronous; the one source of time is the caller.

pub mod archive;
#[cfg(feature = "s3")]
pub mod bucket;
pub mod bundle;
pub mod timestamp;
pub mod verify;
