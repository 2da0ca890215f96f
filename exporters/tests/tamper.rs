//! Every artifact of an archive is tampered with, and verification must say so on the right axis.

mod sample;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use bytes::Bytes;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use sample::{Ledger, MAC_KEY, START, Sample, key_of, left_to_inner};
use tachograph_exporters::archive::store::{
    Destroyed, DirectorySettings, DirectoryStore, ReadAt, Removal, Store, StoreError, Upload,
};
use tachograph_exporters::archive::{Archive, Committed, DEFAULT_ZSTD_LEVEL, OneClass, Row, Settings};
use tachograph_exporters::verify::{
    Axis, CLOCK_JUMP, DEFAULT_REQUIRED, Options, PRODUCER_CLOSE, PRODUCER_HEARTBEAT, PRODUCER_OPEN, ProducerState,
    Progress, Report, Verdict, verify,
};
use tachograph_ledger::{Checkpoint, Commit, Hash, MacKey, MacScheme, SigningKey, leaf_hash, sha256};
use tachograph_record::{Decimal, Json, Kind, Record, Text, Time};

const RUNS: [usize; 3] = [20, 15, 10];

struct Fixture {
    directory: tempfile::TempDir,
    ledger: Ledger,
    committed: Vec<Committed>,
}

fn fixture() -> Fixture {
    let mut ledger = Ledger::new();
    let runs = RUNS.map(|run| ledger.batch(run));
    fixture_of(ledger, &runs)
}

fn fixture_of(ledger: Ledger, runs: &[Vec<Sample>]) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let committed = write(directory.path(), &ledger.key, runs);
    Fixture { directory, ledger, committed }
}

fn write(root: &Path, key: &Arc<SigningKey>, runs: &[Vec<Sample>]) -> Vec<Committed> {
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::writer(root, DirectorySettings::default()).unwrap());
    Archive::create(&*store, &key.public(), Time::from_unix_nanos(START).unwrap(), None).unwrap();
    let (mut archive, _) = Archive::open(store, key.clone(), Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
    let append = |run: &Vec<Sample>| {
        let mut segment = archive.begin().unwrap();
        for s in run {
            segment
                .push(Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &s.mac, body: &s.body }, &OneClass)
                .unwrap();
        }
        archive.append(segment).unwrap()
    };
    runs.iter().map(append).collect()
}

impl Fixture {
    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn leaves(&self, run: usize) -> PathBuf {
        self.path(&self.committed[run].objects[0].path)
    }

    fn records(&self, run: usize) -> PathBuf {
        self.path(&self.committed[run].objects[1].path)
    }

    fn verify_with(&self, options: Options<'_>) -> Report {
        verify(&DirectoryStore::reader(self.directory.path()).unwrap(), options).unwrap()
    }

    fn verify(&self) -> Report {
        self.verify_with(Options {
            key: Some(self.ledger.key.public()),
            mac_key: Some(MacKey::initial(MacScheme::V2, MAC_KEY)),
            threads: 2,
            ..Options::default()
        })
    }

    /// The commit of a run as it is, or as `change` wants it, signed by `key`.
    fn forge_commit(&self, run: usize, key: &SigningKey, change: impl FnOnce(&mut Commit)) {
        let path = self.path(&format!("commit/{:020}", self.committed[run].first));
        let mut commit = Commit::parse_unverified(&fs::read(&path).unwrap()).unwrap();
        change(&mut commit);
        replace(&path, commit.sign(key).unwrap().as_bytes());
    }
}

