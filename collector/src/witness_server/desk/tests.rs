mod links;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
        Self::of(name, 20)
    }

    fn of(name: &str, records: u64) -> Self {
        let key = SigningKey::from_seed(LedgerName::parse(name).unwrap(), [1; 32]);
        Self { key, leaves: (0..records).map(|index| sha256(&index.to_be_bytes())).collect() }
    }

    /// The same ledger with another record at `index`.
    fn forked(index: usize) -> Self {
        let mut ledger = Self::new("acme.example/test");
        ledger.leaves[index] = sha256(b"another");
        ledger
    }

    fn checkpoint(&self, size: u64) -> String {
        let root = root_of(&self.leaves[..size as usize]);
        Checkpoint { origin: self.key.name().clone(), size, root }.sign(&self.key).unwrap()
    }

    fn request(&self, old: u64, new: u64) -> String {
        let proof = if old <= new { consistency_proof(&self.leaves, old, new).unwrap() } else { Vec::new() };
        AddCheckpoint { old, proof, checkpoint: &self.checkpoint(new) }.encode()
    }

    /// Its own checkpoint with a proof that somebody made up.
    fn spoilt(&self, old: u64, new: u64) -> String {
        AddCheckpoint { old, proof: vec![sha256(b"x")], checkpoint: &self.checkpoint(new) }.encode()
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

    fn place(&self, finding: Finding) -> PathBuf {
        self.directory.path().join(if finding == Finding::Fork { "forks" } else { "unproven" })
    }

    /// What is kept: `cosigned`, `refused` and `why` of each.
    fn kept(&self, finding: Finding) -> Vec<(String, String, String)> {
        let read = |path: &Path, name: &str| fs::read_to_string(path.join(name)).unwrap();
        let entries = fs::read_dir(self.place(finding)).unwrap().map(|entry| entry.unwrap().path());
        let kept: Vec<_> =
            entries.map(|path| (read(&path, "cosigned"), read(&path, "refused"), read(&path, "why"))).collect();
        assert_eq!(kept.len(), self.dir().count(finding).unwrap());
        kept
    }

    /// How many forks, and how many that are unproven.
    fn counts(&self) -> (usize, usize) {
        (self.kept(Finding::Fork).len(), self.kept(Finding::Unproven).len())
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
    assert_eq!(scene.counts(), (0, 0));
    let newest = desk.checkpoint(&origin_hash("acme.example/test")).unwrap();
    assert_eq!(newest.status, 200);
    assert_eq!(Checkpoint::open(newest.body.as_bytes(), &scene.ledger.key.public()).unwrap().size, 20);
    assert!(scene.vkey.cosigned(&parse_note(newest.body.as_bytes()).unwrap()).unwrap().is_some());
    for other in ["", "../../etc", &origin_hash("acme.example/other")] {
        assert_eq!(desk.checkpoint(other).unwrap().status, 404);
    }
}

/// Gives the witness of a scene its second key.
fn second_key(scene: &Scene) -> WitnessVerifyingKey {
    let mut dir = scene.dir();
    let lock = dir.lock().unwrap();
    assert!(dir.add_post_quantum(&Zeroizing::new([6; 32]), &lock).unwrap());
    assert!(!dir.add_post_quantum(&Zeroizing::new([7; 32]), &lock).unwrap());
    scene.dir().post_quantum_vkey().unwrap().clone()
}

#[test]
fn a_witness_with_two_keys_answers_with_a_line_of_each() {
    let scene = Scene::new();
    let second = second_key(&scene);
    let desk = scene.desk();
    for (old, new) in [(0, 7), (7, 7), (7, 11)] {
        let answer = desk.add_checkpoint(scene.ledger.request(old, new).as_bytes()).unwrap();
        assert_eq!((answer.status, answer.body.lines().count()), (200, 2), "{}", answer.body);
        let text = parse_note(scene.ledger.checkpoint(new).as_bytes()).unwrap().text().to_owned();
        for key in [&scene.vkey, &second] {
            key.take(&text, &answer.body).unwrap();
        }
        // On the disk before it was answered, both of them.
        let kept = scene.desk().checkpoint(&origin_hash("acme.example/test")).unwrap().body;
        assert!(kept.starts_with(&scene.ledger.checkpoint(new)));
        assert!([&scene.vkey, &second].iter().all(|key| key.take(&text, &kept[text.len() + 1..]).is_ok()));
    }
}

/// What it cosigned before has one line alone, and stays good.
#[test]
fn a_witness_gets_its_second_key_later() {
    let scene = Scene::new();
    assert_eq!(status(&scene.desk(), &scene.ledger.request(0, 7)), 200);
    assert_eq!(scene.desk().add_checkpoint(scene.ledger.request(7, 7).as_bytes()).unwrap().body.lines().count(), 1);
    let second = second_key(&scene);
    assert_eq!(scene.state().0, 7);
    let desk = scene.desk();
    let cosigners = |desk: &Desk| {
        let note = desk.checkpoint(&origin_hash("acme.example/test")).unwrap().body;
        let note = parse_note(note.as_bytes()).unwrap();
        [&scene.vkey, &second].map(|key| key.cosigned(&note).unwrap().is_some())
    };
    assert_eq!(cosigners(&desk), [true, false]);
    // The same checkpoint again: what is answered is what anybody can fetch.
    assert_eq!(desk.add_checkpoint(scene.ledger.request(7, 7).as_bytes()).unwrap().body.lines().count(), 2);
    assert_eq!(cosigners(&desk), [true, true]);
    assert_eq!(cosigners(&scene.desk()), [true, true]);
    assert_eq!(status(&desk, &scene.ledger.request(7, 11)), 200);
    // Only once nobody else answers.
    let dir = scene.dir();
    let _lock = dir.lock().unwrap();
    assert!(matches!(scene.dir().lock(), Err(WitnessDirError::InUse(_))));
}

/// `keys/` alone was restored from a backup, or a run was cut short between the two files: policies may name this key.
#[test]
fn a_second_private_key_without_its_public_half_is_completed_and_never_replaced() {
    let scene = Scene::new();
    let second = second_key(&scene);
    let (vkey, key) =
        ["witness-ml-dsa-44.vkey", "keys/witness-ml-dsa-44.key"].map(|name| scene.directory.path().join(name)).into();
    fs::remove_file(&vkey).unwrap();
    let private = fs::read(&key).unwrap();
    // It does not run with one key as if there was no other.
    let refused = Desk::open(scene.dir(), Arc::new(SystemClock)).err().expect("it is refused").to_string();
    assert!(refused.contains("witness-ml-dsa-44.vkey is not") && refused.contains("witness post-quantum"), "{refused}");
    let give = || {
        let (mut dir, lock) = WitnessDir::open_alone(scene.directory.path()).unwrap();
        dir.add_post_quantum(&Zeroizing::new([9; 32]), &lock)
    };
    let other = WitnessSigningKey::ml_dsa_44(WitnessName::parse("witness.example/w2").unwrap(), [6; 32]);
    let first = fs::read_to_string(scene.directory.path().join("keys/witness.key")).unwrap();
    for content in ["half a k", "", &*other.to_line(), &first] {
        fs::write(&key, content).unwrap();
        let refused = give().unwrap_err().to_string();
        assert!(refused.contains("It is left as it is"), "{refused}");
        assert_eq!((fs::read_to_string(&key).unwrap().as_str(), vkey.exists()), (content, false));
    }
    fs::write(&key, &private).unwrap();
    assert!(give().unwrap());
    assert!(!give().unwrap());
    assert_eq!(fs::read(&key).unwrap(), private);
    assert_eq!(scene.dir().post_quantum_vkey(), Some(&second));
    assert_eq!(scene.desk().keys.len(), 2);
}

#[test]
fn a_first_private_key_without_its_public_half_is_no_empty_place() {
    let scene = Scene::new();
    fs::remove_file(scene.directory.path().join("witness.vkey")).unwrap();
    let refused = WitnessDir::open(scene.directory.path()).unwrap_err().to_string();
    assert!(refused.contains("keys/witness.key is there") && refused.contains("restore it"), "{refused}");
    let name = WitnessName::parse("witness.example/w1").unwrap();
    let again = WitnessDir::init(scene.directory.path(), &name, &Zeroizing::new([5; 32]));
    assert!(matches!(again, Err(WitnessDirError::NoPublicHalf { .. })));
}

#[test]
fn a_second_key_that_is_not_the_witness_s_stops_it() {
    let scene = Scene::new();
    let second = second_key(&scene);
    assert_eq!(status(&scene.desk(), &scene.ledger.request(0, 7)), 200);
    let (vkey, key) = ("witness-ml-dsa-44.vkey", "keys/witness-ml-dsa-44.key");
    let put = |name: &str, content: &str| {
        let path = scene.directory.path().join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = WitnessDir::open(scene.directory.path())
            .and_then(|dir| Desk::open(dir, Arc::new(SystemClock)))
            .err()
            .expect("it is refused")
            .to_string();
        fs::write(&path, before).unwrap();
        error
    };
    let name = |name: &str| WitnessName::parse(name).unwrap();
    let other = WitnessSigningKey::ml_dsa_44(name("witness.example/w2"), [6; 32]);
    let another = WitnessSigningKey::ml_dsa_44(name("witness.example/w1"), [8; 32]);
    assert!(put(vkey, &other.public().to_line()).contains("no ML-DSA-44 key of this witness"));
    assert!(put(vkey, &scene.vkey.to_line()).contains("no ML-DSA-44 key of this witness"));
    assert!(put(key, &another.to_line()).contains("not the private half of witness-ml-dsa-44.vkey"));
    assert!(put(key, &second.to_line()).contains("not a private key"));
    // A cosignature of its own that is false: somebody else wrote this.
    let checkpoint = format!("logs/{}/checkpoint", origin_hash("acme.example/test"));
    let kept = fs::read_to_string(scene.directory.path().join(&checkpoint)).unwrap();
    let line = kept.lines().next_back().unwrap();
    let forged = kept.replace(line, &line.replacen(&line[1_000..1_020], "AAAAAAAAAAAAAAAAAAAA", 1));
    assert!(put(&checkpoint, &forged).contains("is false"));
    scene.desk();
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
    assert_eq!(scene.counts(), (0, 0));
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
    let [(cosigned, refused, why)] = scene.kept(Finding::Fork).try_into().unwrap();
    assert!(cosigned.starts_with(&scene.ledger.checkpoint(11)) && cosigned.contains("— witness.example/w1 "));
    assert_eq!(refused, fork.checkpoint(11));
    assert!(why.contains("this is a fork"), "{why}");
    let [(cosigned, refused, why)] = scene.kept(Finding::Unproven).try_into().unwrap();
    assert!(cosigned.starts_with(&scene.ledger.checkpoint(11)));
    assert_eq!(refused, fork.checkpoint(15));
    assert!(!why.contains("fork") && why.contains("says nothing of the ledger"), "{why}");
    // The honest one still goes on, and at the longer one's size there are two roots.
    assert_eq!(status(&desk, &scene.ledger.request(11, 15)), 200);
    let mut forks = scene.kept(Finding::Fork);
    forks.sort_by_key(|(_, refused, _)| refused.clone());
    for ((cosigned, refused, why), size) in forks.iter().zip([11, 15]) {
        assert!(cosigned.starts_with(&scene.ledger.checkpoint(size)), "{cosigned}");
        assert_eq!(*refused, fork.checkpoint(size));
        assert!(why.contains("this is a fork"), "{why}");
    }
    assert_eq!(forks.len(), 2);
}

/// What a desk says while `body` runs.
fn log(body: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            locked(&self.0).write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, body);
    String::from_utf8(locked(&log.0).clone()).unwrap()
}

