//! Cosignatures, policies and requests against `tests/golden/witness-v1.json`, which an independent program made from
//! `docs/format.md` and the pages that it names.

mod cosigned;

use cosigned::Cosignatures;
use serde::Deserialize;
use tachograph_ledger::{AddCheckpoint, Hash, VerifyingKey, WitnessName, WitnessSigningKey, WitnessVerifyingKey};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/witness-v1.json");

#[derive(Deserialize)]
struct Vectors {
    #[serde(flatten)]
    common: Cosignatures,
    requests: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    old: u64,
    proof: Vec<String>,
    body: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).expect(VECTORS)).unwrap()
}

fn bytes(hex: &str) -> [u8; 32] {
    *Hash::from_hex(hex).unwrap().as_bytes()
}

#[test]
fn keys_have_their_text_forms() {
    for key in vectors().common.witnesses {
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
    WitnessVerifyingKey::parse(&vectors().common.vkey).unwrap_err();
}

#[test]
fn cosignatures_are_reproduced_and_verified() {
    vectors().common.are_reproduced_and_verified();
}

#[test]
fn requests_are_reproduced_and_read() {
    let vectors = vectors();
    for request in &vectors.requests {
        let proof: Vec<Hash> = request.proof.iter().map(|hash| Hash::from_hex(hash).unwrap()).collect();
        let made = AddCheckpoint { old: request.old, proof, checkpoint: &vectors.common.checkpoint };
        assert_eq!(made.encode(), request.body);
        assert_eq!(AddCheckpoint::parse(request.body.as_bytes()).unwrap(), made);
    }
}

#[test]
fn policies_say_who_cosigned_and_whether_it_is_enough() {
    vectors().common.policies_judge();
}

#[test]
fn bad_policies_are_refused_by_their_line() {
    vectors().common.bad_policies_are_refused();
}

#[test]
fn a_false_cosignature_rejects_the_note() {
    vectors().common.false_ones_reject_the_note();
}
