//! Signing at the source: each record that leaves this process says under a key of the process what it is.
//!
//! What is signed is the canonical form of OpenTelemetry's audit logging draft, `docs/format.md` section 14. It is done last of all that is
//! done to a record, and off the application's threads. Without the feature `signing`, and without a key, nothing is done.

#[cfg(feature = "signing")]
mod canonical;
#[cfg(feature = "signing")]
mod key;

#[cfg(feature = "signing")]
pub use key::{SourceKey, SourceKeyError};

use crate::init::InitError;
use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SpanData;

/// Attributes that are the proof and no part of what it is over.
#[cfg(feature = "signing")]
const PROOF: &str = "audit.integrity.";
/// The file with the key, if none is given in code.
const VARIABLE: &str = "TACHOGRAPH_SOURCE_KEY";

/// Signs records, if it has a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signer {
    #[cfg(feature = "signing")]
    key: Option<std::sync::Arc<SourceKey>>,
}

#[cfg(feature = "signing")]
impl Signer {
    pub(crate) fn of(key: SourceKey) -> Self {
        Self { key: Some(std::sync::Arc::new(key)) }
    }

    /// With the key that the environment names, unless there is one. A producer that signs must be named: whoever verifies ties the key to
    /// the name, and one made up at each start is nobody's.
    pub(crate) fn complete(mut self, producer_is_named: bool) -> Result<Self, InitError> {
        if self.key.is_none()
            && let Some(path) = crate::init::variable(VARIABLE)
        {
            self = Self::of(SourceKey::read(path).map_err(InitError::SourceKey)?);
        }
        if self.key.is_some() && !producer_is_named { Err(InitError::UnnamedSource) } else { Ok(self) }
    }

    /// Whether it has a key.
    #[cfg(feature = "logs")]
    pub(crate) fn signs(&self) -> bool {
        self.key.is_some()
    }

    /// What the resource says of the signatures.
    pub(crate) fn resource(&self) -> Vec<KeyValue> {
        let Some(key) = &self.key else { return Vec::new() };
        vec![
            KeyValue::new("audit.integrity.algorithm", "EdDSA"),
            // The draft's form for a key without a certificate: a key id.
            KeyValue::new("audit.integrity.certificate", key.id()),
        ]
    }

    /// Adds the signature over the record as it is now, in the place of one that is there. Of attributes with one name only the last is
    /// left: a signature must not be open to two readings.
    pub(crate) fn sign(&self, span: &mut SpanData) {
        let Some(key) = &self.key else { return };
        keep_last(&mut span.attributes);
        let signature = key.sign(&canonical::of_span(span));
        span.attributes.extend([
            KeyValue::new("audit.integrity.value", signature),
            KeyValue::new("audit.integrity.signer", "producer"),
            KeyValue::new("audit.integrity.canonicalization", "jcs"),
        ]);
    }
}

#[cfg(feature = "signing")]
fn keep_last(attributes: &mut Vec<KeyValue>) {
    let mut seen = std::collections::HashSet::with_capacity(attributes.len());
    let mut kept: Vec<KeyValue> = std::mem::take(attributes)
        .into_iter()
        .rev()
        .filter(|attribute| !attribute.key.as_str().starts_with(PROOF) && seen.insert(attribute.key.clone()))
        .collect();
    kept.reverse();
    *attributes = kept;
}

#[cfg(not(feature = "signing"))]
impl Signer {
    /// Who wants signatures must not go without them unawares.
    pub(crate) fn complete(self, _producer_is_named: bool) -> Result<Self, InitError> {
        match crate::init::variable(VARIABLE) {
            Some(_) => Err(InitError::SigningNotBuilt),
            None => Ok(self),
        }
    }

    #[cfg(feature = "logs")]
    pub(crate) fn signs(&self) -> bool {
        false
    }

    pub(crate) fn resource(&self) -> Vec<KeyValue> {
        Vec::new()
    }

    pub(crate) fn sign(&self, _span: &mut SpanData) {}
}

#[cfg(all(test, feature = "signing"))]
mod tests;
