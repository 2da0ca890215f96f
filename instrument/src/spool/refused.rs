//! Where records go that no receiver took: kept for people to look at, within a bound.

use super::format::{Entry, Header};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FOLDER: &str = "refused";
const LIMIT: u64 = 16 << 20;

#[derive(Debug)]
pub(crate) struct Refused {
    folder: PathBuf,
}

impl Refused {
    pub(super) fn new(directory: &Path) -> Self {
        Self { folder: directory.join(FOLDER) }
    }

    /// Keeps a record that the receiver refused; gives the file.
    pub(crate) fn keep(&self, epoch: &str, resource: &[u8], entry: Entry<'_>) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        self.room_for(entry.record.len() as u64)?;
        let path = self.folder.join(format!("{epoch}.seg"));
        let mut file = File::options().create(true).append(true).open(&path)?;
        let mut bytes = if file.metadata()?.len() == 0 {
            Header::write(resource).ok_or_else(|| io::Error::other("the resource is too long"))?
        } else {
            Vec::new()
        };
        entry.write(&mut bytes);
        file.write_all(&bytes)?;
        Ok(path)
    }

    /// Puts a segment aside in which something is not readable, or removes it if there is no room.
    pub(super) fn keep_damaged(&self, segment: &Path, epoch: &str, number: u64) {
        let aside = || {
            fs::create_dir_all(&self.folder)?;
            self.room_for(fs::metadata(segment)?.len())?;
            fs::rename(segment, self.folder.join(format!("{epoch}-{number:08}.damaged")))
        };
        if aside().is_err() {
            let _ = fs::remove_file(segment);
        }
    }

    fn room_for(&self, bytes: u64) -> io::Result<()> {
        let mut used = bytes;
        for entry in fs::read_dir(&self.folder)? {
            used = used.saturating_add(entry?.metadata()?.len());
        }
        if used <= LIMIT { Ok(()) } else { Err(io::Error::other("refused/ is full; look at it and empty it")) }
    }
}
