//! Writing a run: sorted, filtered, durable, and only then under its name.

use std::io;
use std::path::{Path, PathBuf};

use super::bloom;
use super::entry::{ENTRY_BYTES, Entry};
use super::error::DedupError;
use super::ranges::{cover, is_timed, prefix};
use super::run::{ENTRIES_PER_PAGE, PAGE_BYTES, RunHeader, seal_page};
use super::runs::{RUN_SUFFIX, TEMPORARY_SUFFIX};
use crate::journal::disk::{Disk, out_of_space};
use crate::journal::layout::array;

/// How much is gathered for one write.
const WRITE_BYTES: usize = 1 << 20;

/// Writes the entries, of which there is at least one. An error other than [`DedupError::Broken`] left nothing behind.
pub(super) fn write(
    dir: &Path,
    disk: &dyn Disk,
    entries: &[Entry],
    random: fn() -> io::Result<[u8; 16]>,
) -> Result<PathBuf, DedupError> {
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.sort_unstable_by_key(|at| entries[*at as usize].sort_key());
    let sorted = || order.iter().map(|at| &entries[*at as usize]);

    let seed = random().map_err(DedupError::io("key", dir))?;
    let header = header(entries, sorted(), seed);
    let name = format!("{:020}", header.first_index);
    let (path, temporary) = (dir.join(format!("{name}{RUN_SUFFIX}")), dir.join(format!("{name}{TEMPORARY_SUFFIX}")));
    if let Err(error) = write_file(disk, &temporary, &header, sorted()) {
        return Err(abandon(disk, &temporary, error));
    }
    disk.rename(&temporary, &path).map_err(|error| DedupError::broken("rename", &temporary, &error))?;
    disk.sync_dir(dir).map_err(|error| DedupError::broken("sync", dir, &error))?;
    Ok(path)
}

fn header<'a>(entries: &[Entry], sorted: impl Iterator<Item = &'a Entry> + Clone, seed: [u8; 16]) -> RunHeader {
    let index = |entry: Option<&Entry>| entry.map(Entry::index).unwrap_or_default();
    let timed = sorted.clone().filter(|entry| is_timed(&entry.id)).map(|entry| prefix(&entry.id));
    let untimed = sorted.filter(|entry| !is_timed(&entry.id)).map(|entry| prefix(&entry.id));
    RunHeader {
        count: entries.len() as u64,
        first_index: index(entries.first()),
        last_index: index(entries.last()),
        first_sealed_at: entries.iter().map(Entry::sealed_at).min().unwrap_or_default(),
        last_sealed_at: entries.iter().map(Entry::sealed_at).max().unwrap_or_default(),
        keys: [u64::from_le_bytes(array(&seed, 0)), u64::from_le_bytes(array(&seed, 8))],
        untimed: (untimed.clone().min().unwrap_or(u64::MAX), untimed.max().unwrap_or(0)),
        timed: cover(timed),
    }
}

/// Writes all, and syncs.
fn write_file<'a>(
    disk: &dyn Disk,
    path: &Path,
    header: &RunHeader,
    sorted: impl Iterator<Item = &'a Entry> + Clone,
) -> io::Result<()> {
    let file = disk.create_new(path)?;
    let mut buffer = Vec::with_capacity(WRITE_BYTES + PAGE_BYTES);
    let mut at = 0;
    let mut put = |bytes: &[u8], last: bool| -> io::Result<()> {
        buffer.extend_from_slice(bytes);
        if last || buffer.len() >= WRITE_BYTES {
            file.write_all_at(&buffer, at)?;
            at += buffer.len() as u64;
            buffer.clear();
        }
        Ok(())
    };
    put(&header.encode(), false)?;
    put(&filter(header, sorted.clone()), false)?;
    let mut page = [0; PAGE_BYTES];
    let mut filled = 0;
    for entry in sorted {
        page[filled * ENTRY_BYTES..(filled + 1) * ENTRY_BYTES].copy_from_slice(&entry.encode());
        filled += 1;
        if filled == ENTRIES_PER_PAGE {
            seal_page(&mut page);
            put(&page, false)?;
            page = [0; PAGE_BYTES];
            filled = 0;
        }
    }
    if filled > 0 {
        seal_page(&mut page);
        put(&page, false)?;
    }
    put(&[], true)?;
    file.sync()
}

fn filter<'a>(header: &RunHeader, entries: impl Iterator<Item = &'a Entry>) -> Vec<u8> {
    let blocks = bloom::blocks_for(header.count);
    let mut filter = vec![0; blocks as usize * bloom::BLOCK_BYTES];
    for entry in entries {
        let place = bloom::place(&entry.id, header.keys, blocks);
        let at = place.block as usize * bloom::BLOCK_BYTES;
        place.set(&mut filter[at..at + bloom::BLOCK_BYTES]);
    }
    filter.chunks_exact_mut(bloom::BLOCK_BYTES).for_each(bloom::seal);
    filter
}

/// Takes away what was written. Nothing relied on it yet, so even after a failed sync a new file may be tried.
fn abandon(disk: &dyn Disk, temporary: &Path, error: io::Error) -> DedupError {
    match disk.remove(temporary) {
        Err(undo) if undo.kind() != io::ErrorKind::NotFound => DedupError::broken("remove", temporary, &undo),
        _ if out_of_space(&error) => DedupError::NoRoom { path: temporary.to_owned(), source: error },
        _ => DedupError::broken("write", temporary, &error),
    }
}
