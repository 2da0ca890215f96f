//! Which numbers of each producer arrived here, so that the ledger can say early which did not.
//!
//! A table of bounded size, fed by the writer once it has answered, and asked now and then: which gaps have been open for too
//! long, and which of those that were reported have been filled since. It begins empty with each start of the collector, and takes
//! the first number that it sees of a producer's start as good: what was missing before nobody knows here, and nothing is reported
//! twice. The authority on what is missing is the verifier, which sees the whole ledger.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Starts of producers that are remembered; of more, the quarter that was idle longest is forgotten.
pub const MAX_STARTS: usize = 10_000;
/// Gaps that are remembered of one start, and of all. Further ones are not reported.
pub const MAX_GAPS: usize = 1_000;
/// … of all starts together.
pub const MAX_GAPS_TOGETHER: usize = 100_000;
/// Ranges that one report has; the others come with the next.
pub const MAX_RANGES: usize = 100;
/// Reports at once.
const MAX_REPORTS: usize = 100;

/// A run of numbers, the first and the last. In JSON decimal strings, as all large numbers in bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl Serialize for Range {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BTreeMap::from([("from", self.from.to_string()), ("to", self.to.to_string())]).serialize(serializer)
    }
}

/// Something to be recorded of one start of a producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The producer.
    pub producer: Box<str>,
    /// Which start of it.
    pub epoch: Box<str>,
    /// The numbers that are missing, or that have come after all.
    pub numbers: Vec<Range>,
}

/// What is to be recorded now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Numbers that did not arrive in time.
    pub gaps: Vec<Report>,
    /// Numbers that did after their gap was reported.
    pub filled: Vec<Report>,
}

impl Due {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.filled.is_empty()
    }
}

/// The table.
#[derive(Debug)]
pub struct Producers {
    starts: HashMap<Start, Numbers>,
    /// Gaps of all starts.
    gaps: usize,
    gap_after: Duration,
    /// Starts that may have something due.
    unsettled: bool,
}

/// Producer and epoch.
type Start = (Box<str>, Box<str>);

#[derive(Debug)]
struct Numbers {
    /// The lowest number above all that were seen.
    next: u64,
    gaps: BTreeMap<u64, Gap>,
    filled: Vec<Range>,
    last_seen: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    to: u64,
    since: Instant,
    reported: bool,
}

impl Producers {
    /// An empty table. A gap is due once it has been open for `gap_after`.
    pub fn new(gap_after: Duration) -> Self {
        Self { starts: HashMap::new(), gaps: 0, gap_after, unsettled: false }
    }

    /// A record with this number is sealed, or was before.
    pub fn note(&mut self, producer: &str, epoch: &str, number: u64, now: Instant) {
        let start: Start = (producer.into(), epoch.into());
        let Some(numbers) = self.starts.get_mut(&start) else {
            self.make_room();
            let next = number.saturating_add(1);
            self.starts.insert(start, Numbers { next, gaps: BTreeMap::new(), filled: Vec::new(), last_seen: now });
            return;
        };
        numbers.last_seen = now;
        let before = numbers.gaps.len();
        if number >= numbers.next {
            if number > numbers.next && before < MAX_GAPS && self.gaps < MAX_GAPS_TOGETHER {
                numbers.gaps.insert(numbers.next, Gap { to: number - 1, since: now, reported: false });
            }
            numbers.next = number.saturating_add(1);
        } else {
            numbers.fill(number);
        }
        self.gaps = self.gaps + numbers.gaps.len() - before;
        self.unsettled |= !numbers.gaps.is_empty() || !numbers.filled.is_empty();
    }

    /// What is to be recorded, bounded; it is taken to be recorded then.
    pub fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        if !self.unsettled {
            return due;
        }
        self.unsettled = false;
        for ((producer, epoch), numbers) in &mut self.starts {
            if due.gaps.len() + due.filled.len() >= MAX_REPORTS {
                self.unsettled = true;
                break;
            }
            let push = |reports: &mut Vec<Report>, ranges: Vec<Range>| {
                if !ranges.is_empty() {
                    reports.push(Report { producer: producer.clone(), epoch: epoch.clone(), numbers: ranges });
                }
            };
            // In this order: what is filled was reported before.
            let rest = numbers.filled.split_off(numbers.filled.len().min(MAX_RANGES));
            push(&mut due.filled, std::mem::replace(&mut numbers.filled, rest));
            push(&mut due.gaps, numbers.report(now, self.gap_after));
            self.unsettled |= !numbers.filled.is_empty() || numbers.gaps.values().any(|gap| !gap.reported);
        }
        due
    }

    /// Forgets starts that were idle longest, many at once, so that it costs little for each.
    fn make_room(&mut self) {
        if self.starts.len() < MAX_STARTS {
            return;
        }
        let mut ages: Vec<Instant> = self.starts.values().map(|numbers| numbers.last_seen).collect();
        let (_, oldest_kept, _) = ages.select_nth_unstable(MAX_STARTS / 4);
        let oldest_kept = *oldest_kept;
        let mut left = MAX_STARTS / 4;
        self.starts.retain(|_, numbers| {
            let goes = numbers.last_seen <= oldest_kept && left > 0;
            left -= usize::from(goes);
            !goes
        });
        self.gaps = self.starts.values().map(|numbers| numbers.gaps.len()).sum();
    }
}

