//! The stream key, and what follows from it for one stream.
//!
//! Invariant: ids of different generations can't be linked, nor an id be tied to a name, without the stream's secret; and one
//! stream's secret tells nothing of another stream.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Hash, LedgerName, text};

const KEY_LABEL: &[u8] = b"tachograph/stream/key/v1\0";
const SECRET_LABEL: &[u8] = b"tachograph/stream/v1\0";
const ID_LABEL: &[u8] = b"tachograph/stream/generation/v1\0";

/// What a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKind {
    /// The records with one `session_id`.
    Session,
    /// The records with one `agent_id`.
    Agent,
}

impl StreamKind {
    /// The word in leaves and bundles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Agent => "agent",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Session, Self::Agent].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// From which the secrets of all streams of a ledger follow.
pub struct StreamKey {
    key: Zeroizing<[u8; 32]>,
    state: Hmac<Sha256>,
}

impl StreamKey {
    /// A key of 32 random bytes.
    pub fn new(key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        Self { state: keyed(&key), key }
    }

    /// The secret of the stream of one session or agent.
    pub fn secret(&self, kind: StreamKind, id: &str) -> StreamSecret {
        let mut hmac = self.state.clone();
        hmac.update(SECRET_LABEL);
        hmac.update(kind.as_str().as_bytes());
        hmac.update(&[0]);
        hmac.update(id.as_bytes());
        StreamSecret(Zeroizing::new(hmac.finalize().into_bytes().into()))
    }

    /// Names the key in the leaves that open and close generations. It gives nothing of the key away.
    pub fn id(&self) -> Hash {
        Hash::from_bytes(Sha256::new().chain_update(KEY_LABEL).chain_update(*self.key).finalize().into())
    }

    /// The key's bytes: for the key file, nowhere else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(***)")
    }
}

/// What gives one stream away: whoever has it knows the stream's ids in all generations, and nothing of other streams.
#[derive(Clone)]
pub struct StreamSecret(Zeroizing<[u8; 32]>);

impl StreamSecret {
    /// The stream's id in the leaves of the generation that begins with record `generation`.
    pub fn id(&self, ledger: &LedgerName, generation: u64) -> StreamId {
        let mut hmac = keyed(&self.0);
        hmac.update(ID_LABEL);
        hmac.update(ledger.as_str().as_bytes());
        hmac.update(&[0]);
        hmac.update(&generation.to_be_bytes());
        StreamId(Hash::from_bytes(hmac.finalize().into_bytes().into()))
    }

    /// 64 lowercase hex digits: for whoever the stream is given to.
    pub fn to_hex(&self) -> String {
        Hash::from_bytes(*self.0).to_hex()
    }

    /// Reads 64 lowercase hex digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        text::parse_hex(digits).map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The secret's bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for StreamSecret {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.0.ct_eq(&*other.0))
    }
}

impl Eq for StreamSecret {}

impl fmt::Debug for StreamSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamSecret(***)")
    }
}

/// A stream's name in the leaves of one generation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Hash);

impl StreamId {
    /// Reads 64 lowercase hex digits.
    pub fn parse(digits: &str) -> Option<Self> {
        Hash::from_hex(digits).map(Self)
    }

    /// 64 lowercase hex digits, fast: one in each leaf.
    pub(crate) fn to_hex(self) -> String {
        let mut digits = Vec::with_capacity(64);
        self.0.write_hex(&mut digits);
        String::from_utf8(digits).expect("hex digits are text")
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}
