//! Witnessed checkpoints in an archive: what an auditor with a policy makes of them, and of those that were tampered with.

mod sample;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sample::{Ledger, START, key_of};
use tachograph_exporters::archive::store::{Confirmed, DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::{Archive, DEFAULT_ZSTD_LEVEL, OneClass, Row, Settings, witnessed};
use tachograph_exporters::verify::{Axis, DEFAULT_REQUIRED, Options, Report, Verdict, verify};
use tachograph_ledger::{Checkpoint, Hash, Policy, SigningKey, WitnessName, WitnessSigningKey, sha256};
use tachograph_record::Time;

const RUNS: [usize; 3] = [20, 15, 10];
const TIME: u64 = START / 1_000_000_000;

struct Fixture {
    directory: tempfile::TempDir,
    key: Arc<SigningKey>,
    checkpoints: Vec<Checkpoint>,
}

fn witness(name: &str) -> WitnessSigningKey {
    WitnessSigningKey::from_seed(WitnessName::parse(name).unwrap(), *sha256(name.as_bytes()).as_bytes())
}

fn policy(quorum: &str) -> String {
    let witnesses = ["w1", "w2", "w3"].map(|name| format!("witness {name} {}\n", witness(name).public().to_line()));
    format!("{}{quorum}", witnesses.concat())
}

const TWO: &str = "group few 2 w1 w2 w3\nquorum few\n";

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new();
        let store: Arc<dyn Store> =
            Arc::new(DirectoryStore::writer(directory.path(), DirectorySettings::default()).unwrap());
        Archive::create(&*store, &ledger.key.public(), Time::from_unix_nanos(START).unwrap(), None).unwrap();
        let settings = Settings::undated(DEFAULT_ZSTD_LEVEL);
        let (mut archive, _) = Archive::open(store, ledger.key.clone(), settings).unwrap();
        let mut checkpoints = Vec::new();
        for run in RUNS {
            let mut segment = archive.begin().unwrap();
            for s in ledger.batch(run) {
                let row = Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &s.mac, body: &s.body };
                segment.push(row, &OneClass).unwrap();
            }
            let committed = archive.append(segment).unwrap();
            checkpoints.push(Checkpoint::open(committed.checkpoint.as_bytes(), &ledger.key.public()).unwrap());
        }
        Self { directory, key: Arc::clone(&ledger.key), checkpoints }
    }

    fn store(&self) -> DirectoryStore {
        DirectoryStore::writer(self.directory.path(), DirectorySettings::default()).unwrap()
    }

    fn path(&self, size: u64) -> PathBuf {
        self.directory.path().join(format!("witnessed/{size:020}"))
    }

    /// The checkpoint with the signatures of these witnesses.
    fn note(&self, checkpoint: &Checkpoint, names: &[&str]) -> String {
        let mut note = checkpoint.sign(&*self.key).unwrap();
        for (at, name) in names.iter().enumerate() {
            note.push_str(&witness(name).cosign(checkpoint, TIME + at as u64));
        }
        note
    }

    fn put(&self, size: u64, note: &str) {
        assert_eq!(witnessed::write(&self.store(), size, note.as_bytes(), None).unwrap(), Confirmed::Created);
    }

    /// The checkpoint of a run, witnessed.
    fn witness(&self, run: usize, names: &[&str]) {
        let checkpoint = &self.checkpoints[run];
        self.put(checkpoint.size, &self.note(checkpoint, names));
    }

    fn verify(&self, policy: Option<&str>, checkpoints: Vec<Vec<u8>>) -> Report {
        let policy = policy.map(|policy| Policy::parse(policy.as_bytes()).unwrap());
        let options = Options { key: Some(self.key.public()), policy, checkpoints, threads: 2, ..Options::default() };
        verify(&DirectoryStore::reader(self.directory.path()).unwrap(), options).unwrap()
    }

    fn verify_with(&self, quorum: &str) -> Report {
        self.verify(Some(&policy(quorum)), Vec::new())
    }
}

fn reasons(report: &Report, axis: Axis) -> String {
    report.axes[&axis].reasons.join("\n")
}

