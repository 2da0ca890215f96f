//! Carrying the chain across services and queues: W3C `traceparent` for the trace, W3C `baggage`
//! for the correlation id and the id of the caller's open event.
//!
//! Headers come from outside: a parent id that is not a UUID and a correlation id of unreasonable
//! length are ignored.

use crate::event::Current;
use crate::ids;
use opentelemetry::Context;
use opentelemetry::baggage::{Baggage, BaggageExt};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use std::collections::HashMap;
use std::sync::Arc;

const CORRELATION: &str = "tachograph.correlation.id";
const PARENT: &str = "tachograph.parent.id";
const LONGEST_CORRELATION: usize = 256;

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
pub fn inject_context(context: &Context, headers: &mut dyn Injector) {
    TraceContextPropagator::new().inject_context(context, headers);
    let mut baggage = Baggage::new();
    let current = context.get::<Current>().map(|current| &current.0);
    if let Some(event) = current {
        // First, so that other baggage can't push them out of W3C's limits.
        baggage.insert(CORRELATION, Arc::clone(&event.correlation_id));
        baggage.insert(PARENT, Arc::clone(&event.event_id));
    }
    for (key, (value, metadata)) in context.baggage() {
        if current.is_none() || ![CORRELATION, PARENT].contains(&key.as_str()) {
            baggage.insert_with_metadata(key.clone(), value.clone(), metadata.clone());
        }
    }
    BaggagePropagator::new().inject_context(&Context::new().with_baggage(baggage), headers);
}

/// The headers of the current context as pairs, for carriers that are not maps.
pub fn headers() -> Vec<(String, String)> {
    let mut map = HashMap::new();
    inject(&mut map);
    let mut pairs: Vec<_> = map.into_iter().collect();
    pairs.sort();
    pairs
}

/// Reads the context that the sender of a request or message wrote into its headers.
///
/// Use it with [`with_context`](crate::with_context) or
/// [`in_context`](crate::InContext::in_context): annotated calls in there continue the sender's chain.
pub fn extract(headers: &dyn Extractor) -> Context {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), headers);
    BaggagePropagator::new().extract_with_context(&context, headers)
}

/// As [`extract`], from pairs of names and values. Names compare without regard to case.
pub fn extract_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Context
where
    K: AsRef<str>,
    V: Into<String>,
{
    let map: HashMap<String, String> =
        pairs.into_iter().map(|(name, value)| (name.as_ref().to_lowercase(), value.into())).collect();
    extract(&map)
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
