//! One place for the newest checkpoint, between the archiver and a stage that shows it to others: who puts never waits, and a newer
//! checkpoint takes the place of an older one that nobody fetched.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use tachograph_ledger::Lock;

/// A checkpoint that was signed here and is in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Number of records.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// How it is kept: mode, and seconds since 1970.
    pub kept: Option<(Lock, u64)>,
}

/// The place.
pub struct Mailbox {
    place: Mutex<Place>,
    changed: Condvar,
    on_put: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Place {
    newest: Option<Signed>,
    closed: bool,
}

/// Why a wait ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is a newer checkpoint.
    Newest(Signed),
    /// The time has come.
    Time,
    /// There will be no more.
    Closed,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new(|| {})
    }
}

impl Mailbox {
    /// An empty one. `on_put` is called, by whoever puts, with each checkpoint.
    pub fn new(on_put: impl Fn() + Send + Sync + 'static) -> Self {
        Self { place: Mutex::default(), changed: Condvar::new(), on_put: Box::new(on_put) }
    }

    /// Puts the newest checkpoint. Never waits.
    pub fn put(&self, signed: Signed) {
        (self.on_put)();
        self.place.lock().unwrap_or_else(PoisonError::into_inner).newest = Some(signed);
        self.changed.notify_all();
    }

    /// There will be no more.
    pub fn close(&self) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// What nobody fetched before the end.
    pub fn rest(&self) -> Option<Signed> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).newest.take()
    }

    /// Waits for a newer checkpoint, until `deadline` if there is one.
    pub fn wait(&self, deadline: Option<Instant>) -> Wake {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if place.closed {
                return Wake::Closed;
            }
            if let Some(newest) = place.newest.take() {
                return Wake::Newest(newest);
            }
            let Some(deadline) = deadline else {
                place = self.changed.wait(place).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Wake::Time;
            }
            place = self.changed.wait_timeout(place, left).map_or_else(|e| e.into_inner().0, |waited| waited.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(size: u64) -> Signed {
        Signed { size, note: String::new(), kept: None }
    }

    #[test]
    fn only_the_newest_is_there() {
        let mailbox = Mailbox::default();
        let now = Some(Instant::now());
        assert_eq!(mailbox.wait(now), Wake::Time);
        mailbox.put(signed(1));
        mailbox.put(signed(2));
        assert_eq!(mailbox.wait(None), Wake::Newest(signed(2)));
        assert_eq!(mailbox.wait(now), Wake::Time);
        mailbox.put(signed(3));
        mailbox.close();
        assert_eq!(mailbox.wait(None), Wake::Closed);
    }
}
