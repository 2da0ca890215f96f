//! The spool's directory, and the folder in it that each start of a process has.
//!
//! Invariants:
//! - A folder belongs to who holds its lock: the process that writes it, and once that is dead the one that adopted it.
//! - Folders are made and adopted under the directory's own lock, so that nobody sees a folder that is not locked yet.
//! - Bytes are charged to the bound from when they are written until their segment is removed.

use super::disk::sync_folder;
use super::format::{ENTRY_HEAD, Entry, Found, Header, LONGEST_RECORD, Position};
use super::refused::Refused;
use crate::queue::Tally;
use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const LOCK: &str = "lock";
const POSITION: &str = "position";

/// Bytes on the disk, over all folders that this process has.
#[derive(Debug)]
pub(crate) struct Space {
    used: AtomicU64,
    pub(crate) limit: u64,
}

impl Space {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.limit
    }

    fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A file of entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Its first entry begins here.
    pub(crate) body: u64,
    /// Up to here it can be read.
    pub(crate) length: u64,
    /// What of its bytes on the disk is charged to the bound.
    charged: u64,
    /// Nothing will be added.
    pub(crate) sealed: bool,
    /// Records in it that were not read for delivery yet.
    pub(crate) left: Tally,
    /// Something behind `length` is not readable: it is kept aside when the rest was delivered.
    damaged: bool,
}

/// One start's part of the spool.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) epoch: String,
    pub(crate) space: Arc<Space>,
    pub(crate) refused: Arc<Refused>,
    segments: Mutex<VecDeque<Segment>>,
    /// Released when the folder is dropped.
    _lock: File,
}

/// What is in the directory at a start.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) own: Folder,
    /// Of processes that are dead, the oldest first.
    pub(crate) dead: Vec<Folder>,
}

/// Makes this start's folder and adopts those of the dead.
pub(crate) fn open(directory: &Path, epoch: &str, space: &Arc<Space>) -> io::Result<Opened> {
    // So that an application may go into another working directory.
    let directory = &std::path::absolute(directory)?;
    make_folder(directory)?;
    let lock = File::options().create(true).append(true).open(directory.join(LOCK))?;
    lock.lock()?;
    let refused = Arc::new(Refused::new(directory));
    let own_path = directory.join(epoch);
    make_folder(&own_path)?;
    let own = Folder::locked(own_path, space, &refused, true)?
        .ok_or_else(|| io::Error::other("somebody else holds the folder that was just made"))?;
    let mut dead = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path != own.path && is_of_a_start(&path) {
            // One that can't be opened is not this process's to judge: the next start tries again.
            dead.extend(Folder::locked(path, space, &refused, false).ok().flatten());
        }
    }
    // One that is gone was removed meanwhile, by the process that delivered it to the end.
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut there = Vec::new();
    for mut folder in dead {
        match folder.find_segments() {
            Ok(()) => there.push(folder),
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let mut dead = there;
    dead.sort_by_cached_key(|folder| fs::metadata(folder.path.join(LOCK)).and_then(|lock| lock.modified()).ok());
    sync_folder(directory)?;
    Ok(Opened { own, dead })
}

/// Makes a folder for nobody's eyes but the owner's: content is in it.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Whether the name is one that starts give their folders. Nothing else that is in the directory is touched.
fn is_of_a_start(path: &Path) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.len() == 16 && name.bytes().all(hex)) && path.is_dir()
}

