//! An application that records through the crate `tachograph`, and a collector, both killed and stopped at bad moments: what the
//! interface accepted is in the archive, once, and what it refused is known by number.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tachograph_exporters::verify::Axis;
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{Verified, verify};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::seed::Random;
use tachograph_tests::stored;

/// How many records; the soak makes more.
const RECORDS: &str = "TACHOGRAPH_LOSS_RECORDS";
const DEFAULT_RECORDS: u64 = 60_000;

/// Lives of the application: all but the last end by SIGKILL.
const LIVES: u64 = 6;
/// Threads of the application: so many calls may be under way when it is killed.
const THREADS: u64 = 8;
/// Bytes of a line in the file of what was accepted.
const LINE: u64 = "0-000000000\n".len() as u64;

/// What happens to the collector in a life of the application, from half of its records on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    /// SIGKILL, and a new start.
    Killed(Until),
    /// SIGSTOP, and SIGCONT.
    Stopped(Until),
}

/// When it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// While the application goes on.
    Meanwhile,
    /// After the application was killed.
    Later,
}

const TROUBLES: [Trouble; LIVES as usize] = [
    Trouble::None,
    Trouble::Killed(Until::Later),
    Trouble::Stopped(Until::Later),
    Trouble::Killed(Until::Meanwhile),
    Trouble::Stopped(Until::Meanwhile),
    Trouble::Killed(Until::Meanwhile),
];

fn application(grpc: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tachograph-application"));
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{grpc}")).env("NO_PROXY", "*").env("no_proxy", "*");
    command.env_remove("TACHOGRAPH_SPOOL").env_remove("TACHOGRAPH_RECEIPTS");
    command
}

/// A child that does not outlive the test.
struct Application {
    child: Child,
    accepted: PathBuf,
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Application {
    fn keeps(life: u64, count: u64, place: &Path, grpc: SocketAddr) -> Self {
        let accepted = place.join(format!("accepted-{life}"));
        let mut command = application(grpc);
        command.args(["keep", &life.to_string(), &count.to_string()]).arg(place.join("spool")).arg(&accepted);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")), accepted }
    }

    fn accepted(&self) -> u64 {
        fs::metadata(&self.accepted).map_or(0, |file| file.len()) / LINE
    }

    /// Waits until so many records of this life were accepted.
    fn wait_accepted(&mut self, count: u64) {
        let mut progress = (0, Instant::now());
        while self.accepted() < count {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("the application ended by itself ({status}) after {} records", self.accepted());
            }
            if self.accepted() > progress.0 {
                progress = (self.accepted(), Instant::now());
            }
            assert!(progress.1.elapsed() < PATIENCE, "no record was accepted for {PATIENCE:?}, after {}", progress.0);
            sleep(Duration::from_millis(2));
        }
    }

    /// What it printed at its end, which must come.
    fn ended(mut self) -> String {
        let deadline = Instant::now() + 4 * PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(Instant::now() < deadline, "the application did not end");
            sleep(Duration::from_millis(20));
        };
        let printed = std::io::read_to_string(self.child.stdout.take().expect("piped")).expect("it printed text");
        assert!(status.success(), "{status}: {printed}");
        printed.trim().to_owned()
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// A collector that comes and goes at the same address.
struct Recorder<'a> {
    home: &'a Home,
    address: (SocketAddr, SocketAddr),
    collector: Option<Collector>,
}

impl<'a> Recorder<'a> {
    fn start(home: &'a Home) -> Self {
        let collector = home.start();
        Self { home, address: (collector.grpc, collector.http), collector: Some(collector) }
    }

    fn collector(&self) -> &Collector {
        self.collector.as_ref().expect("the collector runs")
    }

    fn kill(&mut self) {
        self.collector.take().expect("the collector runs").kill();
    }

    fn restart(&mut self) {
        self.collector = Some(self.home.start_at(self.address.0, self.address.1));
    }

    fn begin(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::None => {}
            Trouble::Killed(_) => self.kill(),
            Trouble::Stopped(_) => self.collector().pause(),
        }
    }

    fn end(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::None => {}
            Trouble::Killed(_) => self.restart(),
            Trouble::Stopped(_) => self.collector().resume(),
        }
    }

    /// All that was received is archived; then it stops in good order.
    fn finish(mut self, timeout: Duration) {
        let collector = self.collector.take().expect("the collector runs");
        let archived = |collector: &Collector| collector.metric("tachograph_archive_lag_records") == 0.0;
        collector.wait_until("everything archived", timeout, archived);
        collector.stop();
    }
}

