//! What the duplicate index promises.

mod durability;
mod model;

use std::path::PathBuf;

use super::*;
use crate::journal::disk::RealDisk;
use crate::journal::memory_disk::{Crash, MemoryDisk};

fn dir() -> PathBuf {
    PathBuf::from("/dedup")
}

fn small() -> Settings {
    Settings { table_entries: 8, retention: Duration::from_nanos(100), ..Settings::default() }
}

fn open(disk: &MemoryDisk) -> Dedup {
    Dedup::open(&dir(), disk.as_disk(), small()).unwrap()
}

/// A UUIDv7 of millisecond `at`.
fn timed(at: u64) -> EventId {
    let mut id = [0x11; 16];
    id[..6].copy_from_slice(&at.to_be_bytes()[2..]);
    id[6] = 0x71;
    id[15] = at as u8;
    id
}

/// A UUIDv4.
fn untimed(seed: u64) -> EventId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    id[8..].copy_from_slice(&seed.to_be_bytes());
    id[6] = 0x41;
    id
}

fn content(seed: u64) -> ContentDigest {
    [seed as u8; 16]
}

/// Seals `count` events in groups of three, from the next index on, at a time equal to the index.
fn fill(dedup: &mut Dedup, count: u64) {
    let first = dedup.highest_index().map_or(0, |highest| highest + 1);
    for index in first..first + count {
        dedup.insert(&timed(index), &content(index), index, index).unwrap();
        if index % 3 == 2 || index + 1 == first + count {
            dedup.commit_staged();
            dedup.flush().unwrap();
        }
    }
}

fn check(dedup: &mut Dedup, indexes: std::ops::Range<u64>) {
    for index in indexes {
        assert_eq!(dedup.lookup(&timed(index), &content(index)).unwrap(), Verdict::Duplicate { index });
        let conflict = Verdict::Conflict { first_index: index };
        assert_eq!(dedup.lookup(&timed(index), &content(index + 1)).unwrap(), conflict);
    }
}

#[test]
fn a_resent_record_is_known_in_memory_in_runs_and_after_restarts() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    assert_eq!((dedup.highest_index(), dedup.entries()), (None, 0));
    assert_eq!(dedup.lookup(&timed(0), &content(0)).unwrap(), Verdict::New);
    fill(&mut dedup, 40);
    assert!(dedup.runs() >= 3);
    check(&mut dedup, 0..40);
    assert_eq!(dedup.lookup(&timed(40), &content(40)).unwrap(), Verdict::New);
    drop(dedup);
    let mut dedup = open(&disk);
    assert_eq!((dedup.highest_index(), dedup.entries()), (Some(39), 40));
    check(&mut dedup, 0..40);
    fill(&mut dedup, 40);
    check(&mut dedup, 0..80);
}

#[test]
fn many_conflicts_of_one_id_stay_apart() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    for index in 0..60 {
        let expected = if index == 0 { Verdict::New } else { Verdict::Conflict { first_index: 0 } };
        assert_eq!(dedup.lookup(&untimed(7), &content(index)).unwrap(), expected);
        dedup.insert(&untimed(7), &content(index), index, index).unwrap();
        dedup.commit_staged();
        dedup.flush().unwrap();
    }
    assert!(dedup.runs() > 5);
    for index in 0..60 {
        assert_eq!(dedup.lookup(&untimed(7), &content(index)).unwrap(), Verdict::Duplicate { index });
    }
    assert_eq!(dedup.lookup(&untimed(7), &content(99)).unwrap(), Verdict::Conflict { first_index: 0 });
}

#[test]
fn a_group_that_was_not_written_is_forgotten() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    fill(&mut dedup, 5);
    for index in 5..9 {
        dedup.insert(&timed(index), &content(index), index, index).unwrap();
    }
    // Within the group itself it is known, so that a batch that repeats itself is sealed once.
    assert_eq!(dedup.lookup(&timed(6), &content(6)).unwrap(), Verdict::Duplicate { index: 6 });
    dedup.rollback_staged();
    dedup.flush().unwrap();
    assert_eq!(dedup.lookup(&timed(6), &content(6)).unwrap(), Verdict::New);
    assert_eq!(dedup.highest_index(), Some(4));
    drop(dedup);
    let mut dedup = open(&disk);
    assert_eq!(dedup.highest_index(), Some(4));
    check(&mut dedup, 0..5);
}

#[test]
fn replaying_the_journal_changes_nothing() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    fill(&mut dedup, 30);
    let entries = dedup.entries();
    for index in 0..30 {
        dedup.insert(&timed(index), &content(index), index, index).unwrap();
    }
    dedup.commit_staged();
    dedup.flush().unwrap();
    assert_eq!(dedup.entries(), entries);
}

