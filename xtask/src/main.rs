//! The repository's own commands, `cargo xtask …`: one command per task, the same for a person and for CI.
//!
//! Every command sets up what it needs under `<target>/xtask` and nowhere else, so deleting that folder undoes it.
//! Only `anyhow` and the standard library are used, because this is built before anything else.

mod bench;
mod deny;
mod documents;
mod fuzz;
mod go;
mod lint;
mod oldest;
mod place;
mod process;
mod python;
mod setup;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

use place::Place;
use tally::Tally;

const HELP: &str = "\
The repository's own commands.

    cargo xtask test [PART]…        everything that CI runs, ending with `N passed, N failed`
                                    PART: lint, documents, rust, python, fuzz (all, unless some are named)
    cargo xtask lint                format, clippy, rustdoc, supply chain (cargo deny)
    cargo xtask fuzz [TARGET]       fuzz one target, or all, one after another
        --seconds N                 for how long each (60)
        --input FILE                run this one input instead: reproduces a crash
    cargo xtask soak                200 kills under load, a million records through kills of sender and collector, a minute
                                    of two collectors racing, all verified (release build)
    cargo xtask bench [ARG]…        measure speed and size (release build); `bench --help` lists its own options
                                    `bench calls`: a recorded call alone, beside its peers
    cargo xtask setup               only fetch what the tests need: Python environment, S3 servers, cargo-deny
    cargo xtask help                this page

What is fetched or built on the side stays under <target>/xtask; <target> is CARGO_TARGET_DIR or ./target.
Tests find Python in TACHOGRAPH_TEST_PYTHON and S3 servers in TACHOGRAPH_TEST_MINIO and TACHOGRAPH_TEST_VERSITYGW.
CONTRIBUTING.md says how these are meant to be used.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs one command. `Ok(false)` means that it ran and found something wrong.
fn dispatch(arguments: &[String]) -> Result<bool> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(true);
    };
    match command.as_str() {
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(true)
        }
        "test" => test::run(&Place::find()?, rest),
        "lint" => reject_extra(rest).and_then(|()| report(lint::run)),
        "fuzz" => fuzz::command(&Place::find()?, rest),
        "soak" => reject_extra(rest).and_then(|()| bench::soak(&Place::find()?)),
        "bench" => bench::run(&Place::find()?, rest),
        "setup" => reject_extra(rest).and_then(|()| setup::run(&Place::find()?)),
        unknown => bail!("there is no command {unknown:?}; `cargo xtask help` lists them"),
    }
}

fn reject_extra(rest: &[String]) -> Result<()> {
    match rest.first() {
        Some(extra) => {
            bail!("unexpected argument {extra:?}; `cargo xtask help` lists what each command takes")
        }
        None => Ok(()),
    }
}

fn report(part: fn(&Place, &mut Tally) -> Result<()>) -> Result<bool> {
    let mut tally = Tally::default();
    part(&Place::find()?, &mut tally)?;
    Ok(tally.close())
}
