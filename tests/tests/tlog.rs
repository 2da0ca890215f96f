//! `tachograph export-tlog`, and Go's own transparency-log packages as the reader.

use std::fs;
use std::path::Path;
use std::process::Command;

use tachograph_tests::command::{run, tachograph};
use tachograph_tests::home::Home;
use tachograph_tests::http::export;
use tachograph_tests::otlp::{Events, request};
use tachograph_tests::seed::Random;
use tachograph_tests::tree;

/// The variable that names `tests/go/tlogcheck`, built.
const TLOGCHECK: &str = "TACHOGRAPH_TEST_TLOGCHECK";

fn check(log: &Path, key: &Path) -> (i32, String) {
    let Some(program) = std::env::var_os(TLOGCHECK) else {
        panic!("{TLOGCHECK} is not set; run `cargo xtask test rust`, which builds the program and names it")
    };
    let vkey = fs::read_to_string(key).expect("a key");
    let mut command = Command::new(program);
    command.arg(log).arg(vkey.trim());
    let told = run(command);
    (told.code, told.stdout + &told.stderr)
}

#[test]
fn go_reads_what_was_exported_and_what_was_brought_up_to_date() {
    let home = Home::new("archive: { max_age: 100ms }\n");
    let place = tempfile::tempdir().expect("a temporary directory");
    let (log, key) = (place.path().join("log"), home.data().join("ledger.vkey"));
    let events = Events::new(&mut Random::of_test("tlog"));
    for (count, enough) in [(40, 40), (700, 740)] {
        let collector = home.start();
        for _ in 0..count / 20 {
            assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(20).1)).status, 200);
        }
        collector.wait_archived();
        // Beside the running collector too.
        let exported = tachograph(&[&"export-tlog", &home.data(), &"-o", &log, &"--json"]);
        exported.expect(0, &[]);
        let size: u64 = exported.json()["size"].as_str().expect("a size").parse().expect("a number");
        assert!(size >= enough, "{size}");
        assert_eq!(check(&log, &key), (0, format!("{size} entries are good\n")));
        collector.stop();
    }
    // Full tiles, partial ones, and a second level.
    assert!(log.join("tile/0/000").is_file() && log.join("tile/entries/001").is_file());
    assert!(!tree::files(&log.join("tile/1")).is_empty());

    // A changed leaf, hash or signature is seen.
    for path in ["tile/entries/000", "tile/0/001", "checkpoint"] {
        let path = log.join(path);
        let good = fs::read(&path).expect("a file");
        let mut bad = good.clone();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        fs::write(&path, &bad).expect("written");
        assert_eq!(check(&log, &key).0, 1, "{}", path.display());
        fs::write(&path, &good).expect("written");
    }
    // Another ledger's files are not written over.
    let other = Home::new("archive: { max_age: 100ms }\n");
    let collector = other.start();
    assert_eq!(export(collector.http, "/v1/traces", &request(events.generations(1).1)).status, 200);
    collector.wait_archived();
    collector.stop();
    // Tests' ledgers have one name, so that only the key tells them apart.
    let told = tachograph(&[&"export-tlog", &other.data(), &"-o", &log]);
    assert_eq!(told.code, 2, "{told:?}");
}
