use proptest::prelude::*;

use super::*;
use crate::hash::{leaf_hash, sha256};

/// The eight leaves, and the roots of their first 1 to 8, by which implementations of RFC 6962 are tested
/// since the Certificate Transparency project's first.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Published audit paths for (index, size).
const INCLUSION: &[(u64, u64, &[&str])] = &[
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Published consistency proofs for (old, new).
const CONSISTENCY: &[(u64, u64, &[&str])] = &[
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn hash(hex: &str) -> Hash {
    Hash::from_hex(hex).unwrap()
}

fn public_leaves() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|at| leaf_hash(&at.to_be_bytes())).collect()
}

/// RFC 6962's recursive definition, beside the edge that the code uses.
fn root_by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(b""),
        [leaf] => *leaf,
        _ => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            let (left, right) = leaves.split_at(split);
            node_hash(&root_by_definition(left), &root_by_definition(right))
        }
    }
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

#[test]
fn roots_are_the_public_ones() {
    assert_eq!(Edge::new().root().to_hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let mut edge = Edge::new();
    for (leaf, root) in public_leaves().into_iter().zip(ROOTS) {
        edge.push(leaf);
        assert_eq!(edge.root().to_hex(), root, "{} leaves", edge.size());
    }
}

#[test]
fn proofs_are_the_public_ones() {
    let leaves = public_leaves();
    let root = |size: u64| hash(ROOTS[size as usize - 1]);
    for (index, size, proof) in INCLUSION {
        let proof: Vec<_> = proof.iter().map(|hex| hash(hex)).collect();
        assert_eq!(inclusion_proof(&leaves, *index, *size).unwrap(), proof);
        let leaf = &leaves[*index as usize];
        verify_inclusion(leaf, *index, *size, &proof, &root(*size)).unwrap();
    }
    for (old, new, proof) in CONSISTENCY {
        let proof: Vec<_> = proof.iter().map(|hex| hash(hex)).collect();
        assert_eq!(consistency_proof(&leaves, *old, *new).unwrap(), proof);
        verify_consistency(*old, &root(*old), *new, &root(*new), &proof).unwrap();
    }
}

#[test]
fn every_proof_of_every_small_tree_holds() {
    let leaves = leaves(70);
    let roots: Vec<_> = (0..=leaves.len()).map(|size| root_by_definition(&leaves[..size])).collect();
    for new in 0..=leaves.len() {
        assert_eq!(root_of(&leaves[..new]), roots[new]);
        for index in 0..new {
            let proof = inclusion_proof(&leaves, index as u64, new as u64).unwrap();
            verify_inclusion(&leaves[index], index as u64, new as u64, &proof, &roots[new]).unwrap();
        }
        for old in 0..=new {
            let proof = consistency_proof(&leaves, old as u64, new as u64).unwrap();
            verify_consistency(old as u64, &roots[old], new as u64, &roots[new], &proof).unwrap();
        }
    }
}

#[test]
fn an_edge_goes_on_from_its_parts() {
    let leaves = leaves(37);
    for cut in 0..=leaves.len() {
        let mut before = Edge::new();
        leaves[..cut].iter().for_each(|leaf| before.push(*leaf));
        let mut after = Edge::from_parts(before.size(), before.hashes().to_vec()).unwrap();
        leaves[cut..].iter().for_each(|leaf| after.push(*leaf));
        assert_eq!(after.root(), root_by_definition(&leaves));
    }
}

#[test]
fn an_edge_of_wrong_parts_is_refused() {
    let one = leaves(1);
    assert_eq!(Edge::from_parts(3, one.clone()), Err(ProofError::EdgeLength { size: 3, expected: 2, found: 1 }));
    assert_eq!(Edge::from_parts(0, one.clone()), Err(ProofError::EdgeLength { size: 0, expected: 0, found: 1 }));
    for size in [MAX_RECORDS + 1, u64::MAX] {
        assert_eq!(Edge::from_parts(size, one.clone()), Err(ProofError::TooLarge { size }));
    }
    let mut largest = Edge::from_parts(MAX_RECORDS, one).unwrap();
    largest.push(leaves(1)[0]);
    assert_eq!(largest.hashes().len(), 2);
}

#[test]
fn impossible_requests_are_errors() {
    let leaves = leaves(4);
    let outside = |index, size| Err(ProofError::IndexOutside { index, size });
    assert_eq!(inclusion_proof(&leaves, 0, 0), outside(0, 0));
    assert_eq!(inclusion_proof(&leaves, 4, 4), outside(4, 4));
    let order = |old, new| Err(ProofError::SizeOrder { old, new });
    assert_eq!(inclusion_proof(&leaves, 0, 5), order(5, 4));
    assert_eq!(inclusion_proof(&leaves, 0, u64::MAX), order(u64::MAX, 4));
    assert_eq!(consistency_proof(&leaves, 1, 5), order(5, 4));
    assert_eq!(consistency_proof(&leaves, 3, 2), order(3, 2));
}

#[test]
fn trivial_consistency_still_compares_roots() {
    let (a, b) = (sha256(b"a"), sha256(b"b"));
    let empty = empty_root();
    verify_consistency(0, &empty, 0, &empty, &[]).unwrap();
    verify_consistency(0, &empty, 5, &a, &[]).unwrap();
    verify_consistency(5, &a, 5, &a, &[]).unwrap();
    for (old, old_root, new, new_root, proof) in [
        (0, &a, 0, &a, &[][..]),
        (0, &empty, 0, &a, &[]),
        (0, &a, 5, &b, &[]),
        (5, &a, 5, &b, &[]),
        (5, &a, 5, &a, &[a]),
        (0, &empty, 5, &a, &[a]),
        (6, &a, 5, &a, &[]),
        (1, &a, 2, &a, &[]),
    ] {
        assert!(verify_consistency(old, old_root, new, new_root, proof).is_err());
    }
}

#[test]
fn sizes_at_the_end_of_the_numbers_do_not_overflow() {
    let proof = leaves(64);
    let root = sha256(b"root");
    let sizes = [1, 2, 3, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX];
    for a in sizes {
        for b in sizes {
            for count in [0, 1, 2, 62, 63, 64] {
                assert!(verify_inclusion(&root, a, b, &proof[..count], &root).is_err());
                let held = verify_consistency(a, &root, b, &root, &proof[..count]);
                assert_eq!(held.is_ok(), a == b && count == 0, "{a} {b} {count}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_changed_inclusion_proof_fails(
        size in 1usize..200, index: prop::sample::Index, at: prop::sample::Index, bit in 0usize..256,
    ) {
        let leaves = leaves(size);
        let index = index.index(size);
        let root = root_of(&leaves);
        let (size, number) = (size as u64, index as u64);
        let proof = inclusion_proof(&leaves, number, size).unwrap();
        let verify = |leaf: &Hash, number, proof: &[Hash], root: &Hash| verify_inclusion(leaf, number, size, proof, root);
        prop_assert_eq!(verify(&leaves[index], number, &proof, &root), Ok(()));

        prop_assert!(verify(&flip(&leaves[index], bit), number, &proof, &root).is_err());
        prop_assert!(verify(&leaves[index], number, &proof, &flip(&root, bit)).is_err());
        for other in 0..=size {
            prop_assert_eq!(verify(&leaves[index], other, &proof, &root).is_ok(), other == number);
        }
        if !proof.is_empty() {
            let mut flipped = proof.clone();
            let at = at.index(proof.len());
            flipped[at] = flip(&flipped[at], bit);
            prop_assert!(verify(&leaves[index], number, &flipped, &root).is_err());
            prop_assert!(verify(&leaves[index], number, &proof[1..], &root).is_err());
            prop_assert!(verify(&leaves[index], number, &proof[..proof.len() - 1], &root).is_err());
        }
        for extra in [&root, &leaves[index]] {
            let longer = [&proof[..], std::slice::from_ref(extra)].concat();
            prop_assert!(verify(&leaves[index], number, &longer, &root).is_err());
        }
    }

    #[test]
    fn a_changed_consistency_proof_fails(
        new in 2usize..200, old: prop::sample::Index, at: prop::sample::Index, bit in 0usize..256,
    ) {
        let leaves = leaves(new);
        let old = 1 + old.index(new - 1);
        let (old_root, new_root) = (root_of(&leaves[..old]), root_of(&leaves));
        let (old, new) = (old as u64, new as u64);
        let proof = consistency_proof(&leaves, old, new).unwrap();
        prop_assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()));

        prop_assert!(verify_consistency(old, &flip(&old_root, bit), new, &new_root, &proof).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &flip(&new_root, bit), &proof).is_err());
        for other in 1..new {
            let holds = verify_consistency(other, &old_root, new, &new_root, &proof).is_ok();
            prop_assert_eq!(holds, other == old);
        }
        let mut flipped = proof.clone();
        let at = at.index(proof.len());
        flipped[at] = flip(&flipped[at], bit);
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &flipped).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &proof[1..]).is_err());
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &proof[..proof.len() - 1]).is_err());
        let longer = [&proof[..], &[new_root]].concat();
        prop_assert!(verify_consistency(old, &old_root, new, &new_root, &longer).is_err());
    }

    #[test]
    fn verifying_takes_any_numbers(a: u64, b: u64, count in 0usize..80) {
        let proof = leaves(count);
        let root = sha256(b"root");
        prop_assert!(verify_inclusion(&root, a, b, &proof, &root).is_err());
        prop_assert!(verify_consistency(a, &root, b, &root, &proof).is_err() || a == b);
    }
}
