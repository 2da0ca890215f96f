//! `tachograph-verify`: verifies a bundle of evidence or an archive, offline.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::Parser;
use tachograph_exporters::archive::store::{DirectoryStore, StoreError};
use tachograph_exporters::verify::Beginning;
use tachograph_verifier::{Arguments, Bar, is_bundle, tell, verify_archive, verify_bundle, verify_shards};

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
    if is_bundle(Path::new(&arguments.place)) {
        return verify_bundle(arguments);
    }
    // A mistake in the arguments is told before the work is done.
    arguments.required()?;
    let places = std::iter::once(&arguments.place).chain(&arguments.previous);
    let stores = places.map(|place| open(place)).collect::<anyhow::Result<Vec<_>>>()?;
    let beginnings: Vec<Beginning> =
        stores.iter().map(|store| store.as_ref().map(|store| Beginning::read(store)).unwrap_or_default()).collect();
    let bar = Bar::new(std::io::stderr().is_terminal() && !arguments.json);
    let shards = verify_shards(arguments, &beginnings, &bar, &|at, options| {
        let store = stores[at].as_ref().map_err(StoreError::clone)?;
        verify_archive(arguments, store, options, at > 0)
    })?;
    bar.finish();
    Ok(tell(arguments, &shards))
}

/// A place that is of no use to this program is a mistake; one that can't be read is told of in its report.
fn open(place: &str) -> anyhow::Result<Result<DirectoryStore, StoreError>> {
    if place.starts_with("s3://") {
        bail!("{place}: this program has no network; copy the archive (aws s3 sync), or use `tachograph verify`");
    }
    let path = Path::new(place);
    if path.join("keys/mac.key").is_file() || path.join("journal").is_dir() {
        bail!(
            "{place} is a data directory: verify {place}/archive with --key {place}/ledger.vkey, or use `tachograph verify`"
        );
    }
    Ok(DirectoryStore::reader(path))
}
