//! Every durable step fails once, done and not done; then the machine stops; then nothing acknowledged may be missing.

use proptest::prelude::*;

use super::super::memory_disk::{EIO, ENOSPC, Fault};
use super::*;

const FAULTS: [Fault; 6] = [
    Fault::Before(EIO),
    Fault::Before(ENOSPC),
    Fault::After(EIO),
    Fault::After(ENOSPC),
    Fault::Short(EIO),
    Fault::Short(ENOSPC),
];
const CRASHES: [Crash; 5] = [Crash::Process, Crash::Power, Crash::Torn(3), Crash::Torn(77), Crash::Torn(1_234_567)];

/// What a run promised to its senders.
#[derive(Default, Debug)]
struct Promised {
    /// Records below this were acknowledged.
    acknowledged: u64,
    /// Records below this may be gone.
    released: u64,
    /// Index behind the group whose fate is unknown.
    attempted: u64,
}

/// Works until the journal breaks or the work is done.
fn work(journal: &mut Journal, promised: &mut Promised) {
    for group in 0..8 {
        // A group that found no room is tried again, in one piece or smaller.
        for attempt in 0..3 {
            let count = if attempt == 1 { 1 } else { 1 + group % 3 };
            let mut frame = frame(promised.acknowledged, count);
            promised.attempted = frame.next_index();
            match journal.append(&mut frame) {
                Ok(durable) => {
                    promised.acknowledged = durable.next_index;
                    break;
                }
                Err(AppendError::Full(_)) => assert!(attempt < 2, "there is room again"),
                Err(AppendError::Broken { .. }) => {
                    assert!(matches!(journal.append(&mut frame), Err(AppendError::Broken { .. })), "it stays broken");
                    return;
                }
            }
        }
        if group == 3 && journal.mark_synced().is_err() {
            return;
        }
        if group == 5 {
            promised.released = promised.acknowledged / 2;
            if journal.release_before(promised.released).is_err() {
                return;
            }
        }
    }
}

fn check_promise(journal: &Journal, promised: &Promised) -> u64 {
    let first = journal.oldest_index().unwrap_or(0);
    assert!(first <= promised.released, "{first} {promised:?}");
    let next = if journal.next_index().is_some() { check_records(journal, first) } else { 0 };
    assert!(next >= promised.acknowledged, "lost: {next} {promised:?}");
    assert!(next <= promised.attempted, "invented: {next} {promised:?}");
    next
}

#[test]
fn each_step_fails_and_nothing_acknowledged_is_lost() {
    let mut runs = 0;
    for fault in FAULTS {
        for crash in CRASHES {
            for operation in 0.. {
                let disk = MemoryDisk::new();
                let (mut journal, _) = open(&disk);
                disk.fail(operation, fault);
                let mut promised = Promised::default();
                work(&mut journal, &mut promised);
                drop(journal);
                if !disk.fired() {
                    break;
                }
                runs += 1;
                disk.crash(crash);
                let (mut journal, recovered) = open(&disk);
                let next = check_promise(&journal, &promised);
                assert_eq!(recovered.next_index.unwrap_or(0), next);

                // What start-up said is there must survive a power cut right after it.
                disk.crash(Crash::Power);
                drop(std::mem::replace(&mut journal, open(&disk).0));
                assert_eq!(check_promise(&journal, &promised), next, "{fault:?} {crash:?} {operation}");
                let mut promised = Promised { acknowledged: next, attempted: next, ..promised };
                work(&mut journal, &mut promised);
                assert_eq!(journal.next_index(), Some(promised.acknowledged));
            }
        }
    }
    assert!(runs > 500, "only {runs} runs");
}

#[test]
fn each_step_of_recovery_fails_and_nothing_acknowledged_is_lost() {
    for fault in FAULTS {
        for crash in CRASHES {
            for operation in 0.. {
                let disk = MemoryDisk::new();
                let (mut journal, _) = open(&disk);
                let acknowledged = fill(&mut journal, 6);
                // A group whose sync fails: it reads well, but is not on the disk.
                disk.fail(1, Fault::Before(EIO));
                assert!(matches!(journal.append(&mut frame(acknowledged, 1)), Err(AppendError::Broken { .. })));
                drop(journal);
                let promised = Promised { acknowledged, released: 0, attempted: acknowledged + 1 };

                disk.no_faults();
                disk.fail(operation, fault);
                let outcome = Journal::open(&dir(), disk.as_disk(), small());
                if let Ok((journal, _)) = &outcome {
                    check_promise(journal, &promised);
                }
                let said = outcome.as_ref().ok().map(|(journal, _)| journal.next_index());
                drop(outcome);
                let fired = disk.fired();
                disk.crash(crash);
                let (journal, _) = open(&disk);
                check_promise(&journal, &promised);
                if let Some(said) = said {
                    assert_eq!(journal.next_index(), said, "start-up trusted what was not durable");
                }
                if !fired {
                    break;
                }
            }
        }
    }
}

