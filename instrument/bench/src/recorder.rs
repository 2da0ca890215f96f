//! The recorder that a case needs, started and stopped around its chunks: there is one in a process at a time.

use std::time::Duration;

use tachograph::{Guard, Init};

use crate::tally::Tally;

/// What records annotated calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorder {
    /// Nothing: as in an application that does not call `init`.
    None,
    /// A queue in memory.
    Memory,
}

/// A recorder that runs.
#[derive(Debug)]
pub struct Running {
    guard: Option<Guard>,
}

impl Recorder {
    /// Starts it. What it delivers is counted in `tally`.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(self, tally: &Tally) -> Running {
        let guard = match self {
            Self::None => None,
            Self::Memory => Some(Init::new("bench").heartbeat(Duration::ZERO).init_with(tally.clone()).expect("init")),
        };
        Running { guard }
    }
}

impl Running {
    /// Waits until everything was delivered.
    pub fn drain(&self) {
        if let Some(guard) = &self.guard {
            let report = guard.flush(Duration::from_secs(60));
            assert_eq!(report.lost, 0, "a case lost records: {report:?}");
        }
    }

    /// Stops it.
    ///
    /// # Panics
    /// If a record was lost.
    pub fn stop(self) {
        if let Some(guard) = self.guard {
            guard.shutdown().expect("nothing is lost");
        }
    }
}
