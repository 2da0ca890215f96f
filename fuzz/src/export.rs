//! What must hold for any export request, whatever is in it.

use std::io;

use bytes::Bytes;
use tachograph_collector::batch::{Batch, Entropy};
use tachograph_collector::intake::{Export, Signal};
use tachograph_record::{Body, COLUMNS, Time, content_digest};

/// Small, so that the fuzzer meets the bound.
const MAX_FIELD_BYTES: usize = 256;

struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(0x5a);
        Ok(())
    }
}

/// Every record that is made of a request can be read back, and comes out the same when the request is sent again.
pub(crate) fn check(signal: Signal, data: &[u8]) {
    let export = Export { signal, protobuf: Bytes::copy_from_slice(data), wants_receipt: false };
    let Ok(batch) = take(&export, 1) else { return };
    let again = take(&export, 2).expect("a request that was taken once is taken again");
    assert_eq!(batch.len(), again.len());
    for ((draft, bytes), (resent, _)) in batch.records().zip(again.records()) {
        let body = Body::parse(bytes).expect("what is sealed can be read");
        Body::parse_columns(bytes).expect("and so can its columns");
        for column in COLUMNS {
            let _ = column.derive(&body);
        }
        assert_eq!(body.record.event_id, draft.event_id);
        assert_eq!(content_digest(bytes), draft.content_digest);
        assert_eq!(draft.event_id, resent.event_id, "a resent record has another id");
        assert_eq!(draft.content_digest, resent.content_digest, "a resent record has other content");
    }
}

fn take(export: &Export, observed_at: u64) -> Result<Batch, tachograph_collector::batch::BatchError> {
    let observed_at = Time::from_unix_nanos(observed_at).expect("a good time");
    Batch::from_export(export, MAX_FIELD_BYTES, observed_at, &NoEntropy)
}
