//! The public key of a source, with which its producer signed what it said: `docs/format.md`, section 14.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// What stands before the key in its SubjectPublicKeyInfo (RFC 8410): there is one spelling.
const SPKI: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// A public key of a source: Ed25519.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceVerifyingKey(VerifyingKey);

/// Why a text is no public key of a source. Says nothing of the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SourceKeyError {
    /// A private key where the public one belongs.
    #[error(
        "this is a private key where the public one belongs: keep it secret, and give what `openssl pkey -pubout` makes of it"
    )]
    PrivateGiven,
    /// Not an Ed25519 public key in PEM.
    #[error("no Ed25519 public key in PEM, as `openssl pkey -in KEY -pubout` writes it")]
    Form,
    /// The bytes are no point of the curve, or one that would verify anything.
    #[error("the key's bytes are no usable public key")]
    Unusable,
}

impl SourceVerifyingKey {
    /// Reads the key from PEM.
    ///
    /// ```
    /// # use tachograph_ledger::SourceVerifyingKey;
    /// let pem = "-----BEGIN PUBLIC KEY-----\n\
    ///     MCowBQYDK2VwAyEAebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=\n\
    ///     -----END PUBLIC KEY-----\n";
    /// SourceVerifyingKey::from_pem(pem)?;
    /// # Ok::<(), tachograph_ledger::SourceKeyError>(())
    /// ```
    ///
    /// # Errors
    /// If it is none.
    pub fn from_pem(pem: &str) -> Result<Self, SourceKeyError> {
        let pem = pem.trim();
        if pem.contains("PRIVATE KEY-----") {
            return Err(SourceKeyError::PrivateGiven);
        }
        let base64 = pem.strip_prefix(BEGIN).and_then(|pem| pem.strip_suffix(END)).ok_or(SourceKeyError::Form)?;
        let base64: Vec<u8> = base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(base64).map_err(|_| SourceKeyError::Form)?;
        let key = der.strip_prefix(&SPKI).and_then(|key| key.try_into().ok()).ok_or(SourceKeyError::Form)?;
        match VerifyingKey::from_bytes(key) {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            _ => Err(SourceKeyError::Unusable),
        }
    }

    /// Whether `signature`, in standard base64, is the key's over `text`.
    pub fn signed(&self, text: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.0.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Debug for SourceVerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceVerifyingKey({})", STANDARD.encode(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = include_str!("../../tests/golden/source-v1.json");

    fn vectors() -> serde_json::Value {
        serde_json::from_str(VECTORS).unwrap()
    }

    #[test]
    fn signatures_of_an_independent_program_hold_and_no_others() {
        let vectors = vectors();
        let key = |name: &str| SourceVerifyingKey::from_pem(vectors[name].as_str().unwrap()).unwrap();
        let (own, other) = (key("public_pem"), key("other_public_pem"));
        for record in vectors["records"].as_array().unwrap() {
            let text = |name: &str| record[name].as_str().unwrap();
            let (signed, signature) = (text("canonical"), text("signature"));
            assert!(own.signed(signed.as_bytes(), signature), "{}", record["what"]);
            assert!(!own.signed(format!("{signed} ").as_bytes(), signature), "{}", record["what"]);
            assert!(!own.signed(signed.as_bytes(), &signature[4..]), "{}", record["what"]);
            assert!(!other.signed(signed.as_bytes(), signature), "{}", record["what"]);
        }
    }

    #[test]
    fn what_is_no_public_key_is_told() {
        let vectors = vectors();
        let (public, private) = (vectors["public_pem"].as_str().unwrap(), vectors["private_pem"].as_str().unwrap());
        assert_eq!(SourceVerifyingKey::from_pem(private), Err(SourceKeyError::PrivateGiven));
        for bad in ["", &public.replace("MCow", "MCox"), &public[..60], &format!("{public}{public}")] {
            assert_eq!(SourceVerifyingKey::from_pem(bad), Err(SourceKeyError::Form), "{bad}");
        }
        let weak = STANDARD.encode([&SPKI[..], &[0; 32]].concat());
        assert_eq!(SourceVerifyingKey::from_pem(&format!("{BEGIN}\n{weak}\n{END}")), Err(SourceKeyError::Unusable));
    }
}
