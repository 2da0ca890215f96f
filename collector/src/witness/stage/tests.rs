//! The stage against real witness desks, a real store and a real data directory; only the network is left out.

use std::collections::BTreeSet;
use std::thread::JoinHandle;

use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore};
use tachograph_ledger::{LedgerName, SigningKey, WitnessName, consistency_proof, root_of, sha256};
use zeroize::Zeroizing;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::observe::Page;
use crate::outbound::{Answer, OutboundError};
use crate::witness_server::{Desk, Finding, WitnessDir};

const EVERY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// Witnesses of one test, by their URL.
struct Network {
    desks: Vec<Desk>,
    down: Mutex<BTreeSet<usize>>,
    asked: Mutex<Vec<(usize, u64)>>,
}

impl Carrier for Arc<Network> {
    fn post(&self, url: &str, body: &[u8]) -> Result<Answer, OutboundError> {
        let at: usize = url.strip_prefix("http://w").unwrap().split('/').next().unwrap().parse().unwrap();
        let size = tachograph_ledger::AddCheckpoint::parse(body).unwrap();
        let size = Checkpoint::parse_unverified(size.checkpoint.as_bytes()).unwrap().size;
        self.asked.lock().unwrap().push((at, size));
        if self.down.lock().unwrap().contains(&at) {
            return Err(OutboundError::Failed { url: url.to_owned(), what: "nobody there".to_owned() });
        }
        let answer = self.desks[at].add_checkpoint(body).unwrap();
        let content_type = answer.content_type.to_owned();
        Ok(Answer { status: answer.status, content_type, body: answer.body.into_bytes() })
    }
}

struct OfLeaves(Vec<Hash>);

impl Proofs for OfLeaves {
    fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, NoProof> {
        consistency_proof(&self.0, old, new).map_err(|error| NoProof::Unreadable(error.to_string()))
    }
}

struct Scene {
    root: tempfile::TempDir,
    key: SigningKey,
    network: Arc<Network>,
    policy: String,
}

struct Running {
    mailbox: Arc<Mailbox>,
    metrics: Arc<WitnessMetrics>,
    store: Arc<dyn Store>,
    leaves: Vec<Hash>,
    key: SigningKey,
    thread: Option<JoinHandle<()>>,
}

fn leaves(fork_at: Option<u64>) -> Vec<Hash> {
    let content = |index: u64| if Some(index) == fork_at { u64::MAX } else { index };
    (0..40).map(|index| sha256(&content(index).to_be_bytes())).collect()
}

impl Scene {
    /// Three witnesses that follow the ledger, two of which are enough.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed(LedgerName::parse("acme.example/test").unwrap(), [1; 32]);
        let mut policy = String::new();
        let desks = (0..3_u8).map(|at| {
            let (path, name) = (root.path().join(format!("w{at}")), WitnessName::parse(&format!("w{at}")).unwrap());
            let dir = WitnessDir::init(&path, &name, &Zeroizing::new([at + 10; 32])).unwrap();
            dir.add(&key.public()).unwrap();
            policy.push_str(&format!("witness w{at} {} http://w{at}/\n", dir.vkey().to_line()));
            Desk::open(dir, Arc::new(SystemClock)).unwrap()
        });
        let desks = desks.collect();
        policy.push_str("group few 2 w0 w1 w2\nquorum few\n");
        let network = Arc::new(Network { desks, down: Mutex::default(), asked: Mutex::default() });
        DataDir::init(&root.path().join("data"), key.name(), SystemClock.now(), &Zeroizing::new([7; 64])).unwrap();
        Self { root, key, network, policy }
    }

    fn run(&self, archive: &str, leaves: Vec<Hash>) -> Running {
        let key = || SigningKey::parse(&self.key.to_line()).unwrap();
        let policy = Policy::parse(self.policy.as_bytes()).unwrap();
        let outbound = Outbound::new(None, REQUEST_TIMEOUT).unwrap();
        let witnesses = Witnesses { policy: policy.clone(), every: EVERY, outbound }.asked();
        let names = witnesses.iter().map(|witness| witness.key.name().to_string());
        let metrics = Arc::new(WitnessMetrics::new(names));
        let mailbox = {
            let metrics = Arc::clone(&metrics);
            Arc::new(Mailbox::new(move || metrics.behind(SystemClock.now().unix_nanos())))
        };
        let store = DirectoryStore::writer(self.root.path().join(archive), DirectorySettings::default()).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let stage = Stage {
            witnesses,
            policy,
            every: EVERY,
            carrier: Box::new(Arc::clone(&self.network)),
            proofs: Box::new(OfLeaves(leaves.clone())),
            store: Arc::clone(&store),
            key: self.key.public(),
            data_dir: Arc::new(DataDir::open(&self.root.path().join("data")).unwrap()),
            mailbox: Arc::clone(&mailbox),
            metrics: Arc::clone(&metrics),
            seen: Seen::default(),
        };
        let thread = Some(std::thread::spawn(move || stage.run()));
        Running { mailbox, metrics, store, leaves, key: key(), thread }
    }

    fn set_down(&self, down: &[usize]) {
        *self.network.down.lock().unwrap() = down.iter().copied().collect();
    }

    fn asked(&self) -> Vec<(usize, u64)> {
        std::mem::take(&mut *self.network.asked.lock().unwrap())
    }
}