impl Folder {
    /// Takes the folder's lock; `None` if somebody has it.
    fn locked(path: PathBuf, space: &Arc<Space>, refused: &Arc<Refused>, new: bool) -> io::Result<Option<Self>> {
        let lock = File::options().create(new).append(true).open(path.join(LOCK));
        // Somebody died who had begun to make it or had all but removed it: under the directory's lock nobody does so now.
        let lock = lock.inspect_err(|_| drop(fs::remove_dir(&path)))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let epoch = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Some(Self {
            path,
            epoch,
            space: Arc::clone(space),
            refused: Arc::clone(refused),
            segments: Mutex::default(),
            _lock: lock,
        }))
    }

    fn find_segments(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse().ok());
            if let Some(number) = number {
                let length = entry.metadata()?.len();
                let left = Tally::default();
                found.push(Segment { number, body: 0, length, charged: length, sealed: true, left, damaged: false });
            }
        }
        found.sort_by_key(|segment| segment.number);
        self.space.take(found.iter().map(|segment| segment.charged).sum());
        *self.segments() = found.into();
        Ok(())
    }

    pub(crate) fn segment_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:08}.seg"))
    }

    pub(crate) fn position_path(&self) -> PathBuf {
        self.path.join(POSITION)
    }

    pub(crate) fn position(&self) -> Position {
        fs::read(self.position_path()).ok().and_then(|bytes| Position::read(&bytes)).unwrap_or_default()
    }

    // --- the writer's side ---

    /// A segment was made and has its header.
    pub(crate) fn begin_segment(&self, number: u64, length: u64) {
        self.space.take(length);
        let (body, charged, left) = (length, length, Tally::default());
        self.segments().push_back(Segment { number, body, length, charged, sealed: false, left, damaged: false });
    }

    /// The newest segment has grown. False if it was sealed meanwhile: then what was written is not in the spool.
    #[must_use]
    pub(crate) fn grew(&self, bytes: u64, records: Tally) -> bool {
        let mut segments = self.segments();
        let Some(segment) = segments.back_mut().filter(|segment| !segment.sealed) else { return false };
        self.space.take(bytes);
        segment.length += bytes;
        segment.charged += bytes;
        segment.left.application += records.application;
        segment.left.all += records.all;
        true
    }

    /// Nothing more comes into the newest segment.
    pub(crate) fn seal(&self) {
        if let Some(segment) = self.segments().back_mut() {
            segment.sealed = true;
        }
    }

    // --- the reader's side ---

    /// The first segment that is this one or a later one.
    pub(crate) fn segment_from(&self, number: u64) -> Option<Segment> {
        self.segments().iter().find(|segment| segment.number >= number).copied()
    }

    /// Of this segment so many were read, and are no longer left in it.
    pub(crate) fn took(&self, number: u64, records: Tally) {
        if let Some(segment) = self.segments().iter_mut().find(|segment| segment.number == number) {
            segment.left.application = segment.left.application.saturating_sub(records.application);
            segment.left.all = segment.left.all.saturating_sub(records.all);
        }
    }

    /// All up to this byte is as much as there is to read.
    pub(crate) fn give_up_rest(&self, number: u64, length: u64) {
        if let Some(segment) = self.segments().iter_mut().find(|segment| segment.number == number) {
            segment.length = length;
            segment.sealed = true;
            segment.damaged = true;
            segment.left = Tally::default();
        }
    }

    /// Everything in the segment was acknowledged or given up. What is removed makes room. What is to be kept aside and can't be stays
    /// where it is, until the folder is done with, or the next start.
    pub(crate) fn retire(&self, number: u64) {
        let mut segments = self.segments();
        let Some(at) = segments.iter().position(|segment| segment.number == number && segment.sealed) else { return };
        let path = self.segment_path(number);
        if segments[at].damaged && self.refused.keep_damaged(&path, &self.epoch, number).is_err() {
            return;
        }
        let Some(segment) = segments.remove(at) else { return };
        drop(segments);
        if !segment.damaged {
            // What can't be removed was acknowledged, and `position` says so.
            let _ = fs::remove_file(path);
        }
        self.space.give_back(segment.charged);
    }

    /// Reads a dead process's segments through: what is to be delivered, and what is not readable.
    pub(crate) fn examine(&self) -> Result<Examined, String> {
        let position = self.position();
        let mut segments = std::mem::take(&mut *self.segments());
        let examined = self.examine_segments(&mut segments, position);
        *self.segments() = segments;
        if examined.is_ok() {
            let passed: Vec<_> =
                self.segments().iter().map(|segment| segment.number).filter(|n| *n < position.segment).collect();
            passed.into_iter().for_each(|number| self.retire(number));
        }
        examined
    }

    fn examine_segments(&self, segments: &mut VecDeque<Segment>, position: Position) -> Result<Examined, String> {
        let mut examined = Examined::default();
        let mut last_sequence = None;
        let mut unreadable: Option<&mut Segment> = None;
        let mut behind = None;
        for segment in segments.iter_mut() {
            let from = match segment.number.cmp(&position.segment) {
                std::cmp::Ordering::Less => u64::MAX,
                std::cmp::Ordering::Equal => position.offset,
                std::cmp::Ordering::Greater => 0,
            };
            let bytes = read_whole(&self.segment_path(segment.number))?;
            let contents = Contents::of(&bytes, from).map_err(|version| {
                format!("it is of version {version}, which this release can't read; start the one that wrote it once, with the same directory")
            })?;
            segment.left = contents.left;
            examined.left.application += contents.left.application;
            examined.left.all += contents.left.all;
            if let (Some(unreadable), Some((first, _))) =
                (unreadable.take_if(|_| contents.sequences.is_some()), contents.sequences)
            {
                let lack = last_sequence.map_or(1, |last| first.saturating_sub(last).saturating_sub(1));
                examined.lost += lack;
                unreadable.damaged = lack > 0;
            }
            if let Some((_, last)) = contents.sequences {
                last_sequence = Some(last);
            }
            segment.body = contents.body;
            segment.length = contents.readable;
            if contents.unreadable > 0 && from == u64::MAX {
                // It was counted by who passed it, and is still to be kept aside.
                segment.damaged = !contents.torn;
            } else if contents.unreadable > 0 {
                examined.unreadable += contents.unreadable;
                examined.torn = contents.torn;
                behind = contents.behind;
                unreadable = Some(segment);
            }
        }
        // At the very end: a torn write, of what nobody was told to be there; or as many records as are known of, one at least.
        if let Some(segment) = unreadable.filter(|_| !examined.torn) {
            let lack = behind.zip(last_sequence).map_or(1, |(behind, last)| behind.saturating_sub(last));
            // Nobody can have lost more than there was place for.
            examined.lost += lack.clamp(1, (examined.unreadable / ENTRY_HEAD as u64).max(1));
            segment.damaged = true;
        }
        Ok(examined)
    }

    /// It stays as it is, and is of no account here.
    pub(crate) fn leave(self) {
        let bytes = self.segments().iter().map(|segment| segment.charged).sum();
        self.space.give_back(bytes);
    }

    /// Removes the folder, in which nothing is left to deliver.
    pub(crate) fn remove(&self) {
        let numbers: Vec<_> = self.segments().iter().map(|segment| segment.number).collect();
        self.seal();
        numbers.into_iter().for_each(|number| self.retire(number));
        if !self.segments().is_empty() {
            return;
        }
        let _ = fs::remove_file(self.position_path());
        let _ = fs::remove_file(self.path.join(LOCK));
        let _ = fs::remove_dir(&self.path);
    }

    fn segments(&self) -> MutexGuard<'_, VecDeque<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a dead process left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Examined {
    /// Records to be delivered.
    pub(crate) left: Tally,
    /// Records that are lost, as far as their numbers tell.
    pub(crate) lost: u64,
    /// Bytes that can't be read.
    pub(crate) unreadable: u64,
    /// They are the end of a write that was torn.
    torn: bool,
}

