//! Edits within the archive's objects.

use std::fs;

use tachograph_exporters::verify::Axis;
use tachograph_ledger::leaf_hash;
use tachograph_tests::seed::Random;
use tachograph_tests::tree::replace;

use crate::scene::{Scene, Signer, change_prompt, expect_tampered, row_with_prompt, text};
use crate::table::{Cell, Table};

const FLIPS: usize = 8;
const SIGNERS: [Signer; 3] = [Signer::Nobody, Signer::Attacker, Signer::Thief];

/// What fails besides the axis of the edit itself, by who signed it.
fn axes(signer: Signer, own: &[Axis]) -> Vec<Axis> {
    let mut axes = own.to_vec();
    if signer != Signer::Thief {
        axes.push(Axis::Authenticity);
    }
    axes
}

#[test]
fn flipped_bytes_are_found_in_every_kind_of_object() {
    let mut random = Random::of_test("flips");
    let scene = Scene::archived();
    let objects = [
        ("leaves", scene.object(1, true)),
        ("records", scene.object(1, false)),
        ("newest leaves", scene.object(-1, true)),
        ("newest records", scene.object(-1, false)),
        ("commit", scene.notes("commit")[1].clone()),
        ("newest commit", scene.commit(-1).0),
        ("checkpoint", scene.notes("checkpoint")[1].clone()),
        ("newest checkpoint", scene.notes("checkpoint").last().unwrap().clone()),
    ];
    for (kind, path) in objects {
        let whole = fs::read(&path).unwrap();
        for _ in 0..FLIPS {
            let (at, mask) = (random.at(whole.len()), 1 << random.below(8));
            let mut bytes = whole.clone();
            bytes[at] ^= mask;
            replace(&path, &bytes);
            expect_tampered(&scene.verify_archive(&[]), &[], &format!("{kind}, byte {at} ^ {mask:#x}"));
        }
        replace(&path, &whole);
    }
    scene.verify_archive(&[]).expect_clean();
}

#[test]
fn a_changed_ledger_json_is_found() {
    let scene = Scene::archived();
    let path = scene.in_archive("ledger.json");
    let whole = fs::read_to_string(&path).unwrap();
    let edits = [
        ("ledger", "e2e.example/ai-audit", "e2e.example/ai-audiT"),
        ("key", "+A", "+B"),
        ("member", "\"ledger\"", "\"lodger\""),
    ];
    for (what, from, to) in edits {
        assert!(whole.contains(from));
        replace(&path, whole.replace(from, to).as_bytes());
        expect_tampered(&scene.verify_archive(&[]), &[], what);
    }
    fs::remove_file(&path).unwrap();
    expect_tampered(&scene.verify_archive(&[]), &[Axis::Integrity], "ledger.json removed");
}

/// The body is changed, the Parquet object written anew, and every hash in the commit fitted to it.
#[test]
fn a_changed_body_is_found() {
    for signer in SIGNERS {
        let scene = Scene::archived();
        scene.rewrite(1, false, signer, |table| {
            let row = row_with_prompt(table);
            change_prompt(table.bytes(row, "body"));
        });
        let verified = scene.verify_archive(&[]);
        expect_tampered(&verified, &axes(signer, &[Axis::Integrity]), &format!("body, signed by {signer:?}"));
        let findings = verified.report["findings"].as_array().unwrap();
        let named = findings.iter().any(|finding| finding["row"].is_u64() && finding["index"].is_u64());
        assert!(named, "no finding names row and index: {findings:?}");
    }
}

