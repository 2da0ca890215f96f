//! A key service: it holds keys, and gives out signatures and MACs alone.
//!
//! Each of [`aws_kms`](super::aws_kms), [`pkcs11`](super::pkcs11) and [`vault`](super::vault) is a [`KeyService`]; [`ServiceSigner`]
//! makes a ledger's [`Signer`] of any of them. All calls block, for threads that may wait, and end within 30 s.
//! A call that failed may be made again; nothing of a broken connection or session is kept.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tachograph_ledger::{LedgerName, SignError, Signer, VerifyingKey};
use zeroize::Zeroizing;

use super::KeysError;
use super::aws_kms::{AwsKms, AwsKmsSettings};
use super::pkcs11::{Pkcs11Key, Pkcs11Settings};
use super::vault::{Vault, VaultSettings};

/// Longest message of [`KeyService::mac`], which every service takes.
pub const MAX_MAC_MESSAGE_BYTES: usize = 4_096;

/// How long a start waits to be told which key the service has.
const START_LIMIT: Duration = Duration::from_secs(5);

const MAC_ROOT: &[u8] = b"tachograph/mac/root/v1";
const ED25519: u8 = 0x01;
const P256: u8 = 0x02;

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the 65 bytes of an uncompressed P-256 point in a SubjectPublicKeyInfo (RFC 5480).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Holds keys that never leave it.
pub trait KeyService: Send + Sync {
    /// The configured key, as an operator knows it, for messages.
    fn place(&self) -> String;

    /// The public half of the signing key that the configuration names.
    ///
    /// # Errors
    /// If the service is away, or has no such key, or one of another kind.
    fn public_key(&self) -> Result<PublicKey, ServiceError>;

    /// Whether the service can sign with this key.
    ///
    /// # Errors
    /// As [`public_key`](Self::public_key).
    fn holds(&self, key: &PublicKey) -> Result<bool, ServiceError> {
        Ok(self.public_key()? == *key)
    }

    /// Signs `message` with the private half of `key`: 64 bytes for Ed25519, ASN.1 DER over SHA-256 for P-256. Not checked here.
    ///
    /// # Errors
    /// If the service is away, refuses, or holds another key.
    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, ServiceError>;

    /// HMAC-SHA256 over `message`, of at most [`MAX_MAC_MESSAGE_BYTES`], with the MAC key that the configuration names.
    ///
    /// # Errors
    /// If the service is away, or refuses, or has no such key.
    fn mac(&self, message: &[u8]) -> Result<Zeroizing<[u8; 32]>, ServiceError>;
}

/// Which service, and which key in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceSettings {
    /// AWS KMS.
    AwsKms(AwsKmsSettings),
    /// A PKCS#11 token.
    Pkcs11(Pkcs11Settings),
    /// Vault's transit engine.
    Vault(VaultSettings),
}

impl ServiceSettings {
    /// Prepares the service; nothing is asked of it.
    ///
    /// # Errors
    /// If a file that it needs can't be read, or no thread can be started.
    pub fn open(&self) -> Result<Box<dyn KeyService>, ServiceError> {
        Ok(match self.clone() {
            Self::AwsKms(settings) => Box::new(AwsKms::open(&settings)?),
            Self::Pkcs11(settings) => Box::new(Pkcs11Key::open(settings)?),
            Self::Vault(settings) => Box::new(Vault::open(settings)?),
        })
    }
}

/// Why a key service gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct ServiceError {
    /// Which service, what happened and what to do, without secrets.
    pub what: String,
}

impl ServiceError {
    /// What a service says itself is among it: on one line here, and no longer than [`MAX_WHAT`].
    pub(super) fn new(what: impl Into<String>) -> Self {
        let what: String = what.into();
        let mut words = what.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let mut line = words.next().unwrap_or_default().to_owned();
        words.for_each(|word| line.extend([" ", word]));
        if let Some((at, _)) = line.char_indices().nth(MAX_WHAT) {
            line.truncate(at);
            line.push('…');
        }
        Self { what: line }
    }
}

/// Characters of an error's text.
const MAX_WHAT: usize = 1_000;

/// A public key without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// 32 bytes.
    Ed25519([u8; 32]),
    /// The uncompressed point, `0x04` and two coordinates.
    P256([u8; 65]),
}

