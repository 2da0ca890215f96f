//! Where a ledger's keys are, and what happens while the key can't sign: the real program.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tachograph_tests::collector::Collector;
use tachograph_tests::command::{expect_verified, run, tachograph, verify};
use tachograph_tests::home::{Home, LEDGER};
use tachograph_tests::http::{export, get};
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::programs;
use tachograph_tests::seed::Random;

const SOON: Duration = Duration::from_secs(20);

/// A ledger whose keys the configuration says something about.
struct Scene {
    place: tempfile::TempDir,
    home: Home,
    events: Events,
}

impl Scene {
    /// `keys` is YAML of what stands below `keys`, with `PLACE` for the temporary directory; `prepare` is called before `init`.
    fn new(name: &str, keys: &str, prepare: impl FnOnce(&Path)) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        prepare(place.path());
        let keys = keys.replace("PLACE", &place.path().display().to_string());
        let config = format!("keys: {keys}\narchive: {{ max_age: 200ms }}\n");
        let home = Home::of_ledger(place.path().join("data"), &config);
        tachograph(&[&"init", &home.data(), &"--name", &LEDGER, &"--config", &home.config()]).expect(0, &[]);
        Self { place, home, events: Events::new(&mut Random::of_test(name)) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn send(&self, collector: &Collector, count: usize) {
        assert_eq!(export(collector.http, "/v1/traces", &request(self.events.generations(count).1)).status, 200);
    }
}

/// A private key for the tests' ledger.
fn new_key() -> String {
    let made = tachograph(&[&"key", &"new", &LEDGER]);
    made.expect(0, &[]);
    made.stdout
}

#[test]
fn a_key_that_is_away_stops_nobody_and_everything_is_archived_when_it_comes() {
    let key = new_key();
    let scene = Scene::new("away", "{ signing: { file: { path: PLACE/mounted.key } } }", |place| {
        fs::write(place.join("mounted.key"), &key).expect("written");
    });
    assert!(!scene.home.data().join("keys/signing.key").exists());
    let mounted = scene.path("mounted.key");
    fs::remove_file(&mounted).expect("it was there");

    let collector = scene.home.start();
    scene.send(&collector, 30);
    collector.wait_until("the alarm", SOON, |c| c.metric("tachograph_signing_failures_total") >= 2.0);
    assert!(collector.metric("tachograph_signing_failing_seconds") > 0.0);
    assert_eq!((collector.metric("tachograph_archived_records"), collector.metric("tachograph_ready")), (0.0, 1.0));
    let ready = get(collector.admin, "/readyz");
    assert!(ready.status == 200 && ready.text().contains("CAN'T SIGN"), "{ready:?}");
    let log = scene.home.log_text();
    assert!(log.contains("ERROR") && log.contains("THE LEDGER'S KEY CAN'T SIGN"), "{log}");
    assert!(log.contains("THE LEDGER'S KEY IS OUT OF REACH") && log.contains("mounted.key"), "{log}");
    // Once, and not at each attempt.
    assert_eq!(log.matches("THE LEDGER'S KEY CAN'T SIGN").count(), 1, "{log}");
    collector.kill();

    // Killed and started again, while it is still away.
    let collector = scene.home.start();
    scene.send(&collector, 30);
    collector.wait_until("the alarm", SOON, |c| c.metric("tachograph_signing_failures_total") >= 1.0);
    fs::write(&mounted, &key).expect("written");
    collector.wait_archived();
    collector.wait_until("quiet", SOON, |c| c.metric("tachograph_signing_failing_seconds") == 0.0);
    assert_eq!(get(collector.admin, "/readyz").text(), "ready\n");
    scene.send(&collector, 30);
    collector.stop();
    expect_verified(&scene.home.data());
    let log = scene.home.log_text();
    assert!(log.contains("signs again"), "{log}");
    assert!(!log.contains("PRIVATE+KEY"), "a key in the log");
    // 90 of ours; two starts and a stop, and twice what is stated of the sessions.
    let report = verify(&scene.home.data(), &[]).report;
    assert_eq!(report["records"].as_u64(), Some(95), "{report:#}");
}

#[test]
fn a_sender_that_asked_for_the_archive_waits_for_the_key() {
    let key = new_key();
    let scene =
        Scene::new("archive", "{ signing: { file: { path: PLACE/mounted.key } } }\ndurability: archive", |place| {
            fs::write(place.join("mounted.key"), &key).expect("written");
        });
    fs::remove_file(scene.path("mounted.key")).expect("it was there");
    let collector = scene.home.start();
    let (http, body) = (collector.http, request(scene.events.generations(10).1));
    let waiting = std::thread::spawn(move || export(http, "/v1/traces", &body).status);
    collector.wait_until("the alarm", SOON, |c| c.metric("tachograph_signing_failures_total") >= 2.0);
    assert!(!waiting.is_finished(), "acknowledged before it was archived");
    fs::write(scene.path("mounted.key"), &key).expect("written");
    assert_eq!(waiting.join().expect("an answer"), 200);
    assert!(collector.metric("tachograph_archived_records") >= 11.0);
    collector.stop();
    expect_verified(&scene.home.data());
}

#[test]
fn a_stop_while_the_key_is_away_loses_nothing() {
    let key = new_key();
    let scene = Scene::new("stop", "{ signing: { file: { path: PLACE/mounted.key } } }", |place| {
        fs::write(place.join("mounted.key"), &key).expect("written");
    });
    fs::remove_file(scene.path("mounted.key")).expect("it was there");
    let collector = scene.home.start();
    scene.send(&collector, 30);
    assert_eq!(collector.stop_with(), 3);
    assert!(scene.home.log_text().contains("They are safe in the journal"), "{}", scene.home.log_text());
    fs::write(scene.path("mounted.key"), &key).expect("written");
    let collector = scene.home.start();
    collector.wait_archived();
    collector.stop();
    expect_verified(&scene.home.data());
}

#[test]
fn a_key_out_of_the_environment_is_used_and_never_shown() {
    let key = new_key();
    let place = tempfile::tempdir().expect("a temporary directory");
    let home = Home::of_ledger(
        place.path().join("data"),
        "keys: { signing: { env: LEDGER_KEY } }\narchive: { max_age: 200ms }\n",
    )
    .with_environment(&[("LEDGER_KEY", key.trim())]);
    let mut init = programs::command();
    init.arg("init").arg(home.data()).args(["--name", LEDGER, "--config"]).arg(home.config());
    let without = run(init);
    without.expect(2, &["$LEDGER_KEY", "no such variable"]);
    let mut init = programs::command();
    init.arg("init").arg(home.data()).args(["--name", "another/ledger", "--config"]).arg(home.config());
    run({
        init.env("LEDGER_KEY", key.trim());
        init
    })
    .expect(2, &["$LEDGER_KEY", "this is a key of ledger e2e.example/ai-audit"]);
    let mut init = programs::command();
    init.arg("init")
        .arg(home.data())
        .args(["--name", LEDGER, "--config"])
        .arg(home.config())
        .env("LEDGER_KEY", key.trim());
    run(init).expect(0, &[]);
    assert!(!home.data().join("keys/signing.key").exists());

    let collector = home.start();
    let events = Events::new(&mut Random::of_test("env"));
    assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(20).1)).status, 200);
    collector.wait_archived();
    collector.stop();
    expect_verified(&home.data());
    assert!(!home.log_text().contains("PRIVATE+KEY"), "a key in the log");

    // Another key, no key, and the key itself where its variable's name belongs.
    let other = new_key();
    let home = home.with_environment(&[("LEDGER_KEY", other.trim())]);
    home.refused().expect(2, &["LEDGER_KEY", "this is the key of"]);
    let home = home.with_environment(&[("LEDGER_KEY", "PRIVATE+KEY+secret")]);
    let refused = home.refused();
    refused.expect(2, &["LEDGER_KEY", "not a private key"]);
    assert!(!refused.stderr.contains("secret"), "{refused:?}");
    home.configure("keys: { signing: { env: 'PRIVATE+KEY+secret' } }\n");
    let refused = home.refused();
    refused.expect(2, &["keys.signing.env", "and not its value"]);
    assert!(!refused.stderr.contains("secret"), "{refused:?}");
}

