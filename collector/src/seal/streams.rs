//! The streams of the generation that is open: which place each record has among them, and what is stated when the generation ends.
//!
//! `docs/format.md` section 13 has the rules. What is sealed into a frame that is then not written is taken back here too. A statement
//! stands in a frame of its own: it is made of what is durable, and either durable itself or as if it had never been made.
//!
//! Memory: one generation, of at most [`MAX_GENERATION`] records, some 25 MiB at worst; and a table of ids, 100 KiB.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tachograph_ledger::stream::MAX_GENERATION;
use tachograph_ledger::{
    Generation, LedgerName, Sealed, Statement, StreamBy, StreamId, StreamKey, StreamPlace, StreamRule, StreamSecret,
    Tail,
};
use tachograph_record::Time;
use tokio::sync::oneshot;

use super::{Failed, OWN_PRODUCER, Writer, WriterError, reply_to};
use crate::batch::Draft;
use crate::intake::Refusal;

/// Action of the record whose leaf states what streams a generation had.
pub const STREAMS_CLOSED: &str = "streams.closed";
/// Action of the record whose leaf says that streams are sealed from there on, if no other record can.
pub const STREAMS_OPENED: &str = "streams.opened";

/// How long to wait after a statement for which there was no room: doubled each time, up to the second.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(64)];
/// Ids that are remembered: a power of two.
const IDS: usize = 1 << 10;

/// Finds the stream of a record.
#[derive(Debug)]
pub struct Assigner {
    key: StreamKey,
    rule: StreamRule,
}

impl Assigner {
    /// By this key, and this order of preference.
    pub fn new(key: StreamKey, by: StreamBy) -> Self {
        Self { rule: StreamRule { by, key: key.id() }, key }
    }

    /// The secret of the stream that a record belongs to.
    pub(crate) fn secret(&self, draft: &Draft) -> Option<StreamSecret> {
        let (kind, id) = self.rule.by.choose(draft.session_id.as_deref(), draft.agent_id.as_deref())?;
        Some(self.key.secret(kind, id))
    }
}

/// The streams of the generation that is open.
#[derive(Debug)]
pub struct Streams {
    /// `None` if no streams are sealed.
    assigner: Option<Arc<Assigner>>,
    close_after: Duration,
    max_records: u64,
    generation: Option<Generation>,
    /// This start of the recorder has said that it seals streams.
    opened: bool,
    /// When the first record of a stream came into the generation.
    since: Option<Instant>,
    /// An earlier start left it open: it is stated as soon as may be.
    is_overdue: bool,
    /// Last attempt to state it for which there was no room, and how long to wait then.
    tried: Option<(Instant, Duration)>,
    /// What the frame that is not written yet did.
    undo: Vec<Undo>,
    /// Secrets and their ids in this generation, each at the place that its first bytes say.
    ids: Vec<Option<(StreamSecret, StreamId)>>,
}

#[derive(Debug)]
enum Undo {
    Push(StreamId, Option<Tail>),
    Open { began: bool },
}

impl Streams {
    /// None are sealed. What an earlier start left open is ended.
    pub fn off(left: Option<Generation>) -> Self {
        Self::make(None, left, Duration::MAX)
    }

    /// They are sealed, and a generation is closed when its first stream is `close_after` old. `left` is what an earlier start left
    /// open.
    pub fn on(assigner: Arc<Assigner>, left: Option<Generation>, close_after: Duration) -> Self {
        Self::make(Some(assigner), left, close_after)
    }

    fn make(assigner: Option<Arc<Assigner>>, left: Option<Generation>, close_after: Duration) -> Self {
        Self {
            assigner,
            close_after,
            max_records: MAX_GENERATION,
            // Whoever starts again and again would never come to it otherwise.
            is_overdue: left.as_ref().is_some_and(|left| !left.is_empty()),
            generation: left,
            opened: false,
            since: None,
            tried: None,
            undo: Vec::new(),
            ids: vec![None; IDS],
        }
    }

    /// With shorter generations, for tests.
    #[cfg(test)]
    pub(super) fn with_max_records(self, max_records: u64) -> Self {
        Self { max_records, ..self }
    }

    /// What is open is of another order of preference, or another key, than what is sealed now: it must end before anything else is sealed.
    fn must_end(&self) -> bool {
        let rule = self.assigner.as_ref().map(|assigner| assigner.rule);
        !self.opened && self.generation.as_ref().is_some_and(|generation| Some(generation.rule()) != rule)
    }

    fn must_open(&self) -> bool {
        self.assigner.is_some() && !self.opened
    }

    fn is_full(&self, next_index: u64) -> bool {
        self.opened
            && self.generation.as_ref().is_some_and(|generation| next_index - generation.first() >= self.max_records)
    }

    fn is_old(&self) -> bool {
        self.opened
            && (self.is_overdue || self.since.is_some_and(|since| since.elapsed() >= self.close_after))
            && self.tried.is_none_or(|(tried, wait)| tried.elapsed() >= wait)
    }

    /// Where a record that would be sealed now stands.
    pub(super) fn place(&mut self, draft: &Draft, index: u64, ledger: &LedgerName) -> StreamPlace {
        let Some(assigner) = &self.assigner else { return StreamPlace::None };
        if !self.opened {
            let is_own = draft.producer.as_deref() == Some(OWN_PRODUCER);
            let first = self.generation.as_ref().map_or(index, Generation::first);
            return if is_own { StreamPlace::Open { first, rule: assigner.rule } } else { StreamPlace::None };
        }
        let Some(generation) = &self.generation else { return StreamPlace::None };
        let found;
        let secret = match &draft.stream {
            Some(secret) => secret,
            None => {
                found = assigner.secret(draft);
                let Some(secret) = &found else { return StreamPlace::None };
                secret
            }
        };
        let id = id_of(&mut self.ids, secret, ledger, generation.first());
        let (seq, prev) = generation.next(&id);
        StreamPlace::In { id, seq, prev }
    }

