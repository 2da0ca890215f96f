//! Reads the members of a leaf in their fixed order, without allocating.
//!
//! Invariants: `rest` begins where `offset` says; between two calls it begins with a member's separator or
//! with the closing brace. A value is ASCII text without quote and backslash.

use super::{Grammar, LeafError};
use crate::{Hash, name, text};

const DECIMAL: &str = "a decimal number below 2^64 without leading zeros";
const HASH: &str = "64 lowercase hex digits";

/// A cursor over a leaf's bytes.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// Nothing in it has to be looked for but quotes.
    without_escape: bool,
    offset: usize,
    value_offset: usize,
}

impl<'a> Reader<'a> {
    /// Begins to read; the bytes must be ASCII.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, LeafError> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => text,
            _ => {
                let offset = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(0);
                return Err(LeafError::Syntax { offset, expected: "ASCII" });
            }
        };
        if !text.starts_with('{') {
            return Err(LeafError::Syntax { offset: 0, expected: "`{`" });
        }
        Ok(Self { text, without_escape: text::is_without_escape(text), offset: 0, value_offset: 0 })
    }

    /// Ends with the closing brace and nothing behind it.
    pub(super) fn close(self) -> Result<(), LeafError> {
        match self.rest() {
            "}" => Ok(()),
            rest if rest.starts_with(',') => {
                Err(LeafError::Key { offset: self.offset + 1, expected: "`}` after \"v\"" })
            }
            rest => {
                let offset = self.offset + usize::from(rest.starts_with('}'));
                Err(LeafError::Syntax { offset, expected: "`}` and then nothing" })
            }
        }
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, key: &'static str, grammar: Grammar) -> Result<&'a str, LeafError> {
        self.optional_text(key, grammar)?.ok_or_else(|| self.no_member(key))
    }

    /// A text, if it is the next member.
    pub(super) fn optional_text(&mut self, key: &'static str, grammar: Grammar) -> Result<Option<&'a str>, LeafError> {
        match self.value(key)? {
            Some(value) if !grammar.takes(value) => Err(self.wrong(key, grammar.expected())),
            value => Ok(value),
        }
    }

    /// A ledger's name that must be there.
    pub(super) fn ledger_name(&mut self, key: &'static str) -> Result<&'a str, LeafError> {
        let value = self.required(key)?;
        name::check(value).map_err(|source| LeafError::Ledger { offset: self.value_offset, source })?;
        Ok(value)
    }

    /// The format version, which must be there and be `known`.
    pub(super) fn version(&mut self, key: &'static str, known: &str) -> Result<(), LeafError> {
        if self.required(key)? == known { Ok(()) } else { Err(LeafError::Version { offset: self.value_offset }) }
    }

    /// The value of a member that must be there.
    fn required(&mut self, key: &'static str) -> Result<&'a str, LeafError> {
        self.value(key)?.ok_or_else(|| self.no_member(key))
    }

    /// The value of the member `key` if it is the next one.
    fn value(&mut self, key: &'static str) -> Result<Option<&'a str>, LeafError> {
        // The opening brace counts as the first member's separator.
        let Some(value) = self
            .rest()
            .strip_prefix(if self.offset == 0 { "{\"" } else { ",\"" })
            .and_then(|rest| rest.strip_prefix(key))
            .and_then(|rest| rest.strip_prefix("\":\""))
        else {
            return Ok(None);
        };
        self.value_offset = self.text.len() - value.len();
        let stop = match self.without_escape {
            true => value.find('"'),
            false => value.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f..)),
        };
        match stop {
            Some(end) if value.as_bytes()[end] == b'"' => {
                self.offset = self.value_offset + end + 1;
                Ok(Some(&value[..end]))
            }
            end => Err(LeafError::Syntax {
                offset: self.value_offset + end.unwrap_or(value.len()),
                expected: "printable ASCII without backslash, or the closing quote",
            }),
        }
    }

    /// A decimal member that must be there.
    pub(super) fn decimal(&mut self, key: &'static str) -> Result<u64, LeafError> {
        self.decimal_at_most(key, u64::MAX, DECIMAL)
    }

    /// A decimal member up to `limit` that must be there. `expected` says what it is.
    pub(super) fn decimal_at_most(
        &mut self,
        key: &'static str,
        limit: u64,
        expected: &'static str,
    ) -> Result<u64, LeafError> {
        text::parse_decimal(self.required(key)?)
            .filter(|number| *number <= limit)
            .ok_or_else(|| self.wrong(key, expected))
    }

    /// A decimal member, if it is the next one.
    pub(super) fn optional_decimal(&mut self, key: &'static str) -> Result<Option<u64>, LeafError> {
        let Some(value) = self.value(key)? else {
            return Ok(None);
        };
        text::parse_decimal(value).map(Some).ok_or_else(|| self.wrong(key, DECIMAL))
    }

    /// A hash that must be there.
    pub(super) fn hash(&mut self, key: &'static str) -> Result<Hash, LeafError> {
        self.optional_hash(key)?.ok_or_else(|| self.no_member(key))
    }

    /// A hash, if it is the next member.
    pub(super) fn optional_hash(&mut self, key: &'static str) -> Result<Option<Hash>, LeafError> {
        Ok(self.optional_hex(key, HASH)?.map(Hash::from_bytes))
    }

    /// Bytes in hex, if they are the next member. `expected` says what they look like.
    pub(super) fn optional_hex<const N: usize>(
        &mut self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<[u8; N]>, LeafError> {
        let Some(value) = self.value(key)? else {
            return Ok(None);
        };
        text::parse_hex(value).map(Some).ok_or_else(|| self.wrong(key, expected))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    /// The error where `key` must follow and something else does.
    fn no_member(&self, key: &'static str) -> LeafError {
        let separated = self.offset == 0 || self.rest().starts_with(',');
        if separated && self.rest()[1..].starts_with('"') {
            LeafError::Key { offset: self.offset + 1, expected: key }
        } else if separated {
            LeafError::Syntax { offset: self.offset + 1, expected: "a quoted key" }
        } else {
            LeafError::Syntax { offset: self.offset, expected: "`,` and the next member" }
        }
    }

    const fn wrong(&self, key: &'static str, expected: &'static str) -> LeafError {
        LeafError::Value { key, offset: self.value_offset, expected }
    }
}
