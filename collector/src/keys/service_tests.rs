//! Tests of what all services share.

use std::sync::Mutex;

use tachograph_ledger::SigningKey;

use super::*;

/// A service for these tests: a key in memory, which can be away.
struct Double {
    key: SigningKey,
    away: Mutex<bool>,
}

impl Double {
    fn with(seed: u8) -> Self {
        Self { key: SigningKey::from_seed(name(), [seed; 32]), away: Mutex::new(false) }
    }
}

fn name() -> LedgerName {
    LedgerName::parse("acme.example/audit").expect("a name")
}

impl KeyService for Double {
    fn place(&self) -> String {
        "the double".to_owned()
    }

    fn public_key(&self) -> Result<PublicKey, ServiceError> {
        PublicKey::of(&self.key.public()).ok_or_else(|| ServiceError::new("none"))
    }

    fn sign(&self, _key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, ServiceError> {
        match *self.away.lock().expect("a lock") {
            true => Err(ServiceError::new("the double is away")),
            false => Ok(Signer::sign(&self.key, message).expect("in memory")),
        }
    }

    fn mac(&self, message: &[u8]) -> Result<Zeroizing<[u8; 32]>, ServiceError> {
        Ok(Zeroizing::new(*tachograph_ledger::sha256(message).as_bytes()))
    }
}

#[test]
fn keys_keep_their_lines() {
    let ed25519 = SigningKey::from_seed(name(), [7; 32]).public();
    let key = PublicKey::of(&ed25519).expect("an Ed25519 key");
    assert_eq!(key.named(name()).expect("the same").to_line(), ed25519.to_line());
    assert_eq!(key.algorithm(), "Ed25519");
    // The generator of P-256 (SEC 2), a point as good as any.
    let point = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                 4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let point: Vec<u8> = (0..64).map(|at| u8::from_str_radix(&point[2 * at..2 * at + 2], 16).expect("hex")).collect();
    let key = PublicKey::from_point(&[&[0x04][..], &point].concat()).expect("a point");
    let named = key.named(name()).expect("on the curve");
    assert_eq!(PublicKey::of(&named), Some(key));
    let nowhere = PublicKey::P256([4; 65]);
    assert!(nowhere.named(name()).is_err(), "not on the curve");
}

#[test]
fn a_signer_begins_while_the_service_is_away_and_goes_on_when_it_is_back() {
    let double = Double::with(7);
    *double.away.lock().expect("a lock") = true;
    let vkey = double.key.public();
    let double = Box::leak(Box::new(double));
    let signer = ServiceSigner::new(vkey, Box::new(&*double)).expect("nothing is asked");
    assert_eq!(signer.sign(b"x").expect_err("away").what, "the double is away");
    *double.away.lock().expect("a lock") = false;
    assert_eq!(signer.sign(b"x").expect("back").len(), 64);
    signer.compare().expect("the ledger's key");
}

#[test]
fn another_key_than_the_ledgers_is_named() {
    let signer = ServiceSigner::new(Double::with(7).key.public(), Box::new(Double::with(8))).expect("nothing is asked");
    let error = signer.compare().expect_err("another key").to_string();
    assert!(error.contains(&Double::with(8).key.public().to_line()) && error.contains("the double"), "{error}");
}

#[test]
fn the_first_mac_key_is_bound_to_name_and_key() {
    let vkey = Double::with(7).key.public();
    let message = [b"tachograph/mac/root/v1\0acme.example/audit\0", vkey.to_line().as_bytes()].concat();
    let made = first_mac_key(&Double::with(7), &vkey).expect("made");
    assert_eq!(*made, *tachograph_ledger::sha256(&message).as_bytes());
}

impl KeyService for &'static Double {
    fn place(&self) -> String {
        (*self).place()
    }

    fn public_key(&self) -> Result<PublicKey, ServiceError> {
        (*self).public_key()
    }

    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, ServiceError> {
        (*self).sign(key, message)
    }

    fn mac(&self, message: &[u8]) -> Result<Zeroizing<[u8; 32]>, ServiceError> {
        (*self).mac(message)
    }
}

#[test]
fn what_a_service_says_is_one_line_and_not_long() {
    let error = ServiceError::new(format!("KMS: a\n  b\r\n\u{1b}[31m{}", "é".repeat(5_000)));
    assert!(error.what.starts_with("KMS: a b [31mé"), "{}", error.what);
    assert_eq!(error.what.chars().count(), 1_001);
}
