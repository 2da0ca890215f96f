//! Streams of sessions and agents: what a verification of the whole archive makes of them, and bundles that show one as a whole.
//! The archive is made here, by whoever holds the ledger's key, who may state what he likes.

mod sample;

use std::collections::BTreeMap;
use std::sync::Arc;

use sample::{Ledger, Sample};
use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::tree::TreeReader;
use tachograph_exporters::archive::{Archive, DEFAULT_ZSTD_LEVEL, OneClass, Row, Settings, streams};
use tachograph_exporters::bundle::about::Selection;
use tachograph_exporters::bundle::check::{self, BundleReport, check};
use tachograph_exporters::bundle::maker::{Request, make};
use tachograph_exporters::bundle::streams::Stream;
use tachograph_exporters::verify::{Axis, Options, RECORDER_PRODUCER, Report, Verdict, verify};
use tachograph_ledger::{Generation, StreamBy, StreamKey, StreamKind, StreamPlace, StreamRule, StreamSecret, sha256};
use tachograph_record::{EventId, Kind, Record, Text, Time};

fn secret(session: &str) -> StreamSecret {
    StreamKey::new([5; 32]).secret(StreamKind::Session, session)
}

/// A recorder that seals streams.
struct Scene {
    directory: tempfile::TempDir,
    ledger: Ledger,
    open: Generation,
    run: &'static str,
    records: Vec<Sample>,
}

impl Scene {
    fn new() -> Self {
        let by = StreamBy::new(&[StreamKind::Session, StreamKind::Agent]).unwrap();
        let rule = StreamRule { by, key: StreamKey::new([5; 32]).id() };
        let directory = tempfile::tempdir().unwrap();
        let open = Generation::new(0, rule);
        let mut scene = Self { directory, ledger: Ledger::new(), open, run: "run-1", records: Vec::new() };
        scene.own("collector.start", &StreamPlace::Open { first: 0, rule });
        scene
    }

    fn next(&self) -> u64 {
        self.ledger.sealer.next_index()
    }

    fn record_of(&self, kind: Kind) -> Record<'static> {
        let time = Time::from_unix_nanos(self.ledger.now).unwrap();
        Record::new(EventId::v7(time, sha256(&self.next().to_be_bytes()).as_bytes()), time, kind)
    }

    fn own(&mut self, action: &'static str, place: &StreamPlace) {
        let mut record = self.record_of(Kind::Lifecycle);
        record.action_type = Some(Text::from(action));
        record.producer = Some(Text::from(RECORDER_PRODUCER));
        record.producer_epoch = Some(Text::from(self.run));
        let sealed = self.ledger.seal_in(&record, place);
        self.records.push(sealed);
    }

    fn session(&self, session: &str) -> Record<'static> {
        let mut record = self.record_of(Kind::ToolCall);
        record.session_id = Some(Text::from(session.to_owned()));
        record
    }

    /// Records of sessions, each into its stream.
    fn record(&mut self, sessions: &[&str]) {
        for session in sessions {
            let record = self.session(session);
            let id = secret(session).id(self.ledger.key.public().name(), self.open.first());
            let (seq, prev) = self.open.next(&id);
            let sealed = self.ledger.seal_in(&record, &StreamPlace::In { id, seq, prev });
            self.open.push(id, sealed.hash);
            self.records.push(sealed);
        }
    }

    fn close(&mut self, is_end: bool) {
        let stated = self.open.clone();
        self.state(&stated, is_end);
    }

    /// States what `stated` says of the generation that is open.
    fn state(&mut self, stated: &Generation, is_end: bool) {
        self.own("streams.closed", &StreamPlace::Closed(stated.statement(is_end)));
        self.open = Generation::new(self.next(), self.open.rule());
    }

    /// Archives in segments of three records, once.
    fn archive(&mut self) -> Arc<dyn Store> {
        let store: Arc<dyn Store> =
            Arc::new(DirectoryStore::writer(self.directory.path(), DirectorySettings::default()).unwrap());
        if !store.list("").unwrap().is_empty() {
            return store;
        }
        Archive::create(&*store, &self.ledger.key.public(), Time::default(), None).unwrap();
        let settings = Settings::undated(DEFAULT_ZSTD_LEVEL);
        let (mut archive, _) = Archive::open(Arc::clone(&store), Arc::clone(&self.ledger.key) as _, settings).unwrap();
        for records in self.records.chunks(3) {
            let mut segment = archive.begin().unwrap();
            for s in records {
                let row = Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &s.mac, body: &s.body };
                segment.push(row, &OneClass).unwrap();
            }
            archive.append(segment).unwrap();
        }
        store
    }

    fn verify(&mut self) -> Report {
        self.verify_with(None)
    }

    fn verify_with(&mut self, stream_key: Option<StreamKey>) -> Report {
        let store = self.archive();
        let key = self.ledger.key.public().clone();
        verify(&*store, Options { key: Some(key), stream_key, threads: 2, ..Options::default() }).unwrap()
    }

    /// The index of the one record that fails completeness, and why.
    fn finding(&mut self) -> (u64, String) {
        let report = self.verify();
        assert_eq!(report.verdict(Axis::Integrity), Verdict::Pass, "{}", report.to_json());
        assert_eq!(report.verdict(Axis::Completeness), Verdict::Fail, "{}", report.to_json());
        let finding = report.findings.first().unwrap();
        (finding.index.unwrap(), finding.what.clone())
    }

    /// A bundle of the session, judged by a stranger.
    fn bundle(&mut self, session: &str, leave_out: Option<u64>) -> BundleReport {
        let archive = Reader::open(self.archive()).unwrap();
        let named = format!("\"session_id\":\"{session}\"");
        let bodies = self
            .records
            .iter()
            .filter(|record| String::from_utf8_lossy(&record.body).contains(&named) && leave_out != Some(record.index));
        let records: BTreeMap<_, _> = bodies.map(|record| (record.index, Some(record.body.clone()))).collect();
        let request = Request {
            selection: Selection::Session { session_id: session.to_owned() },
            records,
            order: Vec::new(),
            created_at: Time::default(),
            stream: Some(Stream { kind: StreamKind::Session, secret: secret(session) }),
        };
        let files = make(&archive, &TreeReader::of(&archive), &request).unwrap();
        let key = self.ledger.key.public().clone();
        let report = check(&files, "bundle", &check::Options { key: Some(key), ..check::Options::default() });
        assert_eq!(report.verdict(Axis::Coverage), Verdict::Pass, "{}", report.to_json());
        report
    }
}

