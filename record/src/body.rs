//! The body: a record as the bytes that are kept.

use std::marker::PhantomData;

use serde::de::Deserializer;
use sha2::{Digest, Sha256};

use crate::record::{Members, MembersVisitor};
use crate::{Hex, Record, Time, write_hex};

/// Bytes before the content: version, salt and time of observation, each of fixed width.
pub const PREFIX_LEN: usize = 98;

const CONFLICT: &[u8] = b",\"conflicts_with\":\"";

/// A body that does not follow the format.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not text.
    #[error("not a record's body: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    /// Not JSON, or not the JSON of a record.
    #[error("not a record's body: {0}")]
    Json(#[from] serde_json::Error),
    /// A version that this program does not know.
    #[error("body version {0:?} is unknown; this program reads version 1")]
    Version(String),
    /// The fixed-width prefix is not where it must be.
    #[error("the body does not begin with v, salt and observed_at in their fixed form")]
    Prefix,
}

/// A body, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Body<'a> {
    /// 128 random bits.
    pub salt: Hex<16>,
    /// When the collector received it.
    pub observed_at: Time,
    /// The record.
    pub record: Record<'a>,
}

impl<'a> Body<'a> {
    /// Reads every member.
    pub fn parse(body: &'a [u8]) -> Result<Self, BodyError> {
        Self::read(body, false)
    }

    /// Reads the members that a column or the leaf repeats, and checks that the rest is JSON. The others are `None`.
    pub fn parse_columns(body: &'a [u8]) -> Result<Self, BodyError> {
        Self::read(body, true)
    }

    fn read(body: &'a [u8], columns_only: bool) -> Result<Self, BodyError> {
        // Checked as a whole: what is skipped for want of a column must be text too.
        let mut reader = serde_json::Deserializer::from_str(std::str::from_utf8(body)?);
        let visitor = MembersVisitor { columns_only, lifetime: PhantomData };
        let Members { version, salt, observed_at, record } = (&mut reader).deserialize_map(visitor)?;
        reader.end()?;
        if &*version != "1" {
            return Err(BodyError::Version(version.0.into_owned()));
        }
        let mut prefix = Vec::with_capacity(PREFIX_LEN);
        write_prefix(&salt.0, observed_at, &mut prefix);
        if !body.starts_with(&prefix) {
            return Err(BodyError::Prefix);
        }
        Ok(Self { salt, observed_at, record })
    }
}

/// Appends the body of `record` to `out`.
///
/// `salt` must be random and used once: it keeps the hash of an erased body from being guessed.
pub fn write_body(record: &Record<'_>, salt: &[u8; 16], observed_at: Time, out: &mut Vec<u8>) {
    write_prefix(salt, observed_at, out);
    record.write_members(out);
    out.push(b'}');
}

fn write_prefix(salt: &[u8; 16], observed_at: Time, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"v\":\"1\",\"salt\":\"");
    write_hex(salt, out);
    out.extend_from_slice(b"\",\"observed_at\":\"");
    observed_at.write(out);
    out.extend_from_slice(b"\",");
}

/// The content of a body that has no `conflicts_with`: what the sender sent.
pub fn content_of(body: &[u8]) -> &[u8] {
    body.get(PREFIX_LEN..).unwrap_or_default()
}

/// What tells whether two records with one event id are the same: the first 128 bits of SHA-256 over the content, with the
/// collector's own `conflicts_with` left out, if it is there.
pub fn content_digest(body: &[u8]) -> [u8; 16] {
    let content = content_of(body);
    let hash: [u8; 32] = match conflict_at(content) {
        None => Sha256::digest(content).into(),
        Some(at) => Sha256::new().chain_update(&content[..at]).chain_update(b"}").finalize().into(),
    };
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    digest
}

/// Makes `conflicts_with` the last member of `body`.
pub fn append_conflict(body: &mut Vec<u8>, first_index: u64) {
    debug_assert_eq!(body.last(), Some(&b'}'));
    body.pop();
    body.extend_from_slice(CONFLICT);
    body.extend_from_slice(first_index.to_string().as_bytes());
    body.extend_from_slice(b"\"}");
}

/// Where `,"conflicts_with":"<digits>"}` ends the content. Within a string its quotes would be escaped and within
/// an inner object a further brace would follow, so nothing that a sender wrote looks like it.
fn conflict_at(content: &[u8]) -> Option<usize> {
    let digits_end = content.len().checked_sub(2)?;
    if &content[digits_end..] != b"\"}" {
        return None;
    }
    let digits = content[..digits_end].iter().rev().take(20).take_while(|b| b.is_ascii_digit()).count();
    let start = digits_end - digits;
    (digits > 0 && content[..start].ends_with(CONFLICT)).then(|| start - CONFLICT.len())
}
