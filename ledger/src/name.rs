//! The ledger's name: the origin of its checkpoints and the name of its key.
//!
//! Invariant: a [`LedgerName`] holds only characters that need no escape in a leaf, a signed note, a verifier
//! key or a path, so no later stage checks again.

use std::fmt;
use std::sync::Arc;

/// Longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// A valid ledger name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerName(Arc<str>);

/// Why a text is no ledger name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there, or more than [`MAX_NAME_BYTES`].
    #[error(
        "a ledger name has 1 to {MAX_NAME_BYTES} characters, this one has {bytes} bytes: choose one like `acme.example/ai-audit`"
    )]
    Length {
        /// Bytes found.
        bytes: usize,
    },
    /// A character outside the alphabet.
    #[error(
        "a ledger name holds only A-Z a-z 0-9 . _ - /, but byte {at} begins {found:?}: choose one like `acme.example/ai-audit`"
    )]
    Character {
        /// Offset in bytes.
        at: usize,
        /// The character there.
        found: char,
    },
    /// First or last character is `/`.
    #[error("a ledger name neither begins nor ends with `/`: choose one like `acme.example/ai-audit`")]
    Slash,
}

impl LedgerName {
    /// Checks `text` and takes it as a name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text).map(|()| Self(text.into()))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the grammar without keeping the name: for the leaf parser, which must not allocate.
pub(crate) fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(NameError::Length { bytes: text.len() });
    }
    if let Some((at, found)) = text.char_indices().find(|(_, c)| !is_allowed(*c)) {
        return Err(NameError::Character { at, found });
    }
    if text.starts_with('/') || text.ends_with('/') {
        return Err(NameError::Slash);
    }
    Ok(())
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')
}

impl fmt::Display for LedgerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LedgerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for LedgerName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_of_the_alphabet() {
        let longest = "n".repeat(MAX_NAME_BYTES);
        for good in ["a", "acme.example/ai-audit", "A_b-9.c/d//e", ".", &longest] {
            assert_eq!(LedgerName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        assert_eq!(LedgerName::parse(""), Err(NameError::Length { bytes: 0 }));
        assert_eq!(LedgerName::parse(&long), Err(NameError::Length { bytes: 129 }));
        assert_eq!(LedgerName::parse("/a"), Err(NameError::Slash));
        assert_eq!(LedgerName::parse("a/"), Err(NameError::Slash));
        for (bad, at, found) in [("a b", 1, ' '), ("a+b", 1, '+'), ("ab\n", 2, '\n'), ("aä", 1, 'ä'), ("\"", 0, '"')]
        {
            assert_eq!(LedgerName::parse(bad), Err(NameError::Character { at, found }));
        }
    }
}
