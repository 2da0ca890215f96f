//! Shards: one ledger ends, and the next begins with the last checkpoint of it.
//!
//! The recorder's last word about senders is [`LEDGER_CLOSED`]: no record of theirs stands behind it. The first record of the ledger that
//! goes on is [`LEDGER_CONTINUES`], whose details are
//!
//! ```text
//! {"checkpoint":"<note over the closed ledger>","ledger":"<its name>","vkey":"<its first key line>"}
//! ```
//!
//! Invariant: one ledger has one spelling of this. That the note's signatures are good only who has the closed ledger's keys can say.

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::name::LedgerName;
use crate::note::{KeyError, VerifyingKey};

/// Action of the record behind which no record of a sender stands.
pub const LEDGER_CLOSED: &str = "ledger.closed";
/// Action of the first record of a ledger that continues another.
pub const LEDGER_CONTINUES: &str = "ledger.continues";

/// Longest details: two signatures and a few lines have less than 2 KiB.
pub const MAX_CONTINUES_BYTES: usize = 16 << 10;

/// What the record [`LEDGER_CONTINUES`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continues {
    vkey: VerifyingKey,
    checkpoint: String,
    size: u64,
}

/// Why these are no such details.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContinuesError {
    /// Too long, no JSON, other members, or another spelling.
    #[error("not the details of {LEDGER_CONTINUES}: {0}")]
    Form(&'static str),
    /// The closed ledger's key is none.
    #[error("its vkey is none: {0}")]
    Key(#[from] KeyError),
    /// The checkpoint is none.
    #[error("its checkpoint is none: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Name, key and checkpoint are not of one ledger.
    #[error("its {what} is of ledger {found}, not of {ledger}")]
    Apart {
        /// Key or checkpoint.
        what: &'static str,
        /// Whose it is.
        found: LedgerName,
        /// The ledger that is named.
        ledger: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    checkpoint: String,
    ledger: String,
    vkey: String,
}

impl Continues {
    /// Of the closed ledger whose first key is `vkey`, from `checkpoint` on: the note as its archive has it.
    ///
    /// # Errors
    /// If the note is no checkpoint of that ledger.
    pub fn new(vkey: VerifyingKey, checkpoint: &str) -> Result<Self, ContinuesError> {
        let Checkpoint { origin, size, .. } = Checkpoint::parse_unverified(checkpoint.as_bytes())?;
        if origin != *vkey.name() {
            let ledger = vkey.name().to_string();
            return Err(ContinuesError::Apart { what: "checkpoint", found: origin, ledger });
        }
        Ok(Self { vkey, checkpoint: checkpoint.to_owned(), size })
    }

    /// Reads the details of such a record. No signature is checked.
    ///
    /// # Errors
    /// If they are not in their one form.
    pub fn parse(details: &str) -> Result<Self, ContinuesError> {
        if details.len() > MAX_CONTINUES_BYTES {
            return Err(ContinuesError::Form("longer than 16 KiB"));
        }
        let form = |_| ContinuesError::Form("not the three strings checkpoint, ledger and vkey");
        let parts: Details = serde_json::from_str(details).map_err(form)?;
        let vkey = VerifyingKey::parse(&parts.vkey)?;
        if vkey.name().as_str() != parts.ledger {
            return Err(ContinuesError::Apart { what: "vkey", found: vkey.name().clone(), ledger: parts.ledger });
        }
        let this = Self::new(vkey, &parts.checkpoint)?;
        match this.details() == details {
            true => Ok(this),
            false => Err(ContinuesError::Form("another spelling: sorted, without white space, is the one form")),
        }
    }

    /// The details, in their one form.
    pub fn details(&self) -> String {
        let details = Details {
            checkpoint: self.checkpoint.clone(),
            ledger: self.ledger().to_string(),
            vkey: self.vkey.to_line(),
        };
        // Three strings: nothing that JSON lacks.
        serde_json::to_string(&details).unwrap_or_default()
    }

    /// The closed ledger.
    pub fn ledger(&self) -> &LedgerName {
        self.vkey.name()
    }

    /// Its first key.
    pub const fn vkey(&self) -> &VerifyingKey {
        &self.vkey
    }

    /// The note over it.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// How many records that is over.
    pub const fn size(&self) -> u64 {
        self.size
    }
}

/// The details of the record [`LEDGER_CLOSED`] of `ledger`.
pub fn closed_details(ledger: &LedgerName) -> String {
    format!("{{\"ledger\":\"{ledger}\"}}")
}

/// The ledger that the details of a record [`LEDGER_CLOSED`] name; `None` if they name none.
pub fn closed_ledger(details: &str) -> Option<LedgerName> {
    #[derive(Deserialize)]
    struct Named {
        ledger: String,
    }
    let named: Named = serde_json::from_str(details).ok()?;
    LedgerName::parse(&named.ledger).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SigningKey, empty_root};

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(LedgerName::parse(name).unwrap(), [7; 32])
    }

    fn continues() -> Continues {
        let key = key("acme.example/2026");
        let checkpoint = Checkpoint { origin: key.public().name().clone(), size: 41, root: empty_root() };
        Continues::new(key.public(), &checkpoint.sign(&key).unwrap()).unwrap()
    }

    #[test]
    fn details_have_one_spelling() {
        let (said, details) = (continues(), continues().details());
        assert_eq!(Continues::parse(&details).unwrap(), said);
        assert_eq!((said.size(), said.ledger().as_str()), (41, "acme.example/2026"));
        for odd in [
            String::new(),
            format!(" {details}"),
            details.replace("\"ledger\"", "\"Ledger\""),
            details.replacen('{', "{\"more\":\"1\",", 1),
            details.replace("\"ledger\":\"acme.example/2026\"", "\"ledger\":\"acme.example/2027\""),
            details.replace("\"checkpoint\":\"acme.example/2026", "\"checkpoint\":\"acme.example/2027"),
            details.replace("\\n41\\n", "\\n041\\n"),
            details.replace("acme.example/2026\",\"vkey", "acme.example\\/2026\",\"vkey"),
            format!("{details}{}", " ".repeat(MAX_CONTINUES_BYTES)),
        ] {
            assert!(Continues::parse(&odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_closed_ledger_names_itself() {
        let name = LedgerName::parse("acme.example/2026").unwrap();
        assert_eq!(closed_ledger(&closed_details(&name)), Some(name));
        assert_eq!(closed_ledger("{}"), None);
        assert_eq!(closed_ledger("{\"ledger\":\"//\"}"), None);
    }
}
