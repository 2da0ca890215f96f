//! Bodies are kept as long as their class says and as holds say, then destroyed with a certificate, and the rest still verifies:
//! in a directory and in a bucket with Object Lock alike, by the commands that an operator runs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph_exporters::verify::Axis;
use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Outcome, Verified, tachograph_in_s3, verify};
use tachograph_tests::home::Home;
use tachograph_tests::http::{Connection, PROTOBUF};
use tachograph_tests::minio::Minio;
use tachograph_tests::otlp::{Events, request, with};
use tachograph_tests::seed::Random;
use tachograph_tests::tree::files;

static SERVER: LazyLock<Minio> = LazyLock::new(Minio::start);

/// How long prompts are kept: enough to add a hold before that, not more.
const KEEP: Duration = Duration::from_secs(6);

fn retention() -> String {
    format!(
        "  retention:\n\
         \x20   default: 30d\n\
         \x20   classes:\n\
         \x20     - {{ name: high-risk, when: \"risk == 'high'\", keep: 60d }}\n\
         \x20     - {{ name: prompts, when: \"kind == 'generation'\", keep: {}s }}\n",
        KEEP.as_secs()
    )
}

/// A ledger with retention, its collector, and where an auditor finds the archive.
struct Scene {
    home: Home,
    collector: Collector,
    archive: Archive,
    events: Events,
    born: Instant,
}

enum Archive {
    Directory,
    Bucket(Bucket),
}

impl Scene {
    fn in_a_directory(name: &str) -> Self {
        let home = Home::new(&format!("archive:\n  max_age: 100ms\n{}", retention()));
        Self::begin(home, Archive::Directory, name)
    }

    fn in_a_bucket(name: &str, mode: Mode) -> Self {
        let bucket = Bucket::make(&SERVER, mode);
        let s3 = format!(
            "  s3: {{ bucket: {}, prefix: prod/, region: us-east-1, endpoint: \"{}\", mode: {} }}\n",
            bucket.name(),
            SERVER.endpoint(),
            mode.as_str()
        );
        let home = Home::in_s3(&format!("archive:\n  max_age: 100ms\n{s3}{}", retention()));
        Self::begin(home, Archive::Bucket(bucket), name)
    }

    fn begin(home: Home, archive: Archive, name: &str) -> Self {
        let collector = home.start();
        Self { home, collector, archive, events: Events::new(&mut Random::of_test(name)), born: Instant::now() }
    }

    /// Sends that many generations, of ten to a session, and gives the id of the first.
    fn send(&self, count: usize, attributes: &[(&str, &str)]) -> String {
        let (ids, spans) = self.events.generations(count);
        let spans = spans.into_iter().map(|span| with(span, attributes)).collect();
        let mut connection = Connection::open(self.collector.http).unwrap();
        let answer = connection.post("/v1/traces", PROTOBUF, &request(spans)).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.collector.wait_archived();
        ids[0].to_string()
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let data = self.home.data();
        let data = data.to_str().unwrap();
        tachograph_in_s3(&[arguments, &["--data", data, "--json"]].concat())
    }

    fn said(&self, arguments: &[&str]) -> Value {
        let outcome = self.run(arguments);
        outcome.expect(0, &[]);
        outcome.json()
    }

    fn hold(&self, arguments: &[&str]) -> Value {
        self.said(&[&["hold", "add", "--reason", "case 7"], arguments].concat())
    }

    /// Objects of a class and what is the matter with each.
    fn states(&self, class: &str) -> Vec<String> {
        let report = self.said(&["retention", "report"]);
        let items = report["items"].as_array().unwrap().iter().filter(|item| item["class"] == class);
        items.map(|item| item["state"].as_str().unwrap().to_owned()).collect()
    }

    fn wait_past_the_date(&self) {
        // The date counts from when the segment was written, to the second.
        let past = KEEP + Duration::from_secs(3);
        sleep(past.saturating_sub(self.born.elapsed()));
    }

    fn verify(&self) -> Verified {
        verify_at(&self.home, &self.archive)
    }
}

