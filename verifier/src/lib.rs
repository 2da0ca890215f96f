//! What verifying looks like on a command line: the arguments, the report in words, the exit code. The program `tachograph-verify` is this
//! and nothing else; the collector's `tachograph verify` adds what needs a network or a data directory.
//!
//! Invariant: this crate links `record`, `ledger` and the reading half of `exporters`, nothing of the collector and nothing of a network,
//! so that whoever trusts neither can read all of what they trust instead.

mod arguments;
mod bar;
pub mod escrow;
pub mod output;

use std::path::Path;

use tachograph_exporters::archive::Identity;
use tachograph_exporters::archive::store::Store;
use tachograph_exporters::bundle::check::check;
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::verify::{Options, Report, verify};

pub use arguments::Arguments;
pub use bar::Bar;

/// Whether `place` is a bundle, by its looks.
pub fn is_bundle(place: &Path) -> bool {
    Files::is_bundle(place)
}

/// Verifies a bundle, prints the report, and gives the exit code: 0, 1 or 2.
///
/// # Errors
/// If it can't be read, or an argument is wrong or of no use for a bundle.
pub fn verify_bundle(arguments: &Arguments) -> anyhow::Result<u8> {
    let required = arguments.required()?;
    let options = arguments.for_bundle()?;
    let files = Files::read(Path::new(&arguments.place))?;
    let report = check(&files, &arguments.place, &options);
    match arguments.json {
        true => output::line(&report.to_json()),
        false => output::bundle(&report, &required),
    }
    Ok(report.exit_code(&required))
}

/// Verifies the archive in `store`.
///
/// # Errors
/// If there is none, or the escrowed key is no good.
pub fn verify_archive(arguments: &Arguments, store: &dyn Store, options: Options<'_>) -> anyhow::Result<Report> {
    let key = match (&options.key, Identity::read(store)?) {
        (Some(key), _) => Some(key.clone()),
        (None, identity) => identity.ok().map(|identity| identity.vkey),
    };
    let mac_key = key.map(|key| arguments.mac_key(key.name())).transpose()?.flatten();
    let mac_key = mac_key.or(options.mac_key);
    Ok(verify(store, Options { mac_key, ..options })?)
}

/// Prints the report on an archive, and gives the exit code: 0, 1 or 2.
///
/// # Errors
/// If a required axis is unknown.
pub fn tell(arguments: &Arguments, report: &Report) -> anyhow::Result<u8> {
    let required = arguments.required()?;
    match arguments.json {
        true => output::line(&report.to_json()),
        false => output::archive(report, &required),
    }
    Ok(report.exit_code(&required))
}
