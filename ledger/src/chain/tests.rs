use super::*;
use crate::leaf::genesis;
use crate::mac::{MacError, MacKey, MacScheme};
use crate::{Edge, Hash, LeafError, LedgerName, MAX_RECORDS, SigningKey, VerifyingKey, leaf_hash, root_of, sha256};

const EPOCH: u64 = 1 << 16;

fn vkey(name: &str) -> VerifyingKey {
    SigningKey::from_seed(LedgerName::parse(name).unwrap(), [5; 32]).public()
}

fn key() -> MacKey {
    MacKey::initial(MacScheme::V2, [6; 32])
}

fn entry() -> Entry<'static> {
    Entry {
        body_len: 2,
        body_sha256: sha256(b"{}"),
        event_time: 1,
        kind: "generation",
        producer: Some("p"),
        producer_epoch: None,
        producer_seq: Some(0),
        sealed_at: 2,
        span_id: None,
        trace_id: Some([1; 16]),
    }
}

/// Records as a reader finds them: leaf and hash.
fn chain(name: &str, count: usize) -> Vec<(Vec<u8>, Hash)> {
    let mut sealer = Sealer::new(&vkey(name), key()).unwrap();
    let seal = |at: usize| {
        let mut leaf = Vec::new();
        let sealed = sealer.seal(Entry { producer_seq: Some(at as u64), ..entry() }, &mut leaf).unwrap();
        (leaf, sealed.hash)
    };
    (0..count).map(seal).collect()
}

fn verify(records: &[(Vec<u8>, Hash)]) -> Result<ChainVerifier, ChainError> {
    let mut verifier = ChainVerifier::new(&vkey("a"));
    for (index, (leaf, hash)) in (0..).zip(records) {
        verifier.push(index, leaf, hash)?;
    }
    Ok(verifier)
}

/// A sealer whose next record is the first of epoch 1, with the key of epoch 0 still the newest.
fn at_turn_of_epoch() -> Sealer {
    let mut sealer = Sealer::resume(&vkey("a"), EPOCH - 1, sha256(b"prev"), key()).unwrap();
    sealer.seal(entry(), &mut Vec::new()).unwrap();
    assert_eq!((sealer.next_index(), sealer.mac_epoch()), (EPOCH, 0));
    sealer
}

#[test]
fn what_is_sealed_verifies() {
    let records = chain("a", 100);
    let verifier = verify(&records).unwrap();
    let hashes: Vec<_> = records.iter().map(|(_, hash)| *hash).collect();
    assert_eq!(verifier.next_index(), 100);
    assert_eq!(verifier.prev(), hashes[99]);
    assert_eq!(verifier.edge().root(), root_of(&hashes));
}

#[test]
fn a_leaf_is_appended_behind_what_the_buffer_holds() {
    let mut sealer = Sealer::new(&vkey("a"), key()).unwrap();
    assert_eq!(sealer.prev(), genesis(&vkey("a").to_line()));
    let mut buffer = b"before".to_vec();
    let first = sealer.seal(entry(), &mut buffer).unwrap();
    let second = sealer.seal(entry(), &mut buffer).unwrap();
    assert_eq!((first.index, second.index, sealer.next_index()), (0, 1, 2));
    assert_eq!((first.leaf_range.start, second.leaf_range.start), (6, first.leaf_range.end));
    assert_eq!(leaf_hash(&buffer[first.leaf_range]), first.hash);
    assert_eq!(leaf_hash(&buffer[second.leaf_range]), second.hash);
    assert_eq!(sealer.prev(), second.hash);
    key().verify(sealer.name(), 1, &second.hash, &second.mac).unwrap();
}

#[test]
fn a_refused_record_changes_nothing() {
    let mut sealer = Sealer::new(&vkey("a"), key()).unwrap();
    let before = sealer.snapshot();
    let mut buffer = b"before".to_vec();
    for bad in [
        Entry { kind: "\"", ..entry() },
        Entry { producer: Some(""), ..entry() },
        Entry { event_time: u64::MAX, ..entry() },
    ] {
        let refused = sealer.seal(bad, &mut buffer);
        assert!(matches!(refused, Err(SealError::Leaf(LeafError::Value { .. }))));
    }
    assert_eq!((sealer.snapshot(), buffer.as_slice()), (before, &b"before"[..]));
}