/// Whoever sees a checkpoint first can send it with the right size and a wrong proof.
#[test]
fn nobody_can_accuse_an_honest_ledger_with_its_own_checkpoint() {
    let scene = Scene::new();
    let desk = scene.desk();
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    let told = log(|| {
        for _ in 0..3 {
            assert_eq!(status(&desk, &scene.ledger.spoilt(7, 11)), 422);
        }
    });
    assert_eq!(scene.counts(), (0, 1));
    assert!(told.lines().count() == 1 && told.contains(" WARN ") && !told.to_lowercase().contains("fork"), "{told}");
    // Once it is shown to continue nothing is left of it.
    let told = log(|| assert_eq!(status(&desk, &scene.ledger.request(7, 11)), 200));
    assert!(!told.contains(" WARN ") && !told.contains(" ERROR "), "{told}");
    assert_eq!(scene.counts(), (0, 0));
}

#[test]
fn what_is_unproven_does_not_crowd_out_a_fork() {
    let mut scene = Scene::new();
    scene.ledger = Ledger::of("acme.example/test", 200);
    let desk = scene.desk();
    assert_eq!(status(&desk, &scene.ledger.request(0, 11)), 200);
    let most = Finding::Unproven.most_per_ledger() as u64;
    let told = log(|| {
        for size in 12..12 + most + 20 {
            assert_eq!(status(&desk, &scene.ledger.spoilt(11, size)), 422);
        }
    });
    assert_eq!(scene.counts(), (0, most as usize));
    // Those that are not kept are told ever more rarely: 1, 2, 4, 8, 16.
    assert_eq!((told.lines().count(), told.matches("not kept: 100 of this ledger are").count()), (105, 5), "{told}");
    let told = log(|| assert_eq!(status(&desk, &Ledger::forked(3).request(11, 11)), 422));
    assert!(told.contains("ERROR") && told.contains("REFUSED A FORK") && !told.contains("not kept"), "{told}");
    assert_eq!(scene.counts(), (1, most as usize));
    // Nor what is unproven of another ledger.
    let other = Ledger::new("acme.example/other");
    scene.dir().add(&other.key.public()).unwrap();
    assert_eq!(status(&desk, &other.request(0, 7)), 200);
    assert_eq!(status(&desk, &other.spoilt(7, 11)), 422);
    assert_eq!(scene.counts(), (1, most as usize + 1));
}

