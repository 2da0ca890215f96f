//! One question, proven with witnesses and time stamps, and everybody who checks it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tachograph_tests::command::{run, tachograph};
use tachograph_tests::home::Home;
use tachograph_tests::http::export;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::programs;
use tachograph_tests::seed::Random;
use tachograph_tests::stored;
use tachograph_tests::tsa::Tsa;
use tachograph_tests::witness::Witness;

use crate::expect;

const LONG: Duration = Duration::from_secs(60);

/// A ledger whose records are witnessed and bounded in time from both sides.
struct Scene {
    home: Home,
    directory: tempfile::TempDir,
    witness: Witness,
    /// The witness's second key, ML-DSA-44.
    second: String,
    tsa: Tsa,
    /// A record between two time stamps.
    index: u64,
    event: String,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = Home::new("");
        let vkey = home.data().join("ledger.vkey");
        let (mut witness, tsa) = (Witness::start(directory.path(), "w1", &[&vkey]), Tsa::start("authority", 3_650));
        let second = witness.give_second_key();
        let policy = directory.path().join("policy");
        let ledger = fs::read_to_string(&vkey).expect("a key");
        let keys = format!("{}witness second {second} http://{}\n", witness.line(), witness.address);
        fs::write(&policy, format!("log {ledger}{keys}group both all w1 second\nquorum both\n")).expect("written");
        home.configure(&format!(
            "archive: {{ max_age: 100ms }}\nwitnesses: {{ policy: '{}', every: 200ms }}\ntimestamps: {{ every: 1s, authorities: [{{ url: '{}', ca: '{}' }}] }}\n",
            policy.display(),
            tsa.url(),
            tsa.ca().display()
        ));
        let events = Events::new(&mut Random::of_test("bundles"));
        let collector = home.start();
        for at_least in [20.0, 41.0, 62.0] {
            assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(20).1)).status, 200);
            collector.wait_until("stamped", LONG, |collector| {
                collector.metric("tachograph_timestamped_records") >= at_least
            });
        }
        collector.wait_archived();
        collector.wait_until("witnessed", LONG, |collector| {
            collector.metric("tachograph_witnessed_records") == collector.metric("tachograph_archived_records")
        });
        collector.stop();
        let records = stored::archived(&home.archive());
        let first_anchor =
            records.iter().find(|record| record.body()["action_type"] == "time.anchor").expect("an anchor").index;
        let record = records.iter().find(|record| record.index > first_anchor && record.body()["kind"] == "generation");
        let record = record.expect("a record behind the first anchor");
        let event = record.body()["event_id"].as_str().expect("an id").to_owned();
        Self { index: record.index, event, home, directory, witness, second, tsa }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn key(&self) -> PathBuf {
        self.home.data().join("ledger.vkey")
    }
}

#[test]
fn what_is_proven_is_checked_by_everybody() {
    let scene = Scene::new();
    let bundle = scene.path("bundle");
    let made = tachograph(&[&"prove", &scene.event, &"--data", &scene.home.data(), &"-o", &bundle, &"--json"]);
    expect(&made, 0, &[]);
    assert_eq!(made.json()["records"], 2, "the record, and the anchor in front of it: {}", made.stdout);
    let about: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    assert_eq!(about["records"], Value::from(vec![scene.index.to_string()]));
    assert!(bundle.join("witnessed").is_file() && bundle.join("not-before.tsr").is_file());

    // Our two programs, which know witnesses and authorities.
    let (key, policy, ca) = (scene.key(), scene.path("policy"), scene.tsa.ca());
    let required = "integrity,authenticity,coverage,non_equivocation,time";
    let arguments: [&dyn AsRef<OsStr>; 9] =
        [&bundle, &"--key", &key, &"--policy", &policy, &"--tsa-ca", &ca, &"--require", &required];
    let both_sides = "was sealed after";
    let mut ours = programs::command();
    ours.arg("verify");
    for mut program in [ours, programs::verifier()] {
        program.args(arguments.iter().map(|argument| argument.as_ref()));
        let said = ["VERIFIED on every required axis", both_sides, "not later than", "w1.example (ML-DSA-44)"];
        expect(&run(program), 0, &said);
    }
    // Whoever knows neither has no more than the ledger's own word.
    let alone = tachograph(&[&"verify", &bundle, &"--key", &key, &"--require", &required]);
    expect(&alone, 2, &["leads to no authority", "give a policy"]);
    // An authority that is not trusted is not believed, and nothing is said against it.
    let other = Tsa::start("other", 3_650);
    let told = tachograph(&[&"verify", &bundle, &"--key", &key, &"--tsa-ca", &other.ca(), &"--require", &"time"]);
    expect(&told, 2, &["leads to no authority"]);

    // Python, with nothing but its standard library and OpenSSL.
    let mut python = programs::interpreter();
    python.arg(bundle.join("verify.py")).arg("--key").arg(&key).args(["--witness", &scene.witness.vkey]);
    python.args(["--witness", &scene.second]).arg("--tsa-ca").arg(&ca);
    expect(&run(python), 0, &["VERIFIED", "sealed later than", "(ML-DSA-44)"]);
    // DuckDB.
    let mut duckdb = programs::interpreter();
    let script = "import duckdb; answer = duckdb.execute(open('verify.sql').read()); print(dict(zip([c[0] for c in answer.description], answer.fetchone()))['good'])";
    duckdb.args(["-B", "-c", script]).current_dir(&bundle);
    expect(&run(duckdb), 0, &["True"]);
    // The shell, with OpenSSL.
    let mut sh = Command::new("sh");
    sh.arg(bundle.join("verify.sh")).arg(&ca).env("LEDGER_KEY", &key);
    expect(&run(sh), 0, &[]);
    // The page speaks of the event.
    let page = fs::read_to_string(bundle.join("index.html")).unwrap();
    assert!(page.contains(&scene.event) && page.contains("w1.example") && page.contains("CN=authority"), "{page}");

    another_key_and_another_checkpoint(&scene, &bundle);
}

fn another_key_and_another_checkpoint(scene: &Scene, bundle: &Path) {
    let other = Home::new("archive: { max_age: 100ms }\n");
    let collector = other.start();
    let events = Events::new(&mut Random::of_test("another"));
    assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(5).1)).status, 200);
    collector.wait_archived();
    collector.stop();
    let unknown = tachograph(&[&"verify", &bundle, &"--key", &other.data().join("ledger.vkey")]);
    expect(&unknown, 1, &["unknown key"]);

    // A checkpoint from outside of the same size agrees; one of another size can't be compared by a bundle.
    let about: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let size: u64 = about["size"].as_str().unwrap().parse().unwrap();
    let kept = |size: u64| scene.home.archive().join(format!("checkpoint/{size:020}"));
    let key = scene.key();
    let same = tachograph(&[
        &"verify",
        &bundle,
        &"--key",
        &key,
        &"--checkpoint",
        &kept(size),
        &"--require",
        &"non_equivocation",
    ]);
    expect(&same, 0, &["remembered outside"]);
    let mut others = fs::read_dir(scene.home.archive().join("checkpoint")).unwrap().map(|entry| entry.unwrap().path());
    let another = others.find(|path| *path != kept(size)).expect("more than one checkpoint");
    let other_size =
        tachograph(&[&"verify", &bundle, &"--key", &key, &"--checkpoint", &another, &"--require", &"non_equivocation"]);
    expect(&other_size, 2, &["only the archive can show"]);
}
