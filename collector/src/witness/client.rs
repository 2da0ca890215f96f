//! One question to one witness: [c2sp.org/tlog-witness](https://c2sp.org/tlog-witness)'s `add-checkpoint`, from the asking side.

use tachograph_ledger::{AddCheckpoint, Hash, NoteError, WitnessVerifyingKey};

use crate::mailbox::Signed;
use crate::outbound::{Answer, Outbound, OutboundError};

/// Bytes of an answer that are taken: those of some seventy cosignatures with ML-DSA-44.
const MAX_ANSWER_BYTES: u64 = 256 << 10;
/// Characters of an answer that are told.
const MAX_TOLD: usize = 200;

/// A witness that can be asked. It may have several keys, and answers with a cosignature of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The first of its keys, after which it is named.
    pub key: WitnessVerifyingKey,
    /// Its other keys.
    pub more_keys: Vec<WitnessVerifyingKey>,
    /// Where `add-checkpoint` is asked.
    pub url: String,
}

impl Witness {
    /// All of its keys.
    pub fn keys(&self) -> impl Iterator<Item = &WitnessVerifyingKey> {
        std::iter::once(&self.key).chain(&self.more_keys)
    }
}

/// Whoever carries questions to witnesses.
pub trait Carrier: Send + Sync {
    /// Posts `body` and gives the whole answer.
    ///
    /// # Errors
    /// If there is none.
    fn post(&self, url: &str, body: &[u8]) -> Result<Answer, OutboundError>;
}

impl Carrier for Outbound {
    fn post(&self, url: &str, body: &[u8]) -> Result<Answer, OutboundError> {
        self.post(url, &[("content-type", "text/plain; charset=utf-8")], body, MAX_ANSWER_BYTES)
    }
}

/// Proofs that the tree of so many records continues the tree of fewer.
pub trait Proofs: Send + Sync {
    /// The proof from `old` to `new` records.
    ///
    /// # Errors
    /// If the archive can't be read, or never had a checkpoint of `old` records.
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, NoProof>;
}

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProof {
    /// No checkpoint of the older size was ever signed here.
    NoSuchTree,
    /// The archive can't be read, or is damaged.
    Unreadable(String),
}

/// Why a witness did not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No answer.
    #[error("{0}")]
    Unanswered(String),
    /// An answer, but no cosignature.
    #[error("{0}")]
    Refused(String),
    /// It has seen another history than this one. A person must look.
    #[error("{0}")]
    Fork(String),
    /// We can't prove what it needs.
    #[error("no consistency proof from {old} to {new} records: {what}")]
    NoProof {
        /// What the witness has seen.
        old: u64,
        /// What it is to see.
        new: u64,
        /// Why.
        what: String,
    },
}

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// What the witness has seen, as far as its answers tell.
    pub seen: Option<u64>,
    /// The good signature lines of its keys.
    pub lines: String,
    /// Whether each of its keys has cosigned.
    pub cosigned: Result<(), Failure>,
}

/// Asks `witness` to cosign a checkpoint, which has `text` before its signatures. `known` is what it has seen as we remember; if it says
/// otherwise it is asked once more.
pub fn ask(
    carrier: &dyn Carrier,
    proofs: &dyn Proofs,
    witness: &Witness,
    (signed, text): (&Signed, &str),
    known: u64,
) -> Asked {
    // What it has seen beyond us it will say itself.
    let known = if known > signed.size { 0 } else { known };
    let post = |old| post(carrier, proofs, witness, signed, old);
    let mut seen = None;
    let answered = post(known).and_then(|posted| {
        seen = conflict(&posted.answer);
        match seen {
            Some(theirs) if theirs != posted.old && theirs <= signed.size => post(theirs),
            _ => Ok(posted),
        }
    });
    let judged = answered.and_then(|posted| judge(&posted, witness, text, signed.size));
    match judged {
        Ok((lines, cosigned)) => Asked { seen: Some(signed.size), lines, cosigned },
        Err(failure) => Asked { seen, lines: String::new(), cosigned: Err(failure) },
    }
}

/// An answer, and what was asked.
struct Posted {
    answer: Answer,
    /// The size that the proof begins at.
    old: u64,
    /// This ledger never had a checkpoint of that size: there was no proof to send.
    is_unprovable: bool,
}

