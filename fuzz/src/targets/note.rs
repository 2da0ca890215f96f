//! A note's text is the front of its bytes, and its signature counts only for exactly the bytes that were signed.

use tachograph_ledger::parse_note;

use crate::signing;

pub(crate) fn run(data: &[u8]) {
    if let Ok(note) = parse_note(data) {
        assert!(data.starts_with(note.text().as_bytes()), "the text is not what stands there");
        assert!(note.claimed_signers().next().is_some(), "a note without a signature was accepted");
        let _ = note.verify(&signing::key().public());
    }
    let Some(text) = signing::text(data) else {
        return;
    };
    let signed = tachograph_ledger::sign_note(text, signing::key()).expect("the key is here");
    let note = parse_note(signed.as_bytes()).expect("a signed note can be read");
    assert_eq!(note.text(), text);
    note.verify(&signing::key().public()).expect("our own signature is good");
}
