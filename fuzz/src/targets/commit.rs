//! A commit has one spelling: what was accepted and is signed again gives the same bytes.
//! The input is the signed text, because no fuzzer guesses a signature.

use tachograph_ledger::{Commit, sign_note};

use crate::signing;

pub(crate) fn run(data: &[u8]) {
    let _ = Commit::parse_unverified(data);
    let Some(text) = signing::text(data) else {
        return;
    };
    let note = sign_note(text, signing::key()).expect("the key is here");
    if let Ok(commit) = Commit::open(note.as_bytes(), &signing::key().public()) {
        let _ = commit.tree();
        assert_eq!(commit.sign(signing::key()), Ok(note), "an accepted commit has a second spelling");
    }
}
