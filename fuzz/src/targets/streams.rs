//! What a bundle's `streams.json`, and an entry in it, was read as reads the same when it is written again; an entry has one spelling.

use tachograph_exporters::bundle::streams::StreamsProof;
use tachograph_ledger::stream::StreamEntry;

pub(crate) fn run(data: &[u8]) {
    if let Some(entry) = std::str::from_utf8(data).ok().and_then(StreamEntry::parse) {
        assert_eq!(entry.encode().as_bytes(), data);
    }
    if let Ok(proof) = StreamsProof::parse(data) {
        assert_eq!(StreamsProof::parse(proof.encode().as_bytes()).as_ref(), Ok(&proof));
    }
}
