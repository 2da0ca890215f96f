//! What the recorder says of gaps in the numbers of producers, as one who writes in the ledger among others.

use std::time::{Duration, Instant};

use super::{Failed, OWN_PRODUCER, Writer, WriterError};
use crate::batch::Batch;
use crate::producers::{Producers, Report};

/// How often gaps in the numbers of producers are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Action of the record that says that numbers of a producer did not arrive in time.
const PRODUCER_GAP: &str = "producer.gap";
/// Action of the record that says that they came after all.
const PRODUCER_GAP_FILLED: &str = "producer.gap_filled";

impl Writer {
    /// Records gaps in the numbers of producers that have been open for too long, and those that were filled after that.
    pub(super) fn look_at_producers(&mut self) -> Result<(), WriterError> {
        // Behind the end of a ledger what is missing may come in the next.
        if self.stopping || self.parts.closing.is_some() || self.last_look.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.last_look = Instant::now();
        let due = self.producers.due(self.last_look);
        if due.is_empty() {
            return Ok(());
        }
        let filled = due.filled.iter().map(|report| (PRODUCER_GAP_FILLED, report));
        let gaps = due.gaps.iter().map(|report| (PRODUCER_GAP, report));
        for (action, report) in filled.chain(gaps) {
            match self.seal_report(action, report) {
                Ok(()) => {}
                // The verifier will find the gap; here it is only said early.
                Err(Failed::Refused(_)) => tracing::warn!(action, ?report, "no room to record this"),
                Err(Failed::Fatal(error)) => return Err(error),
            }
        }
        match self.flush() {
            Err(Failed::Fatal(error)) => Err(error),
            Ok(()) | Err(Failed::Refused(_)) => Ok(()),
        }
    }

    fn seal_report(&mut self, action: &'static str, report: &Report) -> Result<(), Failed> {
        tracing::warn!(action, producer = %report.producer, epoch = %report.epoch, numbers = ?report.numbers, "numbers of a producer");
        let now = self.parts.clock.now();
        if now < self.parts.last_sealed_at {
            self.seal_clock_jump(now)?;
        }
        // Names of producers and numbers: nothing that JSON lacks.
        let details = serde_json::to_string(report).unwrap_or_default();
        self.seal_own(now, action, Some(details), None)
    }
}

/// Tells the table which numbers are durable. The recorder's own are not its affair.
pub(super) fn note_numbers(producers: &mut Producers, batch: &Batch) {
    let now = Instant::now();
    for (draft, _) in batch.records() {
        if let (Some(producer), Some(number)) = (draft.producer.as_deref(), draft.producer_seq)
            && producer != OWN_PRODUCER
        {
            producers.note(producer, draft.producer_epoch.as_deref().unwrap_or_default(), number, now);
        }
    }
}