#[test]
fn forks_of_one_ledger_do_not_crowd_out_those_of_another() {
    let scene = Scene::new();
    let desk = scene.desk();
    let (first, second) = (Ledger::new("acme.example/first"), Ledger::new("acme.example/second"));
    for ledger in [&first, &second] {
        scene.dir().add(&ledger.key.public()).unwrap();
        assert_eq!(status(&desk, &ledger.request(0, 11)), 200);
    }
    let most = Finding::Fork.most_per_ledger();
    let origin = origin_hash("acme.example/first");
    for index in 0..most {
        let dir = scene.place(Finding::Fork).join(format!("{}-{index:016x}", &origin[..16]));
        fs::create_dir(&dir).unwrap();
        ["cosigned", "refused", "why"].iter().for_each(|name| fs::write(dir.join(name), "x").unwrap());
    }
    let other_root = |mut ledger: Ledger| {
        ledger.leaves[3] = sha256(b"another");
        ledger.request(11, 11)
    };
    let told = log(|| assert_eq!(status(&desk, &other_root(first)), 422));
    assert!(told.contains("REFUSED A FORK") && told.contains("not kept: 1000 of this ledger are"), "{told}");
    assert_eq!(scene.counts(), (most, 0));
    let told = log(|| assert_eq!(status(&desk, &other_root(second)), 422));
    assert!(told.contains("REFUSED A FORK") && !told.contains("not kept"), "{told}");
    assert_eq!(scene.counts(), (most + 1, 0));
}

