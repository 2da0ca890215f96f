//! A receipt: where each record of one request stands in the ledger, for the sender to keep.
//!
//! It goes back in the answer's head or trailer, so that it is bounded: the hashes of all records where they fit, else the hash of
//! each run's last record, which pins all before it through the chain. `docs/format.md` has the grammar.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tachograph_ledger::{Hash, LedgerName};

/// What a request says that wants a receipt, as header or metadata.
pub const ASK: &str = "tachograph-receipts";
/// The value of [`ASK`]: the version of receipts that is wanted.
pub const VERSION_ASKED: &[u8] = b"1";
/// Where the receipt stands in the answer.
pub const ANSWER: &str = "tachograph-receipt";

/// Longest receipt. Clients of gRPC take 8 KiB of metadata, as do proxies of headers.
pub const MAX_BYTES: usize = 4096;

/// Where the records of a request stand, in the request's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    ledger: LedgerName,
    places: Vec<Place>,
}

/// One record's index, and its leaf hash unless it was sealed before.
type Place = (u64, Option<Hash>);

/// Records of consecutive indexes, all with a hash or all without.
type Run<'r> = &'r [Place];

impl Receipt {
    /// A receipt of `ledger` with no record yet.
    pub fn new(ledger: LedgerName) -> Self {
        Self { ledger, places: Vec::new() }
    }

    /// Adds the request's next record.
    pub fn push(&mut self, index: u64, hash: Option<Hash>) {
        self.places.push((index, hash));
    }

    /// The receipt in printable ASCII, at most [`MAX_BYTES`].
    pub fn to_header(&self) -> String {
        self.write(true).or_else(|| self.write(false)).unwrap_or_else(|| self.write_beginning())
    }

    /// `None` if it is too long.
    fn write(&self, every_hash: bool) -> Option<String> {
        let mut text = self.begin();
        for run in self.runs() {
            write_run(run, every_hash, &mut text);
            if text.len() > MAX_BYTES {
                return None;
            }
        }
        Some(text)
    }

    /// As many runs as there is room for, and how many records are left out.
    fn write_beginning(&self) -> String {
        const ROOM_FOR_REST: usize = " +18446744073709551615".len();
        let mut text = self.begin();
        let mut left = self.places.len();
        for run in self.runs() {
            let before = text.len();
            write_run(run, false, &mut text);
            if text.len() + ROOM_FOR_REST > MAX_BYTES {
                text.truncate(before);
                break;
            }
            left -= run.len();
        }
        text + &format!(" +{left}")
    }

    fn begin(&self) -> String {
        format!("v1 {}", self.ledger)
    }

    fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.places.chunk_by(|(index, hash), (next, next_hash)| {
            index.checked_add(1) == Some(*next) && hash.is_some() == next_hash.is_some()
        })
    }
}

fn write_run(run: Run<'_>, every_hash: bool, text: &mut String) {
    let [(first, _), .., (last, _)] = run else {
        let [(index, hash)] = run else { return };
        *text += &format!(" {index}");
        return write_hashes(hash.as_slice(), text);
    };
    *text += &format!(" {first}-{last}");
    let from = if every_hash { 0 } else { run.len() - 1 };
    let hashes: Vec<Hash> = run[from..].iter().filter_map(|(_, hash)| *hash).collect();
    write_hashes(&hashes, text);
}

fn write_hashes(hashes: &[Hash], text: &mut String) {
    if !hashes.is_empty() {
        text.push(':');
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        URL_SAFE_NO_PAD.encode_string(bytes, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(places: &[(u64, Option<u8>)]) -> Receipt {
        let mut receipt = Receipt::new(LedgerName::parse("acme.example/ai-audit").unwrap());
        places.iter().for_each(|(index, byte)| receipt.push(*index, byte.map(|byte| Hash::from_bytes([byte; 32]))));
        receipt
    }

    /// The examples of `docs/format.md`.
    #[test]
    fn the_examples_of_the_format() {
        let none = receipt(&[]);
        assert_eq!(none.to_header(), "v1 acme.example/ai-audit");
        let one = receipt(&[(41, Some(1))]);
        assert_eq!(one.to_header(), "v1 acme.example/ai-audit 41:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        let mixed = receipt(&[(41, Some(1)), (42, Some(2)), (7, None), (8, None), (43, Some(3))]);
        assert_eq!(
            mixed.to_header(),
            "v1 acme.example/ai-audit 41-42:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg 7-8 43:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM"
        );
        let long: Vec<_> = (100..612).map(|index| (index, Some(9))).collect();
        assert_eq!(
            receipt(&long).to_header(),
            "v1 acme.example/ai-audit 100-611:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"
        );
    }

    #[test]
    fn however_the_records_lie_it_is_bounded() {
        let scattered: Vec<_> = (0..65_536).map(|n| (n * 2, (n % 3 == 0).then_some(1))).collect();
        let text = receipt(&scattered).to_header();
        assert!(text.len() <= MAX_BYTES && text.len() > MAX_BYTES - 100, "{}", text.len());
        let runs: Vec<&str> = text.split(' ').collect();
        let left: usize = runs.last().unwrap().strip_prefix('+').unwrap().parse().unwrap();
        assert_eq!(runs.len() - 3 + left, scattered.len());
        // The last that fits with all its hashes, and the first that does not.
        let fits = (1..200).rfind(|n| {
            let places: Vec<_> = (0..*n).map(|index| (index, Some(1))).collect();
            receipt(&places).to_header().len() > 1_000
        });
        assert_eq!(fits, Some(95));
    }
}