#[test]
fn encrypted_keys_from_birth_on() {
    let scene = Scene::new("born", "{ encryption: { passphrase_file: PLACE/passphrase } }", |place| {
        fs::write(place.join("passphrase"), "correct horse battery staple\n").expect("written");
    });
    let data = scene.home.data();
    for name in ["keys/signing.key", "keys/mac.key"] {
        let bytes = fs::read(data.join(name)).expect("a key");
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "), "{name}");
    }
    tachograph(&[&"check", &"--config", &scene.home.config(), &"--data", &data]).expect(0, &[]);
    let collector = scene.home.start();
    scene.send(&collector, 30);
    collector.wait_archived();
    collector.stop();
    verify(&data, &[&"--config", &scene.home.config()]).expect_clean();
    verify(&data.join("archive"), &[&"--key", &data.join("ledger.vkey")]).expect_clean();
    // Without the passphrase, and with another.
    let told = verify(&data, &[]);
    assert!(told.code == 2 && told.report.to_string().contains("keys.encryption"), "{told:?}");
    // It goes into other hands: as `init` makes it, it needs nothing of this machine's.
    let escrow = data.join("mac-escrow.key");
    verify(&data.join("archive"), &[&"--key", &data.join("ledger.vkey"), &"--mac-key", &escrow]).expect_clean();
    let sealed = tachograph(&[&"verify", &data.join("archive"), &"--mac-key", &data.join("keys/mac.key")]);
    sealed.expect(2, &["mac.key", "age -d"]);
    fs::write(scene.path("passphrase"), "another\n").expect("written");
    scene.home.refused().expect(2, &["keys/mac.key", "another passphrase or identity"]);
    scene.home.configure("archive: { max_age: 200ms }\n");
    scene.home.refused().expect(2, &["keys/mac.key", "keys.encryption"]);
}

