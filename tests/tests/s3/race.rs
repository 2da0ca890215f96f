//! Two collectors write one bucket with copies of one ledger, and are killed at random: one history, whoever wins.

use std::path::Path;
use std::time::{Duration, Instant};

use tachograph_record::{EventId, Kind};
use tachograph_tests::bucket::{Bucket, Mode};
use tachograph_tests::collector::{Collector, Starting, log_end};
use tachograph_tests::command::{self, tachograph_in_s3};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::otlp::Events;
use tachograph_tests::seed::Random;
use tachograph_tests::stored::{self, Stored};
use tachograph_tests::tree;

use crate::scene::{SERVER, expect_all_in_good_order, expect_verified, send};

/// How the refusal ends of whoever comes second to make an archive.
const MADE_TWICE: &str = "holds an archive already: open it, or choose an empty place";
/// What a collector says in one life: start, probe of the bucket, what it states of sessions, stop.
const OWN_RECORDS: usize = 4;
/// How long; the soak test takes longer.
const SECONDS: &str = "TACHOGRAPH_RACE_SECONDS";
const DEFAULT_SECONDS: u64 = 15;

/// One of the two.
struct Rival {
    name: &'static str,
    home: Home,
    load: Load,
    running: Option<Collector>,
    /// The exit code with which it had to stop.
    out: Option<i32>,
}

impl Rival {
    fn new(name: &'static str, home: Home, random: &mut Random) -> Self {
        let load = Load::start(Settings { senders: 2, ..Settings::default() }, random);
        Self { name, home, load, running: None, out: None }
    }

    /// Whether it can be started, which is begun then.
    fn spawn(&self) -> Option<Starting> {
        (self.running.is_none() && self.out.is_none()).then(|| self.home.spawn())
    }

    fn started(&mut self, starting: Starting) {
        match starting.outcome() {
            Ok(collector) => self.running = Some(collector),
            // Both made the archive at the same moment. Started again, it finds one.
            Err(2) if log_end(&self.home.log()).ends_with(MADE_TWICE) => {}
            Err(code) => self.out = Some(code),
        }
    }

    fn aim(&self) {
        self.load.aim(self.running.as_ref().map(|collector| collector.http));
    }

    /// It may have been fenced meanwhile.
    fn look(&mut self) {
        if let Some(collector) = self.running.take() {
            match collector.ended() {
                Ok(collector) => self.running = Some(collector),
                Err(code) => self.out = Some(code),
            }
        }
    }

    /// SIGKILL, unless it has ended by itself. Whether it was killed.
    fn kill(&mut self) -> bool {
        let Some(collector) = self.running.take() else { return false };
        self.out = collector.kill_unless_ended();
        self.out.is_none()
    }

    /// It hangs for a while, and goes on as if it still had the ledger.
    fn hang(&mut self, duration: Duration) {
        self.look();
        if let Some(collector) = &self.running {
            collector.pause();
            std::thread::sleep(duration);
            collector.resume();
        }
    }
}

/// What happened in the races so far.
#[derive(Debug, Default)]
struct Tally {
    ledgers: u64,
    kills: u64,
    hangs: u64,
    /// Fenced while they ran, with exit code 3.
    fenced: u64,
    /// Refused at their next start, with exit code 2.
    refused: u64,
    /// Records that only a loser had, sealed again.
    saved: usize,
}

#[test]
fn two_collectors_make_one_history() {
    let seconds = match std::env::var(SECONDS) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SECONDS}={text} is no number")),
        Err(_) => DEFAULT_SECONDS,
    };
    let mut random = Random::of_test("race");
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tally = Tally::default();
    while tally.ledgers == 0 || Instant::now() < until {
        one_race(&mut random, &mut tally);
        println!("race: {tally:?}");
    }
}

/// Until one of the two is out.
fn one_race(random: &mut Random, tally: &mut Tally) {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    // Segments are closed by size under load, and not before both run.
    let first = Home::in_s3(&bucket.config().replace("200ms", "3s"));
    let common = if random.below(2) == 0 { begin(&first, random) } else { Vec::new() };
    let second = first.copy();
    let mut rivals = [Rival::new("first", first, random), Rival::new("second", second, random)];
    let deadline = Instant::now() + Duration::from_secs(60);
    while rivals.iter().all(|rival| rival.out.is_none()) {
        assert!(Instant::now() < deadline, "two collectors write one ledger, and neither is fenced");
        let starting: Vec<Option<Starting>> = rivals.iter().map(Rival::spawn).collect();
        for (rival, starting) in rivals.iter_mut().zip(starting) {
            if let Some(starting) = starting {
                rival.started(starting);
            }
        }
        rivals.iter().for_each(Rival::aim);
        std::thread::sleep(random.millis(1, 600));
        let at = random.at(2);
        match random.below(4) {
            0 | 1 => tally.kills += u64::from(rivals[at].kill()),
            2 => {
                rivals[at].hang(random.millis(100, 900));
                tally.hangs += 1;
            }
            _ => {}
        }
        rivals.iter_mut().for_each(Rival::look);
        rivals.iter().for_each(Rival::aim);
    }
    let [a, b] = rivals;
    let (loser, mut winner) = if a.out.is_some() { (a, b) } else { (b, a) };
    assert_eq!(winner.out, None, "both are out: {:?} and {:?}", loser.out, winner.out);
    expect_fenced(&loser);

    if winner.running.is_none() {
        winner.started(winner.home.spawn());
    }
    winner.aim();
    let Some(collector) = winner.running.take() else {
        panic!("the {} had to stop too, with {:?}: {}", winner.name, winner.out, winner.home.log_text());
    };
    winner.load.drain();
    collector.stop();
    // Objects that the loser had no time to commit are reported by the next start that finds them.
    winner.home.start().stop();

    let records = bucket.records();
    let mut acknowledged: Vec<EventId> = [common, winner.load.acknowledged()].concat();
    // What the loser archived before it lost is of the one history too.
    let counts = stored::counts(&records);
    acknowledged.extend(loser.load.acknowledged().iter().filter(|id| counts.contains_key(*id)));
    stored::expect_once(&counts, &acknowledged);
    expect_verified(&winner.home, &bucket);
    expect_nothing_lost(&loser, &records);
    tally.ledgers += 1;
    tally.fenced += u64::from(loser.out == Some(3));
    tally.refused += u64::from(loser.out == Some(2));
    tally.saved += expect_resealed(&loser.home, &records, &loser.load.acknowledged());
}

