//! A running ledger changes its key: commands, kills in between, witnesses, auditors, bundles.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Outcome, expect_verified, run, tachograph, verify};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::export;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::seed::Random;
use tachograph_tests::witness::Witness;
use tachograph_tests::{programs, stored, tree};

const PATIENCE: Duration = Duration::from_secs(60);

fn send(collector: &Collector, events: &Events) {
    let answer = export(collector.http, "/v1/traces", &request(events.generations(10).1));
    assert_eq!(answer.status, 200, "{}", answer.text());
    collector.wait_archived();
}

fn key(action: &str, data: &Path, more: &[&dyn AsRef<OsStr>]) -> Outcome {
    let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"key", &action, &data, &"--json"];
    arguments.extend(more);
    tachograph(&arguments)
}

fn signing(data: &Path) -> Vec<bool> {
    let list = key("list", data, &[]).json();
    list["keys"].as_array().unwrap().iter().map(|key| key["signs"] == true).collect()
}

#[test]
fn a_ledger_changes_its_key_and_everybody_can_follow() {
    let (home, events) = (Home::new(""), Events::new(&mut Random::of_test("rotation")));
    let (data, archive, vkey) = (home.data(), home.archive(), home.data().join("ledger.vkey"));
    let directory = tempfile::tempdir().unwrap();
    let witness = Witness::start(directory.path(), "w1", &[&vkey]);
    let policy = directory.path().join("policy");
    let first = fs::read_to_string(&vkey).unwrap().trim().to_owned();
    fs::write(&policy, format!("log {first}\n{}quorum w1\n", witness.line())).unwrap();
    home.configure(&format!("{SMALL}witnesses:\n  policy: {}\n  every: 200ms\n", policy.display()));

    let collector = home.start();
    send(&collector, &events);
    key("retire", &data, &[]).expect(2, &["one key signs"]);
    let rotated = key("rotate", &data, &[]);
    rotated.expect(0, &[]);
    let second = rotated.json()["vkey"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    assert_eq!(signing(&data), [true, true]);
    key("rotate", &data, &[]).expect(2, &["two keys sign already"]);
    send(&collector, &events);
    collector.kill();

    // A start finds out where it stands; the witness still knows the first key alone, which signs too.
    let collector = home.start();
    send(&collector, &events);
    let archived = collector.metric("tachograph_archived_records");
    collector
        .wait_until("witnessed", PATIENCE, |collector| collector.metric("tachograph_witnessed_records") >= archived);
    key("retire", &data, &[]).expect(0, &[]);
    assert_eq!(signing(&data), [false, true]);
    send(&collector, &events);
    // From here on only who follows the links knows who signs.
    let archived = collector.metric("tachograph_archived_records");
    std::thread::sleep(Duration::from_millis(600));
    assert!(collector.metric("tachograph_witnessed_records") < archived);
    let mut links: Vec<_> = fs::read_dir(archive.join("keys")).unwrap().map(|entry| entry.unwrap().path()).collect();
    links.sort();
    assert_eq!(links.len(), 2);
    let alone = tachograph(&[&"witness", &"add", &witness.directory(), &vkey, &"--link", &links[1]]);
    alone.expect(2, &["no other to go on with"]);
    let added =
        tachograph(&[&"witness", &"add", &witness.directory(), &vkey, &"--link", &links[0], &"--link", &links[1]]);
    added.expect(0, &[]);
    send(&collector, &events);
    let archived = collector.metric("tachograph_archived_records");
    collector.wait_until("witnessed again", PATIENCE, |collector| {
        collector.metric("tachograph_witnessed_records") >= archived
    });
    collector.stop();

    // Without the private key that is retired it goes on.
    fs::remove_file(data.join("keys/signing.key")).unwrap();
    let collector = home.start();
    send(&collector, &events);
    collector.stop();

    expect_verified(&data);
    for trusted in [&first, &second] {
        let verified = verify(&archive, &[&"--key", trusted, &"--policy", &policy, &"--require", &"non_equivocation"]);
        verified.expect_clean();
        assert_eq!(verified.report["keys"], serde_json::json!([first, second]));
    }
    bundles(&home, directory.path(), &[&first, &second]);

    // An attacker who has the retired key, and cuts what came after.
    for link in &links {
        fs::remove_file(link).unwrap();
    }
    let verified = verify(&archive, &[&"--key", &vkey]);
    assert_eq!(verified.code, 1, "{:#}", verified.report);
    home.refused().expect(2, &["signature"]);
}

fn bundles(home: &Home, work: &Path, trusted: &[&String]) {
    let records = stored::archived(&home.archive());
    let newest = records.iter().rev().find(|record| record.body()["kind"] == "generation").unwrap();
    let (event, bundle) = (newest.body()["event_id"].as_str().unwrap().to_owned(), work.join("bundle"));
    tachograph(&[&"prove", &event, &"--data", &home.data(), &"-o", &bundle]).expect(0, &[]);
    assert_eq!(fs::read_dir(bundle.join("keys")).unwrap().count(), 2);
    for key in trusted {
        let changes = ["the ledger's first key is ", "announces ", "retires "];
        for place in [&bundle, &home.archive()] {
            let verified = tachograph(&[&"verify", place, &"--key", key]);
            verified.expect(0, &[]);
            assert!(changes.iter().all(|words| verified.stdout.contains(words)), "{}", verified.stdout);
        }
        let mut python = programs::interpreter();
        python.arg("-B").arg(bundle.join("verify.py")).arg(&bundle).args(["--json", "--key"]).arg(key.as_str());
        let checked = run(python);
        assert_eq!(checked.code, 0, "{}{}", checked.stdout, checked.stderr);
        // All three say the same of the keys.
        let ours = tachograph(&[&"verify", &bundle, &"--key", key, &"--json"]).json();
        let (theirs, of_archive) = (checked.json(), verify(&home.archive(), &[&"--key", key]).report);
        for member in ["keys", "key_changes"] {
            assert_eq!((&ours[member], &of_archive[member]), (&theirs[member], &theirs[member]));
        }
        assert_eq!(ours["key_changes"].as_array().unwrap().len(), 2);
        let mut python = programs::interpreter();
        python.arg("-B").arg(bundle.join("verify.py")).arg(&bundle).arg("--key").arg(key.as_str());
        let told = run(python).stdout;
        assert!(changes.iter().all(|words| told.contains(words)), "{told}");
    }
    // Each checker misses a link that is left out.
    let link = fs::read_dir(bundle.join("keys")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(link).unwrap();
    let mut python = programs::interpreter();
    python.arg("-B").arg(bundle.join("verify.py")).arg(&bundle).args(["--json", "--key"]).arg(trusted[0].as_str());
    let checked: Value = serde_json::from_str(&run(python).stdout).unwrap();
    assert_eq!(checked["axes"]["authenticity"]["verdict"], "fail");
    tachograph(&[&"verify", &bundle, &"--key", trusted[0]]).expect(1, &[]);
}

/// Two collectors wrote one ledger by mistake. What the fenced one acknowledged is saved, also if keys changed before and after the fork;
/// what its records say of keys is of no account in the new ledger.
#[test]
fn a_ledger_whose_keys_changed_is_sealed_anew() {
    let (home, events) = (Home::new(SMALL), Events::new(&mut Random::of_test("resealed_rotation")));
    let collector = home.start();
    send(&collector, &events);
    key("rotate", &home.data(), &[]).expect(0, &[]);
    send(&collector, &events);
    collector.stop();
    let fenced = home.copy();
    let collector = home.start();
    send(&collector, &events);
    collector.stop();
    let collector = fenced.start();
    let (ids, spans) = events.generations(10);
    assert_eq!(export(collector.http, "/v1/traces", &request(spans)).status, 200);
    collector.wait_archived();
    key("retire", &fenced.data(), &[]).expect(0, &[]);
    collector.stop();
    // The archive has one way only.
    fs::remove_dir_all(fenced.archive()).unwrap();
    tree::copy(&home.archive(), &fenced.archive());

    let into = tempfile::tempdir().unwrap();
    let saved = into.path().join("saved");
    let made = tachograph(&[&"reseal", &fenced.data(), &saved, &"--name", &"e2e.example/saved", &"--json"]);
    made.expect(0, &[]);
    let saved = Home::of_ledger(saved, SMALL);
    saved.start().stop();
    let records = stored::archived(&saved.archive());
    stored::expect_once(&stored::counts(&records), &ids);
    assert!(records.iter().any(|record| record.body()["action_type"] == "key.retire"));
    expect_verified(&saved.data());
    let verified = verify(&saved.archive(), &[&"--key", &saved.data().join("ledger.vkey")]);
    verified.expect_clean();
    assert_eq!(verified.report["key_changes"], serde_json::json!([]));
    let told = tachograph(&[&"verify", &saved.archive(), &"--key", &saved.data().join("ledger.vkey")]);
    assert!(told.stdout.contains("no change of it is recorded here"), "{}", told.stdout);
}
