//! The store's clock, by the `Date` of its answers: by it the store lets go of what is locked.
//!
//! Between two answers it goes on by the time that passes here, not by this machine's wall clock, which anybody may set. The wall
//! clock is a witness: where the two disagree, one of them is wrong, and nothing is dated.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use aws_smithy_types::date_time::Format;
use tachograph_record::Time;

use crate::archive::store::MAX_SKEW;

/// An answer that is older than this is asked for anew before anything is dated.
const MAX_AGE: Duration = Duration::from_secs(600);
/// An answer that took longer tells too little of when it was dated: large uploads.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// What is known of the store's clock.
#[derive(Debug, Default)]
pub struct StoreClock(Mutex<Option<Reading>>);

/// The time that one answer told.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Nanoseconds since 1970, to about a second.
    theirs: u64,
    /// When that was.
    at: Instant,
}

/// Why nothing can be dated by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// No answer, or none lately.
    Old,
    /// The two clocks are further apart than [`MAX_SKEW`]; so many milliseconds the store is ahead.
    Apart(i64),
}

impl StoreClock {
    /// Milliseconds that the store is ahead of this machine, to about a second; `None` before its first answer.
    pub fn skew_ms(&self) -> Option<i64> {
        Some(self.reading()?.skew_ms(machine_nanos(), Instant::now()))
    }

    /// Now, as the store sees it and this machine does not deny.
    pub(super) fn agreed(&self) -> Result<Time, Untold> {
        self.reading().ok_or(Untold::Old)?.agreed(machine_nanos(), Instant::now())
    }

    fn reading(&self) -> Option<Reading> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, date: DateTime, sent: Instant, received: Instant) {
        if let Some(reading) = Reading::new(date, sent, received) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
        }
    }
}

impl Reading {
    /// The date is of some moment between, and cut to the second: half a second is its mean.
    fn new(date: DateTime, sent: Instant, received: Instant) -> Option<Self> {
        let took = received.saturating_duration_since(sent);
        let theirs = u64::try_from(date.secs()).ok()?.saturating_mul(1_000_000_000).saturating_add(500_000_000);
        (took <= LONGEST_ANSWER).then(|| Self { theirs, at: sent + took / 2 })
    }

    fn at(self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        self.theirs.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    fn skew_ms(self, machine: u64, now: Instant) -> i64 {
        let ms = (i128::from(self.at(now)) - i128::from(machine)) / 1_000_000;
        i64::try_from(ms).unwrap_or(if ms < 0 { i64::MIN } else { i64::MAX })
    }

    fn agreed(self, machine: u64, now: Instant) -> Result<Time, Untold> {
        if now.saturating_duration_since(self.at) > MAX_AGE {
            return Err(Untold::Old);
        }
        let ahead = self.skew_ms(machine, now);
        if u128::from(ahead.unsigned_abs()) > MAX_SKEW.as_millis() {
            return Err(Untold::Apart(ahead));
        }
        Time::from_unix_nanos(self.at(now)).map_err(|_| Untold::Apart(ahead))
    }
}

/// This machine's clock.
#[allow(clippy::disallowed_methods)] // the store's clock can only be compared with this one
fn machine_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads the date of each answer.
#[derive(Debug)]
pub(super) struct WatchDates(pub(super) std::sync::Arc<StoreClock>);

#[derive(Debug)]
struct SentAt(Instant);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

#[dyn_dispatch_hint]
impl Intercept for WatchDates {
    fn name(&self) -> &'static str {
        "WatchDates"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(SentAt(Instant::now()));
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        if let (Some(date), Some(SentAt(sent))) = (date, bag.load::<SentAt>()) {
            self.0.learn(date, *sent, Instant::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const YEAR: u64 = 365 * 86_400 * SECOND;
    const THEN: u64 = 1_764_000_000;

    fn date(seconds: u64) -> DateTime {
        DateTime::from_secs(i64::try_from(seconds).unwrap())
    }

    /// An answer of the second `THEN`.
    fn reading(at: Instant) -> Reading {
        Reading::new(date(THEN), at, at + Duration::from_millis(10)).unwrap()
    }

    #[test]
    fn between_answers_the_time_that_passes_counts_and_not_the_wall_clock() {
        let at = Instant::now();
        let later = at + Duration::from_secs(100);
        let told = |machine: u64| reading(at).agreed(machine, later).map(|time| time.unix_nanos() / SECOND);
        let right = (THEN + 100) * SECOND;
        for machine in [right, right - 299 * SECOND, right + 299 * SECOND] {
            assert_eq!(told(machine), Ok(THEN + 100));
        }
        // Somebody set it: no date follows it there.
        assert!(matches!(told(right - YEAR), Err(Untold::Apart(ahead)) if ahead > 0));
        assert!(matches!(told(right + YEAR), Err(Untold::Apart(ahead)) if ahead < 0));
        assert!(matches!(told(right + 302 * SECOND), Err(Untold::Apart(_))));
    }

    #[test]
    fn a_wrong_date_is_not_believed() {
        let at = Instant::now();
        for wrong in [THEN - 86_400, THEN + 86_400, 9_300_000_000, u64::try_from(i64::MAX).unwrap()] {
            let reading = Reading::new(date(wrong), at, at).unwrap();
            assert!(matches!(reading.agreed(THEN * SECOND, at), Err(Untold::Apart(_))), "{wrong}");
        }
    }

    #[test]
    fn an_old_answer_is_asked_for_anew_and_a_slow_one_tells_nothing() {
        let at = Instant::now();
        let after = |seconds: u64| reading(at).agreed((THEN + seconds) * SECOND, at + Duration::from_secs(seconds));
        assert!(after(599).is_ok());
        assert_eq!(after(601), Err(Untold::Old));
        assert!(Reading::new(date(THEN), at, at + Duration::from_secs(61)).is_none());
    }
}
