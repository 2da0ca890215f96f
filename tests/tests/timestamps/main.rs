//! Time stamps from outside, with real processes: a collector, an authority made with `openssl ts`, `tachograph verify`, and OpenSSL
//! once more as the stranger who checks without us.

mod bucket;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tachograph_exporters::verify::Axis;
use tachograph_ledger::sha256;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Verified, tachograph, verify};
use tachograph_tests::home::Home;
use tachograph_tests::http::export;
use tachograph_tests::otlp::{self, Events};
use tachograph_tests::seed::Random;
use tachograph_tests::stored;
use tachograph_tests::tree::{self, replace};
use tachograph_tests::tsa::{Answer, Tsa};

const LONG: Duration = Duration::from_secs(30);

/// Every second, and no certificate is near its end.
fn config(authorities: &[(&Tsa, bool)]) -> String {
    let authority = |(tsa, with_ca): &(&Tsa, bool)| match with_ca {
        true => format!("{{ url: '{}', ca: '{}' }}", tsa.url(), tsa.ca().display()),
        false => format!("{{ url: '{}' }}", tsa.url()),
    };
    let authorities: Vec<String> = authorities.iter().map(authority).collect();
    format!("archive: {{ max_age: 100ms }}\ntimestamps: {{ every: 1s, authorities: [{}] }}\n", authorities.join(", "))
}

fn send(collector: &Collector, events: &Events, count: usize) {
    let (_, spans) = events.generations(count);
    let answer = export(collector.http, "/v1/traces", &otlp::request(spans));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[track_caller]
fn wait_stamped(collector: &Collector, at_least: f64) {
    collector.wait_until("the records are time-stamped", LONG, |collector| {
        collector.metric("tachograph_timestamped_records") >= at_least
    });
}

fn tokens(home: &Home) -> Vec<PathBuf> {
    match home.archive().join("timestamp") {
        folder if folder.is_dir() => tree::files(&folder),
        _ => Vec::new(),
    }
}

/// An auditor: archive, public key, and the authorities that he trusts.
fn audit(home: &Home, trusted: &[&Tsa]) -> Verified {
    let key = home.data().join("ledger.vkey");
    let authorities: Vec<PathBuf> = trusted.iter().map(|tsa| tsa.ca()).collect();
    let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"--key", &key];
    for path in &authorities {
        arguments.extend([&"--tsa-ca" as &dyn AsRef<std::ffi::OsStr>, path]);
    }
    verify(&home.archive(), &arguments)
}

#[track_caller]
fn expect_time(verified: &Verified, verdict: &str, words: &[&str]) {
    assert_eq!(verified.verdict(Axis::Time), verdict, "{}{:#}", verified.stderr, verified.report);
    let said = verified.report.to_string();
    words.iter().for_each(|word| assert!(said.contains(word), "nothing of {word:?} in {said}"));
}

fn openssl_verifies(home: &Home, token: &Path, ca: &Path) -> bool {
    let name = token.file_name().unwrap().to_string_lossy().into_owned();
    let checkpoint = home.archive().join("checkpoint").join(name.split('-').next().unwrap());
    let mut command = Command::new("openssl");
    command.args(["ts", "-verify", "-data"]).arg(checkpoint).arg("-in").arg(token).arg("-CAfile").arg(ca);
    command.output().expect("openssl").status.success()
}

fn anchors(home: &Home) -> Vec<(u64, Value)> {
    let bodies = stored::archived(&home.archive()).into_iter().map(|record| (record.index, record.body()));
    bodies.filter(|(_, body)| body["action_type"] == "time.anchor").collect()
}

#[test]
fn records_are_stamped_anchored_and_verified() {
    let (tsa, other) = (Tsa::start("good", 3_650), Tsa::start("other", 3_650));
    let home = Home::new(&config(&[(&tsa, true)]));
    let events = Events::new(&mut Random::of_test("stamped"));
    let collector = home.start();
    send(&collector, &events, 30);
    wait_stamped(&collector, 30.0);
    send(&collector, &events, 30);
    wait_stamped(&collector, 61.0);
    assert!(collector.metric("tachograph_timestamp_certificate_expiry_seconds") > 3_000.0 * 86_400.0);
    assert_eq!(collector.metric("tachograph_timestamp_failures_total"), 0.0);

    // An idle ledger is left alone: its own anchors are no news.
    collector
        .wait_until("nothing waits", LONG, |collector| collector.metric("tachograph_timestamp_lag_seconds") == 0.0);
    let asked = tsa.requests();
    std::thread::sleep(Duration::from_millis(3_500));
    assert_eq!(tsa.requests(), asked, "the authority was asked about anchors alone");
    collector.stop();

    let verified = audit(&home, &[&tsa]);
    verified.expect_clean();
    expect_time(&verified, "pass", &["are not earlier than a time stamp"]);
    assert!(verified.report["timestamped"].as_u64().unwrap() >= 61, "{:#}", verified.report);
    assert_eq!(verified.report["strangers"], Value::Array(Vec::new()));
    expect_time(&audit(&home, &[]), "incomplete", &["not known to the auditor", "no --tsa-ca"]);
    expect_time(&audit(&home, &[&other]), "incomplete", &["not known to the auditor"]);
    let data_dir = verify(&home.data(), &[&"--tsa-ca", &tsa.ca()]);
    expect_time(&data_dir, "pass", &[]);

    // As it lies, for OpenSSL.
    let tokens = tokens(&home);
    assert!(tokens.len() >= 2, "{tokens:?}");
    for token in &tokens {
        assert!(openssl_verifies(&home, token, &tsa.ca()), "{}", token.display());
        assert!(!openssl_verifies(&home, token, &other.ca()), "{}", token.display());
    }

    // Each has its anchor, which says what it is.
    let anchors = anchors(&home);
    assert_eq!(anchors.len(), tokens.len());
    for ((index, body), token) in anchors.iter().zip(&tokens) {
        let details = &body["details"];
        let bytes = fs::read(token).unwrap();
        assert_eq!(details["token_sha256"], sha256(&bytes).to_hex());
        assert!(token.ends_with(details["token"].as_str().unwrap()), "{details}");
        assert!(details["authority"].as_str().unwrap().contains("CN=good"), "{details}");
        assert!(details["checkpoint"].as_str().unwrap().parse::<u64>().unwrap() <= *index, "{details}");
        assert_eq!(details["time"].as_str().unwrap().len(), 30, "{details}");
    }

    // The next start knows what is stamped.
    let collector = home.start();
    wait_stamped(&collector, 61.0);
    collector.stop();
    expect_time(&audit(&home, &[&tsa]), "pass", &[]);
}

