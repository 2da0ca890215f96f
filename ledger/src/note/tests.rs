use proptest::prelude::*;

use super::*;
use crate::LedgerName;

/// The example of Go's `golang.org/x/mod/sumdb/note` documentation.
const PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const SIGNATURE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer() -> SigningKey {
    SigningKey::parse(PRIVATE).unwrap()
}

fn public() -> VerifyingKey {
    VerifyingKey::parse(PUBLIC).unwrap()
}

fn other() -> SigningKey {
    SigningKey::from_seed(LedgerName::parse("EnochRoot").unwrap(), [9; 32])
}

#[test]
fn the_public_example_is_reproduced() {
    assert_eq!(signer().to_line().as_str(), PRIVATE);
    assert_eq!(signer().public().to_line(), PUBLIC);
    assert_eq!(public().to_line(), PUBLIC);
    assert_eq!(sign_note(TEXT, &signer()).unwrap(), NOTE);
    let note = parse_note(NOTE.as_bytes()).unwrap();
    note.verify(&public()).unwrap();
    assert_eq!(note.text(), TEXT);
    assert_eq!(note.claimed_signers().collect::<Vec<_>>(), ["PeterNeumann"]);
}

#[test]
fn signatures_of_unknown_keys_are_ignored() {
    let witness = sign_note(TEXT, &other()).unwrap().split_off(TEXT.len() + 1);
    for note in [format!("{NOTE}{witness}"), format!("{TEXT}\n{witness}{SIGNATURE}")] {
        let note = parse_note(note.as_bytes()).unwrap();
        note.verify(&public()).unwrap();
        note.verify(&other().public()).unwrap();
    }
    // The same name with another id is another key.
    let same_name = SigningKey::from_seed(public().name().clone(), [1; 32]);
    let signature = sign_note(TEXT, &same_name).unwrap().split_off(TEXT.len() + 1);
    parse_note(format!("{TEXT}\n{signature}{SIGNATURE}").as_bytes()).unwrap().verify(&public()).unwrap();
}

#[test]
fn a_note_is_reduced_to_what_its_signer_gave() {
    let foreign = sign_note(TEXT, &other()).unwrap().split_off(TEXT.len() + 1);
    let noted = parse_note(format!("{TEXT}\n{foreign}{SIGNATURE}{foreign}").as_bytes()).unwrap();
    assert_eq!(noted.reduced_to(&public()).unwrap(), NOTE);
    let unsigned = parse_note(sign_note(TEXT, &other()).unwrap().as_bytes()).unwrap();
    assert!(matches!(unsigned.reduced_to(&public()), Err(NoteError::NotSigned { .. })));
}

#[test]
fn without_the_keys_signature_nothing_is_believed() {
    let note = parse_note(sign_note(TEXT, &other()).unwrap().as_bytes()).unwrap();
    let refused = note.verify(&public()).unwrap_err();
    assert_eq!(refused, NoteError::NotSigned { key: "PeterNeumann+c74f20a3".to_owned() });
}

#[test]
fn one_false_signature_of_the_key_rejects_the_note() {
    let false_line = sign_note("another text\n", &signer()).unwrap().split_off("another text\n\n".len());
    let short_line = format!("— PeterNeumann {}\n", STANDARD.encode([&public().key_id()[..], &[1]].concat()));
    let bad = Err(NoteError::BadSignature { key: "PeterNeumann+c74f20a3".to_owned() });
    for note in [
        format!("{TEXT}\n{false_line}"),
        format!("{NOTE}{false_line}"),
        format!("{TEXT}\n{false_line}{SIGNATURE}"),
        format!("{TEXT}\n{short_line}"),
        format!("Another text.\n\n{SIGNATURE}"),
    ] {
        assert_eq!(parse_note(note.as_bytes()).unwrap().verify(&public()), bad, "{note}");
    }
}

#[test]
fn the_last_empty_line_ends_the_text() {
    let text = "one\n\n— a b\n\ntwo\n";
    let note = sign_note(text, &signer()).unwrap();
    let note = parse_note(note.as_bytes()).unwrap();
    assert_eq!(note.text(), text);
    note.verify(&public()).unwrap();
}