/// The auditor's view, and the starts of the application.
fn audit(home: &Home) -> (Verified, Vec<Value>) {
    let key = home.data().join("ledger.vkey");
    let verified = verify(&home.archive(), &[&"--key", &key]);
    let all = verified.report["producers"].as_array().cloned().unwrap_or_default();
    let starts = all.into_iter().filter(|start| start["producer"] == "application").collect();
    (verified, starts)
}

#[test]
fn what_was_accepted_arrives_once_through_kills_of_both_sides() {
    let records = match std::env::var(RECORDS) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{RECORDS}={text} is no number")),
        Err(_) => DEFAULT_RECORDS,
    };
    let mut random = Random::of_test("losses");
    // A second between segments, so that a million records don't fall into thousands of files.
    let home = Home::new("archive:\n  max_age: 1s\n");
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = Recorder::start(&home);
    let began = Instant::now();
    let mut accepted = 0;
    for life in 0..LIVES - 1 {
        accepted += live_and_be_killed(life, records / LIVES, place.path(), &mut recorder, &mut random);
        println!("losses: life {life}: {accepted} records accepted, {:.1} s", began.elapsed().as_secs_f64());
    }
    let rest = records.saturating_sub(accepted).max(1_000);
    let said = live_to_the_end(rest, place.path(), &mut recorder);
    println!("losses: {said}, {:.1} s", began.elapsed().as_secs_f64());
    for nothing in [" 0 in the spool, 0 waiting, 0 lost;", "delivered, 0 lost"] {
        assert!(said.contains(nothing), "{said}");
    }
    assert!(!said.contains("before they were safe"), "{said}");
    recorder.finish(PATIENCE + Duration::from_millis(records / 2));
    expect_each_once(&home, place.path(), records);
    println!("losses: archive read, {:.1} s", began.elapsed().as_secs_f64());

    let (verified, starts) = audit(&home);
    assert_eq!(verified.code, 0, "nothing speaks against the ledger: {:#}", verified.report);
    assert_eq!(verified.verdict(Axis::Integrity), "pass", "{:#}", verified.report);
    assert_eq!(verified.verdict(Axis::Completeness), "incomplete", "those that were killed never closed");
    let count = |state: &str| starts.iter().filter(|start| start["state"] == state).count() as u64;
    assert_eq!((count("open"), count("closed")), (LIVES - 1, 1), "{starts:#?}");
    assert!(starts.iter().all(|start| start["missing"] == 0), "{starts:#?}");
    println!("losses: verified, {:.1} s", began.elapsed().as_secs_f64());
}

/// One life of the application, with trouble for the collector meanwhile. Gives how many records were accepted.
fn live_and_be_killed(life: u64, records: u64, place: &Path, recorder: &mut Recorder<'_>, random: &mut Random) -> u64 {
    let trouble = TROUBLES[life as usize];
    let is_over_before = matches!(trouble, Trouble::Killed(Until::Meanwhile) | Trouble::Stopped(Until::Meanwhile));
    let mut application = Application::keeps(life, u64::MAX, place, recorder.address.0);
    application.wait_accepted(records / 2);
    recorder.begin(trouble);
    application.wait_accepted(records * 3 / 4);
    if is_over_before {
        recorder.end(trouble);
    }
    application.wait_accepted(records);
    sleep(random.millis(0, 20));
    application.child.kill().expect("it can be killed");
    application.child.wait().expect("it can be waited for");
    if !is_over_before {
        recorder.end(trouble);
    }
    application.accepted()
}

/// The last life, which ends by itself once all was delivered. Gives what it printed.
fn live_to_the_end(records: u64, place: &Path, recorder: &mut Recorder<'_>) -> String {
    let trouble = TROUBLES[LIVES as usize - 1];
    let mut application = Application::keeps(LIVES - 1, records, place, recorder.address.0);
    application.wait_accepted(records / 2);
    recorder.begin(trouble);
    application.wait_accepted(records * 3 / 4);
    recorder.end(trouble);
    application.ended()
}

/// Every accepted record is archived exactly once; beside them only calls that were under way when the application was killed.
fn expect_each_once(home: &Home, place: &Path, records: u64) {
    let mut archived: BTreeMap<String, u64> = BTreeMap::new();
    stored::each_archived(&home.archive(), |record| {
        let body = record.body();
        if body["producer"] == "application"
            && let Some(name) = body["resource_id"].as_str()
        {
            *archived.entry(name.to_owned()).or_default() += 1;
        }
    });
    let mut accepted = 0;
    for life in 0..LIVES {
        let text = fs::read_to_string(place.join(format!("accepted-{life}"))).expect("a file for each life");
        // A line that the kill cut short is of a call that had not told anybody.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            assert_eq!(archived.get(line), Some(&1), "{line} was accepted; how often it is archived");
            accepted += 1;
        }
    }
    assert!(accepted >= records, "{accepted} of {records} records were accepted");
    let doubled: Vec<_> = archived.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "archived twice: {doubled:?}");
    let more = archived.len() as u64 - accepted;
    println!("losses: {accepted} accepted and archived once, {more} archived whose calls had not returned");
    assert!(more <= (LIVES - 1) * THREADS, "{more} records were archived that nobody was told of");
}

