//! Identifiers: event ids (UUID) and W3C trace and span ids.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use sha2::{Digest, Sha256};

use crate::Time;

/// Appends `bytes` as lowercase hex.
pub fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]));
}

fn read_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
    if text.len() != out.len() * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

/// `N` bytes that are written as hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// A W3C trace id.
pub type TraceId = Hex<16>;
/// A W3C span id.
pub type SpanId = Hex<8>;

impl<const N: usize> Hex<N> {
    /// Reads exactly `2 N` hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        read_hex(text.as_bytes(), &mut bytes)?;
        Some(Self(bytes))
    }

    /// An id off the wire: `None` unless it has `N` bytes that are not all zero (W3C trace context calls such ids invalid).
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        let id: [u8; N] = bytes.try_into().ok()?;
        (id != [0; N]).then_some(Self(id))
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HexVisitor<const N: usize>;
        impl<const N: usize> Visitor<'_> for HexVisitor<N> {
            type Value = Hex<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} lowercase hex digits", 2 * N)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Hex<N>, E> {
                Hex::parse(text)
                    .filter(|id| id.to_string() == text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(HexVisitor)
    }
}

/// The identity of an event: a UUID, version 7 where we make it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Reads a hyphenated UUID of any version, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
            return None;
        }
        let mut id = [0; 16];
        read_hex(&bytes[0..8], &mut id[0..4])?;
        read_hex(&bytes[9..13], &mut id[4..6])?;
        read_hex(&bytes[14..18], &mut id[6..8])?;
        read_hex(&bytes[19..23], &mut id[8..10])?;
        read_hex(&bytes[24..36], &mut id[10..16])?;
        Some(Self(id))
    }

    /// A UUIDv7 (RFC 9562, section 5.7) of `time` whose remaining 74 bits come from `entropy`.
    pub fn v7(time: Time, entropy: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&time.unix_millis().to_be_bytes()[2..]);
        id[6..].copy_from_slice(&entropy[..10]);
        id[6] = id[6] & 0x0f | 0x70;
        id[8] = id[8] & 0x3f | 0x80;
        Self(id)
    }

    /// The id of a span that brought none: the same each time the span is sent.
    pub fn of_span(time: Time, trace_id: &[u8], span_id: &[u8]) -> Self {
        let hash =
            Sha256::new().chain_update(b"tachograph/event/span/v1\0").chain_update(trace_id).chain_update(span_id);
        Self::v7(time, &hash.finalize().into())
    }

    /// The id of a log record that brought none. `occurrence` counts equal records within one request.
    pub fn of_log(time: Time, occurrence: u32, protobuf: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(b"tachograph/event/log/v1\0")
            .chain_update(occurrence.to_be_bytes())
            .chain_update(protobuf);
        Self::v7(time, &hash.finalize().into())
    }

    /// Appends the 36 characters of the hyphenated form.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (part, hyphen) in [(0..4, true), (4..6, true), (6..8, true), (8..10, true), (10..16, false)] {
            write_hex(&self.0[part], out);
            if hyphen {
                out.push(b'-');
            }
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(36);
        self.write(&mut text);
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EventIdVisitor;
        impl Visitor<'_> for EventIdVisitor {
            type Value = EventId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID in lowercase")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<EventId, E> {
                EventId::parse(text)
                    .filter(|id| id.to_string() == text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(EventIdVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_version_7_and_repeatable() {
        let time = Time::from_unix_nanos(1_790_000_000_123_456_789).unwrap();
        let id = EventId::of_span(time, &[1; 16], &[2; 8]);
        assert_eq!(id, EventId::of_span(time, &[1; 16], &[2; 8]));
        assert_ne!(id, EventId::of_span(time, &[1; 16], &[3; 8]));
        let text = id.to_string();
        assert_eq!(&text[..13], "01a0c450-6c7b");
        assert_eq!(text.as_bytes()[14], b'7');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
        assert_eq!(EventId::parse(&text), Some(id));
        assert_eq!(EventId::parse(&text.to_uppercase()), Some(id));
        assert_ne!(EventId::of_log(time, 0, b"x"), EventId::of_log(time, 1, b"x"));
    }

    #[test]
    fn refuses_what_is_no_id() {
        assert_eq!(EventId::parse("01a1f3e3-987b-7000-8000-00000000000"), None);
        assert_eq!(EventId::parse("01a1f3e3x987b-7000-8000-000000000000"), None);
        assert_eq!(EventId::parse("+1a1f3e3-987b-7000-8000-000000000000"), None);
        assert_eq!(TraceId::from_wire(&[0; 16]), None);
        assert_eq!(TraceId::from_wire(&[1; 15]), None);
        assert_eq!(SpanId::parse("00f067aa0ba902b7").map(|id| id.to_string()).as_deref(), Some("00f067aa0ba902b7"));
    }
}
