//! Damage of every kind and place: refused if it was acknowledged, cut if it was a torn write.

use super::super::layout::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES};
use super::*;

/// Two files: three frames in the older, two in the newer. Gives the paths and the ends of the newer one's frames.
fn journal(close: bool) -> (MemoryDisk, Vec<PathBuf>, Vec<usize>) {
    let disk = MemoryDisk::new();
    let settings = Settings { max_file_bytes: 600, ..small() };
    let (mut journal, _) = Journal::open(&dir(), disk.as_disk(), settings).unwrap();
    let mut ends = Vec::new();
    for first in [0, 1, 2, 3, 4] {
        let _ = journal.append(&mut frame(first, 1)).unwrap();
        ends.push(disk.content(disk.names().last().unwrap()).len());
    }
    if close {
        journal.close().unwrap();
    }
    let files = disk.names();
    let second: u64 = files[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert_eq!((files.len(), second), (2, 3));
    (disk, files, ends.split_off(3))
}

fn try_open(disk: &MemoryDisk) -> Result<(Journal, Recovered), JournalError> {
    Journal::open(&dir(), disk.as_disk(), small())
}

fn with_flip(disk: &MemoryDisk, path: &Path, at: usize, bit: u32) -> MemoryDisk {
    let copy = disk.copy();
    let mut content = copy.content(path);
    content[at] ^= 1 << bit;
    copy.put(path, &content);
    copy
}

#[test]
fn any_flipped_bit_of_an_older_file_is_refused_with_its_place() {
    let (disk, files, _) = journal(false);
    for at in 0..disk.content(&files[0]).len() {
        for bit in [0, 3, 7] {
            let error = try_open(&with_flip(&disk, &files[0], at, bit)).err().unwrap();
            match &error {
                JournalError::Corrupt { path, offset, .. } => {
                    assert!(*path == files[0] && *offset <= at as u64, "{at}: {error}");
                }
                JournalError::Version { path, .. } => {
                    assert!(*path == files[0] && (6..8).contains(&at), "{at}: {error}")
                }
                other => panic!("{at}: {other}"),
            }
        }
    }
}

#[test]
fn after_a_clean_close_only_the_marker_itself_can_be_lost() {
    let (disk, files, ends) = journal(true);
    let marker_at = ends[1];
    for at in 0..disk.content(&files[1]).len() {
        let outcome = try_open(&with_flip(&disk, &files[1], at, 2));
        if at < marker_at {
            assert!(matches!(outcome, Err(JournalError::Corrupt { .. } | JournalError::Version { .. })), "{at}");
        } else {
            let (journal, recovered) = outcome.unwrap();
            assert_eq!(recovered.torn.unwrap().offset, marker_at as u64);
            assert_eq!(check_records(&journal, 0), 5);
        }
    }
}

#[test]
fn without_a_marker_a_flip_of_the_last_frame_looks_torn_and_any_other_is_refused() {
    let (disk, files, ends) = journal(false);
    for at in 0..disk.content(&files[1]).len() {
        let outcome = try_open(&with_flip(&disk, &files[1], at, 1));
        if at < ends[0] {
            assert!(outcome.is_err(), "{at}");
        } else {
            let (journal, recovered) = outcome.unwrap();
            let torn = recovered.torn.unwrap();
            assert_eq!((torn.offset, torn.bytes), (ends[0] as u64, (ends[1] - ends[0]) as u64));
            assert_eq!(check_records(&journal, 0), 4);
        }
    }
}

#[test]
fn start_up_itself_marks_the_last_frame() {
    let (disk, files, ends) = journal(false);
    drop(try_open(&disk).unwrap());
    let outcome = try_open(&with_flip(&disk, &files[1], ends[1] - 1, 0));
    assert!(matches!(outcome, Err(JournalError::Corrupt { index: 4, .. })));
}

#[test]
fn the_newest_file_cut_anywhere_keeps_its_whole_frames() {
    let (disk, files, ends) = journal(false);
    let content = disk.content(&files[1]);
    for len in 0..content.len() {
        let copy = disk.copy();
        copy.put(&files[1], &content[..len]);
        let (mut journal, recovered) = try_open(&copy).unwrap();
        let whole = ends.iter().filter(|end| **end <= len).count() as u64;
        assert_eq!(check_records(&journal, 0), 3 + whole, "cut to {len}");
        let boundary = len == FILE_HEADER_BYTES || ends.contains(&len);
        assert_eq!(recovered.torn.is_none(), boundary, "cut to {len}");
        assert_eq!(fill(&mut journal, 3), 3 + whole + 6);
        assert_eq!(check_records(&journal, 0), 3 + whole + 6);
    }
}

#[test]
fn an_older_file_cut_anywhere_is_refused() {
    let (disk, files, _) = journal(false);
    let content = disk.content(&files[0]);
    for len in 0..content.len() {
        let copy = disk.copy();
        copy.put(&files[0], &content[..len]);
        assert!(matches!(try_open(&copy), Err(JournalError::Corrupt { .. })), "cut to {len}");
    }
}

#[test]
fn zeros_behind_the_last_frame_are_a_torn_tail() {
    let (disk, files, ends) = journal(false);
    for zeros in [1, FRAME_HEADER_BYTES, 100_000, (1 << 20) + 7] {
        let copy = disk.copy();
        copy.put(&files[1], &[disk.content(&files[1]), vec![0; zeros]].concat());
        let (journal, recovered) = try_open(&copy).unwrap();
        let torn = recovered.torn.unwrap();
        assert_eq!((torn.offset, torn.bytes), (ends[1] as u64, zeros as u64));
        assert_eq!(check_records(&journal, 0), 5);
    }
}

#[test]
fn a_file_missing_from_the_middle_is_refused() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    fill(&mut journal, 20);
    let middle = disk.names()[1].clone();
    disk.remove(&middle).unwrap();
    let error = try_open(&disk).err().unwrap().to_string();
    assert!(error.contains("the next file begins at index"), "{error}");
}

