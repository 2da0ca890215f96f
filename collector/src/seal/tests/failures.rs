//! No room, and outcomes that are unknown.

use super::*;
use crate::journal::memory_disk::{Crash, EIO, ENOSPC, Fault};

/// Seals records one by one, from `from` on, until one is refused; gives its number.
fn fill(running: &Running, from: u8) -> u8 {
    (from..100)
        .find(|id| {
            let sealed = running.seal(&[record(*id, "some text to fill the journal with")]);
            assert!(sealed == accepted(1, 0) || sealed == full(), "{sealed:?}");
            sealed == full()
        })
        .expect("the journal has a bound")
}

#[test]
fn a_full_journal_refuses_and_goes_on_without_a_gap_once_there_is_room() {
    let place = Place::new();
    let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
    let parts = place.on_disks(&journal, &dedup, 16 << 10);
    let progress = Arc::clone(&parts.progress);
    let running = Running::start(parts);
    let refused = fill(&running, 0);
    assert!(refused > 8, "{refused}");
    assert_eq!(place.metrics.journal_full.get(), 1);
    assert_eq!(progress.now().durable, u64::from(refused));
    // Refused again, and what was durable is still known.
    assert_eq!(running.seal(&[record(refused, "some text to fill the journal with"), record(200, "x")]), full());
    assert_eq!(running.seal(&[record(0, "some text to fill the journal with")]), accepted(0, 1));

    assert!(running.queue.archived(u64::from(refused)));
    assert_eq!(
        running.seal(&[record(refused, "at last"), record(200, "x")]),
        accepted(2, 0),
        "nothing of the refused is known"
    );
    assert_eq!(place.metrics.journal_full.get(), 0);
    assert_eq!(progress.now().durable, u64::from(refused) + 2);
    running.finish().unwrap();
    let stored = read_disk(&journal, &place);
    assert_eq!(stored.last().map(|last| (last.index, last.id)), Some((u64::from(refused) + 1, 200)));
    assert_eq!(stored.iter().find(|stored| stored.id == refused).unwrap().text, "at last");
    assert_eq!(stored.iter().filter(|stored| stored.conflicts_with.is_some()).count(), 0);
    assert_eq!(place.metrics.sealed.get(), u64::from(refused) + 2);
}

#[test]
fn all_senders_of_a_group_that_finds_no_room_are_refused() {
    let place = Place::new();
    let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
    let parts = place.on_disks(&journal, &dedup, 1 << 20);
    let (queue, receiver) = queue();
    let answers: Vec<_> = (0..3).map(|id| queue.submit(batch(&[record(id, "x")]), None).unwrap()).collect();
    // The first changing operation makes the journal's file.
    journal.fail(0, Fault::Before(ENOSPC));
    let running = Running::start_with(parts, queue, receiver);
    for answer in answers {
        assert_eq!(answer.blocking_recv().unwrap(), full());
    }
    assert!(journal.fired());
    journal.no_faults();
    for id in 0..3 {
        assert_eq!(running.seal(&[record(id, "x")]), accepted(1, 0));
    }
    running.finish().unwrap();
    assert_eq!(ids(&read_disk(&journal, &place)), [0, 1, 2]);
}

#[test]
fn a_jump_of_the_clock_that_found_no_room_is_recorded_when_there_is_some() {
    let place = Place::new();
    let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
    let running = Running::start(place.on_disks(&journal, &dedup, 1 << 20));
    assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0));
    place.clock.set(START - 50);
    journal.fail(0, Fault::Before(ENOSPC));
    assert_eq!(running.seal(&[record(2, "b")]), full());
    journal.no_faults();
    assert_eq!(running.seal(&[record(2, "b")]), accepted(1, 0));
    running.finish().unwrap();
    let texts: Vec<String> = read_disk(&journal, &place).into_iter().map(|stored| stored.text).collect();
    assert_eq!(texts, ["a", "clock.jump_back", "b"]);
}

