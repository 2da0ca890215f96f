//! What verifying looks like on a command line: the arguments, the report in words, the exit code. The program `tachograph-verify` is this
//! and nothing else; the collector's `tachograph verify` adds what needs a network or a data directory.
//!
//! Invariant: this crate links `record`, `ledger` and the reading half of `exporters`, nothing of the collector and nothing of a network,
//! so that whoever trusts neither can read all of what they trust instead.

mod arguments;
mod bar;
pub mod escrow;
pub mod output;
mod shards;

use std::path::Path;

use tachograph_exporters::archive::Identity;
use tachograph_exporters::archive::store::Store;
use tachograph_exporters::bundle::check::check;
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::verify::{Options, Report, verify};

pub use arguments::{Arguments, key_line};
pub use bar::Bar;
pub use shards::{Shard, verify_shards};

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

/// Verifies the archive in `store`. The escrowed MAC key that was given is that of the ledger itself, and of none that was given as
/// `previous`.
///
/// # Errors
/// If there is none, or the escrowed key is no good.
pub fn verify_archive(
    arguments: &Arguments,
    store: &dyn Store,
    options: Options<'_>,
    is_previous: bool,
) -> anyhow::Result<Report> {
    if is_previous {
        return Ok(verify(store, options)?);
    }
    let key = match (&options.key, Identity::read(store)?) {
        (Some(key), _) => Some(key.clone()),
        (None, identity) => identity.ok().map(|identity| identity.vkey),
    };
    let mac_key = key.map(|key| arguments.mac_key(key.name())).transpose()?.flatten();
    let mac_key = mac_key.or(options.mac_key);
    Ok(verify(store, Options { mac_key, ..options })?)
}

/// Prints the reports on archives, that on the ledger itself first, and gives the worst exit code: 1, or else 2, or else 0.
pub fn tell(arguments: &Arguments, shards: &[Shard]) -> u8 {
    let code = worst(shards.iter().map(|shard| shard.report.exit_code(&shard.required)));
    let Some((newest, previous)) = shards.split_first() else { return code };
    match (arguments.json, previous) {
        (true, []) => output::line(&newest.report.to_json()),
        (true, _) => {
            let reports: Vec<&Report> = previous.iter().map(|shard| &shard.report).collect();
            output::line(&newest.report.all_to_json(&reports, output::word(code)));
        }
        (false, _) => {
            output::archive(&newest.report, &newest.required);
            for shard in previous {
                output::line("");
                output::archive(&shard.report, &shard.required);
            }
            if !previous.is_empty() {
                output::overall(shards.len(), code);
            }
        }
    }
    code
}

/// Tampering is worse than what could not be checked.
fn worst(codes: impl Iterator<Item = u8>) -> u8 {
    let rank = |code: &u8| [0, 2, 1].iter().position(|known| known == code);
    codes.max_by_key(rank).unwrap_or(0)
}
