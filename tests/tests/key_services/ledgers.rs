//! A ledger born in each service: recorded, the service stopped and started in between, archived and verified by everybody.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tachograph_exporters::verify::Axis;
use tachograph_tests::command::{self, Outcome, Verified};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::{export, get};
use tachograph_tests::kms::Kms;
use tachograph_tests::minio::Minio;
use tachograph_tests::openbao::OpenBao;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::programs;
use tachograph_tests::proxy::{Fault, Plan, Proxy};
use tachograph_tests::seed::Random;
use tachograph_tests::softhsm::{CONFIGURATION, SoftHsm, TOKEN};
use tachograph_tests::stored;

const LONG: Duration = Duration::from_secs(60);

/// A key service that can be away.
struct Service<'s> {
    /// The YAML below `keys`.
    keys: String,
    environment: Vec<(String, String)>,
    stop: Box<dyn Fn() + 's>,
    start: Box<dyn Fn() + 's>,
    /// Whether a new ledger's vkey is P-256's.
    p256: bool,
}

/// The whole story.
fn tell(test: &str, service: &Service<'_>) {
    let environment: Vec<(&str, &str)> =
        service.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let home = Home::born(&format!("{SMALL}keys:\n{}", service.keys), &environment);
    let run = |arguments: &[&str], place: &Path| -> Outcome {
        let mut command = programs::command();
        command.args(arguments).arg(place).arg("--config").arg(home.config()).envs(environment.iter().copied());
        command::run(command)
    };
    assert!(!home.data().join("keys/signing.key").exists(), "the private key is in the service alone");
    assert!(!home.data().join("mac-escrow.key").exists(), "so is what the MAC key comes from");
    let vkey = fs::read_to_string(home.data().join("ledger.vkey")).expect("a key");
    assert_eq!(vkey.len() > 150, service.p256, "{vkey}");

    let events = Events::new(&mut Random::of_test(test));
    let mut sent = Vec::new();
    let mut send = |collector: &tachograph_tests::collector::Collector| {
        let (ids, spans) = events.generations(40);
        assert_eq!(export(collector.http, "/v1/traces", &request(spans)).status, 200);
        sent.extend(ids);
    };
    let collector = home.start();
    send(&collector);
    collector.wait_archived();
    let archived = collector.metric("tachograph_archived_records");

    (service.stop)();
    send(&collector);
    collector.wait_until("the alert", LONG, |collector| collector.metric("tachograph_signing_failing_seconds") > 0.0);
    let ready = get(collector.admin, "/readyz");
    assert!(ready.status == 200 && ready.text().contains("KEY CAN'T SIGN"), "{}", ready.text());
    assert_eq!(collector.metric("tachograph_archived_records"), archived, "nothing is archived unsigned");
    // A machine that goes down and comes back meanwhile takes records as before.
    collector.kill();
    let collector = home.start();
    send(&collector);
    (service.start)();
    collector.wait_archived();
    assert_eq!(collector.metric("tachograph_signing_failing_seconds"), 0.0);
    send(&collector);
    collector.stop();

    let stored = stored::archived(&home.archive());
    stored::expect_once(&stored::counts(&stored), &sent);
    let checked = Verified::of(&run(&["verify", "--json"], &home.data()));
    checked.expect_clean();
    // Every MAC, with the key that the service derived again.
    let mut command = programs::command();
    command.args(["verify", "--json", "--key"]).arg(home.data().join("ledger.vkey")).arg("--config").arg(home.config());
    command.arg(home.archive()).envs(environment.iter().copied());
    let archive = Verified::of(&command::run(command));
    archive.expect_clean();
    assert_eq!(archive.verdict(Axis::Authenticity), "pass", "{:#}", archive.report);
    assert!(archive.report.to_string().contains("the records' MACs were checked too"), "{:#}", archive.report);

    let bundle = home.data().with_file_name("bundle");
    let made = command::tachograph(&[&"prove", &"--indexes", &"0-9", &"--output", &bundle, &"--data", &home.data()]);
    made.expect(0, &[]);
    let mut checker = programs::interpreter();
    checker.arg("-B").arg(bundle.join("verify.py")).arg("--key").arg(home.data().join("ledger.vkey"));
    let told = command::run(checker);
    assert!(told.code == 0 && told.stdout.contains("VERIFIED"), "{told:?}");
}

