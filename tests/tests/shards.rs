//! One ledger ends and the next continues it: under load, over kills, and as auditors see it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use tachograph_exporters::verify::Axis;
use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Outcome, Verified, run, tachograph, tachograph_in_s3, verify, verify_with};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::{export, get};
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::minio::Minio;
use tachograph_tests::otlp::{self, Events, request};
use tachograph_tests::seed::Random;
use tachograph_tests::{programs, stored, tree};

const PATIENCE: Duration = Duration::from_secs(60);

fn close(home: &Home) -> Outcome {
    tachograph(&[&"close", &home.data(), &"--json"])
}

/// A ledger of this name that continues the one in `old`.
fn continued(old: &Path, name: &str, more: &[&dyn AsRef<OsStr>]) -> Outcome {
    let new = old.parent().unwrap().join(name.replace('/', "-"));
    let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"init", &new, &"--name", &name, &"--continues", &old, &"--json"];
    arguments.extend(more);
    tachograph(&arguments)
}

fn next(home: &Home, name: &str) -> Home {
    let made = continued(&home.data(), name, &[]);
    made.expect(0, &[]);
    Home::of_ledger(PathBuf::from(made.json()["data"].as_str().unwrap()), SMALL)
}

fn send(collector: &Collector, events: &Events) {
    let answer = export(collector.http, "/v1/traces", &request(events.generations(20).1));
    assert_eq!(answer.status, 200, "{}", answer.text());
    collector.wait_archived();
}

/// A ledger with records, closed, its collector stopped.
fn closed(test: &str) -> (Home, Events) {
    let (home, events) = (Home::new(SMALL), Events::new(&mut Random::of_test(test)));
    let collector = home.start();
    send(&collector, &events);
    close(&home).expect(0, &[]);
    collector.stop();
    (home, events)
}

/// Journal and duplicate index are gone.
fn lose_journal(home: &Home) {
    for directory in ["journal", "dedup"] {
        for file in tree::files(&home.data().join(directory)) {
            fs::remove_file(file).unwrap();
        }
    }
}

/// What the recorder says in a ledger, in order.
fn actions(archive: &Path) -> Vec<String> {
    let bodies = stored::archived(archive);
    let bodies = bodies.iter().map(stored::Stored::body);
    let own = bodies.filter(|body| body["producer"] == "tachograph-collector");
    own.map(|body| body["action_type"].as_str().unwrap().to_owned()).collect()
}

fn count(archive: &Path, action: &str) -> usize {
    actions(archive).iter().filter(|found| *found == action).count()
}

/// An auditor who has the new ledger's key, and archives.
fn audit(new: &Home, previous: &[&Path]) -> Verified {
    verify_with(&new.archive(), previous, &[&"--key", &new.data().join("ledger.vkey")])
}

fn verdict(report: &Value, axis: Axis) -> &str {
    report["axes"][axis.as_str()]["verdict"].as_str().unwrap()
}