/// What is in a segment's bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Records from some byte on.
    pub(crate) left: Tally,
    /// Where the first entry begins.
    pub(crate) body: u64,
    /// The first and the last number in it.
    pub(crate) sequences: Option<(u64, u64)>,
    /// So many bytes are readable, and so many behind them are not.
    pub(crate) readable: u64,
    pub(crate) unreadable: u64,
    /// What is not readable may be a write that was torn: nothing stands behind it.
    pub(crate) torn: bool,
    /// The highest number that was found behind it.
    pub(crate) behind: Option<u64>,
}

impl Contents {
    /// Walks through a segment. The error is its version, if that is another one.
    pub(crate) fn of(bytes: &[u8], from: u64) -> Result<Self, u16> {
        let mut contents = Self::default();
        let mut at = match Header::read(bytes) {
            Header::Version(version) => return Err(version),
            Header::Read(_, length) => length,
            Header::Short(_) => {
                (contents.torn, contents.unreadable) = (true, bytes.len() as u64);
                return Ok(contents.or_damaged(bytes));
            }
            Header::Damaged => {
                let torn = ends_here(bytes, 16 + length_at(bytes, 8));
                (contents.torn, contents.unreadable) = (torn, bytes.len() as u64);
                return Ok(contents.or_damaged(bytes));
            }
        };
        contents.body = at as u64;
        while at < bytes.len() {
            match Entry::read(&bytes[at..]) {
                Found::Entry(entry, length) => {
                    let first = contents.sequences.map_or(entry.sequence, |(first, _)| first);
                    contents.sequences = Some((first, entry.sequence));
                    if at as u64 >= from {
                        contents.left.add(entry.own);
                    }
                    at += length;
                }
                Found::Short(_) => {
                    contents.torn = true;
                    break;
                }
                Found::Damaged => {
                    let rest = &bytes[at..];
                    contents.torn = ends_here(rest, ENTRY_HEAD + length_at(rest, 0));
                    break;
                }
            }
        }
        contents.readable = at as u64;
        contents.unreadable = (bytes.len() - at) as u64;
        Ok(contents.or_damaged(&bytes[at..]))
    }

