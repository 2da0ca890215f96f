//! What is printed for AWS, word by word, and what a bucket is refused for. What stores do is tried in `tests/tests/stores.rs`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::archive::store::s3::Encryption;

fn settings() -> S3Settings {
    S3Settings {
        bucket: "acme-ai-audit".to_owned(),
        prefix: "prod/".to_owned(),
        region: Some("eu-central-1".to_owned()),
        endpoint: None,
        path_style: None,
        lock: Lock::Compliance,
        encryption: Encryption::SseS3,
        spool: PathBuf::new(),
    }
}

const LISTS: &str = r#"[
    { "Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions"], "Resource": "arn:aws:s3:::acme-ai-audit",
      "Condition": { "StringLike": { "s3:prefix": ["prod/*"] } } },
    { "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::acme-ai-audit",
      "Condition": { "Null": { "s3:prefix": "true" } } }
]"#;

/// A role's policy: these statements, and those that everybody needs who lists.
fn with_lists(statements: Value) -> Value {
    let mut all = statements.as_array().unwrap().clone();
    all.extend(serde_json::from_str::<Vec<Value>>(LISTS).unwrap());
    json!({ "Version": "2012-10-17", "Statement": all })
}

#[test]
fn policies_of_roles() {
    let objects = "arn:aws:s3:::acme-ai-audit/prod/*";
    let reads = json!({ "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": objects });
    let sees_locks = json!({
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:GetObjectLegalHold"],
        "Resource": objects
    });
    let sees_bucket = json!({
        "Effect": "Allow",
        "Action": ["s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"],
        "Resource": "arn:aws:s3:::acme-ai-audit"
    });
    let on = |action: &str, path: &str| {
        let resource = format!("arn:aws:s3:::acme-ai-audit/prod/{path}");
        json!({ "Effect": "Allow", "Action": [action], "Resource": resource })
    };
    let writer = json!([
        { "Effect": "Allow", "Action": ["s3:PutObject", "s3:PutObjectRetention"], "Resource": objects },
        { "Effect": "Allow", "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
          "Resource": "arn:aws:s3:::acme-ai-audit/prod/probe/*" },
        sees_locks, sees_bucket
    ]);
    for (role, statements) in [
        (Role::Writer, writer),
        (Role::Reader, json!([reads])),
        (Role::Auditor, json!([sees_locks, sees_bucket])),
        (Role::Destroyer, json!([on("s3:DeleteObjectVersion", "records/*"), sees_locks])),
        (Role::Holder, json!([on("s3:PutObjectLegalHold", "records/*"), sees_locks])),
    ] {
        assert_eq!(policy(role, &settings(), 4018), with_lists(statements), "{}", role.as_str());
    }
}

/// MinIO asks for `s3:DeleteObject` too.
#[test]
fn in_a_store_of_ones_own_the_destroyer_still_hides_nothing() {
    let own = S3Settings { endpoint: Some("https://minio.example:9000".to_owned()), ..settings() };
    let printed = policy(Role::Destroyer, &own, 4018);
    let records = "arn:aws:s3:::acme-ai-audit/prod/records/*";
    assert_eq!(
        printed["Statement"][1],
        json!({ "Effect": "Allow", "Action": ["s3:DeleteObject"], "Resource": records,
            "Condition": { "StringLike": { "s3:versionid": "?*" } } })
    );
}

#[test]
fn without_a_prefix_the_whole_bucket_is_the_archive() {
    let whole = S3Settings { prefix: String::new(), ..settings() };
    let objects = "arn:aws:s3:::acme-ai-audit/*";
    let expected = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": objects },
        { "Effect": "Allow", "Action": ["s3:ListBucket", "s3:ListBucketVersions"], "Resource": "arn:aws:s3:::acme-ai-audit" }
    ] });
    assert_eq!(policy(Role::Reader, &whole, 4018), expected);
}

