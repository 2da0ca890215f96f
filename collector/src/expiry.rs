//! Destroys what is past its date: bodies, never leaves, commits or checkpoints.
//!
//! The ledger says first which objects are to be destroyed, and that statement is archived before anything is; then they are; then
//! the ledger certifies it. Interrupted anywhere, the next run goes on: what was announced is destroyed and certified.

use std::collections::BTreeMap;

use serde::Serialize;
use tachograph_exporters::archive::store::{Store, StoreError};
use tachograph_exporters::verify::{RETENTION_DESTROY, RETENTION_DESTROYED};

use crate::control::ControlError;
use crate::inventory::{Destroy, DestroyedNow, Inventory, Named, State};

/// Objects in one statement.
const OBJECTS_PER_STATEMENT: usize = 500;

/// Has the recorder make statements.
pub trait Recorder {
    /// Seals a statement and returns its event id once it is archived.
    ///
    /// # Errors
    /// If it is not archived: then nothing may be done that rests on it.
    fn say(&mut self, action: &'static str, details: serde_json::Value) -> Result<String, ControlError>;
}

/// What was destroyed.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// Destroyed, and certified.
    pub destroyed: Vec<Named>,
    /// Event ids of the certificates.
    pub certificates: Vec<String>,
    /// What the store did not let go, and what it said.
    pub refused: Vec<(Named, String)>,
}

/// Destroys what `inventory` calls due or announced.
///
/// # Errors
/// If the recorder can't be made to say it. What was destroyed by then is announced in the ledger, and certified by the next run.
pub fn destroy(store: &dyn Store, inventory: &Inventory, recorder: &mut dyn Recorder) -> Result<Outcome, ControlError> {
    let mut outcome = Outcome::default();
    let mut due = Vec::new();
    let mut announced: BTreeMap<&str, Vec<Named>> = BTreeMap::new();
    for item in inventory.expired() {
        match &item.state {
            State::Announced { intent } => announced.entry(intent).or_default().push(item.object.clone()),
            _ => due.push(item.object.clone()),
        }
    }
    for (intent, objects) in announced {
        carry_out(store, intent.to_owned(), objects, recorder, &mut outcome)?;
    }
    for objects in due.chunks(OBJECTS_PER_STATEMENT) {
        let intent = recorder.say(RETENTION_DESTROY, json(&Destroy { objects: objects.to_vec() }))?;
        carry_out(store, intent, objects.to_vec(), recorder, &mut outcome)?;
    }
    Ok(outcome)
}

fn carry_out(
    store: &dyn Store,
    intent: String,
    objects: Vec<Named>,
    recorder: &mut dyn Recorder,
    outcome: &mut Outcome,
) -> Result<(), ControlError> {
    let mut destroyed = Vec::new();
    for object in objects {
        match store.destroy(&object.path) {
            Ok(_) => destroyed.push(object),
            Err(StoreError { what, .. }) => outcome.refused.push((object, what)),
        }
    }
    for objects in destroyed.chunks(OBJECTS_PER_STATEMENT) {
        let certificate = DestroyedNow { intent: intent.clone(), objects: objects.to_vec() };
        outcome.certificates.push(recorder.say(RETENTION_DESTROYED, json(&certificate))?);
        outcome.destroyed.extend_from_slice(objects);
    }
    Ok(())
}

fn json(details: &impl Serialize) -> serde_json::Value {
    // Strings and lists of them: nothing that JSON lacks.
    serde_json::to_value(details).unwrap_or_default()
}
