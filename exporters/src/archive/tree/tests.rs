use std::sync::Arc;

use tachograph_ledger::{Hash, consistency_proof, inclusion_proof, root_of};

use super::super::store::{DirectoryStore, Store};
use super::super::tests::sample::{Ledger, Sample};
use super::super::tests::{append, create, store_at};
use super::super::{Archive, DEFAULT_ZSTD_LEVEL, Settings};
use super::*;

fn archive(runs: &[usize]) -> (tempfile::TempDir, Vec<Sample>) {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = Archive::open(store, ledger.key.clone(), Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
    let mut samples = Vec::new();
    for run in runs {
        let batch = ledger.batch(*run);
        append(&mut archive, &batch).unwrap();
        samples.extend(batch);
    }
    (directory, samples)
}

fn reader(directory: &tempfile::TempDir) -> TreeReader {
    TreeReader::open(Arc::new(DirectoryStore::reader(directory.path()).unwrap())).unwrap()
}

/// Where the commits end.
fn ends(runs: &[usize]) -> Vec<u64> {
    runs.iter()
        .scan(0, |end, run| {
            *end += *run as u64;
            Some(*end)
        })
        .collect()
}

#[test]
fn proofs_are_those_of_the_whole_tree_wherever_segments_end() {
    // Single records, runs across powers of two, one segment of all.
    for runs in [&[1, 1, 1, 1, 1, 1, 1][..], &[3, 5, 8, 1, 15, 2, 30], &[64], &[1, 40, 23, 64, 2], &[7, 9, 16, 32, 33]]
    {
        let (directory, samples) = archive(runs);
        let leaves: Vec<Hash> = samples.iter().map(|sample| sample.hash).collect();
        let ends = ends(runs);
        let tree = reader(&directory);
        assert_eq!(tree.size().unwrap(), leaves.len() as u64);
        for size in &ends {
            assert_eq!(tree.root(*size).unwrap(), root_of(&leaves[..*size as usize]));
            for index in 0..*size {
                // One that has read nothing yet, and one that knows much.
                let expected = inclusion_proof(&leaves, index, *size).unwrap();
                assert_eq!(tree.inclusion(index, *size).unwrap(), expected, "{runs:?} {index} {size}");
                if index % 7 == 0 {
                    assert_eq!(
                        reader(&directory).inclusion(index, *size).unwrap(),
                        expected,
                        "{runs:?} {index} {size}"
                    );
                }
            }
            for old in ends.iter().filter(|old| *old <= size) {
                let expected = consistency_proof(&leaves, *old, *size).unwrap();
                assert_eq!(reader(&directory).consistency(*old, *size).unwrap(), expected, "{runs:?} {old} {size}");
            }
        }
    }
}

#[test]
fn leaves_are_read_one_by_one_and_in_a_row() {
    let (directory, samples) = archive(&[5, 20, 3]);
    let tree = reader(&directory);
    for sample in samples.iter().rev() {
        assert_eq!(tree.leaf(sample.index).unwrap(), (sample.leaf.clone(), sample.hash));
    }
    let mut seen = Vec::new();
    let each = |index: u64, leaf: &[u8], hash: &Hash| {
        seen.push((index, leaf.to_vec(), *hash));
        Ok(())
    };
    tree.each_leaf(2, 27, each).unwrap();
    let expected: Vec<_> = samples[2..27].iter().map(|it| (it.index, it.leaf.clone(), it.hash)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn only_trees_that_a_commit_signs_have_proofs() {
    let (directory, _) = archive(&[5, 20]);
    let tree = reader(&directory);
    assert!(matches!(tree.inclusion(3, 7), Err(TreeError::NoCommit { size: 7 })));
    assert!(matches!(tree.inclusion(3, 26), Err(TreeError::NoCommit { size: 26 })));
    assert!(matches!(tree.inclusion(25, 25), Err(TreeError::Proof(_))));
    assert!(matches!(tree.leaf(25), Err(TreeError::Proof(_))));
    assert!(matches!(tree.leaf(u64::MAX), Err(TreeError::Proof(_))));
    assert!(matches!(tree.consistency(25, 5), Err(TreeError::Proof(_))));
    assert_eq!(tree.consistency(0, 25).unwrap(), []);
}

#[test]
fn what_is_committed_later_is_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let tree = TreeReader::open(Arc::clone(&store)).unwrap();
    assert_eq!(tree.size().unwrap(), 0);
    let (mut archive, _) = Archive::open(store, ledger.key.clone(), Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
    for size in [4, 8, 12] {
        append(&mut archive, &ledger.batch(4)).unwrap();
        tree.refresh().unwrap();
        assert_eq!(tree.size().unwrap(), size);
        assert!(tree.inclusion(1, size).is_ok() && tree.consistency(4, size).is_ok());
    }
}

#[test]
fn an_archive_whose_leaves_are_others_gives_no_proof() {
    let (directory, _) = archive(&[8, 8]);
    let names = DirectoryStore::reader(directory.path()).unwrap().list("leaves/").unwrap();
    let second = directory.path().join(&names[1]);
    std::fs::remove_file(&second).unwrap();
    std::fs::copy(directory.path().join(&names[0]), &second).unwrap();
    let tree = reader(&directory);
    assert!(matches!(tree.inclusion(9, 16), Err(TreeError::Damaged { .. })));
    // Where nothing of the false object is needed, the proof is good.
    assert!(tree.inclusion(3, 8).is_ok());
    let mut seen = 0;
    let each = |_, _: &[u8], _: &Hash| {
        seen += 1;
        Ok(())
    };
    assert!(tree.each_leaf(0, 8, each).is_ok());
    assert_eq!(seen, 8);
}
