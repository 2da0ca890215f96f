//! What an archive has to bound records in time and to show that others saw them: the checkpoint over them, its witnesses, its time
//! stamps, and the stamp whose hash the ledger held before them.

use std::collections::BTreeSet;

use tachograph_ledger::{Checkpoint, Hash, sha256};
use tachograph_record::{Body, Time, Value};

use super::check::anchored_token;
use super::maker::MakeError;
use crate::archive::reader::{ReadError, Reader};
use crate::archive::store::Store;
use crate::archive::{MAX_NOTE_BYTES, paths, witnessed};
use crate::timestamp::{self, MAX_TOKEN_BYTES};
use crate::verify::TIME_ANCHOR;

/// How many records behind a stamped checkpoint the record with the stamp's hash is looked for: it is sealed at once.
const ANCHOR_WITHIN: u64 = 1 << 20;
/// How many stamps are looked into for one whose certificate has not ended: with one an hour, those of some months.
const STAMPS_INSPECTED: usize = 4_096;
/// How many earlier stamps are tried.
const STAMPS_TRIED: usize = 8;

/// A checkpoint and what is beside it.
pub(crate) struct Evidence {
    pub(crate) checkpoint: Checkpoint,
    /// Its note, as the archive has it.
    pub(crate) note: String,
    /// With the cosignatures of witnesses.
    pub(crate) witnessed: Option<String>,
    /// Time-stamp tokens over it: name of the file, and bytes.
    pub(crate) tokens: Vec<(String, Vec<u8>)>,
}

impl Evidence {
    /// The first checkpoint over the record `last` that witnesses have cosigned and an authority has stamped; or else the first that
    /// was stamped, cosigned, or signed: in this order.
    ///
    /// A stamp whose certificate has ended at `now` counts only where there is no other: by itself it proves little.
    pub(crate) fn over(archive: &Reader, last: u64, now: Time) -> Result<Self, MakeError> {
        let ends: BTreeSet<u64> =
            archive.commits().iter().map(|commit| commit.end()).filter(|end| *end > last).collect();
        let store = &**archive.store();
        // A checkpoint follows its commit, and a collector that runs may be between the two.
        let there = |end: &u64| store.len(&paths::checkpoint(*end)).map_err(ReadError::from);
        let Some(signed) = ends.first().copied().filter(|end| !matches!(there(end), Ok(None))) else {
            let size = archive.commits().iter().rev().map(|commit| commit.end()).find(|end| *end <= last).unwrap_or(0);
            return Err(MakeError::NotYet { index: last, size });
        };
        let behind = |folder: &str| {
            // Behind the name of a smaller one: names are 20 digits and what follows.
            let listed = store.list_after(folder, &format!("{folder}{:020}~", signed - 1));
            listed.map_err(ReadError::from)
        };
        let tokens = behind(paths::TIMESTAMPS)?;
        let stamped: BTreeSet<u64> = tokens.iter().filter_map(|path| paths::timestamp_of(path)).collect();
        let cosigned = behind(paths::WITNESSED)?;
        let cosigned: BTreeSet<u64> =
            cosigned.iter().filter_map(|path| paths::number_of(path, paths::WITNESSED)).collect();
        let first = |sizes: &BTreeSet<u64>| sizes.iter().copied().find(|size| ends.contains(size));
        let lasting = lasting(archive, &tokens, &ends, now)?;
        let best = [&(&lasting & &cosigned), &lasting, &(&stamped & &cosigned), &stamped, &cosigned];
        let size = best.into_iter().find_map(first).unwrap_or(signed);
        let (checkpoint, note) = read_checkpoint(archive, size)?;
        // Whoever may write in the store could put something beside a checkpoint. What is not good is left out, and a verification of the
        // archive reports it.
        let witnessed = witnessed::read(store, size).map_err(ReadError::from)?;
        let witnessed = witnessed.and_then(|note| String::from_utf8(note).ok());
        let is_it = |witnessed: &String| {
            witnessed.starts_with(&note) && Checkpoint::open(witnessed.as_bytes(), archive.keys()).is_ok()
        };
        let tokens = tokens.iter().filter(|path| paths::timestamp_of(path) == Some(size));
        let mut tokens = tokens.map(|path| read_token(store, path)).collect::<Result<Vec<_>, _>>()?;
        tokens.retain(|(_, token)| timestamp::inspect(token, note.as_bytes()).is_ok());
        Ok(Self { checkpoint, witnessed: witnessed.filter(is_it), tokens, note })
    }
}

