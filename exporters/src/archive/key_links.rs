//! `keys/<index>`: the links between a ledger's keys, each proven from the keys before it.

use std::collections::BTreeMap;

use tachograph_ledger::VerifyingKey;
use tachograph_ledger::keys::{KeyHistory, Link, MAX_LINK_BYTES, MAX_LINKS};

use super::paths;
use super::store::{ErrorKind, Store, StoreError};

/// The links of an archive.
#[derive(Clone, Debug)]
pub struct Links {
    /// What follows from those that hold.
    pub history: KeyHistory,
    /// The links that hold, by the index of their record.
    pub good: BTreeMap<u64, Link>,
    /// Objects that are none, and why. Whoever may write in the store can put something there: nothing follows from it.
    pub bad: Vec<(String, String)>,
}

impl Links {
    /// Of a ledger that has its first key and no other.
    pub fn none(first: VerifyingKey) -> Self {
        Self { history: KeyHistory::new(first), good: BTreeMap::new(), bad: Vec::new() }
    }

    /// Reads all links in the archive of the ledger that begins with `first`.
    ///
    /// # Errors
    /// If the store fails. A link that does not hold is no error.
    pub fn read(store: &dyn Store, first: VerifyingKey) -> Result<Self, StoreError> {
        let mut links = Self::none(first);
        for path in store.list(paths::KEYS)?.into_iter().take(MAX_LINKS * 2) {
            let Some(index) = paths::number_of(&path, paths::KEYS) else {
                links.bad.push((path, "a file that no release writes here".to_owned()));
                continue;
            };
            store.pin(&path)?;
            let bytes = match store.read(&path, MAX_LINK_BYTES) {
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind, ErrorKind::TooLarge | ErrorKind::NotFound) => {
                    links.bad.push((path, error.what));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match links.history.extend(index, &bytes) {
                Ok(link) => drop(links.good.insert(index, link)),
                Err(error) => links.bad.push((path, error.to_string())),
            }
        }
        Ok(links)
    }
}
