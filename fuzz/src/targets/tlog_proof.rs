//! A proof has one spelling, and none holds for a root that it does not lead to.

use tachograph_ledger::{TlogProof, leaf_hash, sha256};

pub(crate) fn run(data: &[u8]) {
    let Ok(proof) = TlogProof::parse(data) else { return };
    assert_eq!(proof.encode().as_bytes(), data);
    let leaf = leaf_hash(proof.extra.as_deref().unwrap_or_default());
    let root = sha256(b"no root of any tree");
    assert!(proof.verify(&leaf, proof.index.saturating_add(1), &root).is_err());
}
