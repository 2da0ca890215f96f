//! The ledger as it is, and the proof that these tests can fail.

use std::fs;

use tachograph_exporters::verify::Axis;

use crate::scene::{Scene, Signer, expect_tampered};
use crate::table::Table;

#[test]
fn an_untouched_ledger_is_clean() {
    let scene = Scene::archived();
    scene.verify_archive(&[]).expect_clean();
    scene.verify_data_dir().expect_clean();
    let verified = scene.verify_with_checkpoint();
    verified.expect_clean();
    assert_eq!(verified.verdict(Axis::NonEquivocation), "pass");
    assert!(verified.report["records"].as_u64() >= Some(345), "{:#}", verified.report);
    assert!(verified.report["commits"].as_u64() >= Some(4), "{:#}", verified.report);
}

#[test]
fn an_untouched_tail_is_no_tampering_but_not_covered_either() {
    let verified = Scene::with_tail().verify_data_dir();
    assert_eq!((verified.code, verified.verdict(Axis::Integrity)), (2, "pass"), "{:#}", verified.report);
    assert_eq!(verified.verdict(Axis::Coverage), "incomplete");
}

/// An edit that changes nothing: a byte is written over with itself, and files get new times and modes.
#[test]
fn an_edit_that_changes_nothing_is_no_tampering() {
    let scene = Scene::archived();
    for path in tachograph_tests::tree::files(&scene.home.archive()) {
        tachograph_tests::tree::replace(&path, &fs::read(&path).unwrap());
    }
    scene.verify_with_checkpoint().expect_clean();
    // The attacker's own tool gives back what it read.
    let path = scene.object(1, false);
    let table = Table::read(&path);
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), table.write()).unwrap();
    assert_eq!(Table::read(elsewhere.path()).rows, table.rows);
    // And a thief who changes nothing is not noticed: the objects' bytes differ, the records do not.
    scene.rewrite(-1, false, Signer::Thief, |_| {});
    scene.verify_with_checkpoint().expect_clean();
}

/// The canary: the check that all these tests use must refuse a ledger that nobody touched. If it let that pass, a tamper that
/// verification misses would pass too.
#[test]
#[should_panic(expected = "canary: not found")]
fn a_missed_tamper_fails_the_test() {
    expect_tampered(&Scene::archived().verify_with_checkpoint(), &[Axis::Integrity], "canary");
}

/// The same for the axis: tampering that is found on another axis than the one expected is not good enough.
#[test]
#[should_panic(expected = "canary: Time")]
fn a_wrong_axis_fails_the_test() {
    let scene = Scene::archived();
    fs::remove_file(scene.object(0, false)).unwrap();
    expect_tampered(&scene.verify_archive(&[]), &[Axis::Time], "canary");
}
