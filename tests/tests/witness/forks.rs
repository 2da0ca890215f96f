//! Two histories of one ledger: the witnesses refuse the second, and it becomes an alarm.

use std::fs;

use tachograph_exporters::verify::Axis;
use tachograph_ledger::{Checkpoint, VerifyingKey};
use tachograph_tests::collector::Collector;
use tachograph_tests::command;
use tachograph_tests::home::{Home, LEDGER};

use crate::scene::{PATIENCE, Scene, reasons};

#[track_caller]
fn wait_alarm(collector: &Collector) {
    collector.wait_until("alarm", PATIENCE, |collector| collector.metric("tachograph_witness_forks_total") >= 3.0);
}

fn key(home: &Home) -> VerifyingKey {
    VerifyingKey::parse(&fs::read_to_string(home.data().join("ledger.vkey")).unwrap()).unwrap()
}

#[test]
fn a_second_history_is_refused_and_becomes_an_alarm() {
    let scene = Scene::new("fork");
    let collector = scene.home.start();
    scene.send(&collector, 20);
    scene.wait_witnessed(&collector);
    collector.stop();
    let twin = scene.home.copy();

    // The first goes on, and the witnesses with it.
    let collector = scene.home.start();
    scene.send(&collector, 10);
    scene.wait_witnessed(&collector);
    let witnessed = collector.metric("tachograph_witnessed_records");
    collector.stop();

    // The second, from the same state, tells another history, which becomes longer than the first.
    let second = twin.start();
    scene.send(&second, 5);
    wait_alarm(&second);
    scene.send(&second, 40);
    let alarms = second.metric("tachograph_witness_forks_total");
    second.wait_until("alarms about the longer one", PATIENCE, |second| {
        second.metric("tachograph_witness_forks_total") >= alarms + 3.0
    });
    assert_eq!(second.metric("tachograph_witnessed_records"), 0.0, "nothing of it is witnessed");
    // Recording goes on: what is lost otherwise is evidence.
    assert_eq!(second.metric("tachograph_ready"), 1.0);
    second.stop();
    // It is longer than what the witnesses cosigned, and they keep what they were shown of it.
    for witness in &scene.witnesses {
        let list = witness.list();
        assert!(list["unproven"].as_u64() > Some(0), "{list:#}\n{}", witness.log_text());
    }
    let log = twin.log_text();
    assert!(log.contains("FORK OR ROLLBACK") && log.contains("w1.example+"), "{log}");

    // Only the first is witnessed, by anybody's judgement.
    assert_eq!(scene.verify(&scene.home, &scene.policy()).verdict(Axis::NonEquivocation), "pass");
    for witness in &scene.witnesses {
        let note = witness.checkpoint(LEDGER);
        let checkpoint = Checkpoint::open(&note.body, &key(&scene.home)).unwrap();
        assert!(checkpoint.size as f64 >= witnessed);
        let kept = scene.directory.path().join(format!("{}.note", witness.name));
        fs::write(&kept, &note.body).unwrap();
        let vkey = twin.data().join("ledger.vkey");
        let verified = command::verify(&twin.archive(), &[&"--key", &vkey, &"--checkpoint", &kept]);
        assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (1, "fail"), "{:#}", verified.report);
    }
}

/// Two checkpoints of one size, here made with the stolen key: that is evidence by itself, and the witness keeps both.
#[test]
fn evidence_of_a_fork_is_kept() {
    let scene = Scene::new("evidence");
    let collector = scene.home.start();
    scene.send(&collector, 20);
    scene.wait_witnessed(&collector);
    let size = collector.metric("tachograph_archived_records");
    collector.stop();
    let witness = &scene.witnesses[0];
    let key =
        tachograph_ledger::SigningKey::parse(&fs::read_to_string(scene.home.data().join("keys/signing.key")).unwrap())
            .unwrap();
    let last = Checkpoint::open(&witness.checkpoint(LEDGER).body, &key.public()).unwrap();
    assert!(last.size as f64 >= size);
    let forged = Checkpoint { root: tachograph_ledger::sha256(b"another history"), ..last.clone() }.sign(&key).unwrap();
    let body = tachograph_ledger::AddCheckpoint { old: last.size, proof: Vec::new(), checkpoint: &forged }.encode();
    let mut connection = tachograph_tests::http::Connection::open(witness.address).unwrap();
    let answer = connection.post("/add-checkpoint", "text/plain", body.as_bytes()).unwrap();
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(witness.list()["forks"], 1);
    let forks = fs::read_dir(witness.directory().join("forks")).unwrap();
    let fork = forks.map(|entry| entry.unwrap().path()).next().unwrap();
    assert_eq!(fs::read_to_string(fork.join("refused")).unwrap(), forged);
    let cosigned = Checkpoint::open(&fs::read(fork.join("cosigned")).unwrap(), &key.public()).unwrap();
    assert_eq!(cosigned, last);
    assert!(witness.log_text().contains("REFUSED A FORK"));
}

#[test]
fn a_ledger_that_was_rolled_back_is_noticed_by_its_witnesses() {
    let scene = Scene::new("rollback");
    let collector = scene.home.start();
    scene.send(&collector, 20);
    scene.wait_witnessed(&collector);
    collector.stop();
    // A snapshot of the whole machine: archive, journal, keys, all that it remembers.
    let snapshot = scene.home.copy();
    let collector = scene.home.start();
    scene.send(&collector, 60);
    scene.wait_witnessed(&collector);
    collector.stop();

    let restored = snapshot.start();
    restored.wait_archived();
    wait_alarm(&restored);
    let log = snapshot.log_text();
    assert!(log.contains("the ledger was rolled back"), "{log}");
    restored.stop();

    // The archive by itself is whole, and it was witnessed once: how old that is the report says.
    let verified = scene.verify(&snapshot, &scene.policy());
    assert_eq!(verified.verdict(Axis::NonEquivocation), "pass", "{:#}", verified.report);
    assert!(reasons(&verified, "non_equivocation").contains("all but the newest"), "{:#}", verified.report);
    // With what a witness keeps, which anybody can fetch, it is caught.
    let newer = scene.directory.path().join("newer.note");
    fs::write(&newer, scene.witnesses[0].checkpoint(LEDGER).body).unwrap();
    let (vkey, policy) = (snapshot.data().join("ledger.vkey"), scene.policy());
    let verified =
        command::verify(&snapshot.archive(), &[&"--key", &vkey, &"--policy", &policy, &"--checkpoint", &newer]);
    assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (1, "fail"), "{:#}", verified.report);
    assert!(verified.report["findings"].to_string().contains("rolled back"), "{:#}", verified.report);
}
