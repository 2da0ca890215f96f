//! What is still to be done to a record after its call has ended: work that the delivery thread does, off the application's path.

use opentelemetry_sdk::trace::SpanData;

/// Work on one record, in order. Empty for most, and then without an allocation.
#[derive(Debug, Default)]
pub(crate) struct Late(Vec<Task>);

/// One piece of it.
#[derive(Debug)]
pub(crate) enum Task {}

impl Late {
    /// Does it. To be called once, before the record is encoded, spooled or sent.
    pub(crate) fn complete(self, _span: &mut SpanData) {
        for task in self.0 {
            match task {}
        }
    }
}
