//! What the journal promises, on a disk that the tests own, and once on a real one.

mod damage;
mod faults;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, RealDisk};
use super::memory_disk::{Crash, MemoryDisk};
use super::*;

fn dir() -> PathBuf {
    PathBuf::from("/journal")
}

fn small() -> Settings {
    Settings { max_file_bytes: 700, max_bytes: 1 << 20, ..Settings::new("acme.example/test") }
}

fn open(disk: &MemoryDisk) -> (Journal, Recovered) {
    Journal::open(&dir(), disk.as_disk(), small()).unwrap()
}

fn leaf(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn body(index: u64) -> Vec<u8> {
    format!("body {index} ").repeat(1 + index as usize % 7).into_bytes()
}

fn mac(index: u64) -> [u8; 32] {
    [index as u8; 32]
}

fn frame(first: u64, count: u64) -> Frame {
    let mut frame = Frame::begin(first, [first as u8; 32], 1_000 + first);
    for index in first..first + count {
        frame.push(&leaf(index), &body(index), &mac(index)).unwrap();
    }
    frame
}

/// Checks that the records from `from` are those that were pushed, in order; gives the index behind the last.
fn check_records(journal: &Journal, from: u64) -> u64 {
    let mut frames = journal.read_from(from).unwrap();
    let mut expected = from;
    while let Some(frame) = frames.next_frame().unwrap() {
        assert_eq!(frame.first_index(), expected);
        for record in frame.records() {
            assert_eq!(record.index, expected);
            assert_eq!(record.leaf, leaf(expected));
            assert_eq!(record.body, body(expected));
            assert_eq!(record.mac, mac(expected));
            expected += 1;
        }
        assert_eq!(frame.next_index(), expected);
    }
    expected
}

fn fill(journal: &mut Journal, groups: u64) -> u64 {
    let mut next = journal.next_index().unwrap_or(0);
    for group in 0..groups {
        let mut frame = frame(next, 1 + group % 3);
        next = journal.append(&mut frame).unwrap().next_index;
    }
    next
}

#[test]
fn what_is_appended_is_read_back_across_files_and_restarts() {
    let disk = MemoryDisk::new();
    let (mut journal, recovered) = open(&disk);
    assert_eq!(recovered, Recovered { clean: true, ..Recovered::default() });
    assert_eq!((journal.next_index(), journal.oldest_index(), journal.bytes()), (None, None, 0));
    let next = fill(&mut journal, 20);
    assert_eq!(check_records(&journal, 0), next);
    let bytes = journal.bytes();
    journal.close().unwrap();

    disk.crash(Crash::Power);
    let (mut journal, recovered) = open(&disk);
    assert!(recovered.files > 2, "the files are small: {}", recovered.files);
    assert_eq!((recovered.first_index, recovered.next_index), (Some(0), Some(next)));
    assert!(recovered.clean && recovered.torn.is_none());
    assert_eq!(journal.bytes(), bytes + layout::FRAME_HEADER_BYTES as u64, "the marker");
    assert_eq!(journal.oldest_sealed_at(), Some(1_000));
    let after = fill(&mut journal, 4);
    for from in 0..=after {
        assert_eq!(check_records(&journal, from), after);
    }
    assert!(matches!(journal.read_from(after + 1), Err(JournalError::NotHeld { .. })));
}

#[test]
fn a_journal_may_begin_anywhere() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let mut beginning = journal.read_from(41).unwrap();
    assert!(beginning.next_frame().unwrap().is_none());
    let _ = journal.append(&mut frame(41, 2)).unwrap();
    assert_eq!(journal.oldest_index(), Some(41));
    assert_eq!(beginning.next_frame().unwrap().unwrap().next_index(), 43);
}

#[test]
fn a_reader_follows_the_writer_from_another_thread() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let reader = journal.reader();
    let follower = std::thread::spawn(move || {
        let mut frames = reader.read_from(0).unwrap();
        let mut seen = 0;
        while seen < 300 {
            match frames.next_frame().unwrap() {
                Some(frame) => {
                    assert_eq!(frame.first_index(), seen);
                    seen = frame.next_index();
                }
                None => std::thread::yield_now(),
            }
        }
        frames.position()
    });
    for first in (0..300).step_by(3) {
        let _ = journal.append(&mut frame(first, 3)).unwrap();
    }
    assert_eq!(follower.join().unwrap(), 300);
}

