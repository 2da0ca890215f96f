//! A key that is fetched when it is first needed, and held from then on.

use std::sync::OnceLock;

use tachograph_ledger::{SignError, Signer, SigningKey, VerifyingKey};

use super::KeysError;

type Load = dyn Fn() -> Result<SigningKey, KeysError> + Send + Sync;

pub(super) struct OnDemand {
    public: VerifyingKey,
    load: Box<Load>,
    key: OnceLock<SigningKey>,
}

impl OnDemand {
    /// `load` gives the private half of `public`.
    pub(super) fn new(
        public: VerifyingKey,
        load: impl Fn() -> Result<SigningKey, KeysError> + Send + Sync + 'static,
    ) -> Self {
        Self { public, load: Box::new(load), key: OnceLock::new() }
    }

    pub(super) fn try_load(&self) -> Result<(), KeysError> {
        if self.key.get().is_none() {
            let _ = self.key.set((self.load)()?);
        }
        Ok(())
    }
}

impl Signer for OnDemand {
    fn public(&self) -> &VerifyingKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.try_load().map_err(|error| SignError { what: error.to_string() })?;
        match self.key.get() {
            Some(key) => key.sign(message),
            None => Err(SignError { what: "the key was not held".to_owned() }),
        }
    }
}
