//! Making a bundle from an archive.

use std::collections::BTreeMap;

use tachograph_ledger::keys::MAX_LINK_BYTES;
use tachograph_ledger::{Checkpoint, CheckpointError, TlogProof};
use tachograph_record::Time;

use super::about::{About, RecordLine, Selection};
use super::check::{Options, check};
use super::evidence::{Anchor, Evidence, signed_size};
use super::files::Files;
use super::streams::{Stream, StreamsProof};
use super::telling::Telling;
use super::{
    ABOUT, ASSETS, CHECKPOINT, KEYS, MAX_BYTES, MAX_RECORDS, NOT_AFTER, NOT_BEFORE, NOT_BEFORE_CHECKPOINT, PAGE,
    RECORDS, STREAMS, VKEY, WITNESSED, closed_path, page, proof_path,
};
use crate::archive::reader::{ReadError, Reader};
use crate::archive::tree::{TreeError, TreeReader};
use crate::archive::{Links, paths};
use crate::verify::{Axis, Verdict};

/// What to prove.
#[derive(Clone, Debug)]
pub struct Request {
    /// What was asked for.
    pub selection: Selection,
    /// The records that answer, with their bodies; `None` for one that was destroyed.
    pub records: BTreeMap<u64, Option<Vec<u8>>>,
    /// In which order they are told to a person, causes before effects, and how many of those before it are each one's causes. Records
    /// that are not named here are told last.
    pub order: Vec<(u64, usize)>,
    /// The time of making.
    pub created_at: Time,
    /// The stream that is to be shown as a whole.
    pub stream: Option<Stream>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Nothing was selected.
    #[error("no record answers")]
    Nothing,
    /// Too much was selected.
    #[error("{records} records answer, a bundle holds at most {MAX_RECORDS}: ask for less at a time")]
    TooMany {
        /// How many.
        records: usize,
    },
    /// Too much was selected.
    #[error("the records have more than 1 GiB together: ask for less at a time")]
    TooLarge,
    /// The newest records are under no checkpoint.
    #[error(
        "record {index} is under no checkpoint yet, only {size} records are: it can be proven when its segment is archived \
         (`archive.max_age`, some seconds by default)"
    )]
    NotYet {
        /// The record.
        index: u64,
        /// Records under the newest checkpoint.
        size: u64,
    },
    /// The checkpoint is not good.
    #[error("{path}: {source}; run `tachograph verify`")]
    Checkpoint {
        /// The object.
        path: String,
        /// What is wrong.
        source: CheckpointError,
    },
    /// Something is not what the ledger says.
    #[error("{what}; run `tachograph verify`")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// The tree can't be read, or is damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The archive can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Makes a bundle: all its files, with the manifest.
