//! How long a store that does not answer is asked again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;
use std::time::Duration;

use crate::archive::store::StoreError;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A store that asks for a longer pause gets this one: an outage must not outlast itself.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(120);
const BRIEF_ATTEMPTS: u32 = 5;

/// Decides whether a failed request is tried again.
pub trait Patience: Send + Sync {
    /// Waits `pause` after failed attempt number `attempt` (from 1), or gives up: `false`.
    fn wait(&self, error: &StoreError, attempt: u32, pause: Duration) -> bool;
}

/// Five attempts: for commands that a person waits for.
#[derive(Clone, Copy, Debug)]
pub struct Brief;

impl Patience for Brief {
    fn wait(&self, _error: &StoreError, attempt: u32, pause: Duration) -> bool {
        if attempt < BRIEF_ATTEMPTS {
            thread::sleep(pause);
        }
        attempt < BRIEF_ATTEMPTS
    }
}

/// The pause behind an attempt: doubling, with full jitter, so that many writers do not come back at once; or what the store asked for.
pub(super) fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked {
        return asked.min(LONGEST_ASKED_PAUSE);
    }
    let longest = FIRST_PAUSE.saturating_mul(1 << attempt.min(16)).min(LONGEST_PAUSE);
    // Each state is keyed at random.
    let random = RandomState::new().build_hasher().finish();
    let jittered = longest.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64);
    jittered.max(FIRST_PAUSE / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let pauses = |attempt| (0..200).map(move |_| pause(attempt, None)).collect::<Vec<_>>();
        assert!(pauses(1).iter().all(|pause| *pause <= FIRST_PAUSE * 2));
        assert!(pauses(30).iter().all(|pause| *pause <= LONGEST_PAUSE));
        assert!(pauses(30).iter().max() > pauses(3).iter().max());
        let mut distinct = pauses(30);
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 100);
        assert_eq!(pause(1, Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(pause(1, Some(Duration::from_secs(7_000))), LONGEST_ASKED_PAUSE);
    }
}
