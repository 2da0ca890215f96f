//! Receipts: what the collector says of each acknowledged record, ledger, index and leaf hash, kept in a file.
//!
//! `tachograph verify --receipts` holds them against the ledger later: who keeps them sees a change that even the holder of the
//! ledger's key made after the acknowledgement. `docs/format.md` has both forms, that of the answer and that of the file.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What one answer says: a place for each record of the request, in its order, as far as there was room.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// Name of the ledger.
    pub ledger: &'a str,
    /// Each record's index, and its leaf hash if the answer has it.
    pub places: Vec<(u64, Option<[u8; 32]>)>,
}

impl<'a> Receipt<'a> {
    /// Reads the answer to a request of `records` records; `None` if it is not understood.
    #[must_use]
    pub fn parse(answer: &'a str, records: usize) -> Option<Self> {
        let mut words = answer.split(' ');
        if words.next() != Some("v1") {
            return None;
        }
        let ledger = words.next().filter(|name| !name.is_empty())?;
        let mut receipt = Self { ledger, places: Vec::new() };
        let mut left_out = 0;
        while let Some(word) = words.next() {
            match word.strip_prefix('+') {
                Some(rest) if words.clone().next().is_none() => left_out = decimal(rest)?,
                Some(_) => return None,
                None => receipt.push_run(word, records)?,
            }
        }
        let told = u64::try_from(receipt.places.len()).ok()?.checked_add(left_out)?;
        (told == u64::try_from(records).ok()?).then_some(receipt)
    }

    /// `first[-last][:hashes]`; `None` if it is no run, or there are more than `most` records then.
    fn push_run(&mut self, run: &str, most: usize) -> Option<()> {
        let (indexes, hashes) = match run.split_once(':') {
            Some((indexes, hashes)) => (indexes, Some(URL_SAFE_NO_PAD.decode(hashes).ok()?)),
            None => (run, None),
        };
        let (first, last) = match indexes.split_once('-') {
            Some((first, last)) => (decimal(first)?, decimal(last).filter(|last| Some(*last) > decimal(first))?),
            None => (decimal(indexes)?, decimal(indexes)?),
        };
        let count = usize::try_from(last - first).ok()?.checked_add(1)?;
        if count > most.checked_sub(self.places.len())? {
            return None;
        }
        let hashes = hashes.unwrap_or_default();
        let (hashes, rest) = hashes.as_chunks::<32>();
        // All of them, the last one's alone, or none.
        let known_from = match hashes.len() {
            all if all == count => 0,
            1 => count - 1,
            0 if !run.contains(':') => count,
            _ => return None,
        };
        if !rest.is_empty() {
            return None;
        }
        let hash_of = |at: usize| at.checked_sub(known_from).and_then(|at| hashes.get(at).copied());
        self.places.extend((first..=last).enumerate().map(|(at, index)| (index, hash_of(at))));
        Some(())
    }

    /// The lines for the file. `event_ids` are those of the request's records, in its order.
    #[must_use]
    pub fn lines(&self, event_ids: &[String]) -> String {
        let mut lines = String::with_capacity(self.places.len() * 160);
        for ((index, hash), event_id) in self.places.iter().zip(event_ids) {
            // Writing to a string can't fail.
            let _ = write!(lines, "tachograph-receipt/v1 {} {index} ", self.ledger);
            match hash {
                Some(hash) => {
                    for byte in hash {
                        let _ = write!(lines, "{byte:02x}");
                    }
                }
                None => lines.push('-'),
            }
            let _ = writeln!(lines, " {event_id}");
        }
        lines
    }
}

/// A number in its one spelling.
fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// The file, to which lines are only added.
#[derive(Debug)]
pub(crate) struct ReceiptFile(Mutex<File>);

impl ReceiptFile {
    /// Opens or makes the file. A line that a killed process left half written is ended, so that the next one stands alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(Self(Mutex::new(file)))
    }

    /// Adds lines, in one write where the system takes them so.
    pub(crate) fn append(&self, lines: &str) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(answer: &str, records: usize) -> Option<Vec<(u64, Option<u8>)>> {
        let receipt = Receipt::parse(answer, records)?;
        assert_eq!(receipt.ledger, "acme.example/ai-audit");
        Some(receipt.places.into_iter().map(|(index, hash)| (index, hash.map(|hash| hash[0]))).collect())
    }

    /// The examples of `docs/format.md`.
    #[test]
    fn the_examples_of_the_format() {
        assert_eq!(parse("v1 acme.example/ai-audit", 0), Some(vec![]));
        let one = "v1 acme.example/ai-audit 41:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        assert_eq!(parse(one, 1), Some(vec![(41, Some(1))]));
        let mixed = "v1 acme.example/ai-audit 41-42:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg 7-8 43:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM";
        let places = vec![(41, Some(1)), (42, Some(2)), (7, None), (8, None), (43, Some(3))];
        assert_eq!(parse(mixed, 5), Some(places));
        let long = "v1 acme.example/ai-audit 100-611:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";
        let places = parse(long, 512).unwrap();
        assert_eq!((places[0], places[510], places[511]), ((100, None), (610, None), (611, Some(9))));
        assert_eq!(parse("v1 acme.example/ai-audit 3 +2", 3), Some(vec![(3, None)]));
    }

    #[test]
    fn what_is_no_receipt_of_this_request_is_refused() {
        let hash = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        for (answer, records) in [
            ("".to_owned(), 0),
            ("v1".to_owned(), 0),
            ("v2 l 1".to_owned(), 1),
            ("v1 l 1".to_owned(), 2),
            ("v1 l 1 2".to_owned(), 1),
            ("v1 l 0-18446744073709551615".to_owned(), 5),
            ("v1 l 2-1".to_owned(), 2),
            ("v1 l 1-1".to_owned(), 1),
            ("v1 l 01".to_owned(), 1),
            ("v1 l 1:".to_owned(), 1),
            (format!("v1 l 1:{hash}A"), 1),
            (format!("v1 l 1-3:{hash}{hash}"), 3),
            ("v1 l +1 1".to_owned(), 2),
            ("v1 l 1 +18446744073709551615".to_owned(), 0),
        ] {
            assert_eq!(Receipt::parse(&answer, records), None, "{answer}");
        }
    }

    #[test]
    fn the_lines_are_those_of_the_format() {
        let receipt = Receipt { ledger: "acme.example/ai-audit", places: vec![(41, Some([1; 32])), (7, None)] };
        let id = "0199c8a0-0000-7000-8000-000000000001".to_owned();
        assert_eq!(
            receipt.lines(&[id.clone(), id]),
            "tachograph-receipt/v1 acme.example/ai-audit 41 0101010101010101010101010101010101010101010101010101010101010101 0199c8a0-0000-7000-8000-000000000001\n\
             tachograph-receipt/v1 acme.example/ai-audit 7 - 0199c8a0-0000-7000-8000-000000000001\n"
        );
    }

    #[test]
    fn a_torn_line_is_ended_and_nothing_is_overwritten() {
        let path = std::env::temp_dir().join(format!("tachograph-receipts-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        ReceiptFile::open(&path).unwrap().append("one\ntorn").unwrap();
        ReceiptFile::open(&path).unwrap().append("two\n").unwrap();
        ReceiptFile::open(&path).unwrap().append("three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntorn\ntwo\nthree\n");
        std::fs::remove_file(&path).unwrap();
    }
}
