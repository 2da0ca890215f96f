//! The end of the ledger cut off, rolled back, or the whole of it made anew: what only a memory outside can find.

use std::fs;

use tachograph_exporters::verify::Axis;
use tachograph_ledger::{Checkpoint, Hash};
use tachograph_tests::tree::{self, replace};

use crate::scene::{Scene, Signer, attacker, change_prompt, expect_tampered};

/// Removes the newest segment with its commit; its checkpoint only if asked to.
fn cut_newest(scene: &Scene, with_checkpoint: bool) {
    let objects = [scene.object(-1, true), scene.object(-1, false), scene.commit(-1).0];
    let checkpoint = scene.notes("checkpoint").pop().unwrap();
    objects.iter().chain(with_checkpoint.then_some(&checkpoint)).for_each(|path| fs::remove_file(path).unwrap());
}

#[test]
fn a_cut_tail_is_found_by_the_checkpoint_that_is_left() {
    let scene = Scene::archived();
    cut_newest(&scene, false);
    expect_tampered(&scene.verify_archive(&[]), &[Axis::Coverage], "tail cut, checkpoint kept");
    expect_tampered(&scene.verify_with_checkpoint(), &[Axis::Coverage, Axis::NonEquivocation], "tail cut");
    expect_tampered(&scene.verify_data_dir(), &[Axis::Coverage, Axis::NonEquivocation], "tail cut");
}

#[test]
fn a_tail_cut_with_its_checkpoint_is_found_by_a_memory_outside() {
    let scene = Scene::archived();
    cut_newest(&scene, true);
    expect_tampered(&scene.verify_data_dir(), &[Axis::NonEquivocation], "the data directory remembers");
    expect_tampered(&scene.verify_with_checkpoint(), &[Axis::NonEquivocation], "the auditor remembers");
    // The archive alone is a whole older archive. Nobody can tell, and verification does not say that it can.
    let verified = scene.verify_archive(&[]);
    assert_eq!((verified.code, verified.verdict(Axis::NonEquivocation)), (0, "incomplete"), "{:#}", verified.report);
    // Nor does the collector go on with it.
    scene.home.refused().expect(2, &["rolled back", "Restore it"]);
}

#[test]
fn only_the_newest_commit_and_checkpoint_removed_is_not_clean() {
    let scene = Scene::archived();
    let objects = [scene.object(-1, true), scene.object(-1, false)];
    fs::remove_file(scene.commit(-1).0).unwrap();
    fs::remove_file(scene.notes("checkpoint").pop().unwrap()).unwrap();
    expect_tampered(&scene.verify_data_dir(), &[Axis::NonEquivocation], "newest commit and checkpoint removed");
    let verified = scene.verify_archive(&[]);
    assert_eq!((verified.code, verified.verdict(Axis::Coverage)), (2, "incomplete"), "{:#}", verified.report);
    // The collector does not go on, and does not clear away what may be the only copy.
    scene.home.refused().expect(2, &["rolled back", "Restore it"]);
    assert!(objects.iter().all(|path| path.is_file()), "{objects:?}");
}

#[test]
fn an_older_checkpoint_in_the_place_of_the_newest_is_found() {
    let scene = Scene::archived();
    let checkpoints = scene.notes("checkpoint");
    let [.., older, newest] = checkpoints.as_slice() else { panic!("too few checkpoints") };
    replace(newest, &fs::read(older).unwrap());
    expect_tampered(&scene.verify_archive(&[]), &[Axis::Integrity], "an older checkpoint put back");
}

/// The archive and the directory's own memory are both rolled back: the collector's journal still knows better.
#[test]
fn a_rolled_back_memory_does_not_hide_a_rolled_back_archive_from_the_auditor() {
    let scene = Scene::archived();
    cut_newest(&scene, true);
    replace(&scene.home.data().join("checkpoint"), &fs::read(scene.notes("checkpoint").pop().unwrap()).unwrap());
    expect_tampered(&scene.verify_with_checkpoint(), &[Axis::NonEquivocation], "archive and memory rolled back");
}

