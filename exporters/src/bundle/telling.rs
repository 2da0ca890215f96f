//! From the contents of a bundle to the story that its page tells.

use std::collections::{BTreeMap, BTreeSet};

use tachograph_ledger::{Leaf, inclusion_nodes, parse_note};
use tachograph_record::Body;

use super::about::{About, RecordLine};
use super::evidence::{Anchor, Evidence};
use super::story::{Role, StampTold, Story, Told};
use super::{NOT_AFTER, NOT_BEFORE};
use crate::timestamp;

/// What there is to tell.
pub(super) struct Telling<'b> {
    pub(super) about: &'b About,
    /// What was asked for, in words.
    pub(super) selection: String,
    pub(super) lines: &'b [RecordLine],
    /// Records in the order of telling, each with the number of its causes before it.
    pub(super) order: &'b [(u64, usize)],
    pub(super) evidence: &'b Evidence,
    pub(super) anchor: Option<&'b Anchor>,
    /// First and last record between which nothing of a session or an agent is missing.
    pub(super) covered: Option<(u64, u64)>,
}

impl Telling<'_> {
    /// The story; or which record is none.
    pub(super) fn story(&self) -> Result<Story<'_>, String> {
        let mut lines: BTreeMap<u64, &RecordLine> = self.lines.iter().map(|line| (line.index, line)).collect();
        // The anchor comes first: it bounds the others from below.
        let anchor = self.anchor.and_then(|anchor| lines.remove(&anchor.index)).map(|line| (line, 0));
        let ordered: Vec<_> =
            self.order.iter().filter_map(|(index, depth)| Some((lines.remove(index)?, *depth))).collect();
        let told = anchor.into_iter().chain(ordered).chain(lines.into_values().map(|line| (line, 0)));
        Ok(Story {
            ledger: self.about.ledger.as_str(),
            vkey: &self.about.vkey,
            created_at: self.about.created_at,
            selection: &self.selection,
            size: self.about.size,
            root: self.about.root,
            records: told.map(|(line, depth)| self.told(line, depth)).collect::<Result<_, _>>()?,
            witnesses: self.witnesses(),
            not_after: self.not_after(),
            covered: self.covered,
            not_before: self.anchor.map(|anchor| stamp(NOT_BEFORE.to_owned(), &anchor.token, &anchor.checkpoint)),
        })
    }

    fn told<'s>(&'s self, line: &'s RecordLine, depth: usize) -> Result<Told<'s>, String> {
        let of_record = |error: &dyn std::fmt::Display| format!("record {}: {error}", line.index);
        let body = line.body.as_deref().map(|body| Body::parse(body.as_bytes())).transpose();
        let is_anchor = self.anchor.is_some_and(|anchor| anchor.index == line.index);
        let is_answer = self.about.records.binary_search(&line.index).is_ok();
        Ok(Told {
            index: line.index,
            depth,
            role: if is_anchor && !is_answer { Role::Anchor } else { Role::Answer },
            leaf: Leaf::parse(line.leaf.as_bytes()).map_err(|error| of_record(&error))?,
            record: body.map_err(|error| of_record(&error))?.map(|body| body.record),
            body: line.body.as_deref(),
            proof_len: inclusion_nodes(line.index, self.about.size).map_err(|error| of_record(&error))?.len(),
        })
    }

    fn witnesses(&self) -> Vec<String> {
        let note = self.evidence.witnessed.as_ref().and_then(|note| parse_note(note.as_bytes()).ok());
        let mut names: Vec<String> = note.iter().flat_map(|note| note.claimed_signers()).map(str::to_owned).collect();
        // One that has two keys is named once.
        let mut named = BTreeSet::from([self.about.ledger.to_string()]);
        names.retain(|name| named.insert(name.clone()));
        names
    }

    fn not_after(&self) -> Vec<StampTold> {
        let tokens = self.evidence.tokens.iter();
        tokens.map(|(name, token)| stamp(format!("{NOT_AFTER}{name}"), token, self.evidence.note.as_bytes())).collect()
    }
}

fn stamp(file: String, token: &[u8], data: &[u8]) -> StampTold {
    let said = timestamp::inspect(token, data).ok();
    let authority =
        said.as_ref().map_or_else(|| "a token that is not good".to_owned(), |stamp| stamp.authority.clone());
    StampTold { file, said_at: said.map(|stamp| stamp.time), authority }
}
