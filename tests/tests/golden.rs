//! What earlier releases wrote stays readable: archives and a journal, kept as they were.

use std::path::{Path, PathBuf};

use tachograph_collector::journal::Journal;
use tachograph_exporters::verify::Axis;
use tachograph_ledger::{Commit, Lock, MacKey, MacScheme, ObjectKind, VerifyingKey, leaf_hash};
use tachograph_record::{Body, Hex};
use tachograph_tests::command::verify;

const RECORDS: u64 = 27;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/archive-v1")
}

fn with_retention() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/archive-v2")
}

#[test]
fn the_archive_is_read_and_verified() {
    let (key, mac_key) = (golden().join("ledger.vkey"), golden().join("mac-escrow.key"));
    let verified = verify(&golden().join("archive"), &[&"--key", &key, &"--mac-key", &mac_key]);
    verified.expect_clean();
    assert_eq!(verified.report["records"], RECORDS);
    // All numbers are there. Its producer is of a release that did not say that it closes.
    assert_eq!(verified.verdict(Axis::Completeness), "incomplete");
    let producers = verified.report["producers"].as_array().unwrap();
    assert!(producers.iter().all(|producer| producer["missing"] == 0 && producer["state"] == "open"), "{producers:?}");
    let reasons = verified.report["axes"]["completeness"]["reasons"].as_array().unwrap();
    assert!(reasons.len() == 1 && reasons[0].as_str().unwrap().contains("OPEN"), "{reasons:?}");
}

#[test]
fn the_journal_is_read_and_says_the_same() {
    let read = |name: &str| std::fs::read_to_string(golden().join(name)).unwrap();
    let vkey = VerifyingKey::parse(read("ledger.vkey").trim()).unwrap();
    let escrow = read("mac-escrow.key");
    let mac_key = MacKey::initial(MacScheme::V1, Hex::<32>::parse(escrow.lines().nth(2).unwrap()).unwrap().0);
    let journal = Journal::read_only(&golden().join("journal"), vkey.name().as_str()).unwrap();
    let mut frames = journal.read_from(0).unwrap();
    let mut next = 0;
    while let Some(frame) = frames.next_frame().unwrap() {
        for record in frame.records() {
            assert_eq!(record.index, next);
            mac_key.verify(vkey.name(), next, &leaf_hash(record.leaf), &record.mac).unwrap();
            Body::parse(record.body).unwrap();
            next += 1;
        }
    }
    assert_eq!(next, RECORDS);
}

#[test]
fn the_archive_with_retention_is_read_and_verified() {
    let (key, mac_key) = (with_retention().join("ledger.vkey"), with_retention().join("mac-escrow.key"));
    let verified = verify(&with_retention().join("archive"), &[&"--key", &key, &"--mac-key", &mac_key]);
    verified.expect_clean();
    let count = |name: &str| verified.report[name].as_u64().unwrap();
    assert_eq!((count("records"), count("bodies"), count("destroyed")), (15, 12, 3));
    assert_eq!((count("commits"), count("objects")), (3, 11));
    let reasons = verified.report["axes"]["integrity"]["reasons"].to_string();
    assert!(
        reasons.contains("as record 10 certifies") && reasons.contains("2 objects that no commit names"),
        "{reasons}"
    );
    assert_eq!(verified.report["orphans"].as_array().map(Vec::len), Some(2), "{:#}", verified.report);
    assert_eq!(verified.verdict(Axis::Storage), "incomplete");
}

#[test]
fn its_commits_sign_classes_and_dates() {
    let vkey = std::fs::read_to_string(with_retention().join("ledger.vkey")).unwrap();
    let vkey = VerifyingKey::parse(vkey.trim()).unwrap();
    let note = std::fs::read(with_retention().join("archive/commit/00000000000000000000")).unwrap();
    let commit = Commit::open(&note, &vkey).unwrap();
    // Sealed at 2026-11-20T12:00:06.1Z: the dates count from the second after.
    let base = 1_795_176_007;
    let terms = commit.terms.unwrap();
    assert_eq!((terms.lock, terms.retain_until), (Lock::None, base + 760 * 86_400));
    assert_eq!(terms.writer, "golden:1:00112233445566778899aabbccddeeff");
    let objects: Vec<_> = commit
        .objects
        .iter()
        .map(|object| match &object.kind {
            ObjectKind::Leaves => ("leaves", object.rows, object.retain_until.unwrap() - base),
            ObjectKind::Records { class } => (class.as_str(), object.rows, object.retain_until.unwrap() - base),
        })
        .collect();
    let days = |days: u64| days * 86_400;
    assert_eq!(
        objects,
        [("leaves", 7, days(760)), ("default", 3, days(730)), ("prompts", 3, days(1)), ("recorder", 1, days(760))]
    );
}
