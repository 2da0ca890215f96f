//! How far the writer is: what the archive may read.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The writer's position, and a bell for those who wait for it.
#[derive(Debug, Default)]
pub struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

/// What is known of the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Records below this are durable.
    pub durable: u64,
    /// Nothing more will become durable.
    pub ended: bool,
    /// Since when.
    pub ended_at: Option<Instant>,
    /// Records below this are archived.
    pub archived: u64,
    /// Records below this are to be archived now.
    pub wanted: u64,
}

impl Progress {
    /// A writer that stands at `durable`.
    pub fn new(durable: u64) -> Self {
        Self { state: Mutex::new(State { durable, ..State::default() }), changed: Condvar::new() }
    }

    /// Records below `next_index` are durable.
    pub fn durable(&self, next_index: u64) {
        self.update(|state| state.durable = next_index);
    }

    /// Records below `size` are archived.
    pub fn archived(&self, size: u64) {
        self.update(|state| state.archived = size);
    }

    /// Has what is durable archived now, and waits until records below `size` are. `false` if that did not come about.
    pub fn archive_now(&self, size: u64, timeout: Duration) -> bool {
        self.update(|state| state.wanted = state.wanted.max(size));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut State| state.archived < size && !state.ended;
        let (state, _) =
            self.changed.wait_timeout_while(state, timeout, waiting).unwrap_or_else(PoisonError::into_inner);
        state.archived >= size
    }

    /// Waits until the writer has ended or the time is up; whether it has ended.
    pub fn wait_end(&self, timeout: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, timeout, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// The writer has ended.
    pub fn end(&self) {
        self.update(|state| {
            state.ended = true;
            state.ended_at.get_or_insert_with(Instant::now);
        });
    }

    /// What is known now.
    pub fn now(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something behind `position`, the writer has ended, or the time is up.
    pub fn wait_beyond(&self, position: u64, timeout: Duration) -> State {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |state: &State| state.wanted.min(state.durable) > state.archived;
        let waiting = |state: &mut State| state.durable <= position && !state.ended && !wanted(state);
        let waited = self.changed.wait_timeout_while(state, timeout, waiting);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}
