//! PKCS#11: SoftHSM 2.

use std::path::PathBuf;
use std::process::Command;

use tachograph_collector::keys::pkcs11::{Pkcs11Key, Pkcs11Settings};
use tachograph_collector::keys::service::KeyService;
use tachograph_collector::keys::source::SecretSource;
use tachograph_tests::child::in_child;
use tachograph_tests::softhsm::{self, CONFIGURATION, PIN, SoftHsm, TOKEN};

use super::signs;

/// A token for the test's own process.
fn token(command: &mut Command) -> SoftHsm {
    let token = SoftHsm::new();
    command.env(CONFIGURATION, token.configuration());
    token
}

fn configuration() -> PathBuf {
    std::env::var_os(CONFIGURATION).expect("set for this process").into()
}

fn settings(key: &str) -> Pkcs11Settings {
    Pkcs11Settings {
        module: SoftHsm::module(),
        token: TOKEN.to_owned(),
        key: key.to_owned(),
        id: None,
        pin: SecretSource::File(configuration().with_file_name("pin")),
    }
}

fn key(label: &str) -> Pkcs11Key {
    Pkcs11Key::open(settings(label)).expect("nothing is asked")
}

#[test]
fn both_kinds_of_keys_sign_and_a_third_makes_macs() {
    in_child("pkcs11::both_kinds_of_keys_sign_and_a_third_makes_macs", token, || {
        let lengths: Vec<usize> = (1..60).chain([4_096, 100_000]).collect();
        // Many signatures, so that some have an r or s that is short, or begins with a set bit.
        signs(&key("p256"), "ECDSA P-256", &lengths);
        signs(&key("ed25519"), "Ed25519", &lengths);
        let mac = key("mac");
        let (one, other) = (mac.mac(b"message").expect("a MAC"), mac.mac(b"another").expect("a MAC"));
        assert_eq!(one, mac.mac(b"message").expect("the same"));
        assert_ne!(one, other);
    });
}

#[test]
fn a_token_that_was_pulled_out_and_comes_back_signs_again() {
    in_child("pkcs11::a_token_that_was_pulled_out_and_comes_back_signs_again", token, || {
        let (signing, mac) = (key("p256"), key("mac"));
        let public = signs(&signing, "ECDSA P-256", &[100]);
        let before = mac.mac(b"message").expect("a MAC");
        for _ in 0..2 {
            softhsm::pull_out(&configuration());
            let error = signing.sign(&public, b"message").expect_err("no token").to_string();
            assert!(error.contains(TOKEN), "{error}");
            mac.mac(b"message").expect_err("no token");
            softhsm::put_back(&configuration());
            assert_eq!(signs(&signing, "ECDSA P-256", &[100]), public);
            assert_eq!(mac.mac(b"message").expect("a MAC"), before);
        }
    });
}

#[test]
fn threads_share_a_key() {
    in_child("pkcs11::threads_share_a_key", token, || {
        let signing = key("ed25519");
        let public = signing.public_key().expect("a key");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| drop(signing.sign(&public, b"message").expect("signed"))));
            }
        });
    });
}

#[test]
fn a_wrong_pin_is_shown_to_the_token_once() {
    in_child("pkcs11::a_wrong_pin_is_shown_to_the_token_once", token, || {
        let pin_file = configuration().with_file_name("pin");
        std::fs::write(&pin_file, "999999\n").expect("another PIN");
        let signing = key("p256");
        let error = signing.public_key().expect_err("refused").to_string();
        assert!(error.contains("refuses the PIN") && !error.contains("999999"), "{error}");
        // Another key of the same token neither.
        let error = key("mac").mac(b"x").expect_err("not asked").to_string();
        assert!(error.contains("not asked again"), "{error}");
        std::fs::write(&pin_file, PIN).expect("the PIN");
        // Not even the right one, as long as the token remembers the wrong one: whoever starts here could not tell.
        let error = signing.public_key().expect_err("not shown").to_string();
        assert!(error.contains("log in once by hand"), "{error}");
        softhsm::log_in(&configuration(), PIN);
        signs(&signing, "ECDSA P-256", &[100]);
    });
}

#[test]
fn a_wrong_pin_is_shown_once_however_often_one_starts() {
    const NAME: &str = "pkcs11::a_wrong_pin_is_shown_once_however_often_one_starts";
    // The token remembers a wrong PIN of another process.
    let wrong_before = |command: &mut Command| {
        let token = token(command);
        let shown = std::panic::catch_unwind(|| softhsm::log_in(&token.configuration(), "999999"));
        assert!(shown.is_err(), "the token takes any PIN");
        std::fs::write(token.pin_file(), "999998\n").expect("yet another PIN");
        token
    };
    in_child(NAME, wrong_before, || {
        for _ in 0..2 {
            let error = key("p256").public_key().expect_err("not shown").to_string();
            assert!(error.contains("log in once by hand") && !error.contains("refuses the PIN"), "{error}");
        }
    });
}

#[test]
fn what_is_not_there_or_there_twice_is_named() {
    let twice = |command: &mut Command| {
        let token = token(command);
        token.make_pair("EC:prime256v1", "p256", "77");
        token.make_pair("EC:secp384r1", "p384", "78");
        token
    };
    in_child("pkcs11::what_is_not_there_or_there_twice_is_named", twice, || {
        let said = |settings: Pkcs11Settings| {
            let key = Pkcs11Key::open(settings).expect("nothing is asked");
            key.public_key().expect_err("not to be had").to_string()
        };
        for (settings, word) in [
            (settings("nobody"), "no public key of this label"),
            (settings("p256"), "several public keys"),
            (settings("p384"), "neither a P-256 nor an Ed25519"),
            (Pkcs11Settings { token: "elsewhere".to_owned(), ..settings("p256") }, "no token of this label"),
            (Pkcs11Settings { module: "/nonexistent.so".into(), ..settings("p256") }, "can't be loaded"),
            (Pkcs11Settings { pin: SecretSource::Env("NO_SUCH_PIN".to_owned()), ..settings("p256") }, "NO_SUCH_PIN"),
        ] {
            let error = said(settings);
            assert!(error.contains(word), "{error}");
        }
        let one = Pkcs11Settings { id: Some(vec![0x77]), ..settings("p256") };
        signs(&Pkcs11Key::open(one).expect("nothing is asked"), "ECDSA P-256", &[100]);
    });
}
