//! Links between keys against `tests/golden/keys-v1.json`, which an independent program made from `docs/format.md`.

use serde::Deserialize;
use tachograph_ledger::{Checkpoint, KeyHistory, VerifyingKey};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/keys-v1.json");

#[derive(Deserialize)]
struct Vectors {
    first: String,
    links: Vec<Link>,
    checkpoints: Vec<Note>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Link {
    index: u64,
    link: String,
}

#[derive(Deserialize)]
struct Note {
    size: u64,
    note: String,
    good: bool,
}

#[derive(Deserialize)]
struct Refused {
    why: String,
    index: u64,
    link: String,
}

#[test]
fn links_lead_from_the_first_key_to_the_next_and_to_no_other() {
    let vectors: Vectors = serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap();
    let first = || KeyHistory::new(VerifyingKey::parse(&vectors.first).unwrap());
    let mut history = first();
    for Link { index, link } in &vectors.links {
        history.extend(*index, link.as_bytes()).unwrap();
    }
    for Note { size, note, good } in &vectors.checkpoints {
        let opened = Checkpoint::open(note.as_bytes(), &history);
        assert_eq!(opened.is_ok(), *good, "{size}: {opened:?}");
    }
    assert_eq!(vectors.checkpoints.iter().filter(|note| note.good).count(), 8);
    for Refused { why, index, link } in &vectors.refused {
        let mut history = first();
        assert!(history.extend(*index, link.as_bytes()).is_err(), "{why}");
        assert_eq!(history, first(), "{why}");
    }
}
