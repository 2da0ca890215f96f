//! A batch: the records of one export request as bodies, ready to be sealed.
//!
//! Everything that costs time and needs no order happens here, in as many tasks as there are requests; what is left to the one
//! writer of the ledger is the leaf, the hash and the MAC.

use std::collections::HashMap;
use std::ops::Range;

use sha2::{Digest, Sha256};
use tachograph_ledger::{Hash, StreamSecret};
use tachograph_record::{Body, BodyError, EventId, Kind, Record, Time, content_digest, write_body};

use crate::intake::{Export, Signal};
use crate::normalise::{self, Rejection};
use crate::otlp::{DecodeError, LogRecord, Resource, Scope, Source, Span, walk_logs, walk_traces};
use crate::seal::{Assigner, OWN_PRODUCER};

/// The largest body that is kept: the journal's bound, less the room that the writer needs to add `conflicts_with`.
/// Without that room one sender could stop the collector with a body that no frame takes.
pub const MAX_BODY_BYTES: usize = crate::journal::MAX_BODY_BYTES - 64;

/// Most records of one request: the layers around a record may be much larger than itself, so that its bytes alone bound nothing.
pub const MAX_RECORDS: usize = 1 << 16;

/// Most bytes that the bodies of one request may have together.
pub const MAX_BYTES: usize = 128 << 20;

/// One record on its way to the writer.
#[derive(Debug)]
pub struct Draft {
    body: Range<usize>,
    /// SHA-256 of the body.
    pub body_sha256: Hash,
    /// What tells a resent record from another one with its id.
    pub content_digest: [u8; 16],
    /// Identity.
    pub event_id: EventId,
    /// When it happened.
    pub timestamp: Time,
    /// What kind of event.
    pub kind: Kind,
    /// W3C trace id.
    pub trace_id: Option<[u8; 16]>,
    /// W3C span id.
    pub span_id: Option<[u8; 8]>,
    /// Who numbered it.
    pub producer: Option<Box<str>>,
    /// Which start of that producer.
    pub producer_epoch: Option<Box<str>>,
    /// Its number.
    pub producer_seq: Option<u64>,
    /// The session that it belongs to, until its stream was looked for.
    pub session_id: Option<Box<str>>,
    /// The agent that it is of, in the same way.
    pub agent_id: Option<Box<str>>,
    /// Its stream's secret, if that was looked for ahead.
    pub stream: Option<StreamSecret>,
}

/// The records of one request, in its order.
#[derive(Debug, Default)]
pub struct Batch {
    bodies: Vec<u8>,
    drafts: Vec<Draft>,
    /// How many of them stand for something that could not be read.
    pub rejected: u64,
    /// Their sender wants to know where they stand.
    pub wants_receipt: bool,
}

impl Draft {
    fn new(record: &Record<'_>, bodies: &[u8], body: Range<usize>) -> Self {
        let bytes = &bodies[body.clone()];
        Self {
            body_sha256: Hash::from_bytes(Sha256::digest(bytes).into()),
            content_digest: content_digest(bytes),
            body,
            event_id: record.event_id,
            timestamp: record.timestamp,
            kind: record.kind,
            trace_id: record.trace_id.map(|id| id.0),
            span_id: record.span_id.map(|id| id.0),
            producer: record.producer.as_deref().map(Box::from),
            producer_epoch: record.producer_epoch.as_deref().map(Box::from),
            producer_seq: record.producer_seq.map(|seq| seq.get()),
            session_id: record.session_id.as_deref().map(Box::from),
            agent_id: record.agent_id.as_deref().map(Box::from),
            stream: None,
        }
    }
}

/// A body up to what a writer added to it, without the brace at its end; the whole body if nothing was added.
fn without_conflict(body: &[u8], first: Option<u64>) -> &[u8] {
    let Some(first) = first else { return body };
    body.strip_suffix(format!(",\"conflicts_with\":\"{first}\"}}").as_bytes()).unwrap_or(body)
}

/// Random bytes, handed in so that a test can own them.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// If the system has no randomness to give: without it nothing can be sealed.
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()>;
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        getrandom::fill(bytes).map_err(|e| std::io::Error::other(e.to_string()))
    }
}

/// Why a request gave no batch.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The layers around the records can't be read.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// More records, or more of them once the resource stands in each, than one request may bring.
    #[error("{0}; send smaller batches")]
    TooLarge(String),
    /// No randomness.
    #[error("no randomness from the system: {0}")]
    Entropy(#[from] std::io::Error),
}