#[test]
fn a_ledger_closed_under_load_and_the_next_have_all_that_was_acknowledged() {
    let mut random = Random::of_test("close under load");
    let home = Home::new(SMALL);
    let load = Load::start(Settings::default(), &mut random);
    let old = home.start();
    load.aim(Some(old.http));
    old.wait_until("records", PATIENCE, |old| old.metric("tachograph_sealed_records_total") > 500.0);
    let told = close(&home);
    told.expect(0, &[]);
    let again = close(&home);
    again.expect(0, &["was closed already"]);
    assert_eq!(again.json(), told.json());

    // Senders come back, and are told to come back again; nobody is refused for good.
    let began = Instant::now();
    while load.refused().is_empty() {
        assert!(began.elapsed() < PATIENCE, "nobody was told that the ledger is closed");
        std::thread::sleep(Duration::from_millis(10));
    }
    load.aim(None);
    let refused: Vec<_> = load.refused().into_keys().collect();
    let come_back = |refused: &tachograph_tests::load::Refused| {
        refused.status == 503 && refused.retry_after.as_deref() == Some("5")
    };
    assert!(refused.iter().all(come_back), "{refused:?}");
    let ready = get(old.admin, "/readyz");
    assert_eq!((ready.status, ready.text().contains("closed")), (503, true), "{}", ready.text());
    assert!(old.metric("tachograph_closed") == 1.0);
    let sealed = stored::archived(&home.archive()).len();
    old.stop();

    let new = next(&home, "e2e.example/second");
    let collector = new.start();
    load.aim(Some(collector.http));
    collector.wait_until("records", PATIENCE, |new| new.metric("tachograph_sealed_records_total") > 300.0);
    load.drain();
    collector.wait_archived();
    collector.stop();

    let (before, after) = (stored::archived(&home.archive()), stored::archived(&new.archive()));
    // Behind the end there are the recorder's own alone.
    let end = told.json()["record"].as_u64().unwrap();
    assert!(before[end as usize..].iter().all(|record| record.body()["producer"] == "tachograph-collector"));
    assert!(before.len() >= sealed && after[0].body()["action_type"] == "ledger.continues");
    let (old, new_counts) = (stored::counts(&before), stored::counts(&after));
    let acknowledged = load.acknowledged();
    let lost = acknowledged.iter().filter(|id| !old.contains_key(*id) && !new_counts.contains_key(*id)).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    for counts in [&old, &new_counts] {
        assert!(counts.values().all(|count| *count == 1), "nothing is twice in one ledger");
    }
    // A sender keeps its last batch and may send it again after the border: that, and nothing else, is in both.
    let both = old.keys().filter(|id| new_counts.contains_key(*id)).count();
    assert!(both <= Settings::default().senders * Settings::default().batch, "{both} are in both");
    let verified = audit(&new, &[&home.archive()]);
    verified.expect_clean();
    assert_eq!(verified.report["previous"][0]["closed"], told.json()["record"]);
    assert_eq!(verdict(&verified.report["previous"][0], Axis::NonEquivocation), "pass");
}

#[test]
fn a_closed_ledger_takes_no_record_after_a_restart_and_goes_on_for_itself() {
    let (home, _) = closed("restart");
    let before = stored::archived(&home.archive()).len();
    // Ports that nobody may have twice are free.
    let taken = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let collector = home.start_at(taken[0].local_addr().unwrap(), taken[1].local_addr().unwrap());
    assert_eq!((collector.grpc.port(), collector.http.port()), (0, 0));
    let ready = get(collector.admin, "/readyz");
    assert_eq!((ready.status, ready.text().as_str()), (503, "closed: this ledger takes no more records\n"));
    assert_eq!(get(collector.admin, "/healthz").status, 200);
    collector.wait_archived();
    let told = close(&home);
    told.expect(0, &["was closed already"]);
    collector.stop();
    assert!(home.log_text().contains("this ledger is closed and takes no records of senders: no OTLP port is open"));
    let said = actions(&home.archive());
    assert_eq!(count(&home.archive(), "ledger.closed"), 1, "{said:?}");
    assert_eq!(said.last().map(String::as_str), Some("collector.stop"));
    assert!(stored::archived(&home.archive()).len() > before);
    verify(&home.data(), &[]).expect_clean();

    let checked = tachograph(&[&"check", &"--data", &home.data(), &"--config", &home.config()]);
    checked.expect(0, &["the ledger is closed"]);

    // A directory that lost its mark, or was put back from before the end, is closed all the same.
    let unmarked = home.copy();
    fs::remove_file(unmarked.data().join("closed")).unwrap();
    let collector = unmarked.start();
    assert_eq!(collector.http.port(), 0);
    collector.stop();
    assert!(unmarked.data().join("closed").is_file());
    fs::remove_file(unmarked.data().join("closed")).unwrap();
    lose_journal(&unmarked);
    let collector = unmarked.spawn_with(&["--journal-lost"]).ready();
    assert_eq!(collector.http.port(), 0);
    collector.wait_archived();
    collector.stop();
    // Nor is one open whose journal begins behind the statement.
    fs::remove_file(unmarked.data().join("closed")).unwrap();
    let collector = unmarked.start();
    assert_eq!(collector.http.port(), 0);
    collector.wait_archived();
    collector.stop();
    assert_eq!(count(&unmarked.archive(), "ledger.closed"), 1);
    verify(&unmarked.data(), &[]).expect_clean();

    // Without a collector a closed ledger's end is told all the same, and an open one's is not made.
    close(&home).expect(0, &["was closed already"]);
    let open = Home::new(SMALL);
    close(&open).expect(2, &["no collector runs", "Start it"]);
    assert!(!open.data().join("closed").exists());
}