fn reasons(report: &BundleReport) -> String {
    report.axes[&Axis::Completeness].reasons.join(" ")
}

#[test]
fn streams_that_are_as_stated_pass() {
    let mut scene = Scene::new();
    scene.record(&["a", "b", "a", "c"]);
    scene.close(false);
    scene.record(&["b", "a"]);
    let report = scene.verify();
    assert_ne!(report.verdict(Axis::Completeness), Verdict::Fail, "{}", report.to_json());
    assert!(report.findings.is_empty());
    let told = scene.verify_with(Some(StreamKey::new([5; 32]))).axes[&Axis::Completeness].reasons.join(" ");
    assert!(told.contains("was held against the stream of its own session"), "{told}");
    // Where a recorder would go on.
    let tree = TreeReader::open(Arc::new(DirectoryStore::reader(scene.directory.path()).unwrap())).unwrap();
    for (end, first) in [(5, Some(0)), (6, Some(6)), (8, Some(6)), (0, None)] {
        let found = streams::resume(&tree, end).unwrap().into_generation();
        assert_eq!(found.as_ref().map(Generation::first), first, "before {end}");
    }
    let found = streams::resume(&tree, 8).unwrap().into_generation().unwrap();
    assert_eq!(found.statement(false), scene.open.statement(false));
}

#[test]
fn a_statement_that_leaves_a_record_out_is_found() {
    let mut scene = Scene::new();
    scene.record(&["a", "a"]);
    let stated = scene.open.clone();
    scene.record(&["a"]);
    scene.state(&stated, false);
    let (index, what) = scene.finding();
    assert_eq!(index, 4);
    assert!(what.contains("a record was left out of the statement"), "{what}");
}

#[test]
fn a_record_that_is_sealed_beside_its_stream_is_found() {
    let mut scene = Scene::new();
    scene.record(&["a"]);
    let hidden = scene.session("a");
    let sealed = scene.ledger.seal_in(&hidden, &StreamPlace::None);
    scene.records.push(sealed);
    scene.record(&["a"]);
    scene.close(false);
    let (index, what) = scene.finding();
    assert_eq!(index, 2);
    assert!(what.contains("sealed beside its stream"), "{what}");
}

#[test]
fn a_record_that_is_sealed_into_anothers_stream_is_found_with_the_stream_key() {
    let mut scene = Scene::new();
    scene.record(&["a"]);
    let record = scene.session("a");
    let id = secret("another").id(scene.ledger.key.public().name(), 0);
    let sealed = scene.ledger.seal_in(&record, &StreamPlace::In { id, seq: 0, prev: None });
    scene.open.push(id, sealed.hash);
    scene.records.push(sealed);
    scene.close(false);
    let told = |report: &Report| report.axes[&Axis::Completeness].reasons.join(" ");
    let without = scene.verify();
    assert!(
        without.findings.is_empty()
            && told(&without).contains("of 2 records of sessions and agents it was not checked"),
        "{}",
        without.to_json()
    );
    let other = scene.verify_with(Some(StreamKey::new([6; 32])));
    assert!(other.findings.is_empty() && told(&other).contains("under another stream key"), "{}", other.to_json());
    let with = scene.verify_with(Some(StreamKey::new([5; 32])));
    assert_eq!(with.verdict(Axis::Completeness), Verdict::Fail, "{}", with.to_json());
    let finding = with.findings.first().unwrap();
    assert_eq!(finding.index, Some(2));
    assert!(finding.what.contains("another stream than that of its session"), "{}", finding.what);
}

