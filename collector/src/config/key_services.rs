//! What may stand below `keys.signing` and `keys.mac` about a key that a service holds.

use std::path::PathBuf;

use serde::Deserialize;

use crate::keys::aws_kms::AwsKmsSettings;
use crate::keys::pkcs11::Pkcs11Settings;
use crate::keys::service::ServiceSettings;
use crate::keys::source::SecretSource;
use crate::keys::vault::VaultSettings;

/// What a key is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Signing,
    Mac,
}

/// What is checked, and where problems go.
pub(super) struct Place<'p> {
    /// `keys.signing`, for example.
    pub(super) name: &'static str,
    pub(super) r#use: Use,
    pub(super) problems: &'p mut Vec<String>,
}

impl Place<'_> {
    fn wrong(&mut self, service: &str, what: &str) {
        self.problems.push(format!("{}.{service}.{what}", self.name));
    }

    /// Exactly one of a file and a variable.
    fn secret(&mut self, service: &str, what: &str, file: Option<PathBuf>, env: Option<String>) -> SecretSource {
        match (file, env) {
            (Some(path), None) => return SecretSource::File(path),
            (None, Some(name)) if !name.is_empty() && !name.contains(['=', '\0']) => return SecretSource::Env(name),
            (None, Some(_)) => self.wrong(service, &format!("{what}_env: not the name of a variable")),
            (Some(_), Some(_)) => {
                self.wrong(service, &format!("{what}_file and {what}_env exclude each other; keep one"));
            }
            (None, None) => self.wrong(
                service,
                &format!("{what}_file is missing: the file with the {what}, or else {what}_env: the variable with it"),
            ),
        }
        SecretSource::Env(String::new())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AwsKmsFile {
    key: String,
    region: Option<String>,
    endpoint: Option<String>,
}

impl AwsKmsFile {
    pub(super) fn check(self, place: &mut Place<'_>) -> ServiceSettings {
        const SERVICE: &str = "aws_kms";
        if self.key.is_empty() || !self.key.bytes().all(|byte| byte.is_ascii_graphic()) {
            place.wrong(SERVICE, "key: not a key's ARN or id, or alias/NAME");
        }
        if self.region.as_ref().is_some_and(|region| !is_name(region, "-")) {
            place.wrong(SERVICE, "region: not a region such as eu-central-1");
        }
        let endpoint = self.endpoint.map(|url| url.trim_end_matches('/').to_owned());
        if endpoint.as_ref().is_some_and(|url| !is_url(url)) {
            place.wrong(SERVICE, "endpoint: not a URL that begins with http:// or https://");
        }
        ServiceSettings::AwsKms(AwsKmsSettings { key: self.key, region: self.region, endpoint })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pkcs11File {
    module: PathBuf,
    token: String,
    key: String,
    id: Option<String>,
    pin_file: Option<PathBuf>,
    pin_env: Option<String>,
}

impl Pkcs11File {
    pub(super) fn check(self, place: &mut Place<'_>) -> ServiceSettings {
        const SERVICE: &str = "pkcs11";
        // A library is looked for in more places than one would think if no folder is named.
        if !self.module.is_absolute() {
            place.wrong(SERVICE, "module: not a whole path, such as /usr/lib/softhsm/libsofthsm2.so");
        }
        if self.token.is_empty() || self.token.len() > 32 {
            place.wrong(SERVICE, "token: not a token's label, which has 1 to 32 bytes");
        }
        if self.key.is_empty() {
            place.wrong(SERVICE, "key: the key's label is empty");
        }
        let id = self.id.as_deref().map(from_hex);
        if id == Some(None) {
            place.wrong(SERVICE, "id: not the hex of a CKA_ID, such as \"01\"");
        }
        let pin = place.secret(SERVICE, "pin", self.pin_file, self.pin_env);
        let (module, token, key) = (self.module, self.token, self.key);
        ServiceSettings::Pkcs11(Pkcs11Settings { module, token, key, id: id.flatten(), pin })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultFile {
    address: String,
    mount: Option<String>,
    key: String,
    key_version: Option<u64>,
    namespace: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    ca_file: Option<PathBuf>,
}

impl VaultFile {
    pub(super) fn check(self, place: &mut Place<'_>) -> ServiceSettings {
        const SERVICE: &str = "vault";
        let address = self.address.trim_end_matches('/').to_owned();
        if !is_url(&address) {
            place.wrong(SERVICE, "address: not a URL such as https://vault.example:8200, without user or query");
        }
        let mount = self.mount.unwrap_or_else(|| "transit".to_owned());
        for (name, value, also) in [
            ("mount", Some(&mount), "._-/"),
            ("key", Some(&self.key), "._-"),
            ("namespace", self.namespace.as_ref(), "._-/"),
        ] {
            if value.is_some_and(|value| {
                !is_name(value, also) || value.split('/').any(|part| matches!(part, "" | "." | ".."))
            }) {
                place.wrong(SERVICE, &format!("{name}: letters, digits and {also} are its characters"));
            }
        }
        match (place.r#use, self.key_version) {
            (Use::Signing, Some(_)) => place.wrong(
                SERVICE,
                "key_version: signing takes the version that has the ledger's public key by itself; leave it away",
            ),
            (Use::Mac, Some(0)) => place.wrong(SERVICE, "key_version is 0; versions begin at 1"),
            _ => {}
        }
        let token = place.secret(SERVICE, "token", self.token_file, self.token_env);
        ServiceSettings::Vault(VaultSettings {
            address,
            mount,
            key: self.key,
            mac_version: self.key_version.unwrap_or(1),
            namespace: self.namespace,
            token,
            ca_file: self.ca_file,
        })
    }
}

fn is_name(text: &str, also: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

/// An address without user, query or fragment.
fn is_url(text: &str) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else { return false };
    matches!(url.scheme_str(), Some("http" | "https"))
        && url.host().is_some_and(|host| !host.is_empty())
        && !url.authority().is_some_and(|authority| authority.as_str().contains('@'))
        && !text.contains(['?', '#'])
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(service: &str, yaml: &str, r#use: Use) -> (ServiceSettings, Vec<String>) {
        let mut problems = Vec::new();
        let mut place = Place { name: "keys.test", r#use, problems: &mut problems };
        let settings = match service {
            "aws_kms" => serde_saphyr::from_str::<AwsKmsFile>(yaml).expect("parsed").check(&mut place),
            "pkcs11" => serde_saphyr::from_str::<Pkcs11File>(yaml).expect("parsed").check(&mut place),
            _ => serde_saphyr::from_str::<VaultFile>(yaml).expect("parsed").check(&mut place),
        };
        (settings, problems)
    }

    #[test]
    fn good_settings_are_taken_as_they_are() {
        let (settings, problems) =
            check("aws_kms", "{key: alias/ledger, endpoint: 'http://127.0.0.1:1/'}", Use::Signing);
        assert!(problems.is_empty(), "{problems:?}");
        let ServiceSettings::AwsKms(settings) = settings else { panic!("KMS") };
        assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1:1"));
        let yaml = "{module: /usr/lib/m.so, token: ledger, key: signing, id: '0aFF', pin_file: /run/pin}";
        let (settings, problems) = check("pkcs11", yaml, Use::Signing);
        assert!(problems.is_empty(), "{problems:?}");
        let ServiceSettings::Pkcs11(settings) = settings else { panic!("PKCS#11") };
        assert_eq!(settings.id, Some(vec![0x0a, 0xff]));
        let yaml = "{address: 'https://v.example:8200/', key: mac, namespace: a/b, token_env: TOKEN}";
        let (settings, problems) = check("vault", yaml, Use::Mac);
        assert!(problems.is_empty(), "{problems:?}");
        let ServiceSettings::Vault(settings) = settings else { panic!("Vault") };
        assert_eq!((settings.address.as_str(), settings.mount.as_str()), ("https://v.example:8200", "transit"));
        assert_eq!(settings.mac_version, 1);
        assert_eq!(settings.token, SecretSource::Env("TOKEN".to_owned()));
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        for (service, yaml, word) in [
            ("aws_kms", "{key: ''}", "keys.test.aws_kms.key"),
            ("aws_kms", "{key: k, region: 'a b'}", "aws_kms.region"),
            ("aws_kms", "{key: k, endpoint: 'ftp://x'}", "aws_kms.endpoint"),
            ("pkcs11", "{module: m.so, token: t, key: k, pin_env: P}", "pkcs11.module"),
            ("pkcs11", "{module: /m.so, token: '', key: k, pin_env: P}", "pkcs11.token"),
            ("pkcs11", "{module: /m.so, token: t, key: '', pin_env: P}", "pkcs11.key"),
            ("pkcs11", "{module: /m.so, token: t, key: k, id: xyz, pin_env: P}", "pkcs11.id"),
            ("pkcs11", "{module: /m.so, token: t, key: k}", "pkcs11.pin_file is missing"),
            ("pkcs11", "{module: /m.so, token: t, key: k, pin_file: /p, pin_env: P}", "exclude each other"),
            ("vault", "{address: 'https://u:p@v', key: k, token_env: T}", "vault.address"),
            ("vault", "{address: 'https://v', mount: a/../b, key: k, token_env: T}", "vault.mount"),
            ("vault", "{address: 'https://v', key: a/b, token_env: T}", "vault.key"),
            ("vault", "{address: 'https://v', key: k, key_version: 2, token_env: T}", "vault.key_version"),
            ("vault", "{address: 'https://v', key: k}", "vault.token_file is missing"),
        ] {
            let (_, problems) = check(service, yaml, Use::Signing);
            assert!(problems.len() == 1 && problems[0].contains(word), "{yaml}: {problems:?}");
        }
    }
}
