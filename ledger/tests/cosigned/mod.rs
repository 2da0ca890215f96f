//! What golden vectors of cosignatures have in common, whichever keys made them, and the checks that all of them must pass.

use serde::Deserialize;
use tachograph_ledger::{Checkpoint, NoteError, Policy, PolicyError, VerifyingKey, WitnessSigningKey, parse_note};

#[derive(Deserialize)]
pub(crate) struct Cosignatures {
    pub(crate) vkey: String,
    pub(crate) witnesses: Vec<Key>,
    pub(crate) checkpoint: String,
    cosignatures: Vec<Cosignature>,
    witnessed: String,
    policies: Vec<PolicyVector>,
    refused_policies: Vec<RefusedPolicy>,
    refused_notes: Vec<RefusedNote>,
}

#[derive(Deserialize)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) seed: String,
    pub(crate) public: String,
    pub(crate) vkey: String,
    pub(crate) private: String,
}

#[derive(Deserialize)]
struct Cosignature {
    witness: usize,
    time: u64,
    line: String,
}

#[derive(Deserialize)]
struct PolicyVector {
    policy: String,
    note: String,
    is_met: bool,
    cosigned: Vec<Cosigned>,
}

#[derive(Deserialize)]
struct Cosigned {
    name: String,
    time: u64,
}

#[derive(Deserialize)]
struct RefusedPolicy {
    why: String,
    policy: String,
    line: usize,
}

#[derive(Deserialize)]
struct RefusedNote {
    why: String,
    note: String,
}

impl Cosignatures {
    /// Each line is what its witness's key makes, and is read back.
    pub(crate) fn are_reproduced_and_verified(&self) {
        let ledger = VerifyingKey::parse(&self.vkey).unwrap();
        let checkpoint = parse_note(self.checkpoint.as_bytes()).unwrap();
        let stated = Checkpoint::open(self.checkpoint.as_bytes(), &ledger).unwrap();
        let witnessed = parse_note(self.witnessed.as_bytes()).unwrap();
        assert_eq!(Checkpoint::open(self.witnessed.as_bytes(), &ledger).unwrap(), stated);
        assert_eq!(stated.size, 11);
        let mut noted = self.checkpoint.clone();
        for cosignature in &self.cosignatures {
            let key = WitnessSigningKey::parse(&self.witnesses[cosignature.witness].private).unwrap();
            let line = key.cosign(&stated, cosignature.time);
            assert_eq!(line, cosignature.line);
            assert_eq!(key.public().cosigned(&checkpoint), Ok(None));
            assert_eq!(key.public().cosigned(&witnessed), Ok(Some(cosignature.time)));
            assert_eq!(key.public().take(checkpoint.text(), &line).as_ref(), Ok(&line));
            noted.push_str(&line);
        }
        assert_eq!(noted, self.witnessed);
    }

    /// Policies say who cosigned, and whether it is enough.
    pub(crate) fn policies_judge(&self) {
        for vector in &self.policies {
            let policy = Policy::parse(vector.policy.as_bytes()).unwrap();
            let note = parse_note(vector.note.as_bytes()).unwrap();
            let evaluation = policy.evaluate(&note).unwrap();
            let expected: Vec<_> =
                vector.cosigned.iter().map(|cosigned| (cosigned.name.as_str(), cosigned.time)).collect();
            let found: Vec<_> = evaluation.cosigned.iter().map(|(by, time)| (by.key.name().as_str(), *time)).collect();
            assert_eq!(found, expected, "{}", vector.policy);
            assert_eq!(evaluation.is_met, vector.is_met, "{}", vector.policy);
        }
    }

    /// Each bad policy is refused by its line.
    pub(crate) fn bad_policies_are_refused(&self) {
        for refused in &self.refused_policies {
            let line = match Policy::parse(refused.policy.as_bytes()) {
                Ok(_) => panic!("accepted: {}", refused.why),
                Err(PolicyError::Line { line, .. } | PolicyError::Key { line, .. }) => line,
                Err(PolicyError::NoQuorum) => 0,
                Err(error) => panic!("{}: {error}", refused.why),
            };
            assert_eq!(line, refused.line, "{}", refused.why);
        }
    }

    /// A false cosignature of the first witness rejects the note.
    pub(crate) fn false_ones_reject_the_note(&self) {
        let policy = Policy::parse(format!("witness a {}\nquorum a\n", self.witnesses[0].vkey).as_bytes()).unwrap();
        for refused in &self.refused_notes {
            let note = parse_note(refused.note.as_bytes()).unwrap();
            assert!(matches!(policy.evaluate(&note), Err(NoteError::BadSignature { .. })), "accepted: {}", refused.why);
        }
    }
}
