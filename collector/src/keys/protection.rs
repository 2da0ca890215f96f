//! Keys at rest as plain age files (<https://age-encryption.org/v1>), which the ordinary `age` program opens and makes.

use std::fmt;
use std::io::{Read, Write};
use std::iter;
use std::str::FromStr;
use std::sync::Arc;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt, x25519};
use zeroize::Zeroizing;

use super::{KeysError, MAX_KEY_FILE_BYTES, env, file};
use crate::config::Encryption;

/// log₂ of scrypt's N for what is written here: 64 MiB of memory. The MAC key is written anew every 65,536 records, and the writer waits.
pub const WORK_FACTOR: u8 = 16;

/// The most that is taken when reading, 256 MiB of memory: what `age` itself writes. A file must not be able to ask for all there is.
pub const MAX_WORK_FACTOR: u8 = 18;

/// First line of an age file.
const HEADER: &[u8] = b"age-encryption.org/v1\n";
const ARMOUR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// How files with keys are encrypted; by default they are not. `Debug` prints no secret.
#[derive(Clone, Default)]
pub struct Protection(Option<Arc<Means>>);

enum Means {
    Passphrase(SecretString),
    Age { recipient: x25519::Recipient, identity: x25519::Identity },
}

impl Protection {
    /// Reads passphrase or identity.
    ///
    /// # Errors
    /// If it can't be read, is none, or identity and recipient do not belong together.
    pub fn load(encryption: Option<&Encryption>) -> Result<Self, KeysError> {
        let means = match encryption {
            None => return Ok(Self::default()),
            Some(Encryption::PassphraseFile(path)) => {
                passphrase(&file::read(path, &Self::default())?, "keys.encryption.passphrase_file")?
            }
            Some(Encryption::PassphraseEnv(variable)) => {
                passphrase(&env::read(variable)?, "keys.encryption.passphrase_env")?
            }
            Some(Encryption::Age { recipient, identity_file }) => {
                let wrong = |what: String| KeysError::Wrong(format!("keys.encryption.{what}"));
                let recipient = x25519::Recipient::from_str(recipient).map_err(|error| {
                    wrong(format!("age_recipient: {error}; a recipient of `age-keygen` begins with age1"))
                })?;
                let text = file::read(identity_file, &Self::default())?;
                let identities: Vec<_> =
                    text.lines().filter_map(|line| x25519::Identity::from_str(line.trim()).ok()).collect();
                let of = |identity: &x25519::Identity| identity.to_public().to_string() == recipient.to_string();
                let Some(identity) = identities.into_iter().find(of) else {
                    let what = format!(
                        "age_identity_file: {} holds no identity (AGE-SECRET-KEY-1…) of age_recipient: what is encrypted could not be read again",
                        identity_file.display()
                    );
                    return Err(wrong(what));
                };
                Means::Age { recipient, identity }
            }
        };
        Ok(Self(Some(Arc::new(means))))
    }

    /// Whether files are encrypted.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether these are the bytes of an encrypted file.
    pub fn is_sealed(bytes: &[u8]) -> bool {
        bytes.starts_with(HEADER) || bytes.starts_with(ARMOUR)
    }

    /// What goes into the file: an age file, or `plain` itself if files are not encrypted.
    ///
    /// # Errors
    /// In words, if it can't be encrypted.
    pub fn seal(&self, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let sealed = match self.0.as_deref() {
            None => return Ok(Zeroizing::new(plain.to_vec())),
            Some(Means::Passphrase(passphrase)) => {
                let mut recipient = scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK_FACTOR);
                encrypt(&recipient, plain)
            }
            Some(Means::Age { recipient, .. }) => encrypt(recipient, plain),
        };
        sealed.map(Zeroizing::new).map_err(|error| format!("can't be encrypted: {error}"))
    }

    /// What stands in a file, which may be plain.
    ///
    /// # Errors
    /// In words, if it is encrypted and can't be decrypted.
    pub fn open(&self, bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, String> {
        if bytes.starts_with(ARMOUR) {
            return Err("an age file in armour, which is not read here: make it anew without `-a`".to_owned());
        }
        if !Self::is_sealed(&bytes) {
            return Ok(bytes);
        }
        match self.0.as_deref() {
            None => {
                Err("encrypted with age: say under keys.encryption in the configuration (-c) how to open it".to_owned())
            }
            Some(Means::Passphrase(passphrase)) => {
                let mut identity = scrypt::Identity::new(passphrase.clone());
                identity.set_max_work_factor(MAX_WORK_FACTOR);
                decrypt(&identity, &bytes)
            }
            Some(Means::Age { identity, .. }) => decrypt(identity, &bytes),
        }
    }
}

/// The first line is the passphrase.
fn passphrase(text: &str, key: &str) -> Result<Means, KeysError> {
    // One that ends with the file may leave a carriage return behind, which nobody sees.
    match text.lines().next().map(|line| line.trim_end_matches('\r')) {
        Some(line) if !line.trim().is_empty() => Ok(Means::Passphrase(SecretString::from(line.to_owned()))),
        _ => Err(KeysError::Wrong(format!("{key}: the passphrase is empty"))),
    }
}

fn encrypt(recipient: &dyn Recipient, plain: &[u8]) -> Result<Vec<u8>, String> {
    let named = |error: &dyn fmt::Display| error.to_string();
    let encryptor = Encryptor::with_recipients(iter::once(recipient)).map_err(|error| named(&error))?;
    let mut sealed = Vec::with_capacity(plain.len() + 512);
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| named(&error))?;
    writer.write_all(plain).and_then(|()| writer.finish().map(|_| ())).map_err(|error| named(&error))?;
    Ok(sealed)
}

fn decrypt(identity: &dyn Identity, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    // Room for all of it at once: no copy is left behind where it grew.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let reader = Decryptor::new_buffered(sealed).and_then(|decryptor| decryptor.decrypt(iter::once(identity)));
    let mut reader = reader.map_err(|error| told(&error))?.take(MAX_KEY_FILE_BYTES);
    reader.read_to_end(&mut plain).map_err(|error| format!("encrypted with age, and damaged ({error})"))?;
    Ok(plain)
}

fn told(error: &DecryptError) -> String {
    match error {
        DecryptError::ExcessiveWork { required, .. } => format!(
            "its passphrase was stretched with scrypt's work factor {required}; at most {MAX_WORK_FACTOR} is taken here: encrypt it again with `age -p`"
        ),
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            "encrypted with age, and what keys.encryption says does not open it: it is another passphrase or identity"
                .to_owned()
        }
        _ => "encrypted with age, and damaged".to_owned(),
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.as_deref() {
            None => "Protection(none)",
            Some(Means::Passphrase(_)) => "Protection(passphrase ***)",
            Some(Means::Age { .. }) => "Protection(age ***)",
        })
    }
}
