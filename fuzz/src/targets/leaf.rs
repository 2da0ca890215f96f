//! A leaf has one spelling: what was accepted and is encoded again gives the same bytes.

use tachograph_ledger::{Hash, Leaf, StreamTracker};

pub(crate) fn run(data: &[u8]) {
    let Ok(leaf) = Leaf::parse(data) else { return };
    let mut encoded = Vec::new();
    leaf.encode_into(&mut encoded);
    // Whatever it says of streams ends in an answer.
    let _ = StreamTracker::default().push(&leaf, &Hash::from_bytes([0; 32]));
    assert_eq!(encoded, data, "an accepted leaf has a second spelling");
}
