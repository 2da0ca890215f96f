//! The leaf: what is kept for ever for one record, without personal data.
//!
//! A flat JSON object in ASCII: keys sorted, no white space, every value a string without escapes, at most
//! [`MAX_LEAF_BYTES`]. `docs/format.md` section 3 has the table of keys.
//!
//! Invariant: one leaf has one spelling. [`Leaf::parse`] takes nothing that [`Leaf::encode_into`] would write
//! otherwise, so a reader may hash the stored bytes or the parsed leaf and finds the same.

use tachograph_record::{Decimal, Record};

use crate::hash::{Hash, sha256};
use crate::name::{self, NameError};
use crate::{MAX_RECORDS, text};

mod reader;

use reader::Reader;

/// Longest leaf (the limit of a C2SP entry bundle).
pub const MAX_LEAF_BYTES: usize = 65_535;

/// Longest `kind`.
pub const MAX_KIND_BYTES: usize = 64;

/// Longest `producer` and `producer_epoch`.
pub const MAX_PRODUCER_BYTES: usize = 64;

/// Latest time: 2262-04-11, the last that 63 bits of nanoseconds hold.
pub const MAX_TIME: u64 = i64::MAX as u64;

/// One leaf. The fields stand in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// Bytes of the body.
    pub body_len: u64,
    /// SHA-256 of the body.
    pub body_sha256: Hash,
    /// Reserved: SHA-256 of the stored ciphertext.
    pub cipher_sha256: Option<Hash>,
    /// Reserved: id of the data key.
    pub dek_id: Option<&'a str>,
    /// When it happened, nanoseconds since 1970.
    pub event_time: u64,
    /// Position in the ledger, from 0.
    pub index: u64,
    /// Kind of record: `[a-z0-9_]{1,64}`.
    pub kind: &'a str,
    /// The ledger's name.
    pub ledger: &'a str,
    /// Hash of the leaf before, or the [`genesis`] value.
    pub prev: Hash,
    /// Who numbered the record: `[A-Za-z0-9._:-]{1,64}`.
    pub producer: Option<&'a str>,
    /// One start of the producer: `[A-Za-z0-9._:-]{1,64}`.
    pub producer_epoch: Option<&'a str>,
    /// The producer's number for it.
    pub producer_seq: Option<u64>,
    /// When it was sealed, nanoseconds since 1970.
    pub sealed_at: u64,
    /// W3C span id.
    pub span_id: Option<[u8; 8]>,
    /// The stream that the record belongs to, or what the recorder says of streams: see [`stream`](crate::stream).
    pub stream: Option<&'a str>,
    /// Hash of the stream's leaf before.
    pub stream_prev: Option<Hash>,
    /// Position in the stream, within its generation.
    pub stream_seq: Option<u64>,
    /// W3C trace id.
    pub trace_id: Option<[u8; 16]>,
}

