//! The body of `add-checkpoint` ([c2sp.org/tlog-witness](https://c2sp.org/tlog-witness)): how a witness is asked for a cosignature.
//!
//! ```text
//! old <size that the witness cosigned last, decimal>
//! <base64 of a hash of the consistency proof>      (0 to 63 lines)
//!
//! <the checkpoint, a signed note>
//! ```
//!
//! Invariant: one spelling. The checkpoint is not looked at: whose it is must be known first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;
use crate::text;

/// Most hashes of a consistency proof.
pub const MAX_PROOF_HASHES: usize = 63;

/// Longest body: room for a checkpoint with 16 signatures of 5 KB, which a witness has to take.
pub const MAX_ADD_CHECKPOINT_BYTES: usize = 128 << 10;

/// What a witness is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint<'a> {
    /// Size of the tree that the witness cosigned last, as the asker believes.
    pub old: u64,
    /// The proof from that size to the checkpoint's.
    pub proof: Vec<Hash>,
    /// The checkpoint: a signed note, not read yet.
    pub checkpoint: &'a str,
}

/// Why bytes are no such body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddCheckpointError {
    /// Longer than [`MAX_ADD_CHECKPOINT_BYTES`].
    #[error("the body has {bytes} bytes, the limit is {MAX_ADD_CHECKPOINT_BYTES}")]
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the body is not UTF-8")]
    Text,
    /// The first line.
    #[error("the first line is not `old <size>`, the size in decimal without leading zeros")]
    Old,
    /// A line of the proof.
    #[error("line {line} is neither the base64 of 32 bytes nor empty")]
    Proof {
        /// Which one, from 1.
        line: usize,
    },
    /// More than [`MAX_PROOF_HASHES`].
    #[error("the consistency proof has more than {MAX_PROOF_HASHES} hashes")]
    TooManyHashes,
    /// No empty line, or nothing behind it.
    #[error("there is no empty line with a checkpoint behind it")]
    Checkpoint,
}

impl<'a> AddCheckpoint<'a> {
    /// Takes a body apart.
    pub fn parse(body: &'a [u8]) -> Result<Self, AddCheckpointError> {
        if body.len() > MAX_ADD_CHECKPOINT_BYTES {
            return Err(AddCheckpointError::TooLong { bytes: body.len() });
        }
        let body = std::str::from_utf8(body).map_err(|_| AddCheckpointError::Text)?;
        let (first, mut rest) = body.split_once('\n').ok_or(AddCheckpointError::Old)?;
        let old = first.strip_prefix("old ").and_then(text::parse_decimal).ok_or(AddCheckpointError::Old)?;
        let mut proof = Vec::new();
        loop {
            let (line, behind) = rest.split_once('\n').ok_or(AddCheckpointError::Checkpoint)?;
            rest = behind;
            if line.is_empty() {
                break;
            }
            if proof.len() == MAX_PROOF_HASHES {
                return Err(AddCheckpointError::TooManyHashes);
            }
            let hash = STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
            proof.push(Hash::from_bytes(hash.ok_or(AddCheckpointError::Proof { line: proof.len() + 2 })?));
        }
        if rest.is_empty() {
            return Err(AddCheckpointError::Checkpoint);
        }
        Ok(Self { old, proof, checkpoint: rest })
    }

    /// The body.
    pub fn encode(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            body.push_str(&STANDARD.encode(hash.as_bytes()));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(self.checkpoint);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256;

    /// The example of the specification, with the signatures shortened.
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
        assert!(request.checkpoint.starts_with("example.com/behind-the-sofa\n20852163\n"));
        assert_eq!(request.encode(), EXAMPLE);
    }

    #[test]
    fn other_forms_are_refused() {
        let long = format!("old 1\n{}", "a".repeat(MAX_ADD_CHECKPOINT_BYTES));
        let hash = STANDARD.encode(sha256(b"x").as_bytes());
        let many = format!("old 1\n{}\nnote\n", format!("{hash}\n").repeat(MAX_PROOF_HASHES + 1));
        for (body, error) in [
            ("", AddCheckpointError::Old),
            ("old 1", AddCheckpointError::Old),
            ("old 01\n\nnote\n", AddCheckpointError::Old),
            ("old  1\n\nnote\n", AddCheckpointError::Old),
            ("new 1\n\nnote\n", AddCheckpointError::Old),
            ("old 1\nnote\n", AddCheckpointError::Proof { line: 2 }),
            (&format!("old 1\n{hash}\n{hash}=\n\nnote\n"), AddCheckpointError::Proof { line: 3 }),
            ("old 1\n", AddCheckpointError::Checkpoint),
            ("old 1\n\n", AddCheckpointError::Checkpoint),
            (&long, AddCheckpointError::TooLong { bytes: MAX_ADD_CHECKPOINT_BYTES + 6 }),
            (&many, AddCheckpointError::TooManyHashes),
        ] {
            assert_eq!(AddCheckpoint::parse(body.as_bytes()), Err(error), "{:.60}", body);
        }
        assert_eq!(AddCheckpoint::parse(b"old 1\n\n\xff\n"), Err(AddCheckpointError::Text));
        let most = format!("old 1\n{}\nnote\n", format!("{hash}\n").repeat(MAX_PROOF_HASHES));
        assert_eq!(AddCheckpoint::parse(most.as_bytes()).unwrap().proof.len(), MAX_PROOF_HASHES);
    }
}