/// Exactly this axis fails, and the finding names the object.
#[track_caller]
fn fails(report: &Report, axis: Axis, object: &str, what: &str) {
    let failed: Vec<Axis> = Axis::ALL.into_iter().filter(|axis| report.verdict(*axis) == Verdict::Fail).collect();
    assert_eq!(failed, [axis], "{}", report.to_json());
    let named = report.findings.iter().any(|finding| finding.object == object && finding.what.contains(what));
    assert!(named, "{object}, {what:?} in {}", report.to_json());
    assert_eq!(report.exit_code(DEFAULT_REQUIRED), 1);
}

#[test]
fn a_quorum_passes_and_says_how_far_it_reaches() {
    let fixture = Fixture::new();
    fixture.witness(0, &["w1", "w2", "w3"]);
    fixture.witness(1, &["w3", "w1"]);
    let report = fixture.verify_with(TWO);
    assert_eq!((report.verdict(Axis::NonEquivocation), report.witnessed_records), (Verdict::Pass, Some(35)));
    let said = reasons(&report, Axis::NonEquivocation);
    for word in [
        "35 records, all but the newest 10, are under a checkpoint that 2 of 3 keys of witnesses cosigned (w1, w3; the policy asks for 2 of 3 (group few))",
        "lastly at 2026-11-20T10:00:01.000000000Z",
        "the tree of 35 records has the root that somebody outside remembers",
    ] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!((report.findings.len(), report.strangers.len()), (0, 0), "{}", report.to_json());
    fixture.witness(2, &["w1", "w2"]);
    let report = fixture.verify_with(TWO);
    assert_eq!(report.witnessed_records, Some(45));
    assert!(reasons(&report, Axis::NonEquivocation).contains("all 45 records are under"));
}

#[test]
fn too_few_witnesses_leave_it_open() {
    let fixture = Fixture::new();
    let report = fixture.verify_with(TWO);
    assert_eq!((report.verdict(Axis::NonEquivocation), report.witnessed_records), (Verdict::Incomplete, None));
    assert!(reasons(&report, Axis::NonEquivocation).contains("UNWITNESSED: the archive has no witnessed checkpoint"));
    fixture.witness(1, &["w1"]);
    // Of somebody whom the policy does not know.
    fixture.witness(2, &["w4", "w5", "w6"]);
    let report = fixture.verify_with(TWO);
    assert_eq!(report.verdict(Axis::NonEquivocation), Verdict::Incomplete);
    assert!(
        reasons(&report, Axis::NonEquivocation)
            .contains("2 of 3 (group few); that of 35 records has those of 1 of 3 keys of witnesses"),
        "{}",
        report.to_json()
    );
    assert_eq!(report.exit_code(&[Axis::NonEquivocation]), 2);
    // Without a policy nobody is known, and that is said.
    let report = fixture.verify(None, Vec::new());
    assert_eq!(report.verdict(Axis::NonEquivocation), Verdict::Incomplete);
    assert!(reasons(&report, Axis::NonEquivocation).contains("give a policy"));
    for (policy, word) in
        [(policy("quorum none\n"), "asks for no witness"), (other_log("another.example"), "for other logs")]
    {
        let report = fixture.verify(Some(&policy), Vec::new());
        assert_eq!(report.verdict(Axis::NonEquivocation), Verdict::Incomplete);
        assert!(reasons(&report, Axis::NonEquivocation).contains(word), "{word}: {}", report.to_json());
    }
    // The policy knows this ledger by another key.
    fails(
        &fixture.verify(Some(&other_log("acme.example/test")), Vec::new()),
        Axis::Authenticity,
        "ledger.json",
        "the policy says",
    );
}

fn other_log(name: &str) -> String {
    format!("log {}\n{}", key_of(name, 99).public().to_line(), policy(TWO))
}