#[test]
fn a_ledger_in_use_is_encrypted_and_decrypted() {
    let scene = Scene::new("in use", "{ }", |_| {});
    let data = scene.home.data();
    let collector = scene.home.start();
    scene.send(&collector, 30);
    collector.wait_archived();
    collector.stop();
    // Of epochs that this ledger will not reach: they wait.
    let ended = [7, 8].map(|epoch| data.join(format!("keys/mac-{epoch:020}.ended")));
    for (epoch, path) in [7, 8].into_iter().zip(&ended) {
        fs::write(path, format!("tachograph-mac-ended/v2\n{epoch}\n{}\n", "5a".repeat(32))).expect("written");
    }
    let plain: Vec<Vec<u8>> = keys_of(&data);

    fs::write(scene.path("passphrase"), "correct horse battery staple\n").expect("written");
    let encryption = format!("passphrase_file: {}", scene.path("passphrase").display());
    scene.home.configure(&format!("keys: {{ encryption: {{ {encryption} }} }}\narchive: {{ max_age: 200ms }}\n"));
    let given: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"--config", &scene.home.config(), &"--data", &data];
    let key = |what: &str| tachograph(&[&"key", &what, given[0], given[1], given[2], given[3]]);
    // Plain keys go on working, and are told of.
    let checked = tachograph(&[&"check", given[0], given[1], given[2], given[3]]);
    checked.expect(0, &["keys/mac.key", "not encrypted", "tachograph key encrypt"]);

    let collector = scene.home.start();
    key("encrypt").expect(2, &["in use by another collector"]);
    collector.stop();
    // An interrupted one goes on, and leaves nothing behind that is plain.
    let (signing, new) = (data.join("keys/signing.key"), data.join("keys/signing.key.new"));
    for interrupted in [&ended[1], &signing] {
        key("encrypt").expect(0, &[]);
        let text = &plain[KEYS.iter().position(|name| interrupted.ends_with(name)).expect("one of them")];
        fs::write(interrupted, text).expect("written");
        fs::write(&new, text).expect("written");
        tachograph(&[&"check", given[0], given[1], given[2], given[3]]).expect(0, &["not encrypted"]);
    }
    let told = key("encrypt");
    assert!(told.code == 0 && told.stdout.contains("keys/signing.key encrypted"), "{told:?}");
    fs::write(&new, &plain[0]).expect("written");
    let told = key("encrypt");
    assert!(told.code == 0 && told.stdout.contains("Nothing to do"), "{told:?}");
    let (escrow, plain_escrow) = (fs::read(data.join("mac-escrow.key")).expect("it"), &plain[4]);
    assert_eq!(&escrow, plain_escrow, "it goes into other hands");
    for (bytes, plain) in keys_of(&data).iter().zip(&plain).take(4) {
        assert!(bytes.starts_with(b"age-encryption.org/v1\n") && bytes != plain);
    }
    assert!(!data.join("keys/signing.key.new").exists() && !data.join("keys/mac.key.new").exists());
    let collector = scene.home.start();
    scene.send(&collector, 30);
    collector.wait_archived();
    collector.stop();
    verify(&data, &[&"--config", &scene.home.config()]).expect_clean();

    key("decrypt").expect(0, &[]);
    assert_eq!(keys_of(&data), plain);
    expect_verified(&data);
}

const KEYS: [&str; 5] = [
    "keys/signing.key",
    "keys/mac.key",
    "keys/mac-00000000000000000007.ended",
    "keys/mac-00000000000000000008.ended",
    "mac-escrow.key",
];

fn keys_of(data: &Path) -> Vec<Vec<u8>> {
    KEYS.map(|name| fs::read(data.join(name)).expect("a key")).to_vec()
}

#[test]
fn an_interrupted_init_may_be_removed_and_a_ledger_that_lost_its_identity_may_not() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    for name in ["keys", "journal"] {
        fs::create_dir_all(data.join(name)).expect("made");
    }
    fs::write(data.join("keys/signing.key"), "").expect("written");
    let init = || tachograph(&[&"init", &data, &"--name", &"e2e.example/ai-audit"]);
    init().expect(2, &["half made", "Remove it"]);
    fs::write(data.join("journal/00000000000000000000.tgj"), "records").expect("written");
    let refused = init();
    refused.expect(2, &["not empty"]);
    assert!(!refused.stderr.contains("Remove it"), "{refused:?}");
}
