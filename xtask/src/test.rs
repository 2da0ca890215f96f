//! `cargo xtask test`: every part, one after another, however many fail; then the sum.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::fuzz::{self, Session};
use crate::place::Place;
use crate::process::{self, Watch};
use crate::tally::Tally;
use crate::{documents, lint, python, setup};

/// How long each fuzz target runs in the suite.
const SMOKE_SECONDS: u64 = 5;

type Part = fn(&Place, &mut Tally) -> Result<()>;

const PARTS: [(&str, Part); 5] = [
    ("lint", lint::run),
    ("documents", documents::run),
    ("rust", rust),
    ("python", python_tests),
    ("fuzz", fuzz_smoke),
];

/// Runs the parts that are named, or all; true if nothing failed.
pub(crate) fn run(place: &Place, names: &[String]) -> Result<bool> {
    let known = PARTS.map(|(name, _)| name).join(", ");
    if let Some(unknown) = names.iter().find(|name| !PARTS.iter().any(|(part, _)| part == name)) {
        bail!("there is no part {unknown:?}; the parts are {known}");
    }
    let mut tally = Tally::default();
    for (name, part) in PARTS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("\n== {name}");
        let began = Instant::now();
        if let Err(error) = part(place, &mut tally) {
            tally.fail(format!("{name}: {error:#}"));
        }
        println!("== {name} took {} s", began.elapsed().as_secs());
    }
    Ok(tally.close())
}

fn rust(place: &Place, tally: &mut Tally) -> Result<()> {
    let mut command = place.cargo(&["test", "--workspace", "--no-fail-fast"]);
    for (variable, program) in setup::programs(place) {
        match program {
            Ok(path) => drop(command.env(variable, path)),
            Err(error) => tally.fail(format!("rust: tests that need {variable} will fail: {error:#}")),
        }
    }
    if let Err(error) = setup::ensure_openssl() {
        tally.fail(format!("rust: tests of signatures and time stamps will fail: {error:#}"));
    }
    let mut counts = Counts::default();
    let success = process::watch(&mut command, Watch::Stdout, |line| counts.read(line))?;
    tally.pass(counts.passed);
    let found_failures = counts.failed > 0;
    for failure in counts.failures.iter().take(counts.failed as usize) {
        tally.fail(format!("rust: {failure}"));
    }
    for _ in counts.failures.len() as u64..counts.failed {
        tally.fail("rust: a test that gave no name");
    }
    if counts.ignored > 0 {
        tally.note(format!("{} Rust tests were ignored", counts.ignored));
    }
    if success == found_failures || (success && counts.passed == 0) {
        tally.fail("rust: cargo test did not run to its end: a compile error or an abort, see above");
    }
    Ok(())
}

fn python_tests(place: &Place, tally: &mut Tally) -> Result<()> {
    python::test(place, &python::ensure(place)?, tally)
}

fn fuzz_smoke(place: &Place, tally: &mut Tally) -> Result<()> {
    fuzz::run_all(place, &Session { seconds: SMOKE_SECONDS }, tally)
}

/// What libtest prints, summed over all test programs.
#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
    failures: Vec<String>,
}

impl Counts {
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count_before(result, " passed");
            self.failed += count_before(result, " failed");
            self.ignored += count_before(result, " ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
    }
}

/// The number that stands right before `word`.
fn count_before(text: &str, word: &str) -> u64 {
    let Some((before, _)) = text.split_once(word) else {
        return 0;
    };
    before.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn counts_are_summed_over_test_programs() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test b::c ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: ok. 40 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 1.00s",
            "all 40 passed",
        ] {
            counts.read(line);
        }
        assert_eq!((counts.passed, counts.failed, counts.ignored), (42, 1, 3));
        assert_eq!(counts.failures, ["b::c"]);
    }
}