#[test]
fn policy_of_the_bucket() {
    let within = |path: &str| format!("arn:aws:s3:::acme-ai-audit/prod/{path}");
    let proofs =
        ["leaves/*", "commit/*", "checkpoint/*", "witnessed/*", "timestamp/*", "keys/*", "ledger.json"].map(within);
    let evidence =
        ["leaves/*", "commit/*", "checkpoint/*", "witnessed/*", "timestamp/*", "keys/*", "ledger.json", "records/*"]
            .map(within);
    let deny = |sid: &str, actions: Value, resource: Value| json!({ "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resource });
    let when = |mut statement: Value, condition: Value| {
        statement["Condition"] = condition;
        statement
    };
    let bucket = "arn:aws:s3:::acme-ai-audit";
    let expected = [
        deny("ProofsStay", json!(["s3:DeleteObject", "s3:DeleteObjectVersion"]), json!(proofs)),
        deny("NothingIsHidden", json!(["s3:DeleteObject"]), json!(evidence)),
        deny("NoWayAround", json!(["s3:BypassGovernanceRetention"]), json!(within("*"))),
        deny(
            "BucketStaysAsItIs",
            json!([
                "s3:PutBucketObjectLockConfiguration",
                "s3:PutBucketVersioning",
                "s3:PutLifecycleConfiguration",
                "s3:DeleteBucket"
            ]),
            json!(bucket),
        ),
        when(
            deny("NotLongerThanMeant", json!(["s3:PutObjectRetention"]), json!(within("*"))),
            json!({ "NumericGreaterThan": { "s3:object-lock-remaining-retention-days": "4018" } }),
        ),
        when(
            deny("NothingIsOverwritten", json!(["s3:PutObject"]), json!(evidence)),
            json!({ "Null": { "s3:if-none-match": "true" } }),
        ),
        when(
            deny("OnlyEncryptedOnTheWay", json!(["s3:*"]), json!([bucket, within("*")])),
            json!({ "Bool": { "aws:SecureTransport": "false" } }),
        ),
    ];
    let printed = policy(Role::Bucket, &settings(), 4018);
    assert_eq!(printed, json!({ "Version": "2012-10-17", "Statement": expected }));

    let sids = |endpoint: &str| -> Vec<String> {
        let own = S3Settings { endpoint: Some(endpoint.to_owned()), ..settings() };
        let printed = policy(Role::Bucket, &own, 4018);
        printed["Statement"].as_array().unwrap().iter().map(|s| s["Sid"].as_str().unwrap().to_owned()).collect()
    };
    let secure = sids("https://minio.example:9000");
    assert!(!secure.contains(&"NothingIsOverwritten".to_owned()), "{secure:?}");
    assert_eq!(secure.last().unwrap(), "OnlyEncryptedOnTheWay");
    assert_eq!(sids("http://127.0.0.1:9000").last().unwrap(), "NotLongerThanMeant");
}

#[test]
fn a_key_of_ones_own_is_granted_to_all_who_read() {
    let key_of = |role: Role, key: &str, region: Option<&str>| {
        let encryption = Encryption::SseKms(Some(key.to_owned()));
        let settings = S3Settings { encryption, region: region.map(str::to_owned), ..settings() };
        let printed = policy(role, &settings, 4018);
        printed["Statement"].as_array().unwrap().last().unwrap().clone()
    };
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
    let through_s3 = json!({ "kms:ViaService": "s3.*.amazonaws.com*" });
    let may = |actions: Value, resource: &str| json!({ "Effect": "Allow", "Action": actions, "Resource": resource, "Condition": { "StringLike": through_s3 } });
    let (both, decrypt) = (json!(["kms:GenerateDataKey", "kms:Decrypt"]), json!(["kms:Decrypt"]));
    assert_eq!(key_of(Role::Writer, arn, None), may(both.clone(), arn));
    for role in [Role::Reader, Role::Auditor, Role::Destroyer, Role::Holder] {
        assert_eq!(key_of(role, arn, None), may(decrypt.clone(), arn));
    }
    assert_eq!(
        key_of(Role::Writer, "1234abcd", Some("cn-north-1")),
        may(both, "arn:aws-cn:kms:cn-north-1:*:key/1234abcd")
    );
    for alias in ["alias/audit", "arn:aws:kms:eu-central-1:111122223333:alias/audit"] {
        let granted = key_of(Role::Reader, alias, None);
        assert_eq!(granted["Resource"], "arn:aws:kms:*:*:key/*");
        assert_eq!(
            granted["Condition"],
            json!({ "ForAnyValue:StringEquals": { "kms:ResourceAliases": "alias/audit" }, "StringLike": through_s3 })
        );
    }
    // The account's own key lets in whoever the store lets in.
    let own = S3Settings { encryption: Encryption::SseKms(None), ..settings() };
    assert_eq!(policy(Role::Writer, &own, 4018), policy(Role::Writer, &settings(), 4018));
}

#[test]
fn arns_are_of_the_regions_partition() {
    for (region, partition) in [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("us-east-1", "aws")] {
        let there = S3Settings { region: Some(region.to_owned()), ..settings() };
        let printed = policy(Role::Reader, &there, 4018);
        assert_eq!(printed["Statement"][0]["Resource"], format!("arn:{partition}:s3:::acme-ai-audit/prod/*"));
    }
}

#[test]
fn lifecycle_never_expires_evidence() {
    let uploads = json!({
        "ID": "tachograph-unfinished-uploads", "Status": "Enabled", "Filter": { "Prefix": "prod/" },
        "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 }
    });
    let probes = json!({
        "ID": "tachograph-probes", "Status": "Enabled", "Filter": { "Prefix": "prod/probe/" },
        "Expiration": { "Days": 1 }, "NoncurrentVersionExpiration": { "NoncurrentDays": 1 }
    });
    assert_eq!(lifecycle(&settings(), &[]), json!({ "Rules": [uploads, probes] }));
    let ages = json!({
        "ID": "tachograph-bodies-age", "Status": "Enabled", "Filter": { "Prefix": "prod/records/" },
        "Transitions": [{ "Days": 30, "StorageClass": "STANDARD_IA" }, { "Days": 90, "StorageClass": "GLACIER_IR" }]
    });
    let moves = [("STANDARD_IA".to_owned(), 30), ("GLACIER_IR".to_owned(), 90)];
    assert_eq!(lifecycle(&settings(), &moves), json!({ "Rules": [uploads, probes, ages] }));
    // MinIO refuses the first, and all with it.
    let elsewhere = S3Settings { endpoint: Some("https://minio.example:9000".to_owned()), ..settings() };
    assert_eq!(lifecycle(&elsewhere, &[]), json!({ "Rules": [probes] }));
}

fn good() -> Inspection {
    Inspection {
        bucket: "acme-ai-audit".to_owned(),
        object_lock: true,
        versioning: true,
        default_retention: Some(("compliance".to_owned(), 30)),
        clock_skew_ms: Some(-300_000),
    }
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * DAY)
}

fn retention() -> Retention {
    let classes = vec![("high-risk".to_owned(), days(3650)), ("prompts".to_owned(), days(30))];
    Retention { lock: Lock::Compliance, classes, default: days(365), proofs: days(3650) }
}

#[track_caller]
fn refused(inspection: Inspection, words: &[&str]) {
    let error = inspection.check(&settings(), &retention()).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "nothing about {word:?} in: {error}");
    }
}

