use proptest::prelude::*;

use super::*;
use crate::{Checkpoint, KeyError, LedgerName, SigningKey, sha256};

fn witness(name: &str) -> WitnessSigningKey {
    WitnessSigningKey::from_seed(WitnessName::parse(name).unwrap(), *sha256(name.as_bytes()).as_bytes())
}

fn ledger() -> SigningKey {
    SigningKey::from_seed(LedgerName::parse("acme.example/ai-audit").unwrap(), [7; 32])
}

fn stated() -> Checkpoint {
    Checkpoint { origin: ledger().name().clone(), size: 7, root: sha256(b"root") }
}

fn checkpoint() -> String {
    stated().sign(&ledger()).unwrap()
}

fn text() -> String {
    stated().text()
}

/// Of either kind, as the same witness.
fn both(name: &str) -> [WitnessSigningKey; 2] {
    let second = sha256(format!("second {name}").as_bytes());
    [witness(name), WitnessSigningKey::ml_dsa_44(WitnessName::parse(name).unwrap(), *second.as_bytes())]
}

#[test]
fn names_are_those_of_signed_notes() {
    let longest = "n".repeat(MAX_WITNESS_NAME_BYTES);
    for good in ["w", "witness.example/w1", "wächter", "a—b", "{\"q\"}", &longest] {
        assert_eq!(WitnessName::parse(good).unwrap().as_str(), good);
    }
    assert_eq!(WitnessName::parse(""), Err(WitnessNameError::Length { bytes: 0 }));
    assert_eq!(WitnessName::parse(&format!("{longest}n")), Err(WitnessNameError::Length { bytes: 256 }));
    for (bad, at, found) in [("a b", 1, ' '), ("a+b", 1, '+'), ("a\u{a0}", 1, '\u{a0}'), ("\u{7f}", 0, '\u{7f}')] {
        assert_eq!(WitnessName::parse(bad), Err(WitnessNameError::Character { at, found }));
    }
}

#[test]
fn keys_whose_parts_do_not_belong_together_are_refused() {
    let key = witness("w1");
    let (private, public) = (key.to_line(), key.public().to_line());
    assert!(matches!(WitnessVerifyingKey::parse(&public.replace("w1", "w2")), Err(KeyError::Id { .. })));
    assert_eq!(WitnessVerifyingKey::parse(&private), Err(KeyError::PrivateGiven));
    assert_eq!(WitnessSigningKey::parse(&public).unwrap_err(), KeyError::PrivateForm);
    let of_ledger = ledger().public().to_line();
    assert_eq!(WitnessVerifyingKey::parse(&of_ledger), Err(KeyError::Algorithm { found: 1, needed: "0x04 or 0x06" }));
    assert_eq!(format!("{key:?}"), "WitnessSigningKey { name: \"w1\", seed: *** }");
}

#[test]
fn an_answer_gives_the_witness_s_own_line_and_nothing_else() {
    for (key, other) in both("w1").into_iter().zip(both("w2")) {
        let (line, foreign) = (key.cosign(&stated(), 5), other.cosign(&stated(), 6));
        assert_eq!(key.public().take(&text(), &format!("{foreign}{line}")), Ok(line.clone()));
        assert!(matches!(key.public().take(&text(), &foreign), Err(NoteError::NotSigned { .. })));
        let of_another = key.cosign(&Checkpoint { size: 8, ..stated() }, 5);
        assert!(matches!(
            key.public().take(&text(), &format!("{line}{of_another}")),
            Err(NoteError::BadSignature { .. })
        ));
        // What the answer holds can't become part of what is signed.
        assert_eq!(key.public().take(&text(), &format!("more\n\n{line}")), Err(NoteError::Parts));
        for bad in ["", "\n", "no line\n", line.trim_end()] {
            key.public().take(&text(), bad).unwrap_err();
        }
    }
}

#[test]
fn both_keys_of_a_witness_stand_side_by_side() {
    let [first, second] = both("w1");
    assert_ne!(first.public().label(), second.public().label());
    assert!(!first.public().is_post_quantum() && second.public().is_post_quantum());
    assert_eq!(format!("{second:?}"), "WitnessSigningKey { name: \"w1\", seed: *** }");
    let lines = format!("{}{}", first.cosign(&stated(), 5), second.cosign(&stated(), 6));
    let note = parse_note(format!("{}{lines}", checkpoint()).as_bytes()).unwrap();
    assert_eq!(first.public().cosigned(&note), Ok(Some(5)));
    assert_eq!(second.public().cosigned(&note), Ok(Some(6)));
    // Each takes its own out of the same answer.
    assert_eq!(second.public().take(&text(), &lines).unwrap(), second.cosign(&stated(), 6));
    assert_eq!(first.public().take(&text(), &lines).unwrap(), first.cosign(&stated(), 5));
}

/// What ML-DSA-44 signs has the checkpoint's three lines in it and no other.
#[test]
fn a_line_that_is_not_signed_is_no_part_of_a_cosigned_checkpoint() {
    let [_, second] = both("w1");
    let longer = crate::sign_note(&format!("{}an extension\n", text()), &ledger()).unwrap();
    let note = parse_note(format!("{longer}{}", second.cosign(&stated(), 5)).as_bytes()).unwrap();
    assert!(matches!(second.public().cosigned(&note), Err(NoteError::BadSignature { .. })));
}

#[test]
fn of_two_times_the_earliest_counts() {
    for key in both("w1") {
        let note = format!("{}{}{}", checkpoint(), key.cosign(&stated(), 9), key.cosign(&stated(), 8));
        assert_eq!(key.public().cosigned(&parse_note(note.as_bytes()).unwrap()), Ok(Some(8)));
    }
}

#[test]
fn no_cosignature_is_without_a_time() {
    for key in both("w1") {
        let timed = |time| {
            let note = format!("{}{}", checkpoint(), key.cosign(&stated(), time));
            key.public().cosigned(&parse_note(note.as_bytes()).unwrap())
        };
        assert_eq!(timed(0), Ok(Some(1)));
        assert_eq!(timed(u64::MAX), Ok(Some(MAX_COSIGNATURE_TIME)));
    }
}

proptest! {
    #[test]
    fn a_changed_cosignature_never_counts(at in 0_usize..4_000, with: u8, kind in 0_usize..2) {
        let key = &both("w1")[kind];
        let good = format!("{}{}", checkpoint(), key.cosign(&stated(), 1_790_000_000));
        let mut bytes = good.clone().into_bytes();
        let at = good.len() - 1 - at % (good.len() - checkpoint().len());
        prop_assume!(bytes[at] != with);
        bytes[at] = with;
        let counted = parse_note(&bytes).and_then(|note| key.public().cosigned(&note));
        prop_assert!(!matches!(counted, Ok(Some(_))), "{:?}", String::from_utf8_lossy(&bytes));
    }
}
