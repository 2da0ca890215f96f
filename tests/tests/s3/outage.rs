//! The store is gone for a while: the journal holds, senders are told to slow down at its bound only, and afterwards all is archived.

use std::time::Duration;

use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::collector::Collector;
use tachograph_tests::home::Home;
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::minio::Minio;
use tachograph_tests::seed::Random;
use tachograph_tests::stored;

use crate::scene::expect_all_in_good_order;

const BOUND: f64 = (4 << 20) as f64;
const PATIENCE: Duration = Duration::from_secs(60);

fn refusals(load: &Load) -> u64 {
    load.refused().values().sum()
}

fn journal_bytes(collector: &Collector) -> f64 {
    collector.metric("tachograph_journal_bytes")
}

#[test]
fn an_outage_fills_the_journal_to_its_bound_and_loses_nothing() {
    // A server of its own: the other tests need theirs.
    let server = Minio::start();
    let bucket = Bucket::make(&server, Mode::Compliance);
    let home = Home::in_s3(&bucket.config_with(&server.endpoint(), "{max_file_bytes: 1MiB, max_bytes: 4MiB}", "2d"));
    let load = Load::start(Settings::default(), &mut Random::of_test("outage"));
    let collector = home.start();
    load.aim(Some(collector.http));
    collector.wait_until("something is archived", PATIENCE, |c| c.metric("tachograph_archived_records") > 500.0);
    assert_eq!(refusals(&load), 0, "{:?}", load.refused());

    server.down();
    collector.wait_until("the journal grows", PATIENCE, |collector| journal_bytes(collector) > BOUND * 0.6);
    collector.wait_until("senders are refused", PATIENCE, |_| refusals(&load) > 20);
    // A batch has up to 40 records of some 2 KB: the bound is not left far.
    assert!(journal_bytes(&collector) > BOUND * 0.9, "refused at {} of {BOUND} bytes", journal_bytes(&collector));
    assert!(journal_bytes(&collector) <= BOUND);
    collector.wait_until("the outage is in the log", PATIENCE, |_| {
        home.log_text().contains("the archive's store fails; records stay in the journal")
    });
    let log = home.log_text();
    for percent in [50, 80, 95] {
        let warned = (percent..percent + 15).any(|seen| log.contains(&format!("the journal is {seen} % full")));
        assert!(warned, "no warning at {percent} %: {log}");
    }
    assert!(load.refused().keys().all(|refused| refused.retry_after.is_some()), "{:?}", load.refused());
    let before = load.acknowledged().len();

    server.up();
    collector.wait_until("records are taken again", PATIENCE, |_| load.acknowledged().len() > before + 500);
    load.drain();
    collector.wait_until("it has caught up", PATIENCE, |c| c.metric("tachograph_archive_lag_records") == 0.0);
    collector.stop();
    expect_all_in_good_order(&home, &bucket, &load.acknowledged());
}

/// Stopped, and killed, while the store is gone: what was acknowledged waits in the journal.
#[test]
fn a_collector_that_ends_in_an_outage_keeps_what_it_acknowledged() {
    let server = Minio::start();
    let bucket = Bucket::make(&server, Mode::Compliance);
    let home = Home::in_s3(&bucket.config());
    let load = Load::start(Settings::default(), &mut Random::of_test("end in an outage"));
    let collector = home.start();
    load.aim(Some(collector.http));
    collector.wait_until("something is archived", PATIENCE, |c| c.metric("tachograph_archived_records") > 100.0);
    server.down();
    std::thread::sleep(Duration::from_millis(500));
    // It tries for a while to archive the rest, and then says what is left.
    assert_eq!(collector.stop_with(), 3);
    load.aim(None);
    let log = home.log_text();
    assert!(log.contains("are safe in the journal"), "{log}");
    // Without its store it does not start, and says so, with the code that has it started again.
    home.refused().expect(3, &["not started", "archive.s3.endpoint"]);
    server.up();
    stored::expect_once(
        &stored::counts(&stored::behind(bucket.records(), &home.data()).expect("a journal")),
        &load.acknowledged(),
    );
    let collector = home.start();
    load.aim(Some(collector.http));
    load.drain();
    collector.stop();
    expect_all_in_good_order(&home, &bucket, &load.acknowledged());
}
