//! Evidence bundles: a folder (or zip) that answers one question about a ledger and can be checked without us, years later, offline.
//! `docs/format.md` section 9 has every byte.
//!
//! | module | owns |
//! |---|---|
//! | [`about`] | `bundle.json` and the lines of `records.jsonl` |
//! | [`files`] | the files of a bundle, in a folder or a zip |
//! | [`maker`] | making one from an archive |
//! | `evidence` | which checkpoint, witnesses and time stamps the archive has for it |
//! | [`streams`] | what shows that none of a session or an agent is missing |
//! | [`check`] | verifying one |
//! | [`story`], [`page`] | what it tells a person, and the `index.html` that tells it; `telling` makes the one from the rest |
//!
//! Invariants: a bundle is checked as a stranger would before it is handed out; nothing in one is believed before its proof leads to a
//! root that the ledger's key signed.

pub mod about;
pub mod check;
mod evidence;
pub mod files;
pub mod maker;
pub mod page;
pub mod story;
pub mod streams;
mod telling;

#[cfg(test)]
mod tests;

/// How to check a bundle, and the programs that do: file name and content, the same in every bundle.
pub const ASSETS: [(&str, &str); 4] = [
    ("VERIFY.md", include_str!("bundle/assets/VERIFY.md")),
    ("verify.py", include_str!("bundle/assets/verify.py")),
    ("verify.sh", include_str!("bundle/assets/verify.sh")),
    ("verify.sql", include_str!("bundle/assets/verify.sql")),
];

/// Name of the file that says what a bundle is about; by it a folder is known for one.
pub const ABOUT: &str = "bundle.json";
pub(crate) const VKEY: &str = "ledger.vkey";
pub(crate) const KEYS: &str = "keys/";
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const WITNESSED: &str = "witnessed";
pub(crate) const RECORDS: &str = "records.jsonl";
pub(crate) const MANIFEST: &str = "MANIFEST.sha256";
pub(crate) const NOT_AFTER: &str = "not-after/";
pub(crate) const NOT_BEFORE: &str = "not-before.tsr";
pub(crate) const NOT_BEFORE_CHECKPOINT: &str = "not-before.checkpoint";
/// A stream's place in each generation that is covered.
pub(crate) const STREAMS: &str = "streams.json";
pub(crate) const PAGE: &str = "index.html";
const PROOFS: &str = "proofs/";
/// The recorder's statements about these generations.
pub(crate) const CLOSED: &str = "closed/";
const PROOF: &str = ".tlog-proof";

/// Most records of a bundle.
pub const MAX_RECORDS: usize = 100_000;

/// Most bytes of all files of a bundle together.
pub const MAX_BYTES: u64 = 1 << 30;

pub(crate) fn closed_path(index: u64) -> String {
    format!("{CLOSED}{index:020}{PROOF}")
}

pub(crate) fn proof_path(index: u64) -> String {
    format!("{PROOFS}{index:020}{PROOF}")
}
