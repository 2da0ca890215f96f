//! The spool at work: what is in it is delivered once, whatever ends, fails or is not there.

use crate::otlp::{Received, Server, attribute, free_address};
use crate::sink::{Sink, turn};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tachograph::__private::{Disk, RealDisk};
use tachograph::{Durability, Guard, Init, InitError, Spool, SpoolState, WhenFull};

#[tachograph::generation(name = name, model = "m", prompt = text)]
fn record(name: &str, text: &str) {}

fn begin(spool: Spool, address: SocketAddr) -> Guard {
    settings(spool, address).on_warning(|_| ()).init().expect("init")
}

fn settings(spool: Spool, address: SocketAddr) -> Init {
    Init::new("spool-test").endpoint(format!("http://{address}")).spool(spool).interval(Duration::from_millis(20))
}

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "did not come about: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How often each name arrived, by distinct event ids.
fn arrived(received: &Received) -> BTreeMap<String, usize> {
    let mut ids: Vec<_> = received
        .spans()
        .iter()
        .map(|span| (format!("{:?}", attribute(span, "tachograph.event.id")), span.name.clone()))
        .collect();
    ids.sort();
    ids.dedup_by(|a, b| a.0 == b.0);
    let mut names = BTreeMap::new();
    for (_, name) in ids {
        *names.entry(name).or_default() += 1;
    }
    names
}

fn folders(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("the spool").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.is_dir() && !path.ends_with("refused")).count()
}

#[test]
fn records_go_through_the_spool_and_leave_nothing_there() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    for durability in [Durability::Memory, Durability::Process, Durability::Machine] {
        let guard = begin(Spool::new(directory.path()).durability(durability), address);
        for _ in 0..50 {
            record("r", "x");
        }
        let report = guard.flush(Duration::from_secs(30));
        assert_eq!((report.produced, report.exported, report.spooled, report.waiting), (50, 50, 0, 0), "{report}");
        assert_eq!(report.spool, SpoolState::Working);
        record("r", "x");
        let report = guard.shutdown().expect("nothing lost");
        assert_eq!((report.exported, report.unconfirmed), (51, 0), "{report}");
        assert_eq!(folders(directory.path()), 0);
    }
    assert_eq!(received.spans().len(), 3 * 51, "each once");
    let actions: Vec<_> =
        received.lifecycle().iter().filter_map(|span| attribute(span, "tachograph.action.type")).collect();
    assert_eq!(actions.len(), 6);
    assert_eq!(actions[5], Value::StringValue("producer.close".to_owned()));
}

#[test]
fn what_no_collector_took_is_delivered_by_the_next_start_with_the_close_last() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let spool = Spool::new(directory.path());
    let guard = settings(spool.clone(), address)
        .shutdown_limit(Duration::from_millis(300))
        .on_warning(|_| ())
        .init()
        .expect("init");
    (0..1_000).for_each(|_| record("first", "x"));
    let report = guard.shutdown().expect("spooled is not lost");
    assert_eq!((report.produced, report.spooled, report.lost, report.waiting), (1_000, 1_000, 0, 0), "{report}");
    assert!(report.spool_bytes > 100_000);
    let _server = Server::start(address, received.clone());
    let guard = begin(spool, address);
    record("second", "x");
    until("all is delivered", || guard.report().adopted_exported == 1_000);
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.produced, report.exported, report.adopted, report.adopted_exported), (1, 1, 1_000, 1_000));
    assert_eq!(arrived(&received), BTreeMap::from([("first".to_owned(), 1_000), ("second".to_owned(), 1)]));
    assert_eq!(folders(directory.path()), 0);
    let closes = |span: &&opentelemetry_proto::tonic::trace::v1::Span| span.name == "producer.close";
    let said: Vec<_> =
        received.lifecycle().iter().filter(closes).filter_map(|span| attribute(span, "tachograph.details")).collect();
    assert_eq!(said.len(), 2, "the first start's close was in the spool");
    let first = Value::StringValue(r#"{"count":"1002","last":"1001","lost":"0"}"#.to_owned());
    assert!(said.contains(&first), "{said:?}");
}

#[test]
fn a_process_that_lives_for_a_moment_delivers_what_others_left_before_it_ends() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    for _ in 0..3 {
        let guard = settings(Spool::new(directory.path()), address)
            .shutdown_limit(Duration::ZERO)
            .on_warning(|_| ())
            .init()
            .expect("init");
        (0..700).for_each(|_| record("r", "x"));
        guard.shutdown().expect("spooled is not lost");
    }
    let _server = Server::start(address, received.clone());
    let guard = begin(Spool::new(directory.path()), address);
    record("r", "x");
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.exported, report.adopted, report.adopted_exported), (1, 2_100, 2_100), "{report}");
    assert_eq!((folders(directory.path()), report.spool_bytes), (0, 0));
    assert_eq!(arrived(&received)["r"], 2_101);
}

