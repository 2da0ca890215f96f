//! The details of a ledger's first record against `tests/golden/continues-v1.json`, which an independent program made from
//! `docs/format.md`.

use serde::Deserialize;
use tachograph_ledger::Continues;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/continues-v1.json");

#[derive(Deserialize)]
struct Vectors {
    good: Vec<Good>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Good {
    details: String,
    ledger: String,
    vkey: String,
    size: String,
    checkpoint: String,
}

#[derive(Deserialize)]
struct Refused {
    why: String,
    details: String,
}

#[test]
fn details_are_read_and_reproduced_and_others_refused() {
    let vectors: Vectors = serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap();
    assert_eq!(vectors.good.len(), 2);
    for good in vectors.good {
        let says = Continues::parse(&good.details).unwrap();
        let found = (says.ledger().to_string(), says.vkey().to_line(), says.size().to_string());
        assert_eq!(found, (good.ledger, good.vkey, good.size));
        assert_eq!(says.checkpoint(), good.checkpoint);
        assert_eq!(Continues::new(says.vkey().clone(), &good.checkpoint).unwrap().details(), good.details);
    }
    assert!(vectors.refused.len() > 10);
    for Refused { why, details } in vectors.refused {
        assert!(Continues::parse(&details).is_err(), "{why}");
    }
}
