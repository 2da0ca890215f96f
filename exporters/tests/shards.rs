//! A ledger that ends, the one that continues it, and what the holder of either key could try.

mod sample;

use std::path::Path;
use std::sync::Arc;

use sample::{Ledger, START, Sample, key_of};
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::{Archive, DEFAULT_ZSTD_LEVEL, OneClass, Row, Settings, paths};
use tachograph_exporters::verify::{
    Axis, Beginning, ContinuedBy, LEDGER_RESEALED, Options, RECORDER_PRODUCER, Report, Verdict, verify,
};
use tachograph_ledger::shard::{LEDGER_CLOSED, LEDGER_CONTINUES, closed_details};
use tachograph_ledger::{Checkpoint, Continues, LedgerName, Signer, SigningKey, sha256};
use tachograph_record::{Decimal, EventId, Json, Kind, Record, Text, Time};

const OLD: &str = "acme.example/2026";
const NEW: &str = "acme.example/2027";

/// A ledger and its archive, written by whoever has its key.
struct Shard {
    directory: tempfile::TempDir,
    ledger: Ledger,
    archive: Archive,
}

impl Shard {
    fn new(name: &str, seed: u8) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = Arc::new(key_of(name, seed));
        let store: Arc<dyn Store> =
            Arc::new(DirectoryStore::writer(directory.path(), DirectorySettings::default()).unwrap());
        Archive::create(&*store, &key.public(), Time::from_unix_nanos(START).unwrap(), None).unwrap();
        let archive = Archive::recover(store, key as Arc<dyn Signer>, Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
        Self { directory, ledger: Ledger::with_key(key_of(name, seed)), archive }
    }

    /// Records of a sender and the end; `prompt` tells one history from another.
    fn old(prompt: &str) -> Self {
        let mut shard = Self::new(OLD, 1);
        shard.records(4, prompt);
        shard.say(LEDGER_CLOSED, &closed_details(&LedgerName::parse(OLD).unwrap()));
        shard
    }

    /// The ledger that continues one, by this word.
    fn next(says: &Continues) -> Self {
        let mut shard = Self::new(NEW, 2);
        shard.say(LEDGER_CONTINUES, &says.details());
        shard.records(3, "next");
        shard
    }

    fn append(&mut self, records: &[Sample]) {
        let mut segment = self.archive.begin().unwrap();
        for s in records {
            let row = Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &s.mac, body: &s.body };
            segment.push(row, &OneClass).unwrap();
        }
        self.archive.append(segment).unwrap();
    }

    fn records(&mut self, count: usize, prompt: &str) {
        let made = (0..count).map(|_| self.ledger.generation(prompt.to_owned(), "output".to_owned(), |_| {}));
        let records: Vec<Sample> = made.collect();
        self.append(&records);
    }

    /// The recorder says it, in a segment of its own.
    fn say(&mut self, action: &'static str, details: &str) {
        let time = Time::from_unix_nanos(self.ledger.now).unwrap();
        let index = self.ledger.sealer.next_index();
        let mut record = Record::new(EventId::v7(time, sha256(&index.to_be_bytes()).as_bytes()), time, Kind::Lifecycle);
        record.action_type = Some(Text::from(action));
        record.details = Some(Json::trusted(details.to_owned()));
        record.producer = Some(Text::from(RECORDER_PRODUCER));
        record.producer_epoch = Some(Text::from("e"));
        record.producer_seq = Decimal::new(index);
        let sample = self.ledger.seal(&record);
        self.append(&[sample]);
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn key(&self) -> &SigningKey {
        &self.ledger.key
    }

    fn size(&self) -> u64 {
        self.ledger.sealer.next_index()
    }

    /// What the next ledger says if it is made in good order.
    fn continues(&self) -> Continues {
        self.continues_at(self.size())
    }

    fn continues_at(&self, size: u64) -> Continues {
        let note = std::fs::read_to_string(self.path().join(paths::checkpoint(size))).unwrap();
        Continues::new(self.key().public(), &note).unwrap()
    }

    fn verify(&self, options: Options<'_>) -> Report {
        let key = options.key.clone().or(Some(self.key().public()));
        verify(&DirectoryStore::reader(self.path()).unwrap(), Options { key, threads: 2, ..options }).unwrap()
    }
}

/// The old ledger as the auditor of the new one sees it.
fn audit(old: &Shard, new: &Shard) -> Report {
    let says = Beginning::read(&DirectoryStore::reader(new.path()).unwrap()).continues.expect("it says so");
    let ledger = LedgerName::parse(NEW).unwrap();
    old.verify(Options {
        key: Some(says.vkey().clone()),
        continued_by: Some(ContinuedBy { ledger, says }),
        ..Options::default()
    })
}

#[track_caller]
fn expect(report: &Report, axis: Axis, words: &str) {
    assert_eq!(report.verdict(axis), Verdict::Fail, "{}", report.to_json());
    let found = report.findings.iter().any(|finding| finding.axis == axis && finding.what.contains(words));
    assert!(found, "nothing of {words:?} in {:#?}", report.findings);
}

#[test]
fn a_closed_ledger_and_the_next_pass() {
    let old = Shard::old("first");
    let new = Shard::next(&old.continues());
    let report = audit(&old, &new);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!((report.verdict(Axis::NonEquivocation), report.closed), (Verdict::Pass, Some(4)));
    let next = new.verify(Options { previous: Some(report.counted), ..Options::default() });
    let continues = next.continues.clone().unwrap();
    assert_eq!((continues.ledger.as_str(), continues.records, continues.checked), (OLD, 5, true));
    assert!(next.findings.is_empty(), "{:#?}", next.findings);
    // What the recorder says of itself may follow the end, and the next may begin behind that.
    let mut old = Shard::old("first");
    old.say("collector.stop", "{}");
    let new = Shard::next(&old.continues());
    assert_eq!(audit(&old, &new).verdict(Axis::NonEquivocation), Verdict::Pass);
}