#[test]
fn a_restored_sealer_seals_the_same_again() {
    for mut sealer in [Sealer::new(&vkey("a"), key()).unwrap(), at_turn_of_epoch()] {
        let before = sealer.snapshot();
        let mut lost = Vec::new();
        let first: Vec<_> = (0..3).map(|_| sealer.seal(entry(), &mut lost).unwrap()).collect();
        sealer.restore(before.clone());
        assert_eq!(sealer.snapshot(), before);
        let mut again = Vec::new();
        let second: Vec<_> = (0..3).map(|_| sealer.seal(entry(), &mut again).unwrap()).collect();
        assert_eq!((first, lost), (second, again));
    }
}

#[test]
fn the_mac_key_evolves_with_the_first_record_of_an_epoch() {
    let mut sealer = at_turn_of_epoch();
    let sealed = sealer.seal(entry(), &mut Vec::new()).unwrap();
    assert_eq!((sealed.index, sealer.mac_epoch()), (EPOCH, 1));
    key().evolve().verify(sealer.name(), EPOCH, &sealed.hash, &sealed.mac).unwrap();

    assert_eq!(sealer.mac_key(0).unwrap().expose(), key().expose());
    sealer.retire_before(1);
    assert!(sealer.mac_key(0).is_none());
    assert_eq!(sealer.current_mac_key().expose(), key().evolve().expose());
    sealer.retire_before(u64::MAX);
    sealer.seal(entry(), &mut Vec::new()).unwrap();
}

#[test]
fn a_key_that_the_next_record_needs_is_not_retired() {
    let mut sealer = at_turn_of_epoch();
    sealer.retire_before(1);
    let sealed = sealer.seal(entry(), &mut Vec::new()).unwrap();
    key().evolve().verify(sealer.name(), EPOCH, &sealed.hash, &sealed.mac).unwrap();
}

#[test]
#[should_panic(expected = "a key is retired only after its last record was written")]
fn a_retired_epoch_can_not_be_restored() {
    let mut sealer = at_turn_of_epoch();
    let before = sealer.snapshot();
    sealer.seal(entry(), &mut Vec::new()).unwrap();
    sealer.retire_before(1);
    sealer.restore(before);
}

#[test]
#[should_panic(expected = "backwards only")]
fn a_sealer_is_not_restored_forwards() {
    let mut ahead = at_turn_of_epoch();
    ahead.seal(entry(), &mut Vec::new()).unwrap();
    at_turn_of_epoch().restore(ahead.snapshot());
}

#[test]
fn a_sealer_resumes_with_the_key_of_an_earlier_epoch() {
    let mut sealer = Sealer::resume(&vkey("a"), 3 * EPOCH, sha256(b"prev"), key()).unwrap();
    assert_eq!(sealer.mac_epoch(), 3);
    assert!(sealer.mac_key(0).is_some(), "the key file's key stays until it is told to go");
    sealer.retire_before(3);
    let sealed = sealer.seal(entry(), &mut Vec::new()).unwrap();
    let evolved = key().evolve_to(3).unwrap();
    evolved.verify(sealer.name(), 3 * EPOCH, &sealed.hash, &sealed.mac).unwrap();
}

#[test]
fn a_sealer_does_not_resume_with_a_key_of_a_later_epoch() {
    let refused = Sealer::resume(&vkey("a"), EPOCH, sha256(b""), key().evolve().evolve()).unwrap_err();
    assert_eq!(refused, SealError::Mac(MacError::Backwards { held: 2, wanted: 1 }));
}

#[test]
fn a_full_ledger_takes_nothing_more() {
    let last_epoch = MacKey::at(MacScheme::V2, (MAX_RECORDS - 1) >> 16, [1; 32]);
    let mut sealer = Sealer::resume(&vkey("a"), MAX_RECORDS - 1, sha256(b""), last_epoch).unwrap();
    sealer.seal(entry(), &mut Vec::new()).unwrap();
    assert_eq!(sealer.seal(entry(), &mut Vec::new()), Err(SealError::Full));
    let beyond = Sealer::resume(&vkey("a"), MAX_RECORDS + 1, sha256(b""), key());
    assert_eq!(beyond.unwrap_err(), SealError::Full);
}

