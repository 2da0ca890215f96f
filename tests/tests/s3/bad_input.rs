//! What can't work is refused before the first record is taken, with what is wrong and what mends it.

use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::command::Outcome;
use tachograph_tests::home::Home;
use tachograph_tests::minio::Minio;
use tachograph_tests::proxy::{Fault, Plan, Proxy};

use crate::scene::SERVER;

/// Runs a collector with this configuration that must refuse to start: nothing is sealed, nothing was announced.
#[track_caller]
fn refused(config: &str, words: &[&str]) -> Outcome {
    refused_by(&Home::in_s3(config), words)
}

#[track_caller]
fn refused_by(home: &Home, words: &[&str]) -> Outcome {
    refused_with(2, home, words)
}

#[track_caller]
fn refused_with(code: i32, home: &Home, words: &[&str]) -> Outcome {
    let outcome = home.refused();
    outcome.expect(code, words);
    let journal: u64 = home.journal_files().iter().map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!((outcome.stdout.as_str(), journal), ("", 0), "it took something before it refused");
    outcome
}

#[test]
fn a_bucket_that_is_not_there() {
    let bucket = Bucket::named(&SERVER, Mode::Compliance);
    refused(&bucket.config(), &["there is no bucket", bucket.name(), "tachograph bucket init"]);
}

#[test]
fn a_bucket_without_object_lock() {
    let bucket = Bucket::named(&SERVER, Mode::Compliance);
    bucket.create(false);
    refused(&bucket.config(), &["has no Object Lock", "tachograph bucket init"]);
    assert_eq!(bucket.paths(), [""; 0]);
}

#[test]
fn wrong_credentials_and_none() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let home = Home::in_s3(&bucket.config()).with_environment(&[("AWS_SECRET_ACCESS_KEY", "not-the-secret")]);
    refused_by(&home, &["does not know these AWS credentials", "AWS_SECRET_ACCESS_KEY"]);
    let home = Home::in_s3(&bucket.config()).with_environment(&[("AWS_ACCESS_KEY_ID", "nobody")]);
    refused_by(&home, &["does not know these AWS credentials", "AWS_ACCESS_KEY_ID"]);
    let home =
        Home::in_s3(&bucket.config()).with_environment(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]);
    refused_by(&home, &["no AWS credentials", "AWS_PROFILE"]);
}

#[test]
fn retention_shorter_than_the_bucket_s_default() {
    let bucket = Bucket::make_with(&SERVER, Mode::Compliance, &["--default-retention", "10"]);
    refused(&bucket.config(), &["locks for 10 days by default", "Raise archive.retention"]);
    let longer = bucket.config_with(&SERVER.endpoint(), "{}", "11d");
    Home::in_s3(&longer).start().stop();
}

#[test]
fn a_clock_that_is_minutes_off() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    for (seconds, word) in [(600, "ahead of"), (-600, "behind")] {
        let proxy = Proxy::start(SERVER.address());
        proxy.plan(Plan::all("", "", Fault::ShiftDate(seconds)));
        refused(&bucket.config_at(&proxy.endpoint()), &["the store's clock", word, "chrony"]);
    }
    let proxy = Proxy::start(SERVER.address());
    proxy.plan(Plan::all("", "", Fault::ShiftDate(60)));
    Home::in_s3(&bucket.config_at(&proxy.endpoint())).start().stop();
}

#[test]
fn an_endpoint_that_lies_about_conditional_writes() {
    for (mode, part, words) in [
        (Mode::Compliance, "/prod/probe/", "relies on"),
        (Mode::Governance, "/prod/probe/", "relies on"),
        (Mode::Governance, "/prod/ledger.json", "If-None-Match"),
    ] {
        let bucket = Bucket::make(&SERVER, mode);
        let proxy = Proxy::start(SERVER.address());
        proxy.plan(Plan::all("PUT", part, Fault::LieAboutCreate));
        refused(&bucket.config_at(&proxy.endpoint()), &[words, "tachograph bucket doctor"]);
        assert!(proxy.hits() > 0);
    }
}

#[test]
fn a_wrong_region() {
    let server = Minio::start_in("eu-central-1");
    let bucket = Bucket::named(&server, Mode::Compliance);
    refused(&bucket.config(), &["another region", "archive.s3.region"]);
}

/// That may pass, so the exit code is the one that has it started again.
#[test]
fn an_endpoint_where_nobody_answers() {
    let bucket = Bucket::named(&SERVER, Mode::Compliance);
    let home = Home::in_s3(&bucket.config_at("http://127.0.0.1:1"));
    refused_with(3, &home, &["no answer", "archive.s3.endpoint"]);
}

#[test]
fn what_the_configuration_lacks() {
    let bucket = Bucket::named(&SERVER, Mode::Compliance);
    let config = bucket.config();
    let without_retention = config.lines().filter(|line| !line.contains("retention")).collect::<Vec<_>>().join("\n");
    refused(&without_retention, &["archive.retention.default", "730d"]);
    refused(&config.replace(", mode: compliance", ""), &["mode"]);
    refused(&config.replace("mode: compliance", "mode: strict"), &["compliance", "governance"]);
    refused(&config.replace("default: 2d", "default: 2d, proofs: 1d"), &["archive.retention.proofs"]);
    refused(&config.replace("bucket: e2e", "bucket: E2E"), &["bucket name"]);
}