impl Fixture {
    /// Writes an object anew, under the name that its content asks for, and lets the commit name it: what a thief of the key
    /// could do.
    fn replace_object(&self, run: usize, object: usize, bytes: &[u8]) {
        let commit_path = self.path(&format!("commit/{:020}", self.committed[run].first));
        let commit = Commit::parse_unverified(&fs::read(&commit_path).unwrap()).unwrap();
        fs::remove_file(self.path(&commit.objects[object].path)).unwrap();
        let hash = sha256(bytes);
        let path =
            format!("{}-{}.parquet", commit.objects[object].path.rsplit_once('-').unwrap().0, &hash.to_hex()[..16]);
        replace(&self.path(&path), bytes);
        self.forge_commit(run, &self.ledger.key, |commit| {
            commit.objects[object].path = path;
            commit.objects[object].sha256 = hash;
            commit.objects[object].size = bytes.len() as u64;
        });
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x20;
    replace(path, &bytes);
}

#[track_caller]
fn fails(report: &Report, axes: &[Axis], words: &str) {
    for axis in axes {
        assert_eq!(report.verdict(*axis), Verdict::Fail, "{axis:?}: {}", report.to_json());
    }
    assert_eq!(report.exit_code(DEFAULT_REQUIRED), 1);
    let said = report.findings.iter().any(|finding| format!("{} {}", finding.object, finding.what).contains(words));
    assert!(said, "nothing says {words:?}: {}", report.to_json());
}

#[track_caller]
fn passes(report: &Report, axes: &[Axis]) {
    for axis in axes {
        assert_eq!(report.verdict(*axis), Verdict::Pass, "{axis:?}: {}", report.to_json());
    }
}

#[test]
fn a_whole_archive_passes() {
    let fixture = fixture();
    let report = fixture.verify();
    passes(&report, &[Axis::Integrity, Axis::Authenticity, Axis::Coverage]);
    // All of its producer's numbers are there, but it has not said that there are no more.
    assert_eq!(report.verdict(Axis::Completeness), Verdict::Incomplete);
    assert!(report.to_json().contains("1 starts of producers are OPEN"), "{}", report.to_json());
    assert_eq!(
        (report.verdict(Axis::Time), report.verdict(Axis::NonEquivocation)),
        (Verdict::Incomplete, Verdict::Incomplete)
    );
    assert_eq!((report.records, report.bodies, report.commits, report.objects, report.checkpoints), (45, 45, 3, 6, 3));
    assert_eq!(report.exit_code(DEFAULT_REQUIRED), 0);
    assert_eq!(report.exit_code(&[Axis::Time]), 2);
    assert_eq!(report.producers[0].seen, 45);
    let last = Checkpoint::open(fixture.committed[2].checkpoint.as_bytes(), &fixture.ledger.key.public()).unwrap();
    assert_eq!(report.root, Some(last.root.to_hex()));
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["axes"]["non_equivocation"]["verdict"], "incomplete");
}

/// The proof that these tests can fail: the same check that all of them use must refuse an archive that is whole.
#[test]
#[should_panic(expected = "Integrity")]
fn canary() {
    fails(&fixture().verify(), &[Axis::Integrity], "");
}

#[test]
fn without_a_key_from_outside_authenticity_is_open() {
    let fixture = fixture();
    let report = fixture.verify_with(Options::default());
    passes(&report, &[Axis::Integrity, Axis::Coverage]);
    assert_eq!((report.verdict(Axis::Authenticity), report.exit_code(DEFAULT_REQUIRED)), (Verdict::Incomplete, 2));
    for key in [key_of("acme.example/test", 9), key_of("acme.example/other", 1)] {
        let report = fixture.verify_with(Options { key: Some(key.public()), ..Options::default() });
        fails(&report, &[Axis::Authenticity], "ledger.json");
    }
}

#[test]
fn every_flipped_byte_of_an_object_is_found() {
    let fixture = fixture();
    for (path, object) in [(fixture.records(1), 1), (fixture.leaves(1), 0)] {
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 40) {
            flip(&path, at);
            let report = fixture.verify();
            fails(&report, &[Axis::Integrity], &fixture.committed[1].objects[object].path);
            replace(&path, &whole);
        }
    }
    passes(&fixture.verify(), &[Axis::Integrity]);
}

/// Edits that keep every hash that the thief of the signing key can mend: only what the records themselves say is left.
#[test]
fn edits_under_a_stolen_key_are_found_in_the_row() {
    let other_body = |ledger: &mut Ledger| {
        let mut samples = RUNS.map(|run| ledger.batch(run));
        let text = String::from_utf8(samples[1][7].body.clone()).unwrap().replace("production", "prodvction");
        samples[1][7].body = text.into_bytes();
        samples
    };
    let fixture = fixture();
    let mut forger = Ledger::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let forged = write(elsewhere.path(), &fixture.ledger.key, &other_body(&mut forger));
    fixture.replace_object(1, 1, &fs::read(elsewhere.path().join(&forged[1].objects[1].path)).unwrap());
    let report = fixture.verify();
    fails(&report, &[Axis::Integrity], "the body's SHA-256");
    let row = report.findings.iter().find(|finding| finding.row.is_some()).unwrap();
    assert_eq!((row.row, row.index), (Some(7), Some(27)), "{}", report.to_json());
}

