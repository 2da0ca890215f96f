//! What the store does, tried out.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::delete_objects::DeleteObjectsError;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, Delete, ObjectIdentifier, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, VersioningConfiguration,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::error::operation::BuildError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tachograph_ledger::Lock;
use tachograph_record::Time;
use tokio::task::JoinSet;

use super::is_denied;
use crate::archive::store::s3::error::{Asked, Failure, failure};
use crate::archive::store::s3::{PROBE, S3Settings, S3Store};
use crate::archive::store::{Store, StoreError};

/// Seconds for which what is tried on is locked: what is left over goes in the next run.
const LOCKED_FOR: i64 = 30;
/// The same for what is tried once its lock is over, and for what need not be locked: without a date of its own, the bucket's default
/// would keep it for years.
const LOCKED_BRIEFLY: i64 = 2;

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
    /// The store's time when it was agreed upon: from there on no single answer shifts a lock.
    began: (Time, Instant),
    key: String,
    checks: Vec<Check>,
}

/// Versions, each with its key.
struct Brief {
    /// When the short locks end.
    until: i64,
    /// Free to go when they do.
    over: (String, String),
    held: (String, String),
    /// Locked far longer.
    locked: (String, String),
}

/// Lock and SHA-256 of a version.
type Seen = (Option<(Lock, i64)>, Option<String>);

type Answer<T> = Result<T, Failure>;

const BODY: &[u8] = b"tachograph probe";

/// Creates of one name under way at once.
const RIVALS: usize = 8;

/// What two collectors on one ledger rely on, whatever the mode.
pub(super) const FENCE: [&str; 2] = [SECOND_CREATE, SIMULTANEOUS_CREATES];
const SECOND_CREATE: &str = "a second conditional create is refused";
const SIMULTANEOUS_CREATES: &str = "of conditional creates at the same time one succeeds";

/// How far the doctor may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trials {
    /// Only what leaves everything beyond `probe/` as it is, wherever it is interrupted: at each start of a collector.
    Harmless,
    /// Also whether versioning can be suspended, which a store that does not keep its word does. Only on a bucket that holds nothing.
    All,
}

/// Tries the store. What it leaves behind lies below `probe/` and is locked for seconds.
///
/// # Errors
/// If not even the first object can be written, or the store's clock and this machine's differ.
pub fn doctor(store: &S3Store, trials: Trials) -> Result<Vec<Check>, StoreError> {
    let settings = store.settings().clone();
    let random = RandomState::new().build_hasher().finish();
    let key = format!("{}{PROBE}{random:016x}", settings.prefix);
    let began = (store.now()?.unwrap_or_default(), Instant::now());
    let mut patient = Patient { store, settings, began, key, checks: Vec::new() };
    patient.clear_leftovers();
    patient.examine(trials).map_err(StoreError::from)?;
    Ok(patient.checks)
}

