//! Cosignatures with ML-DSA-44 against `tests/golden/mldsa-v1.json`, which an independent program made from `docs/format.md` and the
//! pages that it names.

mod cosigned;

use cosigned::{Cosignatures, Key};
use serde::Deserialize;
use tachograph_ledger::cosignature::ML_DSA_44_KEY_BYTES;
use tachograph_ledger::{Hash, Policy, VerifyingKey, WitnessName, WitnessSigningKey, WitnessVerifyingKey};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/mldsa-v1.json");

#[derive(Deserialize)]
struct Vectors {
    #[serde(flatten)]
    common: Cosignatures,
    refused_keys: Vec<RefusedKey>,
}

#[derive(Deserialize)]
struct RefusedKey {
    why: String,
    vkey: String,
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
    for key in vectors().common.witnesses {
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
    vectors().common.are_reproduced_and_verified();
}

#[test]
fn policies_take_keys_of_both_kinds() {
    vectors().common.policies_judge();
}

#[test]
fn bad_policies_are_refused_by_their_line() {
    vectors().common.bad_policies_are_refused();
}

/// Policies of as many witnesses as there may be, each with both keys.
#[test]
fn the_largest_policies_fit() {
    let vectors = vectors();
    let Key { name, public: bytes, .. } = &vectors.common.witnesses[0];
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
    vectors().common.false_ones_reject_the_note();
}
