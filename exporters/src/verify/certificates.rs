//! What the recorder itself says of objects that are gone, or that no commit names.
//!
//! These records lie in objects of a class of their own. Only statements of the recorder count, as a producer whose name no sender can
//! take; the records are sealed and walked like all others, so that one that was slipped in shows there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tachograph_ledger::{Hash, Object, ObjectKind};
use tachograph_record::{Body, Kind};

use super::commits::History;
use crate::archive::RECORDER_CLASS;
use crate::archive::reader::RecordsObject;
use crate::archive::store::Store;

/// The recorder as a producer of records: no sender can take this name.
pub const RECORDER_PRODUCER: &str = "tachograph-collector";
/// Action of the record that lists objects of interrupted segments, which the store keeps.
pub const ARCHIVE_ORPHANS: &str = "archive.orphans";
/// Action of the record that says which objects are about to be destroyed.
pub const RETENTION_DESTROY: &str = "retention.destroy";
/// Action of the certificate: which objects were destroyed.
pub const RETENTION_DESTROYED: &str = "retention.destroyed";

const MAX_ORPHANS: usize = 100_000;
const MAX_DESTROYED: usize = 10_000_000;

/// What the ledger certifies.
#[derive(Default)]
pub(crate) struct Certificates {
    destroyed: BTreeMap<String, Vec<Destruction>>,
    orphans: BTreeSet<String>,
}

struct Destruction {
    sha256: String,
    /// When the recorder said it, in seconds since 1970.
    said_at: u64,
    /// Index of the record.
    index: u64,
}

#[derive(Deserialize)]
struct Details {
    objects: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    path: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Orphans {
    objects: Vec<String>,
}

impl Certificates {
    /// Reads the recorder's own objects. What can't be read is found out by the walk; it certifies nothing.
    pub(crate) fn read(store: &dyn Store, history: &History) -> Self {
        let mut certificates = Self::default();
        let own = |object: &&Object| matches!(&object.kind, ObjectKind::Records { class } if class == RECORDER_CLASS);
        for object in history.commits.iter().flat_map(|commit| &commit.objects).filter(own) {
            let Ok(records) = RecordsObject::open(store, object) else { continue };
            for group in 0..records.group_count() {
                for (index, body) in records.bodies(group).into_iter().flatten() {
                    certificates.take(index, &body);
                }
            }
        }
        certificates
    }

    fn take(&mut self, index: u64, body: &[u8]) -> Option<()> {
        let body = Body::parse(body).ok()?;
        let record = &body.record;
        if record.kind != Kind::Lifecycle || record.producer.as_deref() != Some(RECORDER_PRODUCER) {
            return None;
        }
        let details = record.details.as_ref()?.as_str();
        match record.action_type.as_deref()? {
            ARCHIVE_ORPHANS if self.orphans.len() < MAX_ORPHANS => {
                self.orphans.extend(serde_json::from_str::<Orphans>(details).ok()?.objects);
            }
            // The intent counts as well: a crash may come between the deed and its certificate.
            RETENTION_DESTROY if self.destroyed.len() < MAX_DESTROYED => {
                let said_at = body.observed_at.unix_nanos() / 1_000_000_000;
                for Named { path, sha256 } in serde_json::from_str::<Details>(details).ok()?.objects {
                    self.destroyed.entry(path).or_default().push(Destruction { sha256, said_at, index });
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Whether the recorder reported this object as a leftover.
    pub(crate) fn is_orphan(&self, path: &str) -> bool {
        self.orphans.contains(path)
    }

    /// The record that says that this object was to be destroyed, and said so when its date was past.
    pub(crate) fn of(&self, object: &Object) -> Option<u64> {
        let until = object.retain_until?;
        let matches =
            |said: &&Destruction| Hash::from_hex(&said.sha256) == Some(object.sha256) && said.said_at >= until;
        Some(self.destroyed.get(&object.path)?.iter().find(matches)?.index)
    }
}
