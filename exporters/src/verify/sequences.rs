//! Which numbers of each producer arrived.

use std::collections::BTreeMap;

use super::report::{Gap, MAX_PRODUCERS, ProducerReport};

/// Most runs of numbers, over all producers, that are remembered.
const MAX_RUNS: usize = 1 << 20;
/// Most starts of producers.
const MAX_STARTS: usize = 1 << 16;
const MAX_GAPS: usize = 20;

/// The numbers seen, by producer and by its start.
#[derive(Default)]
pub(crate) struct Sequences {
    producers: BTreeMap<String, BTreeMap<String, Numbers>>,
    starts: usize,
    runs: usize,
    pub(crate) unnumbered: u64,
    /// A bound was reached: what is counted is not all.
    pub(crate) overflowed: bool,
}

/// A set of numbers as runs, first to last, that do not touch.
#[derive(Default)]
struct Numbers {
    runs: BTreeMap<u64, u64>,
    seen: u64,
    repeated: u64,
}

impl Sequences {
    /// Takes what one leaf says.
    pub(crate) fn push(&mut self, producer: Option<&str>, epoch: Option<&str>, number: Option<u64>) {
        let (Some(producer), Some(number)) = (producer, number) else {
            self.unnumbered += 1;
            return;
        };
        let epoch = epoch.unwrap_or_default();
        if let Some(numbers) = self.producers.get_mut(producer).and_then(|epochs| epochs.get_mut(epoch)) {
            let before = numbers.runs.len();
            if self.runs < MAX_RUNS || numbers.is_near(number) {
                numbers.insert(number);
                self.runs = self.runs + numbers.runs.len() - before;
            } else {
                self.overflowed = true;
            }
        } else if self.starts < MAX_STARTS && self.runs < MAX_RUNS {
            let numbers = self.producers.entry(producer.to_owned()).or_default().entry(epoch.to_owned()).or_default();
            numbers.insert(number);
            self.starts += 1;
            self.runs += 1;
        } else {
            self.overflowed = true;
        }
    }

    /// Starts of producers with gaps, and the numbers missing in all of them.
    pub(crate) fn missing(&self) -> (u64, u64) {
        let all = self.producers.values().flat_map(BTreeMap::values).map(Numbers::missing);
        all.filter(|missing| *missing > 0)
            .fold((0, 0), |(starts, sum), missing| (starts + 1, sum.saturating_add(missing)))
    }

    /// The producers, those with gaps first.
    pub(crate) fn report(&self) -> Vec<ProducerReport> {
        let mut reports: Vec<ProducerReport> = self
            .producers
            .iter()
            .flat_map(|(producer, epochs)| epochs.iter().map(move |(epoch, numbers)| numbers.report(producer, epoch)))
            .collect();
        reports.sort_by_key(|report| report.missing == 0);
        reports.truncate(MAX_PRODUCERS);
        reports
    }
}

impl Numbers {
    /// Whether taking `number` needs no further run.
    fn is_near(&self, number: u64) -> bool {
        let before = self.runs.range(..=number).next_back();
        before.is_some_and(|(_, last)| number <= last.saturating_add(1))
            || number.checked_add(1).is_some_and(|next| self.runs.contains_key(&next))
    }

    fn insert(&mut self, number: u64) {
        let before = self.runs.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| number <= last) {
            self.repeated += 1;
            return;
        }
        self.seen += 1;
        let first = match before {
            Some((first, last)) if last + 1 == number => first,
            _ => number,
        };
        let next = number.checked_add(1).and_then(|next| self.runs.remove(&next));
        self.runs.insert(first, next.unwrap_or(number));
    }

    fn last(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(_, last)| *last)
    }

    fn missing(&self) -> u64 {
        // At most 2^64 numbers up to the highest, and at least one of them was seen.
        (u128::from(self.last()) + 1 - u128::from(self.seen)) as u64
    }

    fn report(&self, producer: &str, epoch: &str) -> ProducerReport {
        let mut gaps = Vec::new();
        let mut expected = 0_u64;
        for (first, last) in &self.runs {
            if *first > expected && gaps.len() < MAX_GAPS {
                gaps.push(Gap { from: expected, to: first - 1 });
            }
            expected = last.saturating_add(1);
        }
        ProducerReport {
            producer: producer.to_owned(),
            epoch: epoch.to_owned(),
            seen: self.seen,
            last: self.last(),
            missing: self.missing(),
            repeated: self.repeated,
            gaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_the_set_of_numbers(numbers in prop::collection::vec(prop_oneof![0..40_u64, u64::MAX - 5..=u64::MAX], 1..80)) {
            let mut sequences = Sequences::default();
            let mut set = BTreeSet::new();
            let mut repeated = 0;
            for number in &numbers {
                sequences.push(Some("p"), Some("e"), Some(*number));
                repeated += u64::from(!set.insert(*number));
            }
            let report = sequences.report().remove(0);
            prop_assert_eq!(report.seen, set.len() as u64);
            prop_assert_eq!(report.repeated, repeated);
            prop_assert_eq!(Some(&report.last), set.last());
            let first_gap = (0..).find(|number| !set.contains(number)).unwrap();
            prop_assert_eq!(report.gaps.first().map(|gap| gap.from), (first_gap < report.last).then_some(first_gap));
        }
    }

    #[test]
    fn starts_are_apart_and_unnumbered_records_are_counted() {
        let mut sequences = Sequences::default();
        sequences.push(Some("p"), Some("e1"), Some(0));
        sequences.push(Some("p"), Some("e2"), Some(2));
        sequences.push(Some("p"), Some("e2"), None);
        sequences.push(None, None, None);
        assert_eq!(sequences.missing(), (1, 2));
        assert_eq!(sequences.unnumbered, 2);
        assert_eq!(sequences.report()[0].gaps, [Gap { from: 0, to: 1 }]);
    }
}
