//! How many objects may be made in a day.

use std::time::{Duration, Instant};

const SECONDS_PER_DAY: f64 = 86_400.0;
/// Of a day's objects, what may be made at once after a quiet time. The rest comes evenly, so that no 24 hours have more than a
/// day's: these at once, and what comes meanwhile.
const AT_ONCE: f64 = 0.25;

/// How many objects may still be made by closing segments for their age or number of records.
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

    const AGE: Duration = Duration::from_secs(5);

    /// Segments closed in a run of days in which a record comes `every` so often while `busy` says so of the seconds since midnight: by day
    /// their objects, and how long each segment took.
    fn days(
        days: u64,
        classes: u64,
        max_age: Duration,
        every: Duration,
        busy: fn(u64) -> bool,
    ) -> Vec<(u64, Vec<Duration>)> {
        let objects = classes + 3;
        let began = Instant::now();
        let mut budget = Budget::new(PER_DAY, began);
        let mut made = vec![(0, Vec::new()); days as usize];
        let mut now = began;
        while now < began + DAY * days as u32 {
            if !busy((now - began).as_secs() % DAY.as_secs()) {
                now += Duration::from_secs(60);
                continue;
            }
            let opened = now;
            now += max_age;
            while !budget.take(objects, now) {
                // A float may miss the moment by a little.
                now += budget.wait_for(objects, now).max(Duration::from_micros(1));
            }
            if let Some((day, ages)) = made.get_mut((now - began).as_secs() as usize / DAY.as_secs() as usize) {
                *day += objects;
                ages.push(now - opened);
            }
            // The next record that is not in this segment.
            now = now.max(opened + every);
        }
        made
    }

    fn mean(ages: &[Duration]) -> Duration {
        ages.iter().sum::<Duration>() / ages.len() as u32
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn no_day_has_more_objects_than_configured() {
        for classes in [1, 6] {
            let made: Vec<u64> =
                days(3, classes, SECOND, SECOND, |_| true).into_iter().map(|(objects, _)| objects).collect();
            assert!(made.iter().all(|day| *day <= PER_DAY), "{classes} classes: {made:?}");
            // The first day has what may be made at once beside its own; the bound is used, not only kept.
            assert!(made[0] > PER_DAY * 9 / 10, "{classes} classes: {made:?}");
        }
    }

    /// The periods of docs/operating.md.
    #[test]
    fn a_quiet_ledger_has_a_checkpoint_after_the_age_and_a_busy_one_as_often_as_the_budget_allows() {
        // A record a minute, round the clock: never held back.
        for (_, ages) in days(3, 1, AGE, SECOND * 60, |_| true) {
            assert!(ages.iter().all(|age| *age == AGE), "{:?}", ages.iter().max());
        }
        // Without a pause: a few hours at the age, then evenly.
        for (classes, period) in [(1, 23), (3, 35), (6, 52)] {
            let made = days(3, classes, AGE, Duration::ZERO, |_| true);
            assert_eq!(made[0].1[0], AGE);
            let at_the_age = made[0].1.iter().take_while(|age| **age == AGE).count() as u64 * AGE.as_secs();
            println!("{classes} classes: {AGE:?} for {at_the_age} s, then {:?}", mean(&made[2].1));
            assert_eq!(mean(&made[2].1).as_secs_f64().round() as u64, period, "{classes} classes");
        }
        // Eight hours of work a day: what was left of the night before is there again each morning.
        let working = |second: u64| (8 * 3_600..16 * 3_600).contains(&second);
        for (day, (objects, ages)) in days(4, 1, AGE, Duration::ZERO, working).into_iter().enumerate() {
            let at_the_age = ages.iter().take_while(|age| **age == AGE).count() as u64 * AGE.as_secs();
            println!("day {day}: {objects} objects, {AGE:?} for {at_the_age} s, {:?} on average", mean(&ages));
            assert!(at_the_age > 2 * 3_600, "day {day}: {at_the_age} s");
        }
    }
}
