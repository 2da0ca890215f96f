//! A body that was read can be written, and what was written reads as the same again. Every column can be derived.

use tachograph_record::{Body, COLUMNS, content_digest, write_body};

pub(crate) fn run(data: &[u8]) {
    let _ = content_digest(data);
    let Ok(body) = Body::parse(data) else { return };
    Body::parse_columns(data).expect("the columns of a good body can be read");
    for column in COLUMNS {
        let _ = column.derive(&body);
    }
    let first = rewrite(&body);
    let again = Body::parse(&first).expect("a written body can be read");
    assert_eq!(first, rewrite(&again), "writing is not stable");
}

fn rewrite(body: &Body<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_body(&body.record, &body.salt.0, body.observed_at, &mut bytes);
    bytes
}