#[test]
fn a_checkpoint_that_tells_another_history_is_a_fork() {
    let fixture = Fixture::new();
    let forged = Checkpoint { root: Hash::from_bytes([3; 32]), ..fixture.checkpoints[1].clone() };
    fixture.put(35, &fixture.note(&forged, &["w1", "w2"]));
    let object = "witnessed/00000000000000000035";
    // Signed by the ledger: that is enough, whoever the witnesses are.
    fails(&fixture.verify(None, Vec::new()), Axis::NonEquivocation, object, "a fork");
    fails(&fixture.verify_with(TWO), Axis::NonEquivocation, object, "a fork");

    let fixture = Fixture::new();
    let longer = Checkpoint { size: 60, ..fixture.checkpoints[2].clone() };
    fixture.put(60, &fixture.note(&longer, &["w1", "w2"]));
    fails(&fixture.verify_with(TWO), Axis::NonEquivocation, "witnessed/00000000000000000060", "rolled back");

    // Signed at a size at which no commit ends: the walk says what the tree was.
    let fixture = Fixture::new();
    let between = Checkpoint { size: 30, ..fixture.checkpoints[1].clone() };
    fixture.put(30, &fixture.note(&between, &["w1", "w2"]));
    let report = fixture.verify_with(TWO);
    assert_eq!(report.verdict(Axis::NonEquivocation), Verdict::Fail, "{}", report.to_json());
    assert_eq!(report.verdict(Axis::Integrity), Verdict::Fail);
}

#[test]
fn what_was_tampered_with_fails_and_is_named() {
    let object = "witnessed/00000000000000000035";
    let fixture = || {
        let fixture = Fixture::new();
        fixture.witness(2, &["w1", "w2"]);
        fixture
    };
    type Change = fn(&Fixture) -> String;
    let cases: [(&str, Change, Axis); 8] = [
        ("nonsense", |_| "nonsense".to_owned(), Axis::Authenticity),
        ("empty", |_| String::new(), Axis::Authenticity),
        (
            "of another ledger",
            |_| {
                let key = key_of("acme.example/other", 1);
                Checkpoint { origin: key.name().clone(), size: 35, root: sha256(b"x") }.sign(&key).unwrap()
            },
            Axis::Authenticity,
        ),
        ("another key's", |f| f.checkpoints[1].sign(&key_of("acme.example/test", 9)).unwrap(), Axis::Authenticity),
        (
            "a false signature of the ledger",
            |f| f.note(&f.checkpoints[1], &["w1", "w2"]).replace("\n35\n", "\n34\n"),
            Axis::Authenticity,
        ),
        (
            "a false cosignature",
            |f| {
                let other = f.note(&f.checkpoints[0], &["w1"]);
                f.note(&f.checkpoints[1], &["w2"]) + other.lines().last().unwrap() + "\n"
            },
            Axis::Authenticity,
        ),
        ("of another size", |f| f.note(&f.checkpoints[0], &["w1", "w2"]), Axis::Integrity),
        ("too long", |f| f.note(&f.checkpoints[1], &["w1"]) + &" ".repeat(1 << 20), Axis::Authenticity),
    ];
    for (case, change, axis) in cases {
        let fixture = fixture();
        fs::write(fixture.path(35), change(&fixture)).unwrap();
        println!("{case}");
        fails(&fixture.verify_with(TWO), axis, object, "");
    }
    // A name that no release writes.
    let fixture = fixture();
    fs::write(fixture.directory.path().join("witnessed/35"), "x").unwrap();
    fails(&fixture.verify_with(TWO), Axis::Integrity, "witnessed/35", "no release writes");
}

#[test]
fn a_checkpoint_from_outside_still_counts_beside_a_policy() {
    let fixture = Fixture::new();
    fixture.witness(2, &["w1", "w2"]);
    let longer = Checkpoint { size: 60, ..fixture.checkpoints[2].clone() };
    let given = fixture.note(&longer, &["w3"]).into_bytes();
    let report = fixture.verify(Some(&policy(TWO)), vec![given]);
    assert_eq!(report.verdict(Axis::NonEquivocation), Verdict::Fail);
    assert!(report.to_json().contains("rolled back"));
}

#[test]
fn a_witnessed_checkpoint_is_written_once() {
    let fixture = Fixture::new();
    fixture.witness(0, &["w1", "w2"]);
    let first = witnessed::read(&fixture.store(), 20).unwrap().unwrap();
    let again = |note: &str| witnessed::write(&fixture.store(), 20, note.as_bytes(), None).unwrap();
    assert_eq!(again(&fixture.note(&fixture.checkpoints[0], &["w1", "w2"])), Confirmed::AlreadyOurs);
    assert_eq!(again(&fixture.note(&fixture.checkpoints[0], &["w3", "w2"])), Confirmed::Different);
    assert_eq!(witnessed::read(&fixture.store(), 20).unwrap().unwrap(), first);
    assert_eq!(witnessed::read(&fixture.store(), 35).unwrap(), None);
}