#[test]
fn a_kill_between_the_mark_and_the_statement_leaves_a_closed_ledger() {
    let (home, events) = (Home::new(SMALL), Events::new(&mut Random::of_test("marked")));
    let collector = home.start();
    send(&collector, &events);
    collector.kill();
    // As the writer leaves it: the mark is durable, and nothing is sealed behind it.
    let from = stored::read(&home.data()).len();
    let mark = format!("{{\"by\":\"uid:1000\",\"format\":\"1\",\"from\":\"{from}\"}}\n");
    fs::write(home.data().join("closed"), mark).unwrap();
    let copy = home.copy();

    for _ in 0..2 {
        let collector = home.start();
        assert_eq!(collector.http.port(), 0);
        collector.wait_archived();
        collector.kill();
    }
    assert_eq!(count(&home.archive(), "ledger.closed"), 1);
    let bodies = stored::archived(&home.archive());
    let statement =
        bodies.iter().map(stored::Stored::body).find(|body| body["action_type"] == "ledger.closed").unwrap();
    assert_eq!(
        (&statement["actor_id"], &statement["details"]),
        (&json!("uid:1000"), &json!({"ledger": "e2e.example/ai-audit"}))
    );
    close(&home).expect(0, &["was closed already"]);
    verify(&home.data(), &[]).expect_clean();

    // Whoever rolls the ledger back behind its mark is not obeyed.
    let mark = format!("{{\"by\":\"uid:1000\",\"format\":\"1\",\"from\":\"{}\"}}\n", from + 1);
    fs::write(copy.data().join("closed"), mark).unwrap();
    copy.refused().expect(2, &["was closed at record", "Restore the journal"]);
    fs::write(copy.data().join("closed"), "{}\n").unwrap();
    copy.refused().expect(2, &["not the mark of a closed ledger"]);
}

#[test]
fn a_closed_ledger_whose_journal_is_lost_ends_where_its_archive_does() {
    let (home, events) = (Home::new(SMALL), Events::new(&mut Random::of_test("lost end")));
    let collector = home.start();
    send(&collector, &events);
    collector.kill();
    // Closed behind three records that were in the journal alone.
    let from = stored::read(&home.data()).len() + 3;
    fs::write(home.data().join("closed"), format!("{{\"by\":\"uid:1000\",\"format\":\"1\",\"from\":\"{from}\"}}\n"))
        .unwrap();
    home.refused_with(&["--journal-lost"]).expect(2, &["was closed at record", "move what is left in journal/"]);
    lose_journal(&home);
    home.refused().expect(2, &["holds no journal", "--journal-lost"]);
    let collector = home.spawn_with(&["--journal-lost"]).ready();
    assert_eq!(collector.http.port(), 0);
    collector.wait_archived();
    // Nothing more is asked for from here on.
    collector.kill();
    let collector = home.start();
    assert_eq!(collector.http.port(), 0);
    collector.wait_archived();
    close(&home).expect(0, &["was closed already"]);
    collector.stop();
    assert!(home.log_text().contains("are lost with the journal"));
    assert_eq!(count(&home.archive(), "ledger.closed"), 1);
    verify(&home.data(), &[]).expect_clean();
    next(&home, "e2e.example/second");
}

#[test]
fn a_kill_while_a_ledger_is_closed_leaves_it_open_or_closed_once() {
    let mut random = Random::of_test("kill while closing");
    for round in 0..6 {
        let home = Home::new(SMALL);
        let load = Load::start(Settings::default(), &mut random);
        let collector = home.start();
        load.aim(Some(collector.http));
        collector.wait_until("records", PATIENCE, |old| old.metric("tachograph_sealed_records_total") > 100.0);
        let closing = std::thread::spawn({
            let data = home.data();
            move || tachograph(&[&"close", &data, &"--json"])
        });
        std::thread::sleep(Duration::from_millis(random.below(40)));
        collector.kill();
        load.aim(None);
        let told = closing.join().unwrap();
        let marked = home.data().join("closed").exists();
        assert!(marked || told.code != 0, "round {round}: {told:?}");
        let collector = home.start();
        assert_eq!(collector.http.port() == 0, marked, "round {round}");
        if !marked {
            load.aim(Some(collector.http));
            load.drain();
        }
        collector.wait_archived();
        collector.stop();
        assert_eq!(count(&home.archive(), "ledger.closed"), usize::from(marked), "round {round}");
        let acknowledged = load.acknowledged();
        stored::expect_once(&stored::counts(&stored::read(&home.data())), &acknowledged);
        verify(&home.data(), &[]).expect_clean();
    }
}

