//! `tachograph-verify`: verifies a bundle of evidence or an archive, offline.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tachograph_exporters::archive::store::DirectoryStore;
use tachograph_verifier::{Arguments, Bar, is_bundle, tell, verify_archive, verify_bundle};

/// Verify a bundle of evidence, or a whole archive in a directory, without the recorder and without a network. One verdict per axis;
/// one that could not be checked is INCOMPLETE, never a pass.
///
/// Exit code: 0 if no axis fails and all required ones pass; 1 if any fails (tampering); 2 if a required one is incomplete or something
/// could not be read.
#[derive(Parser)]
#[command(name = "tachograph-verify", version)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> ExitCode {
    match run(&Cli::parse().arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("tachograph-verify: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let place = Path::new(&arguments.place);
    if is_bundle(place) {
        return verify_bundle(arguments);
    }
    if arguments.place.starts_with("s3://") {
        bail!(
            "{}: this program has no network; copy the archive (aws s3 sync), or use `tachograph verify`",
            arguments.place
        );
    }
    if place.join("keys/mac.key").is_file() || place.join("journal").is_dir() {
        bail!(
            "{0} is a data directory: verify {0}/archive with --key {0}/ledger.vkey, or use `tachograph verify`",
            arguments.place
        );
    }
    // A mistake in the arguments is told before the work is done.
    arguments.required()?;
    let bar = Bar::new(std::io::stderr().is_terminal() && !arguments.json);
    let report = verify_archive(arguments, &DirectoryStore::reader(place)?, arguments.for_archive(&bar)?)?;
    bar.finish();
    tell(arguments, &report)
}
