//! What may stand below `keys` in the file.

use std::path::PathBuf;

use serde::Deserialize;

use super::key_services::{self, AwsKmsFile, Pkcs11File, Use, VaultFile};
use super::{Encryption, KeySource, Keys};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeysFile {
    signing: Option<SourceFile>,
    mac: Option<SourceFile>,
    encryption: Option<EncryptionFile>,
}

/// Exactly one of these. A struct and no enum: of text in its place, which may be the secret itself, an enum's error repeats it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SourceFile {
    file: Option<FileFile>,
    env: Option<String>,
    aws_kms: Option<AwsKmsFile>,
    pkcs11: Option<Pkcs11File>,
    vault: Option<VaultFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFile {
    path: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct EncryptionFile {
    passphrase_file: Option<PathBuf>,
    passphrase_env: Option<String>,
    age_recipient: Option<String>,
    age_identity_file: Option<PathBuf>,
}

impl KeysFile {
    pub(super) fn check(self, problems: &mut Vec<String>) -> Keys {
        Keys {
            signing: self
                .signing
                .map_or_else(KeySource::default, |file| file.check("keys.signing", Use::Signing, problems)),
            mac: self.mac.map(|file| file.check("keys.mac", Use::Mac, problems)),
            encryption: self.encryption.and_then(|file| file.check(problems)),
        }
    }
}

impl SourceFile {
    fn check(self, key: &'static str, r#use: Use, problems: &mut Vec<String>) -> KeySource {
        let mut place = key_services::Place { name: key, r#use, problems };
        match (self.file, self.env, self.aws_kms, self.pkcs11, self.vault) {
            (Some(file), None, None, None, None) => KeySource::File { path: file.path },
            (None, Some(variable), None, None, None) => {
                check_variable(&format!("{key}.env"), &variable, place.problems);
                KeySource::Env(variable)
            }
            (None, None, Some(file), None, None) => KeySource::Service(file.check(&mut place)),
            (None, None, None, Some(file), None) => KeySource::Service(file.check(&mut place)),
            (None, None, None, None, Some(file)) => KeySource::Service(file.check(&mut place)),
            _ => {
                place.problems.push(format!(
                    "{key} is one of: file: {{path: …}}, env: VARIABLE, aws_kms: {{…}}, pkcs11: {{…}}, vault: {{…}}; never a key itself"
                ));
                KeySource::default()
            }
        }
    }
}

impl EncryptionFile {
    fn check(self, problems: &mut Vec<String>) -> Option<Encryption> {
        match (self.passphrase_file, self.passphrase_env, self.age_recipient, self.age_identity_file) {
            (Some(path), None, None, None) => Some(Encryption::PassphraseFile(path)),
            (None, Some(variable), None, None) => {
                check_variable("keys.encryption.passphrase_env", &variable, problems);
                Some(Encryption::PassphraseEnv(variable))
            }
            (None, None, Some(recipient), Some(identity_file)) => Some(Encryption::Age { recipient, identity_file }),
            _ => {
                problems.push(
                    "keys.encryption is one of: passphrase_file, passphrase_env, or age_recipient together with age_identity_file"
                        .to_owned(),
                );
                None
            }
        }
    }
}

/// A name, not a value: whoever puts the secret itself there is told so without its being repeated.
fn check_variable(key: &str, name: &str, problems: &mut Vec<String>) {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > 128 || !name.chars().all(good) {
        problems.push(format!(
            "{key} is the name of a variable of the environment, such as TACHOGRAPH_KEY, and not its value"
        ));
    }
}