impl Batch {
    /// Decodes an export and makes the body of each record in it. What can't be decoded becomes a record that says so.
    ///
    /// `max_field_bytes` bounds each string; `observed_at` is when the request came.
    ///
    /// # Errors
    /// If the layers around the records are not OTLP protobuf, if there are more than [`MAX_RECORDS`] of them or their bodies have
    /// more than [`MAX_BYTES`], or the system has no randomness.
    pub fn from_export(
        export: &Export,
        max_field_bytes: usize,
        observed_at: Time,
        entropy: &dyn Entropy,
    ) -> Result<Self, BatchError> {
        let mut builder = Builder::new(observed_at, entropy, export.protobuf.len());
        builder.batch.wants_receipt = export.wants_receipt;
        match export.signal {
            Signal::Traces => walk_traces(&export.protobuf, max_field_bytes, &mut |source, raw| {
                if builder.has_room() {
                    let record = decode_span(source, raw, max_field_bytes);
                    builder.push("span", raw, source, record.as_ref());
                }
            })?,
            Signal::Logs => {
                let mut seen = Occurrences::default();
                walk_logs(&export.protobuf, max_field_bytes, &mut |source, raw| {
                    if builder.has_room() {
                        let record = decode_log(source, raw, seen.count(raw), max_field_bytes);
                        builder.push("log_record", raw, source, record.as_ref());
                    }
                })?;
            }
        }
        builder.finish()
    }

    /// A batch of records that the collector makes itself.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn from_records(records: &[Record<'_>], observed_at: Time, entropy: &dyn Entropy) -> Result<Self, BatchError> {
        let mut builder = Builder::new(observed_at, entropy, 1024);
        for record in records {
            let none = (&Resource::default(), &Scope::default());
            builder.push("record", &[], Ok(none), Ok(record));
        }
        builder.finish()
    }

    /// A batch of bodies that were sealed before, in another ledger. What that one's writer added, the index of a record with the
    /// same id, means nothing here and is left out.
    ///
    /// # Errors
    /// If one is no body: its number, and why.
    pub fn from_sealed<'b>(bodies: impl IntoIterator<Item = &'b [u8]>) -> Result<Self, (usize, BodyError)> {
        let mut batch = Self::default();
        for (at, bytes) in bodies.into_iter().enumerate() {
            let record = Body::parse(bytes).map_err(|error| (at, error))?.record;
            let start = batch.bodies.len();
            batch.bodies.extend_from_slice(without_conflict(bytes, record.conflicts_with.map(|first| first.get())));
            if batch.bodies.len() - start < bytes.len() {
                batch.bodies.push(b'}');
            }
            let body = start..batch.bodies.len();
            batch.drafts.push(Draft::new(&record, &batch.bodies, body));
        }
        Ok(batch)
    }

    /// Finds each record's stream, if any are sealed, ahead of the writer, which would do it one record after another. What it is found
    /// by, which may be long, is let go of: it stands in the body too.
    pub fn assign(&mut self, assigner: Option<&Assigner>) {
        for draft in &mut self.drafts {
            draft.stream = assigner.and_then(|assigner| assigner.secret(draft));
            (draft.session_id, draft.agent_id) = (None, None);
        }
    }

    /// The records with their bodies, in order.
    pub fn records(&self) -> impl Iterator<Item = (&Draft, &[u8])> {
        self.drafts.iter().map(|draft| (draft, &self.bodies[draft.body.clone()]))
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.bodies.capacity() + self.drafts.capacity() * size_of::<Draft>()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.drafts.len()
    }

    /// Whether all records are the recorder's own: of a name that no sender can take.
    pub fn is_own(&self) -> bool {
        let is_own = |draft: &Draft| draft.kind == Kind::Lifecycle && draft.producer.as_deref() == Some(OWN_PRODUCER);
        self.drafts.iter().all(is_own)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }
}

fn decode_span<'a>(source: Source<'_, 'a>, raw: &'a [u8], max_bytes: usize) -> Result<Record<'a>, Rejection> {
    let (resource, scope) = source?;
    normalise::span(&Span::decode(raw, max_bytes).map_err(|e| Rejection::from(&e))?, resource, scope)
}

