//! Keys in services: AWS KMS, PKCS#11 tokens, and Vault's transit engine, each against a real one where there is one.

mod kms;
mod ledgers;
mod pkcs11;
mod vault;

use tachograph_collector::keys::service::{KeyService, PublicKey};
use tachograph_ledger::LedgerName;

/// What every service must do with a signing key: sign what its public key verifies, also what is longer than most commits.
#[track_caller]
fn signs(service: &dyn KeyService, algorithm: &str, lengths: &[usize]) -> PublicKey {
    let public = service.public_key().expect("a public key");
    assert_eq!(public.algorithm(), algorithm);
    let vkey = public.named(name()).expect("a good key");
    for length in lengths {
        let message = vec![b'x'; *length];
        let signature = service.sign(&public, &message).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        vkey.verify(&message, &signature).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        vkey.verify(b"other", &signature).expect_err("another message");
    }
    public
}

fn name() -> LedgerName {
    LedgerName::parse("keys.example/audit").expect("a name")
}
