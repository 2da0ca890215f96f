use super::*;
use crate::note::SigningKey;
use crate::sha256;

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(LedgerName::parse(name).unwrap(), [3; 32])
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: LedgerName::parse("a/b").unwrap(), size: 7, root: sha256(b"root") }
}

#[test]
fn what_was_signed_opens() {
    let note = checkpoint().sign(&key("a/b")).unwrap();
    assert_eq!(Checkpoint::open(note.as_bytes(), &key("a/b").public()).unwrap(), checkpoint());
    assert_eq!(Checkpoint::parse_unverified(note.as_bytes()).unwrap(), checkpoint());
}

/// The example of the specification's page.
#[test]
fn the_published_example_is_read() {
    let note = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let checkpoint = Checkpoint::parse_unverified(note.as_bytes()).unwrap();
    assert_eq!(checkpoint.origin.as_str(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.root.to_hex(), "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62");
}

#[test]
fn any_flipped_bit_is_noticed() {
    let (note, public) = (checkpoint().sign(&key("a/b")).unwrap(), key("a/b").public());
    for bit in 0..note.len() * 8 {
        let mut bytes = note.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Checkpoint::open(&bytes, &public).is_err(), "bit {bit}");
    }
}

#[test]
fn a_signed_text_of_another_form_is_refused() {
    let key = key("a/b");
    let root = STANDARD.encode([1; 32]);
    let open = |text: String| Checkpoint::open(sign_note(&text, &key).unwrap().as_bytes(), &key.public());
    assert!(open(format!("a/b\n7\n{root}\n")).is_ok());
    for (text, error) in [
        (format!("a/b\n07\n{root}\n"), CheckpointError::Size),
        (format!("a/b\n-7\n{root}\n"), CheckpointError::Size),
        (format!("a/b\n18446744073709551616\n{root}\n"), CheckpointError::Size),
        (format!("a/b\n7\n{}\n", STANDARD.encode([1; 31])), CheckpointError::Root),
        (format!("a/b\n7\n{}\n", root.trim_end_matches('=')), CheckpointError::Root),
        (format!("a/b\n7\n{root}\nextension\n"), CheckpointError::Lines),
        (format!("a/b\n7\n{root}\n\n"), CheckpointError::Lines),
        ("a/b\n7\n".to_owned(), CheckpointError::Lines),
        (format!("\n7\n{root}\n"), CheckpointError::Origin(NameError::Length { bytes: 0 })),
    ] {
        assert_eq!(open(text.clone()), Err(error), "{text:?}");
    }
    let other = open(format!("a/c\n7\n{root}\n")).unwrap_err();
    assert_eq!(other.to_string(), "the checkpoint is of ledger `a/c`, the key of `a/b`");
}

#[test]
fn another_ledgers_key_does_not_open_it() {
    let note = checkpoint().sign(&key("a/b")).unwrap();
    let refused = Checkpoint::open(note.as_bytes(), &key("a/c").public()).unwrap_err();
    assert!(matches!(refused, CheckpointError::Note(NoteError::NotSigned { .. })));
}

#[test]
#[should_panic(expected = "a ledger signs with its own key")]
fn another_ledgers_key_does_not_sign_it() {
    let _ = checkpoint().sign(&key("a/c"));
}
