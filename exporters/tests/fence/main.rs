//! Commit and checkpoint under all orders of two writers, crashes and lost replies: no fork, and nothing acknowledged is lost.
//!
//! What runs is the archive's own code: opening, settling, segments, `create_or_confirm`, commits, checkpoints. Two things are models: the
//! store ([`world`], the rules of S3), and the collector around the archive ([`writer`]: start-up's checks, sealing into a journal,
//! acknowledging). A writer's next request depends on the answers it got and on nothing else, so the code runs once for each
//! sequence of answers, and the search goes on over worlds, breadth first, until there is none that it has not seen.
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
const KEPT: Rules = Rules { conditional: true, markers: 0, commits: 3, faults: Some(2) };

#[test]
fn no_order_of_crashes_and_lost_replies_forks_the_ledger_or_loses_what_was_acknowledged() {
    let ask = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rules = Rules { commits: ask("C").unwrap_or(3), faults: ask("F").map(|f| f as u8), ..KEPT };
    let Found { worlds, runs, broken, complete } = search(rules);
    println!("{worlds} worlds, {runs} runs of the archive's code, {complete} complete archives that verify");
    assert_eq!(broken, None);
    // Less would mean that the search ended early: nobody can have lost a race then.
    assert!(worlds > 1_000 && complete > 1, "{worlds} worlds, {complete} complete archives");
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