#[test]
fn a_ledger_is_continued_only_when_it_is_closed_and_by_another_name() {
    let (home, events) = (Home::new(SMALL), Events::new(&mut Random::of_test("refusals")));
    let (data, archive, vkey) = (home.data(), home.archive(), home.data().join("ledger.vkey"));
    let collector = home.start();
    send(&collector, &events);
    continued(&data, "e2e.example/second", &[]).expect(2, &["is not closed", "tachograph close"]);
    continued(&archive, "e2e.example/second", &[&"--previous-key", &vkey]).expect(2, &["is not closed"]);
    // One that is closed by its mark, and whose archive does not say so yet; and one that is not there.
    let marked = home.copy();
    fs::write(marked.data().join("closed"), "{\"by\":\"uid:1000\",\"format\":\"1\",\"from\":\"21\"}\n").unwrap();
    continued(&marked.data(), "e2e.example/second", &[]).expect(2, &["is closed, but", "no checkpoint yet"]);
    continued(&data.with_file_name("nowhere"), "e2e.example/second", &[]).expect(2, &["nowhere", "nothing is there"]);
    close(&home).expect(0, &[]);
    collector.stop();
    continued(&data, "e2e.example/ai-audit", &[]).expect(2, &["is the name of the ledger", "--name"]);
    continued(&archive, "e2e.example/second", &[]).expect(2, &["--previous-key"]);
    let other = Home::new(SMALL);
    let foreign = other.data().join("ledger.vkey");
    continued(&archive, "e2e.example/second", &[&"--previous-key", &foreign]).expect(2, &["is of the key"]);
    let from_archive = continued(&archive, "e2e.example/third", &[&"--previous-key", &vkey]);
    from_archive.expect(0, &[]);
    assert_eq!(from_archive.json()["continues"]["ledger"], "e2e.example/ai-audit");

    // An archive that was put back from an older copy than the directory remembers.
    let rolled_back = home.copy();
    let newest = tree::files(&rolled_back.archive().join("commit")).into_iter().max().unwrap();
    fs::remove_file(newest).unwrap();
    continued(&rolled_back.data(), "e2e.example/second", &[]).expect(2, &["tachograph verify"]);
    // What was begun and interrupted is opened by nobody.
    let new = next(&home, "e2e.example/second");
    fs::write(new.data().join("unfinished"), "").unwrap();
    new.refused().expect(2, &["half made", "init --continues"]);
}

#[test]
fn three_ledgers_are_verified_together_in_any_order() {
    let (first, events) = closed("three");
    let second = next(&first, "e2e.example/second");
    let collector = second.start();
    send(&collector, &events);
    close(&second).expect(0, &[]);
    // Its statements after that are part of it.
    collector.stop();
    let third = next(&second, "e2e.example/third");
    let collector = third.start();
    send(&collector, &events);
    collector.stop();

    let (a, b) = (first.archive(), second.archive());
    for previous in [[&*a, &*b], [&*b, &*a]] {
        let verified = audit(&third, &previous);
        verified.expect_clean();
        let older = verified.report["previous"].as_array().unwrap();
        let names: Vec<&str> = older.iter().map(|report| report["ledger"].as_str().unwrap()).collect();
        assert_eq!(names, ["e2e.example/second", "e2e.example/ai-audit"]);
        assert!(older.iter().all(|report| verdict(report, Axis::NonEquivocation) == "pass"), "{older:#?}");
        assert!(older.iter().all(|report| verdict(report, Axis::Authenticity) == "pass"), "{older:#?}");
    }
    let alone = audit(&third, &[]);
    alone.expect_clean();
    assert_eq!(alone.report["continues"]["checked"], false);
    assert_eq!(alone.verdict(Axis::Completeness), "incomplete");
    assert!(alone.report["axes"]["completeness"]["reasons"].to_string().contains("--previous"), "{:#}", alone.report);
    // Numbers may stand further back than anybody looked.
    let two = audit(&third, &[&b]);
    two.expect_clean();
    let reasons = two.report["axes"]["completeness"]["reasons"].to_string();
    assert!(reasons.contains("continue ledger e2e.example/ai-audit, which was not checked"), "{reasons}");
    // One that is missing between, and one that nobody continues: said, and not passed over.
    let gap = audit(&third, &[&a]);
    assert_eq!(gap.code, 2, "{:#}", gap.report);
    assert!(gap.report["previous"][0].to_string().contains("none of the ledgers that were given"), "{:#}", gap.report);
    // Data directories, and the program that has no network.
    verify_with(&third.data(), &[&first.data(), &second.data()], &[]).expect_clean();
    let mut alone = programs::verifier();
    alone.arg(third.archive()).args(["--json", "--key"]).arg(third.data().join("ledger.vkey"));
    alone.arg("--previous").arg(&a).arg("--previous").arg(&b);
    let outcome = run(alone);
    assert_eq!((outcome.code, Verified::of(&outcome).report["previous"].as_array().map(Vec::len)), (0, Some(2)));
    let told =
        tachograph(&[&"verify", &third.archive(), &"--key", &third.data().join("ledger.vkey"), &"--previous", &b]);
    assert!(told.stdout.contains("continues ledger e2e.example/second from its"), "{}", told.stdout);
    assert!(told.stdout.contains("closed by record"), "{}", told.stdout);
}

