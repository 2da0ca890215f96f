//! The long runs, on release builds: benchmarks and the soak test.

use std::process::Command;

use anyhow::Result;

use crate::place::Place;
use crate::{process, setup};

/// How many kills a soak makes; the test suite makes fewer.
const SOAK_ROUNDS: &str = "200";

/// How many records an application makes while it and the collector are killed; the test suite makes fewer.
const SOAK_RECORDS: &str = "1000000";

/// How long two collectors race in a soak.
const RACE_SECONDS: &str = "60";

/// `cargo xtask bench`: runs the benchmark program with the arguments given.
pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<bool> {
    // Of all parts the one that needs neither a collector nor the long build of one.
    if let [part, options @ ..] = arguments
        && part == "calls"
    {
        let mut command = place.cargo(&["run", "--release", "-p", "tachograph-calls", "--"]);
        return process::run(command.args(options));
    }
    if !build_collector(place)? {
        return Ok(false);
    }
    let mut command = place.cargo(&["run", "--release", "-p", "tachograph-tests", "--bin", "tachograph-bench", "--"]);
    tell_programs(place, &mut command)?;
    process::run(command.args(arguments))
}

/// `cargo xtask soak`: the crash test of the suite, ten times as long, a million records through kills of application and collector,
/// and the race of two collectors for a minute.
pub(crate) fn soak(place: &Place) -> Result<bool> {
    if !build_collector(place)? {
        return Ok(false);
    }
    let mut good = true;
    for (test, only, variable, value) in [
        ("crash", "", "TACHOGRAPH_CRASH_ROUNDS", SOAK_ROUNDS),
        ("losses", "", "TACHOGRAPH_LOSS_RECORDS", SOAK_RECORDS),
        ("s3", "race", "TACHOGRAPH_RACE_SECONDS", RACE_SECONDS),
    ] {
        let mut command =
            place.cargo(&["test", "--release", "-p", "tachograph-tests", "--test", test, only, "--", "--nocapture"]);
        tell_programs(place, &mut command)?;
        good &= process::run(command.env(variable, value))?;
    }
    Ok(good)
}

/// Names Python and the S3 servers, which are fetched first if need be.
fn tell_programs(place: &Place, command: &mut Command) -> Result<()> {
    for (variable, program) in setup::programs(place) {
        command.env(variable, program?);
    }
    Ok(())
}

/// Both start the real binary, which cargo does not build for another package's sake.
fn build_collector(place: &Place) -> Result<bool> {
    process::run(&mut place.cargo(&["build", "--release", "-p", "tachograph-collector", "--bin", "tachograph"]))
}