/// An application that does what it is told, a line at a time.
struct Told {
    application: Application,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Told {
    fn start(place: &Path, grpc: SocketAddr) -> Self {
        let accepted = place.join("told");
        let mut command = application(grpc);
        command.arg("refuse").arg(place.join("spool")).arg(&accepted);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        Self { application: Application { child, accepted }, input, output: BufReader::new(output) }
    }

    /// Gives the count after it.
    fn tell(&mut self, command: &str) -> String {
        writeln!(self.input.as_mut().expect("not ended"), "{command}").expect("it listens");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim().to_owned()
    }

    /// The numbers of the records of which this became.
    fn with(&self, became: &str) -> BTreeSet<u64> {
        let text = fs::read_to_string(&self.application.accepted).expect("the file is there");
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(_, what)| *what == became).map(|(number, _)| number.parse().expect("a number")).collect()
    }

    /// It ends once everything was delivered. Gives the last count.
    fn end(mut self) -> String {
        drop(self.input.take());
        let said = self.answer();
        assert!(self.application.child.wait().expect("it ends").success());
        said
    }
}

/// The numbers in all records of one action of the recorder.
fn numbers(home: &Home, action: &str) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    for record in stored::read(&home.data()) {
        let body = record.body();
        if body["producer"] == "tachograph-collector" && body["action_type"] == action {
            for range in body["details"]["numbers"].as_array().expect("ranges") {
                let bound =
                    |name: &str| range[name].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a number");
                all.extend(bound("from")..=bound("to"));
            }
        }
    }
    all
}

fn wait_until_named(home: &Home, refused: &BTreeSet<u64>) {
    let deadline = Instant::now() + PATIENCE;
    while !refused.is_subset(&numbers(home, "producer.gap")) {
        assert!(Instant::now() < deadline, "the collector does not name all of {refused:?}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_was_refused_is_named_by_number_and_nothing_else_is() {
    const AT_A_TIME: &str = "record 700";
    let home = Home::new(&format!("{SMALL}producers: {{ gap_after: 500ms }}\n"));
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut recorder = Recorder::start(&home);
    let mut told = Told::start(place.path(), recorder.address.0);
    // Twice the collector is gone until there is no room, and comes back; between that all finds its place.
    told.tell("record 20");
    for _ in 0..2 {
        told.tell("flush");
        // What a collector has not named yet when it is killed, no later one names: only the verifier does.
        wait_until_named(&home, &told.with("refused"));
        recorder.kill();
        let full = told.tell(AT_A_TIME);
        assert!(!full.contains(", 0 lost"), "there was room for all: {full}");
        recorder.restart();
        let flushed = told.tell("flush");
        assert!(flushed.contains(" 0 in the spool, 0 waiting"), "{flushed}");
        told.tell("record 20");
    }
    let (accepted, refused) = (told.with("accepted"), told.with("refused"));
    let said = told.end();
    println!("losses: {} accepted, {} refused on purpose; {said}", accepted.len(), refused.len());
    assert!(refused.len() > 100 && accepted.len() > 100, "{} refused, {} accepted", refused.len(), accepted.len());
    assert!(said.contains(&format!(" {} lost", refused.len())), "{said}");

    wait_until_named(&home, &refused);
    recorder.finish(PATIENCE);
    assert_eq!(numbers(&home, "producer.gap"), refused, "what the collector misses is what was refused");
    assert!(numbers(&home, "producer.gap_filled").is_empty());

    let mut archived: Vec<u64> = Vec::new();
    stored::each_archived(&home.archive(), |record| {
        let body = record.body();
        if body["producer"] == "application" && body["kind"] == "generation" {
            assert_eq!(body["resource_id"], body["producer_seq"], "the nth call has number n");
            archived.push(body["resource_id"].as_str().and_then(|name| name.parse().ok()).expect("a number"));
        }
    });
    archived.sort_unstable();
    assert_eq!(archived, accepted.into_iter().collect::<Vec<u64>>(), "what was accepted is archived once");

    let (verified, starts) = audit(&home);
    assert_eq!((verified.code, verified.verdict(Axis::Completeness)), (0, "incomplete"), "{:#}", verified.report);
    let [start] = &starts[..] else { panic!("one start, not {starts:#?}") };
    assert_eq!((&start["state"], start["missing"].as_u64()), (&Value::from("closed"), Some(refused.len() as u64)));
    assert_eq!(start["lost"].as_u64(), Some(refused.len() as u64), "{start:#}");
}
