//! Making a bucket, or bringing one into shape.

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, DefaultRetention,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule, VersioningConfiguration,
};
use serde::Serialize;
use tachograph_ledger::Lock;

use super::{ask, is_denied};
use crate::archive::store::StoreError;
use crate::archive::store::s3::error::Failure;
use crate::archive::store::s3::{Encryption, S3Settings, S3Store};

/// One thing that was done, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What.
    pub name: &'static str,
    /// Whether it is so now.
    pub outcome: StepOutcome,
    /// What happened.
    pub what: String,
}

/// Whether a step was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// It is so now.
    Done,
    /// The store has no such setting: what it is for must be seen to in another way.
    NoSuchSetting,
    /// It is not so, and could be: for want of a right, say.
    Failed,
}

/// Makes the bucket with Object Lock and versioning, blocks public access, sets encryption and, if asked, a default retention.
/// A bucket that is there is brought into shape as far as it can be.
///
/// # Errors
/// If the bucket can't be made and is not there.
pub fn init(store: &S3Store, default_days: Option<i32>) -> Result<Vec<Step>, StoreError> {
    let settings = store.settings().clone();
    let mut steps = Vec::new();
    let was_there =
        ask(store, "s3:ListBucket", |client, bucket| async move { client.head_bucket().bucket(bucket).send().await });
    // Asked first: Amazon's first region would answer as if it had made it.
    if was_there.is_ok() || !make(store)? {
        steps.push(done("bucket", "was there"));
        steps.extend(lock_what_was_there(store));
    } else {
        steps.push(done("bucket", "created, with Object Lock and versioning"));
    }
    let blocked = ask(store, "s3:PutBucketPublicAccessBlock", |client, bucket| {
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .ignore_public_acls(true)
            .block_public_policy(true)
            .restrict_public_buckets(true)
            .build();
        async move { client.put_public_access_block().bucket(bucket).public_access_block_configuration(block).send().await }
    });
    let instead = "let no policy of a bucket or user of it allow anonymous access, and keep its address inside";
    steps.push(outcome("public access block", &settings, blocked, "nobody outside the account", instead));
    if settings.encryption != Encryption::Default {
        let encryption = settings.encryption.clone();
        let encrypted = ask(store, "s3:PutEncryptionConfiguration", move |client, bucket| {
            let configuration = encryption_of(&encryption);
            async move {
                let put = client.put_bucket_encryption().bucket(bucket);
                put.server_side_encryption_configuration(configuration?).send().await
            }
        });
        let instead = "encrypt the disks that it stores on, or set up its keys and run this again";
        steps.push(outcome("encryption", &settings, encrypted, "by default, for every object", instead));
    }
    if let Some(days) = default_days {
        let mode = match settings.lock {
            Lock::Compliance => ObjectLockRetentionMode::Compliance,
            Lock::Governance | Lock::None => ObjectLockRetentionMode::Governance,
        };
        let set = ask(store, "s3:PutBucketObjectLockConfiguration", move |client, bucket| {
            let default = DefaultRetention::builder().mode(mode.clone()).days(days).build();
            let rule = ObjectLockRule::builder().default_retention(default).build();
            let configuration =
                ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule).build();
            async move {
                let put = client.put_object_lock_configuration().bucket(bucket);
                put.object_lock_configuration(configuration).send().await
            }
        });
        let instead = "each object of an archive has a date of its own; what others write there is not locked";
        steps.push(outcome("default retention", &settings, set, &format!("{days} days"), instead));
    }
    Ok(steps)
}