#[test]
fn another_history_of_a_closed_ledger_by_its_key_holder_is_not_the_one_that_was_continued() {
    let (old, other) = (Shard::old("first"), Shard::old("forged"));
    assert_eq!(old.size(), other.size());
    assert_eq!(other.verify(Options::default()).verdict(Axis::Integrity), Verdict::Pass, "by itself it is whole");
    let new = Shard::next(&old.continues());
    expect(&audit(&other, &new), Axis::NonEquivocation, "two histories");
    // Nor is one that was cut, and signed anew.
    let mut short = Shard::new(OLD, 1);
    short.records(3, "first");
    expect(&audit(&short, &new), Axis::NonEquivocation, "rolled back");
}

#[test]
fn a_record_behind_the_end_is_a_finding() {
    let mut old = Shard::old("first");
    let new = Shard::next(&old.continues());
    old.records(2, "late");
    expect(&old.verify(Options::default()), Axis::Integrity, "behind record 4, which closed the ledger");
    expect(&audit(&old, &new), Axis::Integrity, "behind record 4, which closed the ledger");
    // A name that only looks like the recorder's is another's.
    let mut old = Shard::old("first");
    let named = old.ledger.generation(String::new(), String::new(), |record| {
        record.producer = Some(Text::from(RECORDER_PRODUCER));
    });
    old.append(&[named]);
    expect(&old.verify(Options::default()), Axis::Integrity, "behind record 4");
}

#[test]
fn a_ledger_ends_once_and_what_another_one_said_of_its_end_is_of_no_account() {
    let mut old = Shard::old("first");
    old.say(LEDGER_CLOSED, &closed_details(&LedgerName::parse(OLD).unwrap()));
    expect(&old.verify(Options::default()), Axis::Integrity, "once more, which record 4 did");

    let mut old = Shard::new(OLD, 1);
    old.say(LEDGER_CLOSED, &closed_details(&LedgerName::parse("acme.example/fenced").unwrap()));
    old.records(2, "open");
    let report = old.verify(Options::default());
    assert_eq!((report.verdict(Axis::Integrity), report.closed), (Verdict::Pass, None));
}

#[test]
fn a_first_record_with_another_checkpoint_is_not_believed() {
    // One from before the end, as whoever wants to drop what came after it would take.
    let old = Shard::old("first");
    expect(&audit(&old, &Shard::next(&old.continues_at(4))), Axis::NonEquivocation, "it was not closed then");
    // One that the old ledger's key did not sign.
    let Checkpoint { origin, size, root } =
        Checkpoint::parse_unverified(old.continues().checkpoint().as_bytes()).unwrap();
    let note = Checkpoint { origin, size, root }.sign(&key_of(OLD, 9)).unwrap();
    let foreign = Continues::new(old.key().public(), &note).unwrap();
    expect(&audit(&old, &Shard::next(&foreign)), Axis::Authenticity, "keys did not sign");
    // One of a ledger with another key altogether.
    let other = Continues::new(key_of(OLD, 9).public(), &note).unwrap();
    assert_eq!(audit(&old, &Shard::next(&other)).verdict(Axis::Authenticity), Verdict::Fail);
    // One of a ledger that nobody closed.
    let mut open = Shard::new(OLD, 1);
    open.records(5, "open");
    expect(&audit(&open, &Shard::next(&open.continues())), Axis::NonEquivocation, "no record closes it");
}

#[test]
fn what_a_ledger_continues_only_its_first_record_says() {
    let old = Shard::old("first");
    let mut late = Shard::new(NEW, 2);
    late.records(1, "before");
    late.say(LEDGER_CONTINUES, &old.continues().details());
    let report = late.verify(Options::default());
    expect(&report, Axis::Integrity, "only its first record can say");
    assert!(report.continues.is_none());
    // What `reseal` saved of a ledger that continued another is of no account.
    let mut resealed = Shard::new(NEW, 2);
    resealed.say(LEDGER_RESEALED, "{}");
    resealed.say(LEDGER_CONTINUES, &old.continues().details());
    resealed.records(1, "saved");
    let report = resealed.verify(Options::default());
    assert_eq!((report.verdict(Axis::Integrity), report.continues), (Verdict::Pass, None), "{:#?}", report.findings);
    let mut late = Shard::new(NEW, 2);
    late.say("collector.start", "{}");
    late.say(LEDGER_RESEALED, "{}");
    late.say(LEDGER_CONTINUES, &old.continues().details());
    expect(&late.verify(Options::default()), Axis::Integrity, "only its first record can say");
    for details in ["{}", "{\"ledger\":\"acme.example/2026\"}", &old.continues().details().replace("{\"", "{ \"")] {
        let mut odd = Shard::new(NEW, 2);
        odd.say(LEDGER_CONTINUES, details);
        expect(&odd.verify(Options::default()), Axis::Integrity, "not in the form of that");
    }
    let mut itself = Shard::new(OLD, 1);
    itself.say(LEDGER_CONTINUES, &old.continues().details());
    expect(&itself.verify(Options::default()), Axis::Integrity, "continues itself");
}
