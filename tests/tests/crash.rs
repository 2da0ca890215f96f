//! SIGKILL at random moments under load: nothing that was acknowledged is lost, and nothing is sealed twice.

use std::ops::RangeInclusive;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tachograph_tests::command::expect_verified;
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::seed::Random;
use tachograph_tests::stored;

/// How many kills; the soak test makes more.
const ROUNDS: &str = "TACHOGRAPH_CRASH_ROUNDS";
const DEFAULT_ROUNDS: u64 = 24;
/// After so many kills everything is drained, stopped in good order and verified.
const ROUNDS_PER_CHECK: u64 = 6;
/// After so many kills a new ledger is begun: each kill reads back all of it.
const ROUNDS_PER_LEDGER: u64 = 40;

#[test]
fn a_killed_collector_loses_nothing_and_doubles_nothing() {
    let rounds = match std::env::var(ROUNDS) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{ROUNDS}={text} is no number")),
        Err(_) => DEFAULT_ROUNDS,
    };
    let mut random = Random::of_test("crash");
    let mut done = 0;
    while done < rounds {
        let next = (done + ROUNDS_PER_LEDGER).min(rounds);
        torture(done + 1..=next, &mut random);
        done = next;
    }
}

/// One ledger, killed again and again.
fn torture(rounds: RangeInclusive<u64>, random: &mut Random) {
    let home = Home::new(SMALL);
    let load = Load::start(Settings::default(), random);
    let (began, last) = (Instant::now(), *rounds.end());
    for round in rounds {
        kill_once(&home, &load, random);
        expect_what_was_acknowledged(&home, &load);
        if round % ROUNDS_PER_CHECK == 0 || round == last {
            expect_all_in_good_order(&home, &load);
            let records = load.acknowledged().len();
            println!("crash: {round} kills, {records} records acknowledged, {:.1} s", began.elapsed().as_secs_f64());
        }
    }
    assert!(load.acknowledged().len() > 1_000, "the load was too thin to prove anything");
}

/// One life of a collector, ended by force.
fn kill_once(home: &Home, load: &Load, random: &mut Random) {
    match random.below(8) {
        // While it starts, and recovers from the kill before.
        0 => {
            let starting = home.spawn();
            sleep(random.millis(0, 60));
            starting.kill();
        }
        // While it drains and archives what is left.
        1 => {
            let collector = home.start();
            load.aim(Some(collector.http));
            sleep(random.millis(50, 300));
            collector.terminate();
            sleep(random.millis(0, 60));
            collector.kill_while_stopping();
        }
        // Under load.
        _ => {
            let collector = home.start();
            load.aim(Some(collector.http));
            sleep(random.millis(20, 700));
            collector.kill();
        }
    }
    load.aim(None);
}

/// As the kill left it: a batch may be durable whose answer never arrived, but none that was acknowledged is missing.
fn expect_what_was_acknowledged(home: &Home, load: &Load) {
    let acknowledged = load.acknowledged();
    stored::expect_once(&stored::counts(&stored::read(&home.data())), &acknowledged);
}

/// All batches acknowledged, the collector stopped in good order: the ledger holds just that, and verifies.
fn expect_all_in_good_order(home: &Home, load: &Load) {
    let collector = home.start();
    load.aim(Some(collector.http));
    sleep(Duration::from_millis(100));
    load.drain();
    collector.stop();
    load.aim(None);
    let acknowledged = load.acknowledged();
    let archived = stored::counts(&stored::archived(&home.archive()));
    stored::expect_once(&archived, &acknowledged);
    assert_eq!(archived.len(), acknowledged.len(), "the ledger holds events that nobody was told of");
    expect_verified(&home.data());
}
