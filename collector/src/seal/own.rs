//! The collector's own records.

use std::sync::atomic::{AtomicU64, Ordering};

use tachograph_record::{ActorType, Decimal, EventId, Hex, Json, Kind, Outcome, Record, Text, Time};

use crate::batch::{Batch, BatchError, Entropy};

/// The recorder's name as a producer: no sender can take it.
pub const OWN_PRODUCER: &str = tachograph_exporters::verify::RECORDER_PRODUCER;

/// The recorder as a producer of records: it numbers its own, so that a missing one shows.
#[derive(Debug)]
pub struct Own {
    epoch: String,
    next: AtomicU64,
}

impl Own {
    /// One start of the recorder.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new(entropy: &dyn Entropy) -> std::io::Result<Self> {
        let mut epoch = [0; 8];
        entropy.fill(&mut epoch)?;
        Ok(Self { epoch: Hex(epoch).to_string(), next: AtomicU64::new(0) })
    }

    /// Names this start, in hex.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// A batch of one record of kind `lifecycle`.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn batch(
        &self,
        now: Time,
        action: &'static str,
        details: Option<String>,
        entropy: &dyn Entropy,
    ) -> Result<Batch, BatchError> {
        self.make(now, action, details, (ActorType::System, None), entropy)
    }

    /// The same for what a person, `by`, had the recorder say.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn statement(
        &self,
        now: Time,
        action: &'static str,
        details: String,
        by: &str,
        entropy: &dyn Entropy,
    ) -> Result<Batch, BatchError> {
        self.make(now, action, Some(details), (ActorType::User, Some(by)), entropy)
    }

    /// Takes a number back that was given to a record which was then not sealed, unless a later one was given since.
    pub(super) fn give_back(&self, number: u64) {
        let _ = self.next.compare_exchange(number + 1, number, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn make(
        &self,
        now: Time,
        action: &'static str,
        details: Option<String>,
        (actor_type, actor_id): (ActorType, Option<&str>),
        entropy: &dyn Entropy,
    ) -> Result<Batch, BatchError> {
        let mut random = [0; 32];
        entropy.fill(&mut random)?;
        let mut record = Record::new(EventId::v7(now, &random), now, Kind::Lifecycle);
        record.service_name = Some("tachograph".into());
        record.actor_type = Some(actor_type);
        record.actor_id = actor_id.map(Text::from);
        record.action_type = Some(Text::from(action));
        record.outcome = Some(Outcome::Success);
        record.details = details.map(Json::trusted);
        record.producer = Some(OWN_PRODUCER.into());
        record.producer_epoch = Some(self.epoch.as_str().into());
        record.producer_seq = Decimal::new(self.next.fetch_add(1, Ordering::Relaxed));
        Batch::from_records(&[record], now, entropy)
    }
}
