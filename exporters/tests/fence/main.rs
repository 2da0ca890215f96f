//! Commit and checkpoint under orders of two writers, crashes and lost replies: no fork, and nothing acknowledged is lost. All orders in which
//! two writers make three commits without a fault are searched; with faults, of any kind and number, the nearest worlds: they are too many
//! to be searched to the end.
//!
//! What runs is the archive's own code: opening, settling, segments, `create_or_confirm`, commits, checkpoints. Two things are models: the
//! store ([`world`], the rules of S3), and the collector around the archive ([`writer`]: start-up's checks, sealing into a journal,
//! acknowledging). A writer's next request depends on the answers it got and on nothing else, so the code runs once for each
//! sequence of answers, and the search goes on over worlds, breadth first, each of them once.
//!
//! A search that can't find anything proves nothing: with the condition of the write taken away, and with a delete marker in front of one
//! object, the same search must find a fork and a lost record.

#[path = "../sample/mod.rs"]
mod sample;

mod complete;
mod search;
mod world;
mod writer;

use search::{Found, search};
use world::Rules;

/// What the archive relies on.
const KEPT: Rules = Rules { conditional: true, markers: 0, commits: 3, faults: Some(0), worlds: usize::MAX };

#[test]
fn no_order_of_two_writers_forks_the_ledger_or_loses_what_was_acknowledged() {
    let Found { worlds, runs, broken, complete } = search(KEPT);
    println!("{worlds} worlds, {runs} runs of the archive's code, {complete} complete archives that verify");
    assert_eq!(broken, None);
    // Less would mean that the search ended early: nobody can have lost a race then.
    assert!(worlds > 5_000 && complete > 10, "{worlds} worlds, {complete} complete archives");
}

#[test]
fn no_crash_and_no_lost_reply_does_in_the_nearest_worlds() {
    let Found { worlds, runs, broken, complete } = search(Rules { faults: None, worlds: 30_000, ..KEPT });
    println!("{worlds} worlds, {runs} runs of the archive's code, {complete} complete archives that verify");
    assert_eq!(broken, None);
    assert!(worlds >= 30_000, "{worlds}");
}

#[test]
fn a_store_that_overwrites_is_found_out() {
    let broken = search(Rules { conditional: false, ..KEPT }).broken.expect("two writers overwrite one another");
    println!("{broken}");
}

#[test]
fn a_delete_marker_in_front_of_a_commit_is_found_out() {
    let broken = search(Rules { markers: 1, ..KEPT }).broken.expect("a marker lets a second writer in");
    println!("{broken}");
}
