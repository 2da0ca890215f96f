//! Which keys may sign a ledger's notes: its key history.
//!
//! A ledger's first key is named by its genesis. A later one is *announced* in a record, and an earlier one *retired* in another. What
//! others go by is a *link* for each such record: a file that proves, from the keys that were valid before and nothing else, that they
//! signed a tree with this record in it.
//!
//! ```text
//! tachograph.dev/key-link/v1
//! <base64 of the record's body>
//! <tlog-proof of the record, with its leaf as extra, under a checkpoint of s records>
//! ```
//!
//! From a link on, for all trees of more than *s* records, the announced key is valid too, or the retired one is not any more. A note over
//! a tree must have the signature of *every* key that is valid for its size: so a stolen old key is of no use once a new one is announced,
//! and of none at all once it is retired.
//!
//! Invariants: at most two keys are valid at one time, and at least one; a link is only taken if every key that was valid before signed
//! its checkpoint, and if its record lies behind the checkpoint of the link before. The body is held against its leaf as strictly as that of
//! any record.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::{leaf_hash, sha256};
use crate::leaf::Leaf;
use crate::name::LedgerName;
use crate::note::{KeyError, Note, NoteError, VerifyingKey};
use crate::proof::{TlogProof, TlogProofError};
use crate::tree::ProofError;

/// Action of the record that announces a key.
pub const KEY_ANNOUNCE: &str = "key.announce";
/// Action of the record that retires a key.
pub const KEY_RETIRE: &str = "key.retire";

/// Who alone says so: the recorder as a producer of records, a name that no sender can take.
const RECORDER: &str = "tachograph-collector";
const LIFECYCLE: &str = "lifecycle";

const HEADER: &str = "tachograph.dev/key-link/v1";
/// Longest link. A body has a few hundred bytes, a note a few lines.
pub const MAX_LINK_BYTES: u64 = 256 << 10;
/// Most links of a ledger: one a month for forty years, announced and retired.
pub const MAX_LINKS: usize = 1_000;

/// Whose signatures a note over a tree needs.
pub trait Keys {
    /// The ledger.
    fn ledger(&self) -> &LedgerName;

    /// Checks that a note about the tree of `size` records has all signatures that it needs.
    ///
    /// # Errors
    /// If one is missing or false.
    fn check(&self, note: &Note, size: u64) -> Result<(), NoteError>;
}

impl Keys for VerifyingKey {
    fn ledger(&self) -> &LedgerName {
        self.name()
    }

    fn check(&self, note: &Note, _: u64) -> Result<(), NoteError> {
        note.verify(self)
    }
}

impl Keys for KeyHistory {
    fn ledger(&self) -> &LedgerName {
        self.first().name()
    }

    fn check(&self, note: &Note, size: u64) -> Result<(), NoteError> {
        self.valid_at(size).try_for_each(|key| note.verify(key))
    }
}

/// What a record says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// It is to sign beside the one that does.
    Announce(VerifyingKey),
    /// It signs nothing more.
    Retire(VerifyingKey),
}

/// A link that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The record that changes keys.
    pub index: u64,
    /// What its record says.
    pub change: KeyChange,
    /// What all keys that were valid before signed over that record.
    pub checkpoint: Checkpoint,
}

/// All keys of a ledger, and for which trees each is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHistory {
    keys: Vec<Period>,
    links: Vec<Link>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Period {
    key: VerifyingKey,
    /// Valid for trees of more than so many records; the first key for all.
    above: Option<u64>,
    /// And of at most so many, once it is retired.
    up_to: Option<u64>,
}