pub fn make(archive: &Reader, tree: &TreeReader, request: &Request) -> Result<Files, MakeError> {
    let (Some((&first, _)), Some((&last, _))) = (request.records.first_key_value(), request.records.last_key_value())
    else {
        return Err(MakeError::Nothing);
    };
    if request.records.len() > MAX_RECORDS {
        return Err(MakeError::TooMany { records: request.records.len() });
    }
    let vkey = &archive.identity().vkey;
    let streams = match &request.stream {
        Some(stream) => StreamsProof::of(stream, tree, vkey.name(), (first, last, signed_size(archive)?))?,
        None => None,
    };
    // The statements behind the records must be under the checkpoint too.
    let covered =
        streams.as_ref().and_then(|(streams, _)| streams.generations.last()).map_or(last, |newest| newest.closed);
    let evidence = Evidence::over(archive, last.max(covered), request.created_at)?;
    let anchor = Anchor::before(archive, first)?;
    let mut records = request.records.clone();
    records.extend(anchor.as_ref().map(|anchor| (anchor.index, Some(anchor.body.clone()))));
    let mut files = Files::default();
    let lines = prove(tree, &evidence, records, &mut files)?;
    if let Some((streams, _)) = &streams {
        for covered in &streams.generations {
            let (_, proof) = prove_one(tree, &evidence, covered.closed)?;
            files.insert(closed_path(covered.closed), proof);
        }
        files.insert(STREAMS, streams.encode());
        if files.bytes() > MAX_BYTES {
            return Err(MakeError::TooLarge);
        }
    }
    let about = About {
        created_at: request.created_at,
        ledger: vkey.name().clone(),
        vkey: vkey.to_line(),
        size: evidence.checkpoint.size,
        root: evidence.checkpoint.root,
        selection: request.selection.clone(),
        records: request.records.keys().copied().collect(),
        anchor: anchor.as_ref().map(|anchor| anchor.index),
        is_second: streams.is_some() || matches!(request.selection, Selection::Agent { .. }),
    };
    let telling = Telling {
        about: &about,
        selection: about.selection.describe(),
        lines: &lines,
        order: &request.order,
        evidence: &evidence,
        anchor: anchor.as_ref(),
        covered: None,
    };
    files.insert(RECORDS, lines.iter().map(RecordLine::encode).collect::<String>());
    files.insert(VKEY, format!("{}\n", vkey.to_line()));
    // Those that lead to the keys of the checkpoint.
    let links = Links::read(&**archive.store(), vkey.clone()).map_err(ReadError::from)?;
    for (index, _) in links.good.iter().filter(|(_, link)| link.checkpoint.size < about.size) {
        let link = archive.store().read(&paths::key_link(*index), MAX_LINK_BYTES).map_err(ReadError::from)?;
        files.insert(format!("{KEYS}{index:020}"), link);
    }
    files.insert(CHECKPOINT, evidence.note.clone());
    if let Some(witnessed) = &evidence.witnessed {
        files.insert(WITNESSED, witnessed.clone());
    }
    for (name, token) in &evidence.tokens {
        files.insert(format!("{NOT_AFTER}{name}"), token.clone());
    }
    if let Some(anchor) = &anchor {
        files.insert(NOT_BEFORE, anchor.token.clone());
        files.insert(NOT_BEFORE_CHECKPOINT, anchor.checkpoint.clone());
    }
    for (name, content) in ASSETS {
        files.insert(name, content);
    }
    files.insert(ABOUT, about.encode());
    // The page says that none is missing only if whoever checks will say so too.
    let is_shown = || check(&files, "", &Options::default()).verdict(Axis::Completeness) == Verdict::Pass;
    let covered = streams.as_ref().map(|(_, span)| *span).filter(|_| is_shown());
    let story = Telling { covered, ..telling };
    files.insert(PAGE, page::render(&story.story().map_err(|what| MakeError::Damaged { what })?));
    files.seal();
    Ok(files)
}

/// Adds a proof for each record, and gives their lines.
fn prove(
    tree: &TreeReader,
    evidence: &Evidence,
    records: BTreeMap<u64, Option<Vec<u8>>>,
    files: &mut Files,
) -> Result<Vec<RecordLine>, MakeError> {
    let mut lines = Vec::with_capacity(records.len());
    let mut left = MAX_BYTES;
    for (index, body) in records {
        let (leaf, proof) = prove_one(tree, evidence, index)?;
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| MakeError::Damaged { what: format!("record {index} is no text") })
        };
        let line = RecordLine { body: body.map(text).transpose()?, index, leaf: text(leaf)? };
        let bytes = line.leaf.len() + line.body.as_ref().map_or(0, String::len) + proof.len();
        left = left.checked_sub(bytes as u64).ok_or(MakeError::TooLarge)?;
        files.insert(proof_path(index), proof);
        lines.push(line);
    }
    Ok(lines)
}

/// A leaf and its proof.
fn prove_one(tree: &TreeReader, evidence: &Evidence, index: u64) -> Result<(Vec<u8>, String), MakeError> {
    let Checkpoint { size, root, .. } = evidence.checkpoint;
    let note = evidence.witnessed.as_ref().unwrap_or(&evidence.note);
    let (leaf, hash) = tree.leaf(index)?;
    let hashes = tree.inclusion(index, size)?;
    let proof = TlogProof { extra: Some(leaf.clone()), index, hashes, checkpoint: note.clone() };
    proof.verify(&hash, size, &root).map_err(TreeError::Proof)?;
    Ok((leaf, proof.encode()))
}