#[test]
fn a_ledger_that_continues_another_gives_bundles_and_tiles() {
    let (first, events) = closed("bundles");
    let second = next(&first, "e2e.example/second");
    let collector = second.start();
    send(&collector, &events);
    collector.stop();
    let records = stored::archived(&second.archive());
    assert_eq!(records[0].body()["action_type"], "ledger.continues");
    let event = records.iter().map(stored::Stored::body).find(|body| body["kind"] == "generation").unwrap();
    let (id, session) = (event["event_id"].as_str().unwrap(), event["session_id"].as_str().unwrap());
    let (bundle, of_session) = (second.config().with_file_name("bundle"), second.config().with_file_name("session"));
    let tiles = second.config().with_file_name("tiles");
    tachograph(&[&"prove", &id, &"--data", &second.data(), &"-o", &bundle]).expect(0, &[]);
    tachograph(&[&"prove", &"--session", &session, &"--data", &second.data(), &"-o", &of_session]).expect(0, &[]);
    for bundle in [bundle, of_session] {
        tachograph(&[&"verify", &bundle, &"--key", &second.data().join("ledger.vkey")]).expect(0, &[]);
    }
    tachograph(&[&"export-tlog", &second.archive(), &"--output", &tiles]).expect(0, &[]);
    assert!(tiles.join("checkpoint").is_file());
    // A session of the closed ledger is shown whole to its end.
    let old = stored::archived(&first.archive());
    let event = old.iter().map(stored::Stored::body).find(|body| body["kind"] == "generation").unwrap();
    let whole = first.config().with_file_name("whole");
    let session = event["session_id"].as_str().unwrap();
    tachograph(&[&"prove", &"--session", &session, &"--data", &first.data(), &"-o", &whole]).expect(0, &[]);
    let verified = verify(&whole, &[&"--key", &first.data().join("ledger.vkey")]);
    assert_eq!((verified.code, verified.verdict(Axis::Completeness)), (0, "pass"), "{:#}", verified.report);
}

#[test]
fn a_closed_ledger_in_a_bucket_is_held_continued_and_verified_there() {
    let server = Minio::start();
    let bucket = Bucket::make(&server, Mode::Governance);
    let (home, events) = (Home::in_s3(&bucket.config()), Events::new(&mut Random::of_test("bucket")));
    let (data, vkey) = (home.data().display().to_string(), home.data().join("ledger.vkey").display().to_string());
    let collector = home.start();
    send(&collector, &events);
    tachograph_in_s3(&["close", &data]).expect(0, &[]);
    collector.stop();
    // What is to be said of its bodies is said behind its end.
    let collector = home.start();
    assert_eq!(collector.http.port(), 0);
    let held = tachograph_in_s3(&["hold", "add", "--data", &data, "--actor", "user-1", "--reason", "case 7"]);
    held.expect(0, &[]);
    tachograph_in_s3(&["key", "rotate", &data]).expect(0, &[]);
    collector.stop();

    let new = home.config().with_file_name("second");
    let (place, name) = (bucket.url(), "e2e.example/second");
    let path = new.display().to_string();
    let arguments = ["init", &*path, "--name", name, "--continues", &*place, "--previous-key", &*vkey];
    tachograph_in_s3(&arguments).expect(0, &[]);
    let new = Home::of_ledger(new, SMALL);
    let collector = new.start();
    send(&collector, &events);
    collector.stop();
    let (archive, key) = (new.archive().display().to_string(), new.data().join("ledger.vkey").display().to_string());
    let verified =
        Verified::of(&tachograph_in_s3(&["verify", &archive, "--key", &key, "--previous", &place, "--json"]));
    verified.expect_clean();
    let previous = &verified.report["previous"][0];
    assert_eq!(verdict(previous, Axis::NonEquivocation), "pass", "{previous:#}");
    assert_eq!(verdict(previous, Axis::Storage), "pass", "{previous:#}");
    assert_eq!(previous["keys"].as_array().map(Vec::len), Some(2));
}

