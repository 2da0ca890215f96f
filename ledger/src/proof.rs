//! The proof of one record as a file: [c2sp.org/tlog-proof](https://c2sp.org/tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>               (may be left out)
//! index <decimal>
//! <base64 of a hash>           (none or more)
//!
//! <checkpoint>
//! ```
//!
//! Invariants: one spelling; nothing is proven before [`TlogProof::verify`], and `extra` never is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;
use crate::note::MAX_NOTE_BYTES;
use crate::text;
use crate::tree::{ProofError, verify_inclusion};

/// First line of every proof.
pub const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most bytes of `extra`: a leaf.
pub const MAX_EXTRA_BYTES: usize = crate::leaf::MAX_LEAF_BYTES;

/// More hashes than a tree has levels prove nothing.
const MAX_HASHES: usize = 64;

/// A record's place in a tree, the hashes that lead from it to the root, and the checkpoint with that root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the maker added; nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// Index of the record.
    pub index: u64,
    /// From the leaf's sibling up.
    pub hashes: Vec<Hash>,
    /// The checkpoint's note, with all its signatures, not verified.
    pub checkpoint: String,
}

/// Why bytes are no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Longer than a proof can be.
    #[error("the proof has {bytes} bytes: more than the limit")]
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
    /// A line is not what stands there in a proof.
    #[error("line {line} of the proof is wrong: {expected} expected")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

impl TlogProof {
    /// The file's bytes.
    pub fn encode(&self) -> String {
        let mut out = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            out += &format!("extra {}\n", STANDARD.encode(extra));
        }
        out += &format!("index {}\n", self.index);
        for hash in &self.hashes {
            out += &STANDARD.encode(hash.as_bytes());
            out.push('\n');
        }
        out.push('\n');
        out + &self.checkpoint
    }

    /// Takes a proof apart. The checkpoint is whatever stands there.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        const LONGEST: usize = MAX_NOTE_BYTES + MAX_EXTRA_BYTES * 4 / 3 + MAX_HASHES * 64 + 1_024;
        if bytes.len() > LONGEST {
            return Err(TlogProofError::TooLong { bytes: bytes.len() });
        }
        let wrong = |line, expected| TlogProofError::Line { line, expected };
        let proof = std::str::from_utf8(bytes).map_err(|_| wrong(1, "UTF-8 text"))?;
        let mut lines = Lines { rest: proof, number: 0 };
        if lines.next() != Some(HEADER) {
            return Err(wrong(1, "`c2sp.org/tlog-proof@v1`"));
        }
        let mut line = lines.next();
        let extra = match line.and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(encoded) => {
                let extra = STANDARD.decode(encoded).ok().filter(|extra| extra.len() <= MAX_EXTRA_BYTES);
                line = lines.next();
                Some(extra.ok_or(wrong(2, "`extra` and base64 of at most 65,535 bytes"))?)
            }
        };
        let index = line.and_then(|line| line.strip_prefix("index ")).and_then(text::parse_decimal);
        let index = index.ok_or_else(|| wrong(lines.number, "`index` and a decimal number"))?;
        let mut hashes = Vec::new();
        loop {
            match lines.next() {
                Some("") => break,
                Some(line) if hashes.len() < MAX_HASHES => {
                    let hash = STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
                    hashes.push(Hash::from_bytes(hash.ok_or_else(|| wrong(lines.number, "base64 of a SHA-256 hash"))?));
                }
                Some(_) => return Err(wrong(lines.number, "an empty line and the checkpoint")),
                None => return Err(wrong(lines.number + 1, "an empty line and the checkpoint")),
            }
        }
        if lines.rest.is_empty() {
            return Err(wrong(lines.number + 1, "the checkpoint"));
        }
        Ok(Self { extra, index, hashes, checkpoint: lines.rest.to_owned() })
    }

    /// Checks that a leaf is at [`index`](Self::index) in the tree of `size` leaves with this root, which the caller took from a
    /// checkpoint that it verified.
    pub fn verify(&self, leaf_hash: &Hash, size: u64, root: &Hash) -> Result<(), ProofError> {
        verify_inclusion(leaf_hash, self.index, size, &self.hashes, root)
    }
}

/// Lines that end in a newline, and what is behind those taken.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (line, rest) = self.rest.split_once('\n')?;
        self.rest = rest;
        self.number += 1;
        Some(line)
    }
}

#[cfg(test)]
mod tests;
