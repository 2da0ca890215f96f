//! The escrow file: the first MAC key of a ledger, in other hands.
//!
//! ```text
//! tachograph-mac-escrow/v1
//! <ledger's name>
//! <64 hex>
//! ```

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use tachograph_ledger::{LedgerName, MacKey};
use tachograph_record::Hex;
use zeroize::Zeroizing;

/// First line of the file.
pub const HEADER: &str = "tachograph-mac-escrow/v1";

const MAX_BYTES: u64 = 64 << 10;

/// Reads an escrow file: with the key in it all MACs can be checked.
///
/// # Errors
/// If it is not one, or of another ledger.
pub fn read(path: &Path, ledger: &LedgerName) -> anyhow::Result<MacKey> {
    let place = path.display();
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    read.with_context(|| format!("{place}: the escrowed MAC key can't be read"))?;
    let mut lines = text.lines();
    match (lines.next(), lines.next(), lines.next().and_then(Hex::<32>::parse), lines.next()) {
        (Some(HEADER), Some(name), Some(Hex(key)), None) if name == ledger.as_str() => Ok(MacKey::initial(key)),
        (Some(HEADER), Some(name), Some(_), None) => bail!("{place}: the escrowed key of {name}, not of {ledger}"),
        _ => bail!("{place}: not an escrow file ({HEADER}, ledger, 64 hex)"),
    }
}
