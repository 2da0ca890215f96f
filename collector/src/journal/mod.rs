//! The journal: sealed records, durable before their sender is answered.
//!
//! A directory of files named after their first index. One frame is one group commit; it is written with one
//! write and synced before the next is begun. `docs/format-journal.md` gives the bytes.
//!
//! Invariants:
//! - [`Journal::append`] returns `Ok` only once the frame is on the disk.
//! - Indexes have no gap, neither between frames nor between files.
//! - Only the last frame of the newest file can be torn. See `scan.rs` for why a bad frame elsewhere is
//!   corruption, and `recovery.rs` for why a last frame that reads well is written once more.
//! - After an `fsync` that failed, or any write whose outcome is unknown, nothing is taken any more.
//! - A reader sees durable frames only.
//!
//! One thread writes. That no second process writes the same directory is up to the caller.

pub mod disk;
mod error;
mod frame;
mod held;
pub mod layout;
mod reader;
mod recovery;
mod scan;

#[cfg(test)]
pub(crate) mod memory_disk;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::{Disk, DiskFile, out_of_space};
pub use error::{AppendError, Full, JournalError};
pub use frame::{FULL_PAYLOAD_BYTES, Frame, MAX_BODY_BYTES, MAX_LEAF_BYTES, PushError, StoredFrame, StoredRecord};
use held::{Held, HeldFile};
use layout::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FileHeader, FrameHeader, FrameKind, MAX_LEDGER_NAME};
pub use reader::{Frames, JournalReader};
pub use recovery::{Recovered, TornTail};

/// How often a journal that another process may be writing is looked at before it is called damaged.
pub const LOOKS: u32 = 5;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(30);

const FILE_SUFFIX: &str = ".tgj";
const TEMPORARY_SUFFIX: &str = ".tgj.tmp";

/// What the journal is told from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the ledger, written into every file and checked.
    pub ledger: String,
    /// A new file is begun before one grows beyond this (a single larger frame has a file of its own).
    pub max_file_bytes: u64,
    /// No frame is taken that would make the journal larger than this.
    pub max_bytes: u64,
    /// Source of the eight random bytes that each file gets.
    pub random: fn() -> io::Result<[u8; 8]>,
}

impl Settings {
    /// Files of 64 MiB, 8 GiB in all, the system's randomness.
    #[must_use]
    pub fn new(ledger: impl Into<String>) -> Settings {
        Settings { ledger: ledger.into(), max_file_bytes: 64 << 20, max_bytes: 8 << 30, random: system_random }
    }
}

fn system_random() -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A group that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "senders are answered when their records are durable"]
pub struct Durable {
    /// Index behind the last durable record.
    pub next_index: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// The one writer of a journal.
pub struct Journal {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    settings: Settings,
    held: Arc<Held>,
    /// The newest file; `None` until the first frame.
    current: Option<Current>,
    broken: Option<String>,
}

/// The file that is written.
struct Current {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    nonce: [u8; 8],
    /// Everything up to here is durable.
    len: u64,
    has_frames: bool,
    ends_synced: bool,
}

impl Journal {
    /// Opens the journal in a directory that exists, and recovers it. Reads every file once.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>, settings: Settings) -> Result<(Journal, Recovered), JournalError> {
        if settings.ledger.is_empty() || settings.ledger.len() > MAX_LEDGER_NAME {
            let what = format!("a ledger's name has 1 to {MAX_LEDGER_NAME} bytes, `{}` has not", settings.ledger);
            return Err(JournalError::Setting(what));
        }
        let (files, current, recovered) = recovery::recover(&disk, dir, &settings.ledger)?;
        let held = Held::default();
        {
            let mut known = held.lock();
            known.next_index = recovered.next_index.unwrap_or(0);
            known.files.extend(files.into_iter().map(held_file));
        }
        let held = Arc::new(held);
        Ok((Journal { dir: dir.to_owned(), disk, settings, held, current, broken: None }, recovered))
    }

    /// A reader of what a journal holds now, for another process than the one that writes it. Changes nothing, takes no
    /// lock; a torn tail is left alone. What a writer changes meanwhile (a file released, another begun) looks like damage:
    /// so damage counts only if it is still there when looked at again, [`LOOKS`] times in all.
    pub fn read_only(dir: &Path, ledger: &str) -> Result<JournalReader, JournalError> {
        let disk: Arc<dyn Disk> = Arc::new(disk::RealDisk);
        let mut looks = 1;
        let files = loop {
            match recovery::look(disk.as_ref(), dir, ledger) {
                Err(_) if looks < LOOKS => std::thread::sleep(PAUSE),
                looked => break looked?,
            }
            looks += 1;
        };
        let held = Held::default();
        {
            let mut known = held.lock();
            known.next_index = files.last().map_or(0, |file| file.next_index);
            known.files.extend(files.into_iter().map(held_file));
        }
        Ok(JournalReader { disk, held: Arc::new(held), ledger: ledger.into() })
    }