#[test]
fn an_authority_that_is_down_stops_nothing() {
    let tsa = Tsa::start("down", 3_650);
    tsa.answer(Answer::Unavailable);
    let home = Home::new(&config(&[(&tsa, true)]));
    let events = Events::new(&mut Random::of_test("down"));
    let collector = home.start();
    send(&collector, &events, 10);
    collector.wait_until("failures are counted", LONG, |collector| {
        collector.metric("tachograph_timestamp_failures_total") >= 2.0
    });
    send(&collector, &events, 10);
    collector.wait_archived();
    assert_eq!(collector.metric("tachograph_timestamped_records"), 0.0);
    assert!(collector.metric("tachograph_timestamp_lag_seconds") > 0.0);
    assert!(collector.metric("tachograph_timestamp_certificate_expiry_seconds").is_infinite());
    assert!(home.log_text().contains("HTTP status 503"), "the log does not say why");
    tsa.answer(Answer::Token);
    wait_stamped(&collector, 20.0);
    collector.stop();
    expect_time(&audit(&home, &[&tsa]), "pass", &[]);
}

#[test]
fn only_a_good_answer_to_this_request_is_kept() {
    let (tsa, other) = (Tsa::start("answers", 3_650), Tsa::start("not-trusted", 3_650));
    // The second one's tokens do not lead to the certificate that is configured for it.
    let config = format!(
        "archive: {{ max_age: 100ms }}\ntimestamps: {{ every: 1s, authorities: [{{ url: '{}', ca: '{}' }}, {{ url: '{}', ca: '{}' }}] }}\n",
        tsa.url(),
        tsa.ca().display(),
        other.url(),
        tsa.ca().display()
    );
    let home = Home::new(&config);
    let events = Events::new(&mut Random::of_test("answers"));
    tsa.answer(Answer::Garbage);
    let collector = home.start();
    send(&collector, &events, 5);
    collector.wait_until("both fail", LONG, |collector| collector.metric("tachograph_timestamp_failures_total") >= 4.0);
    assert_eq!(tokens(&home), Vec::<PathBuf>::new());
    tsa.answer(Answer::Token);
    wait_stamped(&collector, 5.0);
    // The token of before is the answer to another request.
    tsa.answer(Answer::Old);
    let kept = tokens(&home).len();
    let failures = collector.metric("tachograph_timestamp_failures_total");
    send(&collector, &events, 5);
    collector.wait_until("old tokens fail", LONG, |collector| {
        collector.metric("tachograph_timestamp_failures_total") >= failures + 4.0
    });
    collector.stop();
    assert_eq!(tokens(&home).len(), kept);
    let log = home.log_text();
    for word in ["is not kept", "no authority that is known", "over other data", "not a time-stamp response"] {
        assert!(log.contains(word), "nothing of {word:?} in {log}");
    }
    expect_time(&audit(&home, &[&tsa]), "pass", &[]);
}

#[test]
fn two_authorities_stamp_one_checkpoint_and_a_touched_token_is_named() {
    let (one, two) = (Tsa::start("one", 3_650), Tsa::start("two", 3_650));
    // Without `ca` a token is taken from whoever signed it, if it is whole.
    let home = Home::new(&config(&[(&one, true), (&two, false)]));
    let events = Events::new(&mut Random::of_test("two"));
    let collector = home.start();
    send(&collector, &events, 20);
    collector.wait_until("both have stamped", LONG, |_| tokens(&home).len() >= 2);
    collector.stop();
    expect_time(&audit(&home, &[&one, &two]), "pass", &[]);
    expect_time(&audit(&home, &[&one]), "incomplete", &["CN=two"]);

    let token = tokens(&home).remove(0);
    let whole = fs::read(&token).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(&token, &bytes);
    let verified = audit(&home, &[&one, &two]);
    assert_eq!(verified.code, 1, "{:#}", verified.report);
    expect_time(&verified, "fail", &[&format!("timestamp/{}", token.file_name().unwrap().to_string_lossy())]);
    replace(&token, &whole);
    expect_time(&audit(&home, &[&one, &two]), "pass", &[]);
}

#[test]
fn check_and_run_name_a_file_of_certificates_that_is_none() {
    let tsa = Tsa::start("none", 3_650);
    let home = Home::new("");
    let text =
        format!("timestamps: {{ authorities: [{{ url: '{}', ca: '{}' }}] }}", tsa.url(), home.config().display());
    home.configure(&text);
    home.refused().expect(2, &["timestamps.authorities, ca", "no certificate in it"]);
    let (config, data) = (home.config(), home.data());
    let check = tachograph(&[&"check", &"-c", &config, &"--data", &data]);
    check.expect(2, &["timestamps.authorities, ca"]);
    let none = verify(&home.data(), &[&"--tsa-ca", &home.config()]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("--tsa-ca"), "{}", none.stderr);
}
