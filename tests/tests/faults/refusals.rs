//! What an operator can get wrong: each time exit code 2, a message that names the thing and the remedy, and nothing changed.

use std::fs;
use std::net::TcpListener;

use tachograph_tests::command::{Outcome, expect_verified, tachograph};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::export;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::seed::Random;
use tachograph_tests::tree::{differences, replace, snapshot};

/// A ledger with some records, stopped in good order.
fn used() -> Home {
    used_with().0
}

/// The same, with the request that brought the records.
fn used_with() -> (Home, Vec<u8>) {
    let home = Home::new(SMALL);
    let collector = home.start();
    let (_, spans) = Events::new(&mut Random::of_test("refusals")).generations(10);
    let request = request(spans);
    assert_eq!(export(collector.http, "/v1/traces", &request).status, 200);
    collector.stop();
    (home, request)
}

/// The cause of a refusal is gone: the ledger goes on, and still knows what it has.
#[track_caller]
fn expect_good(home: &Home, request: &[u8]) {
    let collector = home.start();
    assert_eq!(export(collector.http, "/v1/traces", request).status, 200);
    assert_eq!(collector.metric("tachograph_duplicate_records_total"), 10.0);
    collector.stop();
    expect_verified(&home.data());
}

/// Runs `attempt`; it must be refused with these words and leave the ledger as it was.
#[track_caller]
fn expect_refused(home: &Home, words: &[&str], attempt: impl FnOnce() -> Outcome) {
    let before = snapshot(&home.data());
    let outcome = attempt();
    outcome.expect(2, words);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    let changed = differences(&before, &snapshot(&home.data()));
    assert!(changed.is_empty(), "{changed:?} after {}", outcome.stderr);
}

#[test]
fn a_second_process_on_the_same_directory() {
    let home = used();
    let running = home.start();
    let data = home.data().display().to_string();
    home.refused().expect(2, &[&data, "is in use by another collector", "stop the other"]);
    // The first one goes on.
    let (_, span) = Events::new(&mut Random::of_test("second process")).generation();
    assert_eq!(export(running.http, "/v1/traces", &request(vec![span])).status, 200);
    running.stop();
    expect_verified(&home.data());
}

#[test]
fn a_port_in_use() {
    let (home, request) = used_with();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has an address").to_string();
    for option in ["--grpc", "--http", "--admin"] {
        let mut arguments = vec!["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let at = arguments.iter().position(|argument| *argument == option).expect("it is one of them");
        arguments[at + 1] = &address;
        expect_refused(&home, &[&address, option], || home.refused_with(&arguments));
    }
    expect_good(&home, &request);
}

#[test]
fn no_ledger_there() {
    let home = used();
    let empty = tempfile::tempdir().expect("a temporary directory");
    let path = empty.path().join("nothing");
    for command in [["run", "--data"], ["check", "--data"]] {
        let outcome = tachograph(&[&command[0], &command[1], &path]);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.code, 2, "{said}");
        assert!(said.contains("holds no ledger") && said.contains("tachograph init"), "{said}");
        assert!(!path.exists(), "a ledger is never made by accident");
    }
    // Nor where something is already.
    expect_refused(&home, &["is not empty", "new or empty directory"], || tachograph(&[&"init", &home.data()]));
}

#[test]
fn a_file_where_a_directory_should_be() {
    let home = used();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let name = file.path().display().to_string();
    for command in ["run", "check"] {
        let outcome = tachograph(&[&command, &"--data", &file.path()]);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.code, 2, "{said}");
        assert!(said.contains(&name) && said.contains("is a file") && said.contains("another directory"), "{said}");
    }
    tachograph(&[&"init", &file.path()]).expect(2, &[&name, "is a file"]);
    // The archive in particular.
    home.configure(&format!("archive: {{path: {name}}}"));
    expect_refused(&home, &[&name, "directory"], || home.refused());
}

#[test]
fn an_archive_that_cannot_be_written() {
    // A place in which not even root can create a directory.
    let home = Home::new("archive: {path: /proc/tachograph-archive}");
    expect_refused(&home, &["/proc/tachograph-archive"], || home.refused());
}

#[test]
fn an_archive_of_another_ledger() {
    let (home, other) = (used(), used());
    // Same name, other key.
    home.configure(&format!("archive: {{path: {}}}", other.archive().display()));
    let before = snapshot(&other.data());
    expect_refused(&home, &["is the archive of a ledger with key"], || home.refused());
    assert!(differences(&before, &snapshot(&other.data())).is_empty());
}

