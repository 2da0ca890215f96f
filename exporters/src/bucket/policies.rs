//! Policies and rules as AWS takes them.

use serde_json::{Value, json};

use crate::archive::store::s3::{PROBE, S3Settings};

/// Who a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The bucket itself: what nobody may do.
    Bucket,
    /// The collector.
    Writer,
    /// Queries and `tachograph trace`.
    Reader,
    /// `tachograph verify`: sees versions and locks too.
    Auditor,
    /// `tachograph expire`.
    Destroyer,
    /// `tachograph hold`.
    Holder,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [Self::Bucket, Self::Writer, Self::Reader, Self::Auditor, Self::Destroyer, Self::Holder];

    /// The word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Auditor => "auditor",
            Self::Destroyer => "destroyer",
            Self::Holder => "holder",
        }
    }
}

const READ: [&str; 2] = ["s3:GetObject", "s3:GetObjectVersion"];
const SEE_LOCKS: [&str; 2] = ["s3:GetObjectRetention", "s3:GetObjectLegalHold"];
const LIST: [&str; 2] = ["s3:ListBucket", "s3:ListBucketVersions"];
const SEE_BUCKET: [&str; 3] = ["s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketLocation"];

/// The policy of a role. `max_days` bounds how long anybody may lock an object, so that a mistake does not cost for a century.
pub fn policy(role: Role, settings: &S3Settings, max_days: u64) -> Value {
    let bucket = format!("arn:aws:s3:::{}", settings.bucket);
    let objects = format!("{bucket}/{}*", settings.prefix);
    let on_bucket = |actions: &[&str]| {
        let mut statement = json!({ "Effect": "Allow", "Action": actions, "Resource": bucket });
        if actions.contains(&LIST[0]) && !settings.prefix.is_empty() {
            statement["Condition"] = json!({ "StringLike": { "s3:prefix": [format!("{}*", settings.prefix)] } });
        }
        statement
    };
    let on_objects = |actions: &[&str]| json!({ "Effect": "Allow", "Action": actions, "Resource": objects });
    let statements = match role {
        Role::Bucket => return bucket_policy(&bucket, &objects, settings, max_days),
        Role::Writer => vec![
            on_objects(&[&READ[..], &SEE_LOCKS, &["s3:PutObject", "s3:PutObjectRetention"]].concat()),
            on_bucket(&LIST),
            on_bucket(&SEE_BUCKET),
        ],
        Role::Reader => vec![on_objects(&READ), on_bucket(&LIST)],
        Role::Auditor => vec![on_objects(&[READ, SEE_LOCKS].concat()), on_bucket(&LIST), on_bucket(&SEE_BUCKET)],
        Role::Destroyer => {
            // Bodies alone: leaves, commits and checkpoints are never destroyed.
            let records = format!("{bucket}/{}records/*", settings.prefix);
            vec![
                json!({ "Effect": "Allow", "Action": ["s3:DeleteObjectVersion"], "Resource": records }),
                on_objects(&[READ, SEE_LOCKS].concat()),
                on_bucket(&LIST),
            ]
        }
        Role::Holder => vec![
            json!({ "Effect": "Allow", "Action": ["s3:PutObjectLegalHold"], "Resource": format!("{bucket}/{}records/*", settings.prefix) }),
            on_objects(&[READ, SEE_LOCKS].concat()),
            on_bucket(&LIST),
        ],
    };
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// What holds for everybody, the account's administrators too, until they change this policy (which an audit trail shows).
fn bucket_policy(bucket: &str, objects: &str, settings: &S3Settings, max_days: u64) -> Value {
    let deny = |name: &str, actions: &[&str], resource: Value| json!({ "Sid": name, "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resource });
    let with = |mut statement: Value, condition: Value| {
        statement["Condition"] = condition;
        statement
    };
    let proofs: Vec<String> = ["leaves/*", "commit/*", "checkpoint/*", "ledger.json"]
        .iter()
        .map(|path| format!("{bucket}/{}{path}", settings.prefix))
        .collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [
            deny("ProofsStay", &["s3:DeleteObject", "s3:DeleteObjectVersion"], json!(proofs)),
            deny("NothingIsHidden", &["s3:DeleteObject"], json!(objects)),
            deny("NoWayAround", &["s3:BypassGovernanceRetention"], json!(objects)),
            deny(
                "BucketStaysAsItIs",
                &["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration", "s3:DeleteBucket"],
                json!(bucket),
            ),
            with(
                deny("NotLongerThanMeant", &["s3:PutObject", "s3:PutObjectRetention"], json!(objects)),
                json!({ "NumericGreaterThan": { "s3:object-lock-remaining-retention-days": max_days.to_string() } }),
            ),
            with(
                deny("OnlyEncryptedOnTheWay", &["s3:*"], json!([bucket, objects])),
                json!({ "Bool": { "aws:SecureTransport": "false" } }),
            ),
        ]
    })
}

/// Rules that Object Lock allows: cheaper storage for bodies as they age, an end to unfinished uploads and to what `bucket doctor`
/// left. Never an expiration of evidence: it would only put delete markers over it.
pub fn lifecycle(settings: &S3Settings, transitions: &[(String, u32)]) -> Value {
    let prefix = |folder: &str| format!("{}{folder}", settings.prefix);
    let mut rules = vec![
        json!({
            "ID": "tachograph-unfinished-uploads", "Status": "Enabled", "Filter": { "Prefix": settings.prefix },
            "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 }
        }),
        json!({
            "ID": "tachograph-probes", "Status": "Enabled", "Filter": { "Prefix": prefix(PROBE) },
            "Expiration": { "Days": 1 }, "NoncurrentVersionExpiration": { "NoncurrentDays": 1 }
        }),
    ];
    if !transitions.is_empty() {
        let moves: Vec<Value> =
            transitions.iter().map(|(class, days)| json!({ "Days": days, "StorageClass": class })).collect();
        rules.push(json!({
            "ID": "tachograph-bodies-age", "Status": "Enabled", "Filter": { "Prefix": prefix("records/") },
            "Transitions": moves
        }));
    }
    json!({ "Rules": rules })
}