impl Running {
    fn show(&self, size: u64) {
        let root = root_of(&self.leaves[..size as usize]);
        let note = Checkpoint { origin: self.key.name().clone(), size, root }.sign(&self.key).unwrap();
        self.mailbox.put(Signed { size, note, kept: None });
    }

    #[track_caller]
    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}\n{}", self.page());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    fn wait_witnessed(&self, size: u64) {
        self.wait("witnessed", |running| running.metrics.witnessed.get() == size);
    }

    fn page(&self) -> String {
        let mut page = Page::default();
        self.metrics.render(&mut page, SystemClock.now().unix_nanos());
        page.text().to_owned()
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.page();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
    }

    /// Who cosigned what is archived for this size.
    fn cosigners(&self, size: u64) -> Option<Vec<String>> {
        let note = witnessed::read(&*self.store, size).unwrap()?;
        assert_eq!(Checkpoint::open(&note, &self.key.public()).unwrap().size, size);
        Some(parse_note(&note).unwrap().claimed_signers().skip(1).map(str::to_owned).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.mailbox.close();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_some_and(|ended| ended.is_ok()) || std::thread::panicking());
    }
}

#[test]
fn all_witnesses_cosign_and_it_is_archived() {
    let scene = Scene::new();
    let running = scene.run("archive", leaves(None));
    for size in [7, 11, 12] {
        running.show(size);
        running.wait_witnessed(size);
        assert_eq!(running.cosigners(size).unwrap(), ["w0", "w1", "w2"]);
    }
    // Each was asked once for each: what they have seen is remembered.
    assert_eq!(scene.asked().len(), 9);
    for name in ["tachograph_witnessed_lag_seconds", "tachograph_witness_lag_seconds{witness=\"w1\"}"] {
        assert_eq!(running.metric(name), 0.0);
    }
    // A new start knows it still.
    drop(running);
    let running = scene.run("archive", leaves(None));
    running.show(20);
    running.wait_witnessed(20);
    assert_eq!(scene.asked().len(), 3);
}

/// A witness with a second key that it does not sign with yet: its first one is as good as before, for each checkpoint.
#[test]
fn a_key_that_does_not_sign_yet_holds_no_checkpoint_up() {
    let mut scene = Scene::new();
    let stranger = tachograph_ledger::WitnessSigningKey::ml_dsa_44(WitnessName::parse("w0").unwrap(), [20; 32]);
    let second = format!("witness pq {} http://w0\n", stranger.public().to_line());
    scene.policy = scene.policy.replace("group few 2 w0 w1 w2\nquorum few\n", &format!("{second}quorum w0\n"));
    scene.set_down(&[1]);
    let running = scene.run("archive", leaves(None));
    // If it paused for each of them, these would take longer than anybody waits here.
    for size in 1..=14 {
        running.show(size);
        running.wait_witnessed(size);
    }
    // Long enough for the last one to be asked for more than once again.
    let failures = |at: usize| running.metric(&format!("tachograph_witness_failures_total{{witness=\"w{at}\"}}"));
    let before = failures(1);
    running.wait("others are asked again", |_| failures(1) >= before + 2.0);
    scene.set_down(&[]);
    running.wait("caught up", |running| running.metric("tachograph_witness_lag_seconds{witness=\"w1\"}") == 0.0);
    let asked = scene.asked();
    for size in 1..=14 {
        let times = asked.iter().filter(|question| **question == (0, size)).count();
        assert!((1..=2).contains(&times), "{size}: {times} times");
    }
    assert_eq!(asked.iter().filter(|question| **question == (0, 14)).count(), 2);
    assert!(running.metric("tachograph_witness_lag_seconds{witness=\"w0\"}") > 0.0);
}