#[test]
fn release_removes_whole_files_but_never_the_newest() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let next = fill(&mut journal, 20);
    let files = disk.names().len();
    assert_eq!(journal.release_before(0).unwrap(), 0);
    assert!(journal.release_before(next / 2).unwrap() > 0);
    let oldest = journal.oldest_index().unwrap();
    assert!(oldest > 0 && oldest <= next / 2);
    assert!(matches!(journal.read_from(oldest - 1), Err(JournalError::NotHeld { .. })));
    assert_eq!(check_records(&journal, oldest), next);
    let _ = journal.release_before(u64::MAX).unwrap();
    assert_eq!(disk.names().len(), 1);
    assert!(files > 3);
    disk.crash(Crash::Power);
    let (journal, recovered) = open(&disk);
    assert_eq!(recovered.next_index, Some(next));
    assert_eq!(check_records(&journal, recovered.first_index.unwrap()), next);
}

#[test]
fn the_limit_refuses_and_release_makes_room() {
    let disk = MemoryDisk::new();
    let settings = Settings { max_bytes: 4_000, ..small() };
    let (mut journal, _) = Journal::open(&dir(), disk.as_disk(), settings).unwrap();
    let mut next = 0;
    let full = loop {
        match journal.append(&mut frame(next, 2)) {
            Ok(durable) => next = durable.next_index,
            Err(error) => break error,
        }
    };
    assert!(matches!(&full, AppendError::Full(Full::Limit { limit: 4_000, .. })), "{full}");
    assert!(journal.bytes() <= 4_000);
    assert!(journal.release_before(next).unwrap() > 0);
    let _ = journal.append(&mut frame(next, 2)).unwrap();
}

#[test]
fn a_frame_is_bounded() {
    let mut frame = Frame::begin(0, [0; 32], 0);
    assert_eq!(frame.push(&vec![0; MAX_LEAF_BYTES + 1], b"", &[0; 32]), Err(PushError::LeafTooLong(65_536)));
    let body = vec![b'x'; 1 << 20];
    let mut pushed = 0;
    while frame.push(b"leaf", &body, &[0; 32]).is_ok() {
        pushed += 1;
    }
    assert_eq!(frame.push(b"leaf", b"", &[0; 32]), Err(PushError::FrameFull));
    assert_eq!((pushed, frame.count()), (16, 16));
    frame.restart(16, [1; 32], 0);
    assert!(frame.is_empty() && frame.push(b"leaf", b"body", &[0; 32]).is_ok());
}

#[test]
#[should_panic(expected = "without gap")]
fn a_gap_is_never_written() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    let _ = journal.append(&mut frame(0, 2)).unwrap();
    let _ = journal.append(&mut frame(3, 1));
}

#[test]
fn another_ledgers_journal_is_refused_by_name() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    fill(&mut journal, 1);
    let other = Settings { ledger: "other".into(), ..small() };
    let error = Journal::open(&dir(), disk.as_disk(), other).err().unwrap().to_string();
    assert!(error.contains("belongs to ledger `acme.example/test`, this is ledger `other`"), "{error}");
}

#[test]
fn it_works_on_a_real_disk() {
    let place = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (mut journal, _) = Journal::open(place.path(), Arc::clone(&disk), small()).unwrap();
    let next = fill(&mut journal, 20);
    assert!(journal.release_before(3).unwrap() > 0);
    drop(journal);
    let newest = newest_file(place.path());
    let torn = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, [&torn[..], b"TGJF torn"].concat()).unwrap();

    let (mut journal, recovered) = Journal::open(place.path(), disk, small()).unwrap();
    assert_eq!(recovered.torn.map(|torn| torn.bytes), Some(9));
    assert_eq!(recovered.next_index, Some(next));
    let next = fill(&mut journal, 3);
    assert_eq!(check_records(&journal, recovered.first_index.unwrap()), next);
    journal.close().unwrap();
}

fn newest_file(dir: &Path) -> PathBuf {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn a_file_that_is_released_when_it_has_been_read_is_no_loss_for_the_reader() {
    let disk = MemoryDisk::new();
    let large = |first: u64| {
        let mut frame = Frame::begin(first, [0; 32], 1_000);
        frame.push(&leaf(first), &vec![7; 700 << 10], &mac(first)).unwrap();
        frame
    };
    let settings = Settings { max_file_bytes: 1 << 20, max_bytes: 8 << 20, ..small() };
    let (mut journal, _) = Journal::open(&dir(), disk.as_disk(), settings).unwrap();
    let _ = journal.append(&mut large(0)).unwrap();
    let mut frames = journal.read_from(0).unwrap();
    assert_eq!(frames.next_frame().unwrap().unwrap().next_index(), 1);
    // The second frame begins a new file, so that the first can go.
    let _ = journal.append(&mut large(1)).unwrap();
    assert_eq!(journal.release_before(1).unwrap(), 1);
    assert_eq!(frames.next_frame().unwrap().unwrap().first_index(), 1);
    assert!(frames.next_frame().unwrap().is_none());
}
