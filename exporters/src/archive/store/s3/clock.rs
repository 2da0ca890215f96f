//! The store's clock, by the `Date` of its answers: by it the store lets go of what is locked.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// How far the store's clock is from this machine's.
#[derive(Debug, Default)]
pub struct StoreClock(Mutex<Option<i64>>);

impl StoreClock {
    /// Nanoseconds that the store is ahead of this machine, to about a second; `None` before its first answer.
    pub fn skew_nanos(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, as the store sees it.
    pub fn now(&self) -> Option<Time> {
        let nanos = machine_nanos().checked_add_signed(self.skew_nanos()?)?;
        Time::from_unix_nanos(nanos).ok()
    }

    fn learn(&self, skew: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
    }
}

/// This machine's clock.
#[allow(clippy::disallowed_methods)] // the store's clock can only be measured against this one
fn machine_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads the date of each answer.
#[derive(Debug)]
pub(super) struct WatchDates(pub(super) std::sync::Arc<StoreClock>);

#[derive(Debug)]
struct SentAt(u64);

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
        bag.interceptor_state().store_put(SentAt(machine_nanos()));
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
            // The date is of some moment between, and cut to the second: half a second is its mean.
            let between = *sent / 2 + machine_nanos() / 2;
            let theirs = date.secs().saturating_mul(1_000_000_000).saturating_add(500_000_000);
            self.0.learn(theirs.saturating_sub(i64::try_from(between).unwrap_or(i64::MAX)));
        }
        Ok(())
    }
}
