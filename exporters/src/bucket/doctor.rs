//! What the store does, tried out.

use std::hash::{BuildHasher, Hasher, RandomState};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumMode, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode,
    VersioningConfiguration,
};
use aws_smithy_types::DateTime;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tachograph_ledger::Lock;

use super::is_denied;
use crate::archive::store::s3::error::{Asked, Failure, failure};
use crate::archive::store::s3::{PROBE, S3Settings, S3Store};
use crate::archive::store::{Store, StoreError};

/// Seconds for which what is tried on is locked: what is left over goes in the next run.
const LOCKED_FOR: i64 = 30;

/// Whether the store does what the archive relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Tried, and it does.
    Proven,
    /// Tried, and it does not.
    Refuted,
    /// It could not be tried.
    Unproven,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What the archive relies on.
    pub name: &'static str,
    /// Whether the store does it.
    pub outcome: Outcome,
    /// What happened.
    pub what: String,
}

struct Patient<'s> {
    store: &'s S3Store,
    settings: S3Settings,
    key: String,
    checks: Vec<Check>,
}

type Answer<T> = Result<T, Failure>;

const BODY: &[u8] = b"tachograph probe";

/// Tries the store. What it leaves behind lies below `probe/` and is locked for seconds.
///
/// # Errors
/// If not even the first object can be written.
pub fn doctor(store: &S3Store) -> Result<Vec<Check>, StoreError> {
    let settings = store.settings().clone();
    let random = RandomState::new().build_hasher().finish();
    let key = format!("{}{PROBE}{random:016x}", settings.prefix);
    let mut patient = Patient { store, settings, key, checks: Vec::new() };
    patient.clear_leftovers();
    patient.examine().map_err(StoreError::from)?;
    Ok(patient.checks)
}