fn post(
    carrier: &dyn Carrier,
    proofs: &dyn Proofs,
    witness: &Witness,
    signed: &Signed,
    old: u64,
) -> Result<Posted, Failure> {
    let new = signed.size;
    let mut is_unprovable = false;
    let proof = match old {
        0 => Vec::new(),
        old if old == new => Vec::new(),
        old => proofs.consistency(old, new).or_else(|no_proof| match no_proof {
            // The witness is to see it all the same, and to keep what it refuses: it may be the only one who knows of both histories.
            NoProof::NoSuchTree => {
                is_unprovable = true;
                Ok(Vec::new())
            }
            NoProof::Unreadable(what) => Err(Failure::NoProof { old, new, what }),
        })?,
    };
    let request = AddCheckpoint { old, proof, checkpoint: &signed.note };
    match carrier.post(&witness.url, request.encode().as_bytes()) {
        Ok(answer) => Ok(Posted { answer, old, is_unprovable }),
        Err(_) if is_unprovable => Err(no_such_tree(old, new)),
        Err(error) => Err(Failure::Unanswered(error.to_string())),
    }
}

fn no_such_tree(old: u64, new: u64) -> Failure {
    other_history(old, new, "no commit of this archive ends there")
}

/// The last answer: the lines in it, and whether all are there.
fn judge(posted: &Posted, witness: &Witness, text: &str, new: u64) -> Result<(String, Result<(), Failure>), Failure> {
    let Posted { answer, old, is_unprovable } = posted;
    match answer.status {
        // Whatever it says: it could not see that this continues what it cosigned.
        _ if *is_unprovable => Err(no_such_tree(*old, new)),
        200 => take(witness, text, &String::from_utf8_lossy(&answer.body))
            .map_err(|error| Failure::Refused(format!("it answered without a good cosignature: {error}"))),
        409 => match conflict(answer) {
            Some(theirs) if theirs > new => Err(ahead(theirs, new)),
            _ => Err(refused(answer)),
        },
        // The proof is from this archive, so that the witness has seen another one; or this one was changed.
        422 if *old > 0 => {
            Err(other_history(*old, new, "it refuses the proof that the newest checkpoint continues it"))
        }
        404 => Err(Failure::Refused(
            "it does not follow this ledger: have its operator run `tachograph witness add DIR VKEY`".to_owned(),
        )),
        403 => Err(Failure::Refused(format!(
            "it takes other keys for this ledger: have its operator compare ledger.vkey, and the links of changed keys ({})",
            told(&answer.body)
        ))),
        _ => Err(refused(answer)),
    }
}

/// What its keys cosigned in an answer. That one of several did not is no reason to throw the others away: a witness whose second key
/// was given away before it signs with it still counts with its first.
///
/// # Errors
/// If there is nothing of any key, or something false.
fn take(witness: &Witness, text: &str, answer: &str) -> Result<(String, Result<(), Failure>), NoteError> {
    let (mut lines, mut missing) = (String::new(), None);
    for key in witness.keys() {
        match key.take(text, answer) {
            Ok(line) => lines.push_str(&line),
            Err(error @ NoteError::NotSigned { .. }) => missing = missing.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    match missing {
        None => Ok((lines, Ok(()))),
        Some(error) if lines.is_empty() => Err(error),
        Some(error) => {
            let what = format!("it answered without the cosignature of one of its keys: {error}");
            Ok((lines, Err(Failure::Refused(what))))
        }
    }
}

fn other_history(old: u64, new: u64, why: &str) -> Failure {
    Failure::Fork(format!(
        "it has cosigned a checkpoint of {old} records, which this ledger of {new} records does not continue: {why}. It was shown another history of \
         this ledger, or the archive was changed. Look for a second collector with this key, and compare with the checkpoint that the witness keeps"
    ))
}

fn ahead(theirs: u64, ours: u64) -> Failure {
    Failure::Fork(format!(
        "it has cosigned a checkpoint of {theirs} records, but this archive has only {ours}: the ledger was rolled back, or a second collector \
         with this key is ahead. Stop, and restore journal and archive from the newest copy"
    ))
}

fn refused(answer: &Answer) -> Failure {
    Failure::Refused(format!("it answered with status {}: {}", answer.status, told(&answer.body)))
}

/// What the witness has seen, if it says that it is not what we believe: a number and a newline.
fn conflict(answer: &Answer) -> Option<u64> {
    let text = std::str::from_utf8(&answer.body).ok().filter(|_| answer.status == 409)?;
    let digits = text.strip_suffix('\n').unwrap_or(text);
    if digits.len() > 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The beginning of what a stranger answered, fit for a log.
fn told(body: &[u8]) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(body).trim().chars().take(MAX_TOLD).map(plain).collect()
}

#[cfg(test)]
mod tests;
