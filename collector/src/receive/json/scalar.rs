//! Single values: what JSON holds, checked against the field's type, and written as protobuf.
//!
//! Messages name types, never values: what a record holds is nobody's business who reads a log.

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::encoding::{WireType, encode_key, encode_varint};

use super::schema::Kind;

/// A JSON value that is neither list nor object nor null.
#[derive(Clone, Copy)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl Scalar<'_> {
    fn noun(self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a number with a fraction or exponent",
            Self::Text(_) => "a string",
        }
    }
}

/// Protobuf leaves default values out, unless their presence says something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    Skip,
    Write,
}

/// Appends the field to `out`.
pub(super) fn write(
    out: &mut Vec<u8>,
    number: u32,
    kind: Kind,
    default: Default,
    value: Scalar<'_>,
) -> Result<(), String> {
    let keep = default == Default::Write;
    match kind {
        Kind::Text => match value {
            Scalar::Text(text) => bytes(out, number, keep, text.as_bytes()),
            other => return Err(mismatch("a string", other)),
        },
        Kind::Hex => bytes(out, number, keep, &hex(value)?),
        Kind::Base64 => bytes(out, number, keep, &base64(value)?),
        Kind::Bool => match value {
            Scalar::Bool(b) => varint(out, number, keep, u64::from(b)),
            other => return Err(mismatch("true or false", other)),
        },
        // Protobuf writes negative numbers of 32 bits as varints of 64.
        Kind::Int32 => varint(out, number, keep, i64::from(narrow::<i32>(integer(value)?)?) as u64),
        Kind::Int64 => varint(out, number, keep, narrow::<i64>(integer(value)?)? as u64),
        Kind::Uint32 => varint(out, number, keep, u64::from(narrow::<u32>(integer(value)?)?)),
        Kind::Enum(prefix, names) => {
            let n = enumerator(prefix, names, value)?;
            varint(out, number, keep, i64::from(n) as u64);
        }
        Kind::Fixed32 => {
            let n = narrow::<u32>(integer(value)?)?;
            if keep || n != 0 {
                encode_key(number, WireType::ThirtyTwoBit, out);
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
        Kind::Fixed64 => {
            let n = narrow::<u64>(integer(value)?)?;
            if keep || n != 0 {
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
        Kind::Double => {
            let n = double(value)?;
            // -0.0 has a bit set, so it is not the default.
            if keep || n.to_bits() != 0 {
                encode_key(number, WireType::SixtyFourBit, out);
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
        Kind::Message(_) => return Err(mismatch("an object", value)),
    }
    Ok(())
}

fn bytes(out: &mut Vec<u8>, number: u32, keep: bool, value: &[u8]) {
    if keep || !value.is_empty() {
        encode_key(number, WireType::LengthDelimited, out);
        encode_varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

fn varint(out: &mut Vec<u8>, number: u32, keep: bool, value: u64) {
    if keep || value != 0 {
        encode_key(number, WireType::Varint, out);
        encode_varint(value, out);
    }
}

pub(super) fn mismatch(expected: &str, found: Scalar<'_>) -> String {
    format!("expected {expected}, found {}", found.noun())
}

/// Any integer of 64 bits, signed or not.
fn integer(value: Scalar<'_>) -> Result<i128, String> {
    /// Up to here every integer is a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Scalar::Unsigned(n) => Ok(n.into()),
        Scalar::Signed(n) => Ok(n.into()),
        Scalar::Float(f) if f.fract() == 0.0 && f.abs() <= EXACT => Ok(f as i128),
        Scalar::Float(_) => Err("expected an integer; send large ones as strings, floats round them".into()),
        Scalar::Text(text) => {
            text.parse::<i128>().map_err(|_| "expected an integer, found a string that is none".into())
        }
        other @ Scalar::Bool(_) => Err(mismatch("an integer", other)),
    }
}

fn narrow<T: TryFrom<i128>>(n: i128) -> Result<T, String> {
    T::try_from(n).map_err(|_| format!("the integer is out of range for {}", std::any::type_name::<T>()))
}

fn double(value: Scalar<'_>) -> Result<f64, String> {
    match value {
        Scalar::Float(f) => Ok(f),
        Scalar::Unsigned(n) => Ok(n as f64),
        Scalar::Signed(n) => Ok(n as f64),
        Scalar::Text("NaN") => Ok(f64::NAN),
        Scalar::Text("Infinity") => Ok(f64::INFINITY),
        Scalar::Text("-Infinity") => Ok(f64::NEG_INFINITY),
        Scalar::Text(text) => match text.parse::<f64>() {
            // Rust reads `inf` and `nan` as well, and 1e999 as infinite.
            Ok(f) if f.is_finite() => Ok(f),
            _ => Err("expected a number, found a string that is none".into()),
        },
        other @ Scalar::Bool(_) => Err(mismatch("a number", other)),
    }
}

fn enumerator(prefix: &str, names: &[&str], value: Scalar<'_>) -> Result<i32, String> {
    let Scalar::Text(text) = value else {
        // Numbers that have no name yet are kept: a later OTLP may give them one.
        return narrow(integer(value)?);
    };
    if let Ok(n) = text.parse::<i32>() {
        return Ok(n);
    }
    let name = text.strip_prefix(prefix).unwrap_or(text);
    names
        .iter()
        .position(|known| *known == name)
        .and_then(|n| i32::try_from(n).ok())
        .ok_or_else(|| format!("expected a number or a name that begins with {prefix}"))
}

fn hex(value: Scalar<'_>) -> Result<Vec<u8>, String> {
    let Scalar::Text(text) = value else {
        return Err(mismatch("hex digits in a string", value));
    };
    let digits: Option<Vec<u8>> = text.bytes().map(|b| char::from(b).to_digit(16).map(|d| d as u8)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err("expected an even number of hex digits".into()),
    }
}

fn base64(value: Scalar<'_>) -> Result<Vec<u8>, String> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let Scalar::Text(text) = value else {
        return Err(mismatch("base64 in a string", value));
    };
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).map_err(|_| "expected base64".into())
}
