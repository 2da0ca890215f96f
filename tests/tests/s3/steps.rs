//! Each durable step fails, once before it persists and once after, and SIGKILL ends the collector at that point. It is started again, the
//! senders send again, and nobody can tell.

use std::time::Duration;

use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::home::Home;
use tachograph_tests::otlp::Events;
use tachograph_tests::proxy::{Fault, Plan, Proxy};
use tachograph_tests::seed::Random;

use crate::scene::{SERVER, expect_all_in_good_order, send};

const PUTS: [&str; 4] = ["leaves/", "records/", "commit/", "checkpoint/"];

fn path(bucket: &Bucket, folder: &str) -> String {
    format!("/{}/prod/{folder}", bucket.name())
}

/// One ledger, killed at each of these steps.
fn kill_at(name: &str, steps: &[(&'static str, &str, Fault)]) {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let proxy = Proxy::start(SERVER.address());
    let home = Home::in_s3(&bucket.config_at(&proxy.endpoint()));
    let events = Events::new(&mut Random::of_test(name));
    let mut sent = Vec::new();
    for &(method, folder, fault) in steps {
        let collector = home.start();
        // The segment with the start itself is not the one that fails.
        collector.wait_archived();
        let hits = proxy.hits();
        proxy.plan(Plan::next(method, &path(&bucket, folder), fault));
        let (ids, spans) = events.generations(20);
        send(&collector, &spans);
        proxy.wait_hit(hits);
        collector.kill();
        proxy.clear();

        let collector = home.start();
        send(&collector, &spans);
        sent.extend(ids);
        collector.wait_archived();
        collector.stop();
        println!("{name}: killed at {method} {folder} {fault:?}");
        expect_all_in_good_order(&home, &bucket, &sent);
    }
}

#[test]
fn killed_before_a_step_persists() {
    kill_at("before a step", &PUTS.map(|folder| ("PUT", folder, Fault::SilenceBefore)));
}

#[test]
fn killed_after_a_step_persisted() {
    kill_at("after a step", &PUTS.map(|folder| ("PUT", folder, Fault::SilenceAfter)));
}

#[test]
fn killed_before_a_step_is_confirmed() {
    kill_at("before the HEAD", &PUTS.map(|folder| ("HEAD", folder, Fault::SilenceBefore)));
}

/// Of one segment with two classes the second records object: the first, and the leaves, are there already.
#[test]
fn killed_between_two_objects_of_a_segment_and_again_in_the_next_try() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let proxy = Proxy::start(SERVER.address());
    let home = Home::in_s3(&bucket.config_at(&proxy.endpoint()));
    let events = Events::new(&mut Random::of_test("twice"));
    let (ids, spans) = events.generations(30);
    let collector = home.start();
    collector.wait_archived();
    proxy.plan(Plan::next("PUT", &path(&bucket, "commit/"), Fault::SilenceBefore));
    send(&collector, &spans);
    proxy.wait_hit(0);
    collector.kill();
    // The objects of the first try stand there. The next collector is killed at the same point, and one more.
    for round in 1..3 {
        proxy.clear();
        proxy.plan(Plan::next("PUT", &path(&bucket, "commit/"), Fault::SilenceBefore));
        let collector = home.start();
        send(&collector, &spans);
        proxy.wait_hit(round);
        collector.kill();
    }
    proxy.clear();
    let collector = home.start();
    send(&collector, &spans);
    collector.stop();
    expect_all_in_good_order(&home, &bucket, &ids);
}

/// The very first object: whose archive it is.
#[test]
fn killed_while_the_archive_is_made() {
    for fault in [Fault::SilenceBefore, Fault::SilenceAfter] {
        let bucket = Bucket::make(&SERVER, Mode::Compliance);
        let proxy = Proxy::start(SERVER.address());
        let home = Home::in_s3(&bucket.config_at(&proxy.endpoint()));
        proxy.plan(Plan::next("PUT", &path(&bucket, "ledger.json"), fault));
        let starting = home.spawn();
        proxy.wait_hit(0);
        std::thread::sleep(Duration::from_millis(50));
        starting.kill();
        proxy.clear();
        let (ids, spans) = Events::new(&mut Random::of_test("ledger.json")).generations(10);
        let collector = home.start();
        send(&collector, &spans);
        collector.stop();
        expect_all_in_good_order(&home, &bucket, &ids);
    }
}
