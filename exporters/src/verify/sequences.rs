//! Which numbers of each producer arrived.

use std::collections::BTreeMap;
use std::sync::Arc;

use tachograph_ledger::LedgerName;

use super::certificates::RECORDER_PRODUCER;
use super::collector::Collector;
use super::lives::{Life, Lives};
use super::report::{Gap, MAX_PRODUCERS, ProducerReport, ProducerState};

/// Most runs of numbers, over all producers, that are remembered.
const MAX_RUNS: usize = 1 << 20;
/// Most starts of producers.
const MAX_STARTS: usize = 1 << 16;
const MAX_GAPS: usize = 20;

/// What was counted of producers up to the end of a ledger: the ledger that continues it counts on from there.
#[derive(Clone, Debug, Default)]
pub struct Counted(Arc<(Sequences, Lives)>);

impl Counted {
    /// What a ledger begins with that continues the one of `previous`.
    pub(crate) fn begin(previous: Option<Self>, collector: &Collector) -> Sequences {
        let Some(Self(counted)) = previous else { return Sequences::default() };
        let (mut sequences, lives) = (counted.0.clone(), counted.1.clone());
        for (producer, epochs) in &mut sequences.producers {
            for (epoch, numbers) in epochs {
                // The recorder of that ledger says nothing in this one.
                numbers.is_settled =
                    producer == RECORDER_PRODUCER || numbers.is_accounted_for(&lives.of(producer, epoch));
            }
        }
        sequences.unnumbered = 0;
        collector.with_lives(|own| *own = lives);
        sequences
    }

    pub(crate) fn end(sequences: Sequences, collector: &Collector) -> Self {
        Self(Arc::new((sequences, collector.with_lives(|lives| lives.clone()))))
    }
}

/// The numbers seen, by producer and by its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequences {
    producers: BTreeMap<String, BTreeMap<String, Numbers>>,
    starts: usize,
    runs: usize,
    pub(crate) unnumbered: u64,
    /// A bound was reached: what is counted is not all.
    pub(crate) overflowed: bool,
    /// A ledger before this one whose numbers were not seen.
    pub(crate) unseen: Option<LedgerName>,
}

/// A set of numbers as runs, first to last, that do not touch.
#[derive(Clone, Debug, Default)]
struct Numbers {
    runs: BTreeMap<u64, u64>,
    seen: u64,
    repeated: u64,
    /// It is accounted for in an earlier ledger, and nothing of it stands in this one: it is none of this one's affair.
    is_settled: bool,
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

    /// What all numbers tell, with what the producers say of themselves. The reports name those with gaps first, then the open ones.
    pub(crate) fn judge(&self, lives: &Lives) -> (Judgement, Vec<ProducerReport>) {
        let mut judgement = Judgement::default();
        let mut reports = Vec::new();
        for (producer, epochs) in &self.producers {
            for (epoch, numbers) in epochs {
                if numbers.is_settled {
                    continue;
                }
                let report = numbers.report(producer, epoch, lives.of(producer, epoch));
                judgement.take(&report);
                // Bounded, and still the ones that matter most.
                reports.push(report);
                if reports.len() > 2 * MAX_PRODUCERS {
                    most_telling(&mut reports);
                }
            }
        }
        most_telling(&mut reports);
        (judgement, reports)
    }
}

fn most_telling(reports: &mut Vec<ProducerReport>) {
    reports.sort_by_key(|report| (report.missing == 0, report.state == ProducerState::Closed));
    reports.truncate(MAX_PRODUCERS);
}

/// What all producers' numbers tell.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// Starts with gaps, and the numbers missing in all of them.
    pub(crate) gaps: (u64, u64),
    /// The first start that closed and has more gaps than it counts as lost.
    pub(crate) withheld: Option<ProducerReport>,
    pub(crate) withheld_starts: u64,
    /// Starts that did not close, and the one of them that was heard of last.
    pub(crate) open: u64,
    pub(crate) last_heard: Option<ProducerReport>,
}

impl Judgement {
    fn take(&mut self, report: &ProducerReport) {
        if report.missing > 0 {
            self.gaps = (self.gaps.0 + 1, self.gaps.1.saturating_add(report.missing));
        }
        match (report.state, report.lost) {
            (ProducerState::Closed, lost) if report.missing > lost.unwrap_or(0) => {
                self.withheld_starts += 1;
                self.withheld.get_or_insert_with(|| report.clone());
            }
            (ProducerState::Closed, _) => {}
            // The end of what the recorder itself says is the end of the ledger, which is another axis.
            (ProducerState::Open, _) if report.producer == RECORDER_PRODUCER => {}
            (ProducerState::Open, _) => {
                self.open += 1;
                let newest = self.last_heard.as_ref().and_then(|last| last.last_heartbeat.as_ref());
                if self.last_heard.is_none() || report.last_heartbeat.as_ref() > newest {
                    self.last_heard = Some(report.clone());
                }
            }
        }
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
        self.is_settled = false;
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

    fn is_closed(&self, life: &Life) -> bool {
        life.closed.is_some_and(|last| last >= self.last())
    }

    /// Whether it closed, and lacks no more than it counts as lost itself.
    fn is_accounted_for(&self, life: &Life) -> bool {
        self.is_closed(life) && self.missing() <= life.lost
    }

    fn report(&self, producer: &str, epoch: &str, life: Life) -> ProducerReport {
        let closed = self.is_closed(&life);
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
            state: if closed { ProducerState::Closed } else { ProducerState::Open },
            lost: closed.then_some(life.lost),
            last_heartbeat: life.heartbeat.map(|time| time.to_string()),
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
            let report = sequences.judge(&Lives::default()).1.remove(0);
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
        let (judgement, reports) = sequences.judge(&Lives::default());
        assert_eq!((judgement.gaps, judgement.open), ((1, 2), 2));
        assert_eq!(sequences.unnumbered, 2);
        assert_eq!(reports[0].gaps, [Gap { from: 0, to: 1 }]);
    }
}
