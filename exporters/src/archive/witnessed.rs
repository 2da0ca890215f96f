//! Checkpoints that witnesses have cosigned: beside the commits and never in their way.
//!
//! `witnessed/<size>` is the checkpoint's note with the witnesses' lines below the ledger's own. It is written once, when enough have
//! cosigned; no commit names it, and it is kept as its checkpoint is.

use tachograph_ledger::Lock;

use super::store::{Confirmed, ErrorKind, Store, StoreError};
use super::{MAX_NOTE_BYTES, keep_proof, paths};

/// Writes the witnessed checkpoint of `size` records, whose checkpoint is `kept` (mode, and seconds since 1970). With
/// [`Confirmed::Different`] there is one already, with other cosignatures: it stays.
pub fn write(store: &dyn Store, size: u64, note: &[u8], kept: Option<(Lock, u64)>) -> Result<Confirmed, StoreError> {
    store.create_or_confirm(&paths::witnessed(size), note, keep_proof(store, kept)?)
}

/// The witnessed checkpoint of `size` records, if there is one.
pub fn read(store: &dyn Store, size: u64) -> Result<Option<Vec<u8>>, StoreError> {
    match store.read(&paths::witnessed(size), MAX_NOTE_BYTES) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
