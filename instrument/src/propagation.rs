//! Carrying the chain across services and queues: W3C `traceparent` for the trace, W3C `baggage`
//! for the correlation id and the id of the caller's open event.
//!
//! Headers come from outside: a parent id that is not a UUID and a correlation id of unreasonable
//! length are ignored, and of a header no more is read than W3C lets a sender write.

use crate::event::Current;
use crate::{ids, recorder};
use opentelemetry::Context;
#[cfg(feature = "tower")]
use opentelemetry::baggage::Baggage;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
#[cfg(feature = "tower")]
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

const CORRELATION: &str = "tachograph.correlation.id";
const PARENT: &str = "tachograph.parent.id";
const LONGEST_CORRELATION: usize = 256;

/// The headers that carry the chain. The latter two are lists.
const NAMES: [&str; 3] = ["traceparent", "tracestate", BAGGAGE];
pub(crate) const BAGGAGE: &str = "baggage";
/// Of one header, in bytes; also W3C's limit of a baggage. A receiver drops a longer one whole.
const LONGEST_HEADER: usize = 8192;
/// W3C's limit of a baggage.
const MOST_MEMBERS: usize = 64;

/// Writes the current context into the headers of a request or message.
///
/// ```
/// # use std::collections::HashMap;
/// let mut headers: HashMap<String, String> = HashMap::new();
/// tachograph::propagation::inject(&mut headers);
/// ```
pub fn inject(headers: &mut dyn Injector) {
    Context::map_current(|context| inject_context(context, headers));
}

/// Writes the given context into headers.
///
/// The application's own baggage goes along, as far as there is room: the chain comes first.
pub fn inject_context(context: &Context, headers: &mut dyn Injector) {
    TraceContextPropagator::new().inject_context(context, headers);
    let mut members = Members::default();
    let current = context.get::<Current>().map(|current| &current.0);
    if let Some(event) = current {
        members.push(CORRELATION, &event.correlation_id.to_string(), "");
        members.push(PARENT, &event.event_id.to_string(), "");
    }
    for (key, (value, metadata)) in context.baggage() {
        if current.is_none() || ![CORRELATION, PARENT].contains(&key.as_str()) {
            members.push(key.as_str(), value.as_str(), metadata.as_str());
        }
    }
    if !members.text.is_empty() {
        headers.set(BAGGAGE, members.text);
    }
}

/// The headers of the current context as pairs, for carriers that are not maps.
///
/// ```
/// # let mut request = std::process::Command::new("worker");
/// for (name, value) in tachograph::propagation::headers() {
///     request.env(name.to_uppercase(), value);
/// }
/// ```
pub fn headers() -> Vec<(String, String)> {
    let mut map = HashMap::new();
    inject(&mut map);
    let mut pairs: Vec<_> = map.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    pairs.sort();
    pairs
}

/// Reads the context that the sender of a request or message wrote into its headers.
///
/// Use it with [`with_context`](crate::with_context) or
/// [`in_context`](crate::InContext::in_context): annotated calls in there continue the sender's chain.
pub fn extract(headers: &dyn Extractor) -> Context {
    let mut incoming = Incoming::default();
    for name in NAMES {
        headers.get_all(name).into_iter().flatten().for_each(|value| incoming.offer(name, value));
    }
    incoming.context()
}

/// As [`extract`], from pairs of names and values. Names compare without regard to case.
///
/// ```
/// let pairs = [("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
/// let sender = tachograph::propagation::extract_pairs(pairs);
/// tachograph::with_context(sender, || { /* handle the message */ });
/// ```
pub fn extract_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Context
where
    K: AsRef<str>,
    V: Into<String>,
{
    let mut incoming = Incoming::default();
    for (name, value) in pairs {
        if Incoming::position(name.as_ref()).is_some() {
            incoming.offer(name.as_ref(), &value.into());
        }
    }
    incoming.context()
}

/// The context of a request that came in here: the sender's. A span that the application has opened for it already stays the parent of what
/// follows, with the sender's event as its cause.
#[cfg(feature = "tower")]
pub(crate) fn continue_from(sender: Context) -> Context {
    let says_nothing = !sender.has_active_span() && sender.baggage().is_empty();
    Context::map_current(|here| {
        if says_nothing {
            here.clone()
        } else if here.has_active_span() && here.get::<Current>().is_none() {
            let members = sender.baggage().iter().map(|(name, value)| (name.clone(), value.clone()));
            here.with_baggage(members.collect::<Baggage>())
        } else {
            sender
        }
    })
}