/// Why a link leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not the form of a link.
    #[error("not a link between keys: {0}")]
    Form(&'static str),
    /// Its proof is none.
    #[error("the link's proof is wrong: {0}")]
    Proof(#[from] TlogProofError),
    /// The record that is proven is not one that may say so.
    #[error("record {index} of the link {what}")]
    Record {
        /// Which record.
        index: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The keys that were valid before did not sign it.
    #[error("the link is not signed by every key that was valid before: {0}")]
    Unsigned(#[from] CheckpointError),
    /// The record is not in the tree that was signed.
    #[error("the record of the link is not under its checkpoint: {0}")]
    Elsewhere(#[from] ProofError),
    /// The change can't come now.
    #[error("record {index} {what}")]
    Order {
        /// Which record.
        index: u64,
        /// Why not.
        what: &'static str,
    },
    /// More than [`MAX_LINKS`].
    #[error("there are more than {MAX_LINKS} links between keys")]
    TooMany,
}

#[derive(Deserialize)]
struct Body {
    kind: String,
    producer: Option<String>,
    action_type: Option<String>,
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    vkey: Option<String>,
}

impl KeyChange {
    /// What the recorder says of a key in this body; `None` if it says nothing of keys.
    ///
    /// # Errors
    /// If it does, but of no key that there is.
    pub fn of_body(body: &[u8]) -> Result<Option<Self>, KeyError> {
        let Ok(body) = serde_json::from_slice::<Body>(body) else { return Ok(None) };
        if body.kind != LIFECYCLE || body.producer.as_deref() != Some(RECORDER) {
            return Ok(None);
        }
        let change = match body.action_type.as_deref() {
            Some(KEY_ANNOUNCE) => Self::Announce,
            Some(KEY_RETIRE) => Self::Retire,
            _ => return Ok(None),
        };
        let vkey = body.details.and_then(|details| details.vkey).ok_or(KeyError::PublicForm)?;
        let key = VerifyingKey::parse(&vkey)?;
        if key.to_line() == vkey { Ok(Some(change(key))) } else { Err(KeyError::PublicForm) }
    }

    /// Whether a leaf may be of such a record: cheap, for a look at many.
    pub fn may_be_in(leaf: &[u8]) -> bool {
        Leaf::parse(leaf).is_ok_and(|leaf| leaf.kind == LIFECYCLE && leaf.producer == Some(RECORDER))
    }

    /// The key.
    pub const fn key(&self) -> &VerifyingKey {
        match self {
            Self::Announce(key) | Self::Retire(key) => key,
        }
    }
}

/// The bytes of a link: `body` is the record's, `proof` leads from it to a checkpoint.
pub fn encode_link(body: &[u8], proof: &TlogProof) -> String {
    format!("{HEADER}\n{}\n{}", STANDARD.encode(body), proof.encode())
}

/// The index of the record that a link is about, as it says itself.
///
/// # Errors
/// If it is no link.
pub fn index_of(link: &[u8]) -> Result<u64, LinkError> {
    parse(link).map(|(_, proof)| proof.index)
}

impl KeyHistory {
    /// Of a ledger whose only key is its first.
    pub fn new(first: VerifyingKey) -> Self {
        Self { keys: vec![Period { key: first, above: None, up_to: None }], links: Vec::new() }
    }

    /// The key that the genesis names.
    pub fn first(&self) -> &VerifyingKey {
        &self.keys[0].key
    }

    /// All keys, in the order in which they were announced.
    pub fn keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter().map(|period| &period.key)
    }

    /// The keys that must sign what is said of the tree of `size` records: one, or two.
    pub fn valid_at(&self, size: u64) -> impl Iterator<Item = &VerifyingKey> {
        let valid = move |period: &&Period| {
            period.above.is_none_or(|above| size > above) && period.up_to.is_none_or(|up_to| size <= up_to)
        };
        self.keys.iter().filter(valid).map(|period| &period.key)
    }

    /// The keys that sign from now on.
    pub fn present(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter().filter(|period| period.up_to.is_none()).map(|period| &period.key)
    }

    /// All links that led here, in their order.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Records under the checkpoint of the newest link, 0 if there is none. The record of the next one is not below it.
    pub fn linked(&self) -> u64 {
        self.links.last().map_or(0, |link| link.checkpoint.size)
    }

    /// The link that no ledger can have beside a checkpoint of `size` records: that one has the link's record in it, and the link is over
    /// the first checkpoint that has. Whoever had the keys before alone put the link off.
    pub fn contradicted_by(&self, size: u64) -> Option<&Link> {
        self.links.iter().find(|link| (link.index + 1..link.checkpoint.size).contains(&size))
    }

    /// For trees of more than so many records `key` is valid, or was: 0 for the first key. `None` if it is not one of this ledger's.
    pub fn valid_above(&self, key: &VerifyingKey) -> Option<u64> {
        self.keys.iter().find(|period| period.key == *key).map(|period| period.above.unwrap_or(0))
    }

    /// Whether a change may come next.
    ///
    /// # Errors
    /// Saying why not.
    pub fn allows(&self, change: &KeyChange) -> Result<(), &'static str> {
        let present = self.present().count();
        match change {
            KeyChange::Announce(key) if key.name() != self.ledger() => Err("announces a key of another ledger"),
            KeyChange::Announce(key) if self.keys.iter().any(|period| period.key == *key) => {
                Err("announces a key that this ledger has or had")
            }
            KeyChange::Announce(_) if present > 1 => {
                Err("announces a third key: two sign already, one is to be retired first")
            }
            KeyChange::Retire(_) if present < 2 => Err("retires a key, but there is no other to go on with"),
            KeyChange::Retire(key) if !self.present().any(|present| present == key) => {
                Err("retires a key that does not sign")
            }
            _ if self.links.len() == MAX_LINKS => Err("is one change of keys more than a ledger can have"),
            _ => Ok(()),
        }
    }

    /// Takes the next link, which is about record `index`.
    ///
    /// # Errors
    /// If it does not hold. Then nothing changed.
    pub fn extend(&mut self, index: u64, link: &[u8]) -> Result<Link, LinkError> {
        if self.links.len() == MAX_LINKS {
            return Err(LinkError::TooMany);
        }
        let (body, proof) = parse(link)?;
        let wrong = |what: String| LinkError::Record { index, what };
        let bytes = proof.extra.as_deref().ok_or(LinkError::Form("its proof has no leaf"))?;
        let leaf = Leaf::parse(bytes).map_err(|error| wrong(format!("has a bad leaf: {error}")))?;
        if leaf.index != index || proof.index != index {
            return Err(wrong("is another record".to_owned()));
        }
        if leaf.ledger != self.ledger().as_str() {
            return Err(wrong("is of another ledger".to_owned()));
        }
        if leaf.body_len != body.len() as u64 || leaf.body_sha256 != sha256(&body) {
            return Err(wrong("has another body than its leaf seals".to_owned()));
        }
        if leaf.kind != LIFECYCLE || leaf.producer != Some(RECORDER) {
            return Err(wrong("is not the recorder's own".to_owned()));
        }
        // As of every record in an archive, where the body stands a second time, and in a bundle, where it may not.
        let record = tachograph_record::Body::parse_columns(&body)
            .map_err(|error| wrong(format!("has a body that is none: {error}")))?;
        if let Some(member) = leaf.difference(&record.record) {
            return Err(wrong(format!("has a leaf and a body that differ in {member}")));
        }
        let change = KeyChange::of_body(&body).map_err(|error| wrong(format!("names no key: {error}")))?;
        let change = change.ok_or_else(|| wrong("says nothing of keys".to_owned()))?;
        // The one thing that counts: whoever signed before says so.
        let checkpoint = Checkpoint::open(proof.checkpoint.as_bytes(), self)?;
        proof.verify(&leaf_hash(bytes), checkpoint.size, &checkpoint.root)?;
        if index < self.linked() {
            return Err(LinkError::Order { index, what: "changes keys before the change before it was linked" });
        }
        self.allows(&change).map_err(|what| LinkError::Order { index, what })?;
        match &change {
            KeyChange::Announce(key) => {
                self.keys.push(Period { key: key.clone(), above: Some(checkpoint.size), up_to: None });
            }
            KeyChange::Retire(key) => {
                let retired = self.keys.iter_mut().find(|period| period.key == *key && period.up_to.is_none());
                retired.into_iter().for_each(|period| period.up_to = Some(checkpoint.size));
            }
        }
        let link = Link { index, change, checkpoint };
        self.links.push(link.clone());
        Ok(link)
    }
}

fn parse(link: &[u8]) -> Result<(Vec<u8>, TlogProof), LinkError> {
    if link.len() as u64 > MAX_LINK_BYTES {
        return Err(LinkError::Form("it is too long"));
    }
    let text = std::str::from_utf8(link).map_err(|_| LinkError::Form("it is no text"))?;
    let mut parts = text.splitn(3, '\n');
    let (header, body, proof) = (parts.next(), parts.next(), parts.next());
    if header != Some(HEADER) {
        return Err(LinkError::Form("its first line is not `tachograph.dev/key-link/v1`"));
    }
    let body = body.and_then(|body| STANDARD.decode(body).ok());
    let body = body.ok_or(LinkError::Form("its second line is not the base64 of a body"))?;
    Ok((body, TlogProof::parse(proof.unwrap_or_default().as_bytes())?))
}

#[cfg(test)]
mod tests;
