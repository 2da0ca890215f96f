use std::fs;
use std::path::Path;

use tachograph_ledger::{
    Hash, LedgerName, SigningKey, VerifyingKey, WitnessName, WitnessVerifyingKey, consistency_proof, empty_root,
    root_of, sha256,
};
use zeroize::Zeroizing;

use super::*;
use crate::clock::SystemClock;

struct Ledger {
    key: SigningKey,
    leaves: Vec<Hash>,
}

impl Ledger {
    fn new(name: &str) -> Self {
        let key = SigningKey::from_seed(LedgerName::parse(name).unwrap(), [1; 32]);
        Self { key, leaves: (0..20_u64).map(|index| sha256(&index.to_be_bytes())).collect() }
    }

    /// The same ledger with another record at `index`.
    fn forked(index: usize) -> Self {
        let mut ledger = Self::new("acme.example/test");
        ledger.leaves[index] = sha256(b"another");
        ledger
    }

    fn checkpoint(&self, size: u64) -> String {
        let root = root_of(&self.leaves[..size as usize]);
        Checkpoint { origin: self.key.name().clone(), size, root }.sign(&self.key)
    }

    fn request(&self, old: u64, new: u64) -> String {
        let proof = if old <= new { consistency_proof(&self.leaves, old, new).unwrap() } else { Vec::new() };
        AddCheckpoint { old, proof, checkpoint: &self.checkpoint(new) }.encode()
    }
}

struct Scene {
    directory: tempfile::TempDir,
    vkey: WitnessVerifyingKey,
    ledger: Ledger,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = WitnessName::parse("witness.example/w1").unwrap();
        let dir = WitnessDir::init(directory.path(), &name, &Zeroizing::new([5; 32])).unwrap();
        let ledger = Ledger::new("acme.example/test");
        assert!(dir.add(&ledger.key.public()).unwrap());
        assert!(!dir.add(&ledger.key.public()).unwrap());
        Self { vkey: dir.vkey().clone(), directory, ledger }
    }

    fn dir(&self) -> WitnessDir {
        WitnessDir::open(self.directory.path()).unwrap()
    }

    fn desk(&self) -> Desk {
        Desk::open(self.dir(), Arc::new(SystemClock)).unwrap()
    }

    fn forks(&self) -> Vec<(String, String, String)> {
        let read = |path: &Path, name: &str| fs::read_to_string(path.join(name)).unwrap();
        let entries = fs::read_dir(self.directory.path().join("forks")).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (read(&path, "cosigned"), read(&path, "refused"), read(&path, "why"))).collect()
    }

    fn state(&self) -> (u64, Hash) {
        let [follows] = self.dir().all().unwrap().try_into().unwrap();
        (follows.size, follows.root)
    }
}

#[track_caller]
fn status(desk: &Desk, body: &str) -> u16 {
    desk.add_checkpoint(body.as_bytes()).unwrap().status
}

#[test]
fn a_ledger_that_grows_is_cosigned() {
    let scene = Scene::new();
    let desk = scene.desk();
    for (old, new) in [(0, 0), (0, 7), (7, 7), (7, 11), (11, 20)] {
        let answer = desk.add_checkpoint(scene.ledger.request(old, new).as_bytes()).unwrap();
        assert_eq!((answer.status, answer.content_type), (200, TEXT), "{old} to {new}: {}", answer.body);
        let text = parse_note(scene.ledger.checkpoint(new).as_bytes()).unwrap().text().to_owned();
        scene.vkey.take(&text, &answer.body).unwrap();
        // On the disk before it was answered.
        assert_eq!(scene.state(), (new, root_of(&scene.ledger.leaves[..new as usize])));
    }
    assert_eq!(scene.forks(), []);
    let newest = desk.checkpoint(&origin_hash("acme.example/test")).unwrap();
    assert_eq!(newest.status, 200);
    assert_eq!(Checkpoint::open(newest.body.as_bytes(), &scene.ledger.key.public()).unwrap().size, 20);
    assert!(scene.vkey.cosigned(&parse_note(newest.body.as_bytes()).unwrap()).unwrap().is_some());
    for other in ["", "../../etc", &origin_hash("acme.example/other")] {
        assert_eq!(desk.checkpoint(other).unwrap().status, 404);
    }
}