#[test]
fn a_journal_of_another_ledger() {
    let ((home, request), other) = (used_with(), used());
    let (mine, theirs) =
        (home.journal_files().pop().expect("a journal"), other.journal_files().pop().expect("a journal"));
    // The ledgers of the tests have one name, so that the key is what tells them apart: the chain begins with it.
    let own = fs::read(&mine).expect("it can be read");
    replace(&mine, &fs::read(theirs).expect("it can be read"));
    expect_refused(&home, &["record", "restore the journal"], || home.refused());
    replace(&mine, &own);
    expect_good(&home, &request);
}

#[test]
fn a_newer_format() {
    let home = used();
    let path = home.data().join("ledger.json");
    let text = fs::read_to_string(&path).expect("it can be read");
    replace(&path, text.replace("\"format\":\"1\"", "\"format\":\"2\"").as_bytes());
    expect_refused(&home, &["ledger.json", "has format \"2\"", "newer tachograph"], || home.refused());
    expect_refused(&home, &["ledger.json", "has format \"2\""], || tachograph(&[&"verify", &home.data()]));

    let home = used();
    let path = home.archive().join("ledger.json");
    let text = fs::read_to_string(&path).expect("it can be read");
    replace(&path, text.replace("\"format\":\"1\"", "\"format\":\"2\"").as_bytes());
    expect_refused(&home, &["format \"2\"", "newer release"], || home.refused());
}

#[test]
fn a_missing_or_wrong_key() {
    let other = used();
    for key in ["keys/signing.key", "keys/mac.key"] {
        let (home, request) = used_with();
        let path = home.data().join(key);
        let own = fs::read(&path).expect("it can be read");
        fs::remove_file(&path).expect("it was there");
        expect_refused(&home, &[key, "missing", "Restore it"], || home.refused());
        replace(&path, b"nonsense\n");
        expect_refused(&home, &[key], || home.refused());
        replace(&path, &fs::read(other.data().join(key)).expect("it can be read"));
        expect_refused(&home, &[], || home.refused());
        replace(&path, &own);
        expect_good(&home, &request);
    }
    let home = used();
    replace(
        &home.data().join("keys/signing.key"),
        &fs::read(other.data().join("keys/signing.key")).expect("it can be read"),
    );
    expect_refused(&home, &["keys/signing.key", "this is the key of", "Put the right key back"], || home.refused());
    // A verifier with the wrong key is told so; that is a finding, not a mistake in use.
    let wrong = tachograph(&[&"verify", &home.archive(), &"--key", &other.data().join("ledger.vkey")]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
}

#[test]
fn a_configuration_that_cannot_work() {
    let (home, request) = used_with();
    let cases: [(&str, &[&str]); 8] = [
        ("archive: {max_agee: 5s}", &["max_agee", "max_age"]),
        ("jurnal: {}", &["jurnal", "journal"]),
        ("archive: {max_age: soon}", &["soon", "500ms"]),
        (
            "receive: {bearer_tokens: [abcdefghijklmnopqrstuvwxyz], bearer_token_file: /nowhere}",
            &["exclude each other", "keep one"],
        ),
        ("receive: {grpc: off, http: off}\nadmin: off", &["both off"]),
        ("journal: {max_bytes: 1MiB}", &["journal.max_bytes", "at least 4 times"]),
        ("receive: {grpc: here}", &["here", "127.0.0.1:4317"]),
        ("archive: {compression_level: 50}\nduplicates: {retention: 1h}", &["compression_level", "24h"]),
    ];
    for (text, words) in cases {
        home.configure(text);
        let name = home.config().display().to_string();
        // Without addresses on the command line, which would win over those in the file.
        let all: Vec<&str> = words.iter().copied().chain([name.as_str()]).collect();
        expect_refused(&home, &all, || home.refused_with(&[]));
        expect_refused(&home, words, || tachograph(&[&"check", &"-c", &home.config(), &"--data", &home.data()]));
    }
    home.configure(SMALL);
    expect_good(&home, &request);
    let nowhere = home.config().with_file_name("other.yaml");
    expect_refused(&home, &["other.yaml", "-c"], || tachograph(&[&"run", &"-c", &nowhere, &"--data", &home.data()]));
}

#[test]
fn wrong_use_of_the_command_line() {
    let home = used();
    for (arguments, words) in [
        (&["run", "--grcp", "127.0.0.1:1"][..], "--grcp"),
        (&["verify"][..], "PLACE"),
        (&["forget"][..], "forget"),
        (&["run", "--grpc", "nowhere"][..], "nowhere"),
    ] {
        let all: Vec<&dyn AsRef<std::ffi::OsStr>> = arguments.iter().map(|argument| argument as _).collect();
        tachograph(&all).expect(2, &[words]);
    }
    let axis = tachograph(&[&"verify", &home.data(), &"--require", &"truth"]);
    axis.expect(2, &["truth", "integrity"]);
}
