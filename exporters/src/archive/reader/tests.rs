use std::collections::BTreeSet;

use proptest::prelude::*;
use tachograph_record::Body;

use super::super::store::DirectoryStore;
use super::super::tests::sample::{Ledger, Sample};
use super::super::tests::{append, create, store_at};
use super::super::{Archive, Committed, DEFAULT_ZSTD_LEVEL, Settings};
use super::*;

struct Fixture {
    directory: tempfile::TempDir,
    samples: Vec<Sample>,
    committed: Vec<Committed>,
}

fn fixture(runs: &[usize]) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = Archive::open(store, ledger.key.clone(), Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
    let (mut samples, mut committed) = (Vec::new(), Vec::new());
    for run in runs {
        let batch = ledger.batch(*run);
        committed.push(append(&mut archive, &batch).unwrap());
        samples.extend(batch);
    }
    Fixture { directory, samples, committed }
}

impl Fixture {
    fn reader(&self) -> Reader {
        Reader::open(Arc::new(DirectoryStore::reader(self.directory.path()).unwrap())).unwrap()
    }
}

#[test]
fn records_are_found_by_any_column_and_by_index() {
    let fixture = fixture(&[40, 25, 10]);
    let reader = fixture.reader();
    assert_eq!((reader.size(), reader.commits().len()), (75, 3));
    for sample in fixture.samples.iter().step_by(7) {
        assert_eq!(reader.by_index(sample.index).unwrap().unwrap().body, sample.body);
        let body = Body::parse(&sample.body).unwrap();
        for column in COLUMNS {
            let value = column.derive(&body);
            if matches!(value, Value::Null) {
                continue;
            }
            let expected: Vec<u64> = fixture
                .samples
                .iter()
                .filter(|other| column.derive(&Body::parse(&other.body).unwrap()) == value)
                .map(|other| other.index)
                .collect();
            let found: Vec<u64> =
                reader.find(column.name, value, 1_000).unwrap().into_iter().map(|found| found.index).collect();
            assert_eq!(found, expected, "{}", column.name);
            let limited = reader.find(column.name, value, 2).unwrap();
            assert_eq!(limited.len(), expected.len().min(2));
            assert!(limited.iter().all(|found| fixture.samples[found.index as usize].body == found.body));
        }
    }
    assert_eq!(reader.by_index(75).unwrap(), None);
    assert_eq!(reader.by_index(u64::MAX).unwrap(), None);
    assert_eq!(reader.find("correlation_id", Value::Text("nobody"), 9).unwrap(), []);
    assert_eq!(reader.find("trace_id", Value::Bytes(&[0; 16]), 9).unwrap(), []);
    assert!(matches!(reader.find("prompt", Value::Text("x"), 9), Err(ReadError::NoColumn(_))));
}

#[test]
fn filters_and_statistics_are_written_where_they_serve() {
    let fixture = fixture(&[40]);
    let object = &fixture.committed[0].objects[1];
    let bytes = bytes::Bytes::from(std::fs::read(fixture.directory.path().join(&object.path)).unwrap());
    use parquet::file::reader::FileReader;
    let file = parquet::file::reader::SerializedFileReader::new(bytes).unwrap();
    let group = file.metadata().row_group(0);
    let filtered: BTreeSet<String> = group
        .columns()
        .iter()
        .filter(|column| column.bloom_filter_offset().is_some())
        .map(|column| column.column_path().string())
        .collect();
    let expected = ["actor_id", "correlation_id", "event_id", "output_hash", "output_path", "session_id", "trace_id"];
    assert_eq!(filtered.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let bounded = |name: &str| {
        group.columns().iter().any(|column| column.column_path().string() == name && column.statistics().is_some())
    };
    assert!(["index", "timestamp", "observed_at", "event_id", "model"].into_iter().all(bounded));
    assert!(!bounded("body") && !bounded("trace_id"));
    assert_eq!(group.sorting_columns().unwrap()[0].column_idx, 0);
}

#[test]
fn a_footer_that_contradicts_its_commit_is_refused() {
    let fixture = fixture(&[12]);
    let store = DirectoryStore::reader(fixture.directory.path()).unwrap();
    let [leaves, records] = &fixture.committed[0].objects[..] else { panic!("two objects") };
    let more_rows = Object { rows: 13, ..records.clone() };
    assert!(
        matches!(RecordsObject::open(&store, &more_rows), Err(ReadError::Damaged { what, .. }) if what.contains("12 rows"))
    );
    assert!(
        matches!(RecordsObject::open(&store, leaves), Err(ReadError::Damaged { what, .. }) if what.contains("columns"))
    );
    assert!(matches!(LeavesObject::open(&store, records), Err(ReadError::Damaged { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever was done to the bytes, reading gives an answer or an error.
    #[test]
    fn damaged_objects_never_panic(which in 0..2_usize, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in prop::option::of(any::<prop::sample::Index>()), in_footer: bool) {
        static FIXTURE: std::sync::LazyLock<Fixture> = std::sync::LazyLock::new(|| fixture(&[30]));
        let mut object = FIXTURE.committed[0].objects[which].clone();
        let mut bytes = std::fs::read(FIXTURE.directory.path().join(&object.path)).unwrap();
        for (at, value) in flips {
            // The footer is where a few bytes do most.
            let begin = if in_footer { bytes.len() * 3 / 4 } else { 0 };
            let at = begin + at.index(bytes.len() - begin);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let directory = tempfile::tempdir().unwrap();
        let store = store_at(directory.path());
        object.path = "damaged".to_owned();
        object.size = bytes.len() as u64;
        store.create("damaged", &bytes, None).unwrap();
        if which == 0 {
            if let Ok(object) = LeavesObject::open(&store, &object) {
                (0..object.group_count()).for_each(|group| drop(object.group(group)));
            }
        } else if let Ok(object) = RecordsObject::open(&store, &object) {
            for mut cells in object.group(0).into_iter().flat_map(|group| group.columns) {
                (0..40).for_each(|_| drop(cells.next_cell().describe()));
            }
            let _ = object.find(8, Value::Text("user-3"), 5, &mut Vec::new());
            let _ = object.by_index(7);
        }
    }
}
