//! A session and an agent, shown as a whole: with a collector that runs, over a crash, and by everybody who checks.

use std::path::Path;
use std::time::Duration;

use tachograph_exporters::bundle::check::{Options, check};
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::verify::{Axis, DEFAULT_REQUIRED, Verdict};
use tachograph_ledger::VerifyingKey;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{run, tachograph, verify};
use tachograph_tests::home::Home;
use tachograph_tests::http::export;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::programs;
use tachograph_tests::seed::Random;

use crate::expect;

fn send(collector: &Collector, events: &Events, count: usize) {
    assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(count).1)).status, 200);
}

/// Makes a bundle and has ours, the separate verifier and Python judge whether it is complete. Gives how many records it has.
fn judged(home: &Home, what: [&str; 2], bundle: &Path, verdict: &str, words: &str) -> u64 {
    let made = tachograph(&[&"prove", &what[0], &what[1], &"--data", &home.data(), &"-o", &bundle, &"--json"]);
    expect(&made, 0, &[]);
    let key = home.data().join("ledger.vkey");
    let told = tachograph(&[&"verify", &bundle, &"--key", &key, &"--json"]);
    expect(&told, 0, &[words]);
    assert_eq!(told.json()["axes"]["completeness"]["verdict"], verdict, "{}", told.stdout);
    let required = if verdict == "pass" { 0 } else { 2 };
    let mut ours = programs::verifier();
    ours.arg(bundle).arg("--key").arg(&key).args(["--require", "completeness"]);
    expect(&run(ours), required, &[]);
    let mut python = programs::interpreter();
    python.arg("-I").arg(bundle.join("verify.py")).arg("--key").arg(&key).args(["--require", "completeness"]);
    expect(&run(python), required, &[words]);
    made.json()["records"].as_u64().expect("a number")
}

#[test]
fn a_session_is_shown_as_a_whole_while_the_collector_runs_and_over_a_crash() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::new("archive: { max_age: 100ms }\n");
    let events = Events::new(&mut Random::of_test("streams"));
    // Ten records a session: number 2 is not whole yet.
    let collector = home.start();
    send(&collector, &events, 25);
    let complete = "complete from record 0 to record 25";
    assert_eq!(judged(&home, ["--session", "session-1"], &place.path().join("running"), "pass", complete), 10);
    assert_eq!(judged(&home, ["--session", "session-2"], &place.path().join("half"), "pass", complete), 5);
    send(&collector, &events, 2);
    collector.kill();
    let collector = home.start();
    send(&collector, &events, 20);
    collector.wait_until("what the crash left is stated", Duration::from_secs(30), |collector| {
        collector.metric("tachograph_sealed_records_total") >= 22.0
    });
    assert_eq!(
        judged(&home, ["--session", "session-2"], &place.path().join("whole"), "pass", "complete from record 0"),
        10
    );
    collector.stop();
    assert_eq!(
        judged(&home, ["--session", "session-4"], &place.path().join("last"), "pass", "complete from record"),
        7
    );
    let verified = verify(&home.data(), &[]);
    verified.expect_clean();
    assert_ne!(verified.report["axes"]["completeness"]["verdict"], "fail", "{:#}", verified.report);
    // A secret tells which records are the session's, and no more: the bundle of one has no id of another.
    let page = std::fs::read_to_string(place.path().join("whole/index.html")).unwrap();
    assert!(page.contains("None of these is missing") && !page.contains("session-3"), "{page}");
}

#[test]
fn without_streams_and_without_the_key_nothing_is_claimed() {
    let place = tempfile::tempdir().unwrap();
    let home = Home::new("archive: { max_age: 100ms }\nstreams: { by: off }\n");
    let events = Events::new(&mut Random::of_test("no streams"));
    let collector = home.start();
    send(&collector, &events, 12);
    collector.stop();
    assert!(!home.data().join("keys/stream.key").exists());
    let unknown = "no other record answers to the question";
    let made = place.path().join("off");
    expect(&tachograph(&[&"prove", &"--session", &"session-0", &"--data", &home.data(), &"-o", &made]), 0, &[unknown]);

    // Switched on: what was sealed before stays open.
    home.configure("archive: { max_age: 100ms }\nstreams: { by: [session], close_after: 1s }\n");
    let collector = home.start();
    send(&collector, &events, 12);
    collector.stop();
    let made = place.path().join("on");
    let told = tachograph(&[&"prove", &"--session", &"session-1", &"--data", &home.data(), &"-o", &made]);
    expect(&told, 0, &["does not show wholly", "2 records here lie where no generation is closed"]);
    assert!(!std::fs::read_to_string(made.join("index.html")).unwrap().contains("None of these is missing"));
    let whole = place.path().join("whole");
    let told = tachograph(&[&"prove", &"--session", &"session-2", &"--data", &home.data(), &"-o", &whole]);
    expect(&told, 0, &["It shows that none of it is missing in the part"]);
    verify(&home.data(), &[]).expect_clean();

    let long = "s".repeat(5_000);
    let told = tachograph(&[&"prove", &"--session", &long, &"--data", &home.data(), &"-o", &place.path().join("long")]);
    expect(&told, 2, &["ids of more than 4096 bytes can't be looked up"]);

    // The key is lost, and another made: nothing false is said.
    std::fs::remove_file(home.data().join("keys/stream.key")).unwrap();
    home.start().stop();
    let lost = place.path().join("lost");
    let told = tachograph(&[&"prove", &"--session", &"session-2", &"--data", &home.data(), &"-o", &lost]);
    expect(&told, 0, &["is not claimed", "does not show wholly"]);
    let page = std::fs::read_to_string(lost.join("index.html")).unwrap();
    assert!(!page.contains("None of these is missing"));
    // Half a key that a crash left is no key.
    std::fs::remove_file(home.data().join("keys/stream.key")).unwrap();
    std::fs::write(home.data().join("keys/stream.key.new"), "tachograph-str").unwrap();
    home.start().stop();
    verify(&home.data(), &[]).expect_clean();
}

#[test]
fn the_golden_bundle_of_a_session_is_complete() {
    let files = Files::read(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/bundle-v2").as_ref()).unwrap();
    let key = String::from_utf8(files.get("ledger.vkey").unwrap().to_vec()).unwrap();
    let options = Options { key: Some(VerifyingKey::parse(key.trim_end()).unwrap()), ..Options::default() };
    let report = check(&files, "bundle-v2", &options);
    assert_eq!(report.exit_code(DEFAULT_REQUIRED), 0, "{}", report.to_json());
    assert_eq!(report.verdict(Axis::Completeness), Verdict::Pass, "{}", report.to_json());
    let reasons = &report.axes[&Axis::Completeness].reasons;
    assert!(reasons[0].starts_with("complete from record 0 to record 11"), "{reasons:?}");
}
