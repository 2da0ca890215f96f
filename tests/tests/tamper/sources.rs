//! The operator holds every key of the ledger, changes what a producer said and seals all anew from the beginning. Nothing in the ledger
//! tells; the signature of the source does.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tachograph_exporters::verify::Axis;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Verified, tachograph, verify};
use tachograph_tests::home::Home;
use tachograph_tests::http::export;
use tachograph_tests::otlp::{self, Events};
use tachograph_tests::programs;
use tachograph_tests::seed::Random;

use crate::scene::{Scene, expect_tampered};

const CONFIG: &str = "archive: {max_age: 50ms, max_bytes: 1MiB}\nstreams: {by: off}";
const VECTORS: &str = include_str!("../../golden/source-v1.json");
/// What the application records: two rounds of eight records, the opening and the close.
const RECORDS: u64 = 18;
const REFUSED: &str = "\"final_decision\":\"refuse\"";
const APPROVED: &str = "\"final_decision\":\"approve\"";

fn vector(name: &str) -> String {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    vectors[name].as_str().unwrap().to_owned()
}

fn beside(home: &Home, name: &str) -> PathBuf {
    home.config().with_file_name(name)
}

/// An application with the attributes of this project, which signs.
fn application(home: &Home, collector: &Collector) {
    let mut command = Command::new(programs::example("credit_decision"));
    command.args(["--count", "2"]).arg("--out").arg(beside(home, "out"));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.grpc));
    command.env("TACHOGRAPH_PRODUCER_ID", "credit").env("TACHOGRAPH_SOURCE_KEY", beside(home, "credit.pem"));
    command.env("NO_PROXY", "*").env("no_proxy", "*").stdin(Stdio::null()).stdout(Stdio::null());
    assert!(command.status().unwrap_or_else(|e| panic!("{command:?}: {e}")).success());
}

/// A ledger with a producer that signs, one that does not, and records of nobody.
fn signed() -> Scene {
    static HOME: OnceLock<Home> = OnceLock::new();
    let home = HOME.get_or_init(|| {
        let home = Home::new(CONFIG);
        for (file, key) in
            [("credit.pem", "private_pem"), ("credit.pub.pem", "public_pem"), ("other.pub.pem", "other_public_pem")]
        {
            std::fs::write(beside(&home, file), vector(key)).unwrap();
        }
        let collector = home.start();
        application(&home, &collector);
        let events = Events::new(&mut Random::of_test("sources"));
        collector.wait_archived();
        // Each in a segment of its own.
        for number in 0..5 {
            let span = otlp::numbered(events.generation().1, number);
            assert_eq!(export(collector.http, "/v1/traces", &otlp::request(vec![span])).status, 200);
            collector.wait_archived();
        }
        collector.stop();
        home
    });
    let copy = Scene { home: home.copy() };
    for file in ["credit.pub.pem", "other.pub.pem", "credit.pem"] {
        std::fs::copy(beside(home, file), beside(&copy.home, file)).unwrap();
    }
    copy
}

impl Scene {
    /// The operator seals the whole history anew with his own keys, with `edit` applied to each body.
    fn reseal(&self, edit: impl Fn(&mut String)) {
        let forged = tempfile::tempdir().unwrap();
        self.rechain(forged.path(), self.stolen(), self.escrowed_mac_key(), |_, body| {
            let mut text = String::from_utf8(std::mem::take(body)).unwrap();
            edit(&mut text);
            *body = text.into_bytes();
        });
        self.replace_archive(forged.path());
    }

    fn audit(&self, more: &[&dyn AsRef<OsStr>]) -> Verified {
        let key = self.home.data().join("ledger.vkey");
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"--key", &key];
        arguments.extend(more);
        verify(&self.home.archive(), &arguments)
    }

    fn with_source_key(&self, producer: &str, file: &str) -> Verified {
        self.audit(&[&"--source-key", &format!("{producer}={}", beside(&self.home, file).display())])
    }
}