#[test]
fn a_changed_leaf_mac_or_hash_is_found_in_the_row() {
    for (what, words) in [("mac", "the MAC of record 22"), ("leaf", "hash")] {
        let fixture = fixture();
        let mut samples = {
            let mut ledger = Ledger::new();
            RUNS.map(|run| ledger.batch(run))
        };
        let axes: &[Axis] = match what {
            "mac" => {
                samples[1][2].mac[5] ^= 1;
                &[Axis::Authenticity]
            }
            _ => {
                // A later time of the event, with its own hash: the chain to the next leaf breaks.
                let text = String::from_utf8(samples[2][9].leaf.clone()).unwrap();
                let at = text.find("\"event_time\":\"").unwrap() + 20;
                let mut leaf = text.into_bytes();
                leaf[at] = if leaf[at] == b'9' { b'8' } else { b'9' };
                samples[2][9].hash = leaf_hash(&leaf);
                samples[2][9].leaf = leaf;
                &[Axis::Integrity]
            }
        };
        let run = if what == "mac" { 1 } else { 2 };
        let elsewhere = tempfile::tempdir().unwrap();
        let forged = write(elsewhere.path(), &fixture.ledger.key, &samples);
        fixture.replace_object(run, 0, &fs::read(elsewhere.path().join(&forged[run].objects[0].path)).unwrap());
        fails(&fixture.verify(), axes, words);
    }
}

#[test]
fn segments_that_change_places_are_found() {
    let fixture = fixture();
    let (one, two) = (fs::read(fixture.records(0)).unwrap(), fs::read(fixture.records(1)).unwrap());
    replace(&fixture.records(0), &two);
    replace(&fixture.records(1), &one);
    fails(&fixture.verify(), &[Axis::Integrity], "that its commit says");
}

type LeafRow = (i64, ByteArray, FixedLenByteArray, FixedLenByteArray);

/// The leaves object at `path` with its rows changed.
fn rewritten(path: &Path, change: fn(&mut Vec<LeafRow>)) -> Vec<u8> {
    fn column<T: DataType>(group: &dyn RowGroupReader, at: usize) -> Vec<T::T> {
        let mut values = Vec::new();
        let mut reader = get_typed_column_reader::<T>(group.get_column_reader(at).unwrap());
        while reader.read_records(1_000, None, None, &mut values).unwrap().0 > 0 {}
        values
    }
    fn write<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, values: &[T::T]) {
        let mut writer = group.next_column().unwrap().unwrap();
        writer.typed::<T>().write_batch(values, None, None).unwrap();
        writer.close().unwrap();
    }
    let file = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let group = file.get_row_group(0).unwrap();
    let (indexes, leaves) = (column::<Int64Type>(&*group, 0), column::<ByteArrayType>(&*group, 1));
    let hashes = column::<FixedLenByteArrayType>(&*group, 2);
    let macs = column::<FixedLenByteArrayType>(&*group, 3);
    let zipped = indexes.into_iter().zip(leaves).zip(hashes.into_iter().zip(macs));
    let mut rows: Vec<LeafRow> = zipped.map(|((index, leaf), (hash, mac))| (index, leaf, hash, mac)).collect();
    change(&mut rows);
    let schema = file.metadata().file_metadata().schema_descr().root_schema_ptr();
    let mut out = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = out.next_row_group().unwrap();
    write::<Int64Type>(&mut group, &rows.iter().map(|row| row.0).collect::<Vec<_>>());
    write::<ByteArrayType>(&mut group, &rows.iter().map(|row| row.1.clone()).collect::<Vec<_>>());
    write::<FixedLenByteArrayType>(&mut group, &rows.iter().map(|row| row.2.clone()).collect::<Vec<_>>());
    write::<FixedLenByteArrayType>(&mut group, &rows.iter().map(|row| row.3.clone()).collect::<Vec<_>>());
    group.close().unwrap();
    out.into_inner().unwrap()
}

