use proptest::prelude::*;

use super::*;
use crate::{Checkpoint, KeyError, LedgerName, SigningKey, sha256};

fn witness(name: &str) -> WitnessSigningKey {
    WitnessSigningKey::from_seed(WitnessName::parse(name).unwrap(), *sha256(name.as_bytes()).as_bytes())
}

fn ledger() -> SigningKey {
    SigningKey::from_seed(LedgerName::parse("acme.example/ai-audit").unwrap(), [7; 32])
}

fn checkpoint() -> String {
    Checkpoint { origin: ledger().name().clone(), size: 7, root: sha256(b"root") }.sign(&ledger()).unwrap()
}

fn text() -> String {
    parse_note(checkpoint().as_bytes()).unwrap().text().to_owned()
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
    assert_eq!(WitnessVerifyingKey::parse(&of_ledger), Err(KeyError::Algorithm { found: 1, needed: "0x04" }));
    assert_eq!(format!("{key:?}"), "WitnessSigningKey { name: \"w1\", seed: *** }");
}

#[test]
fn an_answer_gives_the_witness_s_own_line_and_nothing_else() {
    let (key, other) = (witness("w1"), witness("w2"));
    let (line, foreign) = (key.cosign(&text(), 5), other.cosign(&text(), 6));
    assert_eq!(key.public().take(&text(), &format!("{foreign}{line}")), Ok(line.clone()));
    assert!(matches!(key.public().take(&text(), &foreign), Err(NoteError::NotSigned { .. })));
    let of_other_text = key.cosign("other\n", 5);
    assert!(matches!(
        key.public().take(&text(), &format!("{line}{of_other_text}")),
        Err(NoteError::BadSignature { .. })
    ));
    // What the answer holds can't become part of what is signed.
    let longer = key.cosign(&format!("{}\nmore\n", text()), 5);
    assert_eq!(key.public().take(&text(), &format!("more\n\n{longer}")), Err(NoteError::Parts));
    for bad in ["", "\n", "no line\n", line.trim_end()] {
        key.public().take(&text(), bad).unwrap_err();
    }
}

#[test]
fn of_two_times_the_earliest_counts() {
    let key = witness("w1");
    let note = format!("{}{}{}", checkpoint(), key.cosign(&text(), 9), key.cosign(&text(), 8));
    assert_eq!(key.public().cosigned(&parse_note(note.as_bytes()).unwrap()), Ok(Some(8)));
}

#[test]
fn no_cosignature_is_without_a_time() {
    let key = witness("w1");
    let timed = |time| {
        let note = format!("{}{}", checkpoint(), key.cosign(&text(), time));
        key.public().cosigned(&parse_note(note.as_bytes()).unwrap())
    };
    assert_eq!(timed(0), Ok(Some(1)));
    assert_eq!(timed(u64::MAX), Ok(Some(MAX_COSIGNATURE_TIME)));
}

proptest! {
    #[test]
    fn a_changed_cosignature_never_counts(at in 0_usize..200, with: u8) {
        let key = witness("w1");
        let good = format!("{}{}", checkpoint(), key.cosign(&text(), 1_790_000_000));
        let mut bytes = good.clone().into_bytes();
        let at = good.len() - 1 - at % (good.len() - checkpoint().len());
        prop_assume!(bytes[at] != with);
        bytes[at] = with;
        let counted = parse_note(&bytes).and_then(|note| key.public().cosigned(&note));
        prop_assert!(!matches!(counted, Ok(Some(_))), "{:?}", String::from_utf8_lossy(&bytes));
    }
}
