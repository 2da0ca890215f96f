//! The public API against `tests/golden/ledger-v1.json` and `commit-v2.json`, which an independent program made from
//! `docs/format.md`.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tachograph_ledger::{
    ChainVerifier, Checkpoint, Commit, CommitError, Edge, Entry, Hash, Leaf, LedgerName, Lock, MacKey, MacScheme,
    ObjectKind, Sealer, SigningKey, Terms, VerifyingKey, consistency_proof, epoch_of, genesis, inclusion_proof,
    leaf_hash, root_of, sha256, verify_consistency, verify_inclusion,
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/ledger-v1.json");
const COMMITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/commit-v2.json");

#[derive(Deserialize)]
struct Key {
    name: String,
    seed: String,
    public: String,
    vkey: String,
    private: String,
}

#[derive(Deserialize)]
struct Record {
    body: String,
    leaf: String,
    hash: String,
    mac: String,
}

#[derive(Deserialize)]
struct Tree {
    size: u64,
    root: String,
    edge: Vec<String>,
}

#[derive(Deserialize)]
struct Inclusion {
    index: u64,
    size: u64,
    proof: Vec<String>,
}

#[derive(Deserialize)]
struct Consistency {
    old: u64,
    new: u64,
    proof: Vec<String>,
}

#[derive(Deserialize)]
struct EpochKey {
    epoch: u64,
    key: String,
}

#[derive(Deserialize)]
struct MacVector {
    index: u64,
    hash: String,
    mac: String,
}

