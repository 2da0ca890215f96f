//! One line of a receipts file.

use tachograph_ledger::Hash;

/// Longest line, without its end.
pub const MAX_LINE_BYTES: usize = 512;

const VERSION: &str = "tachograph-receipt/v1";

/// What a sender was told of one record: `tachograph-receipt/v1 <ledger> <index> <leaf hash> <event id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptLine<'a> {
    /// Name of the ledger.
    pub ledger: &'a str,
    /// Where the record stands.
    pub index: u64,
    /// Its leaf hash; `None` (`-`) if another receipt of the same answer pins it.
    pub hash: Option<Hash>,
    /// The record's event id; `None` (`-`) if the sender does not know it.
    pub event_id: Option<&'a str>,
}

/// Why a line is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReceipt {
    /// More than [`MAX_LINE_BYTES`], or no text.
    #[error("it is no line of text of at most {MAX_LINE_BYTES} bytes")]
    NoText,
    /// It begins otherwise.
    #[error("it does not begin with {VERSION:?}")]
    Version,
    /// Not five words with one space between.
    #[error("it has not the five words of a receipt")]
    Words,
    /// The index.
    #[error("its index is not a decimal number in its one form")]
    Index,
    /// The hash.
    #[error("its hash is neither 64 lowercase hex digits nor \"-\"")]
    Hash,
}

impl<'a> ReceiptLine<'a> {
    /// Reads a line, without its end. There is one spelling.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(line: &'a [u8]) -> Result<Self, NoReceipt> {
        let text = std::str::from_utf8(line).ok().filter(|text| text.len() <= MAX_LINE_BYTES);
        let text = text.ok_or(NoReceipt::NoText)?;
        let mut words = text.split(' ');
        if words.next() != Some(VERSION) {
            return Err(NoReceipt::Version);
        }
        let mut word = || words.next().filter(|word| !word.is_empty()).ok_or(NoReceipt::Words);
        let (ledger, index, hash, event_id) = (word()?, word()?, word()?, word()?);
        if words.next().is_some() {
            return Err(NoReceipt::Words);
        }
        let number = index.parse().ok().filter(|number: &u64| number.to_string() == index);
        let hash = match hash {
            "-" => None,
            digits => Some(Hash::from_hex(digits).ok_or(NoReceipt::Hash)?),
        };
        let event_id = Some(event_id).filter(|id| *id != "-");
        Ok(Self { ledger, index: number.ok_or(NoReceipt::Index)?, hash, event_id })
    }
}

impl std::fmt::Display for ReceiptLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hash = self.hash.map_or("-".to_owned(), |hash| hash.to_hex());
        write!(f, "{VERSION} {} {} {hash} {}", self.ledger, self.index, self.event_id.unwrap_or("-"))
    }
}