fn verify_at(home: &Home, archive: &Archive) -> Verified {
    let key = home.data().join("ledger.vkey");
    match archive {
        Archive::Directory => verify(&home.archive(), &[&"--key", &key]),
        Archive::Bucket(bucket) => bucket.verify(&["--key", key.to_str().unwrap()]),
    }
}

/// The whole life of a record's body.
fn expiry(mut scene: Scene) -> Scene {
    scene.send(10, &[]);
    scene.send(3, &[("risk", "high")]);
    scene.born = Instant::now();
    let held = scene.hold(&["--session", "session-0"]);
    let hold = held["hold"].as_str().unwrap().to_owned();
    assert_eq!(scene.states("prompts"), ["kept"]);
    assert_eq!(scene.said(&["expire", "--yes"])["destroyed"], json!([]), "nothing is past its date");

    scene.wait_past_the_date();
    assert_eq!(scene.states("prompts"), ["held"]);
    assert_eq!(scene.said(&["expire", "--yes"])["destroyed"], json!([]), "a hold keeps it");

    // What comes later and answers to the hold is held too, though nobody marked it.
    scene.said(&["hold", "release", &hold, "--reason", "settled"]);
    assert_eq!(scene.states("prompts"), ["due"]);
    scene.run(&["hold", "release", &hold, "--reason", "again"]).expect(0, &["lifted already", "settled"]);

    let shown = scene.said(&["expire"]);
    assert_eq!(shown["would_destroy"].as_array().unwrap().len(), 1);
    assert_eq!(scene.states("prompts"), ["due"], "without --yes nothing is destroyed");
    let done = scene.said(&["expire", "--yes"]);
    assert_eq!(done["destroyed"].as_array().unwrap().len(), 1, "{done:#}");
    assert_eq!(done["certificates"].as_array().unwrap().len(), 1);
    assert_eq!(
        (scene.states("prompts"), scene.states("high-risk")),
        (vec!["destroyed".to_owned()], vec!["kept".to_owned()])
    );
    let report = scene.said(&["retention", "report"]);
    let destroyed = report["items"].as_array().unwrap().iter().find(|item| item["class"] == "prompts").unwrap();
    assert_eq!(destroyed["certificate"], done["certificates"][0]);

    let verified = scene.verify();
    verified.expect_clean();
    assert_eq!(verified.report["destroyed"], 10);
    assert_eq!(verified.report["records"].as_u64().unwrap(), verified.report["bodies"].as_u64().unwrap() + 10);
    scene
}

#[test]
fn bodies_expire_in_a_directory() {
    expiry(Scene::in_a_directory("retention/directory")).collector.stop();
}

#[test]
fn bodies_expire_in_a_bucket() {
    let scene = expiry(Scene::in_a_bucket("retention/compliance", Mode::Compliance));
    scene.collector.stop();

    // What the recorder says is read as it was archived, whoever hides it or puts something in front: what it certifies stays certified.
    let Archive::Bucket(bucket) = &scene.archive else { panic!("no bucket") };
    let statements = |path: &String| path.starts_with("records/class=recorder/");
    let statements: Vec<String> = bucket.paths().into_iter().filter(statements).collect();
    bucket.write(&statements[0], b"forged");
    statements[1..].iter().for_each(|path| bucket.hide(path));
    let verified = verify_at(&scene.home, &scene.archive);
    for axis in [Axis::Integrity, Axis::Authenticity, Axis::Coverage] {
        assert_eq!(verified.verdict(axis), "pass", "{axis:?}: {:#}", verified.report);
    }
    assert_eq!(
        (verified.verdict(Axis::Storage), &verified.report["destroyed"]),
        ("fail", &json!(10)),
        "{:#}",
        verified.report
    );
    let findings = verified.report["findings"].as_array().unwrap();
    for path in &statements {
        assert!(findings.iter().any(|finding| finding["object"] == *path), "{path}: {:#}", verified.report);
    }
}

