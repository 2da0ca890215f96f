//! Streams: the records of one session or one agent, numbered and linked in their leaves, so that an export of one of them can show
//! that nothing inside it was left out, without showing any other.
//!
//! ```text
//! generation g: first record … last record, then the recorder's statement: how many streams, and the root over
//!               `<stream id> <count> <hash of its last leaf>`, sorted
//! secret        s = HMAC(stream key, kind ‖ id)          given away for one stream, shows that stream alone
//! id in leaves  HMAC(s, ledger ‖ g)                      another one in each generation
//! ```
//!
//! `docs/format.md` section 13 has every byte; `tests/golden/streams-v1.json` holds vectors made by an independent program.
//!
//! | module | owns |
//! |---|---|
//! | `key` | the stream key, a stream's secret and ids |
//! | `place` | what a leaf says of streams |
//! | `generation` | the streams of one generation, and what is stated of them |
//! | `proof` | that one stream has so many records in a generation, or none |
//! | `tracker` | following the leaves of a ledger |

mod generation;
mod key;
mod place;
mod proof;
mod tracker;

pub use generation::{Generation, StreamEntry, Tail};
pub use key::{StreamId, StreamKey, StreamKind, StreamSecret};
pub use place::{RECORDER, Statement, StreamBy, StreamPlace, StreamRule};
pub use proof::{EntryProof, StreamProofError, in_generation};
pub use tracker::{StreamEvent, StreamFault, StreamTracker};

/// Most records of a generation: so many streams it has at most.
pub const MAX_GENERATION: u64 = 1 << 18;

#[cfg(test)]
mod tests;
