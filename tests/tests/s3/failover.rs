//! Active and passive on one data directory: the passive one waits outside, takes over, and an old copy never comes back.

use std::time::Duration;

use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::home::Home;
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::seed::Random;
use tachograph_tests::stored;

use crate::scene::{SERVER, expect_all_in_good_order};

#[test]
fn the_passive_one_goes_on_where_the_active_one_was_killed() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let home = Home::in_s3(&bucket.config());
    let load = Load::start(Settings::default(), &mut Random::of_test("failover"));
    let active = home.start();
    load.aim(Some(active.http));
    std::thread::sleep(Duration::from_millis(300));
    home.refused().expect(2, &["in use by another collector"]);
    // As a backup would have it: in the middle of the load, with the end of the journal half written.
    let old = home.copy();

    active.wait_until("some segments", Duration::from_secs(20), |c| c.metric("tachograph_archived_records") > 300.0);
    active.kill();
    let passive = home.start();
    load.aim(Some(passive.http));
    let before = load.acknowledged().len();
    passive.wait_until("it takes records", Duration::from_secs(20), |_| load.acknowledged().len() > before + 300);
    load.drain();
    passive.stop();
    expect_all_in_good_order(&home, &bucket, &load.acknowledged());

    // A copy of the directory from before: it must not write, and must not change what it has.
    let journal = || {
        let journaled = stored::journaled(&old.data()).expect("a journal");
        journaled.iter().map(|record| record.bytes().to_vec()).collect::<Vec<_>>()
    };
    let before = journal();
    old.refused().expect(2, &["the journal was rolled back, or another collector has taken this ledger over", ":"]);
    assert_eq!(before, journal());
    expect_all_in_good_order(&home, &bucket, &load.acknowledged());
}