#[test]
fn no_room_is_survived_without_a_restart() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let next = fill(&mut journal, 3);
    disk.fail(0, Fault::Short(ENOSPC));
    let error = journal.append(&mut frame(next, 2)).unwrap_err();
    assert!(matches!(error, AppendError::Full(Full::Disk { .. })), "{error}");
    assert!(journal.broken().is_none());
    assert_eq!(check_records(&journal, 0), next);
    let _ = journal.append(&mut frame(next, 1)).unwrap();
    assert_eq!(check_records(&journal, 0), next + 1);
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let next = fill(&mut journal, 3);
    disk.fail(1, Fault::Before(EIO));
    for _ in 0..3 {
        assert!(matches!(journal.append(&mut frame(next, 1)), Err(AppendError::Broken { .. })));
    }
    assert!(journal.broken().unwrap().contains("cannot sync"));
    assert!(journal.mark_synced().is_err() && journal.release_before(1).is_err());
    assert_eq!(check_records(&journal, 0), next, "a reader sees durable frames only");
}

#[test]
fn a_marker_that_is_only_in_memory_leaves_no_hole() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let next = fill(&mut journal, 1);
    disk.fail(1, Fault::Before(EIO));
    assert!(journal.mark_synced().is_err(), "its sync fails, though it reads well");
    drop(journal);
    let (mut journal, recovered) = open(&disk);
    assert!(recovered.clean);
    let _ = journal.append(&mut frame(next, 1)).unwrap();
    disk.crash(Crash::Power);
    assert_eq!(check_records(&open(&disk).0, 0), next + 1);
}

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Release(u64),
    Mark,
    Fail(usize, Fault),
    Restart(Option<Crash>),
}

fn step() -> impl Strategy<Value = Step> {
    let fault = (0..FAULTS.len()).prop_map(|at| FAULTS[at]);
    let crash = prop_oneof![Just(Crash::Process), Just(Crash::Power), any::<u64>().prop_map(Crash::Torn)];
    prop_oneof![
        8 => (1..6_u64).prop_map(Step::Append),
        1 => (0..12_u64).prop_map(Step::Release),
        1 => Just(Step::Mark),
        2 => (0..8_usize, fault).prop_map(|(at, fault)| Step::Fail(at, fault)),
        2 => proptest::option::of(crash).prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_history_keeps_the_promise(steps in proptest::collection::vec(step(), 1..60)) {
        let disk = MemoryDisk::new();
        let mut journal = Some(open(&disk).0);
        let mut promised = Promised::default();
        for step in steps {
            let Some(writer) = journal.as_mut() else { break };
            match step {
                Step::Append(count) => {
                    let next = writer.next_index().unwrap_or(promised.acknowledged);
                    let mut frame = frame(next, count);
                    promised.attempted = promised.attempted.max(frame.next_index());
                    match writer.append(&mut frame) {
                        Ok(durable) => promised.acknowledged = durable.next_index,
                        Err(AppendError::Full(_)) => promised.attempted = next,
                        Err(AppendError::Broken { .. }) => {}
                    }
                }
                Step::Release(back) => {
                    promised.released = promised.released.max(promised.acknowledged.saturating_sub(back));
                    let _ = writer.release_before(promised.released);
                }
                Step::Mark => drop(writer.mark_synced()),
                Step::Fail(operation, fault) => disk.fail(operation, fault),
                Step::Restart(crash) => {
                    disk.no_faults();
                    let closing = journal.take();
                    match crash {
                        None => drop(closing.map(Journal::close)),
                        Some(crash) => {
                            drop(closing);
                            disk.crash(crash);
                        }
                    }
                    let (reopened, _) = open(&disk);
                    let next = check_promise(&reopened, &promised);
                    // What start-up found is durable, hence a promise from now on.
                    promised.acknowledged = next;
                    promised.attempted = next;
                    journal = Some(reopened);
                }
            }
        }
        disk.no_faults();
        drop(journal);
        disk.crash(Crash::Power);
        check_promise(&open(&disk).0, &promised);
    }
}
