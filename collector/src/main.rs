//! `tachograph`: the recorder's one binary. It parses the command line, runs the command, and turns the outcome into an
//! exit code; everything else is in the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