#[test]
fn other_forms_are_refused() {
    let line = NoteError::SignatureLine { line: 1 };
    for (note, error) in [
        (String::new(), NoteError::Parts),
        (TEXT.to_owned(), NoteError::Parts),
        (format!("{TEXT}\n"), NoteError::Parts),
        (NOTE.trim_end().to_owned(), NoteError::Parts),
        (format!("{TEXT}{SIGNATURE}"), NoteError::Parts),
        (format!("{NOTE}\n"), NoteError::Parts),
        (format!("{NOTE}more\n"), NoteError::SignatureLine { line: 2 }),
        (NOTE.replace('—', "-"), line.clone()),
        (NOTE.replace("— ", "—"), line.clone()),
        (NOTE.replace("— PeterNeumann", "—  PeterNeumann"), line.clone()),
        (NOTE.replace("— PeterNeumann", "— Peter+Neumann"), line.clone()),
        (NOTE.replace("— PeterNeumann", "— Peter\u{a0}Neumann"), line.clone()),
        (NOTE.replace("nAM=", "nAM"), line.clone()),
        (NOTE.replace("nAM=", "nAM=="), line.clone()),
        (NOTE.replace("nAM=", "nAN="), line.clone()),
        (NOTE.replace("nAM=\n", "nAM= \n"), line.clone()),
        ("text\n\n— name AAAAAA==\n".to_owned(), line),
        (NOTE.replace("If", "I\tf"), NoteError::Text { offset: 1 }),
        (NOTE.replace('\n', "\r\n"), NoteError::Text { offset: 56 }),
    ] {
        assert_eq!(parse_note(note.as_bytes()).unwrap_err(), error, "{note:?}");
    }
    assert_eq!(parse_note(b"ab\xff\n\n"), Err(NoteError::Text { offset: 2 }));
}

#[test]
fn size_and_signatures_are_bounded() {
    let huge = vec![b'a'; MAX_NOTE_BYTES + 1];
    assert_eq!(parse_note(&huge), Err(NoteError::TooLong { bytes: MAX_NOTE_BYTES + 1 }));
    let most = format!("{TEXT}\n{}", SIGNATURE.repeat(MAX_SIGNATURES));
    parse_note(most.as_bytes()).unwrap().verify(&public()).unwrap();
    let more = format!("{most}{SIGNATURE}");
    assert_eq!(parse_note(more.as_bytes()), Err(NoteError::TooManySignatures));
}

#[test]
fn keys_whose_parts_do_not_belong_together_are_refused() {
    let wrong_id = PUBLIC.replace("c74f20a3", "c74f20a4");
    let refused = VerifyingKey::parse(&wrong_id).unwrap_err();
    let id = KeyError::Id { found: "c74f20a4".to_owned(), expected: "c74f20a3".to_owned() };
    assert_eq!(refused, id);
    assert_eq!(SigningKey::parse(&PRIVATE.replace("c74f20a3", "c74f20a4")).unwrap_err(), id);
    assert!(matches!(VerifyingKey::parse(&PUBLIC.replace("Peter", "Paul")), Err(KeyError::Id { .. })));
    assert_eq!(VerifyingKey::parse(PRIVATE), Err(KeyError::PrivateGiven));
    assert_eq!(SigningKey::parse(PUBLIC).unwrap_err(), KeyError::PrivateForm);
    for bad in ["", "a", "a+b+c", &PUBLIC[..PUBLIC.len() - 1], &PUBLIC.replace("c74f20a3", "C74F20A3")] {
        assert_eq!(VerifyingKey::parse(bad), Err(KeyError::PublicForm), "{bad}");
    }
    let cosigner = format!("a+00000000+{}", STANDARD.encode([4; 33]));
    assert_eq!(VerifyingKey::parse(&cosigner), Err(KeyError::Algorithm { found: 4, needed: "0x01 or 0x02" }));
    assert_eq!(VerifyingKey::parse(&format!("{PUBLIC}\n")).unwrap(), public());
}

#[test]
fn weak_and_impossible_points_are_refused() {
    let name = || LedgerName::parse("a").unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(VerifyingKey::from_bytes(name(), &identity), Err(KeyError::Point));
    let mut no_point = [0; 32];
    no_point[0] = 2;
    assert_eq!(VerifyingKey::from_bytes(name(), &no_point), Err(KeyError::Point));
}

#[test]
fn debug_prints_no_secret() {
    assert_eq!(format!("{:?}", signer()), "SigningKey { name: \"PeterNeumann\", seed: *** }");
}

#[test]
#[should_panic(expected = "lines of plain text")]
fn a_text_without_its_last_newline_is_not_signed() {
    let _ = sign_note("text", &signer());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_note(&bytes);
        let _ = VerifyingKey::parse(&String::from_utf8_lossy(&bytes));
        let _ = SigningKey::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_changed_note_never_verifies(at in 0..NOTE.len(), with: u8) {
        let mut bytes = NOTE.as_bytes().to_vec();
        prop_assume!(bytes[at] != with);
        bytes[at] = with;
        let verified = parse_note(&bytes).and_then(|note| note.verify(&public()));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn any_text_of_lines_is_signed_and_read(lines in prop::collection::vec("[ -~äß—]{0,30}", 1..6)) {
        let text = lines.join("\n") + "\n";
        let note = parse_note(sign_note(&text, &signer()).unwrap().as_bytes()).unwrap();
        prop_assert_eq!(note.text(), text);
        prop_assert_eq!(note.verify(&public()), Ok(()));
    }
}
