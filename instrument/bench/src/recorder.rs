//! The recorder that a case needs, started and stopped around its chunks: there is one in a process at a time.

use std::net::SocketAddr;
use std::time::Duration;

use tachograph::{Durability, Guard, Init, Spool};

use crate::tally::Tally;

/// What records annotated calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorder {
    /// Nothing: as in an application that does not call `init`.
    None,
    /// A queue in memory.
    Memory,
    /// A spool on the disk of the temporary directory.
    Spool(Durability),
}

/// A recorder that runs.
#[derive(Debug)]
pub struct Running {
    guard: Option<Guard>,
    /// Removed at the end.
    _spool: Option<tempfile::TempDir>,
}

impl Recorder {
    /// Starts it. What it delivers is counted in `tally`, or goes to the receiver at `address`, which counts it.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(self, tally: &Tally, address: SocketAddr) -> Running {
        let init = Init::new("bench").heartbeat(Duration::ZERO);
        let (guard, spool) = match self {
            Self::None => (None, None),
            Self::Memory => (Some(init.init_with(tally.clone()).expect("init")), None),
            Self::Spool(durability) => {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let init = init.endpoint(format!("http://{address}"));
                let guard = init.spool(Spool::new(directory.path()).durability(durability)).init().expect("init");
                (Some(guard), Some(directory))
            }
        };
        Running { guard, _spool: spool }
    }
}

impl Running {
    /// Waits until everything was delivered.
    ///
    /// # Panics
    /// If a record was lost, or a call returned before its record was safe: what it should have cost is unknown then.
    pub fn drain(&self) {
        if let Some(guard) = &self.guard {
            let report = guard.flush(Duration::from_secs(60));
            assert_eq!((report.lost, report.unconfirmed), (0, 0), "{report}");
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