#[test]
fn a_record_that_belongs_to_nothing_is_found_in_a_stream() {
    let mut scene = Scene::new();
    let record = scene.record_of(Kind::ToolCall);
    let id = secret("a").id(scene.ledger.key.public().name(), 0);
    let sealed = scene.ledger.seal_in(&record, &StreamPlace::In { id, seq: 0, prev: None });
    scene.records.push(sealed);
    let (index, what) = scene.finding();
    assert_eq!(index, 1);
    assert!(what.contains("nothing that it could belong to"), "{what}");
}

#[test]
fn a_number_that_is_passed_over_is_found() {
    let mut scene = Scene::new();
    scene.record(&["a"]);
    let id = secret("a").id(scene.ledger.key.public().name(), 0);
    scene.open.push(id, sha256(b"a record that is nowhere"));
    scene.record(&["a"]);
    let (index, what) = scene.finding();
    assert_eq!(index, 2);
    assert!(what.contains("record 2 of its stream, where 1 is due"), "{what}");
}

#[test]
fn a_session_is_shown_as_a_whole() {
    let mut scene = Scene::new();
    scene.record(&["a", "b", "a"]);
    scene.close(false);
    scene.record(&["b", "c", "d", "e"]);
    scene.close(false);
    scene.record(&["a", "e"]);
    scene.close(false);
    scene.record(&["b", "e"]);
    let whole = scene.bundle("a", None);
    assert_eq!(whole.verdict(Axis::Completeness), Verdict::Pass, "{}", whole.to_json());
    assert!(reasons(&whole).contains("complete from record 0 to record 11"), "{}", reasons(&whole));
    let open = scene.bundle("e", None);
    assert_eq!(open.verdict(Axis::Completeness), Verdict::Incomplete, "its last record is not stated yet");
    assert!(reasons(&open).contains("1 records here lie where no generation is closed"), "{}", reasons(&open));
    for left_out in [1, 3] {
        let without = scene.bundle("a", Some(left_out));
        assert_eq!(without.verdict(Axis::Completeness), Verdict::Fail, "without record {left_out}");
    }
    // Of the last generation nothing is claimed then, but what is claimed is true.
    let without = scene.bundle("a", Some(10));
    assert!(reasons(&without).contains("complete from record 0 to record 3"), "{}", reasons(&without));
}

#[test]
fn an_empty_generation_that_is_left_without_a_statement_breaks_no_honest_bundle() {
    let mut scene = Scene::new();
    scene.record(&["a"]);
    scene.close(false);
    // A recorder that knows no streams goes on, and then one that does.
    scene.run = "run-2";
    scene.own("collector.start", &StreamPlace::None);
    scene.run = "run-3";
    let (first, rule) = (scene.next(), scene.open.rule());
    scene.open = Generation::new(first, rule);
    scene.own("collector.start", &StreamPlace::Open { first, rule });
    scene.record(&["a"]);
    scene.close(false);
    let report = scene.bundle("a", None);
    assert_eq!(report.verdict(Axis::Completeness), Verdict::Incomplete, "{}", report.to_json());
    assert!(reasons(&report).contains("1 records here lie where no generation is closed"), "{}", reasons(&report));
}

#[test]
fn another_start_goes_on_and_what_is_not_sealed_in_streams_is_no_part() {
    let mut scene = Scene::new();
    scene.record(&["a"]);
    scene.run = "run-2";
    let (first, rule) = (scene.open.first(), scene.open.rule());
    scene.own("collector.start", &StreamPlace::Open { first, rule });
    scene.record(&["a"]);
    scene.close(true);
    let hidden = scene.session("a");
    let sealed = scene.ledger.seal(&hidden);
    scene.records.push(sealed);
    let first = scene.next();
    scene.open = Generation::new(first, rule);
    scene.own("collector.start", &StreamPlace::Open { first, rule });
    scene.record(&["a"]);
    scene.close(false);
    let report = scene.bundle("a", None);
    assert_eq!(report.verdict(Axis::Completeness), Verdict::Incomplete, "{}", report.to_json());
    assert!(reasons(&report).contains("records 5 to 5, of which nothing is shown here"), "{}", reasons(&report));
    assert!(scene.verify().findings.is_empty());
}
