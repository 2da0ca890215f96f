//! The bucket itself: made, looked at, and tried, before an archive relies on it.
//!
//! Object Lock is a promise of the store. [`inspect`] reads what the bucket says of itself, [`doctor()`] tries what it does: on keys of
//! its own below `probe/`, with locks of seconds, it does what an attacker would do and expects to be refused.

mod doctor;
mod init;
mod policies;

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectLockRetentionMode};
use serde::Serialize;
use tachograph_ledger::Lock;

use crate::archive::Retention;
pub use crate::archive::store::MAX_SKEW;
use crate::archive::store::s3::error::{Asked, Failure, failure};
use crate::archive::store::s3::{S3Settings, S3Store};
use crate::archive::store::{ErrorKind, StoreError};

pub use doctor::{Check, Outcome, Trials, doctor};
pub use init::{Step, StepOutcome, init};
pub use policies::{Role, lifecycle, policy};

const DAY: u64 = 24 * 3600;

/// What a bucket says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The bucket.
    pub bucket: String,
    /// Whether it was made with Object Lock.
    pub object_lock: bool,
    /// Whether it keeps versions.
    pub versioning: bool,
    /// Mode and days for which it locks what comes without a date.
    pub default_retention: Option<(String, u64)>,
    /// Milliseconds that the store's clock is ahead of this machine's.
    pub clock_skew_ms: Option<i64>,
}

/// Why an archive can't be kept in a bucket.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BucketError {
    /// It does not answer as it should.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It answers, but not as S3 does.
    #[error("the store of bucket {bucket} answers {action} with what is not S3's language: {what}")]
    Unreadable {
        /// The bucket.
        bucket: String,
        /// What was asked.
        action: &'static str,
        /// What is known of the answer.
        what: String,
    },
    /// No Object Lock.
    #[error(
        "bucket {0} has no Object Lock, so nothing in it is kept from anybody. It is switched on when a bucket is made: `tachograph bucket init` makes one, \
         or have it switched on by who owns the bucket (s3:PutBucketObjectLockConfiguration)"
    )]
    NoObjectLock(String),
    /// No versioning.
    #[error(
        "bucket {0} keeps no versions: switch versioning on (aws s3api put-bucket-versioning --bucket {0} --versioning-configuration Status=Enabled)"
    )]
    NoVersioning(String),
    /// The default is longer than what is configured.
    #[error(
        "bucket {bucket} locks for {days} days by default, archive.retention keeps {what} for less: what falls short of the bucket's own rule is a mistake of one of \
         them. Raise archive.retention, or lower the default (aws s3api put-object-lock-configuration)"
    )]
    ShorterThanDefault {
        /// The bucket.
        bucket: String,
        /// Its default.
        days: u64,
        /// What is kept shorter.
        what: String,
    },
    /// It does not do what is relied on.
    #[error(
        "the store of bucket {bucket} does not do what an archive in mode {mode} relies on: {}. Choose another store; `tachograph bucket doctor` shows all that was tried",
        refuted.join("; ")
    )]
    Refuted {
        /// The bucket.
        bucket: String,
        /// How objects are to be locked.
        mode: &'static str,
        /// What was tried, and what happened.
        refuted: Vec<String>,
    },
    /// The clocks differ.
    #[error("the store's clock is {} s {} this machine's: dates of retention could not be told. Mend the clock, with chrony or ntpd", .seconds.unsigned_abs(), if *.seconds > 0 { "ahead of" } else { "behind" })]
    Clock {
        /// Seconds that the store is ahead.
        seconds: i64,
    },
}

