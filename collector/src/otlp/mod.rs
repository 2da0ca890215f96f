//! OTLP protobuf, read in place.
//!
//! A generated decoder fails the whole request when one string in one span is not UTF-8. A recorder can't afford that: the
//! neighbours would be lost. So the outer layers are walked first, and each span or log record is decoded by itself, borrowing
//! from the request's bytes. Field numbers are those of opentelemetry-proto 1.x
//! (<https://github.com/open-telemetry/opentelemetry-proto>).

mod any_value;
mod log;
mod request;
mod span;
mod wire;

pub use any_value::{
    AnyValue, KeyValue, write_key_value, write_key_values, write_list, write_plain, write_plain_object, write_value,
};
pub use log::LogRecord;
pub use request::{Resource, Scope, Source, walk_logs, walk_traces};
pub use span::{Event, Link, Span};
pub use wire::{DecodeError, MAX_VALUE_DEPTH};

#[cfg(test)]
mod tests;
