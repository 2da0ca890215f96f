//! Enough witnesses, too few, and some that come and go.

use std::fs;
use std::time::{Duration, Instant};

use tachograph_exporters::verify::Axis;
use tachograph_ledger::{Checkpoint, VerifyingKey, WitnessVerifyingKey, parse_note};
use tachograph_tests::command::verify;
use tachograph_tests::home::LEDGER;
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::seed::Random;

use crate::scene::{PATIENCE, Scene, reasons};

#[test]
fn two_of_three_are_enough_and_an_auditor_sees_it() {
    let mut scene = Scene::new("two_of_three");
    scene.witnesses[2].kill();
    let collector = scene.home.start();
    for _ in 0..3 {
        scene.send(&collector, 25);
        scene.wait_witnessed(&collector);
    }
    assert!(collector.metric("tachograph_witness_lag_seconds{witness=\"w3.example\"}") > 0.0);
    assert!(collector.metric("tachograph_witness_failures_total{witness=\"w3.example\"}") > 0.0);
    for quiet in ["tachograph_witness_forks_total", "tachograph_witness_lag_seconds{witness=\"w1.example\"}"] {
        assert_eq!(collector.metric(quiet), 0.0, "{quiet}");
    }

    // The last one comes back and is shown what is newest.
    scene.witnesses[2].restart();
    collector.wait_until("w3 caught up", PATIENCE, |collector| {
        collector.metric("tachograph_witness_lag_seconds{witness=\"w3.example\"}") == 0.0
    });
    let records = collector.metric("tachograph_archived_records") as u64;
    assert_eq!(scene.witnesses[2].list()["ledgers"][0]["records"], records);
    collector.kill();

    let verified = scene.verify(&scene.home, &scene.policy());
    verified.expect_clean();
    assert_eq!(verified.report["witnessed_records"], records);
    assert_eq!(verified.report["strangers"], serde_json::json!([]));
    let said = reasons(&verified, "non_equivocation");
    assert!(
        said.contains(&format!("all {records} records are under a checkpoint that 2 of 3 keys of witnesses cosigned")),
        "{said}"
    );
    verify(&scene.home.data(), &[&"--policy", &scene.policy(), &"--require", &"non_equivocation"]).expect_clean();

    // What an auditor asks for is not what the collector was content with.
    let strict = scene.write_policy("strict", "group every all w1 w2 w3\nquorum every\n");
    let verified = scene.verify(&scene.home, &strict);
    assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (2, "incomplete"), "{:#}", verified.report);
    assert!(
        reasons(&verified, "non_equivocation").contains("UNWITNESSED")
            && reasons(&verified, "non_equivocation").contains("2 of 3")
    );
    let unwitnessed = verify(&scene.home.archive(), &[]);
    assert_eq!(unwitnessed.verdict(Axis::NonEquivocation), "incomplete");
    assert!(reasons(&unwitnessed, "non_equivocation").contains("give a policy"));
}

#[test]
fn without_its_witnesses_a_collector_records_and_says_so() {
    let mut scene = Scene::new("no_witness");
    scene.witnesses[0].kill();
    scene.witnesses[1].kill();
    let collector = scene.home.start();
    scene.send(&collector, 25);
    collector.wait_until("asked", PATIENCE, |collector| {
        collector.metric("tachograph_witness_failures_total{witness=\"w1.example\"}") > 0.0
            && collector.metric("tachograph_witness_lag_seconds{witness=\"w3.example\"}") == 0.0
    });
    assert_eq!(collector.metric("tachograph_witnessed_records"), 0.0);
    assert!(collector.metric("tachograph_witnessed_lag_seconds") > 0.0);
    // A stop does not wait for them.
    let began = Instant::now();
    collector.stop();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let verified = scene.verify(&scene.home, &scene.policy());
    assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (2, "incomplete"), "{:#}", verified.report);
    assert!(reasons(&verified, "non_equivocation").contains("UNWITNESSED: the archive has no witnessed checkpoint"));

    // Once they are back the newest checkpoint is shown to them, without any new record of an application.
    scene.witnesses[0].restart();
    let collector = scene.home.start();
    scene.wait_witnessed(&collector);
    collector.stop();
    assert_eq!(scene.verify(&scene.home, &scene.policy()).verdict(Axis::NonEquivocation), "pass");
}

/// The worst witness is one that takes a question and never answers.
#[test]
fn a_witness_that_hangs_holds_nobody_up() {
    let scene = Scene::new("hanging_witness");
    scene.witnesses[0].pause();
    let collector = scene.home.start();
    let began = Instant::now();
    for _ in 0..5 {
        scene.send(&collector, 25);
    }
    assert!(began.elapsed() < Duration::from_secs(8), "acknowledged and archived only after {:?}", began.elapsed());
    // The two others are enough, once the first has had its time.
    scene.wait_witnessed(&collector);
    assert!(collector.metric("tachograph_witness_failures_total{witness=\"w1.example\"}") >= 1.0);
    scene.witnesses[1].pause();
    scene.send(&collector, 25);
    let began = Instant::now();
    collector.stop();
    assert!(began.elapsed() < Duration::from_secs(9), "stopped only after {:?}", began.elapsed());
}

/// Witnesses are killed in the middle of their work. None of them ever forgets what it vouched for, or vouches for two histories.
#[test]
fn killed_witnesses_go_on_where_they_were() {
    let mut scene = Scene::new("killed_witnesses");
    let mut random = Random::of_test("killed_witnesses");
    let load = Load::start(Settings { senders: 2, ..Settings::default() }, &mut random);
    let collector = scene.home.start();
    load.aim(Some(collector.http));
    for round in 0..12 {
        std::thread::sleep(Duration::from_millis(100 + random.below(200)));
        let killed = round % 3;
        let before = scene.witnesses[killed].list()["ledgers"][0]["records"].as_u64().unwrap();
        scene.witnesses[killed].restart();
        assert!(scene.witnesses[killed].list()["ledgers"][0]["records"].as_u64().unwrap() >= before);
    }
    load.drain();
    load.aim(None);
    collector.wait_archived();
    scene.wait_witnessed(&collector);
    assert_eq!(collector.metric("tachograph_witness_forks_total"), 0.0);
    collector.stop();
    scene.verify(&scene.home, &scene.policy()).expect_clean();
    for witness in &scene.witnesses {
        assert_eq!(witness.list()["forks"], 0, "{}", witness.log_text());
    }
    // What stands in the archive is what anybody can check line by line.
    let key = VerifyingKey::parse(&fs::read_to_string(scene.home.data().join("ledger.vkey")).unwrap()).unwrap();
    let keys: Vec<_> =
        scene.witnesses.iter().map(|witness| WitnessVerifyingKey::parse(&witness.vkey).unwrap()).collect();
    let notes = tachograph_tests::tree::files(&scene.home.archive().join("witnessed"));
    assert!(notes.len() > 2, "{notes:?}");
    for path in &notes {
        let bytes = fs::read(path).unwrap();
        let size = Checkpoint::open(&bytes, &key).unwrap().size;
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), format!("{size:020}"));
        let note = parse_note(&bytes).unwrap();
        assert!(keys.iter().filter(|key| key.cosigned(&note).unwrap().is_some()).count() >= 2);
    }
    // And so does each witness itself.
    for (witness, key) in scene.witnesses.iter().zip(&keys) {
        let note = witness.checkpoint(LEDGER);
        assert_eq!(note.status, 200);
        assert!(key.cosigned(&parse_note(&note.body).unwrap()).unwrap().is_some());
    }
}
