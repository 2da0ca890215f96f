//! The alarm while the ledger's key can't sign: there is none louder, for what is not under a checkpoint rests on this machine alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tachograph_ledger::SignError;

use crate::clock::Clock;
use crate::observe::Metrics;

/// How often it is written about in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct Alarm {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    failing: Option<Failing>,
}

struct Failing {
    since: Instant,
    logged: Instant,
}

impl Alarm {
    pub(super) fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { metrics, clock, failing: None }
    }

    /// The key did not sign: said at once, and once a minute while it lasts.
    pub(super) fn failed(&mut self, error: &SignError) {
        self.metrics.signing_failures.add(1);
        let now = Instant::now();
        let failing = match &mut self.failing {
            Some(failing) if now - failing.logged < LOG_INTERVAL => return,
            Some(failing) => failing,
            none => {
                self.metrics.signing_failing_since.set(self.clock.now().unix_nanos());
                none.insert(Failing { since: now, logged: now })
            }
        };
        failing.logged = now;
        tracing::error!(
            %error,
            lasts = ?now - failing.since,
            "THE LEDGER'S KEY CAN'T SIGN: NOTHING IS COMMITTED TO THE ARCHIVE. Records are taken and stay in the journal; it is tried again"
        );
    }

    /// Until when it is to be said again, if the key fails.
    pub(super) fn next(&self) -> Option<Instant> {
        self.failing.as_ref().map(|failing| failing.logged + LOG_INTERVAL)
    }

    /// The key has signed.
    pub(super) fn signed(&mut self) {
        if let Some(failing) = self.failing.take() {
            self.metrics.signing_failing_since.set(0);
            tracing::warn!(lasted = ?failing.since.elapsed(), "the ledger's key signs again: what waited is archived now");
        }
    }
}