#[test]
fn a_bucket_is_refused_for_what_it_says_of_itself() {
    good().check(&settings(), &retention()).unwrap();
    refused(
        Inspection { object_lock: false, ..good() },
        &["acme-ai-audit has no Object Lock", "tachograph bucket init"],
    );
    refused(Inspection { versioning: false, ..good() }, &["keeps no versions", "put-bucket-versioning"]);
    let longer = |days| Inspection { default_retention: Some(("governance".to_owned(), days)), ..good() };
    refused(longer(31), &["locks for 31 days", "class prompts", "archive.retention"]);
    refused(Inspection { clock_skew_ms: Some(300_001), ..good() }, &["is 300 s ahead of", "chrony"]);
    refused(Inspection { clock_skew_ms: Some(-301_000), ..good() }, &["is 301 s behind", "chrony"]);
    // Without locks the bucket needs none.
    let unlocked = S3Settings { lock: Lock::None, ..settings() };
    Inspection { object_lock: false, default_retention: None, clock_skew_ms: None, ..good() }
        .check(&unlocked, &retention())
        .unwrap();
}

#[test]
fn defaults_and_proofs_are_held_against_the_buckets_rule_too() {
    let longer = Inspection { default_retention: Some(("compliance".to_owned(), 400)), ..good() };
    let none = Retention { classes: Vec::new(), ..retention() };
    let error = longer.check(&settings(), &none).unwrap_err().to_string();
    assert!(error.contains("keeps records for less"), "{error}");
    let proofs = Retention { default: days(4000), proofs: days(399), ..none };
    let error = longer.check(&settings(), &proofs).unwrap_err().to_string();
    assert!(error.contains("keeps proofs for less"), "{error}");
}
