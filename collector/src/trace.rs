//! Trace: from one id to the chain of events around it.
//!
//! The seeds are the records that carry the id. From each the chain goes up by `parent_id` (or the parent span within its
//! trace) and sideways by correlation id and trace id; causes come first.

use std::collections::{BTreeMap, HashMap};

use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_record::{Body, BodyError, EventId, Record, TraceId, Value};

/// Most records that a trace shows to a person.
pub const MAX_SHOWN: usize = 10_000;

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The archive can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A body can't be read.
    #[error("record {index}: {source}; run `tachograph verify`")]
    Body {
        /// The record.
        index: u64,
        /// Why.
        source: BodyError,
    },
}

/// One event of a trace.
#[derive(Debug)]
pub struct Event {
    /// Position in the ledger.
    pub index: u64,
    body: Vec<u8>,
}

impl Event {
    /// Reads the record.
    ///
    /// # Errors
    /// If the body is damaged.
    pub fn record(&self) -> Result<Record<'_>, TraceError> {
        let body = Body::parse(&self.body).map_err(|source| TraceError::Body { index: self.index, source })?;
        Ok(body.record)
    }

    /// The body as it was stored.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, taken.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

/// A trace as a forest: causes before effects, earlier before later.
#[derive(Debug, Default)]
pub struct Forest {
    /// All events, by index.
    pub events: BTreeMap<u64, Event>,
    /// Events without a known cause.
    pub roots: Vec<u64>,
    /// Effects of each event.
    pub children: HashMap<u64, Vec<u64>>,
    /// Whether there were more than were asked for.
    pub cut: bool,
}

/// Where records are looked up: the archive, and what is not archived yet.
pub struct Records<'r> {
    /// The archive.
    pub archive: Option<&'r Reader>,
    /// Index and body of each record behind it.
    pub tail: &'r [(u64, Vec<u8>)],
}

/// What to look for: a column and its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Text(&'static str, String),
    Bytes(&'static str, Vec<u8>),
}

impl Key {
    fn column(&self) -> &'static str {
        match self {
            Self::Text(column, _) | Self::Bytes(column, _) => column,
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Text(_, text) => Value::Text(text),
            Self::Bytes(_, bytes) => Value::Bytes(bytes),
        }
    }
}

/// The keys that an id may mean.
fn keys_of(id: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    if let Some(event) = EventId::parse(id) {
        keys.push(Key::Bytes("event_id", event.0.to_vec()));
    }
    if let Some(trace) = TraceId::parse(id) {
        keys.push(Key::Bytes("trace_id", trace.0.to_vec()));
    }
    keys.push(Key::Text("correlation_id", id.to_owned()));
    keys.push(Key::Text("output_path", id.to_owned()));
    let bare_hash = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let hash = if bare_hash { format!("sha256:{}", id.to_lowercase()) } else { id.to_owned() };
    keys.push(Key::Text("output_hash", hash));
    keys
}

impl Records<'_> {
    /// The events around `id`, at most `limit`; empty if no record carries it.
    ///
    /// # Errors
    /// If something can't be read.
    pub fn trace(&self, id: &str, limit: usize) -> Result<Forest, TraceError> {
        let mut forest = Forest::default();
        let mut todo = keys_of(id);
        let mut done = std::collections::HashSet::new();
        while let Some(key) = todo.pop() {
            if !done.insert(key.clone()) {
                continue;
            }
            // One more, so that it shows if there are more.
            for event in self.find(&key, limit + 1)? {
                if forest.events.contains_key(&event.index) {
                    continue;
                }
                if forest.events.len() >= limit {
                    forest.cut = true;
                    break;
                }
                todo.extend(neighbours(&event.record()?));
                forest.events.insert(event.index, event);
            }
        }
        forest.link()?;
        Ok(forest)
    }

    /// The events that carry `id` themselves: of those that are archived the first `limit` with it in one column.
    ///
    /// # Errors
    /// If something can't be read.
    pub fn carrying(&self, id: &str, limit: usize) -> Result<BTreeMap<u64, Event>, TraceError> {
        let mut events = BTreeMap::new();
        for key in keys_of(id) {
            events.extend(self.find(&key, limit)?.into_iter().map(|event| (event.index, event)));
        }
        Ok(events)
    }

    /// The events of a session: of those that are archived the first `limit`.
    ///
    /// # Errors
    /// If something can't be read.
    pub fn of_session(&self, session_id: &str, limit: usize) -> Result<Vec<Event>, TraceError> {
        self.find(&Key::Text("session_id", session_id.to_owned()), limit)
    }

    /// The events of an agent, in the same way.
    ///
    /// # Errors
    /// If something can't be read.
    pub fn of_agent(&self, agent_id: &str, limit: usize) -> Result<Vec<Event>, TraceError> {
        self.find(&Key::Text("agent_id", agent_id.to_owned()), limit)
    }

    fn find(&self, key: &Key, limit: usize) -> Result<Vec<Event>, TraceError> {
        let mut events = Vec::new();
        if let Some(archive) = self.archive {
            let found = archive.find(key.column(), key.value(), limit)?;
            events.extend(found.into_iter().map(|found| Event { index: found.index, body: found.body }));
        }
        let column = tachograph_record::COLUMNS.iter().find(|column| column.name == key.column());
        let Some(column) = column else { return Ok(events) };
        for (index, bytes) in self.tail {
            let body = Body::parse_columns(bytes).map_err(|source| TraceError::Body { index: *index, source })?;
            if column.derive(&body) == key.value() {
                events.push(Event { index: *index, body: bytes.clone() });
            }
        }
        Ok(events)
    }
}

