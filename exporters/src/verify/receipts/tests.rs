use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::verify::report::Verdict;

const LEDGER: &str = "acme.example/ai-audit";

fn hash(byte: u8) -> Hash {
    Hash::from_bytes([byte; 32])
}

fn line(index: u64, hash: Option<Hash>) -> String {
    let line = ReceiptLine { ledger: LEDGER, index, hash, event_id: None };
    format!("{line}\n")
}

/// Reads `files`, passes records 0 to `size - 1` whose hashes are their indexes, and gives the finding and the counts.
fn judge(files: &[&str], size: u64) -> (Vec<String>, ReceiptsReport, Collector) {
    let dir = TempDir::new().unwrap();
    for (number, text) in files.iter().enumerate() {
        fs::write(dir.path().join(number.to_string()), text).unwrap();
    }
    let collector = Collector::default();
    let ledger = LedgerName::parse(LEDGER).unwrap();
    let mut receipts = Receipts::read(&[dir.path().to_owned()], &ledger, true, &collector);
    let wrong = (0..size).filter_map(|index| receipts.pass(index, &hash(index as u8))).collect();
    receipts.end_archive(size, &collector);
    while receipts.sorted.next_if(|_| true).is_some() {
        receipts.report.missing += 1;
    }
    (wrong, receipts.report, collector)
}

/// The examples of `docs/format.md`.
#[test]
fn the_lines_of_the_format() {
    let first = b"tachograph-receipt/v1 acme.example/ai-audit 41 0101010101010101010101010101010101010101010101010101010101010101 0199c8a0-0000-7000-8000-000000000001";
    let receipt = ReceiptLine::parse(first).unwrap();
    assert_eq!((receipt.ledger, receipt.index, receipt.hash), (LEDGER, 41, Some(hash(1))));
    assert_eq!(receipt.event_id, Some("0199c8a0-0000-7000-8000-000000000001"));
    assert_eq!(receipt.to_string().as_bytes(), first);
    let second = b"tachograph-receipt/v1 acme.example/ai-audit 7 - -";
    let receipt = ReceiptLine::parse(second).unwrap();
    assert_eq!((receipt.index, receipt.hash, receipt.event_id), (7, None, None));
    assert_eq!(receipt.to_string().as_bytes(), second);
}

#[test]
fn what_is_no_receipt_is_refused() {
    let digits = "01".repeat(32);
    let cases = [
        (String::new(), NoReceipt::Version),
        ("tachograph-receipt/v2 l 1 - -".to_owned(), NoReceipt::Version),
        ("tachograph-receipt/v1 l 1 -".to_owned(), NoReceipt::Words),
        ("tachograph-receipt/v1 l  1 - -".to_owned(), NoReceipt::Words),
        ("tachograph-receipt/v1 l 1 - - -".to_owned(), NoReceipt::Words),
        ("tachograph-receipt/v1 l 01 - -".to_owned(), NoReceipt::Index),
        ("tachograph-receipt/v1 l +1 - -".to_owned(), NoReceipt::Index),
        ("tachograph-receipt/v1 l 18446744073709551616 - -".to_owned(), NoReceipt::Index),
        (format!("tachograph-receipt/v1 l 1 {}A -", &digits[1..]), NoReceipt::Hash),
        (format!("tachograph-receipt/v1 l 1 {digits}0 -"), NoReceipt::Hash),
        (format!("tachograph-receipt/v1 {} 1 - -", "l".repeat(512)), NoReceipt::NoText),
    ];
    for (text, error) in cases {
        assert_eq!(ReceiptLine::parse(text.as_bytes()), Err(error), "{text}");
    }
    assert_eq!(ReceiptLine::parse(b"tachograph-receipt/v1 \xff 1 - -"), Err(NoReceipt::NoText));
}

#[test]
fn receipts_are_compared_whatever_their_order_and_file() {
    let files = [
        [line(7, Some(hash(7))), line(2, Some(hash(2))), line(3, None)].concat(),
        [line(0, Some(hash(0))), line(7, Some(hash(7)))].concat(),
    ];
    let (wrong, report, collector) = judge(&[&files[0], &files[1]], 9);
    assert_eq!(wrong, Vec::<String>::new());
    let expected = ReceiptsReport { checked: 4, without_hash: 1, highest: Some(7), ..ReceiptsReport::default() };
    assert_eq!(report, expected);
    assert_eq!(collector.verdict(Axis::NonEquivocation), Verdict::Pass);
}

#[test]
fn the_first_that_differs_is_named_with_the_last_that_agrees() {
    let text: String =
        [2, 4, 5, 6].map(|index| line(index, Some(hash(if index < 5 { index as u8 } else { 99 })))).concat();
    let (wrong, report, _) = judge(&[&text], 9);
    assert_eq!(wrong.len(), 1);
    assert!(wrong[0].contains("record 5") && wrong[0].contains("up to record 4 agree"), "{}", wrong[0]);
    assert_eq!((report.checked, report.differ, report.highest), (4, 2, Some(4)));
}

#[test]
fn what_lies_behind_the_end_is_missing() {
    let text = [line(8, Some(hash(8))), line(9, Some(hash(9))), line(u64::MAX, None)].concat();
    let (_, report, _) = judge(&[&text], 9);
    assert_eq!((report.checked, report.missing), (1, 2));
}

#[test]
fn lines_that_are_none_leave_the_axis_incomplete_but_a_torn_end_does_not() {
    let torn = line(1, Some(hash(1))) + "tachograph-receipt/v1 acme.exam";
    let (_, report, collector) = judge(&[&torn], 9);
    assert_eq!((report.checked, report.unreadable), (1, 0));
    assert_eq!(collector.verdict(Axis::NonEquivocation), Verdict::Pass);

    let long = "x".repeat(100_000);
    let text = format!("{}\n{}{long}\n{}", torn, line(2, Some(hash(2))), line(3, Some(hash(3))));
    let (_, report, collector) = judge(&[&text], 9);
    assert_eq!((report.checked, report.unreadable), (3, 2));
    assert_eq!(collector.verdict(Axis::NonEquivocation), Verdict::Incomplete);
}

#[test]
fn receipts_of_other_ledgers_are_counted_and_nothing_else() {
    let other = ReceiptLine { ledger: "other.example/x", index: 3, hash: Some(hash(9)), event_id: None };
    let (wrong, report, collector) = judge(&[&format!("{other}\n")], 9);
    assert_eq!((wrong.len(), report.checked, report.other_ledgers), (0, 0, 1));
    assert_eq!(collector.verdict(Axis::NonEquivocation), Verdict::Incomplete, "nothing was compared");
}

#[test]
fn a_file_that_is_not_there_is_unreadable() {
    let collector = Collector::default();
    let ledger = LedgerName::parse(LEDGER).unwrap();
    Receipts::read(&["/nonexistent/receipts".into()], &ledger, false, &collector);
    assert_eq!(collector.verdict(Axis::NonEquivocation), Verdict::Incomplete);
}

proptest! {
    #[test]
    fn many_are_sorted_with_little_memory(entries in prop::collection::vec((0..50_u64, prop::option::of(0..9_u8)), 0..200)) {
        let mut sorter = Sorter::with_pieces_of(16);
        let mut expected: Vec<Entry> =
            entries.iter().map(|(index, byte)| Entry { index: *index, hash: byte.map(hash) }).collect();
        expected.iter().for_each(|entry| sorter.push(*entry).unwrap());
        let mut sorted = sorter.finish().unwrap();
        let found: Vec<Entry> = std::iter::from_fn(|| sorted.next_if(|_| true)).collect();
        prop_assert!(sorted.error().is_none());
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}
