//! Steps that fail, machines that stop, files that rot.

use crate::journal::memory_disk::{EIO, ENOSPC, Fault};

use super::*;

/// What the journal would do: the entries that a stop lost are inserted again.
fn replay(dedup: &mut Dedup, to: u64) {
    for index in dedup.highest_index().map_or(0, |highest| highest + 1)..to {
        dedup.insert(&timed(index), &content(index), index, index).unwrap();
    }
    dedup.commit_staged();
    dedup.flush().unwrap();
}

#[test]
fn each_step_fails_and_what_was_synced_is_known() {
    let faults = [
        Fault::Before(EIO),
        Fault::Before(ENOSPC),
        Fault::After(EIO),
        Fault::After(ENOSPC),
        Fault::Short(EIO),
        Fault::Short(ENOSPC),
    ];
    let crashes = [Crash::Process, Crash::Power, Crash::Torn(5), Crash::Torn(99), Crash::Torn(31_337)];
    let mut runs = 0;
    for fault in faults {
        for crash in crashes {
            for operation in 0.. {
                let disk = MemoryDisk::new();
                let mut dedup = open(&disk);
                disk.fail(operation, fault);
                let (mut sealed, mut synced) = (0, 0);
                for index in 0..30 {
                    dedup.insert(&timed(index), &content(index), index, index).unwrap_or_else(|error| {
                        assert!(matches!(error, DedupError::Broken { .. }), "{error}");
                    });
                    dedup.commit_staged();
                    let outcome = if index % 5 == 4 { dedup.sync() } else { dedup.flush() };
                    if matches!(outcome, Err(DedupError::Broken { .. })) {
                        break;
                    }
                    sealed = index + 1;
                    if index % 5 == 4 && outcome.is_ok() {
                        synced = sealed;
                    }
                }
                check(&mut dedup, 0..sealed);
                drop(dedup);
                if !disk.fired() {
                    break;
                }
                runs += 1;
                for crash in [crash, Crash::Power] {
                    disk.crash(crash);
                    let mut dedup = open(&disk);
                    let highest = dedup.highest_index().map_or(0, |highest| highest + 1);
                    assert!(highest >= synced, "{fault:?} {crash:?} {operation}: {highest} < {synced}");
                    check(&mut dedup, 0..highest);
                    // What start-up knows must not be lost by a power cut after a successful sync of nothing new.
                    dedup.sync().unwrap();
                    synced = highest;
                }
                let mut dedup = open(&disk);
                replay(&mut dedup, sealed);
                check(&mut dedup, 0..sealed);
            }
        }
    }
    assert!(runs > 500, "only {runs} runs");
}

#[test]
fn no_room_for_a_run_refuses_in_time_and_goes_on_later() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    fill(&mut dedup, 8);
    for index in 8..10 {
        dedup.insert(&timed(index), &content(index), index, index).unwrap();
        dedup.commit_staged();
        disk.fail(0, Fault::Before(ENOSPC));
        assert!(dedup.flush().unwrap_err().is_no_room());
    }
    check(&mut dedup, 0..10);
    dedup.flush().unwrap();
    assert_eq!(dedup.runs(), 1);
    check(&mut dedup, 0..10);
}

#[test]
fn the_log_cut_anywhere_keeps_its_whole_blocks() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    fill(&mut dedup, 7);
    drop(dedup);
    let path = dir().join("current.log");
    let whole = disk.content(&path);
    let mut seen = Vec::new();
    for len in 60..=whole.len() {
        let copy = disk.copy();
        copy.put(&path, &whole[..len]);
        let mut dedup = open(&copy);
        let highest = dedup.highest_index().map_or(0, |highest| highest + 1);
        check(&mut dedup, 0..highest);
        seen.push(highest);
    }
    seen.dedup();
    assert_eq!(seen, [0, 3, 6, 7]);
}

#[test]
fn a_flip_in_the_synced_part_of_the_log_is_refused_and_behind_it_cut() {
    let disk = MemoryDisk::new();
    let mut dedup = open(&disk);
    fill(&mut dedup, 3);
    dedup.sync().unwrap();
    let path = dir().join("current.log");
    let synced = disk.content(&path).len();
    fill(&mut dedup, 3);
    drop(dedup);
    let whole = disk.content(&path);
    let marker = synced - 24;
    for at in 0..whole.len() {
        let copy = disk.copy();
        let mut content = whole.clone();
        content[at] ^= 4;
        copy.put(&path, &content);
        match Dedup::open(&dir(), copy.as_disk(), small()) {
            Err(DedupError::Corrupt { path: named, .. }) => assert!(named == path && at < marker, "{at}"),
            Err(error) => panic!("{at}: {error}"),
            Ok(mut dedup) => {
                assert!(at >= marker, "{at}");
                check(&mut dedup, 0..3);
            }
        }
    }
}

#[test]
fn a_damaged_run_is_named_and_never_answers_wrongly() {
    let disk = MemoryDisk::new();
    fill(&mut open(&disk), 10);
    let path = disk.names().into_iter().find(|path| path.extension().is_some_and(|e| e == "run")).unwrap();
    let whole = disk.content(&path);
    for at in 0..whole.len() {
        let copy = disk.copy();
        let mut bytes = whole.clone();
        bytes[at] ^= 32;
        copy.put(&path, &bytes);
        match Dedup::open(&dir(), copy.as_disk(), small()) {
            Err(DedupError::Corrupt { path: named, .. }) => assert!(named == path && at < 4096, "{at}"),
            Err(error) => panic!("{at}: {error}"),
            Ok(dedup) => {
                assert!(at >= 4096, "{at}");
                let mut refused = 0;
                for index in 0..9 {
                    match dedup.lookup(&timed(index), &content(index)) {
                        Ok(verdict) => assert_eq!(verdict, Verdict::Duplicate { index }),
                        Err(DedupError::Corrupt { .. }) => refused += 1,
                        Err(error) => panic!("{at}: {error}"),
                    }
                }
                assert!(refused > 0, "{at}");
            }
        }
    }
    for len in [0, 100, 4096, whole.len() - 1] {
        let copy = disk.copy();
        copy.put(&path, &whole[..len]);
        assert!(matches!(Dedup::open(&dir(), copy.as_disk(), small()), Err(DedupError::Corrupt { .. })));
    }
    let error = DedupError::corrupt(&path, "x").to_string();
    assert!(error.contains("remove it") && error.contains("sealed twice"), "{error}");
    disk.remove(&path).unwrap();
    let dedup = open(&disk);
    assert_eq!(dedup.lookup(&timed(0), &content(0)).unwrap(), Verdict::New, "the remedy works");
}