/// A crash at any step before the end leaves what doesn't count; the same fork is kept when it comes again.
#[test]
fn evidence_that_a_crash_cut_short_is_written_again() {
    let fork = Ledger::forked(3);
    let root = root_of(&fork.leaves[..11]).to_hex();
    let name = format!("{}-{}", &origin_hash("acme.example/test")[..16], &root[..16]);
    // Under the name of what is not finished; and under the last name, as earlier releases began it.
    for name in [format!(".{name}"), name] {
        for files in [&[][..], &["refused"], &["refused", "cosigned"]] {
            let scene = Scene::new();
            let dir = scene.place(Finding::Fork).join(&name);
            fs::create_dir(&dir).unwrap();
            files.iter().for_each(|file| fs::write(dir.join(file), "").unwrap());
            let desk = scene.desk();
            assert_eq!(scene.dir().count(Finding::Fork).unwrap(), 0);
            assert_eq!(status(&desk, &scene.ledger.request(0, 11)), 200);
            assert_eq!(status(&desk, &fork.request(11, 11)), 422);
            // Whole, and nothing else is there.
            let [(cosigned, refused, why)] = scene.kept(Finding::Fork).try_into().unwrap();
            assert!(cosigned.starts_with(&scene.ledger.checkpoint(11)) && why.contains("this is a fork"));
            assert_eq!(refused, fork.checkpoint(11));
        }
    }
}

