//! No space: senders are told to come back, nothing acknowledged is lost, and it goes on when there is space again.

use std::time::Duration;

use serde_json::Value;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::expect_verified;
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::get;
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::seed::Random;
use tachograph_tests::{programs, stored};

use crate::disk::SmallDisk;

const DISK_MIB: u64 = 48;
const PATIENCE: Duration = Duration::from_secs(30);

fn ready(collector: &Collector) -> bool {
    get(collector.admin, "/readyz").status == 200
}

/// How many refusals of one kind there were so far.
fn refusals(load: &Load, status: u16) -> u64 {
    let refused = load.refused();
    refused.iter().filter(|(refused, _)| refused.status == status).map(|(_, count)| count).sum()
}

/// Fills the disk under load until senders are refused.
fn fill_up(disk: &SmallDisk, load: &Load, collector: &Collector) {
    load.aim(Some(collector.http));
    std::thread::sleep(Duration::from_millis(500));
    let before = refusals(load, 429);
    disk.fill_up(256 << 10);
    collector.wait_until("senders are refused", PATIENCE, |_| refusals(load, 429) > before + 20);
    assert!(load.refused().keys().all(|refused| refused.retry_after.as_deref() == Some("1")), "{:?}", load.refused());
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    SmallDisk::run("full::a_full_disk_refuses_and_goes_on_when_there_is_space", DISK_MIB, |disk| {
        let mut random = Random::of_test("full disk");
        let home = Home::with_data(disk.path().join("ledger"), SMALL);
        let load = Load::start(Settings::default(), &mut random);
        let collector = home.start();
        for _ in 0..2 {
            fill_up(disk, &load, &collector);
            let page = get(collector.admin, "/readyz");
            assert_eq!(page.status, 503, "{}", page.text());
            assert!(page.text().contains("no room"), "{}", page.text());
            assert_eq!(get(collector.admin, "/healthz").status, 200, "it lives, so that nobody restarts it for that");
            expect_grpc_refusal(&collector);
            stored::expect_once(&stored::counts(&stored::read(&home.data())), &load.acknowledged());

            disk.free();
            let before = load.acknowledged().len();
            collector.wait_until("records are taken again", PATIENCE, |_| load.acknowledged().len() > before + 500);
            collector.wait_until("it is ready again", PATIENCE, ready);
        }
        load.drain();
        collector.stop();
        let log = home.log_text();
        assert!(log.contains("no room for records: senders are told to come back"), "{log}");
        let counts = stored::counts(&stored::archived(&home.archive()));
        stored::expect_once(&counts, &load.acknowledged());
        expect_verified(&home.data());
    });
}

/// The same over gRPC: RESOURCE_EXHAUSTED with RetryInfo.
fn expect_grpc_refusal(collector: &Collector) {
    let mut call = programs::python("otlp_call.py");
    let output = call.arg(collector.grpc.to_string()).arg("no room").env("NO_PROXY", "*").env("no_proxy", "*").output();
    let output = output.unwrap_or_else(|e| panic!("{call:?}: {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(answer["code"], "RESOURCE_EXHAUSTED", "{answer}");
    assert_eq!(answer["retry_delay_seconds"], 1.0, "{answer}");
    assert!(answer["message"].as_str().is_some_and(|message| message.contains("no room now (journal)")), "{answer}");
}

/// A load balancer that asks `/readyz` sends nothing more: still it must learn that there is space again.
#[test]
fn readiness_comes_back_without_any_sender() {
    SmallDisk::run("full::readiness_comes_back_without_any_sender", DISK_MIB, |disk| {
        let mut random = Random::of_test("readiness");
        let home = Home::with_data(disk.path().join("ledger"), SMALL);
        let load = Load::start(Settings::default(), &mut random);
        let collector = home.start();
        fill_up(disk, &load, &collector);
        load.aim(None);
        disk.free();
        collector.wait_until("it is ready again", PATIENCE, ready);
        load.aim(Some(collector.http));
        load.drain();
        collector.stop();
        expect_verified(&home.data());
    });
}

/// Killed while there is no space, and started again before there is.
#[test]
fn a_crash_on_a_full_disk_loses_nothing() {
    SmallDisk::run("full::a_crash_on_a_full_disk_loses_nothing", DISK_MIB, |disk| {
        let mut random = Random::of_test("crash on a full disk");
        let home = Home::with_data(disk.path().join("ledger"), SMALL);
        let load = Load::start(Settings::default(), &mut random);
        let collector = home.start();
        fill_up(disk, &load, &collector);
        collector.kill();
        load.aim(None);
        stored::expect_once(&stored::counts(&stored::read(&home.data())), &load.acknowledged());

        // The start itself needs a few kilobytes: if they are there it starts, and else it says why it can't.
        disk.fill_up(0);
        let collector = match home.spawn().outcome() {
            Ok(collector) => {
                load.aim(Some(collector.http));
                std::thread::sleep(Duration::from_millis(700));
                disk.free();
                collector
            }
            Err(code) => {
                let log = home.log_text();
                let said = log.lines().last().unwrap_or_default();
                assert!(
                    code == 2 && said.contains("No space left on device") && said.contains("free space"),
                    "{code}: {said}"
                );
                disk.free();
                home.start()
            }
        };
        load.aim(Some(collector.http));
        load.drain();
        collector.stop();
        stored::expect_once(&stored::counts(&stored::archived(&home.archive())), &load.acknowledged());
        expect_verified(&home.data());
    });
}

/// The journal's own bound, on a disk with space: the archive can't be written, so that the journal may let go of nothing.
#[test]
fn a_journal_at_its_bound_refuses() {
    let mut random = Random::of_test("journal at its bound");
    let home =
        Home::new("{journal: {max_file_bytes: 1MiB, max_bytes: 4MiB}, archive: {max_age: 1h, max_bytes: 64MiB}}");
    let load = Load::start(Settings::default(), &mut random);
    let collector = home.start();
    load.aim(Some(collector.http));
    collector.wait_until("senders are refused", PATIENCE, |_| refusals(&load, 429) > 20);
    assert!(collector.metric("tachograph_journal_bytes") <= f64::from(4 << 20));
    assert!(!ready(&collector));
    load.aim(None);
    // At the stop all of it is archived, and the next life has room again.
    collector.stop();
    let collector = home.start();
    load.aim(Some(collector.http));
    load.drain();
    collector.stop();
    stored::expect_once(&stored::counts(&stored::archived(&home.archive())), &load.acknowledged());
    expect_verified(&home.data());
}
