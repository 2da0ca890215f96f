//! One place for the newest checkpoint: who posts never waits, and who reads gets the newest alone.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tachograph_ledger::Lock;

/// A checkpoint that is in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of records under it.
    pub size: u64,
    /// Its bytes.
    pub note: String,
    /// How it is kept: mode, and seconds since 1970.
    pub kept: Option<(Lock, u64)>,
}

/// The place.
#[derive(Debug, Default)]
pub struct Mailbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Checkpoint>,
    closed: bool,
}

/// What was found in it.
#[derive(Debug, PartialEq, Eq)]
pub enum Mail {
    /// A checkpoint that was not there before.
    New(Checkpoint),
    /// Nothing within the time.
    None,
    /// Nothing will come any more.
    Closed,
}

impl Mailbox {
    /// Puts it there, in the place of an older one.
    pub fn post(&self, checkpoint: Checkpoint) {
        self.update(|state| state.newest = Some(checkpoint));
    }

    /// Nothing will come any more.
    pub fn close(&self) {
        self.update(|state| state.closed = true);
    }

    /// Takes what is there, or waits for it.
    pub fn wait(&self, timeout: Duration) -> Mail {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut State| state.newest.is_none() && !state.closed;
        let (mut state, _) =
            self.changed.wait_timeout_while(state, timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        match state.newest.take() {
            _ if state.closed => Mail::Closed,
            Some(checkpoint) => Mail::New(checkpoint),
            None => Mail::None,
        }
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { size, note: String::new(), kept: None }
    }

    #[test]
    fn only_the_newest_is_there() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.wait(Duration::ZERO), Mail::None);
        mailbox.post(checkpoint(1));
        mailbox.post(checkpoint(2));
        assert_eq!(mailbox.wait(Duration::ZERO), Mail::New(checkpoint(2)));
        assert_eq!(mailbox.wait(Duration::ZERO), Mail::None);
        mailbox.post(checkpoint(3));
        mailbox.close();
        assert_eq!(mailbox.wait(Duration::from_secs(60)), Mail::Closed);
    }
}
