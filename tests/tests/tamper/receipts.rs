//! The holder of all keys changes or drops records after they were acknowledged and before anybody saw a checkpoint. Nothing in the
//! ledger tells; the receipts that the senders kept do.

use std::fs;

use serde_json::json;
use tachograph_exporters::verify::Axis;

use crate::scene::{Scene, change_prompt, expect_tampered};

#[test]
fn receipts_of_an_untouched_ledger_agree_and_are_a_memory_outside() {
    let scene = Scene::archived();
    let verified = scene.verify_with_receipts();
    verified.expect_clean();
    assert_eq!(verified.verdict(Axis::NonEquivocation), "pass", "{:#}", verified.report);
    let lines = fs::read_to_string(scene.receipts()).unwrap();
    let (all, bare) = (lines.lines().count(), lines.lines().filter(|line| line.contains(" - ")).count());
    let receipts = &verified.report["receipts"];
    assert_eq!(all, 345);
    // Some 95 records fit with all their hashes; the larger request got the hash of its last record.
    assert!(bare > 0 && bare < all, "{bare}");
    assert_eq!((&receipts["checked"], &receipts["without_hash"]), (&json!(all - bare), &json!(bare)));
    assert_eq!((&receipts["differ"], &receipts["missing"], &receipts["unchecked"]), (&json!(0), &json!(0), &json!(0)));
    // A directory of them does as well, and the order of lines is of no account.
    let directory = tempfile::tempdir().unwrap();
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.reverse();
    for (number, some) in lines.chunks(100).enumerate() {
        fs::write(directory.path().join(number.to_string()), some.join("\n") + "\n").unwrap();
    }
    assert_eq!(scene.verify_archive(&[&"--receipts", &directory.path()]).report["receipts"], *receipts);
}

/// One record is changed, and everything behind it is sealed anew and signed, MACs too. Every axis is as before, but for the receipt.
#[test]
fn a_record_that_the_key_holder_changed_after_the_acknowledgement_is_found_by_a_receipt() {
    let scene = Scene::archived();
    let forged = tempfile::tempdir().unwrap();
    let mac_key = scene.escrowed_mac_key();
    scene.rechain(forged.path(), scene.stolen(), mac_key, |index, body| {
        if index == 150 {
            change_prompt(body);
        }
    });
    scene.replace_archive(forged.path());
    let without = scene.verify_archive(&[]);
    without.expect_clean();
    for axis in [Axis::Integrity, Axis::Authenticity, Axis::Coverage] {
        assert_eq!(without.verdict(axis), "pass");
    }
    assert_eq!(without.verdict(Axis::NonEquivocation), "incomplete");
    let with = scene.verify_with_receipts();
    expect_tampered(&with, &[Axis::NonEquivocation], "changed after the acknowledgement");
    let finding = &with.report["findings"][0];
    assert_eq!(finding["index"], 150, "{:#}", with.report);
    assert!(finding["what"].as_str().unwrap().contains("receipts up to record 149 agree"), "{finding:#}");
    for axis in [Axis::Integrity, Axis::Authenticity, Axis::Coverage] {
        assert_eq!(with.verdict(axis), "pass");
    }

    // A single receipt of a later record is enough.
    let lines = fs::read_to_string(scene.receipts()).unwrap();
    let later = lines.lines().rfind(|line| !line.contains(" - ")).unwrap();
    let one = tempfile::NamedTempFile::new().unwrap();
    fs::write(one.path(), format!("{later}\n")).unwrap();
    expect_tampered(&scene.verify_archive(&[&"--receipts", &one.path()]), &[Axis::NonEquivocation], "one receipt");
    // One of an earlier record is not.
    let earlier = lines.lines().find(|line| !line.contains(" - ")).unwrap();
    fs::write(one.path(), format!("{earlier}\n")).unwrap();
    scene.verify_archive(&[&"--receipts", &one.path()]).expect_clean();
}

/// The newest acknowledged records are dropped, with commit and checkpoint: a whole older archive.
#[test]
fn acknowledged_records_that_were_dropped_are_found_by_their_receipts() {
    let scene = Scene::archived();
    let size = scene.commit(-1).1.first;
    // Everything behind the second segment goes.
    let keep = scene.commit(1).1.end();
    for path in [scene.notes("commit"), scene.notes("checkpoint")].concat() {
        let number: u64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        if number > keep || (number == keep && path.parent().unwrap().ends_with("commit")) {
            fs::remove_file(path).unwrap();
        }
    }
    let objects = tachograph_tests::tree::files(&scene.home.archive());
    for path in objects.iter().filter(|path| path.extension().is_some_and(|extension| extension == "parquet")) {
        let first: u64 = path.file_name().unwrap().to_str().unwrap().split('-').next().unwrap().parse().unwrap();
        if first >= keep {
            fs::remove_file(path).unwrap();
        }
    }
    assert!(keep < size);
    scene.verify_archive(&[]).expect_clean();
    let verified = scene.verify_with_receipts();
    expect_tampered(&verified, &[Axis::Coverage], "acknowledged records dropped");
    let finding = verified.report["findings"].as_array().unwrap().iter().find(|f| f["object"] == "receipts").unwrap();
    assert!(finding["index"].as_u64() >= Some(keep), "{finding:#}");
    assert!(verified.report["receipts"]["missing"].as_u64() > Some(0), "{:#}", verified.report["receipts"]);
    assert_eq!(verified.verdict(Axis::Integrity), "pass");
}

/// Records that wait in the journal are acknowledged and not lost: a data directory shows them, its archive alone does not.
#[test]
fn receipts_of_records_in_the_journal_are_good_where_the_journal_is() {
    let scene = Scene::with_tail();
    let receipts = scene.receipts();
    let verified = tachograph_tests::command::verify(&scene.home.data(), &[&"--receipts", &receipts]);
    assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (2, "pass"), "{:#}", verified.report);
    assert_eq!((&verified.report["receipts"]["missing"], verified.verdict(Axis::Coverage)), (&json!(0), "incomplete"));
    let archive = scene.verify_with_receipts();
    expect_tampered(&archive, &[Axis::Coverage], "the archive without its journal");
    assert_eq!(archive.report["receipts"]["missing"], 120);
    assert!(archive.report.to_string().contains("verify the data directory"));

    // A record of the journal is another one: the same ledger's tail, dropped and written anew.
    let lines = fs::read_to_string(&receipts).unwrap();
    let (head, last) = lines.trim_end().rsplit_once('\n').unwrap();
    let words: Vec<&str> = last.split(' ').collect();
    let other = format!("{} {} {} {} {}", words[0], words[1], words[2], "ab".repeat(32), words[4]);
    fs::write(&receipts, format!("{head}\n{other}\n")).unwrap();
    let verified = tachograph_tests::command::verify(&scene.home.data(), &[&"--receipts", &receipts]);
    expect_tampered(&verified, &[Axis::NonEquivocation], "another record in the journal");
}
