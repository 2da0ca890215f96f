use super::*;
use crate::sha256;

const KEY: [u8; 32] = [7; 32];

fn name() -> LedgerName {
    LedgerName::parse("acme.example/ai-audit").unwrap()
}

#[test]
fn epochs_are_runs_of_65536_indexes() {
    for (index, epoch) in [(0, 0), (65_535, 0), (65_536, 1), (131_071, 1), (u64::MAX, (1 << 48) - 1)] {
        assert_eq!(epoch_of(index), epoch);
    }
}

/// Values of `hmac.new(key, message, "sha256")` in Python.
#[test]
fn agrees_with_values_computed_elsewhere() {
    let key = MacKey::initial(MacScheme::V1, KEY);
    let hash = sha256(b"record");
    let mac = key.mac(&name(), 5, &hash).unwrap();
    assert_eq!(Hash::from_bytes(mac).to_hex(), MAC_OF_RECORD_5);
    assert_eq!(Hash::from_bytes(*key.evolve().expose()).to_hex(), KEY_OF_EPOCH_1);
}

const MAC_OF_RECORD_5: &str = "e8089667e1c1a881aaf580f6d0303930b73a1435e9160e86b1f3a52104a73e06";
const KEY_OF_EPOCH_1: &str = "a3fbf1327a05673d53a781482ac91a4f8d169bfcd0ee6627426e0b1c7a445146";

#[test]
fn evolves_forward_only() {
    let step_by_step = MacKey::initial(MacScheme::V1, KEY).evolve().evolve().evolve();
    let at_once = MacKey::initial(MacScheme::V1, KEY).evolve_to(3).unwrap();
    assert_eq!((at_once.epoch(), at_once.expose()), (3, step_by_step.expose()));
    assert_eq!(at_once.evolve_to(3).unwrap().expose(), step_by_step.expose());
    assert_eq!(step_by_step.evolve_to(2).unwrap_err(), MacError::Backwards { held: 3, wanted: 2 });
}

#[test]
fn refuses_an_epoch_that_would_take_for_ever() {
    for wanted in [MAX_EVOLVE_STEPS + 1, u64::MAX] {
        let refused = MacKey::initial(MacScheme::V1, KEY).evolve_to(wanted).unwrap_err();
        assert_eq!(refused, MacError::TooFar { held: 0, wanted });
    }
}

#[test]
fn refuses_an_index_of_another_epoch() {
    let key = MacKey::at(MacScheme::V1, 1, KEY);
    let hash = sha256(b"");
    for (index, needed) in [(65_535, 0), (131_072, 2)] {
        let refused = MacError::WrongEpoch { index, needed, held: 1 };
        assert_eq!(key.mac(&name(), index, &hash), Err(refused.clone()));
        assert_eq!(key.verify(&name(), index, &hash, &[0; 32]), Err(refused));
    }
    key.mac(&name(), 65_536, &hash).unwrap();
}

#[test]
fn a_mac_holds_for_its_ledger_index_hash_and_key_alone() {
    let (key, hash) = (MacKey::initial(MacScheme::V1, KEY), sha256(b"record"));
    let mac = key.mac(&name(), 5, &hash).unwrap();
    key.verify(&name(), 5, &hash, &mac).unwrap();

    let other_name = LedgerName::parse("acme.example/ai-audi").unwrap();
    let other_key = MacKey::initial(MacScheme::V1, [8; 32]);
    let mismatch = |index| Err(MacError::Mismatch { index });
    assert_eq!(key.verify(&other_name, 5, &hash, &mac), mismatch(5));
    assert_eq!(key.verify(&name(), 6, &hash, &mac), mismatch(6));
    assert_eq!(key.verify(&name(), 5, &sha256(b"other"), &mac), mismatch(5));
    assert_eq!(other_key.verify(&name(), 5, &hash, &mac), mismatch(5));
    for bit in 0..256 {
        let mut flipped = mac;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(key.verify(&name(), 5, &hash, &flipped), mismatch(5), "bit {bit}");
    }
}

#[test]
fn debug_prints_no_key() {
    assert_eq!(format!("{:?}", MacKey::at(MacScheme::V1, 4, KEY)), "MacKey { epoch: 4, key: *** }");
}

/// Values of `hmac.new(key, message, "sha256")` in Python.
#[test]
fn under_scheme_2_the_key_of_macs_is_another_than_the_one_that_evolves() {
    let key = MacKey::initial(MacScheme::V2, KEY);
    assert_eq!(key.expose(), &KEY);
    assert_eq!(Hash::from_bytes(*key.publishable().unwrap().expose()).to_hex(), PUBLISHED_KEY_OF_EPOCH_0);
    let hash = sha256(b"record");
    let mac = key.mac(&name(), 5, &hash).unwrap();
    assert_eq!(Hash::from_bytes(mac).to_hex(), MAC_OF_RECORD_5_BY_SCHEME_2);
    let published = EpochKey::at(0, *key.publishable().unwrap().expose());
    published.verify(&name(), 5, &hash, &mac).unwrap();
    assert!(matches!(published.verify(&name(), 65_536, &hash, &mac), Err(MacError::WrongEpoch { .. })));
    let next = key.evolve();
    // It evolves as ever, and what was published is of no use for what comes.
    assert_eq!(Hash::from_bytes(*next.expose()).to_hex(), KEY_OF_EPOCH_1);
    assert_ne!(next.publishable().unwrap().expose(), published.expose());
}

const PUBLISHED_KEY_OF_EPOCH_0: &str = "d661a1248281affc887bc676041b904f18f3cfbc9e8c2511496b83001339f8b3";
const MAC_OF_RECORD_5_BY_SCHEME_2: &str = "e20d7198afecc907efac8791fc75ff2b79b7a24a42f87a4a50770dd7add42b4d";

#[test]
fn under_scheme_1_nothing_is_published_for_all_later_keys_would_follow_from_it() {
    assert!(MacKey::initial(MacScheme::V1, KEY).publishable().is_none());
}

#[test]
fn an_epoch_has_its_indexes() {
    assert_eq!(indexes_of(0), Some((0, 65_535)));
    assert_eq!(indexes_of(3), Some((196_608, 262_143)));
    let last = epoch_of(crate::MAX_RECORDS - 1);
    assert_eq!(indexes_of(last).unwrap().1, crate::MAX_RECORDS - 1);
    assert_eq!(indexes_of(last + 1), None);
}