#[test]
fn a_hold_is_a_question_and_heeds_what_comes_later() {
    let mut scene = Scene::in_a_bucket("retention/later", Mode::Governance);
    // Nothing answers to it yet.
    assert_eq!(scene.hold(&["--actor", "user-3"])["objects_marked"], 0);
    scene.send(10, &[]);
    scene.born = Instant::now();
    let event = scene.send(1, &[]);
    assert_eq!(scene.hold(&["--event", &event])["objects_marked"], 1, "the store's own hold is set too");
    scene.wait_past_the_date();
    assert_eq!(scene.states("prompts"), ["held", "held"]);
    let report = scene.said(&["retention", "report"]);
    let by = |at: usize| report["items"][at]["by"].to_string();
    let items: Vec<usize> = (0..report["items"].as_array().unwrap().len())
        .filter(|at| report["items"][*at]["class"] == "prompts")
        .collect();
    assert!(!by(items[0]).contains("of the store") && by(items[1]).contains("of the store"), "{report:#}");
    scene.collector.stop();
}

/// Whoever may delete without a version, or write, can hide what is locked and put something else in front of it. Our own hand must not
/// destroy for him what he can't destroy.
#[test]
fn a_hold_that_somebody_hides_still_holds() {
    for forged in [false, true] {
        let mut scene = Scene::in_a_bucket("retention/hidden", Mode::Compliance);
        scene.hold(&["--session", "session-0"]);
        scene.send(10, &[]);
        scene.born = Instant::now();
        scene.wait_past_the_date();
        let Archive::Bucket(bucket) = &scene.archive else { unreachable!() };
        for path in bucket.paths().iter().filter(|path| path.starts_with("records/")) {
            if forged {
                bucket.write(path, b"forged");
            } else {
                bucket.hide(path);
            }
        }
        assert_eq!(scene.states("prompts"), ["held"]);
        assert_eq!(scene.said(&["expire", "--yes"])["destroyed"], json!([]));
        let verified = scene.verify();
        assert_eq!((verified.code, verified.verdict(Axis::Storage)), (1, "fail"), "{:#}", verified.report);
        scene.collector.stop();
    }
}

#[test]
fn nothing_is_destroyed_while_a_statement_is_missing_or_changed() {
    let mut scene = Scene::in_a_directory("retention/statements");
    scene.hold(&["--session", "session-0"]);
    scene.send(10, &[]);
    scene.born = Instant::now();
    scene.wait_past_the_date();
    let archive = scene.home.archive();
    let (commits, statements) = (files(&archive.join("commit")), files(&archive.join("records/class=recorder")));
    let (statement, aside) = (&statements[0], scene.home.data().join("aside"));
    for path in [statement, &commits[1], &commits[commits.len() - 1]] {
        std::fs::rename(path, &aside).unwrap();
        scene.run(&["expire", "--yes"]).expect(2, &["missing"]);
        std::fs::rename(&aside, path).unwrap();
    }
    let bytes = std::fs::read(statement).unwrap();
    std::fs::rename(statement, &aside).unwrap();
    std::fs::write(statement, [&bytes[..100], b"x", &bytes[101..]].concat()).unwrap();
    scene.run(&["expire", "--yes"]).expect(2, &["not what its commit says"]);
    std::fs::rename(&aside, statement).unwrap();
    assert_eq!(scene.states("prompts"), ["held"]);
    scene.collector.stop();
}

