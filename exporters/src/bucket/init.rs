//! Making a bucket, or bringing one into shape.

use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRetentionMode, ObjectLockRule, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};
use serde::Serialize;
use tachograph_ledger::Lock;

use super::ask;
use crate::archive::store::StoreError;
use crate::archive::store::s3::error::Failure;
use crate::archive::store::s3::{Encryption, S3Store};

/// One thing that was done, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What.
    pub name: &'static str,
    /// Whether it is so now.
    pub done: bool,
    /// What happened.
    pub what: String,
}

/// Makes the bucket with Object Lock and versioning, blocks public access, sets encryption and, if asked, a default retention.
/// A bucket that is there is brought into shape as far as it can be.
///
/// # Errors
/// If the bucket can't be made and is not there.
pub fn init(store: &S3Store, default_days: Option<i32>) -> Result<Vec<Step>, StoreError> {
    let settings = store.settings().clone();
    let mut steps = Vec::new();
    // Amazon's first region takes no name of itself; other stores mostly ignore it.
    let region = settings.region.clone().filter(|region| region != "us-east-1" && settings.endpoint.is_none());
    let made = ask(store, "s3:CreateBucket", move |client, bucket| {
        let configuration = region.as_deref().map(|region| {
            CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::from(region)).build()
        });
        let create = client.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(true);
        async move { create.set_create_bucket_configuration(configuration).send().await }
    });
    match made {
        Ok(_) => steps.push(step("bucket", true, "created, with Object Lock and versioning")),
        Err(failure) if failure.code == "BucketAlreadyOwnedByYou" => steps.push(step("bucket", true, "was there")),
        Err(failure) => return Err(failure.into()),
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
    steps.push(outcome("public access block", blocked, "nobody outside the account"));
    if settings.encryption != Encryption::Default {
        let encryption = settings.encryption.clone();
        let encrypted = ask(store, "s3:PutEncryptionConfiguration", move |client, bucket| {
            let configuration = encryption_of(&encryption);
            async move {
                let put = client.put_bucket_encryption().bucket(bucket);
                put.server_side_encryption_configuration(configuration?).send().await
            }
        });
        steps.push(outcome("encryption", encrypted, "by default, for every object"));
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
        steps.push(outcome("default retention", set, &format!("{days} days")));
    }
    Ok(steps)
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

fn step(name: &'static str, done: bool, what: impl Into<String>) -> Step {
    Step { name, done, what: what.into() }
}

/// A store of one's own may lack what is not relied on.
fn outcome<T>(name: &'static str, answer: Result<T, Failure>, good: &str) -> Step {
    match answer {
        Ok(_) => step(name, true, good),
        Err(failure) => step(name, false, failure.error.what),
    }
}