    /// A record was sealed there.
    pub(super) fn sealed(&mut self, place: &StreamPlace, sealed: &Sealed) {
        match place {
            StreamPlace::Open { rule, .. } => {
                let began = self.generation.is_none();
                self.generation.get_or_insert_with(|| Generation::new(sealed.index, *rule));
                self.opened = true;
                self.undo.push(Undo::Open { began });
            }
            StreamPlace::In { id, .. } => {
                if let Some(generation) = &mut self.generation {
                    self.undo.push(Undo::Push(*id, generation.push(*id, sealed.hash)));
                    self.since.get_or_insert_with(Instant::now);
                }
            }
            StreamPlace::None | StreamPlace::Closed(_) => {}
        }
    }

    /// The frame was written.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// The frame was not written.
    pub(super) fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match (undo, &mut self.generation) {
                (Undo::Push(id, before), Some(generation)) => generation.put_back(id, before),
                (Undo::Push(..), None) => {}
                (Undo::Open { began }, _) => {
                    self.opened = false;
                    if began {
                        self.generation = None;
                    }
                }
            }
        }
        if self.generation.as_ref().is_none_or(Generation::is_empty) {
            self.since = None;
        }
    }

    /// The statement is durable; the next record has the index `next`.
    fn closed(&mut self, statement: &Statement, next: u64) {
        self.generation = (!statement.is_end).then(|| Generation::new(next, statement.rule));
        (self.since, self.tried, self.is_overdue) = (None, None, false);
        self.ids.fill(None);
    }
}

/// The stream's id in a generation, from the table if it is there.
fn id_of(
    ids: &mut [Option<(StreamSecret, StreamId)>],
    secret: &StreamSecret,
    ledger: &LedgerName,
    generation: u64,
) -> StreamId {
    let bytes = secret.expose();
    let at = usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) % IDS;
    match &ids[at] {
        Some((known, id)) if known == secret => *id,
        _ => {
            let id = secret.id(ledger, generation);
            ids[at] = Some((secret.clone(), id));
            id
        }
    }
}

impl Writer {
    /// Before a start says anything else it ends what an earlier one left open, if it does not go on with it.
    pub(super) fn end_other_streams(&mut self, now: Time) -> Result<(), Failed> {
        if self.parts.streams.must_end() { self.close_streams(now, true) } else { Ok(()) }
    }

    /// What must stand in the ledger before the record may.
    pub(super) fn prepare_streams(&mut self, draft: &Draft, now: Time) -> Result<(), Failed> {
        if self.parts.streams.must_open() && draft.producer.as_deref() != Some(OWN_PRODUCER) {
            self.seal_own(now, STREAMS_OPENED, None, None)?;
        }
        if self.parts.streams.is_full(self.parts.sealer.next_index()) { self.close_streams(now, false) } else { Ok(()) }
    }

    /// States the generation that is open when it is old.
    pub(super) fn look_at_streams(&mut self) -> Result<(), WriterError> {
        if self.stopping || !self.parts.streams.is_old() {
            return Ok(());
        }
        match self.close_streams(self.parts.clock.now(), false) {
            Ok(()) => Ok(()),
            Err(Failed::Refused(_)) => {
                let streams = &mut self.parts.streams;
                let wait = streams.tried.map_or(RETRY[0], |(_, wait)| (wait * 2).min(RETRY[1]));
                streams.tried = Some((Instant::now(), wait));
                tracing::warn!(again_in = ?wait, "no room to state what streams there were");
                Ok(())
            }
            Err(Failed::Fatal(error)) => Err(error),
        }
    }

    /// States it now, if it has any streams.
    pub(super) fn close_streams_on_demand(
        &mut self,
        reply: oneshot::Sender<Result<(), Refusal>>,
    ) -> Result<(), WriterError> {
        let closed = match self.stopping {
            true => Err(Failed::Refused(Refusal::Stopping)),
            false => self.state_open_streams(self.parts.clock.now()),
        };
        reply_to(reply, closed)
    }

    /// States the generation that is open, if it has any streams.
    pub(super) fn state_open_streams(&mut self, now: Time) -> Result<(), Failed> {
        let is_empty = self.parts.streams.generation.as_ref().is_none_or(Generation::is_empty);
        if is_empty { Ok(()) } else { self.close_streams(now, false) }
    }

    fn close_streams(&mut self, now: Time, is_end: bool) -> Result<(), Failed> {
        // What is stated must be durable, or the statement could outlive it.
        self.flush()?;
        let Some(generation) = &self.parts.streams.generation else { return Ok(()) };
        let statement = generation.statement(is_end);
        let index = self.parts.sealer.next_index();
        // It may come before the record that says that the clock went back.
        let now = now.max(self.parts.last_sealed_at);
        let details = serde_json::json!({
            "first": statement.first.to_string(),
            "last": index.saturating_sub(1).to_string(),
            "streams": statement.streams.to_string(),
            "root": statement.root.to_hex(),
            "by": statement.rule.by.to_string(),
            "key": statement.rule.key.to_hex(),
        });
        self.seal_own(now, STREAMS_CLOSED, Some(details.to_string()), Some(StreamPlace::Closed(statement)))?;
        self.flush()?;
        self.parts.streams.closed(&statement, self.parts.sealer.next_index());
        tracing::debug!(index, %statement, "streams closed");
        Ok(())
    }
}
