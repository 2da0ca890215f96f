//! Dates of retention, which nobody can take back, while something between the collector and the store tells a wrong time.

use std::time::Duration;

use tachograph_tests::bucket::{Bucket, Mode, PREFIX};
use tachograph_tests::home::Home;
use tachograph_tests::otlp::Events;
use tachograph_tests::proxy::{Fault, Plan, Proxy};
use tachograph_tests::seed::Random;

use crate::scene::{SERVER, expect_all_in_good_order, send};

const DAY: u64 = 86_400;
const YEAR: i64 = 365 * 86_400;
/// Retention of the tests' buckets; proofs are kept 30 days longer.
const KEPT: u64 = 2 * DAY;
const PROOFS_KEPT: u64 = 32 * DAY;
/// Checks take their time, and five minutes are what clocks may be apart.
const MARGIN: u64 = 600;

/// Every object is locked for as long as configured, from now on.
fn expect_dates(bucket: &Bucket) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for path in bucket.paths() {
        let key = format!("{PREFIX}{path}");
        let until = bucket.ask(|client, bucket| async move {
            let head = client.head_object().bucket(bucket).key(key).send().await.expect("it is there");
            head.object_lock_retain_until_date().expect("it is locked").secs()
        });
        let kept = if path.starts_with("records/class=default/") { KEPT } else { PROOFS_KEPT };
        let (least, most) = (now + kept - MARGIN, now + kept + MARGIN);
        assert!(
            (least..=most).contains(&u64::try_from(until).unwrap()),
            "{path} is locked until {until}, now is {now}"
        );
    }
}

#[test]
fn one_answer_with_a_wrong_date_shifts_no_lock() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let proxy = Proxy::start(SERVER.address());
    let home = Home::in_s3(&bucket.config_at(&proxy.endpoint()));
    let events = Events::new(&mut Random::of_test("one wrong date"));
    let collector = home.start();
    collector.wait_archived();
    let mut sent = Vec::new();
    for shift in [YEAR, -YEAR, 240 * YEAR] {
        // The last answer before the next segment is dated.
        proxy.plan(Plan::next("HEAD", "prod/checkpoint/", Fault::ShiftDate(shift)));
        for _ in 0..2 {
            let (ids, spans) = events.generations(5);
            send(&collector, &spans);
            sent.extend(ids);
            collector.wait_archived();
        }
    }
    assert_eq!(proxy.hits(), 3);
    assert_eq!(collector.metric("tachograph_archive_retries_total"), 0.0, "a fresh answer was asked for");
    collector.stop();
    expect_dates(&bucket);
    expect_all_in_good_order(&home, &bucket, &sent);
}

#[test]
fn while_the_clocks_differ_nothing_is_locked_and_nothing_is_lost() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let proxy = Proxy::start(SERVER.address());
    let home = Home::in_s3(&bucket.config_at(&proxy.endpoint()));
    let events = Events::new(&mut Random::of_test("wrong dates"));
    let collector = home.start();
    collector.wait_archived();
    proxy.plan(Plan::all("", "", Fault::ShiftDate(YEAR)));
    // The first is dated by the answers before, the next by none.
    let (mut sent, spans) = events.generations(5);
    send(&collector, &spans);
    collector.wait_archived();
    let objects = bucket.paths().len();
    let (ids, spans) = events.generations(5);
    send(&collector, &spans);
    sent.extend(ids);
    let patience = Duration::from_secs(40);
    collector.wait_until("it says that the clocks differ", patience, |_| {
        home.log_text().contains("s ahead of this machine's: dates of retention could not be told")
    });
    assert_eq!(bucket.paths().len(), objects, "something was locked with a date that nobody knows");
    proxy.clear();
    collector.wait_until("it goes on", patience, |c| c.metric("tachograph_archive_lag_records") == 0.0);
    collector.stop();
    expect_dates(&bucket);
    expect_all_in_good_order(&home, &bucket, &sent);
}