#[test]
fn any_flipped_bit_of_leaf_or_hash_is_noticed() {
    let good = chain("a", 3);
    for bit in 0..good[1].0.len() * 8 {
        let mut records = good.clone();
        records[1].0[bit / 8] ^= 1 << (bit % 8);
        let error = verify(&records).unwrap_err();
        assert!(matches!(error, ChainError { index: 1, what: ChainFault::Hash { .. } }));
    }
    for bit in 0..256 {
        let mut records = good.clone();
        let mut bytes = *records[1].1.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        records[1].1 = Hash::from_bytes(bytes);
        assert!(matches!(verify(&records).unwrap_err(), ChainError { index: 1, what: ChainFault::Hash { .. } }));
    }
}

#[test]
fn deleted_inserted_and_swapped_records_are_noticed() {
    let good = chain("a", 5);
    let fault = |records: &[(Vec<u8>, Hash)]| {
        let error = verify(records).unwrap_err();
        (error.index, error.what)
    };
    let mut deleted = good.clone();
    deleted.remove(2);
    assert_eq!(fault(&deleted), (2, ChainFault::Index { found: 3 }));
    let mut doubled = good.clone();
    doubled.insert(2, good[1].clone());
    assert_eq!(fault(&doubled), (2, ChainFault::Index { found: 1 }));
    let mut swapped = good.clone();
    swapped.swap(1, 3);
    assert_eq!(fault(&swapped), (1, ChainFault::Index { found: 3 }));
    assert_eq!(fault(&good[1..]), (0, ChainFault::Index { found: 1 }));
}

#[test]
fn an_edited_record_with_a_new_hash_breaks_the_next_link() {
    let mut records = chain("a", 3);
    let edited = String::from_utf8(records[1].0.clone()).unwrap().replace("generation", "retrieval");
    let new_hash = leaf_hash(edited.as_bytes());
    let old_hash = records[1].1;
    records[1] = (edited.into_bytes(), new_hash);
    let error = verify(&records).unwrap_err();
    assert_eq!(error.index, 2);
    assert_eq!(error.what, ChainFault::Prev { found: old_hash, expected: new_hash });
}

#[test]
fn a_gap_in_the_rows_is_named() {
    let records = chain("a", 3);
    let mut verifier = ChainVerifier::new(&vkey("a"));
    verifier.push(0, &records[0].0, &records[0].1).unwrap();
    let error = verifier.push(2, &records[2].0, &records[2].1).unwrap_err();
    assert_eq!(error, ChainError { index: 2, what: ChainFault::Order { expected: 1 } });
    // The verifier stands where it stood.
    verifier.push(1, &records[1].0, &records[1].1).unwrap();
}

#[test]
fn records_of_another_ledger_or_key_are_noticed() {
    let other_name = verify(&chain("b", 1)).unwrap_err();
    let expected = LedgerName::parse("a").unwrap();
    assert_eq!(other_name.what, ChainFault::Ledger { found: "b".to_owned(), expected });

    let other_key = SigningKey::from_seed(LedgerName::parse("a").unwrap(), [9; 32]).public();
    let mut verifier = ChainVerifier::new(&other_key);
    let (leaf, hash) = &chain("a", 1)[0];
    let error = verifier.push(0, leaf, hash).unwrap_err();
    assert!(matches!(error.what, ChainFault::Prev { .. }));
}

#[test]
fn what_is_no_leaf_is_refused_even_if_its_hash_fits() {
    let mut verifier = ChainVerifier::new(&vkey("a"));
    let error = verifier.push(0, b"{}", &leaf_hash(b"{}")).unwrap_err();
    assert!(matches!(error.what, ChainFault::Leaf(LeafError::Syntax { .. })));
    assert_eq!(verifier.next_index(), 0);
}

#[test]
fn a_verifier_goes_on_from_an_edge() {
    let records = chain("a", 20);
    let before = verify(&records[..13]).unwrap();
    let edge = Edge::from_parts(13, before.edge().hashes().to_vec()).unwrap();
    let mut verifier = ChainVerifier::resume(&vkey("a"), edge, before.prev());
    for (index, (leaf, hash)) in (0..).zip(&records).skip(13) {
        verifier.push(index, leaf, hash).unwrap();
    }
    assert_eq!(verifier.edge(), verify(&records).unwrap().edge());
}
