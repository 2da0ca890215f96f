//! What the verifier says of an archive when all is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tachograph_exporters::archive::store::{Destroyed, ErrorKind, ReadAt, Removal, Store, StoreError, Upload};
use tachograph_exporters::verify::{Axis, Options, Verdict, verify};

use tachograph_ledger::Commit;

use crate::world::Blob;
use crate::writer::{Whole, key};

/// Whether chain, bodies, signatures and checkpoints are good to the last record. What those left who lost a race is taken away first: the
/// collector has the ledger report it (`archive.orphans`), which is no part of this model.
pub(crate) fn verifies(objects: &BTreeMap<Blob, Blob>, commits: u64) {
    let mut store = Stored(objects.iter().map(|(path, bytes)| (path.text(), bytes.bytes())).collect());
    let named: BTreeSet<String> = store
        .0
        .iter()
        .filter(|(path, _)| path.starts_with("commit/"))
        .flat_map(|(_, bytes)| {
            let commit = Commit::open(bytes, &key().public()).unwrap();
            commit.objects.into_iter().map(|object| object.path)
        })
        .collect();
    store.0.retain(|path, _| !path.ends_with(".parquet") || named.contains(path));
    let report = verify(&store, Options { key: Some(key().public()), ..Options::default() }).unwrap();
    for axis in [Axis::Integrity, Axis::Authenticity, Axis::Coverage] {
        assert_eq!(report.verdict(axis), Verdict::Pass, "{:?}: {}", store.0.keys(), report.to_json());
    }
    assert_eq!((report.records, report.commits), (commits, commits));
}

struct Stored(BTreeMap<String, Arc<[u8]>>);

impl Stored {
    fn bytes(&self, path: &str) -> Result<&Arc<[u8]>, StoreError> {
        self.0.get(path).ok_or_else(|| StoreError::new(ErrorKind::NotFound, path, "there is none"))
    }
}

impl Store for Stored {
    fn place(&self) -> String {
        "the model".to_owned()
    }

    fn begin(&self) -> Result<Box<dyn Upload>, StoreError> {
        panic!("a verifier writes nothing")
    }

    fn read(&self, path: &str, _limit: u64) -> Result<Vec<u8>, StoreError> {
        self.bytes(path).map(|bytes| bytes.to_vec())
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        self.bytes(path).map(|bytes| Arc::new(Whole(Arc::clone(bytes))) as Arc<dyn ReadAt>)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.0.keys().filter(|path| path.starts_with(prefix)).cloned().collect())
    }

    fn len(&self, path: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.0.get(path).map(|bytes| bytes.len() as u64))
    }

    fn remove_orphan(&self, _path: &str) -> Result<Removal, StoreError> {
        panic!("a verifier removes nothing")
    }

    fn destroy(&self, path: &str) -> Result<Destroyed, StoreError> {
        panic!("{path} is destroyed")
    }
}
