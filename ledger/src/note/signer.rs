//! Who signs a ledger's notes: the key itself, or a service that holds it and gives out signatures alone.

use ed25519_dalek::Signer as _;

use super::key::{SigningKey, VerifyingKey};

/// Something that signs with a ledger's private key.
///
/// What it gives is checked against [`public`](Self::public) before it goes into a note, so an implementation need not check itself.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public(&self) -> &VerifyingKey;

    /// A signature over exactly `message`. For Ed25519 its 64 bytes; for P-256 ECDSA over SHA-256 of `message`, in DER.
    ///
    /// # Errors
    /// If the key can't be reached, or refuses. Whoever asked may ask again.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's key can't sign: {what}")]
pub struct SignError {
    /// What happened and what to do, without secrets.
    pub what: String,
}

impl Signer for SigningKey {
    fn public(&self) -> &VerifyingKey {
        self.verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.ed25519().sign(message).to_bytes().to_vec())
    }
}
