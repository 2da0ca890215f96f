//! Where records go that no receiver took: kept for people to look at, within a bound.

use super::folder::make_folder;
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
        self.make()?;
        if !self.has_room(entry.record.len() as u64)? {
            return Err(io::Error::other("refused/ is full; look at it and empty it"));
        }
        let path = self.folder.join(format!("{epoch}.seg"));
        let mut options = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.create(true).append(true).open(&path)?;
        let mut bytes = if file.metadata()?.len() == 0 {
            Header::write(resource).ok_or_else(|| io::Error::other("the resource is too long"))?
        } else {
            Vec::new()
        };
        entry.write(&mut bytes);
        file.write_all(&bytes)?;
        Ok(path)
    }

    /// Puts a segment aside in which something is not readable, or removes it if there is no room. After an error it is where it was.
    pub(super) fn keep_damaged(&self, segment: &Path, epoch: &str, number: u64) -> io::Result<()> {
        let length = match fs::metadata(segment) {
            Ok(metadata) => metadata.len(),
            // Somebody took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        self.make()?;
        if !self.has_room(length)? {
            return fs::remove_file(segment);
        }
        for_the_owner_alone(segment, 0o600)?;
        fs::rename(segment, self.folder.join(format!("{epoch}-{number:08}.damaged")))
    }

    /// Content is in it, and the spool's directory may have been there before, for others to read.
    fn make(&self) -> io::Result<()> {
        make_folder(&self.folder)?;
        for_the_owner_alone(&self.folder, 0o700)
    }

    fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let mut used = bytes;
        for entry in fs::read_dir(&self.folder)? {
            used = used.saturating_add(entry?.metadata()?.len());
        }
        Ok(used <= LIMIT)
    }
}

#[cfg(unix)]
fn for_the_owner_alone(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn for_the_owner_alone(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}