    /// Writes and syncs a group. On `Ok` it is durable; on [`AppendError::Full`] nothing of it was kept and it can
    /// be tried again; on [`AppendError::Broken`] its fate is unknown and the process must stop.
    ///
    /// # Panics
    /// If the frame is empty, or does not begin where the journal ends.
    pub fn append(&mut self, frame: &mut Frame) -> Result<Durable, AppendError> {
        self.refuse_if_broken()?;
        assert!(!frame.is_empty(), "an empty frame is never appended");
        if let Some(range) = self.held.lock().range() {
            assert_eq!(frame.first_index(), range.end, "frames follow each other without gap or overlap");
        }
        self.check_limit(frame)?;
        let mut current = match self.current.take() {
            Some(current) if !self.must_rotate(&current, frame) => current,
            before => match self.create_file(frame) {
                Ok(created) => created,
                Err(error) => {
                    self.current = before;
                    return Err(error);
                }
            },
        };
        let nonce = current.nonce;
        let outcome = self.write(&mut current, frame.finish(nonce));
        if outcome.is_ok() {
            current.has_frames = true;
            current.ends_synced = false;
            let mut held = self.held.lock();
            held.next_index = frame.next_index();
            if let Some(file) = held.files.back_mut() {
                file.len = current.len;
                file.first_sealed_at.get_or_insert(frame.sealed_at());
            }
        }
        self.current = Some(current);
        outcome?;
        Ok(Durable { next_index: frame.next_index(), bytes: frame.bytes() })
    }

