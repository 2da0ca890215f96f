//! A line of a receipts file has one spelling.

use tachograph_exporters::verify::{MAX_LINE_BYTES, ReceiptLine};

pub(crate) fn run(data: &[u8]) {
    let Ok(receipt) = ReceiptLine::parse(data) else { return };
    assert!(data.len() <= MAX_LINE_BYTES);
    assert_eq!(receipt.to_string().as_bytes(), data);
}
