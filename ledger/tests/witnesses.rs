//! Cosignatures, policies and requests against `tests/golden/witness-v1.json`, which an independent program made from
//! `docs/format.md` and the pages that it names.

use serde::Deserialize;
use tachograph_ledger::{
    AddCheckpoint, Checkpoint, Hash, NoteError, Policy, PolicyError, VerifyingKey, WitnessName, WitnessSigningKey,
    WitnessVerifyingKey, parse_note,
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/witness-v1.json");

#[derive(Deserialize)]
struct Vectors {
    vkey: String,
    witnesses: Vec<Key>,
    checkpoint: String,
    cosignatures: Vec<Cosignature>,
    witnessed: String,
    requests: Vec<Request>,
    policies: Vec<PolicyVector>,
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
struct Request {
    old: u64,
    proof: Vec<String>,
    body: String,
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

fn vectors() -> Vectors {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).expect(VECTORS)).unwrap()
}

fn bytes(hex: &str) -> [u8; 32] {
    *Hash::from_hex(hex).unwrap().as_bytes()
}

#[test]
fn keys_have_their_text_forms() {
    for key in vectors().witnesses {
        let name = WitnessName::parse(&key.name).unwrap();
        let signing = WitnessSigningKey::from_seed(name.clone(), bytes(&key.seed));
        assert_eq!(signing.to_line().as_str(), key.private);
        assert_eq!(signing.public().to_line(), key.vkey);
        assert_eq!(WitnessSigningKey::parse(&key.private).unwrap().public(), signing.public());
        let public = WitnessVerifyingKey::parse(&key.vkey).unwrap();
        assert_eq!(public, WitnessVerifyingKey::from_bytes(name, &bytes(&key.public)).unwrap());
        assert_eq!(public.name().as_str(), key.name);
        // A ledger's key is no witness's, and the other way round.
        VerifyingKey::parse(&key.vkey).unwrap_err();
    }
    WitnessVerifyingKey::parse(&vectors().vkey).unwrap_err();
}

#[test]
fn cosignatures_are_reproduced_and_verified() {
    let vectors = vectors();
    let ledger = VerifyingKey::parse(&vectors.vkey).unwrap();
    let checkpoint = parse_note(vectors.checkpoint.as_bytes()).unwrap();
    let stated = Checkpoint::open(vectors.checkpoint.as_bytes(), &ledger).unwrap();
    let witnessed = parse_note(vectors.witnessed.as_bytes()).unwrap();
    assert_eq!(Checkpoint::open(vectors.witnessed.as_bytes(), &ledger).unwrap().size, 11);
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
fn requests_are_reproduced_and_read() {
    let vectors = vectors();
    for request in &vectors.requests {
        let proof: Vec<Hash> = request.proof.iter().map(|hash| Hash::from_hex(hash).unwrap()).collect();
        let made = AddCheckpoint { old: request.old, proof, checkpoint: &vectors.checkpoint };
        assert_eq!(made.encode(), request.body);
        assert_eq!(AddCheckpoint::parse(request.body.as_bytes()).unwrap(), made);
    }
}

#[test]
fn policies_say_who_cosigned_and_whether_it_is_enough() {
    for vector in vectors().policies {
        let policy = Policy::parse(vector.policy.as_bytes()).unwrap();
        let note = parse_note(vector.note.as_bytes()).unwrap();
        let evaluation = policy.evaluate(&note).unwrap();
        let expected: Vec<_> = vector.cosigned.iter().map(|cosigned| (cosigned.name.as_str(), cosigned.time)).collect();
        let found: Vec<_> = evaluation.cosigned.iter().map(|(by, time)| (by.key.name().as_str(), *time)).collect();
        assert_eq!(found, expected, "{}", vector.policy);
        assert_eq!(evaluation.is_met, vector.is_met, "{}", vector.policy);
    }
}

#[test]
fn bad_policies_are_refused_by_their_line() {
    for refused in vectors().refused_policies {
        let line = match Policy::parse(refused.policy.as_bytes()) {
            Ok(_) => panic!("accepted: {}", refused.why),
            Err(PolicyError::Line { line, .. } | PolicyError::Key { line, .. }) => line,
            Err(PolicyError::NoQuorum) => 0,
            Err(error) => panic!("{}: {error}", refused.why),
        };
        assert_eq!(line, refused.line, "{}", refused.why);
    }
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