/// Killed between cosigning and the look at what was refused before.
#[test]
fn a_start_looks_at_what_was_refused_before() {
    let scene = Scene::new();
    let desk = scene.desk();
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    let fork = Ledger::forked(3);
    assert_eq!(status(&desk, &fork.request(7, 11)), 422);
    let unproven = fs::read_dir(scene.place(Finding::Unproven)).unwrap().next().unwrap().unwrap().path();
    let away = scene.directory.path().join("away");
    fs::rename(&unproven, &away).unwrap();
    assert_eq!(status(&desk, &scene.ledger.request(7, 11)), 200);
    assert_eq!(scene.counts(), (0, 0));
    fs::rename(&away, &unproven).unwrap();
    scene.desk();
    let [(_, refused, _)] = scene.kept(Finding::Fork).try_into().unwrap();
    assert_eq!(refused, fork.checkpoint(11));
}

/// A witness of a release that had no place for what is unproven.
#[test]
fn the_place_for_what_is_unproven_is_made_at_need() {
    let scene = Scene::new();
    let desk = scene.desk();
    fs::remove_dir(scene.place(Finding::Unproven)).unwrap();
    assert_eq!(scene.dir().count(Finding::Unproven).unwrap(), 0);
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    assert_eq!(status(&desk, &scene.ledger.spoilt(7, 11)), 422);
    assert_eq!(scene.counts(), (0, 1));
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
    let extended = tachograph_ledger::sign_note("acme.example/test\n11\nAAAA\nmore\n", &scene.ledger.key).unwrap();
    assert_eq!(bad(&AddCheckpoint { old: 7, proof: Vec::new(), checkpoint: &extended }.encode()), 400);
    // Other signatures beside the ledger's are ignored, and not kept.
    let noted = format!("{good}{}", "— x AAAAAAAA\n".repeat(99));
    assert_eq!(bad(&noted), 200);
    assert_eq!(scene.desk().checkpoint(&origin_hash("acme.example/test")).unwrap().body.lines().count(), 6);
    assert_eq!(scene.counts(), (0, 0));
}

#[test]
fn a_proof_that_is_needed_must_hold_and_one_that_is_not_must_be_absent() {
    let scene = Scene::new();
    let desk = scene.desk();
    let checkpoint = scene.ledger.checkpoint(7);
    let with_proof = AddCheckpoint { old: 0, proof: vec![sha256(b"x")], checkpoint: &checkpoint }.encode();
    assert_eq!(status(&desk, &with_proof), 422);
    let not_empty = Checkpoint { origin: scene.ledger.key.name().clone(), size: 0, root: sha256(b"x") };
    let not_empty = not_empty.sign(&scene.ledger.key).unwrap();
    assert_eq!(status(&desk, &AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: &not_empty }.encode()), 422);
    assert_eq!(scene.state(), (0, empty_root()));
    // Anybody can spoil a proof: with nothing cosigned yet that is evidence of nothing.
    assert_eq!(scene.counts(), (0, 0));
    assert_eq!(status(&desk, &scene.ledger.request(0, 7)), 200);
    assert_eq!(status(&desk, &scene.ledger.spoilt(7, 11)), 422);
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
    assert!(matches!(again, Err(WitnessDirError::IsWitness(_))));
    assert!(matches!(WitnessDir::open(&scene.directory.path().join("no")), Err(WitnessDirError::NoWitness(_))));
    use std::os::unix::fs::PermissionsExt;
    let secret = scene.directory.path().join("keys/witness.key");
    assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600);
}
