//! Whatever the files of a bundle hold, the check ends with a verdict, and never with a pass. The first byte says which file is replaced
//! by the rest; one byte more than there are files makes it the only one.

use tachograph_exporters::bundle::about::{About, RecordLine};
use tachograph_exporters::bundle::check::{Options, check};
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::verify::DEFAULT_REQUIRED;

const FILES: [&str; 7] = [
    "bundle.json",
    "ledger.vkey",
    "checkpoint",
    "records.jsonl",
    "not-before.tsr",
    "MANIFEST.sha256",
    "proofs/00000000000000000000.tlog-proof",
];

pub(crate) fn run(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    if let Ok(about) = About::parse(data) {
        assert_eq!(About::parse(about.encode().as_bytes()).as_ref(), Ok(&about));
    }
    if let Ok(line) = RecordLine::parse(data) {
        assert_eq!(RecordLine::parse(line.encode().as_bytes()).as_ref(), Ok(&line));
    }
    let mut files = Files::default();
    files.insert(FILES[usize::from(*which) % FILES.len()], data);
    assert_ne!(check(&files, "fuzz", &Options::default()).exit_code(DEFAULT_REQUIRED), 0);
}
