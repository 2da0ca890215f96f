//! Names of the objects in an archive, and what a name says.

use tachograph_ledger::Hash;

/// Who the archive belongs to.
pub const LEDGER: &str = "ledger.json";
pub(crate) const LEAVES: &str = "leaves/";
pub(crate) const RECORDS: &str = "records/";
pub(crate) const COMMITS: &str = "commit/";
pub(crate) const CHECKPOINTS: &str = "checkpoint/";
pub(crate) const WITNESSED: &str = "witnessed/";
/// Folder of the links between the ledger's keys.
pub const KEYS: &str = "keys/";
/// Folder of the time-stamp tokens.
pub const TIMESTAMPS: &str = "timestamp/";

pub(crate) fn leaves(day: &str, first: u64, count: u64, sha256: &Hash) -> String {
    format!("{LEAVES}day={day}/{}", parquet(first, count, sha256))
}

pub(crate) fn records(class: &str, day: &str, first: u64, count: u64, sha256: &Hash) -> String {
    format!("{RECORDS}class={class}/day={day}/{}", parquet(first, count, sha256))
}

fn parquet(first: u64, count: u64, sha256: &Hash) -> String {
    format!("{first:020}-{count}{}", end(sha256))
}

/// How the name of a Parquet object of this content ends.
fn end(sha256: &Hash) -> String {
    format!("-{}.parquet", &sha256.to_hex()[..16])
}

/// Whether a Parquet object of this content may have this name.
pub(crate) fn has_hash(path: &str, sha256: &Hash) -> bool {
    path.ends_with(&end(sha256))
}

pub(crate) fn commit(first: u64) -> String {
    format!("{COMMITS}{first:020}")
}

/// The checkpoint of that many records.
pub fn checkpoint(size: u64) -> String {
    format!("{CHECKPOINTS}{size:020}")
}

pub(crate) fn witnessed(size: u64) -> String {
    format!("{WITNESSED}{size:020}")
}

/// The link between keys that the record at `index` makes.
pub fn key_link(index: u64) -> String {
    format!("{KEYS}{index:020}")
}

/// A time-stamp token of this content over the checkpoint of `size` records.
pub fn timestamp(size: u64, sha256: &Hash) -> String {
    format!("{TIMESTAMPS}{size:020}-{}.tsr", &sha256.to_hex()[..16])
}

/// The size of the checkpoint that a token is over, by its name.
pub fn timestamp_of(path: &str) -> Option<u64> {
    let (size, hash) = path.strip_prefix(TIMESTAMPS)?.strip_suffix(".tsr")?.split_once('-')?;
    let is_hex = hash.len() == 16 && hash.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    digits(size).filter(|_| is_hex)
}

/// The number that a commit, checkpoint or witnessed checkpoint is named after.
pub(crate) fn number_of(path: &str, folder: &str) -> Option<u64> {
    digits(path.strip_prefix(folder)?)
}

/// Index of the first record of a Parquet object, by its name.
pub(crate) fn first_of(path: &str) -> Option<u64> {
    let (first, _) = path.rsplit('/').next()?.split_once('-')?;
    digits(first)
}

/// Index of the first record and number of records of a leaves object, by its name.
pub(crate) fn leaves_of(path: &str) -> Option<(u64, u64)> {
    let name = path.strip_prefix(LEAVES)?.rsplit('/').next()?;
    let (first, rest) = name.split_once('-')?;
    let (count, _) = rest.split_once('-')?;
    Some((digits(first)?, count.parse().ok()?))
}

/// Exactly 20 digits.
fn digits(text: &str) -> Option<u64> {
    let good = text.len() == 20 && text.bytes().all(|c| c.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}
