//! Cosignatures with ML-DSA-44 against `tests/golden/mldsa-v1.json`, which an independent program made from `docs/format.md` and the
//! pages that it names.

use serde::Deserialize;
use tachograph_ledger::cosignature::ML_DSA_44_KEY_BYTES;
use tachograph_ledger::{
    Checkpoint, Hash, NoteError, Policy, PolicyError, VerifyingKey, WitnessName, WitnessSigningKey,
    WitnessVerifyingKey, parse_note,
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/mldsa-v1.json");

#[derive(Deserialize)]
struct Vectors {
    vkey: String,
    witnesses: Vec<Key>,
    checkpoint: String,
    cosignatures: Vec<Cosignature>,
    witnessed: String,
    policies: Vec<PolicyVector>,
    refused_keys: Vec<RefusedKey>,
    refused_policies: Vec<RefusedPolicy>,
    refused_notes: Vec<RefusedNote>,
}

#[derive(Deserialize)]
struct Key {
    name: String,
    seed: String,
    public: String,
    vkey: String,
    private: String,
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
struct RefusedKey {
    why: String,
    vkey: String,
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

fn vectors() -> Vectors {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).expect(VECTORS)).unwrap()
}

fn seed(hex: &str) -> [u8; 32] {
    *Hash::from_hex(hex).unwrap().as_bytes()
}

fn public(hex: &str) -> [u8; ML_DSA_44_KEY_BYTES] {
    assert_eq!(hex.len(), 2 * ML_DSA_44_KEY_BYTES);
    std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
}

#[test]
fn keys_have_their_text_forms() {
    for key in vectors().witnesses {
        let name = WitnessName::parse(&key.name).unwrap();
        let signing = WitnessSigningKey::ml_dsa_44(name.clone(), seed(&key.seed));
        assert_eq!(signing.to_line().as_str(), key.private);
        assert_eq!(signing.public().to_line(), key.vkey);
        assert_eq!(WitnessSigningKey::parse(&key.private).unwrap().public(), signing.public());
        let public = WitnessVerifyingKey::ml_dsa_44(name, &public(&key.public));
        assert_eq!(WitnessVerifyingKey::parse(&key.vkey).unwrap(), public);
        assert!(public.is_post_quantum());
        // It is no ledger's.
        VerifyingKey::parse(&key.vkey).unwrap_err();
    }
}

#[test]
fn keys_in_another_form_are_refused() {
    for refused in vectors().refused_keys {
        assert!(WitnessVerifyingKey::parse(&refused.vkey).is_err(), "accepted: {}", refused.why);
    }
}

#[test]
fn cosignatures_are_reproduced_and_verified() {
    let vectors = vectors();
    let ledger = VerifyingKey::parse(&vectors.vkey).unwrap();
    let checkpoint = parse_note(vectors.checkpoint.as_bytes()).unwrap();
    let stated = Checkpoint::open(vectors.checkpoint.as_bytes(), &ledger).unwrap();
    let witnessed = parse_note(vectors.witnessed.as_bytes()).unwrap();
    assert_eq!(Checkpoint::open(vectors.witnessed.as_bytes(), &ledger).unwrap(), stated);
    let mut noted = vectors.checkpoint.clone();
    for cosignature in &vectors.cosignatures {
        let key = WitnessSigningKey::parse(&vectors.witnesses[cosignature.witness].private).unwrap();
        let line = key.cosign(&stated, cosignature.time);
        assert_eq!(line, cosignature.line);
        assert_eq!(key.public().cosigned(&checkpoint), Ok(None));
        assert_eq!(key.public().cosigned(&witnessed), Ok(Some(cosignature.time)));
        assert_eq!(key.public().take(checkpoint.text(), &line).as_ref(), Ok(&line));
        noted.push_str(&line);
    }
    assert_eq!(noted, vectors.witnessed);
}

#[test]
fn policies_take_keys_of_both_kinds() {
    for vector in vectors().policies {
        let policy = Policy::parse(vector.policy.as_bytes()).unwrap();
        let note = parse_note(vector.note.as_bytes()).unwrap();
        let evaluation = policy.evaluate(&note).unwrap();
        let expected: Vec<_> = vector.cosigned.iter().map(|cosigned| (cosigned.name.as_str(), cosigned.time)).collect();
        let found: Vec<_> = evaluation.cosigned.iter().map(|(by, time)| (by.key.name().as_str(), *time)).collect();
        assert_eq!(found, expected, "{:.99}", vector.policy);
        assert_eq!(evaluation.is_met, vector.is_met, "{:.99}", vector.policy);
    }
}

#[test]
fn bad_policies_are_refused_by_their_line() {
    for refused in vectors().refused_policies {
        let line = match Policy::parse(refused.policy.as_bytes()) {
            Ok(_) => panic!("accepted: {}", refused.why),
            Err(PolicyError::Line { line, .. } | PolicyError::Key { line, .. }) => line,
            Err(error) => panic!("{}: {error}", refused.why),
        };
        assert_eq!(line, refused.line, "{}", refused.why);
    }
}

/// Policies of as many witnesses as there may be, each with both keys.
#[test]
fn the_largest_policies_fit() {
    let vectors = vectors();
    let Key { name, public: bytes, .. } = &vectors.witnesses[0];
    let (name, bytes) = (WitnessName::parse(name).unwrap(), public(bytes));
    let line = |at: u8| {
        let mut bytes = bytes;
        bytes[0] = at;
        let key = WitnessVerifyingKey::ml_dsa_44(name.clone(), &bytes);
        format!("witness w{at} {} https://witness.example/{}\n", key.to_line(), "x".repeat(200))
    };
    let policy: String = (0..64).map(line).collect();
    assert_eq!(Policy::parse(format!("{policy}quorum w1\n").as_bytes()).unwrap().witnesses().len(), 64);
}

#[test]
fn a_false_cosignature_rejects_the_note() {
    let vectors = vectors();
    let policy = Policy::parse(format!("witness a {}\nquorum a\n", vectors.witnesses[0].vkey).as_bytes()).unwrap();
    for refused in &vectors.refused_notes {
        let note = parse_note(refused.note.as_bytes()).unwrap();
        assert!(matches!(policy.evaluate(&note), Err(NoteError::BadSignature { .. })), "accepted: {}", refused.why);
    }
}