#[derive(Deserialize)]
struct CommitVector {
    note: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Refused {
    why: String,
    note: String,
}

fn vector<T: DeserializeOwned>(member: &str) -> T {
    vector_of(VECTORS, member)
}

fn vector_of<T: DeserializeOwned>(file: &str, member: &str) -> T {
    let text = std::fs::read_to_string(file).expect(file);
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(file[member].take()).expect(member)
}

fn hash(hex: &str) -> Hash {
    Hash::from_hex(hex).unwrap()
}

fn hashes(hex: &[String]) -> Vec<Hash> {
    hex.iter().map(|hex| hash(hex)).collect()
}

fn leaf_hashes() -> Vec<Hash> {
    vector::<Vec<Record>>("records").iter().map(|record| hash(&record.hash)).collect()
}

fn signing_key() -> SigningKey {
    SigningKey::parse(&vector::<Key>("key").private).unwrap()
}

fn first_mac_key() -> [u8; 32] {
    *hash(&vector::<Vec<EpochKey>>("mac_keys")[0].key).as_bytes()
}

#[test]
fn keys_have_their_text_forms() {
    let key: Key = vector("key");
    let name = LedgerName::parse(&key.name).unwrap();
    let signing = SigningKey::from_seed(name, *hash(&key.seed).as_bytes());
    assert_eq!(signing.to_line().as_str(), key.private);
    assert_eq!(signing.public().to_line(), key.vkey);
    assert_eq!(signing.public().as_bytes(), hash(&key.public).as_bytes());
    assert_eq!(VerifyingKey::parse(&key.vkey).unwrap(), signing.public());
    assert_eq!(signing_key().public(), signing.public());
    assert_eq!(genesis(&key.vkey), hash(&vector::<String>("genesis")));
}

#[test]
fn the_verifier_takes_the_chain() {
    let key = signing_key().public();
    let mut verifier = ChainVerifier::new(&key);
    for (index, record) in (0..).zip(vector::<Vec<Record>>("records")) {
        let leaf = verifier.push(index, record.leaf.as_bytes(), &hash(&record.hash)).unwrap();
        assert_eq!(leaf.body_sha256, sha256(record.body.as_bytes()));
        assert_eq!(leaf.body_len, record.body.len() as u64);
    }
    let trees: Vec<Tree> = vector("trees");
    let last = trees.last().unwrap();
    assert_eq!(verifier.next_index(), last.size);
    assert_eq!(verifier.edge().root(), hash(&last.root));
}

#[test]
fn the_sealer_makes_the_same_chain() {
    let mut sealer = Sealer::new(&signing_key().public(), MacKey::initial(MacScheme::V1, first_mac_key())).unwrap();
    for record in vector::<Vec<Record>>("records") {
        let leaf = Leaf::parse(record.leaf.as_bytes()).unwrap();
        let entry = Entry {
            body_len: record.body.len() as u64,
            body_sha256: sha256(record.body.as_bytes()),
            event_time: leaf.event_time,
            kind: leaf.kind,
            producer: leaf.producer,
            producer_epoch: leaf.producer_epoch,
            producer_seq: leaf.producer_seq,
            sealed_at: leaf.sealed_at,
            span_id: leaf.span_id,
            trace_id: leaf.trace_id,
        };
        let mut leaves = Vec::new();
        let sealed = sealer.seal(entry, &mut leaves).unwrap();
        assert_eq!(String::from_utf8(leaves).unwrap(), record.leaf);
        assert_eq!(sealed.hash, hash(&record.hash));
        assert_eq!(sealed.mac, *hash(&record.mac).as_bytes());
    }
}

#[test]
fn reserved_members_are_read_and_written() {
    let vector: serde_json::Value = vector("leaf_with_reserved_members");
    let bytes = vector["leaf"].as_str().unwrap().as_bytes();
    let leaf = Leaf::parse(bytes).unwrap();
    assert_eq!(leaf.dek_id, Some("key 1/{a}"));
    assert_eq!(leaf.stream_seq, Some(7));
    let mut encoded = Vec::new();
    leaf.encode_into(&mut encoded);
    assert_eq!(encoded, bytes);
    assert_eq!(leaf_hash(bytes), hash(vector["hash"].as_str().unwrap()));
}

#[test]
fn trees_and_proofs_agree() {
    let leaves = leaf_hashes();
    let trees: Vec<Tree> = vector("trees");
    for tree in &trees {
        let edge = Edge::from_parts(tree.size, hashes(&tree.edge)).unwrap();
        assert_eq!(edge.root(), hash(&tree.root));
        assert_eq!(root_of(&leaves[..tree.size as usize]), hash(&tree.root));
    }
    let root = |size: u64| hash(&trees[size as usize].root);
    for Inclusion { index, size, proof } in vector::<Vec<Inclusion>>("inclusion") {
        let proof = hashes(&proof);
        assert_eq!(inclusion_proof(&leaves, index, size).unwrap(), proof, "{index} of {size}");
        verify_inclusion(&leaves[index as usize], index, size, &proof, &root(size)).unwrap();
    }
    for Consistency { old, new, proof } in vector::<Vec<Consistency>>("consistency") {
        let proof = hashes(&proof);
        assert_eq!(consistency_proof(&leaves, old, new).unwrap(), proof, "{old} to {new}");
        verify_consistency(old, &root(old), new, &root(new), &proof).unwrap();
    }
}

#[test]
fn mac_keys_evolve_and_macs_agree() {
    for EpochKey { epoch, key } in vector::<Vec<EpochKey>>("mac_keys") {
        let evolved = MacKey::initial(MacScheme::V1, first_mac_key()).evolve_to(epoch).unwrap();
        assert_eq!(evolved.expose(), hash(&key).as_bytes());
    }
    let name = signing_key().name().clone();
    for MacVector { index, hash: of, mac } in vector::<Vec<MacVector>>("macs") {
        let key = MacKey::initial(MacScheme::V1, first_mac_key()).evolve_to(epoch_of(index)).unwrap();
        assert_eq!(key.mac(&name, index, &hash(&of)).unwrap(), *hash(&mac).as_bytes());
    }
}

#[test]
fn checkpoints_are_read_and_reproduced() {
    let key = signing_key();
    let trees: Vec<Tree> = vector("trees");
    let notes: Vec<String> = vector("checkpoints");
    assert_eq!(notes.len(), 4);
    for note in notes {
        let checkpoint = Checkpoint::open(note.as_bytes(), &key.public()).unwrap();
        assert_eq!(checkpoint.root, hash(&trees[checkpoint.size as usize].root));
        assert_eq!(checkpoint.sign(&key).unwrap(), note);
    }
}

#[test]
fn commits_are_read_and_reproduced() {
    let key = signing_key();
    let leaves = leaf_hashes();
    let (mut previous, mut end) = (Hash::from_bytes([0; 32]), 0);
    let commits: Vec<CommitVector> = vector("commits");
    for CommitVector { note, sha256: digest } in commits {
        let commit = Commit::open(note.as_bytes(), &key.public()).unwrap();
        assert_eq!((commit.first, commit.prev_commit_sha256), (end, previous));
        assert_eq!(commit.root, root_of(&leaves[..commit.end() as usize]));
        assert_eq!(commit.last_hash, leaves[commit.end() as usize - 1]);
        assert_eq!(commit.objects[0].kind, ObjectKind::Leaves);
        assert_eq!(commit.sign(&key).unwrap(), note);
        assert_eq!(sha256(note.as_bytes()), hash(&digest));
        (previous, end) = (hash(&digest), commit.end());
    }
    assert_eq!(end, leaves.len() as u64);
}

#[test]
fn commits_of_both_versions_are_read_and_reproduced() {
    let key = signing_key();
    assert_eq!(key.public().to_line(), vector_of::<String>(COMMITS, "vkey"));
    let (mut previous, mut end, mut terms) = (Hash::from_bytes([0; 32]), 0, Vec::new());
    let mut root = previous;
    for CommitVector { note, sha256: digest } in vector_of::<Vec<CommitVector>>(COMMITS, "commits") {
        let commit = Commit::open(note.as_bytes(), &key.public()).unwrap();
        assert_eq!((commit.first, commit.prev_commit_sha256), (end, previous));
        assert_eq!(commit.sign(&key).unwrap(), note);
        assert_eq!(sha256(note.as_bytes()), hash(&digest));
        (previous, end, root) = (hash(&digest), commit.end(), commit.root);
        let dates: Vec<Option<u64>> = commit.objects.iter().map(|object| object.retain_until).collect();
        terms.push((commit.terms, dates));
    }
    assert_eq!(root, hash(&vector_of::<String>(COMMITS, "root")));
    let of = |lock, days: u64, writer: &str| Terms {
        lock,
        retain_until: 1_790_000_001 + days * 86_400,
        writer: writer.to_owned(),
    };
    let after = |days: &[u64]| days.iter().map(|days| Some(1_790_000_001 + days * 86_400)).collect::<Vec<_>>();
    // The years of these vectors are 365.25 days.
    let years = |years: &[u64]| years.iter().map(|years| Some(1_790_000_001 + years * 31_557_600)).collect::<Vec<_>>();
    assert_eq!(terms[0], (None, vec![None, None]));
    assert_eq!(terms[1], (Some(of(Lock::None, 760, "host-1:4711:0011223344556677")), after(&[760, 730, 365])));
    let locked = Terms { retain_until: years(&[11])[0].unwrap(), ..of(Lock::Compliance, 0, &"x".repeat(128)) };
    assert_eq!(terms[2], (Some(locked), years(&[11, 2, 10, 11])));
    assert_eq!(terms.len(), 3);
}

#[test]
fn what_a_reader_must_refuse_is_refused() {
    let key = signing_key();
    let latest: String = vector_of(COMMITS, "latest_date");
    let commit = Commit::open(latest.as_bytes(), &key.public()).unwrap();
    assert_eq!(commit.terms.as_ref().unwrap().retain_until, 9_223_372_036);
    assert_eq!(commit.sign(&key).unwrap(), latest);
    let refused: Vec<Refused> = vector_of(COMMITS, "refused");
    assert!(refused.len() >= 20);
    for Refused { why, note } in refused {
        // The signature is good: it is what was signed that is not.
        let error = Commit::open(note.as_bytes(), &key.public()).expect_err(&why);
        assert!(!matches!(error, CommitError::Note(_)), "{why}: {error}");
    }
}