#[test]
fn rows_deleted_inserted_or_reordered_are_found() {
    type Change = fn(&mut Vec<LeafRow>);
    let kinds: [(Change, &str); 3] = [
        (|rows| drop(rows.remove(4)), "14 rows, but its commit says 15"),
        (|rows| rows.insert(4, rows[4].clone()), "16 rows, but its commit says 15"),
        (|rows| rows.swap(4, 5), "the leaf says that it is record 25"),
    ];
    for (change, words) in kinds {
        let fixture = fixture();
        let bytes = rewritten(&fixture.leaves(1), change);
        replace(&fixture.leaves(1), &bytes);
        fails(&fixture.verify(), &[Axis::Integrity], "that its commit says");
        // The thief of the key mends the commit; the rows still tell.
        fixture.replace_object(1, 0, &bytes);
        fails(&fixture.verify(), &[Axis::Integrity], words);
    }
    // Counts are kept, indexes are mended: the chain tells.
    let fixture = fixture();
    let bytes = rewritten(&fixture.leaves(1), |rows| {
        rows.swap(4, 5);
        (rows[4].0, rows[5].0) = (rows[5].0, rows[4].0);
    });
    fixture.replace_object(1, 0, &bytes);
    let report = fixture.verify();
    fails(&report, &[Axis::Integrity], "the leaf says that it is record 25");
    assert_eq!((report.findings[0].row, report.findings[0].index), (Some(4), Some(24)), "{}", report.to_json());
}

#[test]
fn a_typed_column_that_lies_is_found() {
    let fixture = fixture();
    let path = fixture.records(2);
    // Pages are compressed, so which bit changes a value and leaves the page whole is found by trying.
    let whole = fs::read(&path).unwrap();
    let mut found = false;
    for at in 4..whole.len() * 3 / 4 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fixture.replace_object(2, 1, &bytes);
        let report = fixture.verify();
        assert_ne!(report.exit_code(DEFAULT_REQUIRED), 2, "{}", report.to_json());
        if report
            .findings
            .iter()
            .any(|finding| finding.what.starts_with("column ") && finding.what.contains("the body gives"))
        {
            fails(&report, &[Axis::Integrity], "the body gives");
            let finding = report.findings.iter().find(|finding| finding.what.starts_with("column ")).unwrap();
            assert!(finding.index.is_some_and(|index| index >= 35) && finding.row.is_some());
            found = true;
            break;
        }
    }
    assert!(found, "no flipped bit changed a typed column alone");
}

#[test]
fn a_cut_tail_is_seen_by_what_is_left_and_from_outside() {
    // Only the commit and its objects are taken away: the checkpoint tells.
    let fixture_1 = fixture();
    let gone = format!("commit/{:020}", 35);
    fs::remove_file(fixture_1.path(&gone)).unwrap();
    fs::remove_file(fixture_1.leaves(2)).unwrap();
    fs::remove_file(fixture_1.records(2)).unwrap();
    fails(&fixture_1.verify(), &[Axis::Coverage], "45 records were checkpointed, but the commits hold only 35");

    // The checkpoint goes too: nothing inside tells, a checkpoint remembered outside does.
    fs::remove_file(fixture_1.path(&format!("checkpoint/{:020}", 45))).unwrap();
    let report = fixture_1.verify();
    passes(&report, &[Axis::Integrity, Axis::Authenticity, Axis::Coverage]);
    assert_eq!(report.verdict(Axis::NonEquivocation), Verdict::Incomplete);
    let remembered = vec![fixture_1.committed[2].checkpoint.clone().into_bytes()];
    let report = fixture_1.verify_with(Options {
        key: Some(fixture_1.ledger.key.public()),
        checkpoints: remembered,
        ..Options::default()
    });
    fails(&report, &[Axis::NonEquivocation], "rolled back");

    // An object alone is missing.
    let fixture_2 = fixture();
    fs::remove_file(fixture_2.records(2)).unwrap();
    fails(&fixture_2.verify(), &[Axis::Integrity], "missing, though a commit names it");

    // The newest checkpoint alone: nothing is wrong, but not all is covered.
    let fixture_3 = fixture();
    fs::remove_file(fixture_3.path(&format!("checkpoint/{:020}", 45))).unwrap();
    let report = fixture_3.verify();
    assert_eq!((report.verdict(Axis::Coverage), report.exit_code(DEFAULT_REQUIRED)), (Verdict::Incomplete, 2));
    assert!(report.to_json().contains("10 records are under no checkpoint"));

    // One in the middle was removed by somebody.
    let fixture_4 = fixture();
    fs::remove_file(fixture_4.path(&format!("checkpoint/{:020}", 35))).unwrap();
    fails(&fixture_4.verify(), &[Axis::Coverage], "it was removed");
}

