//! Objects that the store has and no commit names.
//!
//! A collector that died or was fenced leaves such objects in a store that keeps everything, and the ledger reports them. The report
//! says that they were found, not who made them: they are evidence of nothing, and excused only while they are what was found,
//! which their name tells, since it holds their hash.

use std::collections::BTreeSet;

use super::certificates::Certificates;
use super::collector::Collector;
use super::report::{Axis, Finding};
use crate::archive::paths;
use crate::archive::segment::sha256_of_all;
use crate::archive::store::{ErrorKind, Store};

/// Judges what no commit names. Gives what the ledger reports.
pub(crate) fn check(
    store: &dyn Store,
    foreign: &BTreeSet<String>,
    certificates: &Certificates<'_>,
    collector: &Collector,
) -> Vec<String> {
    foreign.iter().filter(|path| is_excused(store, path, certificates, collector)).cloned().collect()
}

fn is_excused(store: &dyn Store, path: &str, certificates: &Certificates<'_>, collector: &Collector) -> bool {
    let fail = |what: String| collector.fail(Axis::Integrity, Finding::of_object(path, what));
    let Some(index) = certificates.report_of(path) else {
        if certificates.complete {
            fail("no commit names this object: it was slipped in, or a fenced collector left it and the next start of this one will say so; queries that read all files would see it".to_owned());
        } else {
            collector.incomplete(
                Axis::Integrity,
                format!(
                    "no commit names {path}: whether the ledger reports it is not known, since not all of the recorder's statements could be read"
                ),
            );
        }
        return false;
    };
    match sha256_of_all(store, path) {
        Ok(hash) if paths::has_hash(path, &hash) => return true,
        Ok(hash) => fail(format!(
            "record {index} reports it as left over, but it is not what was left: its SHA-256 is {hash}, its name says another"
        )),
        // It was past its date, and has gone since it was listed.
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => collector.unreadable(error.to_string()),
    }
    false
}
