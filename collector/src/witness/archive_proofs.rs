//! Consistency proofs from the archive's leaves.

use std::sync::{Arc, Mutex, PoisonError};

use tachograph_exporters::archive::reader::ReadError;
use tachograph_exporters::archive::store::Store;
use tachograph_exporters::archive::tree::{TreeError, TreeReader};
use tachograph_ledger::Hash;

use super::client::{NoProof, Proofs};

/// Reads the archive, once a proof is needed.
pub struct ArchiveProofs {
    store: Arc<dyn Store>,
    tree: Mutex<Option<TreeReader>>,
}

impl ArchiveProofs {
    /// Of the archive in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, tree: Mutex::default() }
    }
}

impl Proofs for ArchiveProofs {
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, NoProof> {
        let unreadable = |error: ReadError| NoProof::Unreadable(error.to_string());
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let tree = match &mut *tree {
            Some(tree) => {
                tree.refresh().map_err(unreadable)?;
                tree
            }
            none => none.insert(TreeReader::open(Arc::clone(&self.store)).map_err(unreadable)?),
        };
        tree.consistency(old, new).map_err(|error| match error {
            TreeError::NoCommit { size } if size == old => NoProof::NoSuchTree,
            error => NoProof::Unreadable(error.to_string()),
        })
    }
}
