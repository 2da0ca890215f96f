//! Time comes in through here, so that a test can own it.

use std::time::{SystemTime, UNIX_EPOCH};

use tachograph_record::Time;

/// A wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Time;
}

/// The system's clock. Before 1970 it reads 1970, after 2262-04-11 that day.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place
    fn now(&self) -> Time {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).min(i64::MAX as u64);
        Time::from_unix_nanos(nanos).unwrap_or_default()
    }
}
