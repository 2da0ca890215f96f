//! Writer, reader and recovery, without a queue.

use super::disk::{Disk, RealDisk};
use super::folder::{Folder, Opened, Space, open};
use super::format::Entry;
use super::reader::{Next, Reader};
use super::writer::{Trouble, Writer};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// In memory where there is such a place: some tests make hundreds of folders, each of which is synced.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

fn start(directory: &Path, epoch: &str, limit: u64) -> Opened {
    open(directory, epoch, &Arc::new(Space::new(limit))).expect("open")
}

fn writer(folder: &Arc<Folder>) -> Writer {
    Writer::new(Arc::clone(folder), Arc::new(RealDisk), b"resource").expect("a writer")
}

fn write(writer: &mut Writer, sequences: std::ops::Range<u64>, length: usize) {
    let record = vec![7; length];
    let entries = sequences.clone().map(|sequence| Entry { sequence, own: false, log: false, record: &record });
    let (written, outcome) = writer.append(entries);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(written as u64, sequences.end - sequences.start);
}

/// Reads and settles everything, at most three at a time: the numbers, and how many are said to be lost.
fn read_all(reader: &mut Reader) -> (Vec<u64>, u64) {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    loop {
        match reader.next(3, 1 << 20) {
            Next::Batch(batch) => {
                assert_eq!(&batch.resource[..], b"resource");
                numbers.extend(batch.below - batch.records.len() as u64..batch.below);
                reader.settle(&batch);
            }
            Next::Nothing => return (numbers, lost),
            Next::Lost(tally, _) => lost += tally.all,
            Next::Later(reason) => panic!("{reason}"),
        }
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    segments
}

#[test]
fn what_was_written_is_read_in_order_and_goes_once_it_is_settled() {
    let directory = folder();
    let own = Arc::new(start(directory.path(), "000000000000000e", 1 << 20).own);
    let (mut writer, mut reader) = (writer(&own), Reader::new(Arc::clone(&own)));
    write(&mut writer, 0..100, 10_000);
    assert!(segments(&own.path).len() > 5);
    assert_eq!(read_all(&mut reader), ((0..100).collect(), 0));
    assert_eq!(segments(&own.path).len(), 1, "only the one that is still written");
    write(&mut writer, 100..105, 10);
    assert_eq!(read_all(&mut reader), ((100..105).collect(), 0));
    own.remove();
    assert!(!own.path.exists());
    assert_eq!(own.space.used(), 0);
}

#[test]
fn a_full_spool_takes_more_once_some_of_it_went() {
    let directory = folder();
    let own = Arc::new(start(directory.path(), "000000000000000e", 1 << 20).own);
    let (mut writer, mut reader) = (writer(&own), Reader::new(Arc::clone(&own)));
    let record = vec![7; 50_000];
    let entries =
        |range: std::ops::Range<u64>| range.map(|sequence| Entry { sequence, own: false, log: false, record: &record });
    let (written, outcome) = writer.append(entries(0..100));
    assert!(matches!(outcome, Err(Trouble::Full)), "{outcome:?}");
    assert!(written > 10 && own.space.used() <= 1 << 20, "{written}");
    let on_disk: u64 = segments(&own.path).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(on_disk, own.space.used());
    assert!(matches!(writer.append(entries(100..101)), (0, Err(Trouble::Full))));
    assert_eq!(read_all(&mut reader).0.len(), written);
    write(&mut writer, 100..110, 50_000);
    assert_eq!(read_all(&mut reader).0, (100..110).collect::<Vec<_>>());
}

#[test]
fn a_record_larger_than_a_segment_passes_alone_and_one_larger_than_the_spool_does_not() {
    let directory = folder();
    let own = Arc::new(start(directory.path(), "000000000000000e", 1 << 20).own);
    let (mut writer, mut reader) = (writer(&own), Reader::new(Arc::clone(&own)));
    write(&mut writer, 0..1, 10);
    write(&mut writer, 1..2, 500_000);
    write(&mut writer, 2..3, 10);
    assert_eq!(read_all(&mut reader).0, [0, 1, 2]);
    let record = vec![0; 1 << 20];
    let outcome = writer.append([Entry { sequence: 3, own: false, log: false, record: &record }]);
    assert!(matches!(outcome, (0, Err(Trouble::Failed(reason))) if reason.contains("larger than the spool")));
}

#[test]
fn the_next_start_takes_what_a_dead_one_left_and_leaves_the_living_alone() {
    let directory = folder();
    let dead = Arc::new(start(directory.path(), "00000000000000dd", 1 << 20).own);
    let mut of_dead = writer(&dead);
    write(&mut of_dead, 0..10, 10);
    let mut reader = Reader::new(Arc::clone(&dead));
    let Next::Batch(batch) = reader.next(4, 1 << 20) else { panic!("a batch") };
    reader.settle(&batch);
    drop((of_dead, reader, dead));
    let living = Arc::new(start(directory.path(), "00000000000000aa", 1 << 20).own);
    // That start adopted the dead one's, and dropped it again.
    write(&mut writer(&living), 0..5, 10);
    let mut next = start(directory.path(), "00000000000000ee", 1 << 20);
    assert_eq!(next.dead.len(), 1, "{:?}", next.dead);
    let dead = next.dead.remove(0);
    assert_eq!(dead.epoch, "00000000000000dd");
    assert_eq!(dead.examine().expect("readable").left.all, 6);
    assert!(dead.space.used() > 0);
    let (numbers, lost) = read_all(&mut Reader::new(Arc::new(dead)));
    assert_eq!((numbers, lost), ((4..10).collect(), 0));
}

/// Cut anywhere, all that was whole is read, and what was torn is not called lost.
#[test]
fn a_write_that_was_torn_anywhere_costs_only_what_was_torn() {
    let directory = folder();
    let dead = Arc::new(start(directory.path(), "00000000000000dd", 1 << 20).own);
    let mut of_dead = writer(&dead);
    let lengths: Vec<u64> = (0..4)
        .map(|sequence| {
            write(&mut of_dead, sequence..sequence + 1, 5 + sequence as usize);
            fs::metadata(&segments(&dead.path)[0]).unwrap().len()
        })
        .collect();
    let path = segments(&dead.path)[0].clone();
    let whole = fs::read(&path).unwrap();
    drop((of_dead, dead));
    for cut in 0..=whole.len() {
        for zeros in [0, whole.len() - cut] {
            let mut torn = whole[..cut].to_vec();
            torn.resize(cut + zeros, 0);
            fs::write(&path, torn).unwrap();
            fs::remove_file(path.with_file_name("position")).ok();
            let mut next = start(directory.path(), "00000000000000ee", 1 << 20);
            let dead = next.dead.remove(0);
            next.own.remove();
            let there = lengths.iter().filter(|length| **length <= cut as u64).count() as u64;
            // A record may end in zeros, which then look as they were.
            let examined = dead.examine().expect("readable");
            assert_eq!((examined.left.all, examined.lost), (there, 0), "cut at {cut}, {zeros} zeros: {examined:?}");
            if there > 0 {
                // The folder goes with its last record: a copy of what was read is enough.
                let mut reader = Reader::new(Arc::new(dead));
                let Next::Batch(batch) = reader.next(100, 1 << 20) else { panic!("a batch, cut at {cut}") };
                assert_eq!(batch.records.len() as u64, there);
            }
        }
    }
}

#[test]
fn damage_in_the_middle_costs_the_rest_of_its_segment_and_is_counted_by_number() {
    let directory = folder();
    let dead = Arc::new(start(directory.path(), "00000000000000dd", 1 << 20).own);
    let mut of_dead = writer(&dead);
    write(&mut of_dead, 0..100, 10_000);
    drop((of_dead, dead));
    let all = segments(&directory.path().join("00000000000000dd"));
    let mut bytes = fs::read(&all[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&all[1], bytes).unwrap();
    let dead = start(directory.path(), "00000000000000ee", 1 << 20).dead.remove(0);
    let examined = dead.examine().expect("readable");
    assert!((1..=13).contains(&examined.lost), "{examined:?}");
    assert_eq!(examined.left.all + examined.lost, 100);
    let (numbers, lost) = read_all(&mut Reader::new(Arc::new(dead)));
    assert_eq!((numbers.len() as u64, lost), (examined.left.all, 0));
    assert_eq!(numbers.last(), Some(&99));
    assert!(directory.path().join("refused/00000000000000dd-00000002.damaged").exists());
}

#[test]
fn damage_that_comes_while_it_is_read_costs_as_many_as_were_left() {
    let directory = folder();
    let own = Arc::new(start(directory.path(), "000000000000000e", 1 << 20).own);
    let (mut writer, mut reader) = (writer(&own), Reader::new(Arc::clone(&own)));
    write(&mut writer, 0..10, 10);
    let path = &segments(&own.path)[0];
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
    // The nine before it are read; and what comes later goes into another segment.
    assert_eq!(read_all(&mut reader), ((0..9).collect(), 1));
    let record = [1; 10];
    let again = || [Entry { sequence: 10, own: false, log: false, record: &record }];
    assert!(matches!(writer.append(again()), (0, Err(Trouble::Failed(_)))));
    assert!(matches!(writer.append(again()), (1, Ok(()))));
    assert_eq!(read_all(&mut reader), (vec![10], 0));
}

#[test]
fn a_spool_of_another_version_stays_as_it_is() {
    let directory = folder();
    let foreign = directory.path().join("00000000000000ff");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("lock"), b"").unwrap();
    let mut bytes = super::format::Header::write(b"resource").unwrap();
    bytes[6] = 9;
    fs::write(foreign.join("00000001.seg"), &bytes).unwrap();
    let dead = start(directory.path(), "00000000000000ee", 1 << 20).dead.remove(0);
    let reason = dead.examine().expect_err("another version");
    assert!(reason.contains("version 9") && reason.contains("start the one that wrote it"), "{reason}");
    drop(dead);
    assert_eq!(fs::read(foreign.join("00000001.seg")).unwrap(), bytes);
}

#[test]
fn only_what_a_start_made_is_touched() {
    let directory = folder();
    for name in ["somebody's", "00000000000000DD", "locked"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    fs::write(directory.path().join("locked/lock"), b"").unwrap();
    fs::create_dir(directory.path().join("00000000000000dd")).unwrap();
    let opened = start(directory.path(), "000000000000000e", 1 << 20);
    assert!(opened.dead.is_empty(), "{:?}", opened.dead);
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["000000000000000e", "00000000000000DD", "lock", "locked", "somebody's"],
        "an empty one of a start that died is gone"
    );
    assert!(directory.path().join("locked/lock").exists());
}

/// Writes part of what it is given once its room is used up, and can be told not to cut or not to sync.
#[derive(Debug, Default)]
pub(crate) struct SmallDisk {
    room: AtomicU64,
    stuck: AtomicU64,
}

impl SmallDisk {
    pub(crate) fn new(room: u64) -> Self {
        Self { room: AtomicU64::new(room), stuck: AtomicU64::new(0) }
    }

    pub(crate) fn set_room(&self, room: u64) {
        self.room.store(room, Ordering::SeqCst);
    }
}

impl Disk for SmallDisk {
    fn write(&self, file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::SeqCst);
        let part = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        RealDisk.write(file, at, &bytes[..part])?;
        self.room.fetch_sub(part as u64, Ordering::SeqCst);
        if part < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        if self.stuck.load(Ordering::SeqCst) > 0 { Err(io::Error::other("stuck")) } else { RealDisk.cut(file, length) }
    }
}