#[test]
fn runs_go_when_all_they_list_is_older_than_the_retention() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    fill(&mut dedup, 40);
    let runs = dedup.runs();
    assert_eq!(dedup.expire(99).unwrap(), 0, "nothing is that old");
    assert_eq!(dedup.expire(108).unwrap(), 0, "the first run's newest is of time 8");
    check(&mut dedup, 0..40);
    assert_eq!(dedup.expire(109).unwrap(), 1);
    assert_eq!(dedup.runs(), runs - 1);
    assert_eq!(dedup.lookup(&timed(0), &content(0)).unwrap(), Verdict::New);
    check(&mut dedup, 9..40);
    assert_eq!(dedup.expire(u64::MAX).unwrap(), runs - 1);
    check(&mut dedup, 36..40);
    drop(dedup);
    assert_eq!(open(&disk).runs(), 0);
}

#[test]
fn too_many_runs_cost_the_oldest_and_are_counted() {
    let disk = MemoryDisk::new();
    let mut dedup = Dedup::open(&dir(), disk.as_disk(), Settings { max_runs: 2, ..small() }).unwrap();
    fill(&mut dedup, 60);
    assert_eq!(dedup.runs(), 2);
    assert!(dedup.dropped_early() > 0);
    check(&mut dedup, 50..60);
}

#[test]
fn a_smaller_table_keeps_what_a_larger_one_logged() {
    let disk = MemoryDisk::new();
    let mut dedup = Dedup::open(&dir(), disk.as_disk(), Settings { table_entries: 1000, ..small() }).unwrap();
    fill(&mut dedup, 500);
    assert_eq!(dedup.runs(), 0);
    drop(dedup);
    let mut dedup = open(&disk);
    assert_eq!(dedup.entries(), 500);
    fill(&mut dedup, 1);
    assert_eq!(dedup.runs(), 1);
    check(&mut dedup, 0..501);
}

#[test]
fn a_group_without_end_is_refused() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    for index in 0..MAX_STAGED as u64 {
        dedup.insert(&timed(index), &content(index), index, index).unwrap();
    }
    let index = MAX_STAGED as u64;
    let error = dedup.insert(&timed(index), &content(index), index, index).unwrap_err();
    assert!(matches!(error, DedupError::Full { .. }), "{error}");
}

#[test]
fn a_fresh_id_touches_no_run_even_if_some_clocks_are_wrong() {
    let mut prefixes: Vec<u64> = (0..5_000).map(|at| 1_000_000 + at * 3).collect();
    prefixes.extend((1..=20).map(|year| year * 40_000_000));
    prefixes.sort_unstable();
    let ranges = ranges::cover(prefixes.iter().copied());
    assert!(ranges.len() <= ranges::MAX_RANGES);
    assert!(prefixes.iter().all(|p| ranges.iter().any(|(low, high)| (low..=high).contains(&p))));
    let map = ranges::Map::new((0..).zip([ranges.clone(), ranges]));
    assert_eq!(map.around(1_000_003).count(), 2);
    assert_eq!(map.around(1_020_000).count(), 0, "behind the crowd, before the first wrong clock");
    assert_eq!(map.around(39_000_000).count(), 0);
    assert_eq!(map.around(40_000_000).count(), 2);
    assert_eq!(map.around(u64::MAX).count(), 0);
    assert!(ranges::cover(std::iter::empty()).is_empty());
}

#[test]
fn the_filter_never_hides_and_seldom_errs() {
    let count = 20_000;
    let blocks = bloom::blocks_for(count);
    let mut filter = vec![0; blocks as usize * bloom::BLOCK_BYTES];
    let block = |place: &bloom::Place| place.block as usize * bloom::BLOCK_BYTES;
    for id in (0..count).map(|at| if at % 2 == 0 { timed(at) } else { untimed(at) }) {
        let place = bloom::place(&id, [3, 4], blocks);
        place.set(&mut filter[block(&place)..]);
    }
    let perhaps = |id: EventId| {
        let place = bloom::place(&id, [3, 4], blocks);
        place.is_set(&filter[block(&place)..])
    };
    assert!((0..count).all(|at| perhaps(if at % 2 == 0 { timed(at) } else { untimed(at) })));
    let wrong = (count..2 * count).filter(|at| perhaps(untimed(*at)) || perhaps(timed(*at))).count();
    assert!(wrong < 1_600, "{wrong} of 40000");
}

#[test]
fn it_works_on_a_real_disk() {
    let place = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let settings = Settings { table_entries: 1000, ..small() };
    let mut dedup = Dedup::open(place.path(), Arc::clone(&disk), settings).unwrap();
    fill(&mut dedup, 3_500);
    dedup.sync().unwrap();
    assert_eq!(dedup.runs(), 3);
    check(&mut dedup, 0..3_500);
    drop(dedup);
    let mut dedup = Dedup::open(place.path(), disk, settings).unwrap();
    check(&mut dedup, 0..3_500);
    assert_eq!(dedup.expire(u64::MAX).unwrap(), 3);
}
