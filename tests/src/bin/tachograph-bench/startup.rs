//! Start-up with a gigabyte of journal that is not archived.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::collector::{Collector, new_ledger};
use crate::ingest::round;
use crate::load;

/// Nothing is archived before the journal has its gigabyte.
const SETTINGS: &str = "archive: { max_age: 1h, max_bytes: 4GiB }\n";

pub(crate) fn run(dir: &Path) -> Value {
    let data = new_ledger(dir, "startup");
    let collector = Collector::start(&data, SETTINGS);
    while collector.metric("tachograph_journal_bytes") < 1e9 {
        load::send(&collector.http, 512, Duration::from_secs(2), None);
    }
    let journal = collector.metric("tachograph_journal_bytes");
    collector.kill();
    let began = Instant::now();
    let collector = Collector::start(&data, SETTINGS);
    let took = began.elapsed().as_secs_f64();
    let records = collector.metric("tachograph_next_index");
    collector.kill();
    let _ = std::fs::remove_dir_all(&data);
    json!({ "journal_mb": round(journal / 1e6), "records": records, "seconds_until_ports_open": round(took) })
}
