//! What the spool's writer does to the disk, as a trait, so that tests can have it fail.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// What is done to files that are written. The default methods do it to the real ones.
pub trait Disk: Debug + Send + Sync {
    /// Makes a file that must not be there.
    fn create(&self, path: &Path) -> io::Result<File> {
        File::options().write(true).create_new(true).open(path)
    }

    /// Writes at the place where the file is known to end. After an error any part may be there.
    fn write(&self, file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(bytes)
    }

    /// Cuts the file behind `length`.
    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Has the file's content survive the machine.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The disk that is there.
#[derive(Debug)]
pub struct RealDisk;

impl Disk for RealDisk {}

/// Has names that were made in the folder survive the machine, where the system has a way to say so.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