#[test]
fn a_spool_and_a_queue_that_are_full_do_as_they_were_told() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let text = "x".repeat(20_000);
    let guard = settings(Spool::new(directory.path()).limit(1 << 20), address)
        .queue(10, 1 << 30)
        .when_full(WhenFull::Refuse)
        .on_warning(|_| ())
        .init()
        .expect("init");
    until("the spool is full", || {
        record("r", &text);
        std::thread::sleep(Duration::from_millis(1));
        guard.report().spool == SpoolState::Full && guard.report().lost > 0
    });
    let report = guard.report();
    assert_eq!(report.spool, SpoolState::Full, "{report}");
    assert!(report.spool_bytes <= 1 << 20 && report.spooled > 10, "{report:?}");
    assert_eq!(report.produced, report.exported + report.spooled + report.waiting + report.lost);
    // Once there is a collector, all that was kept arrives, and the spool goes on.
    let _server = Server::start(address, received.clone());
    until("it is drained", || guard.report().exported > report.spooled);
    record("after", "x");
    let lost = guard.shutdown().expect_err("some were refused").report;
    assert_eq!(lost.exported + lost.lost, lost.produced, "{lost}");
    assert_eq!(arrived(&received).values().sum::<usize>() as u64, lost.exported);
}

#[test]
fn who_fails_closed_waits_for_ever() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let text = "x".repeat(20_000);
    let guard = settings(Spool::new(directory.path()).limit(1 << 20), address)
        .queue(10, 1 << 30)
        .when_full(WhenFull::Wait)
        .on_warning(|_| ())
        .init()
        .expect("init");
    let working = std::thread::spawn(move || (0..300).for_each(|_| record("r", &text)));
    until("it stands still", || {
        let before = guard.report();
        std::thread::sleep(Duration::from_millis(300));
        before.spool == SpoolState::Full && guard.report().produced == before.produced
    });
    assert!(!working.is_finished());
    let _server = Server::start(address, received.clone());
    working.join().unwrap();
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.produced, report.exported), (300, 300));
}

#[test]
fn what_the_receiver_refuses_is_kept_aside() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    let (lines, warn) = crate::delivery::collect_warnings();
    let guard = settings(Spool::new(directory.path()), address).on_warning(warn).init().expect("init");
    for name in ["a", "refused", "b"] {
        record(name, "the content");
    }
    let report = guard.shutdown().expect_err("one is lost").report;
    assert_eq!((report.exported, report.lost), (2, 1));
    let refused: Vec<_> =
        std::fs::read_dir(directory.path().join("refused")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(refused.len(), 1);
    let kept = std::fs::read(&refused[0]).unwrap();
    assert!(kept.windows(11).any(|window| window == b"the content"));
    let lines = lines.lock().unwrap();
    assert!(lines.iter().any(|line| line.contains("(refused)") && line.contains("kept in")), "{lines:?}");
}

#[test]
fn a_request_that_is_too_large_for_the_receiver_is_halved() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let guard = begin(Spool::new(directory.path()), address);
    (0..10).for_each(|_| record("heavy", "x"));
    let _server = Server::start(address, received.clone());
    let report = guard.flush(Duration::from_secs(30));
    assert_eq!((report.exported, report.lost), (10, 0), "{report}");
    guard.shutdown().expect("nothing lost");
    assert_eq!(arrived(&received)["heavy"], 10);
}

#[test]
fn processes_share_a_directory() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    let mut children: Vec<_> = (0..3).map(|_| Program::start(directory.path(), address, "process", "exit")).collect();
    children.iter_mut().for_each(|child| child.wait());
    let guard = begin(Spool::new(directory.path()), address);
    until("all is delivered", || folders(directory.path()) == 1);
    assert_eq!(arrived(&received).values().sum::<usize>(), 3 * 500);
    guard.shutdown().expect("nothing lost");
    assert_eq!(folders(directory.path()), 0);
}

