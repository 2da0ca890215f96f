//! Decompression that stops at its bound while it inflates, and asks the budget before it keeps a byte.

use std::io::{self, Read};

use bytes::Bytes;

use super::{
    denied::Denied,
    in_flight::{Grant, NoRoom},
    limits::Limits,
};
use crate::intake::Refusal;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    /// From `content-encoding` or `grpc-encoding`; absent means identity.
    pub(super) fn parse(value: Option<&http::HeaderValue>) -> Result<Self, Denied> {
        let Some(value) = value else {
            return Ok(Self::Identity);
        };
        let name = value.as_bytes().trim_ascii();
        for (known, encoding) in
            [("identity", Self::Identity), ("gzip", Self::Gzip), ("x-gzip", Self::Gzip), ("zstd", Self::Zstd)]
        {
            if name.eq_ignore_ascii_case(known.as_bytes()) {
                return Ok(encoding);
            }
        }
        Err(Denied::ContentEncoding { found: String::from_utf8_lossy(name).into_owned() })
    }
}

/// The largest zstd window, as a power of two: 8 MiB, which RFC 9659 sets for HTTP. Without it a frame
/// of a few bytes makes the decoder set 128 MiB aside.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Bytes inflated, and charged, at a time.
const STEP: usize = 64 * 1024;

/// `raw` decompressed. `grant` covers `raw` when called and the result when returned.
pub(super) fn inflate(encoding: Encoding, raw: Bytes, limits: &Limits, grant: &mut Grant) -> Result<Bytes, Denied> {
    let plain = match encoding {
        Encoding::Identity if raw.len() > limits.max_decompressed_bytes => {
            return Err(too_large(limits));
        }
        Encoding::Identity => return Ok(raw),
        Encoding::Gzip => pour(flate2::read::MultiGzDecoder::new(&raw[..]), limits, grant),
        Encoding::Zstd => pour(zstd_decoder(&raw)?, limits, grant),
    }?;
    grant.shrink(raw.len());
    Ok(Bytes::from(plain))
}

/// Everything that `source` gives, at most the limit.
fn pour(mut source: impl Read, limits: &Limits, grant: &mut Grant) -> Result<Vec<u8>, Denied> {
    let mut plain = Vec::new();
    let mut step = vec![0; STEP];
    loop {
        let n = match source.read(&mut step) {
            Ok(0) => return Ok(plain),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                return Err(Denied::malformed("body", format!("it cannot be decompressed: {e}")));
            }
        };
        if n > limits.max_decompressed_bytes - plain.len() {
            return Err(too_large(limits));
        }
        grow(grant, n, limits)?;
        plain.extend_from_slice(&step[..n]);
    }
}

/// Grows the grant, or says why the request is refused.
pub(super) fn grow(grant: &mut Grant, more: usize, limits: &Limits) -> Result<(), Denied> {
    grant.grow(more).map_err(|no_room| no_room.denied(limits))
}

impl NoRoom {
    pub(super) fn denied(self, limits: &Limits) -> Denied {
        match self {
            Self::Now => Denied::Behind(Refusal::Full { retry_after: limits.retry_after, what: "bytes in flight" }),
            // "Come back later" would have the sender come back for ever.
            Self::Ever => Denied::TooLarge {
                what: "what this request needs",
                limit: limits.max_bytes_in_flight,
                setting: "max_bytes_in_flight",
            },
        }
    }
}

fn too_large(limits: &Limits) -> Denied {
    Denied::TooLarge {
        what: "the decompressed body",
        limit: limits.max_decompressed_bytes,
        setting: "max_decompressed_bytes",
    }
}

fn zstd_decoder(raw: &[u8]) -> Result<impl Read, Denied> {
    zstd::stream::read::Decoder::with_buffer(raw)
        .and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Ok(decoder)
        })
        .map_err(|e| Denied::Behind(Refusal::Failed { reason: format!("the zstd decoder cannot start: {e}") }))
}
