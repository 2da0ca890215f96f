//! MAC keys are published when their epoch is over and witnesses have seen it, and not before.

use std::fs;
use std::path::{Path, PathBuf};

use tachograph_exporters::verify::{Axis, MAC_PUBLISHED};
use tachograph_tests::command::{expect_verified, verify};
use tachograph_tests::stored;

use crate::scene::{PATIENCE, Scene};

const FREE: &str = "127.0.0.1:0";
const EPOCH: usize = 1 << 16;

/// Keys of epochs that are over.
fn waiting(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("keys")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "ended")).collect()
}

#[test]
fn the_key_of_an_epoch_is_published_once_witnesses_have_seen_all_of_it_and_not_before() {
    let mut scene = Scene::new("publication");
    let data = scene.home.data();
    // One is not enough.
    scene.witnesses[1].kill();
    scene.witnesses[2].kill();
    let collector = scene.home.start();
    for _ in 0..EPOCH / 2_048 {
        scene.send(&collector, 2_048);
    }
    assert!(waiting(&data).len() <= 1);
    scene.send(&collector, 10);
    let kept = waiting(&data);
    assert_eq!(kept.len(), 1, "the epoch is over");
    assert!(fs::read_to_string(data.join("keys/mac.key")).unwrap().starts_with("tachograph-mac-key/v2\n1\n"));
    assert!(fs::read_to_string(&kept[0]).unwrap().starts_with("tachograph-mac-ended/v2\n0\n"));
    // Archived, shown, and not enough: a look a second finds no reason.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(said(&data), Vec::<String>::new(), "nobody has seen it");
    collector.kill();

    // It goes on where it was killed.
    scene.witnesses[1].restart();
    let collector = scene.home.start();
    scene.send(&collector, 5);
    scene.wait_witnessed(&collector);
    collector.wait_until("published and wiped", PATIENCE, |_| waiting(&data).is_empty());
    collector.stop();
    let said = said(&data);
    assert!(said.len() == 1 && said[0].contains(r#""first":"0""#), "{said:?}");

    expect_verified(&data);
    let key = data.join("ledger.vkey");
    let verified = verify(&scene.home.archive(), &[&"--key", &key]);
    verified.expect_clean();
    assert_eq!(verified.verdict(Axis::Authenticity), "pass");
    assert_eq!(verified.report["published_macs"], EPOCH, "{:#}", verified.report);
    a_key_that_is_put_back_is_tried(&mut scene);
}

/// From an escrow file a key is of epoch 0, and the journal is of a later one by now: another ledger's would seal, and its keys be
/// published, where nothing can be taken back.
fn a_key_that_is_put_back_is_tried(scene: &mut Scene) {
    let data = scene.home.data();
    let escrow = fs::read_to_string(data.join("mac-escrow.key")).unwrap();
    let escrowed = escrow.lines().nth(2).unwrap();
    let put = |key: &str| fs::write(data.join("keys/mac.key"), format!("tachograph-mac-key/v2\n0\n{key}\n")).unwrap();
    let foreign = "5a".repeat(32);
    put(&foreign);
    scene.home.refused().expect(2, &["its MAC is wrong", "keys/mac.key is not this ledger's"]);
    // Without a journal it is tried on the archive.
    let journal = data.join("journal");
    fs::rename(&journal, data.join("journal.away")).unwrap();
    fs::create_dir(&journal).unwrap();
    let lost = ["--journal-lost", "--grpc", FREE, "--http", FREE, "--admin", FREE];
    scene.home.refused_with(&lost).expect(2, &["its MAC is wrong", "keys/mac.key is not this ledger's"]);
    assert_eq!(waiting(&data), Vec::<PathBuf>::new());
    fs::remove_dir_all(&journal).unwrap();
    fs::rename(data.join("journal.away"), &journal).unwrap();

    put(escrowed);
    let collector = scene.home.start();
    scene.send(&collector, 5);
    collector.stop();
    assert!(fs::read_to_string(data.join("keys/mac.key")).unwrap().starts_with("tachograph-mac-key/v2\n1\n"));
    expect_verified(&data);
}

/// What the ledger publishes.
fn said(data: &Path) -> Vec<String> {
    let bodies = stored::read(data).into_iter().map(|record| String::from_utf8_lossy(record.bytes()).into_owned());
    bodies.filter(|body| body.contains(&format!("\"action_type\":\"{MAC_PUBLISHED}\""))).collect()
}
