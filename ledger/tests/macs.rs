//! MAC keys of scheme 2 against `tests/golden/mac-v2.json`, which an independent program made from `docs/format.md`.

use serde::Deserialize;
use tachograph_ledger::{EpochKey, Hash, LedgerName, MacKey, MacScheme, epoch_of};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/mac-v2.json");

#[derive(Deserialize)]
struct Vectors {
    name: String,
    first_key: String,
    keys: Vec<Key>,
    macs: Vec<Mac>,
}

#[derive(Deserialize)]
struct Key {
    epoch: u64,
    chain: String,
    published: String,
}

#[derive(Deserialize)]
struct Mac {
    index: u64,
    hash: String,
    mac: String,
}

fn bytes(hex: &str) -> [u8; 32] {
    *Hash::from_hex(hex).unwrap().as_bytes()
}

#[test]
fn keys_of_scheme_2_evolve_and_their_macs_agree() {
    let vectors: Vectors = serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap();
    let name = LedgerName::parse(&vectors.name).unwrap();
    let first = || MacKey::initial(MacScheme::V2, bytes(&vectors.first_key));
    for key in &vectors.keys {
        let evolved = first().evolve_to(key.epoch).unwrap();
        assert_eq!(*evolved.expose(), bytes(&key.chain), "epoch {}", key.epoch);
        assert_eq!(*evolved.publishable().unwrap().expose(), bytes(&key.published), "epoch {}", key.epoch);
    }
    for mac in &vectors.macs {
        let (hash, epoch) = (Hash::from_bytes(bytes(&mac.hash)), epoch_of(mac.index));
        assert_eq!(first().evolve_to(epoch).unwrap().mac(&name, mac.index, &hash), Ok(bytes(&mac.mac)));
        // Whoever has no more than what the ledger publishes.
        let published = vectors.keys.iter().find(|key| key.epoch == epoch).unwrap();
        EpochKey::at(epoch, bytes(&published.published)).verify(&name, mac.index, &hash, &bytes(&mac.mac)).unwrap();
    }
}
