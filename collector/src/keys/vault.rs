//! Keys in the transit engine of HashiCorp Vault or OpenBao, over its HTTP interface.
//!
//! Signing is pinned to the version of the key that the ledger has: a rotation in the service changes nothing here. The token is
//! read anew for each request, so that an agent may renew it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::service::{KeyService, PublicKey, ServiceError};
use super::source::SecretSource;
use crate::outbound::{Answer, Outbound};

/// For one request. A call makes at most four.
const LIMIT: Duration = Duration::from_secs(7);
/// A key of thousands of versions fits.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// The first megabyte of an error page helps nobody.
const MAX_SHOWN: usize = 300;

/// Which key, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultSettings {
    /// For example `https://vault.example:8200`, without a slash at its end.
    pub address: String,
    /// Where the engine is mounted.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// Which version makes MACs. Signing uses that which the ledger has.
    pub mac_version: u64,
    /// Whose namespace.
    pub namespace: Option<String>,
    /// Where the token is.
    pub token: SecretSource,
    /// PEM file of authorities of its certificate; without it those that the machine trusts.
    pub ca_file: Option<PathBuf>,
}

/// A transit key.
pub struct Vault {
    settings: VaultSettings,
    outbound: Outbound,
    /// The version that has the ledger's public key, once it was looked up.
    version: Mutex<Option<(PublicKey, u64)>>,
}

impl Vault {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// If the authorities' file can't be read.
    pub fn open(settings: VaultSettings) -> Result<Self, ServiceError> {
        let outbound = Outbound::new(settings.ca_file.as_deref(), LIMIT);
        let outbound = outbound.map_err(|error| ServiceError::new(format!("vault: ca_file: {error}")))?;
        Ok(Self { settings, outbound, version: Mutex::new(None) })
    }

    /// The versions of the key, and its public keys.
    fn key(&self) -> Result<Key, ServiceError> {
        let key: Key = self.ask("keys", "", "read", None)?;
        match key.kind.as_str() {
            "ed25519" if key.derived => {
                Err(self.wrong("is derived: it has no public key of its own. Create it without `derived`"))
            }
            "ed25519" | "ecdsa-p256" => Ok(key),
            other => Err(self.wrong(format!("is of type {other}; for signing ed25519 or ecdsa-p256 is needed"))),
        }
    }

    fn version_of(&self, public: &PublicKey) -> Result<u64, ServiceError> {
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, version)) = &*known
            && of == public
        {
            return Ok(*version);
        }
        let key = self.key()?;
        let found = key.versions().find(|(_, held)| held.as_ref() == Some(public)).map(|(version, _)| version);
        let found = found.ok_or_else(|| {
            self.wrong("has no version with the ledger's public key: name the ledger's own key in keys.signing")
        })?;
        *known = Some((public.clone(), found));
        Ok(found)
    }

    /// One request. `right` is the capability that its path needs.
    fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        suffix: &str,
        right: &str,
        body: Option<Value>,
    ) -> Result<T, ServiceError> {
        let VaultSettings { address, mount, key, .. } = &self.settings;
        let path = format!("{mount}/{what}/{key}{suffix}");
        let url = format!("{address}/v1/{path}");
        let token = self.settings.token.read().map_err(|error| ServiceError::new(format!("vault: {error}")))?;
        let token = token.expose();
        let mut headers = vec![("x-vault-token", token), ("x-vault-request", "true")];
        headers.extend(self.settings.namespace.as_deref().map(|namespace| ("x-vault-namespace", namespace)));
        let once = || match &body {
            Some(body) => self.outbound.post(&url, &headers, body.to_string().as_bytes(), MAX_ANSWER_BYTES),
            None => self.outbound.get(&url, &headers, MAX_ANSWER_BYTES),
        };
        // Once more at once: a connection that stood idle may be dead, a leader may just have changed. What is asked can be asked twice.
        let answer = match once() {
            Ok(answer) if answer.status < 500 => Ok(answer),
            _ => once(),
        };
        let answer = answer.map_err(|error| ServiceError::new(format!("vault: {error}")))?;
        if answer.status != 200 {
            return Err(self.refused(&path, right, &answer));
        }
        // A MAC is a secret.
        let body = Zeroizing::new(answer.body);
        let parsed: Result<Envelope<T>, _> = serde_json::from_slice(&body);
        // The parser's error would quote what it can't read.
        parsed.map(|envelope| envelope.data).map_err(|_| self.wrong(format!("answers {path} not as transit does")))
    }

    fn refused(&self, path: &str, right: &str, answer: &Answer) -> ServiceError {
        let said = said(&answer.body);
        let remedy = match answer.status {
            301 | 302 | 307 | 308 => {
                "it points elsewhere, which is not followed: name the active node or its load balancer".to_owned()
            }
            403 => format!("the token is not good, or its policy lacks the capability `{right}` on {path}"),
            404 => "there is no such key, mount or namespace".to_owned(),
            503 => "it is sealed, or in maintenance".to_owned(),
            _ => String::new(),
        };
        let status = answer.status;
        self.wrong(format!("gets HTTP status {status}{said}{}{remedy}", if remedy.is_empty() { "" } else { ": " }))
    }

    fn wrong(&self, what: impl std::fmt::Display) -> ServiceError {
        ServiceError::new(format!("{} {what}", self.place()))
    }

    /// What follows `vault:v<version>:` in an answer.
    fn payload(&self, answer: &str, version: u64) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        let encoded = answer.strip_prefix(&format!("vault:v{version}:"));
        let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        decoded
            .map(Zeroizing::new)
            .ok_or_else(|| self.wrong(format!("answers with something else than key version {version}'s")))
    }
}

