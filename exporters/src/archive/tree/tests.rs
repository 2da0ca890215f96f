use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tachograph_ledger::{Hash, consistency_proof, inclusion_proof, root_of};

use super::super::store::{Destroyed, DirectoryStore, ReadAt, Removal, Store, StoreError, Upload};
use super::super::tests::sample::{Ledger, Sample, left_to_inner};
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

/// A store that counts how often an object is opened.
struct Counted {
    inner: DirectoryStore,
    opened: AtomicUsize,
}

impl Store for Counted {
    left_to_inner!();
    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.inner.open(path)
    }
    fn remove_orphan(&self, path: &str) -> Result<Removal, StoreError> {
        self.inner.remove_orphan(path)
    }
}

/// However many proofs are made in a row, each object is read a few times.
#[test]
fn proofs_of_all_records_read_no_object_again_and_again() {
    for runs in [&[300, 300, 300, 77][..], &[3; 40], &[1; 33]] {
        let (directory, samples) = archive(runs);
        let inner = DirectoryStore::reader(directory.path()).unwrap();
        let store = Arc::new(Counted { inner, opened: AtomicUsize::new(0) });
        let tree = TreeReader::open(Arc::<Counted>::clone(&store)).unwrap();
        let size = samples.len() as u64;
        for sample in &samples {
            tree.leaf(sample.index).unwrap();
            tree.inclusion(sample.index, size).unwrap();
        }
        let opened = store.opened.load(Ordering::Relaxed);
        println!("{size} records, {} objects, opened {opened} times", runs.len());
        // For its leaves, for its hashes, and as a neighbour.
        assert!(opened <= 5 * runs.len(), "{opened} for {} objects and {size} records", runs.len());
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
