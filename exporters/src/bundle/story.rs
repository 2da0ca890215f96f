//! What a bundle tells a person: the input of [`page`](super::page).
//!
//! Invariant: whoever fills a [`Story`] has checked what it says. The page neither verifies nor computes anything but the hash of a
//! leaf, and says to its reader that it proves nothing.

use tachograph_ledger::{Hash, Leaf};
use tachograph_record::{Record, Time};

/// One bundle, told.
#[derive(Clone, Debug)]
pub struct Story<'a> {
    /// The ledger's name.
    pub ledger: &'a str,
    /// Its public key, as one line.
    pub vkey: &'a str,
    /// When the bundle was made, by the clock of whoever made it.
    pub created_at: Time,
    /// What was asked for, in words that end a sentence, such as `the event loan-A-17 and all that caused it`. What an asker typed
    /// may stand in it as it is.
    pub selection: &'a str,
    /// Number of records under the checkpoint.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// The records in the order in which they are to be told, causes before effects; not necessarily by index.
    pub records: Vec<Told<'a>>,
    /// Names of the witnesses whose cosignatures stand on `witnessed`; empty if that file is not there.
    pub witnesses: Vec<String>,
    /// The time stamps over the checkpoint.
    pub not_after: Vec<StampTold>,
    /// First and last record of the ledger between which `streams.json` shows that none of the session or agent is missing.
    pub covered: Option<(u64, u64)>,
    /// The time stamp whose hash the record with [`Role::Anchor`] holds.
    pub not_before: Option<StampTold>,
}

/// One record, told.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// Position in the ledger.
    pub index: u64,
    /// How many of the records told before it are its causes: 0 for one that nothing here caused. Effects are set in below causes.
    pub depth: usize,
    /// Why it is here.
    pub role: Role,
    /// Its leaf.
    pub leaf: Leaf<'a>,
    /// What the body says; `None` if the body was destroyed.
    pub record: Option<Record<'a>>,
    /// The body as it is kept; `None` if it was destroyed.
    pub body: Option<&'a str>,
    /// Hashes in its inclusion proof.
    pub proof_len: usize,
}

/// Why a record is in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers the question.
    Answer,
    /// It is the `time.anchor` that bounds the others' time from below, and is here for that alone.
    Anchor,
}

/// An RFC 3161 time stamp, told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StampTold {
    /// Its file in the bundle, such as `not-after/example-tsa.tsr`.
    pub file: String,
    /// The time that it says; `None` if the token was not taken apart.
    pub said_at: Option<Time>,
    /// Who stamped, as the token or the settings name it.
    pub authority: String,
}
