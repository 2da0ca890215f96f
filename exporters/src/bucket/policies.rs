//! Policies and rules as AWS takes them.

use serde_json::{Value, json};

use crate::archive::store::s3::{Encryption, PROBE, S3Settings};

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
const SEE_BUCKET: [&str; 2] = ["s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"];

/// What is kept longest; bodies are in `records/`.
const PROOFS: [&str; 7] =
    ["leaves/*", "commit/*", "checkpoint/*", "witnessed/*", "timestamp/*", "keys/*", "ledger.json"];
const BODIES: &str = "records/*";

/// The policy of a role. `max_days` bounds how long anybody may lock an object, so that a mistake does not cost for a century.
pub fn policy(role: Role, settings: &S3Settings, max_days: u64) -> Value {
    let place = Place::of(settings);
    let on_bodies = |action: &str| allow(&[action], json!(place.object(BODIES)));
    let sees_locks = || allow(&[READ, SEE_LOCKS].concat(), json!(place.object("*")));
    let sees_bucket = || allow(&SEE_BUCKET, json!(place.bucket));
    let mut statements = match role {
        Role::Bucket => return bucket_policy(&place, settings, max_days),
        Role::Writer => vec![
            // PutObject with a lock needs the second one. In mode compliance it can only lengthen what is there.
            allow(&["s3:PutObject", "s3:PutObjectRetention"], json!(place.object("*"))),
            // So that it can try at each start what the doctor tries, and clear up.
            allow(&["s3:DeleteObject", "s3:DeleteObjectVersion"], json!(place.object(&format!("{PROBE}*")))),
            sees_locks(),
            sees_bucket(),
        ],
        Role::Reader => vec![allow(&READ, json!(place.object("*")))],
        Role::Auditor => vec![sees_locks(), sees_bucket()],
        // Bodies alone: leaves, commits and checkpoints are never destroyed.
        Role::Destroyer if settings.endpoint.is_none() => vec![on_bodies("s3:DeleteObjectVersion"), sees_locks()],
        // Some stores ask for both rights, whatever is deleted; what has no version is still not to be, as it would hide a body.
        Role::Destroyer => {
            let versions = json!({ "StringLike": { "s3:versionid": "?*" } });
            vec![on_bodies("s3:DeleteObjectVersion"), with(on_bodies("s3:DeleteObject"), versions), sees_locks()]
        }
        Role::Holder => vec![on_bodies("s3:PutObjectLegalHold"), sees_locks()],
    };
    statements.extend(lists(&place, &settings.prefix));
    statements.extend(uses_key(&place, &settings.encryption, role == Role::Writer));
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Names of things, as policies have them.
struct Place {
    /// `aws`, but for China and the government's regions.
    partition: &'static str,
    region: Option<String>,
    bucket: String,
    objects: String,
}

impl Place {
    fn of(settings: &S3Settings) -> Self {
        let partition = match settings.region.as_deref() {
            Some(region) if region.starts_with("cn-") => "aws-cn",
            Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        };
        let bucket = format!("arn:{partition}:s3:::{}", settings.bucket);
        let objects = format!("{bucket}/{}", settings.prefix);
        Self { partition, region: settings.region.clone(), bucket, objects }
    }

    fn object(&self, path: &str) -> String {
        format!("{}{path}", self.objects)
    }

    fn evidence(&self) -> Vec<String> {
        PROOFS.iter().chain([&BODIES]).map(|path| self.object(path)).collect()
    }
}

fn allow(actions: &[&str], resource: Value) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resource })
}

fn with(mut statement: Value, condition: Value) -> Value {
    statement["Condition"] = condition;
    statement
}

fn lists(place: &Place, prefix: &str) -> Vec<Value> {
    let bucket = json!(place.bucket);
    if prefix.is_empty() {
        return vec![allow(&LIST, bucket)];
    }
    let below = json!({ "StringLike": { "s3:prefix": [format!("{prefix}*")] } });
    // Who may not list is told 403 of an object that is missing, and a request for an object has no `s3:prefix`: without this, an
    // archive that is not there yet would look like one that is forbidden.
    let missing = json!({ "Null": { "s3:prefix": "true" } });
    vec![with(allow(&LIST, bucket.clone()), below), with(allow(&["s3:ListBucket"], bucket), missing)]
}