/// Each write fails at some byte, with and without the partial entry being cut: nothing that was said to be written lacks, nothing comes twice.
#[test]
fn a_write_that_failed_leaves_nothing_behind_that_counts() {
    for stuck in [0, 1] {
        for room in 0..200 {
            let directory = folder();
            let own = Arc::new(start(directory.path(), "00000000000000dd", 1 << 20).own);
            let disk = Arc::new(SmallDisk::new(room));
            disk.stuck.store(stuck, Ordering::SeqCst);
            let mut writer = Writer::new(Arc::clone(&own), Arc::clone(&disk) as Arc<dyn Disk>, b"resource").unwrap();
            let record = [1; 10];
            let entries = |range: std::ops::Range<u64>| {
                range.map(|sequence| Entry { sequence, own: false, log: false, record: &record })
            };
            let mut next = 0;
            while next < 8 {
                let (written, outcome) = writer.append(entries(next..(next + 3).min(8)));
                next += written as u64;
                if outcome.is_err() {
                    disk.set_room(1 << 20);
                }
            }
            // Read alive, and after a death.
            assert_eq!(read_all(&mut Reader::new(Arc::clone(&own))), ((0..8).collect(), 0), "{room} {stuck}");
            fs::remove_file(own.position_path()).unwrap();
            let there = !segments(&own.path).is_empty();
            drop((writer, own));
            let dead = start(directory.path(), "00000000000000ee", 1 << 20).dead.remove(0);
            let examined = dead.examine().unwrap();
            assert_eq!(examined.lost, 0, "{room} {stuck}: {examined:?}");
            assert!(there);
        }
    }
}

