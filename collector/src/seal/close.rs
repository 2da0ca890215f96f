//! The last thing that the ledger takes of senders, and the statement that says so.

use tachograph_ledger::shard::{LEDGER_CLOSED, closed_details};
use tokio::sync::oneshot;

use super::{Failed, Writer, WriterError, reply_to};
use crate::batch::Batch;
use crate::closing::{Closing, Marker};
use crate::data_dir::DataDirError;
use crate::intake::Refusal;
use crate::journal::disk::out_of_space;

impl Writer {
    /// Whether the ledger is closed, and this is not the recorder's own: whichever way it came.
    pub(super) fn is_closed_for(&self, batch: &Batch) -> bool {
        self.parts.closing.is_some() && !batch.is_own()
    }

    /// Closes the ledger, if it is not closed, and has that stated, if it is not. Answers with the statement's index.
    pub(super) fn close_ledger_on_demand(
        &mut self,
        by: String,
        reply: oneshot::Sender<Result<u64, Refusal>>,
    ) -> Result<(), WriterError> {
        let closed = match self.stopping {
            true => Err(Failed::Refused(Refusal::Stopping)),
            false => match self.close(by) {
                // With its mark it is closed, whether that could be stated or not.
                Err(Failed::Refused(_)) if self.parts.closing.is_some() => Err(Failed::Refused(Refusal::Closed)),
                closed => closed,
            },
        };
        reply_to(reply, closed)
    }

    /// States the end if there was no room for that, and there may be now.
    pub(super) fn state_the_end_if_owed(&mut self) -> Result<(), WriterError> {
        let Some(Closing { marker, statement: None }) = &self.parts.closing else { return Ok(()) };
        // Nobody archives it any more: the next start states it.
        if self.stopping {
            return Ok(());
        }
        match self.close(marker.by.clone()) {
            Err(Failed::Fatal(error)) => Err(error),
            Ok(_) | Err(Failed::Refused(_)) => Ok(()),
        }
    }

    fn close(&mut self, by: String) -> Result<u64, Failed> {
        // What came before it is of this ledger, and is told so now.
        self.flush()?;
        let closing = match self.parts.closing.take() {
            Some(closing) => closing,
            None => self.mark(by)?,
        };
        let by = closing.marker.by.clone();
        let stated = closing.statement;
        self.parts.closing = Some(closing);
        self.parts.metrics.closed.set(1);
        if let Some(index) = stated {
            return Ok(index);
        }
        let now = self.parts.clock.now();
        self.end_other_streams(now)?;
        // So each session and agent can be shown whole up to the end.
        self.state_open_streams(now)?;
        if now < self.parts.last_sealed_at {
            self.seal_clock_jump(now)?;
        }
        // In a frame of its own, so that its index is known and it is durable, or was never made.
        self.flush()?;
        let index = self.parts.sealer.next_index();
        let details = closed_details(self.parts.sealer.name());
        let batch = self.parts.own.statement(now, LEDGER_CLOSED, details, &by, &*self.parts.entropy)?;
        self.seal_own_batch(&batch, now, None)?;
        self.flush()?;
        if let Some(closing) = &mut self.parts.closing {
            closing.statement = Some(index);
        }
        tracing::info!(index, by, "the ledger is closed: it takes no more records of senders");
        Ok(index)
    }

    /// Writes the marker. From here on the ledger is closed, whatever comes next.
    fn mark(&mut self, by: String) -> Result<Closing, Failed> {
        let marker = Marker { by, from: self.parts.sealer.next_index() };
        match self.parts.data_dir.mark_closed(&marker) {
            Ok(()) => Ok(Closing { marker, statement: None }),
            // Nothing was written: it is as open as before.
            Err(DataDirError::Io { source, .. })
                if out_of_space(&source) && matches!(self.parts.data_dir.closed(), Ok(None)) =>
            {
                Err(Failed::Refused(Refusal::Failed { reason: format!("no room for the mark of the end: {source}") }))
            }
            // It may be there or not: the next start finds out.
            Err(error) => Err(Failed::Fatal(WriterError::Marker(error))),
        }
    }
}
