//! Vault's transit engine: a real OpenBao.

use serde_json::json;
use tachograph_collector::keys::service::KeyService;
use tachograph_collector::keys::source::SecretSource;
use tachograph_collector::keys::vault::{Vault, VaultSettings};
use tachograph_tests::openbao::OpenBao;

use super::signs;

/// What docs/operating.md has an operator grant.
pub(crate) const SIGNING: &str = r#"
path "transit/keys/p256" { capabilities = ["read"] }
path "transit/sign/p256/sha2-256" { capabilities = ["update"] }
path "transit/keys/ed25519" { capabilities = ["read"] }
path "transit/sign/ed25519" { capabilities = ["update"] }
"#;
pub(crate) const MAC: &str = r#"
path "transit/hmac/mac/sha2-256" { capabilities = ["update"] }
"#;

fn settings(bao: &OpenBao, key: &str, token: std::path::PathBuf) -> VaultSettings {
    VaultSettings {
        address: bao.url(),
        mount: "transit".to_owned(),
        key: key.to_owned(),
        mac_version: 1,
        namespace: None,
        token: SecretSource::File(token),
        ca_file: None,
    }
}

fn key(bao: &OpenBao, key: &str, token: std::path::PathBuf) -> Vault {
    Vault::open(settings(bao, key, token)).expect("nothing is asked")
}

#[test]
fn both_kinds_of_keys_sign_and_a_third_makes_macs() {
    let bao = OpenBao::start();
    let token = bao.token_file("signing", SIGNING);
    signs(&key(&bao, "p256", token.clone()), "ECDSA P-256", &[1, 4_096, 100_000]);
    signs(&key(&bao, "ed25519", token.clone()), "Ed25519", &[1, 4_096, 100_000]);

    let made = key(&bao, "mac", bao.token_file("mac", MAC)).mac(b"message").expect("a MAC");
    let exported = bao.read("transit/export/hmac-key/mac/1");
    let secret = exported["data"]["keys"]["1"].as_str().expect("the key itself");
    let python = "import base64,hashlib,hmac,sys; print(hmac.new(base64.b64decode(sys.argv[1]),b'message',hashlib.sha256).hexdigest())";
    let done = tachograph_tests::programs::interpreter().args(["-c", python, secret]).output().expect("Python");
    let made: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), made);

    // One policy does not do the other's work, and the error says what is missing.
    let error = key(&bao, "mac", token).mac(b"message").expect_err("denied").to_string();
    assert!(error.contains("`update` on transit/hmac/mac/sha2-256"), "{error}");
}

#[test]
fn a_rotated_key_goes_on_signing_with_the_ledgers_version() {
    let bao = OpenBao::start();
    let token = bao.token_file("both", &format!("{SIGNING}{MAC}"));
    for name in ["p256", "ed25519"] {
        let service = key(&bao, name, token.clone());
        let first = service.public_key().expect("a key");
        bao.write(&format!("transit/keys/{name}/rotate"), &json!({}));
        let second = service.public_key().expect("a key");
        assert_ne!(first, second);
        for public in [&first, &second, &first] {
            let signature = service.sign(public, b"message").expect("signed");
            let vkey = public.named(super::name()).expect("a key");
            vkey.verify(b"message", &signature).expect("by the version that was asked for");
        }
    }
    let service = key(&bao, "mac", token.clone());
    let before = service.mac(b"message").expect("a MAC");
    bao.write("transit/keys/mac/rotate", &json!({}));
    assert_eq!(service.mac(b"message").expect("a MAC"), before, "made with the configured version");
    let second = Vault::open(VaultSettings { mac_version: 2, ..settings(&bao, "mac", token) });
    assert_ne!(second.expect("nothing is asked").mac(b"message").expect("a MAC"), before);
}

#[test]
fn sealed_stopped_and_back() {
    let bao = OpenBao::start();
    let service = key(&bao, "p256", bao.token_file("signing", SIGNING));
    let public = signs(&service, "ECDSA P-256", &[100]);
    bao.seal();
    let error = service.sign(&public, b"message").expect_err("sealed").to_string();
    assert!(error.contains("sealed"), "{error}");
    bao.unseal();
    assert_eq!(signs(&service, "ECDSA P-256", &[100]), public);
    bao.down();
    let error = service.sign(&public, b"message").expect_err("stopped").to_string();
    assert!(error.contains(&bao.url()), "{error}");
    bao.up();
    assert_eq!(signs(&service, "ECDSA P-256", &[100]), public);
}

#[test]
fn the_token_is_read_anew_and_never_shown() {
    let bao = OpenBao::start();
    let good = bao.token_file("signing", SIGNING);
    let renewed = bao.directory().join("renewed");
    std::fs::write(&renewed, "s.nonsense\n").expect("written");
    let service = key(&bao, "ed25519", renewed.clone());
    let error = service.public_key().expect_err("no good token").to_string();
    assert!(error.contains("`read` on transit/keys/ed25519") && !error.contains("nonsense"), "{error}");
    std::fs::copy(good, &renewed).expect("copied");
    signs(&service, "Ed25519", &[100]);
    std::fs::remove_file(&renewed).expect("removed");
    let error = service.public_key().expect_err("no token").to_string();
    assert!(error.contains("renewed"), "{error}");
}

#[test]
fn a_namespace_is_another_place() {
    let bao = OpenBao::start();
    bao.write("sys/namespaces/team", &json!({}));
    let token = bao.token_file("everywhere", "path \"team/transit/*\" { capabilities = [\"read\", \"update\"] }");
    bao.write("team/sys/mounts/transit", &json!({ "type": "transit" }));
    bao.write("team/transit/keys/p256", &json!({ "type": "ecdsa-p256" }));
    let there = VaultSettings { namespace: Some("team".to_owned()), ..settings(&bao, "p256", token.clone()) };
    signs(&Vault::open(there).expect("nothing is asked"), "ECDSA P-256", &[100]);
    key(&bao, "p256", token).public_key().expect_err("not the one above it");
}

#[test]
fn other_keys_are_refused_with_their_kind() {
    let bao = OpenBao::start();
    bao.write("transit/keys/derived", &json!({ "type": "ed25519", "derived": true }));
    bao.write("transit/keys/p384", &json!({ "type": "ecdsa-p384" }));
    let token = bao.token_file("reading", "path \"transit/*\" { capabilities = [\"read\", \"update\"] }");
    for (name, word) in [
        ("derived", "is derived"),
        ("p384", "of type ecdsa-p384"),
        ("mac", "of type hmac"),
        ("nobody", "there is no such key"),
    ] {
        let error = key(&bao, name, token.clone()).public_key().expect_err("refused").to_string();
        assert!(error.contains(word), "{error}");
    }
    let public = key(&bao, "p256", token.clone()).public_key().expect("a key");
    let error = key(&bao, "ed25519", token).sign(&public, b"x").expect_err("another key").to_string();
    assert!(error.contains("no version with the ledger's public key"), "{error}");
}
