//! The wall clock, read in one place.

use std::time::SystemTime;

/// Now.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
