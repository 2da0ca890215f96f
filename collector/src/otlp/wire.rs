//! Protobuf fields, one after another.

use std::fmt;

/// How deep arrays and key-value lists may nest. Typed JSON takes up to four levels for each, and common readers stop at 128.
pub const MAX_VALUE_DEPTH: usize = 24;

/// Why bytes are not the message they should be, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    path: String,
    what: String,
}

impl DecodeError {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    /// The same error, seen from the message around it.
    pub(super) fn within(mut self, outer: impl fmt::Display) -> Self {
        self.path = if self.path.is_empty() { outer.to_string() } else { format!("{outer}.{}", self.path) };
        self
    }

    /// The field, for example `resource_spans[0].resource.attributes[2].key`.
    pub fn field(&self) -> &str {
        if self.path.is_empty() { "request" } else { &self.path }
    }

    /// What is wrong with it.
    pub fn reason(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field(), self.what)
    }
}

impl std::error::Error for DecodeError {}

/// A field's value, by wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// One field, with the bytes that it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Wire<'a>,
    pub(super) raw: &'a [u8],
}

/// Where fields go that this program does not know, each as it came.
pub(super) type Unknown<'u, 'a> = &'u mut Vec<&'a [u8]>;

/// Reads the fields of one message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.rest;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| *n != 0 && *n < 1 << 29);
        let number = number.ok_or_else(|| DecodeError::new("not protobuf: impossible field number"))?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).map_err(|_| DecodeError::new("not protobuf: impossible length"))?;
                Wire::Bytes(self.take(len)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            other => return Err(DecodeError::new(format!("not protobuf: wire type {other} in field {number}"))),
        };
        Ok(Some(Field { number, value, raw: &start[..start.len() - self.rest.len()] }))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| {
            DecodeError::new(format!("cut short: a field of {len} bytes, {} bytes left", self.rest.len()))
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                if at == 9 && byte > 1 {
                    break;
                }
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::new("not protobuf: a varint without end"))
    }
}

/// Bytes within the size limit of one field.
pub(super) fn within_limit(bytes: &[u8], max_bytes: usize) -> Result<&[u8], DecodeError> {
    if bytes.len() > max_bytes {
        let what = format!("{} bytes, more than receive.limits.max_field_bytes ({max_bytes})", bytes.len());
        return Err(DecodeError::new(what));
    }
    Ok(bytes)
}

/// UTF-8, within the size limit of one field.
pub(super) fn text(bytes: &[u8], max_bytes: usize) -> Result<&str, DecodeError> {
    let bytes = within_limit(bytes, max_bytes)?;
    std::str::from_utf8(bytes).map_err(|e| DecodeError::new(format!("invalid UTF-8 at byte {}", e.valid_up_to())))
}