/// Makes the bucket; `false` if it was there.
fn make(store: &S3Store) -> Result<bool, StoreError> {
    let is_amazon = store.settings().endpoint.is_none();
    let made = ask(store, "s3:CreateBucket", move |client, bucket| {
        // The region may come from the environment. Amazon's first takes no name of itself; other stores mostly ignore it.
        let region = client.config().region().map(ToString::to_string).filter(|name| is_amazon && name != "us-east-1");
        let configuration = region.as_deref().map(|region| {
            CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
        });
        let create = client.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(true);
        async move { create.set_create_bucket_configuration(configuration).send().await }
    });
    match made {
        Ok(_) => Ok(true),
        Err(failure) if failure.code == "BucketAlreadyOwnedByYou" => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Versioning and Object Lock for a bucket that was made without.
fn lock_what_was_there(store: &S3Store) -> Vec<Step> {
    let settings = store.settings();
    let mut steps = Vec::new();
    let Ok(found) = super::inspect(store) else { return steps };
    let instead = "make a new bucket: this store gives Object Lock only to new ones";
    if !found.versioning {
        let set = ask(store, "s3:PutBucketVersioning", |client, bucket| {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            async move { client.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled).send().await }
        });
        steps.push(outcome("versioning", settings, set, "on", instead));
    }
    if !found.object_lock {
        let set = ask(store, "s3:PutBucketObjectLockConfiguration", |client, bucket| {
            let enabled = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).build();
            async move {
                client.put_object_lock_configuration().bucket(bucket).object_lock_configuration(enabled).send().await
            }
        });
        steps.push(outcome("Object Lock", settings, set, "on, for what is written from now on", instead));
    }
    steps
}

#[allow(clippy::result_large_err)] // the SDK's own error, made once
fn encryption_of<E>(
    encryption: &Encryption,
) -> Result<ServerSideEncryptionConfiguration, aws_sdk_s3::error::SdkError<E>> {
    let (algorithm, key) = match encryption {
        Encryption::SseKms(key) => (ServerSideEncryption::AwsKms, key.clone()),
        Encryption::SseS3 | Encryption::Default => (ServerSideEncryption::Aes256, None),
    };
    let construction = aws_sdk_s3::error::SdkError::construction_failure;
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(algorithm)
        .set_kms_master_key_id(key)
        .build()
        .map_err(construction)?;
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(by_default).build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(construction)
}

fn done(name: &'static str, what: &str) -> Step {
    Step { name, outcome: StepOutcome::Done, what: what.to_owned() }
}

/// A store of one's own may lack what is not relied on, and there is something else to be done `instead`.
fn outcome<T>(
    name: &'static str,
    settings: &S3Settings,
    answer: Result<T, Failure>,
    good: &str,
    instead: &str,
) -> Step {
    let failure = match answer {
        Ok(_) => return done(name, good),
        Err(failure) => failure,
    };
    if is_unknown(settings, &failure) {
        let what = format!("this store has no such setting: {}. Instead: {instead}", failure.error.what);
        return Step { name, outcome: StepOutcome::NoSuchSetting, what };
    }
    let remedy = if is_denied(&failure) { ". Run this again with an administrator's credentials" } else { "" };
    Step { name, outcome: StepOutcome::Failed, what: format!("{}{remedy}", failure.error.what) }
}

/// Whether the store does not know what it was asked to set. MinIO takes it for an object's access control, which it can't read.
fn is_unknown(settings: &S3Settings, failure: &Failure) -> bool {
    matches!(failure.status, Some(405 | 501))
        || failure.code == "NotImplemented"
        // Object Lock for a bucket that was made without.
        || failure.code == "InvalidBucketState"
        || (failure.code == "MalformedXML" && settings.endpoint.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::store::{ErrorKind, StoreError};

    fn refused(status: u16, code: &str, endpoint: Option<&str>) -> StepOutcome {
        let url = "s3://acme-ai-audit/prod".parse().unwrap();
        let settings = S3Settings { endpoint: endpoint.map(str::to_owned), ..S3Settings::of_url(&url) };
        let error = StoreError::new(ErrorKind::Denied, "s3://acme-ai-audit", "missing permission s3:PutX");
        let failure = Failure { status: Some(status), code: code.to_owned(), ..Failure::of_store(error) };
        outcome::<()>("x", &settings, Err(failure), "good", "something else").outcome
    }

    #[test]
    fn what_a_store_does_not_know_is_told_from_what_it_refuses() {
        let own = Some("https://minio.example:9000");
        for (status, code, endpoint) in
            [(501, "NotImplemented", own), (405, "MethodNotAllowed", own), (400, "MalformedXML", own)]
        {
            assert_eq!(refused(status, code, endpoint), StepOutcome::NoSuchSetting, "{code}");
        }
        for (status, code, endpoint) in [
            (403, "AccessDenied", own),
            (403, "AccessDenied", None),
            (400, "MalformedXML", None),
            (503, "SlowDown", own),
        ] {
            assert_eq!(refused(status, code, endpoint), StepOutcome::Failed, "{code}");
        }
    }
}
