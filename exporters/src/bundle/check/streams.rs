//! Whether a session, or an agent, is here as a whole: the recorder's statements of each generation, the stream's place in them, and the
//! records' numbers and links.

use std::collections::BTreeSet;

use tachograph_ledger::stream::in_generation;
use tachograph_ledger::{Hash, Leaf, Statement, StreamBy, StreamId, StreamKind, StreamPlace, leaf_hash};
use tachograph_record::{Body, Time};

use super::records::proven_leaf;
use super::{Check, Signed};
use crate::bundle::about::{About, Selection};
use crate::bundle::streams::{Covered, StreamsProof};
use crate::bundle::{CLOSED, RECORDS, STREAMS, closed_path};
use crate::verify::Axis;

/// Where a record stands in its stream.
pub(super) struct Placed {
    index: u64,
    hash: Hash,
    /// Number and link, if it is in a stream.
    place: Option<(StreamId, u64, Option<Hash>)>,
    /// Whether it has a session and an agent; `None` if its body is not here.
    has: Option<(bool, bool)>,
}

impl Placed {
    /// Whether this selection is one of a stream.
    pub(super) fn is_asked(selection: &Selection) -> bool {
        kind_of(selection).is_some()
    }

    /// Of a record whose leaf is that of its index.
    pub(super) fn of(leaf: &Leaf<'_>, bytes: &[u8], body: Option<&str>) -> Self {
        let place = match StreamPlace::of(leaf) {
            Ok(StreamPlace::In { id, seq, prev }) => Some((id, seq, prev)),
            _ => None,
        };
        let body = body.and_then(|body| Body::parse(body.as_bytes()).ok());
        let has = body.map(|body| (body.record.session_id.is_some(), body.record.agent_id.is_some()));
        Self { index: leaf.index, hash: leaf_hash(bytes), place, has }
    }

    /// Of which kind the record's stream is by its body; `None` if that can't be told.
    fn kind(&self, by: StreamBy) -> Option<Option<StreamKind>> {
        let (session, agent) = self.has?;
        Some(by.choose(session.then_some(()), agent.then_some(())).map(|(kind, ())| kind))
    }
}

fn kind_of(selection: &Selection) -> Option<StreamKind> {
    match selection {
        Selection::Session { .. } => Some(StreamKind::Session),
        Selection::Agent { .. } => Some(StreamKind::Agent),
        _ => None,
    }
}

/// What is covered so far.
struct Shown {
    /// The first record that is, and the one behind the last.
    from: u64,
    to: u64,
    /// When the last statement was sealed.
    until: String,
    /// First record and key of each generation, and whether the stream has a record in it.
    keys: Vec<(u64, Hash, bool)>,
    /// Generations whose records are put into streams of another kind first.
    other: Vec<u64>,
    /// Records of the stream.
    records: u64,
    is_ended: bool,
    /// What keeps it from being all.
    but: Vec<String>,
}

impl Shown {
    fn from(first: u64) -> Self {
        let (keys, other, but) = (Vec::new(), Vec::new(), Vec::new());
        Self { from: first, to: first, until: String::new(), keys, other, records: 0, is_ended: false, but }
    }

    /// Another key gives the stream other ids: of it only generations under the key that gave it these ids tell.
    fn of_other_keys(&self) -> Vec<u64> {
        let own: BTreeSet<Hash> = self.keys.iter().filter(|(.., is_own)| *is_own).map(|(_, key, _)| *key).collect();
        self.keys.iter().filter(|(_, key, _)| !own.contains(key)).map(|(first, ..)| *first).collect()
    }
}

