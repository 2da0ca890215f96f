//! Which witnesses' cosignatures are enough: a policy as [c2sp.org/tlog-policy](https://c2sp.org/tlog-policy) writes it.
//!
//! ```text
//! log     <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group   <name> all|any|<k> <member>…
//! quorum  <name>|none
//! ```
//!
//! Invariants: a name is defined before it is used and is a member once, so that groups are trees and each witness counts in one way
//! only; keys have type 0x01 or 0x02 for logs, and 0x04 or 0x06 for witnesses, and no two witnesses have one key. A witness may have a key of each
//! type, on a line each; no group counts both towards a number.

use std::collections::BTreeMap;

use crate::cosignature::WitnessVerifyingKey;
use crate::note::{KeyError, Note, NoteError, VerifyingKey};

mod parse;

/// Longest policy.
pub const MAX_POLICY_BYTES: usize = 256 << 10;

/// Most logs, most witnesses, and most groups of a policy.
pub const MAX_POLICY_ENTRIES: usize = 64;

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Quorum,
    /// As the policy names it.
    quorum_name: String,
}

/// A log that the policy accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    /// Its key.
    pub key: VerifyingKey,
    /// Where it is.
    pub url: Option<String>,
}

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// What the policy calls it; bytes that are not UTF-8 are replaced. It means nothing outside of the policy.
    pub name: String,
    /// Its key.
    pub key: WitnessVerifyingKey,
    /// What its requests begin with.
    pub url: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    /// So many of the members must have witnessed.
    threshold: usize,
    members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quorum {
    None,
    Of(Member),
}

/// Why bytes are no policy. Each names its line and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`MAX_POLICY_BYTES`].
    #[error("the policy has {bytes} bytes, the limit is {MAX_POLICY_BYTES}")]
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
    /// Something about one line.
    #[error("line {line} of the policy: {what}")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// What is wrong and what to do.
        what: String,
    },
    /// The key on a line.
    #[error("line {line} of the policy: {source}")]
    Key {
        /// Which one, from 1.
        line: usize,
        /// What is wrong.
        source: KeyError,
    },
    /// Without it a policy says nothing.
    #[error("the policy has no quorum line: end it with `quorum NAME`, a witness or group, or `quorum none`")]
    NoQuorum,
}

/// What a note's cosignatures amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation<'p> {
    /// Witnesses that cosigned it, and when, in seconds since 1970.
    pub cosigned: Vec<(&'p PolicyWitness, u64)>,
    /// Whether the quorum is met. With `quorum none` it is, by nobody.
    pub is_met: bool,
}

impl Policy {
    /// Reads a policy.
    pub fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        parse::parse(text)
    }

    /// The logs that it accepts; none means that it leaves that to others.
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The witnesses, in the order of their lines.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether it asks for any cosignature: not with `quorum none`.
    pub fn asks_for_witnesses(&self) -> bool {
        self.quorum != Quorum::None
    }

    /// What the quorum is, for people: `2 of 3 (group few)`, `w1`.
    pub fn quorum(&self) -> String {
        match self.quorum {
            Quorum::None => "none".to_owned(),
            Quorum::Of(Member::Witness(_)) => self.quorum_name.clone(),
            Quorum::Of(Member::Group(at)) => {
                let group = &self.groups[at];
                format!("{} of {} (group {})", group.threshold, group.members.len(), self.quorum_name)
            }
        }
    }

    /// Whether those witnesses (by their place in [`witnesses`](Self::witnesses)) are a quorum.
    pub fn is_met_by(&self, witnessed: impl Fn(usize) -> bool) -> bool {
        let Quorum::Of(quorum) = self.quorum else { return true };
        // Members stand before their groups, so that one pass answers all.
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let is_met = |member: &Member, groups: &[bool]| match *member {
            Member::Witness(at) => witnessed(at),
            Member::Group(at) => groups[at],
        };
        for group in &self.groups {
            let met = group.members.iter().filter(|member| is_met(member, &groups)).count();
            groups.push(met >= group.threshold);
        }
        is_met(&quorum, &groups)
    }

    /// Who of the policy's witnesses cosigned the note, and whether that is enough. The log's own signature is another question.
    ///
    /// # Errors
    /// If a line claims to be of a witness of the policy and is not.
    pub fn evaluate(&self, note: &Note) -> Result<Evaluation<'_>, NoteError> {
        let mut times = BTreeMap::new();
        for (at, witness) in self.witnesses.iter().enumerate() {
            if let Some(time) = witness.key.cosigned(note)? {
                times.insert(at, time);
            }
        }
        let is_met = self.is_met_by(|at| times.contains_key(&at));
        let cosigned = times.into_iter().map(|(at, time)| (&self.witnesses[at], time)).collect();
        Ok(Evaluation { cosigned, is_met })
    }
}

#[cfg(test)]
mod tests;
