//! How long the archive takes per record, to write and to verify: `cargo run --release -p tachograph-exporters --example segment_speed`.
#![allow(clippy::disallowed_methods)]

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::sync::Arc;
use std::time::Instant;

use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::{Archive, Row};
use tachograph_exporters::verify::{Axis, Options, Verdict, verify};
use tachograph_record::Time;

const RECORDS: usize = 40_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ledger = sample::Ledger::new();
    let records = ledger.batch(RECORDS);
    let body_bytes: usize = records.iter().map(|record| record.body.len()).sum();
    println!("{RECORDS} records, {} bytes of body each", body_bytes / RECORDS);
    for zstd_level in [1, 3] {
        let directory = std::env::temp_dir().join(format!("segment-speed-{}-{zstd_level}", std::process::id()));
        let store: Arc<dyn Store> = Arc::new(DirectoryStore::writer(&directory, DirectorySettings::default())?);
        Archive::create(&*store, &ledger.key.public(), Time::from_unix_nanos(sample::START)?)?;
        let (mut archive, _) = Archive::open(Arc::clone(&store), Arc::clone(&ledger.key), zstd_level)?;
        let begun = Instant::now();
        let mut segment = archive.begin()?;
        for record in &records {
            segment.push(Row { index: record.index, leaf: &record.leaf, hash: &record.hash, mac: &record.mac, body: &record.body })?;
        }
        let pushed = begun.elapsed();
        let committed = archive.append(segment)?;
        let written = begun.elapsed();
        let size: u64 = committed.objects.iter().map(|object| object.size).sum();
        println!(
            "zstd {zstd_level}: {:.2} µs a record ({:.2} until the last row), {:.1} bytes a record",
            written.as_secs_f64() * 1e6 / RECORDS as f64,
            pushed.as_secs_f64() * 1e6 / RECORDS as f64,
            size as f64 / RECORDS as f64,
        );
        for object in &committed.objects {
            println!("  {:?}: {:.1} bytes a record", object.kind, object.size as f64 / RECORDS as f64);
        }
        verify_speed(&*store, &ledger)?;
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

fn verify_speed(store: &dyn Store, ledger: &sample::Ledger) -> Result<(), Box<dyn std::error::Error>> {
    for threads in [1, 2] {
        let begun = Instant::now();
        let report = verify(store, Options { key: Some(ledger.key.public()), threads, ..Options::default() })?;
        assert_eq!(report.verdict(Axis::Integrity), Verdict::Pass, "{}", report.to_json());
        let taken = begun.elapsed();
        println!(
            "  verify, {threads} threads: {:.2} µs a record, {:.0} MB/s of bodies",
            taken.as_secs_f64() * 1e6 / RECORDS as f64,
            report.body_bytes as f64 / 1e6 / taken.as_secs_f64(),
        );
    }
    Ok(())
}
