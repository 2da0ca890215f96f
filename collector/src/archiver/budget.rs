//! How many objects may be made in a day.

use std::time::{Duration, Instant};

const SECONDS_PER_DAY: f64 = 86_400.0;
/// Of a day's objects, what may be made at once after a quiet time. The rest comes evenly, so that no 24 hours have more than a
/// day's: these at once, and what comes meanwhile.
const AT_ONCE: f64 = 0.25;

/// How many objects may still be made by closing segments for their age.
pub(super) struct Budget {
    most: f64,
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(per_day: u64, now: Instant) -> Self {
        let most = per_day as f64 * AT_ONCE;
        Self { most, per_second: (per_day as f64 - most) / SECONDS_PER_DAY, left: most, at: now }
    }

    /// Takes what `objects` cost, if there is enough.
    pub(super) fn take(&mut self, objects: u64, now: Instant) -> bool {
        self.left = self.left_at(now);
        self.at = now;
        let enough = self.left >= objects as f64;
        if enough {
            self.left -= objects as f64;
        }
        enough
    }

    /// How long until there is enough.
    pub(super) fn wait_for(&self, objects: u64, now: Instant) -> Duration {
        Duration::from_secs_f64((objects as f64 - self.left_at(now)).max(0.0) / self.per_second)
    }

    fn left_at(&self, now: Instant) -> f64 {
        (self.left + now.duration_since(self.at).as_secs_f64() * self.per_second).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_DAY: u64 = 20_000;
    const DAY: Duration = Duration::from_secs(86_400);

    /// Objects on each of three days on which a record comes every second: a segment is closed when it is of age and the budget
    /// allows it.
    fn objects_per_day(classes: u64, max_age: Duration) -> [u64; 3] {
        let objects = classes + 3;
        let began = Instant::now();
        let mut budget = Budget::new(PER_DAY, began);
        let mut made = [0; 3];
        let mut now = began;
        while now < began + DAY * 3 {
            let opened = now;
            now += max_age;
            while !budget.take(objects, now) {
                // A float may miss the moment by a little.
                now += budget.wait_for(objects, now).max(Duration::from_micros(1));
            }
            assert!(now - opened >= max_age);
            if let Some(day) = made.get_mut(((now - began).as_secs() / 86_400) as usize) {
                *day += objects;
            }
            now += Duration::from_secs(1);
        }
        made
    }

    #[test]
    fn no_day_has_more_objects_than_configured() {
        for classes in [1, 6] {
            let made = objects_per_day(classes, Duration::from_secs(1));
            assert!(made.iter().all(|day| *day <= PER_DAY), "{classes} classes: {made:?}");
            // The first day has what may be made at once beside its own; the bound is used, not only kept.
            assert!(made[0] > PER_DAY * 9 / 10, "{classes} classes: {made:?}");
            println!("{classes} classes, max_age 1s: {made:?} objects a day, the bound is {PER_DAY}");
        }
    }

    #[test]
    fn the_default_age_is_below_the_bound() {
        for (classes, expected) in [(1, 4), (6, 9)] {
            let made = objects_per_day(classes, Duration::from_secs(60));
            // A segment a minute, and a second until the next record.
            assert!(made.iter().all(|day| day.abs_diff(86_400 / 61 * expected) <= 2 * expected), "{made:?}");
            println!("{classes} classes, max_age 60s: {made:?} objects a day");
        }
    }
}
