//! What the program says of a place that is nothing it can verify. (Cargo builds a program for the tests of its own package alone: without
//! this file `cargo test --workspace` would leave the other tests without `tachograph-verify`.)

use std::process::Command;

#[test]
fn a_place_that_is_no_archive_is_an_error_and_no_verdict() {
    let empty = tempfile::tempdir().unwrap();
    for (place, what) in [(empty.path().join("none"), "none"), (empty.path().to_owned(), "ledger.json")] {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_tachograph-verify"));
        let answer = verify.arg(&place).output().unwrap();
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        assert_eq!(answer.status.code(), Some(2), "{said}");
        assert!(said.contains(what) && answer.stdout.is_empty(), "{said}");
    }
}

#[test]
fn a_private_key_that_is_given_by_mistake_is_not_repeated() {
    let empty = tempfile::tempdir().unwrap();
    for given in ["PRIVATE+KEY+a/b+0123abcd+c2VjcmV0", " PRIVATE+KEY+c2VjcmV0"] {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_tachograph-verify"));
        let answer = verify.arg(empty.path()).args(["--key", given]).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
        assert_eq!(answer.status.code(), Some(2), "{said}");
        assert!(said.contains("--key was given a private key") && !said.contains("c2VjcmV0"), "{said}");
    }
}
