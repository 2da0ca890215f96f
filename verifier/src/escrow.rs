//! The escrow file: the first MAC key of a ledger, in other hands.
//!
//! ```text
//! tachograph-mac-escrow/v2
//! <ledger's name>
//! <64 hex>
//! ```
//!
//! The first line says by which scheme the ledger's keys follow from it: ledgers of the first releases have `/v1`, for ever.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use tachograph_ledger::{LedgerName, MacKey, MacScheme};
use tachograph_record::Hex;
use zeroize::Zeroizing;

const HEADERS: [(&str, MacScheme); 2] =
    [("tachograph-mac-escrow/v1", MacScheme::V1), ("tachograph-mac-escrow/v2", MacScheme::V2)];

const MAX_BYTES: u64 = 64 << 10;

/// Reads an escrow file: with the key in it all MACs can be checked.
///
/// # Errors
/// If it is not one, or of another ledger.
pub fn read(path: &Path, ledger: &LedgerName) -> anyhow::Result<MacKey> {
    let place = path.display();
    let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    read.with_context(|| format!("{place}: the escrowed MAC key can't be read"))?;
    if bytes.starts_with(b"age-encryption.org/") || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
        bail!("{place}: encrypted with age. Decrypt it with the program `age`: age -d -o PLAIN {place}");
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    let mut lines = text.lines();
    let scheme = lines.next().and_then(|line| HEADERS.iter().find(|(header, _)| *header == line));
    match (scheme, lines.next(), lines.next().and_then(Hex::<32>::parse), lines.next()) {
        (Some((_, scheme)), Some(name), Some(Hex(key)), None) if name == ledger.as_str() => {
            Ok(MacKey::initial(*scheme, key))
        }
        (Some(_), Some(name), Some(_), None) => bail!("{place}: the escrowed key of {name}, not of {ledger}"),
        _ => bail!("{place}: not an escrow file (tachograph-mac-escrow/v1 or /v2, ledger, 64 hex)"),
    }
}

/// What the escrow file of `ledger` says, whose first key is `key`; wiped when dropped.
pub fn text(ledger: &LedgerName, key: &MacKey) -> Zeroizing<String> {
    let header = HEADERS.iter().find(|(_, scheme)| *scheme == key.scheme()).map_or("", |(header, _)| *header);
    Zeroizing::new(format!("{header}\n{ledger}\n{}\n", Hex(*key.expose())))
}
