//! How long what is kept.

use std::time::Duration;

use tachograph_ledger::Lock;
use tachograph_record::Body;

use super::DEFAULT_CLASS;

/// The class of the recorder's own statements about holds and destruction. They are kept as long as the proofs are.
pub const RECORDER_CLASS: &str = "recorder";

/// Most retention classes, [`DEFAULT_CLASS`] and [`RECORDER_CLASS`] among them: each may be an object in every segment.
pub const MAX_CLASSES: usize = 32;

/// How long objects are kept, by class, and how the store holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How the store holds objects. It must be what the store does.
    pub lock: Lock,
    /// For records that no class takes.
    pub default: Duration,
    /// The other classes, by name.
    pub classes: Vec<(String, Duration)>,
    /// For leaves, commits, checkpoints, `ledger.json` and the recorder's own class: at least as long as any class.
    pub proofs: Duration,
}

impl Retention {
    /// How long records of `class` are kept. A class that is not known any more is kept as the longest.
    pub fn keep(&self, class: &str) -> Duration {
        let known = self.classes.iter().find(|(name, _)| name == class).map(|(_, keep)| *keep);
        match class {
            DEFAULT_CLASS => self.default,
            RECORDER_CLASS => self.proofs,
            _ => known.unwrap_or(self.proofs),
        }
    }
}

/// Decides which class a record belongs to.
pub trait Classify: Send {
    /// The class of a record: one of [`Retention::classes`], [`DEFAULT_CLASS`] or [`RECORDER_CLASS`]. `bytes` is the whole body,
    /// of which `body` has the members that columns are made from.
    fn class(&self, body: &Body<'_>, bytes: &[u8]) -> &str;
}

/// One class for all.
#[derive(Clone, Copy, Debug)]
pub struct OneClass;

impl Classify for OneClass {
    fn class(&self, _body: &Body<'_>, _bytes: &[u8]) -> &str {
        DEFAULT_CLASS
    }
}