#[test]
fn a_missing_commit_in_the_middle_is_found() {
    let fixture = fixture();
    fs::remove_file(fixture.path(&format!("commit/{:020}", 20))).unwrap();
    fails(&fixture.verify(), &[Axis::Integrity], "records 20 to 34 are missing");
}

#[test]
fn checkpoints_put_in_anothers_place_or_changed_are_found() {
    let fixture_1 = fixture();
    let (older, newer) =
        (fixture_1.path(&format!("checkpoint/{:020}", 35)), fixture_1.path(&format!("checkpoint/{:020}", 45)));
    replace(&newer, &fs::read(&older).unwrap());
    fails(&fixture_1.verify(), &[Axis::Integrity], "another was put in its place");

    let fixture_2 = fixture();
    flip(&newer_of(&fixture_2), 30);
    fails(&fixture_2.verify(), &[Axis::Authenticity], "checkpoint/");

    // A signed checkpoint of another tree.
    let fixture_3 = fixture();
    let name = fixture_3.ledger.key.public().name().clone();
    let other = Checkpoint { origin: name, size: 45, root: Hash::from_bytes([3; 32]) };
    replace(&newer_of(&fixture_3), other.sign(&*fixture_3.ledger.key).unwrap().as_bytes());
    fails(&fixture_3.verify(), &[Axis::Integrity], "the root is 0303");
    let report = fixture().verify_with(Options {
        key: Some(fixture_3.ledger.key.public()),
        checkpoints: vec![other.sign(&*fixture_3.ledger.key).unwrap().into_bytes()],
        ..Options::default()
    });
    fails(&report, &[Axis::NonEquivocation], "two histories");
}

fn newer_of(fixture: &Fixture) -> PathBuf {
    fixture.path(&format!("checkpoint/{:020}", 45))
}

#[test]
fn every_flipped_byte_of_a_commit_and_of_ledger_json_is_found() {
    let fixture = fixture();
    for path in [format!("commit/{:020}", 20), "ledger.json".to_owned()] {
        let path = fixture.path(&path);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            flip(&path, at);
            let report = fixture.verify();
            let failed = Axis::ALL.iter().any(|axis| report.verdict(*axis) == Verdict::Fail);
            assert!(failed, "byte {at} of {}: {}", path.display(), report.to_json());
        }
        replace(&path, &whole);
    }
}

#[test]
fn a_ledger_rechained_without_the_key_is_found() {
    let real = fixture();
    // The forger takes his own key, changes what he likes, and seals everything anew: the archive is whole in itself.
    let mut forger = Ledger::with_key(key_of("acme.example/test", 66));
    let forged = RUNS.map(|run| forger.batch(run));
    let forged = fixture_of(forger, &forged);
    passes(&forged.verify_with(Options::default()), &[Axis::Integrity, Axis::Coverage]);
    let report = forged.verify_with(Options { key: Some(real.ledger.key.public()), ..Options::default() });
    fails(&report, &[Axis::Authenticity, Axis::Integrity], "commit/");
    // He puts the real ledger.json back.
    replace(&forged.path("ledger.json"), &fs::read(real.path("ledger.json")).unwrap());
    fails(&forged.verify_with(Options::default()), &[Axis::Authenticity, Axis::Integrity], "commit/");
}

#[test]
fn what_was_slipped_in_is_found_and_orphans_are_told_apart() {
    let fixture_1 = fixture();
    let inside = fixture_1.records(0).with_file_name(format!("{:020}-3-0123456789abcdef.parquet", 5));
    replace(&inside, &fs::read(fixture_1.records(0)).unwrap());
    fails(&fixture_1.verify(), &[Axis::Integrity], "slipped in");

    let fixture_2 = fixture();
    let behind = fixture_2.records(0).with_file_name(format!("{:020}-3-0123456789abcdef.parquet", 45));
    replace(&behind, b"half");
    let report = fixture_2.verify();
    passes(&report, &[Axis::Integrity]);
    assert_eq!(report.verdict(Axis::Coverage), Verdict::Incomplete);

    let fixture_3 = fixture();
    replace(&fixture_3.path("README.txt"), b"notes of the operator");
    let report = fixture_3.verify();
    passes(&report, &[Axis::Integrity, Axis::Coverage]);
    assert_eq!(report.strangers, ["README.txt"]);
}