/// One witness has a second key, which the policy asks for.
#[test]
fn both_keys_of_a_witness_are_asked_for_at_once() {
    let mut scene = Scene::new();
    let path = scene.root.path().join("w0");
    let mut dir = WitnessDir::open(&path).unwrap();
    let lock = dir.lock().unwrap();
    dir.add_post_quantum(&Zeroizing::new([20; 32]), &lock).unwrap();
    let second = dir.post_quantum_vkey().unwrap().clone();
    let asks_for_both = format!("witness pq {} http://w0\ngroup both all w0 pq\n", second.to_line());
    scene.policy = scene.policy.replace("group few 2 w0 w1 w2", &format!("{asks_for_both}group few 2 both w1 w2"));
    // As long as it was not started with it one key counts, and it is asked again for the other.
    let running = scene.run("archive", leaves(None));
    running.show(7);
    running.wait_witnessed(7);
    assert_eq!(running.cosigners(7).unwrap(), ["w0", "w1", "w2"]);
    running.wait("asked again", |running| running.metric("tachograph_witness_failures_total{witness=\"w0\"}") >= 2.0);
    assert!(running.metric("tachograph_witness_lag_seconds{witness=\"w0\"}") > 0.0);
    drop(running);
    let started = Desk::open(WitnessDir::open(&path).unwrap(), Arc::new(SystemClock)).unwrap();
    Arc::get_mut(&mut scene.network).unwrap().desks[0] = started;
    scene.set_down(&[1]);
    scene.asked();
    let running = scene.run("archive", leaves(None));
    running.show(11);
    running.wait_witnessed(11);
    assert_eq!(running.cosigners(11).unwrap(), ["w0", "w0", "w2"]);
    assert_eq!(running.metric("tachograph_witness_lag_seconds{witness=\"w0\"}"), 0.0);
    let note = witnessed::read(&*running.store, 11).unwrap().unwrap();
    assert!(second.cosigned(&parse_note(&note).unwrap()).unwrap().is_some());
    // One question brought both.
    assert_eq!(scene.asked().iter().filter(|(at, _)| *at == 0).count(), 1);
}

#[test]
fn one_that_is_down_is_asked_again_and_the_quorum_does_not_wait() {
    let scene = Scene::new();
    scene.set_down(&[1]);
    let running = scene.run("archive", leaves(None));
    running.show(7);
    running.wait_witnessed(7);
    assert_eq!(running.cosigners(7).unwrap(), ["w0", "w2"]);
    running.wait("asked again", |running| running.metric("tachograph_witness_failures_total{witness=\"w1\"}") >= 3.0);
    assert!(running.metric("tachograph_witness_lag_seconds{witness=\"w1\"}") > 0.0);
    assert_eq!(running.metric("tachograph_witness_failures_total{witness=\"w0\"}"), 0.0);
    scene.set_down(&[]);
    running.wait("caught up", |running| running.metric("tachograph_witness_lag_seconds{witness=\"w1\"}") == 0.0);
    // What was archived stays as it was.
    assert_eq!(running.cosigners(7).unwrap(), ["w0", "w2"]);
}

#[test]
fn without_a_quorum_nothing_is_archived_until_there_is_one() {
    let scene = Scene::new();
    scene.set_down(&[0, 1]);
    let running = scene.run("archive", leaves(None));
    running.show(7);
    running.wait("asked again", |running| running.metric("tachograph_witness_failures_total{witness=\"w0\"}") >= 2.0);
    assert_eq!((running.cosigners(7), running.metrics.witnessed.get()), (None, 0));
    assert!(running.metric("tachograph_witnessed_lag_seconds") > 0.0);
    scene.set_down(&[0]);
    running.wait_witnessed(7);
    assert_eq!(running.cosigners(7).unwrap(), ["w1", "w2"]);
}

