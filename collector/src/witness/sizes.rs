//! Up to which size each witness has seen the ledger: `witnesses.json` in the data directory.
//!
//! ```text
//! {"format":"1","witnesses":{"<name>+<key id>":"<size>"}}
//! ```
//!
//! Only a hint, which saves a question at each start: a witness says itself what it has seen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data_dir::DataDir;

/// Most witnesses that are read: more than a policy has.
const MAX_WITNESSES: usize = 1_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    witnesses: BTreeMap<String, String>,
}

/// Sizes by the witness's name and key id.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sizes(BTreeMap<String, u64>);

impl Sizes {
    /// As they were remembered. What can't be read is not known, and said in the log.
    pub fn of(data_dir: &DataDir) -> Self {
        let bytes = match data_dir.witnesses() {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "what witnesses have seen is not known; they will be asked");
                return Self::default();
            }
        };
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        match serde_json::from_slice::<File>(bytes) {
            Ok(file) if file.format == "1" && file.witnesses.len() <= MAX_WITNESSES => {
                let size = |(name, size): (String, String)| Some((name, size.parse().ok()?));
                Self(file.witnesses.into_iter().filter_map(size).collect())
            }
            _ => Self::default(),
        }
    }

    fn encode(&self) -> String {
        let witnesses = self.0.iter().map(|(name, size)| (name.clone(), size.to_string())).collect();
        // Strings alone: nothing that JSON lacks.
        serde_json::to_string(&File { format: "1".to_owned(), witnesses }).unwrap_or_default() + "\n"
    }

    /// What a witness has seen; 0 if that is not known.
    pub fn get(&self, witness: &str) -> u64 {
        self.0.get(witness).copied().unwrap_or(0)
    }

    /// Notes what a witness has seen. Whether that is news.
    pub fn set(&mut self, witness: &str, size: u64) -> bool {
        self.0.insert(witness.to_owned(), size) != Some(size)
    }

    /// Remembers them. That it fails is said in the log: they are only a hint.
    pub fn remember(&self, data_dir: &DataDir) {
        if let Err(error) = data_dir.remember_witnesses(self.encode().as_bytes()) {
            tracing::warn!(%error, "what witnesses have seen can't be remembered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_were_written() {
        let mut sizes = Sizes::default();
        assert!(sizes.set("w1+00000001", 7) && !sizes.set("w1+00000001", 7) && sizes.set("w1+00000001", u64::MAX));
        assert_eq!(sizes.encode(), "{\"format\":\"1\",\"witnesses\":{\"w1+00000001\":\"18446744073709551615\"}}\n");
        assert_eq!(Sizes::parse(sizes.encode().as_bytes()), sizes);
        assert_eq!((sizes.get("w1+00000001"), sizes.get("w2+00000001")), (u64::MAX, 0));
    }

    #[test]
    fn what_is_damaged_is_not_known() {
        for bad in
            ["", "{", "[]", "{\"format\":\"2\",\"witnesses\":{}}", "{\"format\":\"1\",\"witnesses\":{\"a\":\"x\"}}"]
        {
            assert_eq!(Sizes::parse(bad.as_bytes()), Sizes::default());
        }
    }
}
