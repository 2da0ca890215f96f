//! What a receiver says of a request's records is of just these, and each line made of it is a receipt.

use tachograph::__private::Receipt;
use tachograph_exporters::verify::ReceiptLine;

pub(crate) fn run(data: &[u8]) {
    let Some((&records, answer)) = data.split_first() else { return };
    let Ok(answer) = std::str::from_utf8(answer) else { return };
    let records = usize::from(records);
    let Some(receipt) = Receipt::parse(answer, records) else { return };
    assert!(receipt.places.len() <= records);
    // Headers are printable ASCII without line ends; a name with others would not be one of a ledger.
    if !receipt.ledger.bytes().all(|byte| byte.is_ascii_graphic()) || receipt.ledger.len() > 128 {
        return;
    }
    let lines = receipt.lines(&vec!["-".to_owned(); receipt.places.len()]);
    for (line, (index, hash)) in lines.lines().zip(&receipt.places) {
        let read = ReceiptLine::parse(line.as_bytes()).expect("a line that was made here");
        assert_eq!((read.index, read.hash.map(|hash| *hash.as_bytes())), (*index, *hash));
    }
}
