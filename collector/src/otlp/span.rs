//! A span, decoded by itself.

use super::any_value::KeyValue;
use super::wire::{DecodeError, Fields, Unknown, Wire, text};

/// A span as it came, borrowed from the request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span<'a> {
    /// 16 bytes, if the sender obeys the protocol.
    pub trace_id: &'a [u8],
    /// 8 bytes, likewise.
    pub span_id: &'a [u8],
    /// 8 bytes, or none for a root.
    pub parent_span_id: &'a [u8],
    /// W3C trace state.
    pub trace_state: &'a str,
    /// W3C flags.
    pub flags: u32,
    /// Name of the operation.
    pub name: &'a str,
    /// `SpanKind` as a number.
    pub kind: u64,
    /// Nanoseconds since 1970.
    pub start_time_unix_nano: u64,
    /// Nanoseconds since 1970.
    pub end_time_unix_nano: u64,
    /// Attributes, in order, duplicates kept.
    pub attributes: Vec<KeyValue<'a>>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u64,
    /// Events.
    pub events: Vec<Event<'a>>,
    /// How many events the sender dropped.
    pub dropped_events_count: u64,
    /// Links.
    pub links: Vec<Link<'a>>,
    /// How many links the sender dropped.
    pub dropped_links_count: u64,
    /// 0 unset, 1 ok, 2 error.
    pub status_code: u64,
    /// Message beside the status.
    pub status_message: &'a str,
    /// Fields that this program does not know, as they came, those of events and links among them.
    pub unknown: Vec<&'a [u8]>,
}

/// An event within a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event<'a> {
    /// Nanoseconds since 1970.
    pub time_unix_nano: u64,
    /// Name.
    pub name: &'a str,
    /// Attributes.
    pub attributes: Vec<KeyValue<'a>>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u64,
}

/// A link from a span to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link<'a> {
    /// Trace id of the other span.
    pub trace_id: &'a [u8],
    /// Its span id.
    pub span_id: &'a [u8],
    /// W3C trace state.
    pub trace_state: &'a str,
    /// Attributes.
    pub attributes: Vec<KeyValue<'a>>,
    /// How many attributes the sender dropped.
    pub dropped_attributes_count: u64,
    /// W3C flags.
    pub flags: u32,
}

impl<'a> Span<'a> {
    /// Decodes one `opentelemetry.proto.trace.v1.Span`. No string may be longer than `max_bytes`.
    pub fn decode(message: &'a [u8], max_bytes: usize) -> Result<Self, DecodeError> {
        let mut span = Self { attributes: Vec::with_capacity(32), ..Self::default() };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Bytes(id)) => span.trace_id = id,
                (2, Wire::Bytes(id)) => span.span_id = id,
                (3, Wire::Bytes(bytes)) => {
                    span.trace_state = text(bytes, max_bytes).map_err(|e| e.within("trace_state"))?;
                }
                (4, Wire::Bytes(id)) => span.parent_span_id = id,
                (5, Wire::Bytes(bytes)) => span.name = text(bytes, max_bytes).map_err(|e| e.within("name"))?,
                (6, Wire::Varint(kind)) => span.kind = kind,
                (7, Wire::Fixed64(time)) => span.start_time_unix_nano = time,
                (8, Wire::Fixed64(time)) => span.end_time_unix_nano = time,
                (9, Wire::Bytes(bytes)) => push_attribute(&mut span.attributes, bytes, max_bytes, &mut span.unknown)?,
                (10, Wire::Varint(count)) => span.dropped_attributes_count = count,
                (11, Wire::Bytes(bytes)) => {
                    let event = Event::decode(bytes, max_bytes, &mut span.unknown);
                    span.events.push(event.map_err(|e| e.within(format_args!("events[{}]", span.events.len())))?);
                }
                (12, Wire::Varint(count)) => span.dropped_events_count = count,
                (13, Wire::Bytes(bytes)) => {
                    let link = Link::decode(bytes, max_bytes, &mut span.unknown);
                    span.links.push(link.map_err(|e| e.within(format_args!("links[{}]", span.links.len())))?);
                }
                (14, Wire::Varint(count)) => span.dropped_links_count = count,
                (15, Wire::Bytes(bytes)) => span.decode_status(bytes, max_bytes).map_err(|e| e.within("status"))?,
                (16, Wire::Fixed32(flags)) => span.flags = flags,
                _ => span.unknown.push(field.raw),
            }
        }
        Ok(span)
    }

    fn decode_status(&mut self, message: &'a [u8], max_bytes: usize) -> Result<(), DecodeError> {
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (2, Wire::Bytes(bytes)) => {
                    self.status_message = text(bytes, max_bytes).map_err(|e| e.within("message"))?;
                }
                (3, Wire::Varint(code)) => self.status_code = code,
                _ => self.unknown.push(field.raw),
            }
        }
        Ok(())
    }
}

impl<'a> Event<'a> {
    fn decode(message: &'a [u8], max_bytes: usize, unknown: Unknown<'_, 'a>) -> Result<Self, DecodeError> {
        let mut event = Self::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Fixed64(time)) => event.time_unix_nano = time,
                (2, Wire::Bytes(bytes)) => event.name = text(bytes, max_bytes).map_err(|e| e.within("name"))?,
                (3, Wire::Bytes(bytes)) => push_attribute(&mut event.attributes, bytes, max_bytes, unknown)?,
                (4, Wire::Varint(count)) => event.dropped_attributes_count = count,
                _ => unknown.push(field.raw),
            }
        }
        Ok(event)
    }
}

impl<'a> Link<'a> {
    fn decode(message: &'a [u8], max_bytes: usize, unknown: Unknown<'_, 'a>) -> Result<Self, DecodeError> {
        let mut link = Self::default();
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Bytes(id)) => link.trace_id = id,
                (2, Wire::Bytes(id)) => link.span_id = id,
                (3, Wire::Bytes(bytes)) => {
                    link.trace_state = text(bytes, max_bytes).map_err(|e| e.within("trace_state"))?;
                }
                (4, Wire::Bytes(bytes)) => push_attribute(&mut link.attributes, bytes, max_bytes, unknown)?,
                (5, Wire::Varint(count)) => link.dropped_attributes_count = count,
                (6, Wire::Fixed32(flags)) => link.flags = flags,
                _ => unknown.push(field.raw),
            }
        }
        Ok(link)
    }
}

pub(super) fn push_attribute<'a>(
    attributes: &mut Vec<KeyValue<'a>>,
    message: &'a [u8],
    max_bytes: usize,
    unknown: Unknown<'_, 'a>,
) -> Result<(), DecodeError> {
    let attribute = KeyValue::decode(message, max_bytes, unknown);
    attributes.push(attribute.map_err(|e| e.within(format_args!("attributes[{}]", attributes.len())))?);
    Ok(())
}