impl Numbers {
    /// Takes a number below the highest: it fills a gap, or is known.
    fn fill(&mut self, number: u64) {
        let Some((&from, &gap)) = self.gaps.range(..=number).next_back().filter(|(_, gap)| number <= gap.to) else {
            return;
        };
        self.gaps.remove(&from);
        if from < number {
            self.gaps.insert(from, Gap { to: number - 1, ..gap });
        }
        // Room for the second half may be lacking: then it is not reported, or was already.
        if number < gap.to && self.gaps.len() < MAX_GAPS {
            self.gaps.insert(number + 1, gap);
        }
        if gap.reported {
            let listed = self.filled.len();
            match self.filled.last_mut() {
                Some(last) if last.to.checked_add(1) == Some(number) => last.to = number,
                _ if listed < MAX_GAPS => self.filled.push(Range { from: number, to: number }),
                _ => {}
            }
        }
    }

    fn report(&mut self, now: Instant, gap_after: Duration) -> Vec<Range> {
        let due = self.gaps.iter_mut().filter(|(_, gap)| !gap.reported && now - gap.since >= gap_after);
        due.take(MAX_RANGES)
            .map(|(from, gap)| {
                gap.reported = true;
                Range { from: *from, to: gap.to }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn table() -> (Producers, Instant) {
        (Producers::new(AFTER), Instant::now())
    }

    fn note(producers: &mut Producers, numbers: impl IntoIterator<Item = u64>, now: Instant) {
        numbers.into_iter().for_each(|number| producers.note("p", "e", number, now));
    }

    fn report(numbers: &[(u64, u64)]) -> Vec<Report> {
        let numbers = numbers.iter().map(|&(from, to)| Range { from, to }).collect();
        vec![Report { producer: "p".into(), epoch: "e".into(), numbers }]
    }

    #[test]
    fn a_gap_is_due_when_it_has_been_open_for_a_while_and_only_once() {
        let (mut producers, now) = table();
        note(&mut producers, [0, 1, 2, 5, 6, 9], now);
        assert!(producers.due(now + AFTER / 2).is_empty());
        let due = producers.due(now + AFTER);
        assert_eq!((due.gaps, due.filled), (report(&[(3, 4), (7, 8)]), vec![]));
        assert!(producers.due(now + 10 * AFTER).is_empty());
    }

    #[test]
    fn what_comes_in_time_is_never_due() {
        let (mut producers, now) = table();
        note(&mut producers, [0, 3, 2, 1, 4], now);
        assert!(producers.due(now + AFTER).is_empty());
    }

    #[test]
    fn what_comes_late_is_due_as_filled_and_the_rest_stays_reported() {
        let (mut producers, now) = table();
        note(&mut producers, [0, 10], now);
        assert_eq!(producers.due(now + AFTER).gaps, report(&[(1, 9)]));
        note(&mut producers, [4, 5, 5, 9, 0], now + AFTER);
        let due = producers.due(now + AFTER);
        assert_eq!((due.gaps, due.filled), (vec![], report(&[(4, 5), (9, 9)])));
        note(&mut producers, [1, 2, 3, 6, 7, 8], now + AFTER);
        assert_eq!(producers.due(now + AFTER).filled, report(&[(1, 3), (6, 8)]));
        assert_eq!(producers.gaps, 0);
    }

    #[test]
    fn the_first_number_that_is_seen_is_taken_as_good() {
        let (mut producers, now) = table();
        note(&mut producers, [500, 499, 0, 501], now);
        assert!(producers.due(now + AFTER).is_empty());
    }

    #[test]
    fn the_highest_numbers_do_no_harm() {
        let (mut producers, now) = table();
        note(&mut producers, [0, u64::MAX, u64::MAX, u64::MAX - 1], now);
        assert_eq!(producers.due(now + AFTER).gaps, report(&[(1, u64::MAX - 2)]));
    }

    #[test]
    fn however_much_comes_it_stays_bounded() {
        let (mut producers, now) = table();
        note(&mut producers, (0..10 * MAX_GAPS as u64).map(|n| n * 2), now);
        assert_eq!(producers.gaps, MAX_GAPS);
        let due = producers.due(now + AFTER);
        assert_eq!(due.gaps[0].numbers.len(), MAX_RANGES);
        for start in 0..3 * MAX_STARTS as u64 {
            producers.note("p", &start.to_string(), 0, now + Duration::from_nanos(start + 1));
            producers.note("p", &start.to_string(), 2, now + Duration::from_nanos(start + 1));
        }
        assert!(producers.starts.len() <= MAX_STARTS, "{}", producers.starts.len());
        assert!(producers.starts.contains_key(&("p".into(), (3 * MAX_STARTS - 1).to_string().into())));
        let counted: usize = producers.starts.values().map(|numbers| numbers.gaps.len()).sum();
        assert_eq!(producers.gaps, counted);
        assert_eq!(producers.due(now + 2 * AFTER).gaps.len(), MAX_REPORTS);
    }
}
