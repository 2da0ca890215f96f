//! How long it takes to prove one record out of many, and to check the proof:
//! `cargo run --release -p tachograph-exporters --example prove_speed [RECORDS [RECORDS OF A SEGMENT]]`, by default 10,000,000 and 100,000.
//! The archive lies in the directory for temporary files, some 2.5 GB of it.
#[path = "../tests/sample/mod.rs"]
mod sample;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::tree::TreeReader;
use tachograph_exporters::archive::{Archive, OneClass, Row, Settings};
use tachograph_exporters::bundle::about::Selection;
use tachograph_exporters::bundle::check::{Options, check};
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::bundle::maker::{Request, make};
use tachograph_exporters::verify::DEFAULT_REQUIRED;
use tachograph_record::{Body, Time, Value};

/// Records that are proven, spread over the ledger.
const PROVEN: u64 = 21;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let records = arguments.next().transpose()?.unwrap_or(10_000_000);
    let of_segment = arguments.next().transpose()?.unwrap_or(100_000);
    let directory = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::writer(directory.path(), DirectorySettings::default())?);
    let mut ledger = sample::Ledger::new();
    write(&store, &mut ledger, records, of_segment)?;

    let (mut proving, mut checking, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..PROVEN {
        let index = (records - 1) * number / (PROVEN - 1);
        let event = event_of(&store, index)?;
        // As a command does it: from nothing.
        let begun = Instant::now();
        let reader = Reader::open(Arc::clone(&store))?;
        let found = reader.find("event_id", Value::Bytes(&event), 10)?;
        assert_eq!(found[0].index, index);
        let request = Request {
            selection: Selection::Indexes { first: index, last: index },
            records: BTreeMap::from([(index, Some(found[0].body.clone()))]),
            order: Vec::new(),
            created_at: Time::from_unix_nanos(sample::START)?,
            stream: None,
        };
        let files = make(&reader, &TreeReader::of(&reader), &request)?;
        proving.push(begun.elapsed());
        let place = directory.path().join(format!("bundle-{number}"));
        files.write_folder(&place)?;
        let begun = Instant::now();
        let read = Files::read(&place)?;
        let report = check(&read, "", &Options { key: Some(ledger.key.public()), ..Options::default() });
        checking.push(begun.elapsed());
        assert_eq!(report.exit_code(DEFAULT_REQUIRED), 0);
        let of_records = read.get("records.jsonl").map_or(0, <[u8]>::len) as u64;
        sizes.push(read.bytes() - of_records);
    }
    println!("{records} records in segments of {of_segment}");
    tell("prove one, from its event id", &mut proving);
    tell("read and check the bundle", &mut checking);
    sizes.sort_unstable();
    println!("bundle without its record: {} to {} bytes", sizes[0], sizes[sizes.len() - 1]);
    Ok(())
}

fn tell(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let (least, middle, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: {middle:.1?} (median of {}, {least:.1?} to {most:.1?})", times.len());
}

fn event_of(store: &Arc<dyn Store>, index: u64) -> Result<[u8; 16], Box<dyn std::error::Error>> {
    let found = Reader::open(Arc::clone(store))?.by_index(index)?.ok_or("no such record")?;
    Ok(Body::parse(&found.body)?.record.event_id.0)
}

fn write(
    store: &Arc<dyn Store>,
    ledger: &mut sample::Ledger,
    records: u64,
    of_segment: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    Archive::create(&**store, &ledger.key.public(), Time::from_unix_nanos(sample::START)?, None)?;
    let (mut archive, _) = Archive::open(Arc::clone(store), ledger.key.clone(), Settings::undated(1))?;
    let mut left = records;
    while left > 0 {
        let mut segment = archive.begin()?;
        for number in 0..left.min(of_segment) {
            let sample = ledger.generation(format!("a lighthouse, number {number}"), "a picture".to_owned(), |_| {});
            let row = Row {
                index: sample.index,
                leaf: &sample.leaf,
                hash: &sample.hash,
                mac: &sample.mac,
                body: &sample.body,
            };
            segment.push(row, &OneClass)?;
        }
        archive.append(segment)?;
        left -= left.min(of_segment);
    }
    Ok(())
}