#[test]
fn a_write_whose_outcome_is_unknown_ends_the_writer() {
    // The second operation of a group in an existing file is its sync; the write before it may also fail.
    for (operation, fault) in [(0, Fault::Before(EIO)), (1, Fault::Before(EIO)), (1, Fault::After(EIO))] {
        let place = Place::new();
        let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
        let parts = place.on_disks(&journal, &dedup, 1 << 20);
        let progress = Arc::clone(&parts.progress);
        let running = Running::start(parts);
        assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0));
        journal.fail(operation, fault);
        let answer = running.seal(&[record(2, "b")]);
        assert!(matches!(&answer, Err(Refusal::Failed { .. })), "{answer:?}");
        assert!(journal.fired());
        assert_eq!(progress.now().durable, 1);
        let again = running.seal(&[record(3, "c")]);
        assert!(matches!(&again, Err(Refusal::Failed { .. } | Refusal::Stopping)), "{again:?}");
        let error = running.finish().expect_err("the process must stop");
        assert!(matches!(&error, WriterError::Journal(AppendError::Broken { .. })), "{error}");

        // What was acknowledged is there, and the unknown record at most behind it.
        journal.crash(Crash::Power);
        let found = ids(&read_disk(&journal, &place));
        assert!(found == [1] || found == [1, 2], "{found:?}");
    }
}

#[test]
fn a_duplicate_index_without_room_refuses_nobody_and_one_that_broke_holds_the_journal() {
    let place = Place::new();
    let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
    let running = Running::start(place.on_disks(&journal, &dedup, 1 << 20));
    dedup.fail(0, Fault::Before(ENOSPC));
    assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0), "its record is in the journal");
    assert!(dedup.fired());
    assert_eq!(running.seal(&[record(1, "a"), record(2, "b")]), accepted(1, 1), "and it is known");
    for id in 3..40 {
        assert_eq!(running.seal(&[record(id, "enough for several files")]), accepted(1, 0));
    }
    let files = journal.names().len();
    assert!(files > 3, "{files}");

    // What is archived is let go of only once the index is on the disk. It is in the log already, so the next operation is
    // the sync itself, and a sync that failed is never tried again.
    dedup.fail(0, Fault::Before(ENOSPC));
    assert!(running.queue.archived(30));
    let error = running.finish().expect_err("what is on that disk is unknown");
    assert!(matches!(&error, WriterError::Dedup(DedupError::Broken { .. })), "{error}");
    assert_eq!(journal.names().len(), files);
}

#[test]
fn a_release_that_waits_for_room_is_tried_again_with_the_next_group() {
    let place = Place::new();
    let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
    let running = Running::start(place.on_disks(&journal, &dedup, 1 << 20));
    for id in 0..40 {
        assert_eq!(running.seal(&[record(id, "enough for several files")]), accepted(1, 0));
    }
    let files = journal.names().len();
    // Neither this group's entry nor, at the release behind it, the same entry once more finds room.
    dedup.fail(0, Fault::Before(ENOSPC));
    assert_eq!(running.seal(&[record(40, "x")]), accepted(1, 0));
    dedup.fail(0, Fault::Before(ENOSPC));
    assert!(running.queue.archived(40));
    // The first may be of the same group as the release that failed; the second is of a later one.
    assert_eq!(running.seal(&[record(41, "y")]), accepted(1, 0));
    assert!(dedup.fired());
    assert_eq!(running.seal(&[record(42, "z")]), accepted(1, 0));
    assert!(journal.names().len() < files, "now it is let go of");
    running.finish().unwrap();
    assert_eq!(read_disk(&journal, &place).last().map(|last| last.id), Some(42));
}

#[test]
fn without_randomness_a_jump_of_the_clock_can_not_be_recorded_and_nothing_is_sealed() {
    struct Dry;
    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> io::Result<()> {
            Err(io::Error::other("the well is dry"))
        }
    }
    let place = Place::new();
    let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
    let parts =
        Parts { entropy: Arc::new(Dry), last_sealed_at: time(START + 1), ..place.on_disks(&journal, &dedup, 1 << 20) };
    let running = Running::start(parts);
    let answer = running.seal(&[record(1, "a")]);
    assert!(matches!(&answer, Err(Refusal::Failed { reason }) if reason.contains("the well is dry")), "{answer:?}");
    running.finish().expect_err("it stops");
    assert!(journal.names().is_empty());
}
