//! The end of a ledger: from here on it takes no record of a sender, ever.
//!
//! ```text
//! DIR/closed      {"by":"uid:<number>","format":"1","from":"<index>"}
//! ```
//!
//! The marker is durable before the statement `ledger.closed` is sealed, and is never removed: whatever crash comes between, a start finds
//! it, takes nothing, and seals the statement if it is not there yet. Only the writer writes it, behind all that it took before: the
//! statement stands at index `from` or a little behind, with nothing but the recorder's own between. A start that finds the statement and
//! no marker, as in a directory that was put back from an older copy, writes the marker anew.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_exporters::archive::tree::{TreeError, TreeReader};
use tachograph_exporters::archive::{MAX_NOTE_BYTES, paths};
use tachograph_exporters::verify::{RECORDER_PRODUCER, closes};
use tachograph_ledger::shard::LEDGER_CLOSED;
use tachograph_ledger::{Checkpoint, Leaf};
use tachograph_record::Value;

use crate::data_dir::{DataDir, DataDirError};
use crate::view::ViewError;

/// Who closed a ledger, and from which record on nothing of a sender stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The person, as the kernel named them: `uid:<number>`. `-` where the marker was made anew.
    pub by: String,
    /// No record of a sender has this index or a higher one.
    pub from: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    by: String,
    format: String,
    from: String,
}

impl Marker {
    /// What the file says.
    pub fn encode(&self) -> String {
        let file = File { by: self.by.clone(), format: "1".to_owned(), from: self.from.to_string() };
        // Three strings: nothing that JSON lacks.
        serde_json::to_string(&file).unwrap_or_default() + "\n"
    }

    /// Reads the file; `None` if it is another.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let file: File = serde_json::from_slice(bytes).ok()?;
        let this = Self { by: file.by, from: file.from.parse().ok()? };
        (file.format == "1" && this.encode().as_bytes() == bytes).then_some(this)
    }
}

/// How far a ledger's end has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The decision.
    pub marker: Marker,
    /// Index of the statement, once it is sealed.
    pub statement: Option<u64>,
}

/// Looks for the statement in the archive.
///
/// # Errors
/// If the archive can't be read.
pub fn in_archive(archive: &Reader, from: u64) -> Result<Option<u64>, ReadError> {
    in_run(archive, from..archive.size())
}

/// The same in a run of its records.
///
/// # Errors
/// If the archive can't be read.
pub fn in_run(archive: &Reader, run: Range<u64>) -> Result<Option<u64>, ReadError> {
    let ledger = archive.identity().vkey.name();
    let found = archive.find_within(run, "action_type", Value::Text(LEDGER_CLOSED))?;
    Ok(found.into_iter().find(|found| closes(&found.body, ledger)).map(|found| found.index))
}

/// The record that closes the ledger, where nobody knows whether there is one. Behind it there are the recorder's own alone, so that the
/// search ends, from the end, with the first commit that has another's.
///
/// # Errors
/// If the archive can't be read.
pub fn search(archive: &Reader, tree: &TreeReader) -> Result<Option<u64>, TreeError> {
    for commit in archive.commits().iter().rev() {
        if let Some(index) = in_run(archive, commit.first..commit.end())? {
            return Ok(Some(index));
        }
        let mut others = false;
        tree.each_leaf(commit.first, commit.end(), |_, leaf, _| {
            others |= Leaf::parse(leaf).map_or(true, |leaf| leaf.producer != Some(RECORDER_PRODUCER));
            Ok(())
        })?;
        if others {
            return Ok(None);
        }
    }
    Ok(None)
}

/// A ledger that is closed, and whose end is archived.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Index of the statement.
    pub statement: u64,
    /// Records under the first checkpoint that covers it.
    pub size: u64,
    /// That checkpoint's note.
    pub checkpoint: String,
}

/// The end of the ledger in a data directory, as its archive has it; `None` if it is not closed, or that is not archived yet.
///
/// # Errors
/// If directory or archive can't be read.
pub fn archived(data_dir: &DataDir) -> Result<Option<Closed>, ViewError> {
    let Some(marker) = data_dir.closed()? else { return Ok(None) };
    let place = data_dir.archive()?;
    if place.directory().is_some_and(|path| !path.is_dir()) {
        return Ok(None);
    }
    let archive = Reader::open(place.reader()?)?;
    let check = archive.identity().clone().check_key(data_dir.vkey());
    check.map_err(|source| ViewError::Identity { place: archive.store().place(), source })?;
    let Some(statement) = in_archive(&archive, marker.from)? else { return Ok(None) };
    // A checkpoint lies behind each commit, but perhaps behind the newest.
    for commit in archive.commits().iter().filter(|commit| commit.end() > statement) {
        let path = paths::checkpoint(commit.end());
        if archive.store().len(&path)?.is_none() {
            continue;
        }
        let note = archive.store().read(&path, MAX_NOTE_BYTES)?;
        let damaged = |what: String| ReadError::Damaged { path: path.clone(), what };
        let checkpoint = Checkpoint::open(&note, archive.keys()).map_err(|error| damaged(error.to_string()))?;
        if checkpoint.size != commit.end() || checkpoint.root != commit.root {
            return Err(
                damaged("not the checkpoint of the commit before it; run `tachograph verify`".to_owned()).into()
            );
        }
        let checkpoint = String::from_utf8_lossy(&note).into_owned();
        return Ok(Some(Closed { statement, size: commit.end(), checkpoint }));
    }
    Ok(None)
}

/// Reads the marker of a data directory's file.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Marker, DataDirError> {
    let what = "not the mark of a closed ledger. It was closed: restore the file, or verify the archive to see where";
    Marker::parse(bytes).ok_or_else(|| DataDirError::damaged(path, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_has_one_spelling() {
        let marker = Marker { by: "uid:1000".to_owned(), from: 41 };
        assert_eq!(marker.encode(), "{\"by\":\"uid:1000\",\"format\":\"1\",\"from\":\"41\"}\n");
        assert_eq!(Marker::parse(marker.encode().as_bytes()), Some(marker.clone()));
        for odd in ["", "{}", "{\"by\":\"uid:1000\",\"format\":\"1\",\"from\":\"41\"}"] {
            assert_eq!(Marker::parse(odd.as_bytes()), None, "{odd}");
        }
        for (from, to) in [("\"41\"", "\"041\""), ("\"1\"", "\"2\""), ("\"41\"", "41"), ("by", "of")] {
            assert_eq!(Marker::parse(marker.encode().replace(from, to).as_bytes()), None, "{from}");
        }
    }
}
