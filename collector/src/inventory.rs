//! What the archive keeps, until when, and what became of it: the commits' objects beside the ledger's statements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tachograph_exporters::archive::reader::ReadError;
use tachograph_exporters::archive::store::{ErrorKind, StoreError};
use tachograph_exporters::archive::{RECORDER_CLASS, reader::Reader};
use tachograph_exporters::verify::{RETENTION_DESTROY, RETENTION_DESTROYED};
use tachograph_ledger::{Commit, Object, ObjectKind};
use tachograph_record::Time;

use crate::holds::{self, Hold};
use crate::statements::{self, Statement};
use crate::view::View;

/// An object as statements name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Path within the archive.
    pub path: String,
    /// SHA-256 of the object, in hex.
    pub sha256: String,
    /// Retention class.
    pub class: String,
    /// Index of the first record of the commit that names it.
    pub first: String,
    /// Number of records in it.
    pub rows: String,
    /// Until when it is kept at least.
    pub retain_until: String,
}

/// What `retention.destroy` says: these objects are about to be destroyed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Destroy {
    /// Which.
    pub objects: Vec<Named>,
}

/// What `retention.destroyed` says: these objects are destroyed. It is the certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DestroyedNow {
    /// Event id of the `retention.destroy`.
    pub intent: String,
    /// Which.
    pub objects: Vec<Named>,
}

/// What is the matter with an object of bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Its commit has no date: it is kept.
    Undated,
    /// Its date is not reached.
    Kept,
    /// Its date is past: it may be destroyed.
    Due,
    /// Its date is past, but something holds it.
    Held {
        /// Ids of the holds, or what the store said.
        by: Vec<String>,
    },
    /// The ledger says that it was about to be destroyed, and nothing says that it was.
    Announced {
        /// Event id of the `retention.destroy`.
        intent: String,
    },
    /// It was destroyed.
    Destroyed {
        /// Event id of the `retention.destroy`.
        intent: String,
        /// Event id of the `retention.destroyed`.
        certificate: String,
        /// When the certificate was given.
        at: String,
    },
    /// It is not there, and nothing in the ledger says why.
    Missing,
}

/// One object of bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Which.
    #[serde(flatten)]
    pub object: Named,
    /// Its bytes.
    pub bytes: u64,
    /// What is the matter with it.
    #[serde(flatten)]
    pub state: State,
}

/// Everything that is kept, and was.
#[derive(Debug, Serialize)]
pub struct Inventory {
    /// The moment that it is of.
    pub as_of: String,
    /// Objects of bodies, in order of their records; those of the recorder's own class are kept as long as proofs and not among them.
    pub items: Vec<Item>,
    /// All holds.
    pub holds: Vec<Hold>,
    /// Latest date of what proves the records; absent if nothing has a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proofs_until: Option<String>,
}

/// Why there is no inventory.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// There is no archive yet.
    #[error("there is no archive yet, so nothing has a date")]
    NoArchive,
    /// The archive can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A statement of the ledger is not understood.
    #[error("{0}; nothing may be destroyed that it may be about. Use the release that wrote it")]
    Statement(String),
}

impl Inventory {
    /// Looks at everything. Holds and the store are asked about what is past its date only.
    ///
    /// # Errors
    /// If something can't be read.
    pub fn of(view: &View, now: Time) -> Result<Self, InventoryError> {
        let archive = view.archive.as_ref().ok_or(InventoryError::NoArchive)?;
        let said = statements::read(view)?;
        let holds = holds::of(&said).map_err(InventoryError::Statement)?;
        let destructions = Destructions::of(&said).map_err(InventoryError::Statement)?;
        let mut items = Vec::new();
        for (commit, object, class) in archive.commits().iter().flat_map(bodies) {
            let state = state(archive, object, &holds, &destructions, now)?;
            items.push(Item { object: name(commit, object, class), bytes: object.size, state });
        }
        let proofs = archive.commits().iter().filter_map(|commit| Some(commit.terms.as_ref()?.retain_until));
        Ok(Self { as_of: now.to_string(), items, holds, proofs_until: proofs.max().map(date) })
    }

    /// What may be destroyed now, and what was about to be.
    pub fn expired(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| matches!(item.state, State::Due | State::Announced { .. }))
    }
}

/// Objects of bodies, but for the recorder's own.
pub fn bodies(commit: &Commit) -> impl Iterator<Item = (&Commit, &Object, &str)> {
    commit.objects.iter().filter_map(move |object| match &object.kind {
        ObjectKind::Records { class } if class != RECORDER_CLASS => Some((commit, object, class.as_str())),
        _ => None,
    })
}

fn name(commit: &Commit, object: &Object, class: &str) -> Named {
    Named {
        path: object.path.clone(),
        sha256: object.sha256.to_string(),
        class: class.to_owned(),
        first: commit.first.to_string(),
        rows: object.rows.to_string(),
        retain_until: object.retain_until.map_or_else(String::new, date),
    }
}