#[test]
fn remembered_checkpoints_are_prefixes() {
    let fixture = fixture();
    let mut checkpoints: Vec<_> =
        fixture.committed.iter().map(|committed| committed.checkpoint.clone().into_bytes()).collect();
    let options = |checkpoints| Options { key: Some(fixture.ledger.key.public()), checkpoints, ..Options::default() };
    passes(&fixture.verify_with(options(checkpoints.clone())), &[Axis::NonEquivocation]);
    checkpoints.push(b"no note".to_vec());
    assert_eq!(fixture.verify_with(options(checkpoints)).verdict(Axis::NonEquivocation), Verdict::Incomplete);
}

#[test]
fn a_clock_that_went_back_must_be_explained() {
    let jump = |explained: bool| {
        let mut ledger = Ledger::new();
        let mut run = ledger.batch(5);
        ledger.now -= 1_000_000_000;
        if explained {
            let mut record = Record::new(
                tachograph_record::EventId([9; 16]),
                Time::from_unix_nanos(ledger.now).unwrap(),
                Kind::Lifecycle,
            );
            record.action_type = Some(Text::from(CLOCK_JUMP));
            run.push(ledger.seal(&record));
        }
        run.extend(ledger.batch(5));
        fixture_of(ledger, &[run]).verify()
    };
    assert_eq!(jump(true).verdict(Axis::Time), Verdict::Incomplete);
    let report = jump(false);
    fails(&report, &[Axis::Time], "before the record before it");
    assert_eq!(report.findings[0].index, Some(5));
}

#[test]
fn gaps_in_a_producers_numbers_are_named() {
    let mut ledger = Ledger::new();
    let mut run = ledger.batch(5);
    ledger.producer_seq = 8;
    run.extend(ledger.batch(2));
    ledger.producer_seq = 9;
    ledger.producer = true;
    run.extend(ledger.batch(1));
    let report = fixture_of(ledger, &[run]).verify();
    assert_eq!(report.verdict(Axis::Completeness), Verdict::Incomplete);
    let producer = &report.producers[0];
    assert_eq!((producer.seen, producer.missing, producer.repeated, producer.last), (7, 3, 1, 9));
    assert_eq!((producer.gaps[0].from, producer.gaps[0].to), (5, 7));
    assert_eq!(report.exit_code(DEFAULT_REQUIRED), 0);
}

/// Records of the producer's own, with the next numbers.
fn says(ledger: &mut Ledger, action: &str, details: &str) -> Sample {
    let time = Time::from_unix_nanos(ledger.now).unwrap();
    let id = tachograph_record::EventId::v7(time, sha256(action.as_bytes()).as_bytes());
    let mut record = Record::new(id, time, Kind::Lifecycle);
    record.action_type = Some(Text::from(action));
    record.details = Some(Json::trusted(details.to_owned()));
    record.producer = Some(Text::from("svc-1"));
    record.producer_epoch = Some(Text::from("e1"));
    record.producer_seq = Decimal::new(ledger.producer_seq);
    ledger.producer_seq += 1;
    ledger.seal(&record)
}