/// A directory where a file should be can't be read either, for anybody.
#[test]
fn what_the_disk_does_not_give_now_is_there_later() {
    let directory = folder();
    let own = Arc::new(start(directory.path(), "000000000000000e", 1 << 20).own);
    let (mut writer, mut reader) = (writer(&own), Reader::new(Arc::clone(&own)));
    write(&mut writer, 0..10, 10);
    let (path, aside) = (segments(&own.path)[0].clone(), directory.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    for _ in 0..3 {
        assert!(matches!(reader.next(3, 1 << 20), Next::Later(reason) if reason.contains("00000001.seg")));
    }
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    assert_eq!(read_all(&mut reader), ((0..10).collect(), 0));
}

#[test]
fn a_file_that_was_taken_away_is_lost() {
    let directory = folder();
    let own = Arc::new(start(directory.path(), "000000000000000e", 1 << 20).own);
    let (mut writer, mut reader) = (writer(&own), Reader::new(Arc::clone(&own)));
    write(&mut writer, 0..10, 10);
    fs::remove_file(&segments(&own.path)[0]).unwrap();
    assert_eq!(read_all(&mut reader), (Vec::new(), 10));
    own.remove();
    assert!(!own.path.exists());
}

#[test]
fn the_place_stays_the_same_wherever_the_application_goes() {
    let directory = tempfile::Builder::new().prefix("spool").tempdir_in(".").unwrap();
    let relative = Path::new(directory.path().file_name().unwrap());
    let own = start(relative, "000000000000000e", 1 << 20).own;
    assert!(own.path.is_absolute(), "{:?}", own.path);
}

/// What is damaged and can't be put aside stays, and the next start puts it aside, without counting it again.
#[test]
fn what_is_damaged_is_never_removed_because_it_could_not_be_kept() {
    let directory = folder();
    let own = Arc::new(start(directory.path(), "00000000000000dd", 1 << 20).own);
    let (mut writer, mut reader) = (writer(&own), Reader::new(Arc::clone(&own)));
    write(&mut writer, 0..10, 10);
    let path = segments(&own.path)[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = directory.path().join("refused");
    fs::write(&refused, b"in the way").unwrap();
    let (numbers, lost) = read_all(&mut reader);
    assert_eq!(numbers.len() as u64 + lost, 10);
    own.remove();
    assert!(path.exists());
    drop((writer, reader, own));
    fs::remove_file(&refused).unwrap();
    let dead = start(directory.path(), "00000000000000ee", 1 << 20).dead.remove(0);
    let examined = dead.examine().unwrap();
    assert_eq!((examined.left.all, examined.lost), (0, 0), "{examined:?}");
    dead.remove();
    assert!(refused.join("00000000000000dd-00000001.damaged").exists() && !dead.path.exists());
}

/// Each bit of each length, with more behind it: never taken for a write that was torn.
#[test]
fn a_length_that_was_changed_is_damage_and_no_torn_write() {
    let directory = folder();
    let dead = Arc::new(start(directory.path(), "00000000000000dd", 1 << 20).own);
    let mut of_dead = writer(&dead);
    let path = dead.path.join("00000001.seg");
    let mut starts = Vec::new();
    for sequence in 0..5 {
        starts.push(fs::metadata(&path).map_or(0, |metadata| metadata.len()) as usize);
        write(&mut of_dead, sequence..sequence + 1, 10);
    }
    // The header's is at 8.
    starts[0] = 8;
    drop((of_dead, dead));
    let whole = fs::read(&path).unwrap();
    for (before, at) in starts.iter().enumerate().take(4) {
        for bit in 0..32 {
            let mut bytes = whole.clone();
            bytes[at + bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            let mut next = start(directory.path(), "00000000000000ee", 1 << 20);
            next.own.remove();
            let dead = next.dead.remove(0);
            let examined = dead.examine().unwrap();
            // Of the header nobody knows which number was the first.
            let lost = if before == 0 { 1 } else { 5 - before as u64 };
            assert_eq!((examined.left.all, examined.lost), (before as u64, lost), "entry {before}, bit {bit}");
        }
    }
    let dead = start(directory.path(), "00000000000000ee", 1 << 20).dead.remove(0);
    dead.examine().unwrap();
    assert_eq!(read_all(&mut Reader::new(Arc::new(dead))), (vec![0, 1, 2], 0));
    assert!(directory.path().join("refused/00000000000000dd-00000001.damaged").exists());
}

/// Bytes that look like beginnings of entries all the way: looking through them ends.
#[test]
fn looking_behind_a_torn_write_is_bounded_work() {
    let mut bytes = super::format::Header::write(b"resource").unwrap();
    let record = vec![0; 4 << 20];
    Entry { sequence: 1, own: false, log: false, record: &record }.write(&mut bytes);
    // Every 20 bytes what may begin an entry of 2 MiB.
    let body = bytes.len() - record.len();
    for head in bytes[body..].chunks_exact_mut(20) {
        head[..4].copy_from_slice(&(2_u32 << 20).to_le_bytes());
        head[8] = 9;
    }
    bytes.truncate(bytes.len() - 1);
    let contents = super::folder::Contents::of(&bytes, 0).unwrap();
    assert!(!contents.torn && contents.left.all == 0, "{contents:?}");
}

#[cfg(unix)]
#[test]
fn what_is_kept_aside_is_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = folder();
    let refused = directory.path().join("refused");
    fs::create_dir(&refused).unwrap();
    fs::set_permissions(&refused, fs::Permissions::from_mode(0o755)).unwrap();
    let own = start(directory.path(), "000000000000000e", 1 << 20).own;
    let entry = Entry { sequence: 1, own: false, log: false, record: b"content" };
    let kept = own.refused.keep(&own.epoch, b"resource", entry).unwrap();
    let damaged = directory.path().join("segment");
    fs::write(&damaged, b"content").unwrap();
    fs::set_permissions(&damaged, fs::Permissions::from_mode(0o644)).unwrap();
    own.refused.keep_damaged(&damaged, &own.epoch, 1).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&refused), mode(&kept)), (0o700, 0o600));
    assert_eq!(mode(&refused.join("000000000000000e-00000001.damaged")), 0o600);
}
