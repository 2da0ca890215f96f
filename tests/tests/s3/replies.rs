//! Whatever the store answers, or does not: the collector goes on without a restart, and what it wrote stands there once.

use std::time::Duration;

use tachograph_tests::bucket::{Bucket, Mode, verify_url};
use tachograph_tests::home::Home;
use tachograph_tests::otlp::Events;
use tachograph_tests::proxy::{Fault, Plan, Proxy};
use tachograph_tests::seed::Random;

use crate::scene::{Archived, SERVER, expect_all_in_good_order, key, said, send};

const STEPS: [(&str, &str); 5] =
    [("PUT", "leaves/"), ("PUT", "records/"), ("PUT", "commit/"), ("PUT", "checkpoint/"), ("HEAD", "commit/")];

/// One collector, which meets each of these at each step.
fn goes_on_after(name: &str, faults: &[Fault], steps: &[(&'static str, &str)], patience: Duration) {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let proxy = Proxy::start(SERVER.address());
    let home = Home::in_s3(&bucket.config_at(&proxy.endpoint()));
    let events = Events::new(&mut Random::of_test(name));
    let mut sent = Vec::new();
    let collector = home.start();
    collector.wait_archived();
    for fault in faults {
        for (method, folder) in steps {
            let hits = proxy.hits();
            proxy.plan(Plan::next(method, &format!("/{}/prod/{folder}", bucket.name()), *fault));
            let (ids, spans) = events.generations(5);
            send(&collector, &spans);
            sent.extend(ids);
            proxy.wait_hit(hits);
            let what = format!("archived after {fault:?} at {method} {folder}");
            collector
                .wait_until(&what, patience, |collector| collector.metric("tachograph_archive_lag_records") == 0.0);
        }
    }
    assert!(collector.metric("tachograph_archive_retries_total") >= (faults.len() * steps.len()) as f64);
    collector.stop();
    expect_all_in_good_order(&home, &bucket, &sent);
}

/// The next attempt is answered 412: it is our own earlier write. A store that is silent for longer than a client waits, a minute, is
/// waited for beside the others.
#[test]
fn lost_replies_are_no_second_writer() {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            goes_on_after("silence", &[Fault::SilenceAfter], &[("PUT", "commit/")], Duration::from_secs(120));
        });
        goes_on_after("lost replies", &[Fault::CloseAfter, Fault::FailAfter], &STEPS, Duration::from_secs(20));
        let refusals = [Fault::CloseBefore, Fault::ConflictBefore, Fault::FailBefore, Fault::SlowDownBefore];
        goes_on_after("refusals", &refusals, &STEPS, Duration::from_secs(20));
    });
}

#[test]
fn what_breaks_off_while_it_is_read_is_read_again() {
    let archived = Archived::shared();
    let proxy = Proxy::start(SERVER.address());
    let folders = ["ledger.json", "leaves/", "records/", "commit/", "checkpoint/"];
    for folder in folders {
        proxy.plan(Plan::next("GET", &format!("/prod/{folder}"), Fault::CutBody));
    }
    let verified = verify_url(&archived.bucket.url_at(&proxy.endpoint()), &["--key", &key(&archived.home)]);
    verified.expect_clean();
    assert_eq!(proxy.hits(), folders.len() as u64, "{}", said(&verified));
}

/// At its start a collector reads what it goes on from.
#[test]
fn a_start_reads_again_what_broke_off() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let proxy = Proxy::start(SERVER.address());
    let home = Home::in_s3(&bucket.config_at(&proxy.endpoint()));
    let events = Events::new(&mut Random::of_test("broken start"));
    let (mut sent, spans) = events.generations(20);
    let collector = home.start();
    send(&collector, &spans);
    collector.stop();
    for folder in ["ledger.json", "commit/"] {
        proxy.plan(Plan::next("GET", &format!("/prod/{folder}"), Fault::CutBody));
    }
    let collector = home.start();
    assert_eq!(proxy.hits(), 2);
    let (ids, spans) = events.generations(20);
    send(&collector, &spans);
    sent.extend(ids);
    collector.stop();
    expect_all_in_good_order(&home, &bucket, &sent);
}
