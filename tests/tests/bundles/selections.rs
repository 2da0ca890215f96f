//! What can be asked for, in which form it comes, and what is said where nothing can be proven.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tachograph_exporters::bundle::files::Files;
use tachograph_tests::command::tachograph;
use tachograph_tests::programs::{self, interpreter};

use crate::expect;

const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/archive-v1/archive");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/archive-v1/ledger.vkey");

/// A member of some record of the golden archive.
fn some(member: &str) -> String {
    let records = tachograph_tests::stored::archived(ARCHIVE.as_ref());
    let found = records.iter().find_map(|record| Some(record.body()[member].as_str()?.to_owned()));
    found.unwrap_or_else(|| panic!("no record has a {member}"))
}

#[test]
fn an_event_a_chain_a_session_a_time_and_a_run_can_be_proven() {
    let place = tempfile::tempdir().unwrap();
    let (event, correlation, session) = (some("event_id"), some("correlation_id"), some("session_id"));
    let selections: [(&str, Vec<&str>, &str); 6] = [
        ("event", vec![&event], "incomplete"),
        ("correlated", vec![&correlation], "incomplete"),
        ("chain", vec![&event, "--chain"], "incomplete"),
        ("session", vec!["--session", &session], "incomplete"),
        ("time", vec!["--from", "2026-01-01", "--to", "2027-01-01T00:00:00Z"], "incomplete"),
        ("run", vec!["--indexes", "5-20"], "pass"),
    ];
    for (name, arguments, completeness) in selections {
        for file in [name.to_owned(), format!("{name}.zip")] {
            let bundle = place.path().join(file);
            let mut command = programs::command();
            let made =
                command.arg("prove").args(&arguments).args(["--data", ARCHIVE, "-o"]).arg(&bundle).output().unwrap();
            assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
            let verified = tachograph(&[&"verify", &bundle, &"--key", &KEY, &"--json"]);
            expect(&verified, 0, &[]);
            assert_eq!(verified.json()["axes"]["completeness"]["verdict"], completeness, "{name}");
            // Nothing is written over.
            let again =
                programs::command().arg("prove").args(&arguments).args(["--data", ARCHIVE, "-o"]).arg(&bundle).output();
            assert_eq!(again.unwrap().status.code(), Some(2), "{name}");
        }
    }
    // All 27 records, and a body in each.
    let whole = place.path().join("whole");
    expect(&tachograph(&[&"prove", &"--indexes", &"0-26", &"--data", &ARCHIVE, &"-o", &whole]), 0, &["27 records"]);
    assert_eq!(fs::read_to_string(whole.join("records.jsonl")).unwrap().lines().count(), 27);
}

#[test]
fn what_can_not_be_proven_is_said() {
    let place = tempfile::tempdir().unwrap();
    let prove = |arguments: &[&str], code: i32, words: &[&str]| {
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"prove", &"--data", &ARCHIVE, &"-o"];
        let output = place.path().join("never");
        all.push(&output);
        arguments.iter().for_each(|argument| all.push(argument));
        expect(&tachograph(&all), code, words);
        assert!(!output.exists());
    };
    prove(&["no-such-event"], 4, &["no record is the event no-such-event"]);
    prove(&["--session", "no-such-session"], 4, &["session no-such-session"]);
    prove(&["--indexes", "20-40"], 4, &["the ledger ends at 27"]);
    prove(&["--indexes", "9-3"], 2, &["end comes before its beginning"]);
    prove(&["--indexes", "x"], 2, &["100-199"]);
    prove(&["--indexes", "0-18446744073709551615"], 2, &["at most 100000"]);
    prove(&["--from", "2026-01-02", "--to", "2026-01-01"], 2, &["end comes before its beginning"]);
    prove(&["--from", "yesterday", "--to", "2026-01-01"], 2, &["is no time"]);
    prove(&[], 2, &["required"]);
}

#[test]
fn a_zip_that_lies_about_itself_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let good = place.path().join("good.zip");
    expect(&tachograph(&[&"prove", &"--indexes", &"3", &"--data", &ARCHIVE, &"-o", &good]), 0, &[]);
    let bytes = fs::read(&good).unwrap();
    // Every cut and many changed bytes: a verdict or an error, never a pass and never a crash.
    for at in (4..bytes.len()).step_by(97) {
        let cut = place.path().join("cut.zip");
        fs::write(&cut, &bytes[..at]).unwrap();
        let told = tachograph(&[&"verify", &cut, &"--key", &KEY]);
        assert_eq!(told.code, 2, "cut at {at}: {}{}", told.stdout, told.stderr);
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        fs::write(&cut, &changed).unwrap();
        let told = tachograph(&[&"verify", &cut, &"--key", &KEY, &"--json"]);
        // Bytes that no reader looks at, such as dates, change nothing.
        match told.code {
            0 => assert_eq!(told.json()["findings"], Value::Array(Vec::new())),
            code => assert!(matches!(code, 1 | 2), "changed at {at}: {code} {}", told.stderr),
        }
    }
}

/// A small zip that would unpack to much is refused before anything of it is unpacked; one of ours that packs well is not.
#[test]
fn a_bomb_is_refused_by_what_it_says_and_by_what_comes() {
    let place = tempfile::tempdir().unwrap();
    let zeros = vec![0; 70 << 20];
    let bomb = place.path().join("bomb.zip");
    let mut files = Files::default();
    files.insert("bundle.json", "{}");
    files.insert("records.jsonl", zeros);
    files.write_zip(&bomb).unwrap();
    // What this program writes it reads.
    assert_eq!(Files::read(&bomb).unwrap(), files);
    assert!(fs::metadata(&bomb).unwrap().len() > 70 << 20, "stored, since it packs too well");

    let mut told = Vec::new();
    for (name, lie) in [("honest", None), ("lying", Some(1_000_u32))] {
        let path = place.path().join(format!("{name}.zip"));
        pack_zeros(&path, lie);
        let packed = fs::metadata(&path).unwrap().len();
        assert!(packed < 1 << 18, "{packed}");
        told.push(tachograph(&[&"verify", &path, &"--key", &KEY]));
    }
    expect(&told[0], 2, &["64 MiB that unpack from less than a hundredth"]);
    assert_eq!(told[1].code, 2, "{}{}", told[1].stdout, told[1].stderr);
}

/// 70 MiB of zeros as one entry, by a foreign program. `said` is what the directory says of its size instead.
fn pack_zeros(path: &Path, said: Option<u32>) {
    let script = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as zip:\n\
        \x20   zip.writestr('bundle.json', '{}')\n\
        \x20   zip.writestr('records.jsonl', bytes(70 << 20))\n";
    let mut python = interpreter();
    assert!(python.args(["-c", script]).arg(path).status().unwrap().success());
    if let Some(said) = said {
        let mut bytes = fs::read(path).unwrap();
        let (real, said) = ((70_u32 << 20).to_le_bytes(), said.to_le_bytes());
        let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..*at + 4] == real).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at..at + 4].copy_from_slice(&said));
        fs::write(path, bytes).unwrap();
    }
}
