//! Time that a thread had on a processor, and what many samples say together.

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Nanoseconds of CPU time that this thread has had.
pub fn thread_ns() -> f64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

/// Nanoseconds of CPU time that all threads of this process have had.
pub fn process_ns() -> f64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

fn nanoseconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Samples of one thing.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds a sample.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The value below which `share` of the samples are; 0 if there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() as f64 * share) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
    }

    /// The median.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Distance of the quartiles, as a share of the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / self.median()
    }

    /// Of each sample and the one that `other` took in the same round, the ratio.
    pub fn ratios(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(this, other)| this / other).collect())
    }

    /// Median and quartiles, with so many digits behind the point.
    pub fn to_json(&self, digits: i32) -> Value {
        let at = |share| rounded(self.quantile(share), digits);
        json!({ "median": at(0.5), "quartiles": [at(0.25), at(0.75)] })
    }
}

/// A number with so many digits behind the point.
pub fn rounded(number: f64, digits: i32) -> f64 {
    let factor = 10f64.powi(digits);
    (number * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::{Series, rounded, thread_ns};

    fn series(samples: &[f64]) -> Series {
        let mut series = Series::default();
        samples.iter().for_each(|sample| series.push(*sample));
        series
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_samples() {
        let samples = series(&[5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!((samples.quantile(0.0), samples.median(), samples.quantile(1.0)), (1.0, 3.0, 5.0));
        assert_eq!(series(&[]).median(), 0.0);
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        // The machine became three times slower meanwhile; that is not the cases' difference.
        let ratios = series(&[1.0, 3.0, 3.0]).ratios(&series(&[2.0, 6.0, 6.0]));
        assert_eq!((ratios.median(), ratios.spread()), (0.5, 0.0));
    }

    #[test]
    fn a_thread_that_works_has_had_time() {
        let before = thread_ns();
        while thread_ns() - before < 1e6 {}
        assert_eq!(rounded(1.2345, 2), 1.23);
    }
}