#[test]
fn of_many_checkpoints_the_newest_matters() {
    let scene = Scene::new();
    let running = scene.run("archive", leaves(None));
    (1..=40).for_each(|size| running.show(size));
    running.wait_witnessed(40);
    assert!(scene.asked().len() < 40 * 3);
    assert_eq!(running.cosigners(40).unwrap(), ["w0", "w1", "w2"]);
}

#[test]
fn the_last_checkpoint_is_shown_before_the_end() {
    let scene = Scene::new();
    let running = scene.run("archive", leaves(None));
    running.show(7);
    running.wait_witnessed(7);
    running.show(11);
    let (store, key) = (Arc::clone(&running.store), running.key.public());
    drop(running);
    let note = witnessed::read(&*store, 11).unwrap().unwrap();
    assert_eq!(Checkpoint::open(&note, &key).unwrap().size, 11);
    // And no witness that is down holds it up.
    scene.set_down(&[0, 1, 2]);
    let running = scene.run("other", leaves(None));
    running.show(12);
    drop(running);
    assert_eq!(scene.asked().iter().filter(|(_, size)| *size == 12).count(), 3);
}

#[test]
fn a_fork_is_an_alarm_and_is_not_archived() {
    let scene = Scene::new();
    let honest = scene.run("archive", leaves(None));
    honest.show(11);
    honest.wait_witnessed(11);
    drop(honest);
    for size in [11, 20] {
        let fork = scene.run("fork", leaves(Some(3)));
        fork.show(size);
        fork.wait("alarm", |running| running.metrics.forks.get() >= 3);
        assert_eq!((fork.cosigners(size), fork.metrics.witnessed.get()), (None, 0));
    }
    // Two checkpoints of theirs at each of three witnesses: of the size that was cosigned, and of another.
    for at in 0..3 {
        let dir = WitnessDir::open(&scene.root.path().join(format!("w{at}"))).unwrap();
        assert_eq!((dir.count(Finding::Fork).unwrap(), dir.count(Finding::Unproven).unwrap()), (1, 1));
    }
}

#[test]
fn a_rollback_is_an_alarm() {
    let scene = Scene::new();
    let newest = scene.run("archive", leaves(None));
    newest.show(20);
    newest.wait_witnessed(20);
    drop(newest);
    let restored = scene.run("old", leaves(None));
    restored.show(11);
    restored.wait("alarm", |running| running.metrics.forks.get() >= 3);
    assert_eq!((restored.cosigners(11), restored.metrics.witnessed.get()), (None, 0));
    // Once it is where it was it goes on.
    restored.show(21);
    restored.wait_witnessed(21);
}

/// Killed between the archive and the next step: the note is there, and new answers have other times.
#[test]
fn what_an_earlier_run_archived_is_as_good() {
    let scene = Scene::new();
    let running = scene.run("archive", leaves(None));
    running.show(11);
    running.wait_witnessed(11);
    let note = witnessed::read(&*running.store, 11).unwrap();
    drop(running);
    scene.set_down(&[0]);
    let running = scene.run("archive", leaves(None));
    running.show(11);
    running.wait_witnessed(11);
    assert_eq!(witnessed::read(&*running.store, 11).unwrap(), note);
    assert_eq!(running.metrics.forks.get(), 0);
}

#[test]
fn what_somebody_put_in_its_place_is_no_witnessed_checkpoint() {
    for content in [b"nonsense".to_vec(), fork_of(11)] {
        let is_fork = content != b"nonsense";
        let scene = Scene::new();
        let running = scene.run("archive", leaves(None));
        running.store.create("witnessed/00000000000000000011", &content, None).unwrap();
        running.show(11);
        running.wait("asked", |running| running.metric("tachograph_witness_lag_seconds{witness=\"w2\"}") == 0.0);
        running.wait("alarm", |running| !is_fork || running.metrics.forks.get() == 1);
        running.show(12);
        running.wait_witnessed(12);
        assert_eq!(running.metrics.forks.get(), u64::from(is_fork));
    }
}

fn fork_of(size: u64) -> Vec<u8> {
    let key = SigningKey::from_seed(LedgerName::parse("acme.example/test").unwrap(), [1; 32]);
    let root = root_of(&leaves(Some(3))[..size as usize]);
    Checkpoint { origin: key.name().clone(), size, root }.sign(&key).unwrap().into_bytes()
}
