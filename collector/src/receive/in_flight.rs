//! The budget of bytes that requests under way may hold together.
//!
//! A [`Grant`] belongs to one request, grows before memory does, and gives all back when it is dropped, whatever ended
//! the request. Nobody waits for room: a request that finds none is refused and its sender comes back later.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::metrics::ReceiveMetrics;

/// Charged for each request besides its bytes: it bounds how many tiny requests can be under way.
pub(super) const REQUEST_OVERHEAD: usize = 4096;

/// The budget, shared by all connections.
#[derive(Debug)]
pub(super) struct InFlight {
    held: AtomicUsize,
    limit: usize,
    metrics: Arc<ReceiveMetrics>,
}

/// Why a grant could not grow.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Others hold the rest: it can fit later.
    Now,
    /// It would not fit if it were alone: it can never fit.
    Ever,
}

impl InFlight {
    pub(super) fn new(limit: usize, metrics: Arc<ReceiveMetrics>) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            metrics,
            // The overhead of one request comes on top, so that `limit` means bodies to who sets it.
            limit: limit.saturating_add(REQUEST_OVERHEAD),
        })
    }

    /// A grant that covers a request without its body.
    pub(super) fn request(self: &Arc<Self>) -> Result<Grant, NoRoom> {
        let mut grant = Grant { budget: Arc::clone(self), bytes: 0 };
        grant.grow(REQUEST_OVERHEAD)?;
        Ok(grant)
    }
}

/// One request's part of the budget.
#[derive(Debug)]
pub(super) struct Grant {
    budget: Arc<InFlight>,
    bytes: usize,
}

impl Grant {
    /// Takes `more` bytes, all or none.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), NoRoom> {
        let limit = self.budget.limit;
        if self.bytes.saturating_add(more) > limit {
            return Err(NoRoom::Ever);
        }
        self.budget
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(more).filter(|sum| *sum <= limit)
            })
            .map_err(|_| NoRoom::Now)?;
        self.budget.metrics.holds_more(more);
        self.bytes += more;
        Ok(())
    }

    /// Gives `less` bytes back, at most all.
    pub(super) fn shrink(&mut self, less: usize) {
        let less = less.min(self.bytes);
        self.budget.held.fetch_sub(less, Ordering::Relaxed);
        self.budget.metrics.holds_less(less);
        self.bytes -= less;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit: usize) -> (Arc<InFlight>, Arc<ReceiveMetrics>) {
        let metrics = Arc::new(ReceiveMetrics::default());
        (InFlight::new(limit, Arc::clone(&metrics)), metrics)
    }

    fn held(metrics: &ReceiveMetrics) -> u64 {
        metrics.bytes_in_flight.load(Ordering::Relaxed)
    }

    #[test]
    fn a_grant_gives_back_what_it_took() {
        let (budget, metrics) = budget(1000);
        let mut one = budget.request().expect("room for one");
        assert_eq!(one.grow(1000), Ok(()));
        assert_eq!(one.grow(1), Err(NoRoom::Ever));
        assert_eq!(budget.request().map(|_| ()), Err(NoRoom::Now));
        one.shrink(400);
        assert_eq!(held(&metrics), REQUEST_OVERHEAD as u64 + 600);
        drop(one);
        assert_eq!(held(&metrics), 0);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn two_grants_share_the_budget() {
        let (budget, _) = budget(3 * REQUEST_OVERHEAD);
        let mut one = budget.request().expect("room for one");
        let mut two = budget.request().expect("room for two");
        assert_eq!(one.grow(2 * REQUEST_OVERHEAD), Ok(()));
        assert_eq!(two.grow(1), Err(NoRoom::Now));
        drop(one);
        assert_eq!(two.grow(1), Ok(()));
    }
}