/// Why bytes are no leaf, or a leaf can't be written. Offsets count bytes from the leaf's begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Longer than [`MAX_LEAF_BYTES`].
    #[error("the leaf has {bytes} bytes, the limit is {MAX_LEAF_BYTES}")]
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
    /// Not `{"key":"value",…}` without white space and escapes.
    #[error("the leaf's syntax breaks at byte {offset}: {expected} expected")]
    Syntax {
        /// Where.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A key that version 1 does not know, or one that stands in the wrong place or twice.
    #[error("the leaf has an unknown, repeated or misplaced key at byte {offset}: {expected} expected")]
    Key {
        /// Where.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A value in another spelling than the key's.
    #[error("the leaf's `{key}` at byte {offset} is wrong: {expected} expected")]
    Value {
        /// The key.
        key: &'static str,
        /// Where its value begins (0 in a leaf that is yet to be written).
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The ledger's name is none.
    #[error("the leaf's `ledger` at byte {offset} is wrong: {source}")]
    Ledger {
        /// Where its value begins (0 in a leaf that is yet to be written).
        offset: usize,
        /// Why.
        source: NameError,
    },
    /// A format that this release does not read.
    #[error("the leaf's format version at byte {offset} is not `1`: read it with a newer release")]
    Version {
        /// Where its value begins.
        offset: usize,
    },
}

/// The `prev` of record 0: SHA-256("tachograph/genesis/v1\n" ‖ verifier key line ‖ "\n"), which ties the chain to its key.
pub fn genesis(vkey_line: &str) -> Hash {
    sha256(format!("tachograph/genesis/v1\n{vkey_line}\n").as_bytes())
}

impl Leaf<'_> {
    /// The first member in which the leaf says something else than the body of its record.
    pub fn difference(&self, record: &Record<'_>) -> Option<&'static str> {
        let same = [
            ("kind", self.kind == record.kind.as_str()),
            ("event_time", self.event_time == record.timestamp.unix_nanos()),
            ("trace_id", self.trace_id == record.trace_id.map(|id| id.0)),
            ("span_id", self.span_id == record.span_id.map(|id| id.0)),
            ("producer", self.producer == record.producer.as_deref()),
            ("producer_epoch", self.producer_epoch == record.producer_epoch.as_deref()),
            ("producer_seq", self.producer_seq == record.producer_seq.map(Decimal::get)),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(member, _)| member)
    }
}

impl<'a> Leaf<'a> {
    /// Appends the leaf's bytes. They are a leaf only if [`check`](Self::check) passes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"body_len\":\"");
        text::write_decimal(self.body_len, out);
        out.extend_from_slice(b"\",\"body_sha256\":\"");
        self.body_sha256.write_hex(out);
        if let Some(hash) = &self.cipher_sha256 {
            out.extend_from_slice(b"\",\"cipher_sha256\":\"");
            hash.write_hex(out);
        }
        write_text(b"\",\"dek_id\":\"", self.dek_id, out);
        out.extend_from_slice(b"\",\"event_time\":\"");
        text::write_decimal(self.event_time, out);
        out.extend_from_slice(b"\",\"index\":\"");
        text::write_decimal(self.index, out);
        out.extend_from_slice(b"\",\"kind\":\"");
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(b"\",\"ledger\":\"");
        out.extend_from_slice(self.ledger.as_bytes());
        out.extend_from_slice(b"\",\"prev\":\"");
        self.prev.write_hex(out);
        write_text(b"\",\"producer\":\"", self.producer, out);
        write_text(b"\",\"producer_epoch\":\"", self.producer_epoch, out);
        if let Some(seq) = self.producer_seq {
            out.extend_from_slice(b"\",\"producer_seq\":\"");
            text::write_decimal(seq, out);
        }
        out.extend_from_slice(b"\",\"sealed_at\":\"");
        text::write_decimal(self.sealed_at, out);
        if let Some(id) = &self.span_id {
            out.extend_from_slice(b"\",\"span_id\":\"");
            text::write_hex(id, out);
        }
        write_text(b"\",\"stream\":\"", self.stream, out);
        if let Some(hash) = &self.stream_prev {
            out.extend_from_slice(b"\",\"stream_prev\":\"");
            hash.write_hex(out);
        }
        if let Some(seq) = self.stream_seq {
            out.extend_from_slice(b"\",\"stream_seq\":\"");
            text::write_decimal(seq, out);
        }
        if let Some(id) = &self.trace_id {
            out.extend_from_slice(b"\",\"trace_id\":\"");
            text::write_hex(id, out);
        }
        out.extend_from_slice(b"\",\"v\":\"1\"}");
    }

    /// Checks the values whose grammar is narrower than their type, so that the encoded leaf parses
    /// (its length is the encoder's caller's to check).
    pub fn check(&self) -> Result<(), LeafError> {
        let at_most = |key, value, limit, expected| {
            if value <= limit { Ok(()) } else { Err(LeafError::Value { key, offset: 0, expected }) }
        };
        let texts = |key, value: Option<&str>, grammar: Grammar| match value {
            Some(value) if !grammar.takes(value) => {
                Err(LeafError::Value { key, offset: 0, expected: grammar.expected() })
            }
            _ => Ok(()),
        };
        texts("dek_id", self.dek_id, Grammar::Reserved)?;
        at_most("event_time", self.event_time, MAX_TIME, TIME)?;
        at_most("index", self.index, MAX_RECORDS - 1, INDEX)?;
        texts("kind", Some(self.kind), Grammar::Kind)?;
        name::check(self.ledger).map_err(|source| LeafError::Ledger { offset: 0, source })?;
        texts("producer", self.producer, Grammar::Producer)?;
        texts("producer_epoch", self.producer_epoch, Grammar::Producer)?;
        at_most("sealed_at", self.sealed_at, MAX_TIME, TIME)?;
        texts("stream", self.stream, Grammar::Reserved)
    }

    /// Takes a leaf apart; refuses unknown keys, a wrong order and any other spelling.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LeafError> {
        if bytes.len() > MAX_LEAF_BYTES {
            return Err(LeafError::TooLong { bytes: bytes.len() });
        }
        let mut reader = Reader::open(bytes)?;
        let leaf = Self {
            body_len: reader.decimal("body_len")?,
            body_sha256: reader.hash("body_sha256")?,
            cipher_sha256: reader.optional_hash("cipher_sha256")?,
            dek_id: reader.optional_text("dek_id", Grammar::Reserved)?,
            event_time: reader.decimal_at_most("event_time", MAX_TIME, TIME)?,
            index: reader.decimal_at_most("index", MAX_RECORDS - 1, INDEX)?,
            kind: reader.text("kind", Grammar::Kind)?,
            ledger: reader.ledger_name("ledger")?,
            prev: reader.hash("prev")?,
            producer: reader.optional_text("producer", Grammar::Producer)?,
            producer_epoch: reader.optional_text("producer_epoch", Grammar::Producer)?,
            producer_seq: reader.optional_decimal("producer_seq")?,
            sealed_at: reader.decimal_at_most("sealed_at", MAX_TIME, TIME)?,
            span_id: reader.optional_hex("span_id", "16 lowercase hex digits")?,
            stream: reader.optional_text("stream", Grammar::Reserved)?,
            stream_prev: reader.optional_hash("stream_prev")?,
            stream_seq: reader.optional_decimal("stream_seq")?,
            trace_id: reader.optional_hex("trace_id", "32 lowercase hex digits")?,
        };
        reader.version("v", "1")?;
        reader.close()?;
        Ok(leaf)
    }
}

const TIME: &str = "nanoseconds since 1970, at most 2^63 - 1";
const INDEX: &str = "a decimal number below 2^62 without leading zeros";

/// Which text a value may be. All are printable ASCII without quote and backslash.
#[derive(Clone, Copy)]
enum Grammar {
    Kind,
    Producer,
    Reserved,
}

impl Grammar {
    fn takes(self, text: &str) -> bool {
        match self {
            Self::Kind => is_kind(text),
            Self::Producer => is_producer(text),
            Self::Reserved => !text.is_empty() && text::is_plain(text),
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Kind => "1 to 64 of a-z 0-9 _",
            Self::Producer => "1 to 64 of A-Z a-z 0-9 . _ : -",
            Self::Reserved => "printable ASCII without quote and backslash",
        }
    }
}

/// Whether `text` may stand as `producer` or `producer_epoch`: `[A-Za-z0-9._:-]{1,64}`.
pub fn is_producer(text: &str) -> bool {
    (1..=MAX_PRODUCER_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-'))
}

fn is_kind(text: &str) -> bool {
    (1..=MAX_KIND_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn write_text(key: &[u8], value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        out.extend_from_slice(key);
        out.extend_from_slice(value.as_bytes());
    }
}

#[cfg(test)]
mod tests;