/// Records under the newest checkpoint.
pub(crate) fn signed_size(archive: &Reader) -> Result<u64, MakeError> {
    for commit in archive.commits().iter().rev() {
        // A checkpoint follows its commit, and a collector that runs may be between the two.
        if archive.store().len(&paths::checkpoint(commit.end())).map_err(ReadError::from)?.is_some() {
            return Ok(commit.end());
        }
    }
    Ok(0)
}

/// The first sizes that have a time stamp whose certificate has not ended.
fn lasting(archive: &Reader, tokens: &[String], ends: &BTreeSet<u64>, now: Time) -> Result<BTreeSet<u64>, MakeError> {
    let mut sizes = BTreeSet::new();
    for path in tokens.iter().take(STAMPS_INSPECTED) {
        let Some(size) = paths::timestamp_of(path).filter(|size| ends.contains(size)) else { continue };
        let (_, token) = read_token(&**archive.store(), path)?;
        let (_, note) = read_checkpoint(archive, size)?;
        if timestamp::inspect(&token, note.as_bytes()).is_ok_and(|stamp| stamp.expires > now) {
            sizes.insert(size);
            if sizes.len() >= STAMPS_TRIED {
                break;
            }
        }
    }
    Ok(sizes)
}

/// A time stamp whose hash the ledger holds.
pub(crate) struct Anchor {
    /// The record that holds it.
    pub(crate) index: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) token: Vec<u8>,
    /// The note that was stamped.
    pub(crate) checkpoint: Vec<u8>,
}

impl Anchor {
    /// The newest stamp whose hash stands before record `first`.
    pub(crate) fn before(archive: &Reader, first: u64) -> Result<Option<Self>, MakeError> {
        let store = &**archive.store();
        let mut tokens = store.list(paths::TIMESTAMPS).map_err(ReadError::from)?;
        tokens.retain(|path| paths::timestamp_of(path).is_some_and(|size| size <= first));
        for path in tokens.iter().rev().take(STAMPS_TRIED) {
            let Some(size) = paths::timestamp_of(path) else { continue };
            let (_, token) = read_token(store, path)?;
            let hash = sha256(&token);
            let within = size..first.min(size.saturating_add(ANCHOR_WITHIN));
            for found in archive.find_within(within, "action_type", Value::Text(TIME_ANCHOR))? {
                if holds(&found.body, &hash) {
                    let (_, note) = read_checkpoint(archive, size)?;
                    if timestamp::inspect(&token, note.as_bytes()).is_err() {
                        break;
                    }
                    return Ok(Some(Self {
                        index: found.index,
                        body: found.body,
                        token,
                        checkpoint: note.into_bytes(),
                    }));
                }
            }
        }
        Ok(None)
    }
}

/// Whether the recorder itself says in this body that a token has this hash.
fn holds(body: &[u8], hash: &Hash) -> bool {
    Body::parse(body).is_ok_and(|body| anchored_token(&body.record) == Some(*hash))
}

fn read_token(store: &dyn Store, path: &str) -> Result<(String, Vec<u8>), MakeError> {
    store.pin(path).map_err(ReadError::from)?;
    let token = store.read(path, MAX_TOKEN_BYTES).map_err(ReadError::from)?;
    Ok((path.trim_start_matches(paths::TIMESTAMPS).to_owned(), token))
}

/// The checkpoint at which a commit ends, and its note.
fn read_checkpoint(archive: &Reader, size: u64) -> Result<(Checkpoint, String), MakeError> {
    let path = paths::checkpoint(size);
    let store = archive.store();
    store.pin(&path).map_err(ReadError::from)?;
    let bytes = store.read(&path, MAX_NOTE_BYTES).map_err(ReadError::from)?;
    let checkpoint = Checkpoint::open(&bytes, archive.keys())
        .map_err(|source| MakeError::Checkpoint { path: path.clone(), source })?;
    let commit = archive.commits().iter().find(|commit| commit.end() == size);
    if commit.is_none_or(|commit| (checkpoint.size, checkpoint.root) != (size, commit.root)) {
        return Err(MakeError::Damaged { what: format!("{path} is not the checkpoint of its commit") });
    }
    // A note that was opened is UTF-8.
    Ok((checkpoint, String::from_utf8_lossy(&bytes).into_owned()))
}
