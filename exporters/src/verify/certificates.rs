//! What the recorder itself says of objects that are gone, or that no commit names.
//!
//! Its statements are heard while the ledger is walked. One counts only in a body that is the one its leaf seals, in an object of the
//! recorder's own class, and of a producer whose name no sender can take. What is missing or foreign is judged when all are heard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use tachograph_ledger::{Hash, LedgerName, Object, ObjectKind};
use tachograph_record::{Body, Kind};

use super::border::Border;
use super::collector::Collector;
use super::commits::History;
use super::keys;
use super::published::Published;
use super::records::SealedBody;
use super::report::{Axis, Finding};
use super::timestamps::{Anchor, Anchors, Timestamps};
use crate::archive::RECORDER_CLASS;

/// The recorder as a producer of records: no sender can take this name.
pub const RECORDER_PRODUCER: &str = "tachograph-collector";
/// Action of the record that lists objects of interrupted segments, which the store keeps.
pub const ARCHIVE_ORPHANS: &str = "archive.orphans";
/// Action of the record that says which objects are about to be destroyed.
pub const RETENTION_DESTROY: &str = "retention.destroy";
/// Action of the certificate: which objects were destroyed.
pub const RETENTION_DESTROYED: &str = "retention.destroyed";

/// Whether this object holds the recorder's statements.
pub(crate) fn holds_statements(object: &Object) -> bool {
    matches!(&object.kind, ObjectKind::Records { class } if class == RECORDER_CLASS)
}

/// Hears the recorder's statements, from several threads and in any order.
pub(crate) struct Statements<'a> {
    ledger: &'a LedgerName,
    history: &'a History,
    foreign: &'a BTreeSet<String>,
    timestamps: &'a Timestamps,
    heard: Mutex<Heard<'a>>,
}

/// No more is kept than there are objects to be excused, however much is said.
#[derive(Default)]
struct Heard<'a> {
    records: u64,
    /// Objects that were to be destroyed after their date, and the first record that says so.
    destroyed: BTreeMap<&'a str, u64>,
    /// Foreign objects that were reported, and the first record that says so.
    orphans: BTreeMap<&'a str, u64>,
    anchors: Anchors,
    published: Published,
    keys: keys::Said,
    border: Border,
}

/// What the whole ledger says.
pub(crate) struct Certificates<'a> {
    /// Whether all statements were heard: what is not excused may be so by one that could not be read.
    pub(crate) complete: bool,
    destroyed: BTreeMap<&'a str, u64>,
    orphans: BTreeMap<&'a str, u64>,
    /// Records that have the hash of a time stamp.
    pub(crate) anchors: Anchors,
    /// MAC keys that it publishes.
    pub(crate) published: Published,
    /// What it says of its keys.
    pub(crate) keys: keys::Said,
    /// What it says of its beginning and its end.
    pub(crate) border: Border,
}

enum Said {
    Destroy { objects: Vec<Named>, at: u64 },
    Orphans(Vec<String>),
}

#[derive(Deserialize)]
struct Details<T> {
    objects: Vec<T>,
}

#[derive(Deserialize)]
struct Named {
    path: String,
    sha256: String,
}

impl<'a> Statements<'a> {
    /// For the archive of `ledger`, in which `foreign` are the objects that no commit names.
    pub(crate) fn new(
        ledger: &'a LedgerName,
        history: &'a History,
        foreign: &'a BTreeSet<String>,
        timestamps: &'a Timestamps,
    ) -> Self {
        Self { ledger, history, foreign, timestamps, heard: Mutex::default() }
    }

