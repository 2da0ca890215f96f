//! In a bucket a token is held as its checkpoint is, and its statement is in the recorder's own class.

use tachograph_exporters::verify::Axis;
use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::home::Home;
use tachograph_tests::minio::Minio;
use tachograph_tests::otlp::Events;
use tachograph_tests::seed::Random;
use tachograph_tests::tsa::Tsa;

use crate::{expect_time, send, wait_stamped};

#[test]
fn a_token_is_locked_and_watched_as_its_checkpoint_is() {
    let (server, tsa) = (Minio::start(), Tsa::start("bucket", 3_650));
    let bucket = Bucket::make(&server, Mode::Compliance);
    let authority = format!("{{ url: '{}', ca: '{}' }}", tsa.url(), tsa.ca().display());
    let home = Home::in_s3(&format!("{}timestamps: {{ every: 1s, authorities: [{authority}] }}\n", bucket.config()));
    let events = Events::new(&mut Random::of_test("stamped, bucket"));
    let collector = home.start();
    send(&collector, &events, 20);
    wait_stamped(&collector, 20.0);
    collector.stop();

    let (key, ca) = (home.data().join("ledger.vkey").display().to_string(), tsa.ca().display().to_string());
    let arguments = ["--key", &key, "--tsa-ca", &ca, "--require", "integrity,authenticity,coverage,storage,time"];
    let verified = bucket.verify(&arguments);
    verified.expect_clean();
    expect_time(&verified, "pass", &["are not earlier than a time stamp"]);
    let token = bucket.newest("timestamp/");
    let refused = bucket.delete_version(&token, true).expect_err("a locked token was deleted");
    assert!(refused.contains("AccessDenied") || refused.contains("WORM"), "{refused}");
    let statements = bucket.paths().into_iter().filter(|path| path.starts_with("records/class=recorder/"));
    assert!(statements.count() > 0, "no statement of the recorder in its class: {:?}", bucket.paths());

    // What an administrator hides is found, and read all the same.
    bucket.hide(&token);
    let verified = bucket.verify(&arguments);
    assert_eq!((verified.code, verified.verdict(Axis::Storage)), (1, "fail"), "{:#}", verified.report);
    assert!(verified.report["findings"].to_string().contains(&token), "{:#}", verified.report);
    expect_time(&verified, "pass", &[]);
}
