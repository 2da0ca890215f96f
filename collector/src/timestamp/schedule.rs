//! When an authority is asked: there must be something new, or a certificate that nears its end, and the last time must be long ago.

use std::time::{Duration, Instant};

use tachograph_record::Time;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// A ledger without news is not stamped more often than this, however near the end of the certificate is.
const LEAST_BETWEEN_RENEWALS: Duration = Duration::from_secs(24 * 3_600);
/// Anchors that are remembered.
const MAX_ANCHORS: usize = 10_000;

/// The anchors that this run sealed: for each, an index that it has at least.
#[derive(Debug, Default)]
pub(super) struct Anchors(Vec<u64>);

/// The newest token of an authority.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    /// Records under its checkpoint.
    pub(super) size: u64,
    /// End of the certificate that signed it.
    pub(super) expires: Time,
}

/// One authority's.
#[derive(Debug)]
pub(super) struct Schedule {
    every: Duration,
    renew_before: Duration,
    last: Option<Last>,
    /// Not before.
    next: Option<Instant>,
    /// Without news not before.
    next_renewal: Option<Instant>,
    pause: Duration,
}

impl Anchors {
    pub(super) fn sealed(&mut self, at_least: u64) {
        if self.0.len() < MAX_ANCHORS {
            self.0.push(at_least);
        }
    }

    pub(super) fn forget_below(&mut self, size: u64) {
        self.0.retain(|at_least| *at_least >= size);
    }

    /// How many have that index at least.
    fn count_from(&self, size: u64) -> u64 {
        self.0.iter().filter(|at_least| **at_least >= size).count() as u64
    }
}

impl Schedule {
    pub(super) fn new(every: Duration, renew_before: Duration) -> Self {
        Self { every, renew_before, last: None, next: None, next_renewal: None, pause: FIRST_PAUSE.min(every) }
    }

    /// Whether there are records up to `size` beside anchors that are not stamped.
    ///
    /// Of an anchor only a lower bound of its index is known. So one may be counted that lies behind `size`, and hide a record until a
    /// checkpoint is over that anchor too, or one that lies before it be missed, which costs one stamp more.
    pub(super) fn has_news(&self, size: u64, anchors: &Anchors) -> bool {
        self.last.is_none_or(|last| size.saturating_sub(last.size) > anchors.count_from(last.size))
    }

    /// Whether to ask about the checkpoint of `size` records at all.
    pub(super) fn wants(&self, size: u64, anchors: &Anchors, time: Time, now: Instant) -> bool {
        self.has_news(size, anchors) || self.is_ending(size, time, now)
    }

    /// Whether the certificate nears its end, and the checkpoint is over the newest token's hash.
    fn is_ending(&self, size: u64, time: Time, now: Instant) -> bool {
        self.last.is_some_and(|last| {
            let left = last.expires.unix_nanos().saturating_sub(time.unix_nanos());
            size > last.size
                && Duration::from_nanos(left) < self.renew_before
                && self.next_renewal.is_none_or(|next| now >= next)
        })
    }

    /// How long it must not be asked yet.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }

    /// It gave a token, `ago` before `now`.
    pub(super) fn stamped(&mut self, last: Last, now: Instant, ago: Duration) {
        self.last = Some(last);
        self.next_renewal = Some(now + LEAST_BETWEEN_RENEWALS.saturating_sub(ago));
        self.next = Some(now + self.every.saturating_sub(ago));
        self.pause = FIRST_PAUSE.min(self.every);
    }

    /// It gave none. Gives how long to wait before the next attempt.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        let pause = self.pause;
        self.next = Some(now + pause);
        self.pause = (pause * 2).min(LONGEST_PAUSE).min(self.every.max(FIRST_PAUSE));
        pause
    }

    /// Records under its newest token's checkpoint.
    pub(super) fn size(&self) -> u64 {
        self.last.map_or(0, |last| last.size)
    }

    /// End of the certificate of its newest token.
    pub(super) fn expires(&self) -> Option<Time> {
        self.last.map(|last| last.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn days(days: u64) -> Time {
        Time::from_unix_nanos(days * 24 * 3_600 * 1_000_000_000).unwrap()
    }

    fn schedule() -> (Schedule, Anchors) {
        (Schedule::new(HOUR, 30 * DAY), Anchors::default())
    }

    #[test]
    fn the_first_checkpoint_is_stamped_at_once_and_the_next_in_an_hour() {
        let (mut schedule, anchors) = schedule();
        let now = Instant::now();
        assert!(schedule.wants(1, &anchors, days(1), now) && schedule.wait(now).is_zero());
        schedule.stamped(Last { size: 1, expires: days(400) }, now, Duration::ZERO);
        assert!(!schedule.wants(1, &anchors, days(1), now), "there is nothing new");
        assert!(schedule.wants(2, &anchors, days(1), now));
        assert_eq!(schedule.wait(now), HOUR);
        // As after a start: the last one was 50 minutes ago.
        schedule.stamped(Last { size: 1, expires: days(400) }, now, Duration::from_secs(3_000));
        assert_eq!(schedule.wait(now), Duration::from_secs(600));
        assert!(schedule.wait(now + HOUR).is_zero());
    }

    #[test]
    fn an_anchor_alone_is_no_news() {
        let (mut schedule, mut anchors) = schedule();
        schedule.stamped(Last { size: 10, expires: days(400) }, Instant::now(), Duration::ZERO);
        anchors.sealed(10);
        anchors.sealed(10);
        assert!(!schedule.has_news(11, &anchors) && !schedule.has_news(12, &anchors));
        assert!(schedule.has_news(13, &anchors));
        anchors.forget_below(11);
        assert!(schedule.has_news(11, &anchors));
    }

    #[test]
    fn an_idle_ledger_is_stamped_again_before_the_certificate_ends() {
        let (mut schedule, mut anchors) = schedule();
        let now = Instant::now();
        schedule.stamped(Last { size: 10, expires: days(100) }, now, Duration::ZERO);
        anchors.sealed(10);
        assert!(!schedule.wants(11, &anchors, days(69), now + 2 * DAY));
        assert!(!schedule.wants(11, &anchors, days(71), now), "it was stamped a moment ago");
        assert!(schedule.wants(11, &anchors, days(71), now + DAY));
        assert!(
            !schedule.wants(10, &anchors, days(71), now + DAY),
            "the newest token's hash is under no checkpoint yet"
        );
    }

    #[test]
    fn failures_are_tried_again_with_growing_pauses() {
        let (mut schedule, anchors) = schedule();
        let now = Instant::now();
        let pauses: Vec<u64> = (0..12).map(|_| schedule.failed(now).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert!(schedule.wants(1, &anchors, days(1), now));
        schedule.stamped(Last { size: 1, expires: days(400) }, now, Duration::ZERO);
        assert_eq!(schedule.failed(now).as_secs(), 1);
    }
}