#[test]
fn a_later_frame_is_found_far_behind_the_damage() {
    // The damaged frame is larger than the search's chunk, so its successor's header may lie across chunks.
    for extra in 0..FRAME_HEADER_BYTES + 2 {
        let disk = MemoryDisk::new();
        let settings = Settings { max_file_bytes: 64 << 20, max_bytes: 64 << 20, ..small() };
        let (mut journal, _) = Journal::open(&dir(), disk.as_disk(), settings).unwrap();
        let mut large = Frame::begin(0, [0; 32], 0);
        let start = FILE_HEADER_BYTES + 1;
        let body = (1 << 20) + start + extra - FILE_HEADER_BYTES - FRAME_HEADER_BYTES - 40 - FRAME_HEADER_BYTES;
        large.push(b"", &vec![b'x'; body], &[0; 32]).unwrap();
        let _ = journal.append(&mut large).unwrap();
        let _ = journal.append(&mut frame(1, 1)).unwrap();
        let path = disk.names()[0].clone();
        assert!(matches!(
            try_open(&with_flip(&disk, &path, FILE_HEADER_BYTES + 1, 0)),
            Err(JournalError::Corrupt { offset: 192, index: 0, .. })
        ));
    }
}

#[test]
fn a_record_that_looks_like_a_frame_is_not_taken_for_one() {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&disk);
    // A frame of another file, valid in itself, as a sender may know one.
    let forged = Frame::begin(7, [0; 32], 0);
    let forged = {
        let mut forged = forged;
        forged.push(b"l", b"b", &[0; 32]).unwrap();
        forged.finish([9; 8]).to_vec()
    };
    let mut frame = Frame::begin(0, [0; 32], 0);
    frame.push(b"leaf", &forged, &[0; 32]).unwrap();
    let _ = journal.append(&mut frame).unwrap();
    drop(journal);
    let path = disk.names()[0].clone();
    let torn = disk.content(&path).len() - 1;
    disk.put(&path, &disk.content(&path)[..torn]);
    let (_, recovered) = try_open(&disk).unwrap();
    assert_eq!(recovered.next_index, Some(0));
    assert!(recovered.torn.is_some());
}

#[test]
fn a_newer_version_is_refused_and_said() {
    let (disk, files, _) = journal(true);
    let copy = disk.copy();
    let mut content = copy.content(&files[1]);
    content[6] = 2;
    copy.put(&files[1], &content);
    let error = try_open(&copy).err().unwrap().to_string();
    assert!(error.contains("has format version 2, this program reads version 1"), "{error}");
}

#[test]
fn a_stranger_among_the_files_is_named_and_a_torn_rotation_is_swept() {
    let (disk, _, _) = journal(true);
    disk.put(&dir().join("00000000000000000009.tgj.tmp"), b"half a header");
    assert_eq!(check_records(&try_open(&disk).unwrap().0, 0), 5);
    assert_eq!(disk.names().len(), 2);
    disk.put(&dir().join("copy of 3.tgj"), b"");
    let error = try_open(&disk).err().unwrap().to_string();
    assert!(error.contains("`copy of 3.tgj`"), "{error}");
}
