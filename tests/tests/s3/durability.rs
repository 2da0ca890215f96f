//! `durability: archive`: whoever is answered finds the commit in the bucket.

use tachograph_exporters::verify::Axis;
use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::home::Home;
use tachograph_tests::otlp::Events;
use tachograph_tests::proxy::{Fault, Plan, Proxy};
use tachograph_tests::seed::Random;
use tachograph_tests::stored;

use crate::scene::{SERVER, expect_verified, key, send};

#[test]
fn an_answer_means_that_the_commit_is_there() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let home = Home::in_s3(&format!("durability: archive\n{}", bucket.config()));
    let events = Events::new(&mut Random::of_test("durability"));
    let collector = home.start();
    let mut sent = Vec::new();
    for _ in 0..5 {
        let (ids, spans) = events.generations(10);
        send(&collector, &spans);
        sent.extend(ids);
        // At this moment, in the bucket, under a commit.
        stored::expect_once(&stored::counts(&bucket.records()), &sent);
    }
    // Not even a lost disk loses any of them: the bucket alone verifies.
    collector.kill();
    let verified = bucket.verify(&["--key", &key(&home)]);
    assert_eq!(verified.verdict(Axis::Integrity), "pass", "{:#}", verified.report);
    home.start().stop();
    expect_verified(&home, &bucket);
}

/// While the commit can't be made the sender waits, and is told nothing.
#[test]
fn without_a_commit_there_is_no_answer() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let proxy = Proxy::start(SERVER.address());
    let home = Home::in_s3(&format!("durability: archive\n{}", bucket.config_at(&proxy.endpoint())));
    let collector = home.start();
    collector.wait_archived();
    let (ids, spans) = Events::new(&mut Random::of_test("no commit")).generations(10);
    proxy.plan(Plan::all("PUT", &format!("/{}/prod/commit/", bucket.name()), Fault::FailBefore));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&collector, &spans));
        proxy.wait_hit(2);
        assert!(!sender.is_finished(), "answered without a commit");
        assert_eq!(stored::counts(&bucket.records()).len(), 0, "there is none");
        proxy.clear();
        sender.join().expect("answered once there is one");
        stored::expect_once(&stored::counts(&bucket.records()), &ids);
    });
    collector.stop();
    expect_verified(&home, &bucket);
}