/// Reads what the bucket says of itself; changes nothing.
///
/// # Errors
/// If it does not answer, or a permission is missing.
pub fn inspect(store: &S3Store) -> Result<Inspection, BucketError> {
    let bucket = store.settings().bucket.clone();
    let versioning = ask(store, "s3:GetBucketVersioning", |client, bucket| async move {
        client.get_bucket_versioning().bucket(bucket).send().await
    })
    .map_err(|failure| told(&bucket, "s3:GetBucketVersioning", failure))?;
    let locked = ask(store, "s3:GetBucketObjectLockConfiguration", |client, bucket| async move {
        client.get_object_lock_configuration().bucket(bucket).send().await
    });
    let configuration = match locked {
        Ok(answer) => answer.object_lock_configuration,
        Err(failure) if failure.code == "ObjectLockConfigurationNotFoundError" || failure.is_not_found() => None,
        Err(failure) => return Err(told(&bucket, "s3:GetBucketObjectLockConfiguration", failure)),
    };
    let object_lock = configuration.as_ref().is_some_and(|found| found.object_lock_enabled().is_some());
    let default = configuration.and_then(|found| found.rule?.default_retention);
    let default_retention = default.and_then(|default| {
        let mode = match default.mode? {
            ObjectLockRetentionMode::Compliance => Lock::Compliance,
            _ => Lock::Governance,
        };
        let days = default.days.or_else(|| default.years.map(|years| years.saturating_mul(365)))?;
        Some((mode.as_str().to_owned(), u64::try_from(days).ok()?))
    });
    Ok(Inspection {
        bucket,
        object_lock,
        versioning: versioning.status() == Some(&BucketVersioningStatus::Enabled),
        default_retention,
        clock_skew_ms: store.clock().skew_ms(),
    })
}

/// A success that can't be read is no refusal.
fn told(bucket: &str, action: &'static str, failure: Failure) -> BucketError {
    match failure.status {
        Some(200..=299) => BucketError::Unreadable { bucket: bucket.to_owned(), action, what: failure.error.what },
        _ => StoreError::from(failure).into(),
    }
}

/// Asks once for what is not about one object.
fn ask<T, E, F>(
    store: &S3Store,
    action: &'static str,
    make: impl Fn(aws_sdk_s3::Client, String) -> F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    E: aws_sdk_s3::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    F: Future<Output = Result<T, aws_sdk_s3::error::SdkError<E>>> + Send + 'static,
{
    let settings = store.settings().clone();
    store.ask(move |client| {
        let (settings, answer) = (settings.clone(), make(client, settings.bucket.clone()));
        async move { answer.await.map_err(|error| failure(&settings, Asked { action, key: "" }, &error)) }
    })
}

impl Inspection {
    /// Whether an archive may be kept here as it is configured.
    ///
    /// # Errors
    /// Naming what is in the way.
    pub fn check(&self, settings: &S3Settings, retention: &Retention) -> Result<(), BucketError> {
        if !self.object_lock && settings.lock != Lock::None {
            return Err(BucketError::NoObjectLock(self.bucket.clone()));
        }
        if !self.versioning {
            return Err(BucketError::NoVersioning(self.bucket.clone()));
        }
        if let Some(ms) = self.clock_skew_ms.filter(|ms| ms.unsigned_abs() > MAX_SKEW.as_millis() as u64) {
            return Err(BucketError::Clock { seconds: ms / 1000 });
        }
        if let Some((_, days)) = &self.default_retention {
            let kept = retention.classes.iter().map(|(name, keep)| (format!("class {name}"), *keep));
            let all = kept.chain([("records".to_owned(), retention.default), ("proofs".to_owned(), retention.proofs)]);
            let shorter = all.into_iter().find(|(_, keep)| keep.as_secs() < days * DAY);
            if let Some((what, _)) = shorter {
                return Err(BucketError::ShorterThanDefault { bucket: self.bucket.clone(), days: *days, what });
            }
        }
        Ok(())
    }
}

/// Refuses a store that was seen not to do what is relied on: in mode compliance all of it, in any mode that of two collectors one
/// is fenced.
///
/// # Errors
/// Naming all that was refuted.
pub fn refuse(settings: &S3Settings, checks: &[Check]) -> Result<(), BucketError> {
    let relied_on = |check: &&Check| settings.lock == Lock::Compliance || doctor::FENCE.contains(&check.name);
    let refuted: Vec<String> = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Refuted)
        .filter(relied_on)
        .map(|check| format!("{} ({})", check.name, check.what))
        .collect();
    if refuted.is_empty() {
        return Ok(());
    }
    Err(BucketError::Refuted { bucket: settings.bucket.clone(), mode: settings.lock.as_str(), refuted })
}

/// What was asked and refused for want of a right.
fn is_denied(failure: &Failure) -> bool {
    failure.error.kind == ErrorKind::Denied
}

#[cfg(test)]
mod tests;