impl Patient<'_> {
    fn examine(&mut self, trials: Trials) -> Answer<()> {
        let until = self.now() + LOCKED_FOR;
        let lock = self.settings.lock;
        let version = match self.put(|put| locked(put.if_none_match("*"), lock, until)) {
            Ok(version) => version,
            // It can't, or not in this bucket; why, it says in its own words.
            Err(failure) if failure.status.is_some_and(|status| status == 400 || status == 501) => {
                self.note("an object is created with a lock", Outcome::Refuted, failure.error.what);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let Some(version) = version else {
            self.note("an object gets a version", Outcome::Refuted, "it got none: nothing can be locked here");
            return Ok(());
        };
        let brief = if lock == Lock::None { None } else { Some(self.lock_briefly(until)?) };
        self.conditional_create(until);
        self.simultaneous_creates()?;
        self.read_back(&version, until);
        self.checksum_is_checked();
        let mut version = version;
        if lock != Lock::None {
            self.delete_version(&version);
            // What comes next is tried on another one, not put down to what has happened to this.
            if self.head(&version).is_err_and(|failure| failure.is_not_found()) {
                version = self.put(|put| locked(put, lock, until))?.unwrap_or_default();
            }
            self.change_retention(&version);
        }
        self.overwrite(&version);
        self.marker(&version);
        if trials == Trials::All {
            self.versioning_stays();
        }
        if let Some(brief) = brief {
            for _ in 0..100 * LOCKED_BRIEFLY {
                if self.now() > brief.until {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            self.delete_in_a_batch(&brief);
            self.legal_hold(&brief);
        }
        Ok(())
    }

    /// What is tried when its lock is over. Written first, so that the rest fills the time.
    fn lock_briefly(&self, until: i64) -> Answer<Brief> {
        let (lock, brief) = (self.settings.lock, self.now() + LOCKED_BRIEFLY);
        let write = |name: &str, until: i64| {
            let key = format!("{}-{name}", self.key);
            let version = self.put_at(&key, |put| locked(put.checksum_sha256(sha256_of(BODY)), lock, until))?;
            Ok((key, version.unwrap_or_default()))
        };
        Ok(Brief {
            until: brief,
            over: write("over", brief)?,
            held: write("held", brief)?,
            locked: write("locked", until)?,
        })
    }

    fn conditional_create(&mut self, until: i64) {
        let lock = self.settings.lock;
        match self.put(|put| locked(put.if_none_match("*"), lock, until)) {
            Err(failure) if failure.status == Some(412) => self.note(SECOND_CREATE, Outcome::Proven, "412"),
            Err(failure) => self.note(SECOND_CREATE, Outcome::Unproven, failure.error.what),
            Ok(_) => self.note(SECOND_CREATE, Outcome::Refuted, FORK),
        }
    }

    /// A store that looks whether there is such an object, and then writes, refuses a second one, but not several at once.
    fn simultaneous_creates(&mut self) -> Answer<()> {
        let (lock, until) = (self.settings.lock, self.now() + LOCKED_BRIEFLY);
        let (key, settings) = (format!("{}-race", self.key), self.settings.clone());
        let client = self.store.connection().client().clone();
        let answers = self.store.connection().run(async move {
            let mut under_way = JoinSet::new();
            for _ in 0..RIVALS {
                let put = client.put_object().bucket(&settings.bucket).key(&key).body(ByteStream::from_static(BODY));
                let put = put.checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_sha256(sha256_of(BODY));
                under_way.spawn(locked(put.if_none_match("*"), lock, until).send());
            }
            let asked = Asked { action: "s3:PutObject", key: &key };
            let answers = under_way.join_all().await.into_iter();
            answers.map(|answer| answer.map_err(|error| failure(&settings, asked, &error))).collect::<Vec<_>>()
        });
        let answers = answers.map_err(Failure::of_store)?;
        let created = answers.iter().filter(|answer| answer.is_ok()).count();
        // 409 is said while another create is under way.
        let other =
            answers.into_iter().filter_map(Result::err).find(|failure| !matches!(failure.status, Some(409 | 412)));
        let (outcome, what) = match (created, other) {
            (2.., _) => (
                Outcome::Refuted,
                format!("the store took {created} of {RIVALS}: two collectors would fork the ledger"),
            ),
            (1, None) => (Outcome::Proven, format!("one of {RIVALS}")),
            (_, Some(failure)) => (Outcome::Unproven, failure.error.what),
            (_, None) => (Outcome::Unproven, format!("the store took none of {RIVALS}")),
        };
        self.note(SIMULTANEOUS_CREATES, outcome, what);
        Ok(())
    }

    fn read_back(&mut self, version: &str, until: i64) {
        let head = self.head(version);
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
            Some(found) => {
                let what =
                    format!("it is {}, asked for {}", shown(Some(found)), shown(Some((self.settings.lock, until))));
                self.note(name, Outcome::Refuted, what);
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
        let (lock, until) = (self.settings.lock, self.now() + LOCKED_BRIEFLY);
        match self.put_at(&key, |put| locked(put.checksum_sha256(&wrong), lock, until)) {
            // Any other complaint would be about something else.
            Err(failure) if failure.code.contains("Checksum") || failure.code.contains("Digest") => {
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
        let answer = self.delete(&self.key, Some(version));
        match (answer, self.head(version)) {
            (_, Err(failure)) if failure.is_not_found() => {
                self.note(name, Outcome::Refuted, "it is gone: nothing in this store is safe from its administrator");
            }
            (_, Err(failure)) => self.note(name, Outcome::Unproven, failure.error.what),
            (Ok(()), Ok(_)) => self.note(name, Outcome::Proven, "the store said yes, and kept it"),
            (Err(_), Ok(_)) if may => self.note(name, Outcome::Proven, "refused, though this caller may delete"),
            (Err(_), Ok(_)) => self.note(name, Outcome::Unproven, NO_RIGHT_TO_DELETE),
        }
    }

    fn change_retention(&mut self, version: &str) {
        let lock = self.settings.lock;
        let tried = if lock == Lock::Compliance { &SHORTENED[..] } else { &SHORTENED[..1] };
        // Whoever may not even extend proves nothing.
        let until = self.now() + LOCKED_FOR + 2;
        if let Err(failure) = self.retain(version, Some((mode_of(lock), until))) {
            for name in tried {
                self.note(name, Outcome::Unproven, format!("retention can't be set at all: {}", failure.error.what));
            }
            return;
        }
        for name in tried {
            let wanted = match *name {
                SHORTER => Some((mode_of(lock), self.now() + LOCKED_BRIEFLY)),
                WEAKER => Some((ObjectLockRetentionMode::Governance, until)),
                _ => None,
            };
            self.must_be_refused(name, version, wanted);
        }
    }

    /// What an earlier attempt has done is not put down to this one.
    fn must_be_refused(&mut self, name: &'static str, version: &str, wanted: Option<(ObjectLockRetentionMode, i64)>) {
        let before = self.head(version).map(|(lock, _)| lock);
        let answer = self.retain(version, wanted);
        let after = self.head(version).map(|(lock, _)| lock);
        let (outcome, what) = match (before, after) {
            (Ok(Some(before)), Ok(Some(after))) if after.0 == before.0 && after.1 >= before.1 => match answer {
                Ok(()) => (Outcome::Proven, "the store said yes, and kept it as it was".to_owned()),
                Err(_) => (Outcome::Proven, "refused, though this caller may extend it".to_owned()),
            },
            (Ok(Some(before)), Ok(after)) => (
                Outcome::Refuted,
                format!("the store did it: it was {}, now it is {}", shown(Some(before)), shown(after)),
            ),
            (Ok(None), _) => (Outcome::Unproven, "there was no lock left to try it on".to_owned()),
            (Err(failure), _) | (_, Err(failure)) => (Outcome::Unproven, failure.error.what),
        };
        self.note(name, outcome, what);
    }

    fn overwrite(&mut self, version: &str) {
        let name = "overwriting makes a new version, and the old one stays";
        let (lock, until) = (self.settings.lock, self.now() + LOCKED_BRIEFLY);
        match self.put(|put| locked(put, lock, until)) {
            Err(failure) => self.note(name, Outcome::Unproven, failure.error.what),
            Ok(new) if new.as_deref() != Some(version) && self.head(version).is_ok() => {
                self.note(name, Outcome::Proven, "both are there");
            }
            Ok(_) => self.note(name, Outcome::Refuted, "the old version is gone"),
        }
    }

    fn marker(&mut self, version: &str) {
        let name = "deleting without a version only hides";
        match self.delete(&self.key, None) {
            Err(failure) => self.note(name, Outcome::Unproven, failure.error.what),
            Ok(()) => match self.head(version) {
                Ok(_) => self.note(name, Outcome::Proven, "the version stays behind the delete marker"),
                Err(_) => self.note(name, Outcome::Refuted, "the version is gone"),
            },
        }
    }

    fn versioning_stays(&mut self) {
        let name = "versioning can't be suspended";
        if let Err(why) = self.holds_nothing() {
            return self.note(name, Outcome::Unproven, why);
        }
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

    /// Whether nothing would be lost if versioning stayed suspended; or why not.
    fn holds_nothing(&self) -> Result<(), String> {
        let listed = super::ask(self.store, "s3:ListBucketVersions", |client, bucket| async move {
            client.list_object_versions().bucket(bucket).send().await
        });
        let listed = listed.map_err(|failure| failure.error.what)?;
        let probes = format!("{}{PROBE}", self.settings.prefix);
        let of_probes = |key: Option<&str>| key.is_some_and(|key| key.starts_with(&probes));
        let versions = listed.versions().iter().all(|version| of_probes(version.key()));
        let markers = listed.delete_markers().iter().all(|marker| of_probes(marker.key()));
        if versions && markers && listed.is_truncated() != Some(true) {
            return Ok(());
        }
        Err("not tried on a bucket that is in use, which would be without versions were it interrupted: try it on a new one".to_owned())
    }

    /// One request for several versions takes another way through a store. Behind a version that may go, one that may not.
    fn delete_in_a_batch(&mut self, brief: &Brief) {
        let name = "a locked version can't be deleted in a batch";
        let answer = self.delete_both(&brief.over, &brief.locked);
        let refused = match answer {
            Ok(()) => "the batch deleted nothing".to_owned(),
            Err(failure) => failure.error.what,
        };
        let there = |(key, version): &(String, String)| match self.head_at(key, version) {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        };
        match (there(&brief.over), there(&brief.locked)) {
            (_, Ok(false)) => self.note(name, Outcome::Refuted, "it is gone, with one whose lock was over"),
            (Ok(false), Ok(true)) => self.note(name, Outcome::Proven, "kept, and one whose lock was over is gone"),
            (Ok(true), Ok(true)) => self.note(name, Outcome::Unproven, format!("{NO_RIGHT_TO_DELETE} ({refused})")),
            (Err(failure), _) | (_, Err(failure)) => self.note(name, Outcome::Unproven, failure.error.what),
        }
    }

    fn legal_hold(&mut self, brief: &Brief) {
        let name = "a version under legal hold can't be deleted";
        let (key, version) = &brief.held;
        if let Err(failure) = self.hold(key, version, true) {
            let what = format!("no hold can be set, as `tachograph hold` does: {}", failure.error.what);
            return self.note(name, Outcome::Unproven, what);
        }
        let _ = self.delete(key, Some(version));
        let kept = self.head_at(key, version);
        let lifted = self.hold(key, version, false);
        let (outcome, what) = match (kept, lifted) {
            (Err(failure), _) if failure.is_not_found() => (Outcome::Refuted, "it is gone".to_owned()),
            (Err(failure), _) | (_, Err(failure)) => (Outcome::Unproven, failure.error.what),
            // Only whoever can delete it now was kept from it by the hold.
            (Ok(_), Ok(())) => match self.delete(key, Some(version)) {
                Ok(()) => (Outcome::Proven, "kept while held, deleted when not".to_owned()),
                Err(_) => (Outcome::Unproven, NO_RIGHT_TO_DELETE.to_owned()),
            },
        };
        self.note(name, outcome, what);
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
        let (began, at) = self.began;
        let nanos = u128::from(began.unix_nanos()) + at.elapsed().as_nanos();
        i64::try_from(nanos / 1_000_000_000).unwrap_or(0)
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
            let put =
                client.put_object().bucket(&settings.bucket).key(key).checksum_algorithm(ChecksumAlgorithm::Sha256);
            let put = put.body(ByteStream::from_static(BODY));
            let (put, key) = (with(put), key.to_owned());
            async move {
                let answer = put.send().await;
                let answer =
                    answer.map_err(|error| failure(&settings, Asked { action: "s3:PutObject", key: &key }, &error))?;
                Ok(answer.version_id().map(str::to_owned))
            }
        })
    }

    fn head(&self, version: &str) -> Answer<Seen> {
        self.head_at(&self.key, version)
    }

    fn head_at(&self, key: &str, version: &str) -> Answer<Seen> {
        let key = key.to_owned();
        self.ask(|client, settings, _| {
            let head = client.head_object().bucket(&settings.bucket).key(&key).version_id(version);
            let key = key.clone();
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

    /// Both in one request; whether they are gone, HEAD says.
    fn delete_both(&self, first: &(String, String), second: &(String, String)) -> Answer<()> {
        self.ask(|client, settings, key| {
            let named =
                |(key, version): &(String, String)| ObjectIdentifier::builder().key(key).version_id(version).build();
            let both = named(first).and_then(|first| Ok((first, named(second)?)));
            let both = both.and_then(|(first, second)| Delete::builder().objects(first).objects(second).build());
            async move {
                let asked = Asked { action: "s3:DeleteObjectVersion", key: &key };
                let both =
                    both.map_err(|error| failure(&settings, asked, &construction::<DeleteObjectsError>(error)))?;
                let delete = client.delete_objects().bucket(&settings.bucket).delete(both);
                delete.send().await.map_err(|error| failure(&settings, asked, &error))?;
                Ok(())
            }
        })
    }

    fn hold(&self, key: &str, version: &str, on: bool) -> Answer<()> {
        let status = if on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
        let (key, hold) = (key.to_owned(), ObjectLockLegalHold::builder().status(status).build());
        self.ask(|client, settings, _| {
            let put = client.put_object_legal_hold().bucket(&settings.bucket).key(&key).version_id(version);
            let (put, key) = (put.legal_hold(hold.clone()), key.clone());
            async move {
                let asked = Asked { action: "s3:PutObjectLegalHold", key: &key };
                put.send().await.map_err(|error| failure(&settings, asked, &error))?;
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

const FORK: &str = "the store took it: two collectors would fork the ledger";

const SHORTER: &str = "a lock can't be shortened";
const WEAKER: &str = "mode compliance can't be downgraded";
/// What is tried on a lock; in mode governance, who has the right may do all but the first without asking.
const SHORTENED: [&str; 3] = [SHORTER, WEAKER, "a lock can't be removed"];

const NO_RIGHT_TO_DELETE: &str = "this caller has no right to delete (s3:DeleteObjectVersion); run it with one";

fn construction<E>(error: BuildError) -> SdkError<E, HttpResponse> {
    SdkError::construction_failure(error)
}

fn shown(lock: Option<(Lock, i64)>) -> String {
    match lock {
        Some((lock, until)) => {
            let nanos = u64::try_from(until).unwrap_or(0).saturating_mul(1_000_000_000);
            format!("{} until {}", lock.as_str(), Time::from_unix_nanos(nanos).unwrap_or_default())
        }
        None => "not locked".to_owned(),
    }
}

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