    /// Takes a record that says that it has the hash of a time stamp, of any class: that it has, is proof enough.
    pub(crate) fn hear_anchor(&self, index: u64, body: &SealedBody<'_>) {
        let Some((hash, path)) = anchored(body.bytes()) else { return };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.timestamps.number_of(&hash), path) {
            (Some(number), _) => heard.anchors.note(number, Anchor { index, sealed_at: body.sealed_at() }),
            (None, Some(path)) if self.timestamps.lacks(&path) => heard.anchors.note_lost(index, path),
            (None, _) => {}
        }
    }

    /// Takes a record that publishes a MAC key, of any class: whether the MACs fit it shows.
    pub(crate) fn hear_published(&self, index: u64, body: &SealedBody<'_>, collector: &Collector) {
        let Some(details) = details_of(body.bytes()) else { return };
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.published.hear(index, &details, self.ledger, self.history.size(), collector);
    }

    /// Takes a record that changes the ledger's keys, of any class: it counts by its link, and is missed without.
    pub(crate) fn hear_keys(&self, index: u64, body: &SealedBody<'_>) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).keys.hear(index, body.bytes());
    }

    /// Takes a record that says where the ledger ends, of any class: its body is sealed as all are.
    pub(crate) fn hear_closed(&self, index: u64, body: &SealedBody<'_>) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.border.hear_closed(index, body.bytes(), self.ledger);
    }

    /// The same of what it continues.
    pub(crate) fn hear_continues(&self, index: u64, body: &SealedBody<'_>, collector: &Collector) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.border.hear_continues(index, body.bytes(), self.ledger, collector);
    }

    /// The same of a first record of a ledger that seals anew what another one lost.
    pub(crate) fn hear_resealed(&self, index: u64) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).border.hear_resealed(index);
    }

    /// Takes a record of the recorder's class.
    pub(crate) fn hear(&self, index: u64, body: &SealedBody<'_>) {
        let said = said(body.bytes());
        // Each change is complete when the lock is released.
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.records += 1;
        match said {
            None => {}
            Some(Said::Destroy { objects, at }) => {
                let objects = objects.iter().filter_map(|named| self.destroyable(named, at));
                objects.for_each(|path| note(&mut heard.destroyed, path, index));
            }
            Some(Said::Orphans(paths)) => {
                let paths = paths.iter().filter_map(|path| self.foreign.get(path));
                paths.for_each(|path| note(&mut heard.orphans, path, index));
            }
        }
    }

    /// The object that a statement of this time may have destroyed: bodies, of just this content, past their date.
    fn destroyable(&self, named: &Named, said_at: u64) -> Option<&'a str> {
        let object = self.history.object(&named.path)?;
        let may = matches!(object.kind, ObjectKind::Records { .. })
            && Hash::from_hex(&named.sha256) == Some(object.sha256)
            && said_at >= object.retain_until?;
        may.then_some(&object.path)
    }

    /// After the last record.
    pub(crate) fn finish(self) -> Certificates<'a> {
        let objects = self.history.commits.iter().flat_map(|commit| &commit.objects);
        let records: u64 = objects.filter(|object| holds_statements(object)).map(|object| object.rows).sum();
        let heard = self.heard.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Heard { destroyed, orphans, anchors, published, keys, border, .. } = heard;
        Certificates { complete: heard.records == records, destroyed, orphans, anchors, published, keys, border }
    }
}

fn said(body: &[u8]) -> Option<Said> {
    let body = Body::parse(body).ok()?;
    let record = &body.record;
    if record.kind != Kind::Lifecycle || record.producer.as_deref() != Some(RECORDER_PRODUCER) {
        return None;
    }
    let details = record.details.as_ref()?.as_str();
    match record.action_type.as_deref()? {
        ARCHIVE_ORPHANS => Some(Said::Orphans(serde_json::from_str::<Details<String>>(details).ok()?.objects)),
        // The intent counts and not the certificate: a crash may come between the deed and that.
        RETENTION_DESTROY => {
            let at = body.observed_at.unix_nanos() / 1_000_000_000;
            Some(Said::Destroy { objects: serde_json::from_str::<Details<Named>>(details).ok()?.objects, at })
        }
        _ => None,
    }
}

/// The details of a record, which are in no column.
fn details_of(body: &[u8]) -> Option<String> {
    Some(Body::parse(body).ok()?.record.details.as_ref()?.as_str().to_owned())
}

/// The hash of the token that an anchor holds, and the token's path.
fn anchored(body: &[u8]) -> Option<(Hash, Option<String>)> {
    #[derive(Deserialize)]
    struct Anchored {
        token_sha256: String,
        token: Option<String>,
    }
    let body = Body::parse(body).ok()?;
    let details: Anchored = serde_json::from_str(body.record.details.as_ref()?.as_str()).ok()?;
    Some((Hash::from_hex(&details.token_sha256)?, details.token))
}

fn note<'a>(statements: &mut BTreeMap<&'a str, u64>, path: &'a str, index: u64) {
    let first = statements.entry(path).or_insert(index);
    *first = index.min(*first);
}

impl Certificates<'_> {
    /// The record that says that this object was to be destroyed, and said so when its date was past.
    pub(crate) fn of(&self, object: &Object) -> Option<u64> {
        self.destroyed.get(object.path.as_str()).copied()
    }

    /// The record that reports this foreign object.
    pub(crate) fn report_of(&self, path: &str) -> Option<u64> {
        self.orphans.get(path).copied()
    }

    /// Judges an object with bodies that is not there.
    pub(crate) fn judge_missing(&self, object: &Object, collector: &Collector) {
        match self.of(object) {
            Some(index) => collector.destroyed(&object.path, object.rows, index),
            None if self.complete => {
                let what = "missing, though a commit names it";
                collector.fail(Axis::Integrity, Finding::of_object(&object.path, what));
            }
            None => collector.incomplete(
                Axis::Integrity,
                format!(
                    "{} is missing: whether it was destroyed after its date is not known, since not all of the recorder's statements could be read",
                    object.path
                ),
            ),
        }
    }
}
