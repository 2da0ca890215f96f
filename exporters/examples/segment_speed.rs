//! How long the archive takes per record, to write and to verify: `cargo run --release -p tachograph-exporters --example segment_speed`.
#[path = "../tests/sample/mod.rs"]
mod sample;

use std::sync::Arc;

use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::{Archive, OneClass, Row, Settings};
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
        Archive::create(&*store, &ledger.key.public(), Time::from_unix_nanos(sample::START)?, None)?;
        let (mut archive, _) = Archive::open(Arc::clone(&store), ledger.key.clone(), Settings::undated(zstd_level))?;
        let begun = cpu_seconds();
        let mut segment = archive.begin()?;
        for record in &records {
            segment.push(
                Row {
                    index: record.index,
                    leaf: &record.leaf,
                    hash: &record.hash,
                    mac: &record.mac,
                    body: &record.body,
                },
                &OneClass,
            )?;
        }
        let pushed = cpu_seconds() - begun;
        let committed = archive.append(segment)?;
        let written = cpu_seconds() - begun;
        let size: u64 = committed.objects.iter().map(|object| object.size).sum();
        println!(
            "zstd {zstd_level}: {:.2} µs of CPU a record ({:.2} until the last row), {:.1} bytes a record",
            written * 1e6 / RECORDS as f64,
            pushed * 1e6 / RECORDS as f64,
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
    let body = vec![b'x'; 2_434];
    let begun = cpu_seconds();
    for _ in 0..RECORDS {
        std::hint::black_box(tachograph_ledger::sha256(std::hint::black_box(&body)));
    }
    println!("  SHA-256 of such a body: {:.2} µs", (cpu_seconds() - begun) * 1e6 / RECORDS as f64);
    for threads in [1, 2] {
        let begun = cpu_seconds();
        let report = verify(store, Options { key: Some(ledger.key.public()), threads, ..Options::default() })?;
        assert_eq!(report.verdict(Axis::Integrity), Verdict::Pass, "{}", report.to_json());
        let taken = cpu_seconds() - begun;
        println!(
            "  verify, {threads} threads: {:.2} µs of CPU a record, {:.0} MB/s of bodies",
            taken * 1e6 / RECORDS as f64,
            report.body_bytes as f64 / 1e6 / taken,
        );
    }
    Ok(())
}

/// CPU time of this process: what counts when other work shares the machine.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