/// With a key of one's own, every reader needs it, and for the checksum in a HEAD too. The account's own key (`aws/s3`) lets in
/// whoever the store lets in.
fn uses_key(place: &Place, encryption: &Encryption, writes: bool) -> Option<Value> {
    let Encryption::SseKms(Some(key)) = encryption else { return None };
    let actions: &[&str] = if writes { &["kms:GenerateDataKey", "kms:Decrypt"] } else { &["kms:Decrypt"] };
    let through_s3 = |mut condition: Value| {
        condition["StringLike"] = json!({ "kms:ViaService": "s3.*.amazonaws.com*" });
        condition
    };
    let alias = key.rsplit(':').next().filter(|name| name.starts_with("alias/"));
    Some(match alias {
        // A key is not known by its alias in `Resource`.
        Some(alias) => {
            let named = json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": alias } });
            with(allow(actions, json!(format!("arn:{}:kms:*:*:key/*", place.partition))), through_s3(named))
        }
        None if key.starts_with("arn:") => with(allow(actions, json!(key)), through_s3(json!({}))),
        None => {
            let region = place.region.as_deref().unwrap_or("*");
            let key = format!("arn:{}:kms:{region}:*:key/{key}", place.partition);
            with(allow(actions, json!(key)), through_s3(json!({})))
        }
    })
}

/// What holds for everybody, the account's administrators too, until they change this policy (which an audit trail shows).
///
/// Nothing is forbidden below `probe/`, where `bucket doctor` must be able to try it.
fn bucket_policy(place: &Place, settings: &S3Settings, max_days: u64) -> Value {
    let deny = |name: &str, actions: &[&str], resource: Value| json!({ "Sid": name, "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resource });
    let objects = place.object("*");
    let proofs: Vec<String> = PROOFS.iter().map(|path| place.object(path)).collect();
    let mut statements = vec![
        deny("ProofsStay", &["s3:DeleteObject", "s3:DeleteObjectVersion"], json!(proofs)),
        deny("NothingIsHidden", &["s3:DeleteObject"], json!(place.evidence())),
        deny("NoWayAround", &["s3:BypassGovernanceRetention"], json!(objects)),
        deny(
            "BucketStaysAsItIs",
            &[
                "s3:PutBucketObjectLockConfiguration",
                "s3:PutBucketVersioning",
                "s3:PutLifecycleConfiguration",
                "s3:DeleteBucket",
            ],
            json!(place.bucket),
        ),
        with(
            // A PutObject with a lock needs this right too.
            deny("NotLongerThanMeant", &["s3:PutObjectRetention"], json!(objects)),
            json!({ "NumericGreaterThan": { "s3:object-lock-remaining-retention-days": max_days.to_string() } }),
        ),
    ];
    if settings.endpoint.is_none() {
        // Other stores do not know the key, and refuse the policy. Uploads in parts are not used, so they need no exception.
        statements.push(with(
            deny("NothingIsOverwritten", &["s3:PutObject"], json!(place.evidence())),
            json!({ "Null": { "s3:if-none-match": "true" } }),
        ));
    }
    // Whoever wrote http:// means it, and would be shut out.
    if !settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) {
        statements.push(with(
            deny("OnlyEncryptedOnTheWay", &["s3:*"], json!([place.bucket, objects])),
            json!({ "Bool": { "aws:SecureTransport": "false" } }),
        ));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Rules that Object Lock allows: cheaper storage for bodies as they age, an end to unfinished uploads and to what `bucket doctor`
/// left. Never an expiration of evidence: it would only put delete markers over it.
pub fn lifecycle(settings: &S3Settings, transitions: &[(String, u32)]) -> Value {
    let prefix = |folder: &str| format!("{}{folder}", settings.prefix);
    let mut rules = Vec::new();
    if settings.endpoint.is_none() {
        // Nothing of ours is uploaded in parts; other stores may refuse the rule, or end such uploads by themselves.
        rules.push(json!({
            "ID": "tachograph-unfinished-uploads", "Status": "Enabled", "Filter": { "Prefix": settings.prefix },
            "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 }
        }));
    }
    rules.push(json!({
        "ID": "tachograph-probes", "Status": "Enabled", "Filter": { "Prefix": prefix(PROBE) },
        "Expiration": { "Days": 1 }, "NoncurrentVersionExpiration": { "NoncurrentDays": 1 }
    }));
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