    /// A length that is wrong looks like a write that was torn, unless some entry is whole behind it: no writer goes on behind a torn one.
    ///
    /// What is found is counted and not delivered. Where entries begin is known no more, and what looks like one may be what somebody
    /// made an application record.
    fn or_damaged(mut self, rest: &[u8]) -> Self {
        if self.unreadable > 0 {
            self.behind = whole_behind(rest, self.sequences.map(|(_, last)| last));
            self.torn &= self.behind.is_none();
        }
        self
    }
}

/// The highest number of the entries that are whole at any byte but the first. The work is bounded: bytes that were made to look like
/// entries all the way are damage, and no torn write.
fn whole_behind(bytes: &[u8], last: Option<u64>) -> Option<u64> {
    let mut highest = None;
    let mut work = bytes.len().saturating_mul(64).min(1 << 30);
    let mut at = 1;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= ENTRY_HEAD) {
        at += 1;
        if !Entry::may_begin(rest, last) {
            continue;
        }
        let Some(left) = work.checked_sub(ENTRY_HEAD + length_at(rest, 0)) else {
            return highest.or(Some(last.map_or(0, |last| last + 1)));
        };
        work = left;
        if let Found::Entry(entry, length) = Entry::read(rest) {
            highest = highest.max(Some(entry.sequence));
            at += length - 1;
        }
    }
    highest
}

/// Whether nothing stands behind what should be `extent` bytes long: no byte, or zeros, which is what a file has where it grew and was
/// not written.
fn ends_here(bytes: &[u8], extent: usize) -> bool {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    written <= extent
}

/// A number of four bytes.
fn length_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |length| u32::from_le_bytes(*length) as usize)
}

fn read_whole(path: &Path) -> Result<Vec<u8>, String> {
    let limit = LONGEST_RECORD as u64 + (16 << 20);
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error: io::Error| format!("{} can't be read: {error}", path.display()))
}
