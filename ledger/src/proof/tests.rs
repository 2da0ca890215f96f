use super::*;
use crate::hash::leaf_hash;
use crate::tree::{inclusion_proof, root_of};

fn proof() -> TlogProof {
    TlogProof {
        extra: Some(b"leaf".to_vec()),
        index: 2,
        hashes: vec![leaf_hash(b"3"), leaf_hash(b"01")],
        checkpoint: "a\n4\nroot\n\n\u{2014} a sig\n".to_owned(),
    }
}

#[test]
fn a_proof_is_read_as_it_was_written() {
    for extra in [None, Some(Vec::new()), Some(b"leaf".to_vec())] {
        for hashes in [Vec::new(), proof().hashes] {
            let proof = TlogProof { extra: extra.clone(), hashes, ..proof() };
            assert_eq!(TlogProof::parse(proof.encode().as_bytes()), Ok(proof));
        }
    }
}

#[test]
fn what_is_no_proof_is_refused_with_its_line() {
    let good = proof().encode();
    let line = |text: &str| match TlogProof::parse(text.as_bytes()) {
        Err(TlogProofError::Line { line, .. }) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(line(""), 1);
    assert_eq!(line(&good.replace("@v1", "@v2")), 1);
    assert_eq!(line(&good.replace("extra bGVhZg==", "extra bGVhZg")), 2);
    assert_eq!(line(&good.replace("index 2", "index 02")), 3);
    assert_eq!(line(&good.replace("index 2", "index -2")), 3);
    assert_eq!(line(&good.replace("index 2\n", "index 2\nAAAA\n")), 4);
    assert_eq!(line(&good.replace("index 2\n", &format!("index 2\n{}", "x\n".repeat(70)))), 4);
    let (head, _) = good.split_once("\n\n").expect("a proof");
    assert_eq!(line(&format!("{head}\n\n")), 7);
    assert_eq!(line(head), 4 + 1);
    let many: String = (0..65).map(|n| format!("{}\n", STANDARD.encode(leaf_hash(&[n]).as_bytes()))).collect();
    assert_eq!(line(&good.replace("index 2\n", &format!("index 2\n{many}"))), 68);
}

#[test]
fn only_the_right_leaf_at_its_place_in_its_tree_is_proven() {
    let leaves: Vec<Hash> = (0..7u8).map(|n| leaf_hash(&[n])).collect();
    let root = root_of(&leaves);
    let proof = TlogProof { index: 5, hashes: inclusion_proof(&leaves, 5, 7).expect("a proof"), ..proof() };
    assert_eq!(proof.verify(&leaves[5], 7, &root), Ok(()));
    assert!(proof.verify(&leaves[4], 7, &root).is_err());
    assert!(proof.verify(&leaves[5], 5, &root).is_err());
    assert!(proof.verify(&leaves[5], 70, &root).is_err());
    assert!(proof.verify(&leaves[5], 6, &root_of(&leaves[..6])).is_err());
    assert!(TlogProof { index: 4, ..proof }.verify(&leaves[5], 7, &root).is_err());
}
