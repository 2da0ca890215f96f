//! What producers signed at the source: each record of a producer whose key the auditor has must carry its signature, and must say what was
//! signed. Only so does it show when the holder of the ledger's own key changed what a producer said.

mod agreement;
mod attributes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tachograph_ledger::SourceVerifyingKey;
use tachograph_record::Body;

pub use agreement::difference;

/// Signatures that are tried for one record: it carries one for each tier that signed it.
const MAX_SIGNATURES: usize = 4;

/// The keys that the auditor has, by producer.
#[derive(Debug, Default)]
pub struct Sources(BTreeMap<String, Source>);

#[derive(Debug, Default)]
struct Source {
    /// Any of them may have signed.
    keys: Vec<SourceVerifyingKey>,
    /// Records of which all holds.
    good: AtomicU64,
    /// Records that were looked at.
    checked: AtomicU64,
}

/// What became of the signatures of one producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// The producer.
    pub producer: String,
    /// Records that its key signed and that say what it signed.
    pub records: u64,
    /// Records of it that are not so.
    pub failed: u64,
}

/// The members of `metadata` that the proof rests on.
#[derive(Deserialize)]
struct Proof<'m> {
    #[serde(borrow)]
    signed: Option<std::borrow::Cow<'m, str>>,
    #[serde(default)]
    attributes: Vec<Value>,
}

impl Sources {
    /// Adds a key of `producer`.
    pub fn add(&mut self, producer: &str, key: SourceVerifyingKey) {
        self.0.entry(producer.to_owned()).or_default().keys.push(key);
    }

    /// Whether no key was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks `body`, which is known to be the one that its leaf seals. What is wrong, if anything is, without its contents.
    pub(crate) fn check(&self, producer: Option<&str>, body: &[u8]) -> Option<String> {
        let producer = producer.filter(|_| !self.is_empty())?;
        let source = self.0.get(producer)?;
        source.checked.fetch_add(1, Ordering::Relaxed);
        match source.check(body) {
            Ok(()) => {
                source.good.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(what) => Some(format!("a record of producer {producer}: {what}")),
        }
    }

    /// For each producer whose key was given.
    pub(crate) fn report(&self) -> Vec<SourceReport> {
        let report = |(producer, source): (&String, &Source)| {
            let (good, checked) = (source.good.load(Ordering::Relaxed), source.checked.load(Ordering::Relaxed));
            SourceReport { producer: producer.clone(), records: good, failed: checked.saturating_sub(good) }
        };
        self.0.iter().map(report).collect()
    }
}

impl Source {
    fn check(&self, body: &[u8]) -> Result<(), String> {
        // It was read before, in part.
        let record = Body::parse(body).map_err(|error| error.to_string())?.record;
        let metadata = record.metadata.as_ref().map_or("{}", |metadata| metadata.as_str());
        let proof: Proof<'_> = serde_json::from_str(metadata).map_err(|_| "its metadata can't be read".to_owned())?;
        let signatures = proof.attributes.iter().filter(|pair| pair["key"] == "audit.integrity.value");
        let mut signatures = signatures.filter_map(|pair| pair["value"]["stringValue"].as_str()).peekable();
        if signatures.peek().is_none() {
            return Err("it carries no signature of its source".to_owned());
        }
        let signed = proof.signed.ok_or("what its source signed is not in it")?;
        let is_signed = |signature| self.keys.iter().any(|key| key.signed(signed.as_bytes(), signature));
        if !signatures.take(MAX_SIGNATURES).any(is_signed) {
            return Err("the signature of its source does not hold".to_owned());
        }
        difference(&signed, &record).map_err(|field| format!("it differs from what its source signed in {field}"))
    }
}

#[cfg(test)]
mod tests;
