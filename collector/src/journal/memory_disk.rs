//! A disk in memory that tells apart what was written from what is durable, and fails on demand.
//!
//! It behaves as Linux does where it hurts: after an `fsync` that failed, what was to be written reads well, counts
//! as clean, and is not on the disk.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile};

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// How the one faulty operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error, and nothing happened.
    Before(i32),
    /// An error, though it happened (and, for a sync, is durable).
    After(i32),
    /// A write takes half, the next one fails. Other operations fail as with `Before`.
    Short(i32),
}

/// What a machine that stops makes of writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process died, the machine did not: all writes are there.
    Process,
    /// All that was not synced is gone.
    Power,
    /// Some of what was not synced is there, block by block, by this seed.
    Torn(u64),
}

#[derive(Default, Clone)]
struct Inode {
    cache: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Range<usize>>,
    dirty_len: bool,
}

#[derive(Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    inodes: Vec<Inode>,
    operations: usize,
    fault: Option<(usize, Fault)>,
    fired: bool,
    fail_next_write: Option<i32>,
}

#[derive(Default, Clone)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    pub(crate) fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    pub(crate) fn as_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Lets the `operation`th changing operation from now (0 is the next) fail once.
    pub(crate) fn fail(&self, operation: usize, fault: Fault) {
        let mut state = self.state();
        state.fired = false;
        state.fault = Some((state.operations + operation, fault));
    }

    pub(crate) fn no_faults(&self) {
        let mut state = self.state();
        state.fault = None;
        state.fail_next_write = None;
    }

    /// Whether the fault that was ordered has happened.
    pub(crate) fn fired(&self) -> bool {
        self.state().fired
    }

    pub(crate) fn crash(&self, crash: Crash) {
        let mut state = self.state();
        state.fault = None;
        state.fail_next_write = None;
        let mut seed = match crash {
            Crash::Process => return,
            Crash::Power => 0,
            Crash::Torn(seed) => seed | 1,
        };
        if seed == 0 || flip(&mut seed) {
            state.names = state.durable_names.clone();
        } else {
            state.durable_names = state.names.clone();
        }
        for inode in &mut state.inodes {
            if seed != 0 {
                inode.persist_some(&mut seed);
            }
            inode.cache = inode.durable.clone();
            inode.dirty.clear();
            inode.dirty_len = false;
        }
    }

    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[path]].cache.clone()
    }

    /// Puts a durable file there, whatever was there before.
    pub(crate) fn put(&self, path: &Path, content: &[u8]) {
        let mut state = self.state();
        let inode = state.inodes.len();
        state.inodes.push(Inode { cache: content.to_vec(), durable: content.to_vec(), ..Inode::default() });
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
    }

    /// A copy that shares nothing.
    pub(crate) fn copy(&self) -> MemoryDisk {
        let state = self.state();
        MemoryDisk(Arc::new(Mutex::new(State {
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            inodes: state.inodes.clone(),
            ..State::default()
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Counts a changing operation, and does it unless it is the one to fail.
    fn change<T>(&mut self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let now = self.operations;
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == now => {
                self.fired = true;
                match fault {
                    Fault::Before(code) | Fault::Short(code) => Err(io::Error::from_raw_os_error(code)),
                    Fault::After(code) => {
                        act(self)?;
                        Err(io::Error::from_raw_os_error(code))
                    }
                }
            }
            _ => act(self),
        }
    }

    fn fault_now(&self) -> Option<Fault> {
        self.fault.filter(|(at, _)| *at == self.operations).map(|(_, fault)| fault)
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
            self.dirty_len = true;
        }
        self.cache[offset..end].copy_from_slice(bytes);
        self.dirty.push(offset..end);
    }

    fn truncate(&mut self, len: usize) {
        self.cache.resize(len, 0);
        self.dirty_len = true;
    }

    fn sync(&mut self) {
        if self.dirty_len {
            self.durable.resize(self.cache.len(), 0);
        }
        for range in std::mem::take(&mut self.dirty) {
            let end = range.end.min(self.cache.len());
            if range.start < end {
                self.durable.resize(self.durable.len().max(end), 0);
                self.durable[range.start..end].copy_from_slice(&self.cache[range.start..end]);
            }
        }
        self.dirty_len = false;
    }

    fn persist_some(&mut self, seed: &mut u64) {
        const BLOCK: usize = 48;
        if self.dirty_len && flip(seed) {
            self.durable.resize(self.cache.len(), 0);
        }
        for range in std::mem::take(&mut self.dirty) {
            for start in range.clone().step_by(BLOCK) {
                let end = (start + BLOCK).min(range.end).min(self.cache.len()).min(self.durable.len());
                if start < end && flip(seed) {
                    self.durable[start..end].copy_from_slice(&self.cache[start..end]);
                }
            }
        }
    }
}

fn flip(seed: &mut u64) -> bool {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed >> 40 & 1 == 1
}

impl Disk for MemoryDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names();
        Ok(names
            .iter()
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.state().change(|state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.inodes.push(Inode::default());
            let inode = state.inodes.len() - 1;
            state.names.insert(path.to_owned(), inode);
            Ok(inode)
        })?;
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = self.state().inode(path)?;
        Ok(Box::new(MemoryFile { disk: self.clone(), inode }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_write(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().change(|state| {
            let inode = state.inode(from)?;
            state.names.remove(from);
            state.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().change(|state| {
            state.inode(path)?;
            state.names.remove(path);
            Ok(())
        })
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.state().change(|state| {
            state.durable_names = state.names.clone();
            Ok(())
        })
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    inode: usize,
}

impl DiskFile for MemoryFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        if let Some(code) = state.fail_next_write.take() {
            return Err(io::Error::from_raw_os_error(code));
        }
        if let Some(Fault::Short(code)) = state.fault_now() {
            state.operations += 1;
            state.fired = true;
            state.fail_next_write = Some(code);
            let half = bytes.len().div_ceil(2);
            state.inodes[self.inode].write(&bytes[..half], offset as usize);
            return Ok(half);
        }
        state.change(|state| {
            state.inodes[self.inode].write(bytes, offset as usize);
            Ok(bytes.len())
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let content = state.inodes[self.inode].cache.get(offset as usize..).unwrap_or_default();
        let read = content.len().min(buffer.len());
        buffer[..read].copy_from_slice(&content[..read]);
        Ok(read)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].cache.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.state().change(|state| {
            state.inodes[self.inode].truncate(len as usize);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let lost = matches!(state.fault_now(), Some(Fault::Before(_) | Fault::Short(_)));
        if lost {
            let inode = &mut state.inodes[self.inode];
            inode.dirty.clear();
            inode.dirty_len = false;
        }
        state.change(|state| {
            state.inodes[self.inode].sync();
            Ok(())
        })
    }
}
