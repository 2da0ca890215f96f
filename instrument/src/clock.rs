//! Time, read in one place: the wall clock for when, a stopwatch for how long. A test may have a clock of its own.

use crate::recorder;
use crate::testing::Clock;
use std::time::{Duration, Instant, SystemTime};

/// Now.
#[allow(clippy::disallowed_methods)]
#[inline]
pub(crate) fn now() -> SystemTime {
    of_test().map_or_else(SystemTime::now, |clock| clock.now())
}

/// How long something takes, whatever the wall clock does meanwhile.
#[derive(Debug)]
pub(crate) enum Stopwatch {
    Real(Instant),
    /// A test's clock, and how much had passed on it.
    OfTest(Clock, Duration),
}

impl Stopwatch {
    #[inline]
    pub(crate) fn start() -> Self {
        match of_test() {
            None => Self::Real(Instant::now()),
            Some(clock) => {
                let passed = clock.passed();
                Self::OfTest(clock, passed)
            }
        }
    }

    #[inline]
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Real(began) => began.elapsed(),
            Self::OfTest(clock, began) => clock.passed().saturating_sub(*began),
        }
    }
}

#[inline]
fn of_test() -> Option<Clock> {
    recorder::memory().and_then(|memory| memory.clock().cloned())
}