/// A ledger with something in it, stopped in good order.
fn begin(home: &Home, random: &mut Random) -> Vec<EventId> {
    let (ids, spans) = Events::new(random).generations(10);
    let collector = home.start();
    send(&collector, &spans);
    collector.stop();
    ids
}

/// It stopped with exit code 3 while it ran, or refused to start with 2, and says that there is another.
fn expect_fenced(loser: &Rival) {
    let log = loser.home.log_text();
    match loser.out {
        Some(3) => {
            assert!(log.contains("another collector (") && log.contains("writes this archive"), "{log}");
            let refused = loser.home.refused();
            assert_eq!(refused.code, 2, "it must not go on: {refused:?}");
        }
        Some(2) => assert!(log.contains("another collector"), "{log}"),
        other => panic!("{other:?}: {log}"),
    }
}

/// What it acknowledged and the archive has not: by its journal, which must have all of it.
fn expect_nothing_lost(loser: &Rival, archived: &[Stored]) {
    let mut counts = stored::counts(archived);
    let journal = stored::journaled(&loser.home.data()).unwrap_or_else(|e| panic!("{e}"));
    for record in journal.iter().filter(|record| record.kind != Kind::Lifecycle) {
        // The end of what is archived may be in both.
        counts.entry(record.event_id).or_insert(1);
    }
    stored::expect_once(&counts, &loser.load.acknowledged());
}

/// `tachograph reseal` saves what only the loser's journal has, in a ledger of another name that verifies.
/// How many records that are, its own among them.
fn expect_resealed(loser: &Home, archived: &[Stored], acknowledged: &[EventId]) -> usize {
    let in_archive = stored::counts(archived);
    let acknowledged: Vec<EventId> = acknowledged.iter().filter(|id| !in_archive.contains_key(id)).copied().collect();
    let directory = tempfile::tempdir().unwrap();
    let (fenced, into) = (loser.data(), directory.path().join("saved"));
    let before = tree::snapshot(&fenced);
    let name = "e2e.example/saved";
    let arguments = ["reseal", text(&fenced), text(&into), "--name", name, "--json"];
    let outcome = tachograph_in_s3(&arguments);
    assert_eq!(tree::differences(&before, &tree::snapshot(&fenced)), [""; 0], "the fenced directory is only read");
    if outcome.code != 0 {
        outcome.expect(2, &["nothing was fenced off"]);
        assert_eq!(acknowledged, [], "acknowledged records could not be saved");
        return 0;
    }
    let said = outcome.json();
    let journal = stored::journaled(&fenced).unwrap_or_else(|e| panic!("{e}"));
    let first = said["first"].as_u64().unwrap();
    let forked = journal.iter().filter(|record| record.index >= first).count();
    assert_eq!(said["records"].as_u64(), Some(forked as u64), "{said:#}");
    let saved = Home::of_ledger(into.clone(), SMALL);
    saved.start().stop();
    let counts = stored::counts(&stored::archived(&saved.archive()));
    stored::expect_once(&counts, &acknowledged);
    command::expect_verified(&into);
    forked
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Both run before either archives anything; the second to archive is fenced, and says by whom.
#[test]
fn the_fenced_one_names_the_other() {
    let bucket = Bucket::make(&SERVER, Mode::Compliance);
    let first = Home::in_s3(&bucket.config().replace("200ms", "1h"));
    let mut random = Random::of_test("fenced");
    let mut acknowledged = begin(&first, &mut random);
    let second = first.copy();
    let (one, other) = (first.start(), second.start());
    let pid = one.id();
    let events = Events::new(&mut random);
    let (ids, spans) = events.generations(5);
    send(&one, &spans);
    acknowledged.extend(ids);
    let (lost, spans) = events.generations(7);
    send(&other, &spans);
    one.stop();
    assert_eq!(other.stop_with(), 3);
    let log = second.log_text();
    for words in ["another collector (", &format!(":{pid}:"), "tachograph reseal"] {
        assert!(log.contains(words), "nothing about {words:?} in {log}");
    }
    second.refused().expect(2, &["another collector", &format!(":{pid}:"), "tachograph reseal"]);

    // What the second left in the bucket is accounted for by the next start of the first.
    first.start().stop();
    expect_all_in_good_order(&first, &bucket, &acknowledged);
    assert_eq!(expect_resealed(&second, &bucket.records(), &lost), 7 + OWN_RECORDS);
}
