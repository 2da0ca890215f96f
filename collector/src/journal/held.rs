//! Which files the journal holds, and how much of each is durable: what the writer tells its readers.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One file of the journal.
#[derive(Debug, Clone)]
pub(super) struct HeldFile {
    pub(super) path: PathBuf,
    pub(super) first_index: u64,
    /// Durable bytes.
    pub(super) len: u64,
    pub(super) first_sealed_at: Option<u64>,
}

/// The files, oldest first, and the index behind the last durable record.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) files: VecDeque<HeldFile>,
    pub(super) next_index: u64,
}

impl Files {
    /// The indexes held; `None` if there is no file.
    pub(super) fn range(&self) -> Option<Range<u64>> {
        Some(self.files.front()?.first_index..self.next_index)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }
}

/// Shared by the writer, which alone changes it, and its readers. The lock is held for moments, never across I/O.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Files>);

impl Held {
    pub(super) fn lock(&self) -> MutexGuard<'_, Files> {
        // Every change is a single step, so a thread that panicked cannot have left half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
