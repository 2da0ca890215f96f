//! A store whose durable steps fail when a test says so: before they took effect, or after.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Destroyed, ErrorKind, ReadAt, Removal, Store, StoreError, Upload};

/// What happens at the chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies before the step takes effect: nothing works from then on.
    CrashBefore,
    /// The process dies after the step took effect.
    CrashAfter,
    /// The step fails for want of space and may be tried again.
    NoSpace,
}

/// A store around another. Steps are counted from 0: each begun upload, each write and each finished upload is one.
#[derive(Clone)]
pub(crate) struct Faulty {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
}

struct Plan {
    fault: Fault,
    step: u64,
    done: AtomicU64,
}

enum Outcome {
    Go,
    GoAndDie,
    Refuse(StoreError),
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Store>, fault: Fault, step: u64) -> Self {
        Self { inner, plan: Arc::new(Plan { fault, step, done: AtomicU64::new(0) }) }
    }

    /// Whether the fault happened.
    pub(crate) fn struck(&self) -> bool {
        self.plan.done.load(Ordering::SeqCst) > self.plan.step
    }

    fn alive(&self) -> Result<(), StoreError> {
        if self.struck() && self.plan.fault != Fault::NoSpace { Err(died()) } else { Ok(()) }
    }
}

impl Plan {
    fn step(&self) -> Outcome {
        let at = self.done.fetch_add(1, Ordering::SeqCst);
        match (at.cmp(&self.step), self.fault) {
            (std::cmp::Ordering::Less, _) | (std::cmp::Ordering::Greater, Fault::NoSpace) => Outcome::Go,
            (std::cmp::Ordering::Equal, Fault::CrashAfter) => Outcome::GoAndDie,
            (std::cmp::Ordering::Equal, Fault::NoSpace) => {
                Outcome::Refuse(StoreError::new(ErrorKind::NoSpace, "test", "no space"))
            }
            _ => Outcome::Refuse(died()),
        }
    }

    fn run<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self.step() {
            Outcome::Go => act(),
            Outcome::GoAndDie => act().and(Err(died())),
            Outcome::Refuse(error) => Err(error),
        }
    }
}

fn died() -> StoreError {
    StoreError::new(ErrorKind::Unknown, "test", "the process died")
}

impl Store for Faulty {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn begin(&self) -> Result<Box<dyn Upload>, StoreError> {
        let inner = self.plan.run(|| self.inner.begin())?;
        Ok(Box::new(FaultyUpload { inner, plan: Arc::clone(&self.plan) }))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.alive()?;
        self.inner.read(path, limit)
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        self.alive()?;
        self.inner.open(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.alive()?;
        self.inner.list(prefix)
    }

    fn len(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.alive()?;
        self.inner.len(path)
    }

    fn remove_orphan(&self, path: &str) -> Result<Removal, StoreError> {
        self.alive()?;
        self.inner.remove_orphan(path)
    }

    fn destroy(&self, path: &str) -> Result<Destroyed, StoreError> {
        self.alive()?;
        self.inner.destroy(path)
    }
}

struct FaultyUpload {
    inner: Box<dyn Upload>,
    plan: Arc<Plan>,
}

impl Write for FaultyUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.plan.step() {
            Outcome::Go => self.inner.write(bytes),
            Outcome::GoAndDie => self.inner.write(bytes).and(Err(io::Error::other(died()))),
            Outcome::Refuse(error) => Err(io::Error::other(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Upload for FaultyUpload {
    fn finish(self: Box<Self>, path: &str, until: Option<u64>) -> Result<(), StoreError> {
        let Self { inner, plan } = *self;
        plan.run(|| inner.finish(path, until))
    }
}
