//! What a witness signs, as [c2sp.org/tlog-cosignature](https://c2sp.org/tlog-cosignature) has it.
//!
//! ```text
//! Ed25519    cosignature/v1\n
//!            time <seconds since 1970, decimal>\n
//!            <the checkpoint's text>
//! ML-DSA-44  subtree/v1\n\0 ‖ u8 length ‖ <witness's name> ‖ u64 time ‖ u8 length ‖ <ledger's name> ‖ u64 0 ‖ u64 size ‖ 32-byte root
//! ```
//!
//! Numbers are big-endian. With ML-DSA-44 a tree could begin behind the ledger's first record; that of a checkpoint begins with it.

use super::key::WitnessName;
use crate::checkpoint::Checkpoint;

const SUBTREE: &[u8] = b"subtree/v1\n\0";
const START: u64 = 0;

pub(super) fn ed25519_message(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

pub(super) fn ml_dsa_message(witness: &WitnessName, checkpoint: &Checkpoint, time: u64) -> Vec<u8> {
    let mut message = SUBTREE.to_vec();
    short(&mut message, witness.as_str());
    message.extend_from_slice(&time.to_be_bytes());
    short(&mut message, checkpoint.origin.as_str());
    message.extend_from_slice(&START.to_be_bytes());
    message.extend_from_slice(&checkpoint.size.to_be_bytes());
    message.extend_from_slice(checkpoint.root.as_bytes());
    message
}

/// A text with its length in one byte before it.
fn short(message: &mut Vec<u8>, text: &str) {
    // Names have at most 255 bytes: their types see to it.
    message.push(u8::try_from(text.len()).expect("a name has at most 255 bytes"));
    message.extend_from_slice(text.as_bytes());
}