/// What an auditor is told who is given `arguments`.
fn told(arguments: &[&dyn AsRef<OsStr>]) -> Verified {
    let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"verify", &"--json"];
    all.extend(arguments);
    Verified::of(&tachograph(&all))
}

#[test]
fn what_an_unverified_ledger_says_of_the_one_before_verifies_nothing() {
    let (old, events) = closed("doubt");
    let new = next(&old, "e2e.example/second");
    let collector = new.start();
    send(&collector, &events);
    collector.stop();
    let (archive, before, vkey) = (new.archive(), old.archive(), new.data().join("ledger.vkey"));
    let sound = audit(&new, &[&before]);
    assert_eq!((sound.code, &sound.report["overall"]), (0, &json!("verified")));

    // Nobody gave the newest one's key; somebody gave another's.
    let foreign = old.data().join("ledger.vkey");
    let unknown = told(&[&archive, &"--previous", &before]);
    let failed = told(&[&archive, &"--previous", &before, &"--key", &foreign]);
    for (verified, code, overall) in [(unknown, 2, "not_verified_in_full"), (failed, 1, "tampered")] {
        assert_eq!((verified.code, &verified.report["overall"]), (code, &json!(overall)), "{:#}", verified.report);
        let previous = &verified.report["previous"][0];
        for axis in [Axis::Authenticity, Axis::NonEquivocation] {
            assert_eq!(verdict(previous, axis), "incomplete", "{previous:#}");
            assert!(previous["axes"][axis.as_str()]["reasons"].to_string().contains("e2e.example/second says"));
        }
    }
    // Its own data directory has its key too; of its end that says nothing.
    let known = told(&[&archive, &"--previous", &old.data()]);
    let previous = &known.report["previous"][0];
    assert_eq!(
        (verdict(previous, Axis::Authenticity), verdict(previous, Axis::NonEquivocation)),
        ("pass", "incomplete")
    );
    // In words, the last is what all of them come to.
    let words = tachograph(&[&"verify", &archive, &"--previous", &before, &"--key", &vkey]);
    assert_eq!(
        words.stdout.trim_end().lines().last(),
        Some("All 2 ledgers together: VERIFIED on every required axis.")
    );
}

#[test]
fn a_ledger_that_cannot_be_read_costs_the_others_nothing() {
    let (old, events) = closed("unreadable");
    let new = next(&old, "e2e.example/second");
    let unarchived = told(&[&new.data(), &"--previous", &old.data()]);
    assert_eq!(unarchived.code, 2);
    assert!(unarchived.report["unreadable"].to_string().contains("nothing is archived in"), "{:#}", unarchived.report);
    let collector = new.start();
    send(&collector, &events);
    collector.stop();

    // Its name is gone: the next one knows it, and its key.
    for damage in [None, Some("{}\n")] {
        let nameless = old.copy();
        let identity = nameless.archive().join("ledger.json");
        fs::remove_file(&identity).unwrap();
        if let Some(text) = damage {
            fs::write(&identity, text).unwrap();
        }
        let verified = audit(&new, &[&nameless.archive()]);
        let previous = &verified.report["previous"][0];
        assert_eq!((verified.code, previous["ledger"].as_str()), (1, Some("e2e.example/ai-audit")), "{previous:#}");
        assert_eq!((verdict(previous, Axis::Integrity), verdict(previous, Axis::NonEquivocation)), ("fail", "pass"));
        assert!(previous["findings"].to_string().contains("ledger.json"), "{previous:#}");
        assert_eq!(verified.verdict(Axis::Authenticity), "pass");
    }
    // There is nothing at all.
    let nowhere = old.config().with_file_name("nowhere");
    let verified = audit(&new, &[&nowhere]);
    assert_eq!((verified.code, verified.verdict(Axis::Integrity)), (2, "pass"), "{:#}", verified.report);
    let previous = &verified.report["previous"][0];
    assert!(previous["unreadable"][0].as_str().is_some_and(|what| what.contains("nowhere")), "{previous:#}");
    assert_eq!(
        (verdict(previous, Axis::Integrity), &verified.report["continues"]["checked"]),
        ("incomplete", &json!(false))
    );
    // What fails is told, and is the worst.
    let key = old.data().join("ledger.vkey");
    assert_eq!(told(&[&new.archive(), &"--previous", &nowhere, &"--key", &key]).code, 1);
    let mut program = programs::verifier();
    program.arg(new.archive()).args(["--json", "--key"]).arg(&key).arg("--previous").arg(&nowhere);
    let outcome = run(program);
    assert_eq!((outcome.code, Verified::of(&outcome).report["previous"].as_array().map(Vec::len)), (1, Some(1)));
}

