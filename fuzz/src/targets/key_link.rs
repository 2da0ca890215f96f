//! No link between keys holds that the first key did not sign, and one that does not hold changes nothing.

use tachograph_ledger::KeyHistory;
use tachograph_ledger::keys::index_of;

use crate::signing;

pub(crate) fn run(data: &[u8]) {
    let Ok(index) = index_of(data) else { return };
    let first = KeyHistory::new(signing::key().public());
    let mut history = first.clone();
    // The seeds are of another ledger's key: nothing that a search makes of them has a signature of this one.
    assert!(history.extend(index, data).is_err());
    assert_eq!(history, first);
}