#[test]
fn aws_kms() {
    let kms = Kms::moto();
    let proxy = Proxy::start(kms.address());
    let key = |spec: &str, usage: &str| {
        format!("{{ aws_kms: {{ key: '{}', endpoint: '{}' }} }}", kms.make(spec, usage), proxy.endpoint())
    };
    let signing = key("ECC_NIST_P256", "SIGN_VERIFY");
    let mac = key("HMAC_256", "GENERATE_VERIFY_MAC");
    tell(
        "kms",
        &Service {
            keys: format!("  signing: {signing}\n  mac: {mac}\n"),
            environment: Minio::environment().map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            stop: Box::new(|| proxy.plan(Plan::all("POST", "", Fault::CloseBefore))),
            start: Box::new(|| proxy.clear()),
            p256: true,
        },
    );
}

#[test]
fn pkcs11() {
    let token = SoftHsm::new();
    let key = |key: &str| {
        let (module, pin) = (SoftHsm::module(), token.pin_file());
        let (module, pin) = (module.display(), pin.display());
        format!("{{ pkcs11: {{ module: '{module}', token: {TOKEN}, key: {key}, pin_file: '{pin}' }} }}")
    };
    tell(
        "pkcs11",
        &Service {
            keys: format!("  signing: {}\n  mac: {}\n", key("ed25519"), key("mac")),
            environment: vec![(CONFIGURATION.to_owned(), token.configuration().display().to_string())],
            stop: Box::new(|| token.pull_out()),
            start: Box::new(|| token.put_back()),
            p256: false,
        },
    );
}

#[test]
fn vault() {
    let bao = OpenBao::start();
    let token = bao.token_file("collector", &[super::vault::SIGNING, super::vault::MAC].concat());
    let key = |key: &str| {
        format!("{{ vault: {{ address: '{}', key: {key}, token_file: '{}' }} }}", bao.url(), token.display())
    };
    tell(
        "vault",
        &Service {
            keys: format!("  signing: {}\n  mac: {}\n", key("p256"), key("mac")),
            environment: Vec::new(),
            stop: Box::new(|| bao.down()),
            start: Box::new(|| bao.up()),
            p256: true,
        },
    );
}

/// With the double, since moto has no such keys.
#[test]
fn an_ed25519_key_in_kms_takes_few_retention_classes() {
    let kms = Kms::double();
    let key = kms.make("ECC_NIST_EDWARDS25519", "SIGN_VERIFY");
    let config = |classes: usize| {
        let classes = (0..classes).map(|at| format!("{{ name: c{at}, when: 'kind == \"policy\"', keep: 2d }}"));
        let classes = classes.collect::<Vec<_>>().join(", ");
        let signing = format!("{{ aws_kms: {{ key: '{key}', endpoint: '{}' }} }}", kms.endpoint());
        format!("archive: {{ retention: {{ default: 1d, classes: [{classes}] }} }}\nkeys: {{ signing: {signing} }}\n")
    };
    let home = Home::born(&config(2), &Minio::environment());
    let collector = home.start();
    collector.stop();
    command::verify(&home.data(), &[]).expect_clean();
    home.configure(&config(3));
    home.refused().expect(2, &["4,096 bytes", "P-256"]);
}

#[test]
fn another_key_ends_the_start_and_check_names_it() {
    let bao = OpenBao::start();
    let token = bao.token_file("any", "path \"transit/*\" { capabilities = [\"read\", \"update\"] }");
    let keys = |key: &str| {
        format!(
            "keys: {{ signing: {{ vault: {{ address: '{}', key: {key}, token_file: '{}' }} }} }}\n",
            bao.url(),
            token.display()
        )
    };
    let home = Home::born(&keys("p256"), &[]);
    let check = |code: i32, words: &[&str]| {
        let mut command = Command::new(programs::tachograph());
        command.arg("check").arg("--config").arg(home.config()).arg("--data").arg(home.data());
        command::run(command).expect(code, words);
    };
    check(0, &[]);
    home.configure(&keys("ed25519"));
    check(2, &["holds another key", "transit/ed25519"]);
    home.refused().expect(2, &["holds another key"]);
    home.configure(&keys("nobody"));
    check(0, &["warning: ", "there is no such key"]);
    bao.down();
    home.configure(&keys("p256"));
    check(0, &["warning: "]);
    // It starts all the same.
    home.start().kill();
}
