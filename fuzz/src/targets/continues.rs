//! What a ledger continues has one spelling.

use tachograph_ledger::Continues;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(says) = Continues::parse(text) else { return };
    assert_eq!(says.details(), text);
}