#[test]
fn what_is_given_of_one_ledger_is_asked_of_that_one_alone() {
    let (old, events) = closed("asked");
    let new = next(&old, "e2e.example/second");
    let collector = new.start();
    send(&collector, &events);
    collector.stop();
    let (archive, before, vkey) = (new.archive(), old.archive(), new.data().join("ledger.vkey"));
    let all = [&archive as &dyn AsRef<OsStr>, &"--previous", &before, &"--key", &vkey];
    let with = |more: [&dyn AsRef<OsStr>; 2]| told(&[&all[..], &more[..]].concat());
    let checkpoint = old.data().join("checkpoint");
    let verified = with([&"--checkpoint", &checkpoint]);
    verified.expect_clean();
    assert_eq!(verified.verdict(Axis::NonEquivocation), "incomplete");
    // So it is with receipts; those of nobody here are asked of the newest.
    let receipt = |ledger: &str, name: &str| {
        let path = old.config().with_file_name(name);
        let line = format!("tachograph-receipt/v1 {ledger} 3 - -\n");
        fs::write(&path, line).unwrap();
        path
    };
    let (of_old, of_nobody) = (receipt("e2e.example/ai-audit", "old"), receipt("e2e.example/other", "nobody"));
    let verified = with([&"--receipts", &of_old]);
    verified.expect_clean();
    assert_eq!(verified.report["previous"][0]["receipts"]["without_hash"], 1);
    assert_eq!(with([&"--receipts", &of_nobody]).code, 2);
}

#[test]
fn a_producer_that_goes_on_over_the_border_is_complete_and_one_whose_record_was_withheld_is_not() {
    for withheld in [false, true] {
        let home = Home::new(SMALL);
        let events = Events::new(&mut Random::of_test("border"));
        let post = |collector: &Collector, spans: Vec<Span>| {
            assert_eq!(export(collector.http, "/v1/traces", &request(spans)).status, 200);
            collector.wait_archived();
        };
        let span = || events.generation().1;
        let collector = home.start();
        // Number 2 was under way when the ledger was closed, and goes to the next.
        post(&collector, vec![otlp::numbered(span(), 0), otlp::numbered(span(), 1), otlp::numbered(span(), 3)]);
        close(&home).expect(0, &[]);
        collector.stop();
        let new = next(&home, "e2e.example/second");
        let collector = new.start();
        let late = (!withheld).then(|| otlp::numbered(span(), 2));
        post(&collector, late.into_iter().chain([otlp::numbered(span(), 4), otlp::closes(span(), 5)]).collect());
        collector.stop();

        let alone = audit(&new, &[]);
        assert_eq!((alone.code, alone.verdict(Axis::Completeness)), (0, "incomplete"), "{:#}", alone.report);
        let both = audit(&new, &[&home.archive()]);
        let starts = both.report["producers"].as_array().unwrap();
        let start = starts.iter().find(|start| start["producer"] == "svc").unwrap();
        let expected = if withheld { (1, "fail", 1) } else { (0, "pass", 0) };
        assert_eq!((both.code, both.verdict(Axis::Completeness)), (expected.0, expected.1), "{:#}", both.report);
        assert_eq!((&start["state"], &start["missing"]), (&json!("closed"), &json!(expected.2)));
        // In the closed ledger it is open, and that is said.
        assert_eq!(verdict(&both.report["previous"][0], Axis::Completeness), "incomplete");
        // Of the closed ledger's recorder nothing is said in the new one's report.
        let recorders = |starts: &Value| -> Vec<String> {
            let own = starts.as_array().unwrap().iter().filter(|start| start["producer"] == "tachograph-collector");
            own.map(|start| start["epoch"].to_string()).collect()
        };
        let (earlier, later) =
            (recorders(&both.report["previous"][0]["producers"]), recorders(&both.report["producers"]));
        assert!(!earlier.is_empty() && later.iter().all(|epoch| !earlier.contains(epoch)), "{earlier:?} {later:?}");
    }
}