/// Seconds since 1970, as text.
fn date(seconds: u64) -> String {
    Time::from_unix_nanos(seconds.saturating_mul(1_000_000_000)).unwrap_or_default().to_string()
}

fn state(
    archive: &Reader,
    object: &Object,
    holds: &[Hold],
    destructions: &Destructions,
    now: Time,
) -> Result<State, InventoryError> {
    let Some(until) = object.retain_until else { return Ok(State::Undated) };
    if let Some(certified) = destructions.certified.get(&object.path) {
        return Ok(certified.clone());
    }
    if until > now.unix_nanos() / 1_000_000_000 {
        return Ok(State::Kept);
    }
    let announced = destructions.announced(object, until);
    let held = match held(archive, object, holds, now) {
        Ok(held) => held,
        Err(InventoryError::Store(error)) if error.kind == ErrorKind::NotFound => return Ok(gone(announced)),
        Err(error) => return Err(error),
    };
    Ok(match (held, announced) {
        (None, _) => gone(announced),
        (Some(by), _) if !by.is_empty() => State::Held { by },
        (Some(_), Some(intent)) => State::Announced { intent: intent.to_owned() },
        (Some(_), None) => State::Due,
    })
}

fn gone(announced: Option<&str>) -> State {
    announced.map_or(State::Missing, |intent| State::Announced { intent: intent.to_owned() })
}

/// What holds an object whose date is past; `None` if it is gone.
fn held(archive: &Reader, object: &Object, holds: &[Hold], now: Time) -> Result<Option<Vec<String>>, InventoryError> {
    let mut by = Vec::new();
    // Somebody may have hidden it, or put another version in front.
    archive.store().pin(&object.path)?;
    if let Some(held) = archive.store().retention(&object.path)? {
        if held.legal_hold {
            by.push("a legal hold of the store".to_owned());
        }
        if let Some((lock, until)) = held.lock.filter(|(_, until)| *until > now.unix_nanos() / 1_000_000_000) {
            by.push(format!("the store's lock, mode {} until {}", lock.as_str(), date(until)));
        }
    } else if archive.store().len(&object.path)?.is_none() {
        return Ok(None);
    }
    let active: Vec<&Hold> = holds.iter().filter(|hold| hold.is_active()).collect();
    if active.is_empty() {
        return Ok(Some(by));
    }
    // What is asked must be what was sealed. What can't be read is held.
    match archive.check(object) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error @ ReadError::Damaged { .. }) => {
            by.push(error.to_string());
            return Ok(Some(by));
        }
        Err(error) => return Err(error.into()),
    }
    for hold in active {
        match hold.holds(archive, object)? {
            Some(true) => by.push(hold.id.clone()),
            Some(false) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(by))
}

/// An intent about one object.
struct Announcement {
    /// Its event id.
    id: String,
    said_at: Time,
    sha256: String,
}

/// What the ledger says of destruction, by path.
#[derive(Default)]
struct Destructions {
    /// The intents.
    announced: BTreeMap<String, Announcement>,
    certified: BTreeMap<String, State>,
}

impl Destructions {
    fn of(said: &[Statement]) -> Result<Self, String> {
        let mut all = Self::default();
        for statement in said.iter().filter(|statement| statement.archived) {
            let odd = |error: serde_json::Error| {
                format!("record {} ({}) can't be understood: {error}", statement.index, statement.action)
            };
            if statement.action == RETENTION_DESTROY {
                let Destroy { objects } = Destroy::deserialize(&statement.details).map_err(odd)?;
                let id = statement.event_id.to_string();
                let announcements = objects.into_iter().map(|object| {
                    let announcement =
                        Announcement { id: id.clone(), said_at: statement.said_at, sha256: object.sha256 };
                    (object.path, announcement)
                });
                all.announced.extend(announcements);
            } else if statement.action == RETENTION_DESTROYED {
                let DestroyedNow { intent, objects } = DestroyedNow::deserialize(&statement.details).map_err(odd)?;
                let destroyed = State::Destroyed {
                    intent,
                    certificate: statement.event_id.to_string(),
                    at: statement.said_at.to_string(),
                };
                all.certified.extend(objects.into_iter().map(|object| (object.path, destroyed.clone())));
            }
        }
        Ok(all)
    }

    /// Event id of the intent about an object. One that was said before the object's date does not count: a verifier would not take it.
    fn announced(&self, object: &Object, until: u64) -> Option<&str> {
        let said = self.announced.get(&object.path)?;
        let counts = said.sha256 == object.sha256.to_string() && said.said_at.unix_nanos() / 1_000_000_000 >= until;
        counts.then_some(said.id.as_str())
    }
}