fn decode_log<'a>(
    source: Source<'_, 'a>,
    raw: &'a [u8],
    occurrence: u32,
    max_bytes: usize,
) -> Result<Record<'a>, Rejection> {
    let (resource, scope) = source?;
    let log = LogRecord::decode(raw, max_bytes).map_err(|e| Rejection::from(&e))?;
    normalise::log(&log, raw, occurrence, resource, scope)
}

/// Counts how often the same bytes came within one request, so that two equal lines are two events.
#[derive(Default)]
struct Occurrences {
    seen: HashMap<[u8; 32], u32>,
}

impl Occurrences {
    fn count(&mut self, raw: &[u8]) -> u32 {
        let count = self.seen.entry(Sha256::digest(raw).into()).or_insert(0);
        *count += 1;
        *count - 1
    }
}

struct Builder<'e> {
    batch: Batch,
    observed_at: Time,
    salts: Salts<'e>,
    rejected: Occurrences,
    /// How many records came after there was no room any more.
    left_out: usize,
}

impl<'e> Builder<'e> {
    fn new(observed_at: Time, entropy: &'e dyn Entropy, expected_bytes: usize) -> Self {
        let batch = Batch {
            bodies: Vec::with_capacity((expected_bytes + expected_bytes / 4).min(MAX_BYTES)),
            ..Batch::default()
        };
        Self { batch, observed_at, salts: Salts::new(entropy), rejected: Occurrences::default(), left_out: 0 }
    }

    /// Whether a further record is taken; if not, it is counted.
    fn has_room(&mut self) -> bool {
        let room = self.batch.drafts.len() < MAX_RECORDS && self.batch.bodies.len() < MAX_BYTES;
        self.left_out += usize::from(!room);
        room
    }

    fn push(
        &mut self,
        what: &'static str,
        raw: &[u8],
        source: Source<'_, '_>,
        record: Result<&Record<'_>, &Rejection>,
    ) {
        let rejection = match record {
            Ok(record) => match self.push_record(record) {
                Ok(()) => return,
                Err(rejection) => rejection,
            },
            Err(rejection) => Rejection { field: rejection.field.clone(), reason: rejection.reason.clone() },
        };
        self.batch.rejected += 1;
        let occurrence = self.rejected.count(raw);
        let record = normalise::rejected(what, &rejection, occurrence, raw, source.ok().map(|(resource, _)| resource));
        // A rejection is small: it always fits.
        let pushed = self.push_record(&record);
        debug_assert!(pushed.is_ok());
    }

    fn push_record(&mut self, record: &Record<'_>) -> Result<(), Rejection> {
        let bodies = &mut self.batch.bodies;
        let start = bodies.len();
        write_body(record, &self.salts.next(), self.observed_at, bodies);
        let body = start..bodies.len();
        if body.len() > MAX_BODY_BYTES {
            bodies.truncate(start);
            let reason = format!("{} bytes as a record, more than {MAX_BODY_BYTES}", body.len());
            return Err(Rejection { field: "record".to_owned(), reason });
        }
        self.batch.drafts.push(Draft::new(record, bodies, body));
        Ok(())
    }

    fn finish(self) -> Result<Batch, BatchError> {
        if self.left_out > 0 {
            let (records, bytes) = (self.batch.drafts.len(), self.batch.bodies.len());
            let taken =
                format!("{records} records take {bytes} bytes with their resources, and {} more follow", self.left_out);
            return Err(BatchError::TooLarge(format!(
                "{taken}; one request may bring {MAX_RECORDS} records and {MAX_BYTES} bytes"
            )));
        }
        match self.salts.failed {
            Some(error) => Err(error.into()),
            None => Ok(self.batch),
        }
    }
}

/// Salts, fetched many at a time: one call to the system serves 64 records.
struct Salts<'e> {
    entropy: &'e dyn Entropy,
    pool: [u8; 1024],
    left: usize,
    failed: Option<std::io::Error>,
}

impl<'e> Salts<'e> {
    fn new(entropy: &'e dyn Entropy) -> Self {
        Self { entropy, pool: [0; 1024], left: 0, failed: None }
    }

    fn next(&mut self) -> [u8; 16] {
        if self.left == 0 {
            if let Err(error) = self.entropy.fill(&mut self.pool) {
                self.failed = Some(error);
            }
            self.left = self.pool.len();
        }
        self.left -= 16;
        let mut salt = [0; 16];
        salt.copy_from_slice(&self.pool[self.left..self.left + 16]);
        salt
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