#[test]
fn an_exporter_of_ones_own_has_no_spool_and_a_directory_that_can_t_be_is_named() {
    let _turn = turn();
    let error = Init::new("test").spool(Spool::new("/nowhere")).init_with(Sink::default()).expect_err("an error");
    assert!(matches!(error, InitError::SpoolWithExporter));
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Init::new("test").spool(Spool::new(file.path().join("spool"))).init().expect_err("an error");
    assert!(error.to_string().contains("TACHOGRAPH_SPOOL"), "{error}");
    // And nothing is left behind that would keep the next one from starting.
    Init::new("test").init_with(Sink::default()).expect("init").shutdown().expect("nothing lost");
}

#[test]
fn a_start_that_fails_keeps_no_call_waiting() {
    let _turn = turn();
    let file = tempfile::NamedTempFile::new().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let calls: Vec<_> = (0..2)
        .map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    record("r", "x");
                }
            })
        })
        .collect();
    for _ in 0..200 {
        let init = settings(Spool::new(file.path().join("spool")), free_address());
        init.queue(1, 1 << 20).when_full(WhenFull::Wait).on_warning(|_| ()).init().expect_err("no directory");
    }
    over.store(true, Ordering::SeqCst);
    until("all calls return", || calls.iter().all(std::thread::JoinHandle::is_finished));
}

// --- a disk that fails ---

/// Takes so many bytes more, and says how often it was synced.
#[derive(Debug, Default)]
struct SmallDisk {
    room: AtomicU64,
    syncs: AtomicU64,
    fails_to_sync: AtomicBool,
}

impl SmallDisk {
    fn new(room: u64) -> Arc<Self> {
        Arc::new(Self { room: AtomicU64::new(room), ..Self::default() })
    }
}

impl Disk for SmallDisk {
    fn write(&self, file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        let part = bytes.len().min(room as usize);
        RealDisk.write(file, at, &bytes[..part])?;
        self.room.fetch_sub(part as u64, Ordering::SeqCst);
        if part < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.fails_to_sync.load(Ordering::SeqCst) { Err(io::Error::other("no")) } else { RealDisk.sync(file) }
    }
}

#[test]
fn a_full_disk_is_said_and_records_are_delivered_from_memory_until_it_has_room() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    let disk = SmallDisk::new(5_000);
    let (lines, warn) = crate::delivery::collect_warnings();
    let spool = Spool::new(directory.path()).durability(Durability::Process).on_disk(disk.clone());
    let guard = settings(spool, address).on_warning(warn).init().expect("init");
    (0..100).for_each(|_| record("r", "x"));
    let report = guard.flush(Duration::from_secs(30));
    assert_eq!((report.exported, report.lost, report.unconfirmed), (100, 0, 0), "{report}");
    assert_eq!(report.spool, SpoolState::Failing, "{report}");
    assert!(lines.lock().unwrap().iter().any(|line| line.contains("the spool can't be written")), "{lines:?}");
    disk.room.store(1 << 30, Ordering::SeqCst);
    until("it works again", || {
        record("again", "x");
        std::thread::sleep(Duration::from_millis(20));
        guard.report().spool == SpoolState::Working
    });
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.exported, report.unconfirmed), (report.produced, 0), "{report}");
    assert_eq!(received.spans().len() as u64, report.produced, "each once");
    assert_eq!(folders(directory.path()), 0);
}

#[test]
fn a_call_whose_record_nobody_takes_returns_unconfirmed_and_the_loss_is_counted_in_the_end() {
    let _turn = turn();
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::new(directory.path()).durability(Durability::Process).on_disk(SmallDisk::new(0));
    let guard = settings(spool, free_address())
        .wait_at_most(Duration::from_secs(1))
        .shutdown_limit(Duration::from_millis(100))
        .on_warning(|_| ())
        .init()
        .expect("init");
    let began = Instant::now();
    (0..50).for_each(|_| record("r", "x"));
    assert!(began.elapsed() < Duration::from_secs(25), "one waits in vain, the others not: {:?}", began.elapsed());
    let report = guard.report();
    assert_eq!((report.unconfirmed, report.waiting, report.lost), (50, 50, 0), "{report}");
    let lost = guard.shutdown().expect_err("neither disk nor collector").report;
    assert_eq!((lost.produced, lost.lost, lost.waiting, lost.spooled), (50, 50, 0, 0), "{lost}");
}