#[test]
fn what_a_source_signed_is_checked_from_the_application_to_the_archive() {
    let scene = signed();
    let verified = scene.with_source_key("credit", "credit.pub.pem");
    verified.expect_clean();
    let sources = &verified.report["sources"];
    assert_eq!(sources, &json!([{"producer": "credit", "records": RECORDS, "failed": 0}]), "{:#}", verified.report);
    assert_eq!(scene.audit(&[]).report.get("sources"), None, "nothing was asked");

    // For people, and of a data directory.
    let source = format!("credit={}", beside(&scene.home, "credit.pub.pem").display());
    let told = tachograph(&[&"verify", &scene.home.data(), &"--source-key", &source]);
    told.expect(0, &[]);
    assert!(
        told.stdout.contains("producer credit: the source's signature was checked and holds for 18 records"),
        "{}",
        told.stdout
    );

    // With another key nothing holds, and of a producer that is not there nothing was checked.
    let other = scene.with_source_key("credit", "other.pub.pem");
    expect_tampered(&other, &[Axis::Authenticity], "another key");
    assert_eq!(other.report["sources"][0]["failed"], RECORDS);
    let nobody = scene.with_source_key("debit", "credit.pub.pem");
    assert_eq!((nobody.code, nobody.verdict(Axis::Authenticity)), (2, "incomplete"), "{:#}", nobody.report);
    // One that does not sign: each of its records is without a signature.
    let unsigned = scene.with_source_key("svc", "credit.pub.pem");
    expect_tampered(&unsigned, &[Axis::Authenticity], "unsigned");
    assert_eq!(unsigned.report["sources"][0]["failed"], 5);
}

#[test]
fn a_record_that_the_key_holder_changed_is_found_by_the_signature_of_its_source() {
    let scene = signed();
    scene.reseal(|body| *body = body.replace(REFUSED, APPROVED));
    let without = scene.audit(&[]);
    without.expect_clean();
    assert_eq!(without.verdict(Axis::Authenticity), "pass");
    let with = scene.with_source_key("credit", "credit.pub.pem");
    expect_tampered(&with, &[Axis::Authenticity], "a decision changed");
    assert_eq!(with.verdict(Axis::Integrity), "pass");
    let finding = &with.report["findings"][0];
    let what = finding["what"].as_str().unwrap();
    assert!(what.ends_with("it differs from what its source signed in final_decision"), "{finding:#}");
    assert!(finding["index"].is_u64() && !what.contains("approve"), "{finding:#}");

    // Changed in the signed text too: then the signature does not hold.
    let scene = signed();
    scene.reseal(|body| {
        *body = body.replace(REFUSED, APPROVED).replace(
            "\\\"tachograph.decision.final\\\":{\\\"stringValue\\\":\\\"refuse\\\"}",
            "\\\"tachograph.decision.final\\\":{\\\"stringValue\\\":\\\"approve\\\"}",
        );
    });
    scene.audit(&[]).expect_clean();
    let with = scene.with_source_key("credit", "credit.pub.pem");
    expect_tampered(&with, &[Axis::Authenticity], "both changed");
    assert!(with.report["findings"][0]["what"].as_str().unwrap().contains("does not hold"), "{:#}", with.report);
}

#[test]
fn a_signature_that_the_key_holder_stripped_is_missed() {
    let scene = signed();
    scene.reseal(|body| *body = body.replace("audit.integrity.value", "audit.integrity.valued"));
    scene.audit(&[]).expect_clean();
    let with = scene.with_source_key("credit", "credit.pub.pem");
    expect_tampered(&with, &[Axis::Authenticity], "stripped");
    assert_eq!(with.report["sources"][0], json!({"producer": "credit", "records": 0, "failed": RECORDS}));
    assert!(with.report["findings"][0]["what"].as_str().unwrap().contains("no signature"), "{:#}", with.report);
}

#[test]
fn another_producers_records_need_no_signature() {
    let scene = signed();
    scene.reseal(|body| *body = body.replace("\"prompt\":\"D", "\"prompt\":\"d"));
    // Whose source has no key cannot be told from before.
    scene.with_source_key("credit", "credit.pub.pem").expect_clean();
}

#[test]
fn a_key_that_is_none_is_told_and_not_repeated() {
    let scene = signed();
    let private = scene.with_source_key("credit", "credit.pem");
    assert_eq!(private.code, 2);
    assert!(private.stderr.contains("private key where the public one belongs"), "{}", private.stderr);
    let secret = vector("private_pem");
    assert!(!private.stderr.contains(&secret.lines().nth(1).unwrap()[20..40]), "{}", private.stderr);
    let form = scene.audit(&[&"--source-key", &"credit.pub.pem"]);
    assert!(form.code == 2 && form.stderr.contains("PRODUCER=FILE"), "{}", form.stderr);
}

/// The way of docs/verifying.md, without our software.
#[test]
fn a_stranger_checks_the_signatures_with_standard_tools() {
    let scene = signed();
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    let run = |expected: &str| {
        let work = tempfile::tempdir().unwrap();
        let mut command = programs::python("sources.py");
        command.arg(scene.home.data()).arg(docs).arg(work.path().join("work"));
        command.arg(beside(&scene.home, "credit.pub.pem")).arg("credit").arg(expected);
        let outcome = tachograph_tests::command::run(command);
        assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
    };
    run("18 signatures are good");
    scene.reseal(|body| *body = body.replace("stringValue\\\":\\\"refuse", "stringValue\\\":\\\"approve"));
    run("bad signature");
}