#[test]
fn a_record_that_came_too_late_for_its_ledger_is_looked_for_in_the_next() {
    for withheld in [false, true] {
        let home = Home::new(SMALL);
        let events = Events::new(&mut Random::of_test("late"));
        let post = |collector: &Collector, spans: Vec<Span>| {
            assert_eq!(export(collector.http, "/v1/traces", &request(spans)).status, 200);
            collector.wait_archived();
        };
        let span = || events.generation().1;
        let collector = home.start();
        // It closed while number 2 was still under way.
        post(&collector, vec![otlp::numbered(span(), 0), otlp::numbered(span(), 1), otlp::closes(span(), 3)]);
        close(&home).expect(0, &[]);
        collector.stop();
        let new = next(&home, "e2e.example/second");
        let collector = new.start();
        let own = || otlp::with(span(), &[]);
        post(&collector, if withheld { vec![own()] } else { vec![otlp::numbered(span(), 2)] });
        collector.stop();

        // Alone the closed ledger can't say.
        let alone = verify(&home.archive(), &[&"--key", &home.data().join("ledger.vkey")]);
        assert_eq!((alone.code, alone.verdict(Axis::Completeness)), (0, "incomplete"), "{:#}", alone.report);
        let reasons = alone.report["axes"]["completeness"]["reasons"].to_string();
        assert!(reasons.contains("or stand in the ledger that continues this one"), "{reasons}");
        let both = audit(&new, &[&home.archive()]);
        let expected = if withheld { (1, "fail") } else { (0, "pass") };
        assert_eq!((both.code, both.verdict(Axis::Completeness)), expected, "{:#}", both.report);
        assert_eq!(verdict(&both.report["previous"][0], Axis::Completeness), "incomplete");
    }
}

#[test]
fn the_tail_of_a_closed_ledger_that_was_cut_is_missed_by_the_next() {
    let (home, events) = closed("cut");
    let new = next(&home, "e2e.example/second");
    let collector = new.start();
    send(&collector, &events);
    collector.stop();
    audit(&new, &[&home.archive()]).expect_clean();

    // Everything of the newest commits goes, up to and with the one that closes it: what is left was signed by the ledger's key.
    let (cut, vkey) = (home.copy(), home.data().join("ledger.vkey"));
    let number_of = |path: &Path| path.file_name()?.to_str()?.get(..20)?.parse::<u64>().ok();
    let end = audit(&new, &[&home.archive()]).report["previous"][0]["closed"].as_u64().unwrap();
    let commits = tree::files(&cut.archive().join("commit"));
    let left = commits.iter().filter_map(|path| number_of(path)).filter(|first| *first <= end).max().unwrap();
    for path in tree::files(&cut.archive()) {
        let is_checkpoint = path.parent().unwrap().ends_with("checkpoint");
        if number_of(&path).is_some_and(|number| number > left || number == left && !is_checkpoint) {
            fs::remove_file(path).unwrap();
        }
    }
    let alone = verify(&cut.archive(), &[&"--key", &vkey]);
    assert_eq!(alone.code, 0, "by itself nothing shows: {:#}", alone.report);
    let verified = audit(&new, &[&cut.archive()]);
    let previous = &verified.report["previous"][0];
    assert_eq!((verified.code, verdict(previous, Axis::NonEquivocation)), (1, "fail"), "{:#}", verified.report);
    assert!(previous.to_string().contains("the ledger that continues this one remembers"), "{previous:#}");
}

#[test]
fn another_ledger_of_the_same_name_is_not_the_one_before() {
    let (home, events) = closed("name");
    let (other, _) = closed("other of the name");
    let new = next(&home, "e2e.example/second");
    let collector = new.start();
    send(&collector, &events);
    collector.stop();
    let verified = audit(&new, &[&other.archive()]);
    let previous = &verified.report["previous"][0];
    assert_eq!((verified.code, verdict(previous, Axis::Authenticity)), (1, "fail"), "{:#}", verified.report);
}
