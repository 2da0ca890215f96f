//! AWS KMS: moto's server, and for Ed25519 and long messages a double.

use tachograph_collector::keys::aws_kms::{AwsKms, AwsKmsSettings};
use tachograph_collector::keys::service::KeyService;
use tachograph_tests::child::in_child;
use tachograph_tests::kms::Kms;

use super::signs;

fn key(kms: &Kms, key: &str) -> AwsKms {
    let settings = AwsKmsSettings { key: key.to_owned(), region: None, endpoint: Some(kms.endpoint()) };
    AwsKms::open(&settings).expect("nothing is asked")
}

#[test]
fn moto_signs_with_p256_and_makes_macs() {
    in_child("kms::moto_signs_with_p256_and_makes_macs", Kms::let_in, || {
        let kms = Kms::moto();
        let signing = kms.make("ECC_NIST_P256", "SIGN_VERIFY");
        let service = key(&kms, &signing);
        signs(&service, "ECDSA P-256", &[1, 100, 4_096]);
        let mac = kms.make("HMAC_256", "GENERATE_VERIFY_MAC");
        let service = key(&kms, &mac);
        assert_eq!(service.mac(b"message").expect("a MAC").to_vec(), kms.mac(&mac, b"message"));
        // Each kind of key refuses the other's work, and the error names the key.
        let error = service.public_key().expect_err("no public key").to_string();
        assert!(error.contains(&mac), "{error}");
    });
}

#[test]
fn what_moto_does_not_have_is_an_error_that_says_so() {
    in_child("kms::what_moto_does_not_have_is_an_error_that_says_so", Kms::let_in, || {
        let kms = Kms::moto();
        let error = key(&kms, "4f0a1b6c-0000-4000-8000-000000000000").public_key().expect_err("no such key");
        assert!(error.to_string().contains("there is no such key"), "{error}");
        let other = kms.make("ECC_NIST_P384", "SIGN_VERIFY");
        let error = key(&kms, &other).public_key().expect_err("of another kind").to_string();
        assert!(error.contains(&other) && error.contains("ECC_NIST_P256"), "{error}");
    });
}

#[test]
fn the_double_signs_with_ed25519_and_long_messages_with_p256() {
    in_child("kms::the_double_signs_with_ed25519_and_long_messages_with_p256", Kms::let_in, || {
        let kms = Kms::double();
        let ed25519 = key(&kms, &kms.make("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"));
        let public = signs(&ed25519, "Ed25519", &[1, 4_096]);
        let error = ed25519.sign(&public, &[b'x'; 4_097]).expect_err("too long").to_string();
        assert!(error.contains("4097") && error.contains("P-256"), "{error}");
        let p256 = key(&kms, &kms.make("ECC_NIST_P256", "SIGN_VERIFY"));
        signs(&p256, "ECDSA P-256", &[1, 4_096, 4_097, 100_000]);
    });
}

#[test]
fn nobody_there_and_nobody_who_asks_are_told_apart() {
    let nowhere = AwsKmsSettings {
        key: "alias/ledger".to_owned(),
        region: None,
        // Port 1 of loopback: nothing listens there.
        endpoint: Some("http://127.0.0.1:1".to_owned()),
    };
    let asked = nowhere.clone();
    in_child("kms::nobody_there_and_nobody_who_asks_are_told_apart", Kms::let_in, || {
        let error = AwsKms::open(&asked).expect("nothing is asked").mac(b"x").expect_err("nobody there").to_string();
        assert!(error.contains("alias/ledger") && error.contains("check network"), "{error}");
    });
}

#[test]
fn without_credentials_the_error_says_what_to_set() {
    let without = |command: &mut std::process::Command| {
        Kms::let_in(command);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    };
    in_child("kms::without_credentials_the_error_says_what_to_set", without, || {
        let settings = AwsKmsSettings {
            key: "alias/ledger".to_owned(),
            region: Some("eu-central-1".to_owned()),
            endpoint: Some("http://127.0.0.1:1".to_owned()),
        };
        let error = AwsKms::open(&settings).expect("nothing is asked").mac(b"x").expect_err("nobody").to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID"), "{error}");
    });
}