#[test]
fn a_conflict_tells_the_size() {
    let scene = Scene::new();
    let desk = scene.desk();
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    for (old, new) in [(0, 11), (4, 11), (8, 11), (0, 3)] {
        let answer = desk.add_checkpoint(scene.ledger.request(old, new).as_bytes()).unwrap();
        assert_eq!(answer, Answer { status: 409, content_type: "text/x.tlog.size", body: "7\n".to_owned() });
    }
    assert_eq!(status(&desk, &scene.ledger.request(7, 3)), 400);
    assert_eq!(scene.state().0, 7);
    assert_eq!(scene.forks(), []);
}

/// A collector that was killed, or whose answer was lost, finds out from the witness itself how it stands.
#[test]
fn a_crash_between_writing_and_answering_costs_one_question() {
    let scene = Scene::new();
    let lost = scene.desk().add_checkpoint(scene.ledger.request(0, 7).as_bytes()).unwrap();
    assert_eq!(lost.status, 200);
    // What a crash before the rename leaves.
    let log = scene.directory.path().join("logs").join(origin_hash("acme.example/test"));
    fs::write(log.join("checkpoint.new"), scene.ledger.checkpoint(20)).unwrap();
    let desk = scene.desk();
    assert_eq!(desk.add_checkpoint(scene.ledger.request(0, 7).as_bytes()).unwrap().body, "7\n");
    assert_eq!(status(&desk, &scene.ledger.request(7, 7)), 200);
    assert_eq!(status(&desk, &scene.ledger.request(7, 11)), 200);
    assert_eq!(scene.state().0, 11);
}

#[test]
fn a_fork_is_refused_and_kept() {
    let scene = Scene::new();
    let desk = scene.desk();
    assert_eq!(status(&desk, &scene.ledger.request(0, 11)), 200);
    let fork = Ledger::forked(3);
    // Another tree of the same size: the two signatures are the proof, whatever was asked with it.
    assert_eq!(status(&desk, &fork.request(0, 11)), 409);
    assert_eq!(status(&desk, &fork.request(11, 11)), 422);
    // One that is longer, whose proof leads elsewhere.
    assert_eq!(status(&desk, &fork.request(11, 15)), 422);
    assert_eq!(scene.state(), (11, root_of(&scene.ledger.leaves[..11])));
    let mut forks = scene.forks();
    forks.sort_by_key(|(_, refused, _)| refused.clone());
    assert_eq!(forks.len(), 2, "{forks:?}");
    for ((cosigned, refused, why), size) in forks.iter().zip([11, 15]) {
        assert!(cosigned.starts_with(&scene.ledger.checkpoint(11)) && cosigned.contains("— witness.example/w1 "));
        assert_eq!(*refused, fork.checkpoint(size));
        assert!(why.contains("this is a fork"), "{why}");
    }
    // The honest one still goes on.
    assert_eq!(status(&desk, &scene.ledger.request(11, 15)), 200);
}

#[test]
fn what_is_not_the_ledger_s_is_refused_and_is_no_evidence() {
    let scene = Scene::new();
    let desk = scene.desk();
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    let stranger = Ledger::new("acme.example/other");
    assert_eq!(status(&desk, &stranger.request(0, 7)), 404);
    let (good, bad) = (scene.ledger.request(7, 11), |body: &str| status(&desk, body));
    // Signed by another key of this name; not signed by its key at all; signed falsely.
    let mut thief = Ledger::forked(3);
    thief.key = SigningKey::from_seed(thief.key.name().clone(), [9; 32]);
    assert_eq!(bad(&thief.request(7, 11)), 403);
    assert_eq!(bad(&good.replace("\n11\n", "\n12\n")), 403);
    for body in ["", "old 7\n", "old 7\n\nno note\n", &good.replace("old 7", "old 07"), &format!("{good}\n")] {
        assert_eq!(bad(body), 400, "{body}");
    }
    assert_eq!(desk.add_checkpoint(&[0xff; 100]).unwrap().status, 400);
    // Extension lines are signed, but no checkpoint of a ledger has them.
    let extended = tachograph_ledger::sign_note("acme.example/test\n11\nAAAA\nmore\n", &scene.ledger.key);
    assert_eq!(bad(&AddCheckpoint { old: 7, proof: Vec::new(), checkpoint: &extended }.encode()), 400);
    // Other signatures beside the ledger's are ignored, and not kept.
    let noted = format!("{good}{}", "— x AAAAAAAA\n".repeat(99));
    assert_eq!(bad(&noted), 200);
    assert_eq!(scene.desk().checkpoint(&origin_hash("acme.example/test")).unwrap().body.lines().count(), 6);
    assert_eq!(scene.forks(), []);
}

