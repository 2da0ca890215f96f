//! Streams against `tests/golden/streams-v1.json`, which an independent program made from `docs/format.md`.

use serde::Deserialize;
use tachograph_ledger::stream::{EntryProof, StreamEntry, StreamEvent, in_generation};
use tachograph_ledger::{
    Hash, Leaf, LedgerName, StreamId, StreamKey, StreamKind, StreamPlace, StreamSecret, StreamTracker, leaf_hash,
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/streams-v1.json");

#[derive(Deserialize)]
struct Vectors {
    ledger: String,
    stream_key: String,
    key_id: String,
    secrets: Vec<Secret>,
    leaves: Vec<String>,
    generations: Vec<Stated>,
}

#[derive(Deserialize)]
struct Secret {
    kind: String,
    id: String,
    secret: String,
    ids: [String; 4],
}

#[derive(Deserialize)]
struct Stated {
    closed: usize,
    statement: String,
    entries: Vec<String>,
    proofs: Vec<Vec<Proof>>,
}

#[derive(Deserialize)]
struct Proof {
    entry: String,
    path: Vec<String>,
    position: String,
}

impl Proof {
    fn read(&self) -> EntryProof {
        EntryProof {
            position: self.position.parse().unwrap(),
            entry: StreamEntry::parse(&self.entry).unwrap(),
            path: self.path.iter().map(|hash| Hash::from_hex(hash).unwrap()).collect(),
        }
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap()
}

#[test]
fn secrets_and_ids() {
    let vectors = vectors();
    let ledger = LedgerName::parse(&vectors.ledger).unwrap();
    let key = StreamKey::new(*Hash::from_hex(&vectors.stream_key).unwrap().as_bytes());
    assert_eq!(key.id().to_hex(), vectors.key_id);
    for stream in &vectors.secrets {
        let secret = key.secret(StreamKind::parse(&stream.kind).unwrap(), &stream.id);
        assert_eq!(secret.to_hex(), stream.secret);
        for (generation, id) in [0, 1, 9, 1 << 40].into_iter().zip(&stream.ids) {
            assert_eq!(secret.id(&ledger, generation).to_string(), *id);
        }
    }
}

#[test]
fn leaves_and_statements() {
    let vectors = vectors();
    let mut tracker = StreamTracker::default();
    let mut closed = Vec::new();
    for (index, bytes) in vectors.leaves.iter().enumerate() {
        let leaf = Leaf::parse(bytes.as_bytes()).unwrap();
        let open = tracker.generation().cloned();
        if let StreamEvent::Closed(statement) = tracker.push(&leaf, &leaf_hash(bytes.as_bytes())).unwrap() {
            closed.push((index, statement, open.unwrap()));
        }
    }
    assert_eq!(closed.len(), vectors.generations.len());
    let ledger = LedgerName::parse(&vectors.ledger).unwrap();
    for ((index, statement, generation), stated) in closed.iter().zip(&vectors.generations) {
        assert_eq!((*index, statement.to_string()), (stated.closed, stated.statement.clone()));
        let leaf = Leaf::parse(vectors.leaves[*index].as_bytes()).unwrap();
        assert_eq!(StreamPlace::of(&leaf), Ok(StreamPlace::Closed(*statement)));
        for (stream, proof) in vectors.secrets.iter().zip(&stated.proofs) {
            let id: StreamId = StreamSecret::from_hex(&stream.secret).unwrap().id(&ledger, statement.first);
            let proof: Vec<EntryProof> = proof.iter().map(Proof::read).collect();
            assert_eq!(generation.prove(&id), proof);
            let entry = stated.entries.iter().find(|entry| entry.starts_with(&id.to_string()));
            let tail = in_generation(statement, &id, &proof).unwrap();
            assert_eq!(tail.map(|tail| StreamEntry { id, tail }.encode()).as_ref(), entry);
        }
    }
}
