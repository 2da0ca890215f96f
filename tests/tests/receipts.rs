//! Receipts from real senders to `tachograph verify`: the OpenTelemetry SDK for Python, an application with the attributes of this
//! project, and resent records.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tachograph_exporters::verify::Axis;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Verified, verify};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::otlp::{self, Events};
use tachograph_tests::seed::Random;
use tachograph_tests::{http, programs, receipts, stored};

/// What an auditor sees who has the archive, the key, and these receipts.
fn audit(home: &Home, receipts: &Path) -> Verified {
    let key = home.data().join("ledger.vkey");
    verify(&home.archive(), &[&"--key", &key, &"--receipts", &receipts])
}

#[track_caller]
fn expect_agreement(verified: &Verified, receipts: usize) {
    verified.expect_clean();
    assert_eq!(verified.verdict(Axis::NonEquivocation), "pass", "{:#}", verified.report);
    let report = &verified.report["receipts"];
    let count = |name: &str| report[name].as_u64().unwrap() as usize;
    assert_eq!(count("checked") + count("without_hash"), receipts, "{report:#}");
    assert!(count("checked") > 0, "{report:#}");
    assert_eq!((count("differ"), count("missing"), count("unreadable")), (0, 0, 0), "{report:#}");
}

fn client(collector: &Collector, protocol: &str, file: &Path) {
    let endpoint = if protocol == "grpc" { collector.grpc } else { collector.http };
    let mut command = programs::python("otel_client.py");
    command.args(["--protocol", protocol, "--endpoint", &endpoint.to_string(), "--spans", "300", "--logs", "50"]);
    command.arg("--receipts").arg(file).env("NO_PROXY", "*").env("no_proxy", "*");
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(output.is_ok_and(|status| status.success()), "the client failed");
}

#[test]
fn the_sdk_for_python_gets_receipts_that_agree() {
    let home = Home::new(SMALL);
    let collector = home.start();
    let kept = tempfile::tempdir().unwrap();
    for protocol in ["grpc", "http"] {
        client(&collector, protocol, &kept.path().join(protocol));
    }
    collector.stop();
    for protocol in ["grpc", "http"] {
        let lines = fs::read_to_string(kept.path().join(protocol)).unwrap();
        assert_eq!(lines.lines().count(), 350, "{protocol}: a line a record");
        // Batches are of 64 records, so that all hashes fit.
        assert!(lines.lines().all(|line| line.split(' ').nth(3) != Some("-")), "{protocol}");
    }
    expect_agreement(&audit(&home, kept.path()), 700);
}

/// An application sets a variable; its receipts name the records' event ids.
#[test]
fn an_application_keeps_receipts_if_the_environment_says_so() {
    let home = Home::new(SMALL);
    let collector = home.start();
    let file = home.config().with_file_name("receipts");
    for _ in 0..2 {
        let mut command = std::process::Command::new(programs::example("image_service"));
        command.args(["--count", "2"]).arg("--out").arg(file.with_file_name("images"));
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.grpc));
        command.env("TACHOGRAPH_RECEIPTS", &file).env("NO_PROXY", "*").env("no_proxy", "*");
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("receipt"), "{output:?}");
    }
    collector.stop();
    let records = stored::archived(&home.archive());
    let lines = fs::read_to_string(&file).unwrap();
    for line in lines.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let record = &records[words[2].parse::<usize>().unwrap()];
        assert_eq!(words[4], record.event_id.to_string(), "{line}");
    }
    let of_applications = records.iter().filter(|record| record.body()["service_name"] != "tachograph").count();
    assert!(of_applications > 4, "{of_applications}");
    expect_agreement(&audit(&home, &file), of_applications);
}

/// A record that is sent again is known: its receipt has the index and no hash. What nobody asks for nobody gets.
#[test]
fn a_resent_record_has_its_old_place() {
    let home = Home::new(SMALL);
    let collector = home.start();
    let (ids, spans) = Events::new(&mut Random::of_test("resent")).generations(20);
    let request = otlp::request(spans);
    let first = receipts::export(collector.http, "/v1/traces", &request);
    let first = first.header("tachograph-receipt").unwrap().to_owned();
    collector.wait_archived();
    let second = receipts::export(collector.http, "/v1/traces", &request);
    let second = second.header("tachograph-receipt").unwrap().to_owned();
    assert_eq!(http::export(collector.http, "/v1/traces", &request).header("tachograph-receipt"), None);
    collector.stop();
    let ((_, first_places), (_, second_places)) = (receipts::places(&first), receipts::places(&second));
    assert!(
        first_places.iter().all(|(_, hash)| hash.is_some()) && second_places.iter().all(|(_, hash)| hash.is_none())
    );
    let indexes = |places: &[(u64, Option<String>)]| places.iter().map(|(index, _)| *index).collect::<Vec<_>>();
    assert_eq!(indexes(&first_places), indexes(&second_places));

    let file = home.config().with_file_name("receipts");
    fs::write(&file, receipts::lines(&second, &ids)).unwrap();
    let verified = audit(&home, &file);
    assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (2, "incomplete"), "{:#}", verified.report);
    assert_eq!(verified.report["receipts"]["without_hash"], json!(20));
    fs::write(&file, [receipts::lines(&first, &ids), receipts::lines(&second, &ids)].concat()).unwrap();
    expect_agreement(&audit(&home, &file), 40);
}