#[test]
fn a_proof_that_is_needed_must_hold_and_one_that_is_not_must_be_absent() {
    let scene = Scene::new();
    let desk = scene.desk();
    let checkpoint = scene.ledger.checkpoint(7);
    let with_proof = AddCheckpoint { old: 0, proof: vec![sha256(b"x")], checkpoint: &checkpoint }.encode();
    assert_eq!(status(&desk, &with_proof), 422);
    let not_empty = Checkpoint { origin: scene.ledger.key.name().clone(), size: 0, root: sha256(b"x") };
    let not_empty = not_empty.sign(&scene.ledger.key);
    assert_eq!(status(&desk, &AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: &not_empty }.encode()), 422);
    assert_eq!(scene.state(), (0, empty_root()));
    // Anybody can spoil a proof: with nothing cosigned yet that is evidence of nothing.
    assert_eq!(scene.forks(), []);
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    let spoilt = AddCheckpoint { old: 7, proof: vec![sha256(b"x")], checkpoint: &scene.ledger.checkpoint(11) }.encode();
    assert_eq!(status(&desk, &spoilt), 422);
    assert_eq!(scene.state().0, 7);
}

#[test]
fn a_ledger_that_is_added_later_is_found() {
    let scene = Scene::new();
    let desk = scene.desk();
    let other = Ledger::new("acme.example/other");
    assert_eq!(status(&desk, &other.request(0, 7)), 404);
    scene.dir().add(&other.key.public()).unwrap();
    assert_eq!(status(&desk, &other.request(0, 7)), 200);
    let again: VerifyingKey = SigningKey::from_seed(other.key.name().clone(), [9; 32]).public();
    assert!(matches!(scene.dir().add(&again), Err(WitnessDirError::OtherKey { .. })));
}

/// What can't be remembered is not vouched for.
#[test]
fn after_a_failed_write_nothing_is_cosigned() {
    let scene = Scene::new();
    let desk = scene.desk();
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    let checkpoint = scene.directory.path().join("logs").join(origin_hash("acme.example/test")).join("checkpoint");
    let kept = fs::read(&checkpoint).unwrap();
    fs::remove_file(&checkpoint).unwrap();
    fs::create_dir(&checkpoint).unwrap();
    desk.add_checkpoint(scene.ledger.request(7, 11).as_bytes()).unwrap_err();
    assert!(desk.is_broken());
    assert_eq!(status(&desk, &scene.ledger.request(7, 11)), 503);
    assert_eq!(status(&desk, &scene.ledger.request(7, 7)), 503);
    fs::remove_dir(&checkpoint).unwrap();
    fs::write(&checkpoint, kept).unwrap();
    assert_eq!(status(&scene.desk(), &scene.ledger.request(7, 11)), 200);
}

#[test]
fn a_damaged_memory_stops_the_witness() {
    let scene = Scene::new();
    assert_eq!(status(&scene.desk(), &scene.ledger.request(0, 7)), 200);
    let checkpoint = scene.directory.path().join("logs").join(origin_hash("acme.example/test")).join("checkpoint");
    // The ledger's own signature alone: this witness never said so.
    for bad in ["", "x", &scene.ledger.checkpoint(7), &scene.ledger.checkpoint(3)] {
        fs::write(&checkpoint, bad).unwrap();
        let error = Desk::open(scene.dir(), Arc::new(SystemClock)).err().unwrap();
        assert!(matches!(error, WitnessDirError::Damaged { .. }), "{error}");
    }
}

#[test]
fn one_process_answers() {
    let scene = Scene::new();
    let lock = scene.dir().lock().unwrap();
    assert!(matches!(scene.dir().lock(), Err(WitnessDirError::InUse(_))));
    drop(lock);
    scene.dir().lock().unwrap();
    let name = WitnessName::parse("w").unwrap();
    let again = WitnessDir::init(scene.directory.path(), &name, &Zeroizing::new([5; 32]));
    assert!(matches!(again, Err(WitnessDirError::NotEmpty(_))));
    assert!(matches!(WitnessDir::open(&scene.directory.path().join("no")), Err(WitnessDirError::NoWitness(_))));
    use std::os::unix::fs::PermissionsExt;
    let secret = scene.directory.path().join("keys/witness.key");
    assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
}
