//! The ledger's keys that can sign here, and what may change them.
//!
//! ```text
//! DIR/keys/signing.key              the first key, unless the configuration says that it is elsewhere
//! DIR/keys/signing-<key id>.key     a later one; mode 0600
//! ```
//!
//! A later key is made before it is announced, so that no crash leaves a ledger whose key nobody has. Which keys sign the archive says, by
//! its links: nothing of it is remembered here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tachograph_exporters::archive::store::Store;
use tachograph_exporters::archive::{Keyring, Links};
use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE};
use tachograph_ledger::{KeyChange, SignError, Signer, VerifyingKey, sign_note};

use crate::data_dir::DataDir;

/// Details of the records that change keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Key line of the key that is announced or retired.
    pub vkey: String,
}

/// Finds the private half of a key.
pub struct KeyRing {
    data_dir: Arc<DataDir>,
    /// Who signs with the first key, or why nobody does.
    first: Result<Arc<dyn Signer>, String>,
    later: Mutex<HashMap<String, Arc<dyn Signer>>>,
}

impl KeyRing {
    /// For the ledger in `data_dir`, whose first key signs by `first`, if it still can.
    pub fn new(data_dir: Arc<DataDir>, first: Result<Arc<dyn Signer>, String>) -> Self {
        Self { data_dir, first, later: Mutex::default() }
    }
}

impl Keyring for KeyRing {
    fn signer(&self, key: &VerifyingKey) -> Result<Arc<dyn Signer>, SignError> {
        if key == self.data_dir.vkey() {
            return self.first.clone().map_err(|what| SignError { what });
        }
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signer) = later.get(&key.to_line()) {
            return Ok(Arc::clone(signer));
        }
        let signer = self.data_dir.later_key(key).map_err(|error| SignError { what: error.to_string() })?;
        let signer: Arc<dyn Signer> = Arc::new(signer);
        later.insert(key.to_line(), Arc::clone(&signer));
        Ok(signer)
    }
}

/// Judges what a person wants changed, before the recorder says it: what is said can't be taken back.
#[derive(Clone)]
pub struct KeyDesk {
    /// The archive, whose links say which keys there are.
    pub store: Arc<dyn Store>,
    /// The ledger's first key.
    pub first: VerifyingKey,
    /// Shows whether a new key can sign.
    pub ring: Arc<dyn Keyring>,
}

impl KeyDesk {
    /// Checks that the change may come now, and that the ledger can go on behind it.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self, action: &str, vkey: &str) -> Result<(), String> {
        let key = VerifyingKey::parse(vkey).map_err(|error| error.to_string())?;
        // What is sealed is what was given: with a space in it, it would be no key for whoever reads it.
        if key.to_line() != vkey {
            return Err(format!("the key line has white space around it; give just {}", key.to_line()));
        }
        let links = Links::read(&*self.store, self.first.clone()).map_err(|error| error.to_string())?;
        let change = match action {
            KEY_ANNOUNCE => KeyChange::Announce(key),
            KEY_RETIRE => KeyChange::Retire(key),
            _ => return Err(format!("{action} changes no keys")),
        };
        links.history.allows(&change).map_err(|what| format!("this record {what}"))?;
        let must_sign: Vec<VerifyingKey> = match &change {
            KeyChange::Announce(key) => vec![key.clone()],
            KeyChange::Retire(gone) => links.history.present().filter(|key| *key != gone).cloned().collect(),
        };
        for key in must_sign {
            let signer = self.ring.signer(&key).map_err(|error| error.to_string())?;
            sign_note("tachograph: can this key sign?\n", &*signer).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
