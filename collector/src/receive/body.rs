//! Reading a request's body within time, size and budget; and getting rid of one that is not wanted.

use std::{fmt::Display, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::{denied::Denied, in_flight::Grant, inflate::grow, limits::Limits};

/// Most that is set aside for a body on its sender's word alone.
const TRUSTED_BYTES: usize = 256 * 1024;

/// The whole body. The grant grows by each piece before the piece is kept, never by what the sender merely
/// announces: a client that announces much and sends little holds little.
pub(super) async fn read<B>(
    body: &mut B,
    framing_bytes: usize,
    limits: &Limits,
    grant: &mut Grant,
) -> Result<Bytes, Denied>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let limit = limits.max_body_bytes + framing_bytes;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limits));
    }
    let deadline = Instant::now() + limits.request_timeout;
    let mut pieces = Pieces::new(announced);
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => {
                return Err(Denied::Late { limit: limits.request_timeout });
            }
            Ok(None) => return Ok(pieces.whole()),
            Ok(Some(Err(e))) => {
                return Err(Denied::malformed("body", format!("it ended early: {e}")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue; // trailers, which no sender of OTLP has a use for
        };
        if data.len() > limit - pieces.len() {
            return Err(too_large(limits));
        }
        grow(grant, data.len(), limits)?;
        pieces.push(data);
    }
}

/// A body as it comes: a single piece is not copied.
struct Pieces {
    first: Bytes,
    joined: BytesMut,
    announced: usize,
}

impl Pieces {
    fn new(announced: usize) -> Self {
        Self { first: Bytes::new(), joined: BytesMut::new(), announced: announced.min(TRUSTED_BYTES) }
    }

    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(self.announced);
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&data);
    }

    fn whole(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

/// Longest time spent on bytes that nobody wants.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// Most bytes spent on, in bodies of the largest size.
const DISCARD_BODIES: usize = 4;

/// Reads on and throws away, within bounds. A connection that is closed while its client still sends is reset, and the
/// client never gets to read why it was refused: it would come back for ever with what can never be taken.
pub(super) async fn discard<B>(body: &mut B, limits: &Limits)
where
    B: Body<Data = Bytes> + Unpin,
{
    let _ = timeout(DISCARD_TIME.min(limits.request_timeout), async {
        let mut left = DISCARD_BODIES * limits.max_body_bytes;
        while let Some(Ok(frame)) = body.frame().await {
            let n = frame.data_ref().map_or(0, Bytes::len);
            if n > left {
                return;
            }
            left -= n;
        }
    })
    .await;
}

fn too_large(limits: &Limits) -> Denied {
    Denied::TooLarge { what: "the body", limit: limits.max_body_bytes, setting: "max_body_bytes" }
}
