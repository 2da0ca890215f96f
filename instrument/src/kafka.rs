//! The chain in the headers of Kafka's records, for any client: headers are pairs of a text and bytes.
//!
//! With `rskafka`, whose headers are a `BTreeMap<String, Vec<u8>>`:
//!
//! ```
//! # use std::collections::BTreeMap;
//! let mut headers: BTreeMap<String, Vec<u8>> = BTreeMap::new();
//! tachograph::kafka::inject(&mut headers);
//! // … rskafka::record::Record { headers, … } is produced; and where it is consumed:
//! let sender = tachograph::kafka::extract(&headers);
//! tachograph::with_context(sender, || { /* annotated calls */ });
//! ```
//!
//! With `rdkafka`:
//!
//! ```text
//! let headers = tachograph::kafka::headers().iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
//!     headers.insert(Header { key, value: Some(value) })
//! });
//!
//! let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
//! let sender = tachograph::kafka::extract(headers.filter_map(|header| Some((header.key, header.value?))));
//! ```

use crate::propagation::{self, Incoming};
use opentelemetry::Context;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// The headers of the current context.
///
/// ```
/// # struct Record(Vec<(String, Vec<u8>)>);
/// # impl Record { fn header(&mut self, key: String, value: Vec<u8>) { self.0.push((key, value)) } }
/// # let mut record = Record(vec![]);
/// for (key, value) in tachograph::kafka::headers() {
///     record.header(key, value);
/// }
/// ```
pub fn headers() -> Vec<(String, Vec<u8>)> {
    propagation::headers().into_iter().map(|(key, value)| (key, value.into_bytes())).collect()
}

/// The headers of a record that can be changed: a list or a map of pairs of a text and bytes. For a type of your own there is [`headers()`].
pub trait Headers: Extend<(String, Vec<u8>)> {
    /// Takes out each header whose name `keep` does not want.
    fn keep_names(&mut self, keep: impl Fn(&str) -> bool);
}

impl Headers for Vec<(String, Vec<u8>)> {
    fn keep_names(&mut self, keep: impl Fn(&str) -> bool) {
        self.retain(|(name, _)| keep(name));
    }
}

impl Headers for BTreeMap<String, Vec<u8>> {
    fn keep_names(&mut self, keep: impl Fn(&str) -> bool) {
        self.retain(|name, _| keep(name));
    }
}

impl<S: BuildHasher> Headers for HashMap<String, Vec<u8>, S> {
    fn keep_names(&mut self, keep: impl Fn(&str) -> bool) {
        self.retain(|name, _| keep(name));
    }
}

/// Puts the headers of the current context into those of a record. What a record that is passed on has from its sender is taken out
/// first, so that no part of another chain stays beside this one; if nothing is recorded here and no span is open, the record's
/// headers stay as they are.
///
/// ```
/// let mut headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
/// tachograph::kafka::inject(&mut headers);
/// ```
pub fn inject(record_headers: &mut impl Headers) {
    let own = headers();
    if !own.is_empty() {
        record_headers.keep_names(|name| Incoming::position(name).is_none());
        record_headers.extend(own);
    }
}

/// Reads the context that the producer of a record wrote into its headers. Of headers that come twice, as in a record that was
/// passed on with those it had, the last stands.
pub fn extract<K: AsRef<str>, V: AsRef<[u8]>>(record_headers: impl IntoIterator<Item = (K, V)>) -> Context {
    let mut last: [Option<(K, V)>; 3] = [None, None, None];
    for (key, value) in record_headers {
        if let Some(slot) = Incoming::position(key.as_ref()) {
            last[slot] = Some((key, value));
        }
    }
    let mut incoming = Incoming::default();
    for (key, value) in last.into_iter().flatten() {
        if let Ok(value) = std::str::from_utf8(value.as_ref()) {
            incoming.offer(key.as_ref(), value);
        }
    }
    incoming.context()
}