impl PublicKey {
    /// Of a ledger's key.
    pub fn of(key: &VerifyingKey) -> Option<Self> {
        let line = key.to_line();
        let body = STANDARD.decode(line.splitn(3, '+').nth(2)?).ok()?;
        match body.split_first()? {
            (&ED25519, bytes) => Some(Self::Ed25519(bytes.try_into().ok()?)),
            (&P256, spki) => Self::from_spki(spki),
            _ => None,
        }
    }

    /// Reads a DER SubjectPublicKeyInfo; `None` for other kinds of keys.
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        if let Some(bytes) = spki.strip_prefix(&ED25519_SPKI_PREFIX) {
            return bytes.try_into().ok().map(Self::Ed25519);
        }
        Self::from_point(spki.strip_prefix(&P256_SPKI_PREFIX)?)
    }

    /// Reads an uncompressed point of P-256.
    pub fn from_point(point: &[u8]) -> Option<Self> {
        let point: [u8; 65] = point.try_into().ok()?;
        (point[0] == 0x04).then_some(Self::P256(point))
    }

    /// The key of the ledger `name`.
    ///
    /// # Errors
    /// If it is no point of the curve.
    pub fn named(&self, name: LedgerName) -> Result<VerifyingKey, ServiceError> {
        let key = match self {
            Self::Ed25519(bytes) => VerifyingKey::from_bytes(name, bytes),
            Self::P256(point) => VerifyingKey::p256(name, &[&P256_SPKI_PREFIX[..], point].concat()),
        };
        key.map_err(|error| ServiceError::new(format!("the service's public key is none: {error}")))
    }

    /// What such keys are called.
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "Ed25519",
            Self::P256(_) => "ECDSA P-256",
        }
    }
}

/// Signs a ledger's notes with a key that a service holds.
pub struct ServiceSigner {
    vkey: VerifyingKey,
    key: PublicKey,
    service: Box<dyn KeyService>,
}

impl ServiceSigner {
    /// For the ledger's own key. Nothing is asked of the service: a collector starts while it is away.
    ///
    /// # Errors
    /// If no service can hold such a key.
    pub fn new(vkey: VerifyingKey, service: Box<dyn KeyService>) -> Result<Self, ServiceError> {
        let key = PublicKey::of(&vkey)
            .ok_or_else(|| ServiceError::new("the ledger's key is of a kind that no key service holds"))?;
        Ok(Self { vkey, key, service })
    }

    /// Asks the service for its public key, and holds it against the ledger's.
    ///
    /// # Errors
    /// If it is away, or has another key.
    pub fn compare(&self) -> Result<(), KeysError> {
        // Services may hold later versions of the key too, and show those.
        if self.service.holds(&self.key)? {
            return Ok(());
        }
        let found = self.service.public_key()?.named(self.vkey.name().clone())?.to_line();
        Err(KeysError::Wrong(format!(
            "{} holds another key ({found}) than the ledger's ({}): name the ledger's key in keys.signing",
            self.service.place(),
            self.vkey.to_line()
        )))
    }
}

impl Signer for ServiceSigner {
    fn public(&self) -> &VerifyingKey {
        &self.vkey
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.service.sign(&self.key, message).map_err(|error| SignError { what: error.what })
    }
}

/// The same for a start, which does not wait long: without an answer within 5 s the service is away.
///
/// # Errors
/// As [`ServiceSigner::compare`].
pub(super) fn compare_soon(signer: &Arc<ServiceSigner>) -> Result<(), KeysError> {
    let (sender, receiver) = sync_channel(1);
    let asking = Arc::clone(signer);
    let thread = thread::Builder::new().name("key-service".to_owned());
    // It ends with the call, whether anybody still waits or not.
    let started = thread.spawn(move || drop(sender.send(asking.compare())));
    started.map_err(|error| KeysError::Away(format!("no thread: {error}")))?;
    receiver.recv_timeout(START_LIMIT).unwrap_or_else(|_| {
        Err(KeysError::Away(format!("{}: no answer within {} s", signer.service.place(), START_LIMIT.as_secs())))
    })
}

/// The first MAC key of a ledger, from a key that `service` holds (docs/format.md, section 5).
///
/// # Errors
/// As [`KeyService::mac`].
pub fn first_mac_key(service: &dyn KeyService, vkey: &VerifyingKey) -> Result<Zeroizing<[u8; 32]>, ServiceError> {
    service.mac(&first_mac_message(vkey))
}

fn first_mac_message(vkey: &VerifyingKey) -> Vec<u8> {
    [MAC_ROOT, vkey.name().as_str().as_bytes(), vkey.to_line().as_bytes()].join(&0)
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
