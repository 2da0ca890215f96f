//! One place for the newest checkpoint: a newer one takes the place of an older one that nobody fetched.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use tachograph_ledger::Lock;

use super::metrics::WitnessMetrics;
use crate::clock::Clock;

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
    metrics: Arc<WitnessMetrics>,
    clock: Arc<dyn Clock>,
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

impl Mailbox {
    /// An empty one. From each checkpoint on all witnesses are behind.
    pub fn new(metrics: Arc<WitnessMetrics>, clock: Arc<dyn Clock>) -> Self {
        Self { place: Mutex::default(), changed: Condvar::new(), metrics, clock }
    }

    /// Puts the newest checkpoint. Never waits.
    pub fn put(&self, signed: Signed) {
        self.metrics.behind(self.clock.now().unix_nanos());
        self.place.lock().unwrap_or_else(PoisonError::into_inner).newest = Some(signed);
        self.changed.notify_all();
    }

    /// There will be no more.
    pub fn close(&self) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// Whether there will be no more.
    pub fn is_closed(&self) -> bool {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// Waits for a newer checkpoint, until `deadline` if there is one.
    pub fn wait(&self, deadline: Option<Instant>) -> Wake {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // The last one is still fetched.
            if let Some(newest) = place.newest.take() {
                return Wake::Newest(newest);
            }
            if place.closed {
                return Wake::Closed;
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
