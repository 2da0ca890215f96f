//! A log record, decoded by itself.

use super::any_value::{AnyValue, KeyValue};
use super::span::push_attribute;
use super::wire::{DecodeError, Fields, Wire, text};

/// A log record as it came, borrowed from the request.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord<'a> {
    /// Nanoseconds since 1970, 0 if the sender did not say.
    pub time_unix_nano: u64,
    /// When the sender's SDK saw it.
    pub observed_time_unix_nano: u64,
    /// `SeverityNumber`.
    pub severity_number: u64,
    /// The severity in the sender's words.
    pub severity_text: &'a str,
    /// Name of the event, if it is one.
    pub event_name: &'a str,
    /// The line itself, or a structure.
    pub body: AnyValue<'a>,
    /// Attributes, in order, duplicates kept.
    pub attributes: Vec<KeyValue<'a>>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u64,
    /// W3C flags.
    pub flags: u32,
    /// 16 bytes or none.
    pub trace_id: &'a [u8],
    /// 8 bytes or none.
    pub span_id: &'a [u8],
    /// Fields that this program does not know, as they came.
    pub unknown: Vec<&'a [u8]>,
}

impl<'a> LogRecord<'a> {
    /// Decodes one `opentelemetry.proto.logs.v1.LogRecord`. No string may be longer than `max_bytes`.
    pub fn decode(message: &'a [u8], max_bytes: usize) -> Result<Self, DecodeError> {
        let mut log = Self {
            time_unix_nano: 0,
            observed_time_unix_nano: 0,
            severity_number: 0,
            severity_text: "",
            event_name: "",
            body: AnyValue::Empty,
            attributes: Vec::with_capacity(16),
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: &[],
            span_id: &[],
            unknown: Vec::new(),
        };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Fixed64(time)) => log.time_unix_nano = time,
                (2, Wire::Varint(number)) => log.severity_number = number,
                (3, Wire::Bytes(bytes)) => {
                    log.severity_text = text(bytes, max_bytes).map_err(|e| e.within("severity_text"))?;
                }
                (5, Wire::Bytes(bytes)) => {
                    log.body = AnyValue::decode(bytes, max_bytes, &mut log.unknown).map_err(|e| e.within("body"))?;
                }
                (6, Wire::Bytes(bytes)) => push_attribute(&mut log.attributes, bytes, max_bytes, &mut log.unknown)?,
                (7, Wire::Varint(count)) => log.dropped_attributes_count = count,
                (8, Wire::Fixed32(flags)) => log.flags = flags,
                (9, Wire::Bytes(id)) => log.trace_id = id,
                (10, Wire::Bytes(id)) => log.span_id = id,
                (11, Wire::Fixed64(time)) => log.observed_time_unix_nano = time,
                (12, Wire::Bytes(bytes)) => {
                    log.event_name = text(bytes, max_bytes).map_err(|e| e.within("event_name"))?;
                }
                _ => log.unknown.push(field.raw),
            }
        }
        Ok(log)
    }
}