/// The headers of a sender, within bounds: a value for each of [`NAMES`].
#[derive(Debug, Default)]
pub(crate) struct Incoming([Option<String>; 3]);

impl Incoming {
    /// Where in [`NAMES`] a header stands, if it says something of the chain.
    pub(crate) fn position(name: &str) -> Option<usize> {
        NAMES.iter().position(|known| name.eq_ignore_ascii_case(known))
    }

    /// Takes a header. Several of a list are one list, as W3C has it; of several parents the first stands.
    pub(crate) fn offer(&mut self, name: &str, value: &str) {
        let Some(position) = Self::position(name) else {
            return;
        };
        match &mut self.0[position] {
            slot @ None => *slot = Some(whole_members(value).to_owned()),
            Some(list) if position > 0 && list.len() < LONGEST_HEADER => {
                list.push(',');
                list.push_str(whole_members(value));
                list.truncate(whole_members(list).len());
            }
            Some(_) => {}
        }
    }

    pub(crate) fn context(&self) -> Context {
        let context = TraceContextPropagator::new().extract_with_context(&recorder::bare_context(), self);
        BaggagePropagator::new().extract_with_context(&context, self)
    }
}

/// The members of a list that fit.
fn whole_members(list: &str) -> &str {
    if list.len() <= LONGEST_HEADER {
        return list;
    }
    // A comma is one byte, so this is a boundary of characters.
    let end = list.as_bytes()[..=LONGEST_HEADER].iter().rposition(|byte| *byte == b',');
    end.map_or("", |end| &list[..end])
}

impl Extractor for Incoming {
    fn get(&self, name: &str) -> Option<&str> {
        Self::position(name).and_then(|position| self.0[position].as_deref())
    }

    fn keys(&self) -> Vec<&str> {
        NAMES.into_iter().filter(|name| self.get(name).is_some()).collect()
    }
}

/// The value of a `baggage` header that is being written: what has no room is left out, so that a receiver need not drop the whole.
#[derive(Debug, Default)]
struct Members {
    text: String,
    count: usize,
}

impl Members {
    fn push(&mut self, name: &str, value: &str, metadata: &str) {
        let before = self.text.len();
        if before > 0 {
            self.text.push(',');
        }
        percent_encode(name.trim(), &mut self.text);
        self.text.push('=');
        percent_encode(value.trim(), &mut self.text);
        let metadata = metadata.trim();
        // Properties are written as they are; a comma in them would end the member.
        if !metadata.is_empty() && metadata.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b',') {
            self.text.push(';');
            self.text.push_str(metadata);
        }
        self.count += 1;
        if self.count > MOST_MEMBERS || self.text.len() > LONGEST_HEADER {
            self.text.truncate(before);
            self.count -= 1;
        }
    }
}

/// Adds members that stand in a `baggage` header already to one that is about to replace it.
#[cfg(feature = "http-headers")]
pub(crate) fn merge_baggage<'a>(ours: String, others: impl Iterator<Item = &'a str>) -> String {
    let name_of = |member: &str| member.split(['=', ';']).next().unwrap_or_default().trim().to_owned();
    let mut names: std::collections::HashSet<_> = ours.split(',').map(name_of).collect();
    let mut merged = ours;
    for member in others.flat_map(|header| header.split(',')).take(2 * MOST_MEMBERS).map(str::trim) {
        let fits = names.len() < MOST_MEMBERS && merged.len() + 1 + member.len() <= LONGEST_HEADER;
        if fits && !member.is_empty() && names.insert(name_of(member)) {
            merged.push(',');
            merged.push_str(member);
        }
    }
    merged
}

fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\",;=\\%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// What a context says about the event that caused it, where that event is another process's.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) correlation_id: Option<Arc<str>>,
    pub(crate) parent_id: Option<Arc<str>>,
}

impl Origin {
    pub(crate) fn of(context: &Context) -> Self {
        let baggage = context.baggage();
        if baggage.is_empty() {
            return Self::default();
        }
        let text = |name| baggage.get(name).map(|value| value.as_str());
        Self {
            correlation_id: text(CORRELATION).filter(|id| (1..=LONGEST_CORRELATION).contains(&id.len())).map(Arc::from),
            parent_id: text(PARENT).filter(|id| ids::is_uuid(id)).map(Arc::from),
        }
    }
}
