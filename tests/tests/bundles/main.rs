//! Evidence bundles, with real processes: `tachograph prove` on a ledger with witnesses and time stamps, and everybody who can check what
//! comes of it: `tachograph verify`, `tachograph-verify`, and the Python, DuckDB and OpenSSL programs in the bundle itself.

mod attacks;
mod checkers;
mod selections;
mod streams;

use tachograph_tests::command::Outcome;

/// The exit code must be `code`, and what it said must hold every one of `words`.
#[track_caller]
fn expect(told: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(told.code, code, "{}\n{}", told.stdout, told.stderr);
    let said = format!("{}{}", told.stdout, told.stderr);
    words.iter().for_each(|word| assert!(said.contains(word), "nothing of {word:?} in\n{said}"));
}