/// Where the chain goes on from a record.
fn neighbours(record: &Record<'_>) -> Vec<Key> {
    let mut keys = Vec::new();
    keys.extend(record.parent_id.map(|id| Key::Bytes("event_id", id.0.to_vec())));
    keys.extend(record.correlation_id.as_ref().map(|id| Key::Text("correlation_id", id.to_string())));
    keys.extend(record.trace_id.map(|id| Key::Bytes("trace_id", id.0.to_vec())));
    keys
}

impl Forest {
    /// Of records that were looked up already, those with their bodies.
    ///
    /// # Errors
    /// If a body can't be read.
    pub fn of(records: &BTreeMap<u64, Option<Vec<u8>>>) -> Result<Self, TraceError> {
        let event =
            |(index, body): (&u64, &Option<Vec<u8>>)| Some((*index, Event { index: *index, body: body.clone()? }));
        let mut forest = Self { events: records.iter().filter_map(event).collect(), ..Self::default() };
        forest.link()?;
        Ok(forest)
    }

    /// All events, causes before effects, each with the number of its causes.
    pub fn in_order(&self) -> Vec<(u64, usize)> {
        // An explicit stack: a chain may be as long as a trace.
        let mut todo: Vec<(u64, usize)> = self.roots.iter().rev().map(|root| (*root, 0)).collect();
        let mut order = Vec::with_capacity(self.events.len());
        while let Some((index, depth)) = todo.pop() {
            order.push((index, depth));
            let effects = self.children.get(&index).map_or(&[][..], Vec::as_slice);
            todo.extend(effects.iter().rev().map(|effect| (*effect, depth + 1)));
        }
        order
    }

    /// Finds each event's cause among the others.
    fn link(&mut self) -> Result<(), TraceError> {
        let mut by_event = HashMap::new();
        let mut by_span = HashMap::new();
        let mut facts = Vec::with_capacity(self.events.len());
        for (index, event) in &self.events {
            let record = event.record()?;
            by_event.entry(record.event_id).or_insert(*index);
            if let (Some(trace), Some(span)) = (record.trace_id, record.span_id) {
                by_span.entry((trace, span)).or_insert(*index);
            }
            let parent_span = record.trace_id.zip(record.parent_span_id);
            facts.push((record.timestamp, *index, record.parent_id, parent_span));
        }
        facts.sort_unstable_by_key(|(time, index, ..)| (*time, *index));
        let mut causes = HashMap::new();
        for (_, index, parent_id, parent_span) in facts {
            let cause =
                parent_id.and_then(|id| by_event.get(&id)).or_else(|| parent_span.and_then(|s| by_span.get(&s)));
            // A record that names itself, or a circle, is shown as a root.
            match cause.copied().filter(|cause| !leads_to(&causes, *cause, index)) {
                Some(cause) => {
                    causes.insert(index, cause);
                    self.children.entry(cause).or_default().push(index);
                }
                None => self.roots.push(index),
            }
        }
        Ok(())
    }
}

/// Whether going up from `from` comes to `target`.
fn leads_to(causes: &HashMap<u64, u64>, from: u64, target: u64) -> bool {
    std::iter::successors(Some(from), |at| causes.get(at).copied()).any(|at| at == target)
}

#[cfg(test)]
mod tests {
    use tachograph_record::{Kind, Time, write_body};

    use super::*;

    #[test]
    fn a_trace_of_more_than_the_limit_says_so() {
        let record = |number: u8| {
            let mut record = Record::new(EventId([number; 16]), Time::from_unix_nanos(1).unwrap(), Kind::Generation);
            record.correlation_id = Some("order-7".into());
            let mut body = Vec::new();
            write_body(&record, &[0; 16], record.timestamp, &mut body);
            (u64::from(number), body)
        };
        let tail: Vec<_> = (0..4).map(record).collect();
        let records = Records { archive: None, tail: &tail };
        for (limit, cut) in [(3, true), (4, false), (5, false)] {
            let forest = records.trace("order-7", limit).unwrap();
            assert_eq!((forest.events.len(), forest.cut), (limit.min(4), cut), "{limit}");
        }
    }
}