    /// Writes a marker behind the last frame, so that later damage to that frame can be told from a torn write.
    /// For quiet moments; [`Journal::close`] does it too. No room for the marker is no error.
    pub fn mark_synced(&mut self) -> Result<(), AppendError> {
        self.refuse_if_broken()?;
        if self.current.as_ref().is_none_or(|current| current.ends_synced) {
            return Ok(());
        }
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let marker = marker(current.nonce, self.held.lock().next_index);
        let outcome = self.write(&mut current, &marker);
        if outcome.is_ok() {
            current.ends_synced = true;
            if let Some(file) = self.held.lock().files.back_mut() {
                file.len = current.len;
            }
        }
        self.current = Some(current);
        match outcome {
            Err(AppendError::Full(_)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Closes in good order. Dropping the journal loses nothing either, it only leaves no marker.
    pub fn close(mut self) -> Result<(), AppendError> {
        self.mark_synced()
    }

    /// Removes the files all of whose records are below `index`, oldest first, never the newest. Says how many.
    ///
    /// To be called only once those records are archived and what the duplicate index has of them is synced.
    pub fn release_before(&mut self, index: u64) -> Result<usize, AppendError> {
        self.refuse_if_broken()?;
        let mut released = 0;
        loop {
            let oldest = {
                let held = self.held.lock();
                match (held.files.front(), held.files.get(1)) {
                    (Some(oldest), Some(next)) if next.first_index <= index => oldest.path.clone(),
                    _ => return Ok(released),
                }
            };
            if let Err(error) = self.disk.remove(&oldest) {
                return Err(self.break_off("remove", &oldest, &error));
            }
            // One by one: a later file must never be gone while an earlier one came back.
            if let Err(error) = self.disk.sync_dir(&self.dir) {
                return Err(self.break_off("sync", &self.dir.clone(), &error));
            }
            self.held.lock().files.pop_front();
            released += 1;
        }
    }

    /// A reader of what is durable, for this or another thread.
    #[must_use]
    pub fn reader(&self) -> JournalReader {
        JournalReader {
            disk: Arc::clone(&self.disk),
            held: Arc::clone(&self.held),
            ledger: self.settings.ledger.as_str().into(),
        }
    }

    /// Frames in order, from the one that holds `index`.
    pub fn read_from(&self, index: u64) -> Result<Frames, JournalError> {
        self.reader().read_from(index)
    }

    /// Index of the next record; `None` if the journal has no file, then the first frame may begin anywhere.
    #[must_use]
    pub fn next_index(&self) -> Option<u64> {
        self.held.lock().range().map(|range| range.end)
    }

    /// First index held.
    #[must_use]
    pub fn oldest_index(&self) -> Option<u64> {
        self.held.lock().range().map(|range| range.start)
    }

    /// When the oldest record held was sealed, in nanoseconds since 1970.
    #[must_use]
    pub fn oldest_sealed_at(&self) -> Option<u64> {
        self.held.lock().files.iter().find_map(|file| file.first_sealed_at)
    }

    /// Durable bytes in all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held.lock().bytes()
    }

    /// Why the journal takes nothing any more, if so.
    #[must_use]
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    fn refuse_if_broken(&self) -> Result<(), AppendError> {
        match &self.broken {
            Some(what) => Err(AppendError::Broken { what: what.clone() }),
            None => Ok(()),
        }
    }

    fn check_limit(&self, frame: &Frame) -> Result<(), AppendError> {
        let (bytes, limit) = (self.bytes(), self.settings.max_bytes);
        if bytes.saturating_add(frame.bytes() + FILE_HEADER_BYTES as u64) > limit {
            return Err(AppendError::Full(Full::Limit { bytes, limit }));
        }
        Ok(())
    }

    fn must_rotate(&self, current: &Current, frame: &Frame) -> bool {
        current.has_frames && current.len + frame.bytes() > self.settings.max_file_bytes
    }

    /// Writes at the durable end and syncs. A write that fails is undone; if that can't be, the journal is broken.
    fn write(&mut self, current: &mut Current, bytes: &[u8]) -> Result<(), AppendError> {
        if let Err(error) = current.file.write_all_at(bytes, current.len) {
            let undone = current.file.truncate(current.len).and_then(|()| current.file.sync());
            return match undone {
                Ok(()) if out_of_space(&error) => {
                    Err(AppendError::Full(Full::Disk { path: current.path.clone(), source: error }))
                }
                Ok(()) => Err(self.break_off("write", &current.path, &error)),
                Err(undo) => Err(self.break_off("undo a failed write of", &current.path, &undo)),
            };
        }
        if let Err(error) = current.file.sync() {
            return Err(self.break_off("sync", &current.path, &error));
        }
        current.len += bytes.len() as u64;
        Ok(())
    }

    /// Begins the file of which `frame` will be the first frame. The file before it is durable to its end.
    fn create_file(&mut self, frame: &Frame) -> Result<Current, AppendError> {
        let name = format!("{:020}", frame.first_index());
        let temporary = self.dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let path = self.dir.join(format!("{name}{FILE_SUFFIX}"));
        let nonce = (self.settings.random)().map_err(|error| self.break_off("name", &path, &error))?;
        let header = FileHeader {
            ledger: self.settings.ledger.clone(),
            first_index: frame.first_index(),
            prev: frame.prev(),
            nonce,
        };
        let written = self.disk.create_new(&temporary).and_then(|file| {
            file.write_all_at(&header.encode(), 0)?;
            Ok(file)
        });
        let file = match written {
            Ok(file) => file,
            Err(error) => return Err(self.abandon(&temporary, error)),
        };
        if let Err(error) = file.sync() {
            return Err(self.break_off("sync", &temporary, &error));
        }
        // Even "no room" leaves it unknown here whether the file has its name: if it had, and a smaller frame went into
        // the file before, two files would hold the same index.
        if let Err(error) = self.disk.rename(&temporary, &path) {
            return Err(self.break_off("rename", &temporary, &error));
        }
        if let Err(error) = self.disk.sync_dir(&self.dir) {
            return Err(self.break_off("sync", &self.dir.clone(), &error));
        }
        let len = FILE_HEADER_BYTES as u64;
        let mut held = self.held.lock();
        held.next_index = frame.first_index();
        held.files.push_back(HeldFile {
            path: path.clone(),
            first_index: frame.first_index(),
            len,
            first_sealed_at: None,
        });
        Ok(Current { file, path, nonce, len, has_frames: false, ends_synced: false })
    }

    /// No room for a new file: take its beginnings away, and the journal goes on as before.
    fn abandon(&mut self, temporary: &Path, error: io::Error) -> AppendError {
        if !out_of_space(&error) {
            return self.break_off("create", temporary, &error);
        }
        match self.disk.remove(temporary) {
            Err(undo) if undo.kind() != io::ErrorKind::NotFound => self.break_off("remove", temporary, &undo),
            _ => AppendError::Full(Full::Disk { path: temporary.to_owned(), source: error }),
        }
    }

    fn break_off(&mut self, action: &str, path: &Path, error: &io::Error) -> AppendError {
        let what = format!("cannot {action} {}: {error}", path.display());
        self.broken = Some(what.clone());
        AppendError::Broken { what }
    }
}

fn held_file(file: scan::ScannedFile) -> HeldFile {
    HeldFile { path: file.path, first_index: file.first_index, len: file.len, first_sealed_at: file.first_sealed_at }
}

/// The bytes of a marker: a frame without records.
fn marker(nonce: [u8; 8], next_index: u64) -> [u8; FRAME_HEADER_BYTES] {
    FrameHeader {
        kind: FrameKind::Synced,
        nonce,
        first_index: next_index,
        sealed_at: 0,
        payload_len: 0,
        count: 0,
        payload_crc: 0,
    }
    .encode()
}
