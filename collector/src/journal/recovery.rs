//! Start-up: which files there are, what of them counts, and making sure that it is on the disk.

use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, out_of_space};
use super::error::JournalError;
use super::scan::{ScannedFile, scan_file};
use super::{Current, FILE_SUFFIX, TEMPORARY_SUFFIX, marker};

/// What start-up found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// First record held; `None` if there is no journal file.
    pub first_index: Option<u64>,
    /// Index behind the last record held; `None` if there is no journal file, then the first frame may have any index.
    pub next_index: Option<u64>,
    /// What was cut off, if the collector was stopped in the middle of a write.
    pub torn: Option<TornTail>,
    /// Number of files.
    pub files: usize,
    /// Whether the journal had been closed in good order.
    pub clean: bool,
}

/// Bytes that were cut off: the remains of a write that was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub file: String,
    /// Where the file was cut.
    pub offset: u64,
    /// How many bytes went.
    pub bytes: u64,
}

/// Reads all files, cuts a torn tail, and makes the rest durable. Gives the files, oldest first.
pub(super) fn recover(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    ledger: &str,
) -> Result<(Vec<ScannedFile>, Option<Current>, Recovered), JournalError> {
    remove_temporaries(disk.as_ref(), dir)?;
    let names = list(disk.as_ref(), dir)?;
    let mut files: Vec<ScannedFile> = Vec::with_capacity(names.len());
    for (at, (first_index, name)) in names.iter().enumerate() {
        let newest = at + 1 == names.len();
        let file = scan_file(disk.as_ref(), &dir.join(name), *first_index, ledger, newest)?;
        check_follows(files.last(), &file)?;
        files.push(file);
    }
    let torn = cut_torn_tail(disk.as_ref(), &mut files)?;
    let clean = torn.is_none() && files.last().is_none_or(|file| file.ends_synced);
    let current = match files.last_mut() {
        Some(newest) => Some(make_durable(disk.as_ref(), newest)?),
        None => None,
    };
    disk.sync_dir(dir).map_err(|source| JournalError::Io { action: "sync", path: dir.to_owned(), source })?;
    let recovered = Recovered {
        first_index: files.first().map(|file| file.first_index),
        next_index: files.last().map(|file| file.next_index),
        torn,
        files: files.len(),
        clean,
    };
    Ok((files, current, recovered))
}

/// What can be read, without changing anything: for readers beside a writer, which may be in the middle of a write.
pub(super) fn look(disk: &dyn Disk, dir: &Path, ledger: &str) -> Result<Vec<ScannedFile>, JournalError> {
    let names = list(disk, dir)?;
    let mut files: Vec<ScannedFile> = Vec::with_capacity(names.len());
    for (at, (first_index, name)) in names.iter().enumerate() {
        let newest = at + 1 == names.len();
        let file = scan_file(disk, &dir.join(name), *first_index, ledger, newest)?;
        check_follows(files.last(), &file)?;
        if file.header.is_some() {
            files.push(file);
        }
    }
    Ok(files)
}

/// Remains of a rotation that did not end.
fn remove_temporaries(disk: &dyn Disk, dir: &Path) -> Result<(), JournalError> {
    let names = disk.list(dir).map_err(|source| JournalError::Io { action: "list", path: dir.to_owned(), source })?;
    for name in names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|source| JournalError::Io { action: "remove", path, source })?;
    }
    Ok(())
}

/// Journal files by first index.
fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, String)>, JournalError> {
    let names = disk.list(dir).map_err(|source| JournalError::Io { action: "list", path: dir.to_owned(), source })?;
    let mut files = Vec::new();
    for name in names {
        if let Some(digits) = name.strip_suffix(FILE_SUFFIX) {
            let index =
                digits.parse().ok().filter(|_| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()));
            let Some(index) = index else {
                let what = format!("`{name}` in {} is not a journal file's name: move it away", dir.display());
                return Err(JournalError::Setting(what));
            };
            files.push((index, name));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn check_follows(before: Option<&ScannedFile>, file: &ScannedFile) -> Result<(), JournalError> {
    match before {
        Some(before) if before.next_index != file.first_index => Err(JournalError::Corrupt {
            path: before.path.clone(),
            offset: before.len,
            index: before.next_index,
            what: format!("the file ends there, but the next file begins at index {}", file.first_index),
        }),
        _ => Ok(()),
    }
}

fn cut_torn_tail(disk: &dyn Disk, files: &mut Vec<ScannedFile>) -> Result<Option<TornTail>, JournalError> {
    let Some(newest) = files.last_mut() else { return Ok(None) };
    let failed = |source| JournalError::Io { action: "cut the torn tail of", path: newest.path.clone(), source };
    let torn = TornTail {
        file: newest.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        offset: newest.len,
        bytes: newest.torn_bytes,
    };
    if newest.header.is_none() {
        disk.remove(&newest.path).map_err(failed)?;
        files.pop();
        return Ok(Some(torn));
    }
    if newest.torn_bytes == 0 {
        return Ok(None);
    }
    let file = disk.open_write(&newest.path).map_err(failed)?;
    file.truncate(newest.len).map_err(failed)?;
    file.sync().map_err(failed)?;
    newest.torn_bytes = 0;
    Ok(Some(torn))
}

/// Makes sure that the last frame is on the disk and not just in memory, then says so with a marker.
///
/// A process that dies between a write and its `fsync`, or because an `fsync` failed, leaves a frame that reads
/// well but may not be on the disk; after a failed `fsync` the system even holds it for clean, so that another
/// `fsync` would do nothing. Hence the frame is written again, byte for byte in place, and synced. A marker is no
/// exception: it proves the frames before it, not itself, and a hole in its place would cut off what follows.
/// The frames before the last one need none of this: each was synced before the next was begun.
fn make_durable(disk: &dyn Disk, newest: &mut ScannedFile) -> Result<Current, JournalError> {
    let failed = |source| JournalError::Io { action: "secure the last frame of", path: newest.path.clone(), source };
    let nonce = newest.header.as_ref().map(|header| header.nonce).unwrap_or_default();
    let file = disk.open_write(&newest.path).map_err(failed)?;
    if let Some((offset, len)) = newest.last_frame {
        let mut frame = vec![0; len as usize];
        file.read_exact_at(&mut frame, offset).map_err(failed)?;
        file.write_all_at(&frame, offset).map_err(failed)?;
    }
    file.sync().map_err(failed)?;
    if !newest.ends_synced {
        let marker = marker(nonce, newest.next_index);
        match file.write_all_at(&marker, newest.len) {
            Ok(()) => {
                newest.len += marker.len() as u64;
                newest.ends_synced = true;
            }
            // A full disk must not keep the collector from starting; the marker is a convenience.
            Err(error) if out_of_space(&error) => file.truncate(newest.len).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        }
        file.sync().map_err(failed)?;
    }
    Ok(Current {
        file,
        path: newest.path.clone(),
        nonce,
        len: newest.len,
        has_frames: newest.first_sealed_at.is_some(),
        ends_synced: newest.ends_synced,
    })
}