impl Patient<'_> {
    fn examine(&mut self) -> Answer<()> {
        let until = self.now() + LOCKED_FOR;
        let lock = self.settings.lock;
        let version = self.put(|put| locked(put.if_none_match("*"), lock, until))?;
        self.conditional_create(until);
        self.read_back(&version, until);
        self.checksum_is_checked();
        let Some(version) = version else {
            self.note("versions", Outcome::Refuted, "an object got no version");
            return Ok(());
        };
        if lock != Lock::None {
            self.delete_version(&version);
            self.change_retention(&version, until);
        }
        self.overwrite(&version);
        self.marker(&version);
        self.versioning_stays();
        Ok(())
    }

    fn conditional_create(&mut self, until: i64) {
        let lock = self.settings.lock;
        let name = "a second conditional create is refused";
        match self.put(|put| locked(put.if_none_match("*"), lock, until)) {
            Err(failure) if failure.status == Some(412) => self.note(name, Outcome::Proven, "412"),
            Err(failure) => self.note(name, Outcome::Unproven, failure.error.what),
            Ok(_) => self.note(name, Outcome::Refuted, "the store took it: two collectors would fork the ledger"),
        }
    }

    fn read_back(&mut self, version: &Option<String>, until: i64) {
        let head = self.head(version.as_deref());
        let (lock, sha256) = match head {
            Ok(head) => head,
            Err(failure) => return self.note("what was written reads back", Outcome::Refuted, failure.error.what),
        };
        match sha256 {
            Some(found) if found == sha256_of(BODY) => {
                self.note("the store keeps the SHA-256", Outcome::Proven, "by HEAD")
            }
            found => self.note("the store keeps the SHA-256", Outcome::Refuted, format!("HEAD says {found:?}")),
        }
        if self.settings.lock == Lock::None {
            return;
        }
        let name = "mode and date are as asked";
        match lock {
            Some((mode, date)) if mode == self.settings.lock && date == until => {
                self.note(name, Outcome::Proven, "by HEAD")
            }
            Some((mode, date)) => {
                self.note(name, Outcome::Refuted, format!("mode {} until {date}, asked for {until}", mode.as_str()));
            }
            None => self.note(
                name,
                Outcome::Refuted,
                "HEAD shows no lock: it was ignored, or s3:GetObjectRetention is missing",
            ),
        }
    }

    fn checksum_is_checked(&mut self) {
        let name = "a body with another SHA-256 is refused";
        let wrong = sha256_of(b"something else");
        let key = format!("{}-checksum", self.key);
        match self.put_at(&key, |put| put.checksum_sha256(&wrong)) {
            Err(failure) if failure.status.is_some_and(|status| status < 500) && !is_denied(&failure) => {
                self.note(name, Outcome::Proven, failure.code);
            }
            Err(failure) => self.note(name, Outcome::Unproven, failure.error.what),
            Ok(_) => self.note(name, Outcome::Refuted, "the store took it: damage on the way would go unnoticed"),
        }
    }

    fn delete_version(&mut self, version: &str) {
        let name = "a locked version can't be deleted";
        // Whoever may not delete at all proves nothing.
        let elsewhere = format!("{}-nothing", self.key);
        let may = !matches!(self.delete(&elsewhere, Some(version)), Err(failure) if is_denied(&failure));
        let refused = self.delete(&self.key.clone(), Some(version));
        match (refused, self.head(Some(version))) {
            (Ok(()), Err(_)) => {
                self.note(name, Outcome::Refuted, "it is gone: nothing in this store is safe from its administrator")
            }
            (Ok(()), Ok(_)) => self.note(name, Outcome::Proven, "the store said yes, and kept it"),
            (Err(_), Ok(_)) if may => self.note(name, Outcome::Proven, "refused, though this caller may delete"),
            (Err(_), _) => self.note(
                name,
                Outcome::Unproven,
                "this caller has no right to delete (s3:DeleteObjectVersion); run it with one",
            ),
        }
    }

    fn change_retention(&mut self, version: &str, until: i64) {
        let mode = mode_of(self.settings.lock);
        // Whoever may not even extend proves nothing.
        if let Err(failure) = self.retain(version, Some((mode.clone(), until + 1))) {
            let tried = if self.settings.lock == Lock::Compliance { &SHORTENED[..] } else { &SHORTENED[..1] };
            for name in tried {
                self.note(name, Outcome::Unproven, format!("retention can't be set at all: {}", failure.error.what));
            }
            return;
        }
        let shorter = self.now() + 2;
        self.must_be_refused(SHORTENED[0], version, Some((mode, shorter)), until);
        if self.settings.lock == Lock::Compliance {
            self.must_be_refused(SHORTENED[1], version, Some((ObjectLockRetentionMode::Governance, until + 1)), until);
            self.must_be_refused(SHORTENED[2], version, None, until);
        }
    }

    fn must_be_refused(
        &mut self,
        name: &'static str,
        version: &str,
        retention: Option<(ObjectLockRetentionMode, i64)>,
        until: i64,
    ) {
        let answer = self.retain(version, retention);
        match (answer, self.head(Some(version))) {
            (_, Ok((Some((mode, date)), _))) if mode == self.settings.lock && date >= until => {
                self.note(name, Outcome::Proven, "refused, though this caller may extend it");
            }
            (_, Ok((found, _))) => self.note(name, Outcome::Refuted, format!("the store did it: now {found:?}")),
            (_, Err(failure)) => self.note(name, Outcome::Unproven, failure.error.what),
        }
    }

    fn overwrite(&mut self, version: &str) {
        let name = "overwriting makes a new version, and the old one stays";
        match self.put(|put| put) {
            Err(failure) => self.note(name, Outcome::Unproven, failure.error.what),
            Ok(new) if new.as_deref() != Some(version) && self.head(Some(version)).is_ok() => {
                self.note(name, Outcome::Proven, "both are there");
                if let Some(new) = new {
                    let _ = self.delete(&self.key.clone(), Some(&new));
                }
            }
            Ok(_) => self.note(name, Outcome::Refuted, "the old version is gone"),
        }
    }

    fn marker(&mut self, version: &str) {
        let name = "deleting without a version only hides";
        match self.delete(&self.key.clone(), None) {
            Err(failure) => self.note(name, Outcome::Unproven, failure.error.what),
            Ok(()) => match self.head(Some(version)) {
                Ok(_) => self.note(name, Outcome::Proven, "the version stays behind the delete marker"),
                Err(_) => self.note(name, Outcome::Refuted, "the version is gone"),
            },
        }
    }

    fn versioning_stays(&mut self) {
        let name = "versioning can't be suspended";
        let set = |status: BucketVersioningStatus| {
            super::ask(self.store, "s3:PutBucketVersioning", move |client, bucket| {
                let configuration = VersioningConfiguration::builder().status(status.clone()).build();
                async move {
                    client.put_bucket_versioning().bucket(bucket).versioning_configuration(configuration).send().await
                }
            })
        };
        match set(BucketVersioningStatus::Suspended) {
            Err(failure) if is_denied(&failure) => {
                self.note(name, Outcome::Unproven, "this caller may not try (s3:PutBucketVersioning)");
            }
            Err(failure) => self.note(name, Outcome::Proven, failure.code),
            Ok(_) => {
                let again = set(BucketVersioningStatus::Enabled);
                let state = if again.is_ok() { "it is on again" } else { "AND COULD NOT BE SWITCHED ON AGAIN" };
                self.note(name, Outcome::Refuted, format!("the store did it; {state}"));
            }
        }
    }

    /// Removes what earlier examinations left, as far as its lock is over and the caller may.
    fn clear_leftovers(&self) {
        let prefix = format!("{}{PROBE}", self.settings.prefix);
        let listed = super::ask(self.store, "s3:ListBucketVersions", move |client, bucket| {
            let list = client.list_object_versions().bucket(bucket).prefix(&prefix);
            async move { list.send().await }
        });
        let Ok(listed) = listed else { return };
        let versions = listed.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = listed.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        for (key, version) in versions.chain(markers) {
            if let Some(key) = key {
                let _ = self.delete(key, version);
            }
        }
    }

    /// Now by the store's clock, in seconds since 1970.
    fn now(&self) -> i64 {
        let now = self.store.now().ok().flatten().unwrap_or_default();
        i64::try_from(now.unix_nanos() / 1_000_000_000).unwrap_or(0)
    }

    fn note(&mut self, name: &'static str, outcome: Outcome, what: impl Into<String>) {
        self.checks.push(Check { name, outcome, what: what.into() });
    }

    fn ask<T: Send + 'static, F>(&self, make: impl Fn(Client, S3Settings, String) -> F) -> Answer<T>
    where
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        self.store.ask(|client| make(client, self.settings.clone(), self.key.clone()))
    }

    fn put(&self, with: impl Fn(PutObjectFluentBuilder) -> PutObjectFluentBuilder) -> Answer<Option<String>> {
        self.put_at(&self.key, |put| with(put.checksum_sha256(sha256_of(BODY))))
    }

    fn put_at(
        &self,
        key: &str,
        with: impl Fn(PutObjectFluentBuilder) -> PutObjectFluentBuilder,
    ) -> Answer<Option<String>> {
        self.ask(|client, settings, _| {
            let put = client.put_object().bucket(&settings.bucket).key(key).body(ByteStream::from_static(BODY));
            let (put, key) = (with(put), key.to_owned());
            async move {
                let answer = put.send().await;
                let answer =
                    answer.map_err(|error| failure(&settings, Asked { action: "s3:PutObject", key: &key }, &error))?;
                Ok(answer.version_id().map(str::to_owned))
            }
        })
    }

    /// Lock and SHA-256 of a version.
    #[allow(clippy::type_complexity)]
    fn head(&self, version: Option<&str>) -> Answer<(Option<(Lock, i64)>, Option<String>)> {
        let version = version.map(str::to_owned);
        self.ask(|client, settings, key| {
            let head = client.head_object().bucket(&settings.bucket).key(&key).set_version_id(version.clone());
            async move {
                let head = head.checksum_mode(ChecksumMode::Enabled).send().await;
                let head =
                    head.map_err(|error| failure(&settings, Asked { action: "s3:GetObject", key: &key }, &error))?;
                let lock = match head.object_lock_mode() {
                    Some(ObjectLockMode::Compliance) => Some(Lock::Compliance),
                    Some(ObjectLockMode::Governance) => Some(Lock::Governance),
                    _ => None,
                };
                let date = head.object_lock_retain_until_date().map(DateTime::secs);
                Ok((lock.zip(date), head.checksum_sha256().map(str::to_owned)))
            }
        })
    }

    fn delete(&self, key: &str, version: Option<&str>) -> Answer<()> {
        let (key, version) = (key.to_owned(), version.map(str::to_owned));
        self.ask(|client, settings, _| {
            let delete = client.delete_object().bucket(&settings.bucket).key(&key).set_version_id(version.clone());
            let key = key.clone();
            async move {
                let asked = Asked { action: "s3:DeleteObjectVersion", key: &key };
                delete.send().await.map_err(|error| failure(&settings, asked, &error))?;
                Ok(())
            }
        })
    }

    fn retain(&self, version: &str, retention: Option<(ObjectLockRetentionMode, i64)>) -> Answer<()> {
        self.ask(|client, settings, key| {
            let wanted = ObjectLockRetention::builder()
                .set_mode(retention.as_ref().map(|(mode, _)| mode.clone()))
                .set_retain_until_date(retention.as_ref().map(|(_, until)| DateTime::from_secs(*until)))
                .build();
            let put = client.put_object_retention().bucket(&settings.bucket).key(&key).version_id(version);
            let put = put.retention(wanted);
            async move {
                let asked = Asked { action: "s3:PutObjectRetention", key: &key };
                put.send().await.map_err(|error| failure(&settings, asked, &error))?;
                Ok(())
            }
        })
    }
}

const SHORTENED: [&str; 3] =
    ["a lock can't be shortened", "mode compliance can't be downgraded", "a lock can't be removed"];

fn locked(put: PutObjectFluentBuilder, lock: Lock, until: i64) -> PutObjectFluentBuilder {
    match lock {
        Lock::None => put,
        Lock::Governance => {
            put.object_lock_mode(ObjectLockMode::Governance).object_lock_retain_until_date(DateTime::from_secs(until))
        }
        Lock::Compliance => {
            put.object_lock_mode(ObjectLockMode::Compliance).object_lock_retain_until_date(DateTime::from_secs(until))
        }
    }
}

fn mode_of(lock: Lock) -> ObjectLockRetentionMode {
    match lock {
        Lock::Compliance => ObjectLockRetentionMode::Compliance,
        Lock::Governance | Lock::None => ObjectLockRetentionMode::Governance,
    }
}

fn sha256_of(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}