impl Check<'_> {
    /// Files that belong to streams, where there is no stream.
    pub(super) fn foreign_streams(&self, about: &About) {
        let is_asked = kind_of(&about.selection).is_some() && about.is_second;
        if self.files.get(STREAMS).is_some() && !is_asked {
            self.fail(Axis::Integrity, STREAMS, None, "no part of a bundle of this version and selection");
        }
        if self.files.get(STREAMS).is_none() || !is_asked {
            for (path, _) in self.files.iter().filter(|(path, _)| path.starts_with(CLOSED)) {
                self.fail(Axis::Integrity, path, None, "no part of a bundle without streams.json");
            }
        }
    }

    /// Judges whether all of the stream is here. `false` if there is nothing to judge by.
    pub(super) fn streams(&self, about: &About, placed: &[Placed], signed: Option<&Signed>) -> bool {
        let (Some(kind), Some(bytes), true) = (kind_of(&about.selection), self.files.get(STREAMS), about.is_second)
        else {
            return false;
        };
        let Some(signed) = signed else {
            self.collector
                .incomplete(Axis::Completeness, "there is no good checkpoint that the statements could be under");
            return true;
        };
        let judged = StreamsProof::parse(bytes).map_err(|what| (STREAMS.to_owned(), None, what)).and_then(|proof| {
            if proof.stream.kind != kind {
                let what = format!("the stream of a {}, which was not asked for", proof.stream.kind.as_str());
                return Err((STREAMS.to_owned(), None, what));
            }
            self.foreign_statements(&proof);
            self.judge(about, &proof, placed, signed)
        });
        match judged {
            Err((object, index, what)) => self.fail(Axis::Completeness, &object, index, what),
            Ok(shown) => self.say(about, shown),
        }
        true
    }

    fn foreign_statements(&self, proof: &StreamsProof) {
        let named: Vec<String> = proof.generations.iter().map(|covered| closed_path(covered.closed)).collect();
        for (path, _) in self.files.iter().filter(|(path, _)| path.starts_with(CLOSED)) {
            if named.binary_search_by(|named| named.as_str().cmp(path)).is_err() {
                self.fail(Axis::Integrity, path, None, "the statement of no generation that streams.json names");
            }
        }
    }

    fn judge(
        &self,
        about: &About,
        proof: &StreamsProof,
        placed: &[Placed],
        signed: &Signed,
    ) -> Result<Shown, (String, Option<u64>, String)> {
        let mut shown: Option<Shown> = None;
        let mut left = placed;
        let (mut outside, mut elsewhere, mut bare) = (0, 0, 0);
        for covered in &proof.generations {
            let path = closed_path(covered.closed);
            let (statement, sealed_at) =
                self.statement(about, covered, signed).map_err(|what| (path.clone(), Some(covered.closed), what))?;
            if let Some(shown) = &mut shown {
                if statement.first < shown.to || (!shown.is_ended && statement.first > shown.to) {
                    let what = format!(
                        "the generation that begins with record {} does not join the one before, whose next begins with record {}: one was left out",
                        statement.first, shown.to
                    );
                    return Err((path, Some(covered.closed), what));
                }
                if statement.first > shown.to {
                    shown.but.push(format!(
                        "records {} to {}, of which nothing is shown here",
                        shown.to,
                        statement.first - 1
                    ));
                }
            }
            let id = proof.stream.secret.id(&about.ledger, statement.first);
            let tail = in_generation(&statement, &id, &covered.entries)
                .map_err(|error| (STREAMS.to_owned(), Some(covered.closed), error.to_string()))?;
            let before = left.partition_point(|placed| placed.index < statement.first);
            let within = left.partition_point(|placed| placed.index < covered.closed);
            outside += before;
            let mut due = (0, None);
            for record in &left[before..within] {
                let wrong = |what: String| Err((RECORDS.to_owned(), Some(record.index), what));
                match record.place {
                    Some((found, seq, prev)) if found == id => {
                        if (seq, prev) != due {
                            return wrong(format!(
                                "record {seq} of its stream in the generation that begins with record {}, where {} is due: one was left out, or put in",
                                statement.first, due.0
                            ));
                        }
                        due = (seq + 1, Some(record.hash));
                    }
                    _ => match record.kind(statement.rule.by) {
                        Some(kind) if kind == Some(proof.stream.kind) => {
                            return wrong(
                                "it belongs to the stream, but its leaf names another: the secret is not the stream's, or it was sealed falsely".to_owned(),
                            );
                        }
                        Some(_) => elsewhere += 1,
                        None => bare += 1,
                    },
                }
            }
            left = &left[within..];
            let stated = tail.map_or((0, None), |tail| (tail.count, Some(tail.last)));
            if stated != due {
                let what = format!(
                    "{} records of the stream are here of the generation that begins with record {}, but the recorder states {}: some were left out, or put in",
                    due.0, statement.first, stated.0
                );
                return Err((RECORDS.to_owned(), Some(covered.closed), what));
            }
            let mut so_far = shown.take().unwrap_or_else(|| Shown::from(statement.first));
            so_far.to = covered.closed + 1;
            so_far.until = sealed_at;
            so_far.records += due.0;
            so_far.is_ended = statement.is_end;
            so_far.keys.push((statement.first, statement.rule.key, due.0 > 0));
            // There only the records of whoever has nothing else are in streams of this kind: how many others are not is not known.
            so_far.other.extend((statement.rule.by.first() != proof.stream.kind).then_some(statement.first));
            shown = Some(so_far);
        }
        outside += left.len();
        // A file without a generation is none.
        let mut shown = shown.ok_or_else(|| (STREAMS.to_owned(), None, "no generation".to_owned()))?;
        if outside > 0 {
            shown.but.push(format!("{outside} records here lie where no generation is closed, or none was open"));
        }
        if elsewhere > 0 {
            shown.but.push(format!("{elsewhere} records here belong to streams of another kind: whether there are more of them is not known"));
        }
        if bare > 0 {
            shown.but.push(format!("of {bare} records here the body is missing, and their leaves name other streams"));
        }
        if let Some(first) = shown.other.first() {
            let (count, kind) = (shown.other.len(), proof.stream.kind.as_str());
            shown.but.push(format!(
                "{count} generations, the first from record {first} on, in which records of this {kind} may be in other streams"
            ));
        }
        let foreign = shown.of_other_keys();
        if let Some(first) = foreign.first() {
            shown.but.push(format!(
                "{} generations, the first from record {first} on, under a stream key that none of the stream's records here is under",
                foreign.len()
            ));
        }
        Ok(shown)
    }

    /// What the recorder states at the end of a generation, and when.
    fn statement(&self, about: &About, covered: &Covered, signed: &Signed) -> Result<(Statement, String), String> {
        let proof =
            self.files.get(&closed_path(covered.closed)).ok_or("missing: nothing shows what the recorder stated")?;
        let bytes = proven_leaf(proof, covered.closed, signed)?;
        let leaf = Leaf::parse(&bytes).map_err(|error| error.to_string())?;
        if leaf.index != covered.closed || leaf.ledger != about.ledger.as_str() {
            return Err(format!("this is the leaf of record {} of `{}`", leaf.index, leaf.ledger));
        }
        match StreamPlace::of(&leaf) {
            Ok(StreamPlace::Closed(statement)) if statement.first <= leaf.index => {
                let at = Time::from_unix_nanos(leaf.sealed_at).unwrap_or_default();
                Ok((statement, at.to_string()))
            }
            _ => Err("not a statement of the recorder about streams".to_owned()),
        }
    }

    fn say(&self, about: &About, shown: Shown) {
        let Shown { from, to, until, records, but, .. } = shown;
        let what = about.selection.describe();
        let to = to.saturating_sub(2).max(from);
        let before = if from > 0 { format!("before record {from} or ") } else { String::new() };
        let whole = format!(
            "complete from record {from} to record {to}, which was sealed by {until}: of the stream of {what} no record is missing there, and {records} are here; of what \
             lies {before}behind record {to} nothing is shown"
        );
        if but.is_empty() {
            self.collector.rests_on(Axis::Completeness, whole);
        } else {
            self.collector.incomplete(Axis::Completeness, format!("{whole}; but for {}", but.join("; ")));
        }
    }
}
