//! What the first release wrote stays readable: an archive and a journal, kept as they were.

use std::path::{Path, PathBuf};

use tachograph_collector::journal::Journal;
use tachograph_exporters::verify::Axis;
use tachograph_ledger::{MacKey, VerifyingKey, leaf_hash};
use tachograph_record::{Body, Hex};
use tachograph_tests::command::verify;

const RECORDS: u64 = 27;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/archive-v1")
}

#[test]
fn the_archive_is_read_and_verified() {
    let (key, mac_key) = (golden().join("ledger.vkey"), golden().join("mac-escrow.key"));
    let verified = verify(&golden().join("archive"), &[&"--key", &key, &"--mac-key", &mac_key]);
    verified.expect_clean();
    assert_eq!(verified.report["records"], RECORDS);
    assert_eq!(verified.verdict(Axis::Completeness), "pass");
}

#[test]
fn the_journal_is_read_and_says_the_same() {
    let read = |name: &str| std::fs::read_to_string(golden().join(name)).unwrap();
    let vkey = VerifyingKey::parse(read("ledger.vkey").trim()).unwrap();
    let escrow = read("mac-escrow.key");
    let mac_key = MacKey::initial(Hex::<32>::parse(escrow.lines().nth(2).unwrap()).unwrap().0);
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