#[test]
fn a_forged_checkpoint_is_found() {
    let name = attacker().public().name().clone();
    for signer in [Signer::Attacker, Signer::Thief] {
        let scene = Scene::archived();
        let newest = scene.notes("checkpoint").pop().unwrap();
        let size = scene.commit(-1).1.end();
        let forged = Checkpoint { origin: name.clone(), size, root: Hash::from_bytes([3; 32]) };
        let key = if signer == Signer::Thief { scene.stolen() } else { attacker() };
        replace(&newest, forged.sign(&key).unwrap().as_bytes());
        let axis = if signer == Signer::Thief { Axis::Integrity } else { Axis::Authenticity };
        expect_tampered(&scene.verify_archive(&[]), &[axis], &format!("checkpoint signed by {signer:?}"));
    }
}

#[test]
fn a_ledger_made_anew_with_another_key_is_found() {
    for with_identity in [true, false] {
        let scene = Scene::archived();
        let real_identity = fs::read(scene.in_archive("ledger.json")).unwrap();
        let forged = tempfile::tempdir().unwrap();
        scene.rechain(forged.path(), attacker(), [9; 32], |index, body| {
            if index == 40 {
                change_prompt(body);
            }
        });
        scene.replace_archive(forged.path());
        if !with_identity {
            replace(&scene.in_archive("ledger.json"), &real_identity);
        }
        let case = format!("made anew with another key, ledger.json too: {with_identity}");
        expect_tampered(&scene.verify_archive(&[]), &[Axis::Authenticity], &case);
        expect_tampered(&scene.verify_data_dir(), &[Axis::Authenticity], &case);
    }
}

/// The attacker owns the whole machine and makes everything anew, with a key and an identity of his own: the directory is whole
/// in itself, and only the key that the auditor brings along finds it.
#[test]
fn a_data_directory_made_anew_is_found_by_the_auditors_key() {
    let scene = Scene::archived();
    let forged = tempfile::tempdir().unwrap();
    scene.rechain(forged.path(), attacker(), [9; 32], |_, _| {});
    scene.replace_archive(forged.path());
    let data = scene.home.data();
    replace(&data.join("ledger.json"), &fs::read(data.join("archive/ledger.json")).unwrap());
    // What remembers that there was more.
    for memory in ["checkpoint", "begun"] {
        fs::remove_file(data.join(memory)).unwrap();
    }
    let public = attacker().public().to_line();
    replace(&data.join("ledger.vkey"), public.as_bytes());
    tree::files(&data.join("journal")).iter().for_each(|path| fs::remove_file(path).unwrap());
    assert_ne!(scene.verify_data_dir().code, 1, "without anything from outside it is whole in itself");
    let (real, other) = (Scene::archived(), scene);
    let key = real.home.data().join("ledger.vkey");
    let verified = tachograph_tests::command::verify(&data_of(&other), &[&"--key", &key]);
    expect_tampered(&verified, &[Axis::Authenticity], "the whole directory made anew");
}

fn data_of(scene: &Scene) -> std::path::PathBuf {
    scene.home.data()
}

/// A thief of the signing key makes the ledger anew: all signatures are good. The MACs, whose first key is in other hands,
/// and any checkpoint that somebody noted, are not.
#[test]
fn a_ledger_made_anew_with_the_stolen_key_is_found_by_macs_and_by_a_checkpoint() {
    let scene = Scene::archived();
    let forged = tempfile::tempdir().unwrap();
    scene.rechain(forged.path(), scene.stolen(), [9; 32], |index, body| {
        if index == 40 {
            change_prompt(body);
        }
    });
    scene.replace_archive(forged.path());
    expect_tampered(&scene.verify_archive(&[]), &[Axis::Authenticity], "stolen key, MACs");
    expect_tampered(&scene.verify_with_checkpoint(), &[Axis::NonEquivocation], "stolen key, checkpoint");
    expect_tampered(&scene.verify_data_dir(), &[Axis::NonEquivocation], "stolen key, the directory's memory");
}