#[test]
fn a_producer_that_closed_is_complete_and_one_that_only_lives_is_open() {
    let told = |change: &dyn Fn(&mut Ledger, &mut Vec<Sample>)| {
        let mut ledger = Ledger::new();
        let mut run = vec![says(&mut ledger, PRODUCER_OPEN, "{}")];
        run.extend(ledger.batch(5));
        run.push(says(&mut ledger, PRODUCER_HEARTBEAT, r#"{"last":"6"}"#));
        change(&mut ledger, &mut run);
        fixture_of(ledger, &[run]).verify()
    };
    let close = |lost: u64| format!(r#"{{"count":"0","last":"0","lost":"{lost}"}}"#);

    let report = told(&|_, _| {});
    assert_eq!(report.verdict(Axis::Completeness), Verdict::Incomplete);
    assert_eq!(report.producers[0].state, ProducerState::Open);
    let heartbeat = report.producers[0].last_heartbeat.clone().unwrap();
    let reasons = report.axes[&Axis::Completeness].reasons.concat();
    assert!(reasons.contains("OPEN") && reasons.contains(&format!("last heartbeat {heartbeat}")), "{reasons}");

    let report = told(&|ledger, run| run.push(says(ledger, PRODUCER_CLOSE, &close(0))));
    passes(&report, &[Axis::Completeness]);
    assert_eq!((report.producers[0].state, report.producers[0].lost), (ProducerState::Closed, Some(0)));

    // Two numbers never arrived, and the producer does not count them as lost.
    let report = told(&|ledger, run| {
        ledger.producer_seq += 2;
        run.push(says(ledger, PRODUCER_CLOSE, &close(0)));
    });
    fails(
        &report,
        &[Axis::Completeness],
        "counts 0 records as lost itself, but 2 never arrived, the first with number 7",
    );
    // It says itself that it lost them: nothing speaks against the ledger, but all is not there.
    let report = told(&|ledger, run| {
        ledger.producer_seq += 2;
        run.push(says(ledger, PRODUCER_CLOSE, &close(2)));
    });
    assert_eq!((report.verdict(Axis::Completeness), report.producers[0].missing), (Verdict::Incomplete, 2));
    // Late ones fill the gap.
    let report = told(&|ledger, run| {
        ledger.producer_seq += 5;
        run.push(says(ledger, PRODUCER_CLOSE, &close(0)));
        ledger.producer_seq -= 6;
        run.extend(ledger.batch(5));
    });
    passes(&report, &[Axis::Completeness]);
    // A close that others follow was none.
    let report = told(&|ledger, run| {
        run.push(says(ledger, PRODUCER_CLOSE, &close(0)));
        run.extend(ledger.batch(2));
    });
    assert_eq!(report.producers[0].state, ProducerState::Open);
}

/// A store on a disk that does not give one object back, from some offset on.
struct BadDisk {
    inner: DirectoryStore,
    path: String,
    from: u64,
}

struct BadObject {
    inner: Arc<dyn ReadAt>,
    from: u64,
}

impl ReadAt for BadObject {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        if offset + length as u64 > self.from {
            Err(io::Error::other("bad sector"))
        } else {
            self.inner.read_at(offset, length)
        }
    }
}

impl Store for BadDisk {
    left_to_inner!();
    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        let inner = self.inner.open(path)?;
        let from = if path == self.path { self.from } else { u64::MAX };
        Ok(Arc::new(BadObject { inner, from }))
    }
    fn remove_orphan(&self, path: &str) -> Result<Removal, StoreError> {
        self.inner.remove_orphan(path)
    }
}

#[test]
fn what_cannot_be_read_is_not_called_tampering() {
    let fixture = fixture();
    for object in &fixture.committed[1].objects {
        for from in [0, 100, object.size / 2, object.size - 1] {
            let inner = DirectoryStore::reader(fixture.directory.path()).unwrap();
            let store = BadDisk { inner, path: object.path.clone(), from };
            let report =
                verify(&store, Options { key: Some(fixture.ledger.key.public()), ..Options::default() }).unwrap();
            assert_eq!(report.verdict(Axis::Integrity), Verdict::Incomplete, "from {from}: {}", report.to_json());
            assert_eq!(report.exit_code(DEFAULT_REQUIRED), 2);
            assert!(report.unreadable[0].contains(&object.path), "{}", report.to_json());
        }
    }
}

#[test]
fn a_place_without_an_archive_is_no_finding() {
    let directory = tempfile::tempdir().unwrap();
    let error = verify(&DirectoryStore::reader(directory.path()).unwrap(), Options::default()).unwrap_err();
    assert!(error.to_string().contains("no ledger.json"), "{error}");
}

#[test]
fn progress_is_told_of_every_record() {
    #[derive(Default)]
    struct Told(Mutex<(u64, u64)>);
    impl Progress for Told {
        fn begin(&self, records: u64) {
            self.0.lock().unwrap().0 = records;
        }
        fn advance(&self, records: u64, _body_bytes: u64) {
            self.0.lock().unwrap().1 += records;
        }
    }
    let (fixture, told) = (fixture(), Told::default());
    fixture.verify_with(Options { progress: Some(&told), threads: 3, ..Options::default() });
    assert_eq!(*told.0.lock().unwrap(), (45, 45));
}