impl KeyService for Vault {
    fn place(&self) -> String {
        let VaultSettings { address, mount, key, namespace, .. } = &self.settings;
        match namespace {
            Some(namespace) => format!("vault {address}, namespace {namespace}, key {mount}/{key}"),
            None => format!("vault {address}, key {mount}/{key}"),
        }
    }

    /// That of the newest version.
    fn public_key(&self) -> Result<PublicKey, ServiceError> {
        let key = self.key()?;
        let newest = key.versions().max_by_key(|(version, _)| *version).and_then(|(_, public)| public);
        newest.ok_or_else(|| self.wrong("shows no public key"))
    }

    fn holds(&self, key: &PublicKey) -> Result<bool, ServiceError> {
        Ok(self.key()?.versions().any(|(_, held)| held.as_ref() == Some(key)))
    }

    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let version = self.version_of(key)?;
        let input = STANDARD.encode(message);
        let signed: Signed = match key {
            PublicKey::Ed25519(_) => {
                self.ask("sign", "", "update", Some(json!({ "input": input, "key_version": version })))?
            }
            PublicKey::P256(_) => {
                let body = json!({
                    "input": input, "key_version": version, "marshaling_algorithm": "asn1", "prehashed": false,
                });
                self.ask("sign", "/sha2-256", "update", Some(body))?
            }
        };
        Ok(self.payload(&signed.signature, version)?.to_vec())
    }

    fn mac(&self, message: &[u8]) -> Result<Zeroizing<[u8; 32]>, ServiceError> {
        let version = self.settings.mac_version;
        let body = json!({ "input": STANDARD.encode(message), "key_version": version });
        let made: Made = self.ask("hmac", "/sha2-256", "update", Some(body))?;
        let mac = self.payload(&Zeroizing::new(made.hmac), version)?;
        let mac: [u8; 32] = mac.as_slice().try_into().map_err(|_| self.wrong("gives a MAC that is not SHA-256's"))?;
        Ok(Zeroizing::new(mac))
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    derived: bool,
    #[serde(default)]
    keys: BTreeMap<String, Value>,
}

impl Key {
    fn versions(&self) -> impl Iterator<Item = (u64, Option<PublicKey>)> + '_ {
        self.keys.iter().filter_map(|(version, held)| {
            let public = held["public_key"].as_str().unwrap_or_default();
            let public = match self.kind.as_str() {
                "ed25519" => {
                    STANDARD.decode(public).ok().and_then(|bytes| bytes.try_into().ok()).map(PublicKey::Ed25519)
                }
                _ => from_pem(public),
            };
            Some((version.parse().ok()?, public))
        })
    }
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Deserialize)]
struct Made {
    hmac: String,
}

fn from_pem(pem: &str) -> Option<PublicKey> {
    let inner = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let inner: String = inner.split_ascii_whitespace().collect();
    PublicKey::from_spki(&STANDARD.decode(inner).ok()?)
}

/// What an error's body says, cut and in one line.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|body| body.errors).unwrap_or_default();
    let text = errors.join("; ");
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_SHOWN).collect();
    if text.is_empty() { text } else { format!(" ({text})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWYzsRpdfvxK42RlQXvgD7bTaKQn8\n\
        L8/nQKAcXzCSQTPOm7zYMiVxC6r1xV5yNGedlbEGZaGDucpsbt5xvH07Sg==\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn public_keys_of_each_version_are_read_and_others_are_not() {
        let key = |text: &str| serde_json::from_str::<Envelope<Key>>(text).expect("an answer").data;
        let answer = json!({ "data": { "type": "ecdsa-p256", "keys": {
            "2": { "public_key": PEM }, "10": { "public_key": "nonsense" }
        } } });
        let versions: Vec<_> = key(&answer.to_string()).versions().collect();
        assert!(matches!(versions[..], [(10, None), (2, Some(PublicKey::P256(_)))]));
        let answer = r#"{"data":{"type":"ed25519","derived":false,"keys":{"1":{"public_key":"Eh1WRPFS3G/r6Ejp2tJODBrp5nPyi0dHS0OcyVLwQ34="}}}}"#;
        let versions: Vec<_> = key(answer).versions().collect();
        assert!(matches!(versions[..], [(1, Some(PublicKey::Ed25519(_)))]));
        // As the type `hmac` answers: a time of creation for each version.
        let versions: Vec<_> = key(r#"{"data":{"type":"hmac","keys":{"1":1764247055}}}"#).versions().collect();
        assert!(matches!(versions[..], [(1, None)]));
    }

    #[test]
    fn what_an_error_says_is_cut_and_on_one_line() {
        assert_eq!(
            said(br#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#),
            " (1 error occurred: * permission denied)"
        );
        assert_eq!(said(b"<html>"), "");
        let long = json!({ "errors": ["x".repeat(10_000)] }).to_string();
        assert_eq!(said(long.as_bytes()).len(), MAX_SHOWN + 3);
    }
}
