//! Keys on the curve P-256 against `tests/golden/p256-v1.json`, which an independent program made from `docs/format.md`.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use serde::Deserialize;
use tachograph_ledger::{
    Checkpoint, Commit, FalseSignature, Hash, KeyError, LedgerName, NoteError, SignError, Signer, VerifyingKey,
    WitnessVerifyingKey, genesis, parse_note, sha256, sign_note,
};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/p256-v1.json");

#[derive(Deserialize)]
struct Vectors {
    key: Key,
    genesis: String,
    root: String,
    deterministic: String,
    other_signatures_of_it: Vec<String>,
    commits: Vec<CommitVector>,
    refused_keys: Vec<RefusedKey>,
    refused_notes: Vec<RefusedNote>,
}

#[derive(Deserialize)]
struct Key {
    name: String,
    secret: String,
    spki: String,
    vkey: String,
}

#[derive(Deserialize)]
struct CommitVector {
    note: String,
    sha256: String,
}

#[derive(Deserialize)]
struct RefusedKey {
    why: String,
    vkey: String,
}

#[derive(Deserialize)]
struct RefusedNote {
    why: String,
    note: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).expect(VECTORS)).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Stands in for a key service: the same signatures, from a key in memory.
struct Service {
    public: VerifyingKey,
    key: SigningKey,
}

impl Service {
    fn of_vectors() -> Self {
        let key = vectors().key;
        let name = LedgerName::parse(&key.name).unwrap();
        let public = VerifyingKey::p256(name, &bytes(&key.spki)).unwrap();
        Self { public, key: SigningKey::from_slice(&bytes(&key.secret)).unwrap() }
    }
}

impl Signer for Service {
    fn public(&self) -> &VerifyingKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature: DerSignature = self.key.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

#[test]
fn the_key_has_its_text_form() {
    let vectors = vectors();
    let key = VerifyingKey::parse(&vectors.key.vkey).unwrap();
    assert_eq!(key, *Service::of_vectors().public());
    assert_eq!(key.to_line(), vectors.key.vkey);
    assert_eq!(key.as_bytes(), bytes(&vectors.key.spki));
    assert_eq!(key.key_id(), sha256(key.as_bytes()).as_bytes()[..4]);
    assert_eq!(genesis(&vectors.key.vkey).to_hex(), vectors.genesis);
    WitnessVerifyingKey::parse(&vectors.key.vkey).unwrap_err();
}

#[test]
fn notes_are_read_and_reproduced() {
    let (vectors, service) = (vectors(), Service::of_vectors());
    let checkpoint = Checkpoint::open(vectors.deterministic.as_bytes(), service.public()).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (7, Hash::from_hex(&vectors.root).unwrap()));
    // RFC 6979 makes even these signatures deterministic; other signers of the same key do not.
    assert_eq!(checkpoint.sign(&service).unwrap(), vectors.deterministic);
    for other in vectors.other_signatures_of_it {
        assert_ne!(other, vectors.deterministic);
        assert_eq!(Checkpoint::open(other.as_bytes(), service.public()).unwrap(), checkpoint);
    }
    let mut previous = Hash::from_bytes([0; 32]);
    for CommitVector { note, sha256: digest } in vectors.commits {
        let commit = Commit::open(note.as_bytes(), service.public()).unwrap();
        assert_eq!(commit.prev_commit_sha256, previous);
        assert_eq!(commit.sign(&service).unwrap(), note);
        previous = sha256(note.as_bytes());
        assert_eq!(previous.to_hex(), digest);
    }
}

#[test]
fn what_a_reader_must_refuse_is_refused() {
    let (vectors, service) = (vectors(), Service::of_vectors());
    assert!(vectors.refused_keys.len() >= 7 && vectors.refused_notes.len() >= 10);
    for RefusedKey { why, vkey } in vectors.refused_keys {
        VerifyingKey::parse(&vkey).expect_err(&why);
    }
    for RefusedNote { why, note } in vectors.refused_notes {
        let refused = Checkpoint::open(note.as_bytes(), service.public()).expect_err(&why);
        assert!(refused.to_string().contains("is false"), "{why}: {refused}");
    }
    assert_eq!(VerifyingKey::p256(service.public().name().clone(), &[0; 91]), Err(KeyError::Spki));
}

/// Signs with another key than it says.
struct Impostor {
    service: Service,
    says: VerifyingKey,
}

impl Signer for Impostor {
    fn public(&self) -> &VerifyingKey {
        &self.says
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.service.sign(message)
    }
}

#[test]
fn a_signature_that_is_not_the_keys_makes_no_note() {
    let name = || LedgerName::parse("acme.example/ai-audit").unwrap();
    let ed25519 = tachograph_ledger::SigningKey::from_seed(name(), [7; 32]).public();
    let other = SigningKey::from_slice(&[9; 32]).unwrap();
    let point = other.verifying_key().to_sec1_point(false);
    let spki = [&bytes(&vectors().key.spki)[..26], point.as_bytes()].concat();
    for says in [ed25519, VerifyingKey::p256(name(), &spki).unwrap()] {
        let impostor = Impostor { service: Service::of_vectors(), says };
        let error = sign_note("text\n", &impostor).unwrap_err().to_string();
        assert!(error.contains("another key"), "{error}");
        assert_eq!(impostor.says.verify(b"text\n", &impostor.sign(b"text\n").unwrap()), Err(FalseSignature));
    }
    let note = sign_note("text\n", &Service::of_vectors()).unwrap();
    let changed = note.replace("text", "next");
    let refused = parse_note(changed.as_bytes()).unwrap().verify(Service::of_vectors().public());
    assert!(matches!(refused, Err(NoteError::BadSignature { .. })));
}