#[test]
fn a_typed_column_that_lies_is_found() {
    type Lie = (&'static str, Cell);
    let lies: [Lie; 6] = [
        ("actor_id", text("somebody-else")),
        ("model", Cell::Null),
        ("outcome", text("failure")),
        ("timestamp", Cell::Int(1)),
        ("event_id", Cell::Bytes(vec![7; 16])),
        ("cost", Cell::Double(0.25)),
    ];
    for (column, lie) in lies {
        for signer in [Signer::Nobody, Signer::Thief] {
            let scene = Scene::archived();
            scene.rewrite(2, false, signer, |table| {
                let row = row_with_prompt(table);
                assert_ne!(*table.cell(row, column), lie);
                *table.cell(row, column) = lie.clone();
            });
            let verified = scene.verify_archive(&[]);
            expect_tampered(&verified, &axes(signer, &[Axis::Integrity]), &format!("{column}, signed by {signer:?}"));
            assert!(verified.report.to_string().contains(&format!("column {column} has")), "{:#}", verified.report);
        }
    }
}

#[test]
fn a_changed_leaf_is_found_with_and_without_its_hash() {
    for signer in SIGNERS {
        for rehash in [false, true] {
            let scene = Scene::archived();
            scene.rewrite(1, true, signer, |table| {
                let leaf = table.bytes(9, "leaf");
                let at = leaf.windows(14).position(|window| window == b"\"event_time\":\"").unwrap() + 20;
                leaf[at] = if leaf[at] == b'1' { b'2' } else { b'1' };
                let hash = leaf_hash(leaf);
                if rehash {
                    *table.bytes(9, "hash") = hash.as_bytes().to_vec();
                }
            });
            let case = format!("leaf, hash mended: {rehash}, signed by {signer:?}");
            expect_tampered(&scene.verify_archive(&[]), &axes(signer, &[Axis::Integrity]), &case);
        }
    }
}

#[test]
fn a_changed_mac_is_found() {
    for signer in SIGNERS {
        let scene = Scene::archived();
        scene.rewrite(1, true, signer, |table| table.bytes(9, "mac")[3] ^= 1);
        expect_tampered(&scene.verify_archive(&[]), &[Axis::Authenticity], &format!("MAC, signed by {signer:?}"));
    }
}

#[test]
fn rows_deleted_inserted_or_reordered_are_found() {
    type Edit = fn(&mut Table);
    let edits: [(&str, Edit); 4] = [
        ("deleted", |table| drop(table.rows.remove(7))),
        ("inserted", |table| table.rows.insert(7, table.rows[8].clone())),
        ("reordered", |table| table.rows.swap(7, 8)),
        ("reordered, indexes mended", |table| {
            table.rows.swap(7, 8);
            let (one, two) = (table.cell(7, "index").clone(), table.cell(8, "index").clone());
            (*table.cell(7, "index"), *table.cell(8, "index")) = (two, one);
        }),
    ];
    for (what, edit) in edits {
        for leaves in [true, false] {
            for signer in [Signer::Nobody, Signer::Thief] {
                let scene = Scene::archived();
                scene.rewrite(1, leaves, signer, edit);
                let case = format!("row {what} (leaves: {leaves}), signed by {signer:?}");
                expect_tampered(&scene.verify_archive(&[]), &axes(signer, &[Axis::Integrity]), &case);
            }
        }
    }
    // In both objects alike, so that rows and leaves still belong together.
    for (what, edit) in edits {
        let scene = Scene::archived();
        scene.rewrite(1, true, Signer::Thief, edit);
        scene.rewrite(1, false, Signer::Thief, edit);
        expect_tampered(&scene.verify_archive(&[]), &[Axis::Integrity], &format!("row {what} in both objects"));
    }
}

#[test]
fn segments_that_change_places_are_found() {
    type Pair = fn(&Scene) -> [std::path::PathBuf; 2];
    let pairs: [(&str, Pair); 4] = [
        ("leaves", |scene| [scene.object(1, true), scene.object(2, true)]),
        ("records", |scene| [scene.object(1, false), scene.object(2, false)]),
        ("commits", |scene| [scene.commit(1).0, scene.commit(2).0]),
        ("checkpoints", |scene| [scene.notes("checkpoint")[1].clone(), scene.notes("checkpoint")[2].clone()]),
    ];
    for (what, pair) in pairs {
        let scene = Scene::archived();
        let [one, two] = pair(&scene);
        let (first, second) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
        replace(&one, &second);
        replace(&two, &first);
        expect_tampered(&scene.verify_archive(&[]), &[Axis::Integrity], &format!("{what} swapped"));
    }
}

#[test]
fn an_object_that_no_commit_names_is_found() {
    for leaves in [true, false] {
        let scene = Scene::archived();
        let object = scene.object(1, leaves);
        let (_, commit) = scene.commit(1);
        let mut table = Table::read(&object);
        if !leaves {
            let row = row_with_prompt(&mut table);
            *table.cell(row, "actor_id") = text("innocent");
        }
        let forged = object.with_file_name(format!("{:020}-3-0123456789abcdef.parquet", commit.first + 1));
        replace(&forged, &table.write());
        let verified = scene.verify_archive(&[]);
        expect_tampered(&verified, &[Axis::Integrity], "a forged object");
        assert!(verified.report.to_string().contains("slipped in"), "{:#}", verified.report);
    }
    // Behind the end it may be the remains of an interrupted segment: no tampering, but not clean either.
    let scene = Scene::archived();
    let object = scene.object(1, false);
    let end = scene.commit(-1).1.end();
    let forged = object.with_file_name(format!("{end:020}-3-0123456789abcdef.parquet"));
    replace(&forged, &fs::read(&object).unwrap());
    let verified = scene.verify_archive(&[]);
    assert_eq!((verified.code, verified.verdict(Axis::Coverage)), (2, "incomplete"), "{:#}", verified.report);
}

#[test]
fn a_missing_object_is_found() {
    type Pick = fn(&Scene) -> std::path::PathBuf;
    let picks: [(&str, Pick, Axis); 4] = [
        ("leaves", |scene| scene.object(1, true), Axis::Integrity),
        ("records", |scene| scene.object(1, false), Axis::Integrity),
        ("commit", |scene| scene.commit(1).0, Axis::Integrity),
        ("checkpoint", |scene| scene.notes("checkpoint")[1].clone(), Axis::Coverage),
    ];
    for (what, pick, axis) in picks {
        let scene = Scene::archived();
        fs::remove_file(pick(&scene)).unwrap();
        expect_tampered(&scene.verify_archive(&[]), &[axis], &format!("{what} removed"));
    }
}