#[test]
fn an_interrupted_destruction_is_finished_and_certified() {
    let mut scene = Scene::in_a_directory("retention/interrupted");
    scene.send(10, &[]);
    scene.born = Instant::now();
    scene.wait_past_the_date();
    let due = scene.said(&["expire"])["would_destroy"].clone();
    let object = &due[0];
    let named: Value = ["path", "sha256", "class", "first", "rows", "retain_until"]
        .into_iter()
        .map(|name| (name.to_owned(), object[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    // A command that dies behind its announcement, and then behind the deed.
    say(&scene.home.data(), &json!({ "v": "1", "action": "retention.destroy", "details": { "objects": [named] } }));
    assert_eq!(scene.states("prompts"), ["announced"]);
    std::fs::remove_file(scene.home.archive().join(object["path"].as_str().unwrap())).unwrap();
    assert_eq!(scene.states("prompts"), ["announced"]);
    scene.verify().expect_clean();
    let done = scene.said(&["expire", "--yes"]);
    assert_eq!(done["certificates"].as_array().unwrap().len(), 1);
    assert_eq!(scene.states("prompts"), ["destroyed"]);
    scene.verify().expect_clean();
    scene.collector.stop();
}

#[test]
fn what_is_gone_without_a_statement_or_before_its_date_is_missing() {
    let mut scene = Scene::in_a_directory("retention/missing");
    scene.send(10, &[]);
    scene.born = Instant::now();
    let object = |scene: &Scene| {
        let report = scene.said(&["retention", "report"]);
        let items = report["items"].as_array().unwrap().clone();
        items.into_iter().find(|item| item["class"] == "prompts").unwrap()
    };
    // Announced before its date: the collector does not say it.
    let early = object(&scene);
    let named: Value = ["path", "sha256", "class", "first", "rows", "retain_until"]
        .into_iter()
        .map(|name| (name.to_owned(), early[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let request = json!({ "v": "1", "action": "retention.destroy", "details": { "objects": [named] } });
    let refused = ask(&scene.home.data(), format!("{request}\n").as_bytes());
    let path = early["path"].as_str().unwrap();
    assert!(
        refused["error"].as_str().is_some_and(|what| what.contains(path) && what.contains("kept until")),
        "{refused}"
    );
    std::fs::remove_file(scene.home.archive().join(path)).unwrap();
    let verified = scene.verify();
    assert_eq!((verified.code, verified.verdict(Axis::Integrity)), (1, "fail"), "{:#}", verified.report);
    scene.collector.stop();
}

#[test]
fn commands_say_what_is_in_the_way() {
    let scene = Scene::in_a_directory("retention/in-the-way");
    scene.run(&["hold", "add", "--reason", "x"]).expect(2, &["--session"]);
    scene.run(&["hold", "add", "--session", "s", "--reason", " "]).expect(2, &["--reason"]);
    scene.run(&["hold", "add", "--event", "s", "--reason", "x"]).expect(2, &["`s`", "UUID"]);
    scene.run(&["hold", "add", "--from", "yesterday", "--reason", "x"]).expect(2, &["2026-11-25"]);
    scene.run(&["hold", "release", "x", "--reason", "x"]).expect(2, &["no hold x", "hold list"]);
    let refused = ask(&scene.home.data(), b"{\"v\":\"1\",\"action\":\"collector.stop\",\"details\":{}}\n");
    assert!(refused["error"].as_str().unwrap().contains("hold.add"), "{refused}");
    let refused = ask(&scene.home.data(), &[&[b'x'; 2 << 20][..], b"\n"].concat());
    assert!(refused["error"].as_str().unwrap().contains("one line"), "{refused}");
    let Scene { home, collector, .. } = scene;
    collector.stop();
    let data = home.data();
    let outcome =
        tachograph_in_s3(&["hold", "add", "--session", "s", "--reason", "x", "--data", data.to_str().unwrap()]);
    outcome.expect(2, &["no collector runs", "tachograph run"]);

    // Without retention nothing has a date, and nothing can be held or destroyed.
    let plain = Home::new("archive: { max_age: 100ms }\n");
    let collector = plain.start();
    let data = plain.data();
    let data = data.to_str().unwrap();
    tachograph_in_s3(&["hold", "add", "--session", "s", "--reason", "x", "--data", data])
        .expect(2, &["archive.retention"]);
    let expired = tachograph_in_s3(&["expire", "--yes", "--json", "--data", data]);
    expired.expect(0, &[]);
    assert_eq!(expired.json()["destroyed"], json!([]));
    collector.stop();
}

/// Has the collector make a statement, as a command does.
#[track_caller]
fn say(data: &Path, request: &Value) {
    let answer = ask(data, format!("{request}\n").as_bytes());
    assert!(answer["event_id"].is_string(), "{answer}");
}

fn ask(data: &Path, request: &[u8]) -> Value {
    let mut stream = UnixStream::connect(data.join("control.sock")).unwrap();
    // It may have answered and hung up before it has read all.
    let _ = stream.write_all(request);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
}