#[test]
fn what_neither_spool_nor_collector_takes_at_the_end_is_lost_and_the_rest_is_spooled() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let spool = Spool::new(directory.path()).limit(1 << 20);
    let guard = settings(spool.clone(), address)
        .shutdown_limit(Duration::from_millis(200))
        .on_warning(|_| ())
        .init()
        .expect("init");
    let text = "x".repeat(20_000);
    (0..200).for_each(|_| record("r", &text));
    let lost = guard.shutdown().expect_err("the spool is full").report;
    assert!(lost.lost > 0 && lost.spooled > 10 && lost.waiting == 0, "{lost}");
    assert_eq!(lost.lost + lost.spooled, 200);
    let _server = Server::start(address, received.clone());
    let guard = begin(spool, address);
    until("all is delivered", || guard.report().adopted_exported == lost.spooled);
    guard.shutdown().expect("nothing lost");
    assert_eq!(arrived(&received)["r"] as u64, lost.spooled);
}

#[test]
fn a_spool_that_is_full_of_what_others_left_keeps_nothing_from_being_delivered() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let spool = Spool::new(directory.path()).limit(1 << 20);
    let short = Duration::from_millis(200);
    let guard = settings(spool.clone(), address).shutdown_limit(short).on_warning(|_| ()).init().expect("init");
    let text = "x".repeat(20_000);
    (0..200).for_each(|_| record("old", &text));
    let left = guard.shutdown().expect_err("the spool is full").report.spooled;
    let guard = begin(spool, address);
    record("mine", &text);
    until("it is seen to be full", || guard.report().spool == SpoolState::Full);
    let (came, served) = (received.clone(), Arc::new(AtomicBool::new(false)));
    let server = std::thread::spawn({
        let served = Arc::clone(&served);
        move || {
            // By then all is closed: what is delivered before would make room.
            std::thread::sleep(Duration::from_millis(300));
            let server = Server::start(address, came);
            until("shutdown is over", || served.load(Ordering::SeqCst));
            drop(server);
        }
    });
    let report = guard.shutdown();
    served.store(true, Ordering::SeqCst);
    server.join().unwrap();
    let report = report.expect("nothing lost");
    assert_eq!((report.exported, report.adopted_exported), (1, left), "{report}");
    assert_eq!((folders(directory.path()), report.spool_bytes), (0, 0));
    assert_eq!(arrived(&received)["mine"], 1);
}

#[test]
fn what_another_version_left_takes_no_room() {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let foreign = directory.path().join("00000000000000ff");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("lock"), b"").unwrap();
    let mut segment = b"TGSPOL\x09\0".to_vec();
    segment.resize(1 << 20, 1);
    std::fs::write(foreign.join("00000001.seg"), &segment).unwrap();
    let _server = Server::start(address, received.clone());
    let guard = begin(Spool::new(directory.path()).limit(1 << 20), address);
    until("records are written", || {
        record("r", "x");
        std::thread::sleep(Duration::from_millis(20));
        let report = guard.flush(Duration::from_secs(30));
        report.exported == report.produced && report.spool == SpoolState::Working && report.spool_bytes < 1 << 20
    });
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!(report.folders_left, 1, "{report}");
    assert_eq!(std::fs::read(foreign.join("00000001.seg")).unwrap(), segment);
}

#[test]
fn a_sync_is_shared_and_one_that_fails_confirms_nothing() {
    let _turn = turn();
    // In memory where there is such a place: how long a real sync takes on a busy machine is not the question.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (address, received) = (free_address(), Received::default());
    let disk = SmallDisk::new(1 << 30);
    let spool = Spool::new(directory.path()).durability(Durability::Machine).on_disk(disk.clone());
    let guard = settings(spool, address).wait_at_most(Duration::from_secs(2)).on_warning(|_| ()).init().expect("init");
    record("r", "x");
    assert!(disk.syncs.load(Ordering::SeqCst) > 0);
    assert_eq!(guard.report().unconfirmed, 0);
    disk.fails_to_sync.store(true, Ordering::SeqCst);
    record("unsafe", "x");
    assert_eq!(guard.report().unconfirmed, 1);
    assert_eq!(guard.report().spool, SpoolState::Failing);
    // Once it is delivered it is safe, and so is what comes then.
    let _server = Server::start(address, received.clone());
    guard.flush(Duration::from_secs(30));
    record("delivered from memory", "x");
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.exported, report.produced), (3, 3), "{report}");
    assert_eq!(arrived(&received).len(), 3);
}

#[test]
fn a_later_sync_says_nothing_of_records_whose_own_sync_failed() {
    let _turn = turn();
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (address, received) = (free_address(), Received::default());
    let disk = SmallDisk::new(1 << 30);
    let spool = Spool::new(directory.path()).durability(Durability::Machine).on_disk(disk.clone());
    let guard = settings(spool, address).when_full(WhenFull::Wait).on_warning(|_| ()).init().expect("init");
    record("safe", "x");
    disk.fails_to_sync.store(true, Ordering::SeqCst);
    let first = std::thread::spawn(|| record("unsafe", "x"));
    until("its sync failed", || guard.report().spool == SpoolState::Failing);
    disk.fails_to_sync.store(false, Ordering::SeqCst);
    record("safe", "x");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!first.is_finished(), "another record's sync confirmed it");
    // Delivered it is safe.
    let _server = Server::start(address, received.clone());
    first.join().unwrap();
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.exported, report.unconfirmed), (3, 0), "{report}");
}

// --- processes that end as they should not ---

const CHILD: &str = "TACHOGRAPH_TEST_CHILD";

/// This test program again, as a program that records.
struct Program(Child);

impl Program {
    fn start(directory: &Path, address: SocketAddr, durability: &str, end: &str) -> Self {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "spool::program", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{} {durability} {end}", directory.display()))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a program");
        Self(child)
    }

    fn wait(&mut self) {
        self.0.wait().expect("its end");
    }

    /// Kills it after so many records were accepted; gives how many it said were.
    fn kill_after(mut self, records: usize) -> usize {
        use std::io::{BufRead, BufReader};
        let mut lines = BufReader::new(self.0.stdout.take().expect("its output")).lines();
        let mut accepted = 0;
        while let Some(Ok(line)) = lines.next() {
            accepted += usize::from(line.ends_with("accepted"));
            if accepted == records {
                self.0.kill().expect("killed");
            }
        }
        self.wait();
        accepted
    }
}

/// Not a test by itself: what a child runs.
#[test]
fn program() {
    let Ok(orders) = std::env::var(CHILD) else { return };
    let orders: Vec<_> = orders.split(' ').collect();
    let [directory, durability, end] = orders[..] else { panic!("orders") };
    let durability = match durability {
        "machine" => Durability::Machine,
        "process" => Durability::Process,
        _ => Durability::Memory,
    };
    let guard = Init::new("child")
        .spool(Spool::new(directory).durability(durability))
        .shutdown_limit(Duration::from_millis(200))
        .init()
        .expect("init");
    match end {
        "exit" => {
            (0..500).for_each(|_| record("r", "x"));
            std::process::exit(0);
        }
        "panic" => {
            (0..500).for_each(|_| record("r", "x"));
            drop(
                std::thread::spawn(move || {
                    let _guard = guard;
                    panic!("a panic in main unwinds through the guard");
                })
                .join(),
            );
        }
        "forget" => {
            (0..500).for_each(|_| record("r", "x"));
            std::mem::forget(guard);
        }
        _ => loop {
            record("r", "x");
            println!("accepted");
        },
    }
}

fn accepted_arrive_once(durability: &str, with_collector: bool) {
    let _turn = turn();
    let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
    let server = with_collector.then(|| Server::start(address, received.clone()));
    let mut accepted = 0;
    for records in [1, 700, 50] {
        accepted += Program::start(directory.path(), address, durability, "kill").kill_after(records);
    }
    let _server = server.unwrap_or_else(|| Server::start(address, received.clone()));
    let guard = begin(Spool::new(directory.path()), address);
    until("all that was left is delivered", || folders(directory.path()) == 1);
    let report = guard.shutdown().expect("nothing lost");
    let arrived = arrived(&received).get("r").copied().unwrap_or_default();
    // One that was written when the kill came is there without having been told so: one for each of three.
    assert!((accepted..=accepted + 3).contains(&arrived), "{arrived} of {accepted} accepted: {report}");
}

#[test]
fn a_process_that_is_killed_loses_nothing_that_was_accepted() {
    accepted_arrive_once("process", false);
}

#[test]
fn a_process_that_is_killed_while_it_delivers_loses_nothing_that_was_accepted() {
    accepted_arrive_once("process", true);
}

#[test]
fn a_process_that_is_killed_loses_nothing_that_was_synced() {
    accepted_arrive_once("machine", false);
}

/// `std::process::exit`, a panic and a forgotten guard: what was accepted is there for the next start.
#[test]
fn a_process_that_ends_without_shutdown_loses_nothing_that_was_accepted() {
    let _turn = turn();
    for end in ["exit", "panic", "forget"] {
        let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
        // No collector: the guard's drop would wait for it.
        Program::start(directory.path(), address, "process", end).wait();
        let _server = Server::start(address, received.clone());
        let guard = begin(Spool::new(directory.path()), address);
        until("all is delivered", || arrived(&received).get("r") == Some(&500));
        guard.shutdown().expect("nothing lost");
    }
}
