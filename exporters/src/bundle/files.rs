//! The files of a bundle, in a folder or a zip.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tachograph_ledger::{Hash, sha256};
use zip::result::{ZipError, ZipResult};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{ABOUT, MANIFEST, MAX_BYTES, MAX_RECORDS};

/// Files beside the proofs, which are one a record.
const MAX_OTHER_FILES: usize = 1_000;
const MAX_FILES: usize = MAX_RECORDS + MAX_OTHER_FILES;
const TOO_MANY: &str = "101,000 files";

/// What a zip may unpack to whatever its size is …
const FREE_BYTES: u64 = 64 << 20;
/// … and beyond it at most so many times its size. Texts pack to a tenth; a bomb to a thousandth.
const MAX_RATIO: u64 = 100;

/// The files of a bundle by their paths, with `/` between parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, Vec<u8>>);

/// Why a bundle can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The file system.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a zip, or a damaged one.
    #[error("{path}: {what}")]
    Zip {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Too much.
    #[error("{path} is no bundle: it has more than {what}")]
    TooLarge {
        /// The place.
        path: PathBuf,
        /// Which bound.
        what: &'static str,
    },
    /// There is something already.
    #[error("{path} is there already: choose a new name, nothing is overwritten")]
    Exists {
        /// The place.
        path: PathBuf,
    },
}

impl FilesError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    fn zip(path: &Path) -> impl FnOnce(ZipError) -> Self {
        move |error| Self::Zip { path: path.to_owned(), what: error.to_string() }
    }
}

impl Files {
    /// Adds a file, or puts it in the place of the one with this path.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), bytes.into());
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// All files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|bytes| bytes.len() as u64).sum()
    }

    /// Adds the manifest over all other files, as `sha256sum` writes it.
    pub fn seal(&mut self) {
        self.0.remove(MANIFEST);
        let lines: String = self.iter().map(|(path, bytes)| format!("{}  {path}\n", sha256(bytes))).collect();
        self.insert(MANIFEST, lines);
    }

    /// What is wrong between manifest and files: path and what.
    pub(crate) fn against_manifest(&self) -> Vec<(String, String)> {
        let Some(manifest) = self.get(MANIFEST) else { return vec![(MANIFEST.to_owned(), "missing".to_owned())] };
        let mut wrong = Vec::new();
        let mut listed: BTreeMap<String, Hash> = BTreeMap::new();
        for (at, line) in String::from_utf8_lossy(manifest).lines().enumerate() {
            let entry = line.split_once("  ").and_then(|(hash, path)| Some((path, Hash::from_hex(hash)?)));
            let is_behind = |path: &str| listed.last_key_value().is_none_or(|(last, _)| last.as_str() < path);
            match entry.filter(|(path, _)| is_behind(path)) {
                Some((path, hash)) => drop(listed.insert(path.to_owned(), hash)),
                None => {
                    let what = format!("line {} is not a SHA-256 and a path that sorts behind the one before", at + 1);
                    wrong.push((MANIFEST.to_owned(), what));
                }
            }
        }
        for (path, hash) in &listed {
            match self.get(path) {
                None => wrong.push((path.clone(), "missing, though the manifest lists it".to_owned())),
                Some(bytes) if sha256(bytes) != *hash => {
                    wrong.push((path.clone(), "not the bytes that the manifest lists".to_owned()));
                }
                Some(_) => {}
            }
        }
        let unlisted = self.0.keys().filter(|path| *path != MANIFEST && !listed.contains_key(*path));
        wrong.extend(unlisted.map(|path| (path.clone(), "the manifest does not list it".to_owned())));
        wrong
    }

    /// Whether `place` is a bundle by its looks: a folder with `bundle.json`, or a zip.
    pub fn is_bundle(place: &Path) -> bool {
        let mut magic = [0; 4];
        place.join(ABOUT).is_file()
            || place.is_file()
                && File::open(place).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
                && magic == *b"PK\x03\x04"
    }

    /// Reads a folder or a zip.
    ///
    /// # Errors
    /// If it can't be read, or has more or larger files than a bundle may have.
    pub fn read(place: &Path) -> Result<Self, FilesError> {
        let mut taken = Taken { place, files: Self::default(), left: MAX_BYTES, bound: "1 GiB" };
        if place.is_dir() {
            read_folder(&mut taken, place, "", 0)?;
        } else {
            read_zip(&mut taken)?;
        }
        Ok(taken.files)
    }

    /// Writes a new folder; nothing that is there is overwritten.
    ///
    /// # Errors
    /// If there is something already, or it can't be written. Then a part may be there.
    pub fn write_folder(&self, place: &Path) -> Result<(), FilesError> {
        let occupied = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some());
        if occupied || place.is_file() {
            return Err(FilesError::Exists { path: place.to_owned() });
        }
        for (path, bytes) in self.iter() {
            let target = place.join(path);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(FilesError::io(parent))?;
            }
            fs::write(&target, bytes).map_err(FilesError::io(&target))?;
        }
        Ok(())
    }

    /// Writes a new zip, with the files in a folder of the zip's name.
    ///
    /// # Errors
    /// If there is something already, or it can't be written.
    pub fn write_zip(&self, place: &Path) -> Result<(), FilesError> {
        let file = File::options().write(true).create_new(true).open(place).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => FilesError::Exists { path: place.to_owned() },
            _ => FilesError::Io { path: place.to_owned(), source: error },
        })?;
        let folder = place.file_stem().and_then(|stem| stem.to_str()).unwrap_or("bundle");
        self.pack(&file, place, folder, CompressionMethod::Deflated)?;
        let packed = file.metadata().map_err(FilesError::io(place))?.len();
        if self.bytes() > most_unpacked(packed) {
            // One that packs too well would be taken for a bomb.
            file.set_len(0).and_then(|()| (&file).rewind()).map_err(FilesError::io(place))?;
            self.pack(&file, place, folder, CompressionMethod::Stored)?;
        }
        Ok(())
    }

    fn pack(&self, file: &File, place: &Path, folder: &str, method: CompressionMethod) -> Result<(), FilesError> {
        let mut zip = ZipWriter::new(file);
        let options = SimpleFileOptions::default().compression_method(method);
        for (path, bytes) in self.iter() {
            zip.start_file(format!("{folder}/{path}"), options).map_err(FilesError::zip(place))?;
            zip.write_all(bytes).map_err(FilesError::io(place))?;
        }
        zip.finish().map_err(FilesError::zip(place))?;
        Ok(())
    }
}

/// To how many bytes a zip of so many may unpack.
fn most_unpacked(packed: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).clamp(FREE_BYTES, MAX_BYTES)
}

/// What was read so far, and how much more may be.
struct Taken<'p> {
    place: &'p Path,
    files: Files,
    left: u64,
    /// What `left` began as, for messages.
    bound: &'static str,
}

impl Taken<'_> {
    fn too_large(&self, what: &'static str) -> FilesError {
        FilesError::TooLarge { path: self.place.to_owned(), what }
    }

    fn take(&mut self, path: String, file: impl Read, what: &Path) -> Result<(), FilesError> {
        if self.files.0.len() >= MAX_FILES {
            return Err(self.too_large(TOO_MANY));
        }
        let mut bytes = Vec::new();
        file.take(self.left + 1).read_to_end(&mut bytes).map_err(FilesError::io(what))?;
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| self.too_large(self.bound))?;
        self.files.insert(path, bytes);
        Ok(())
    }
}

fn read_folder(taken: &mut Taken<'_>, folder: &Path, prefix: &str, depth: usize) -> Result<(), FilesError> {
    // A bundle has folders of files and nothing deeper; deeper ones are strangers by their names.
    const DEEPEST: usize = 8;
    for entry in fs::read_dir(folder).map_err(FilesError::io(folder))? {
        let entry = entry.map_err(FilesError::io(folder))?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(FilesError::io(&entry.path()))?;
        if kind.is_dir() && depth < DEEPEST {
            read_folder(taken, &entry.path(), &format!("{path}/"), depth + 1)?;
        } else if kind.is_file() {
            let file = File::open(entry.path()).map_err(FilesError::io(&entry.path()))?;
            taken.take(path, file, &entry.path())?;
        } else {
            // A link could lead anywhere: there is none in a bundle.
            taken.take(path, io::empty(), folder)?;
        }
    }
    Ok(())
}

fn read_zip(taken: &mut Taken<'_>) -> Result<(), FilesError> {
    let place = taken.place;
    let file = File::open(place).map_err(FilesError::io(place))?;
    let mut zip = ZipArchive::new(io::BufReader::new(file)).map_err(FilesError::zip(place))?;
    if zip.len() > MAX_FILES {
        return Err(taken.too_large(TOO_MANY));
    }
    let packed = fs::metadata(place).map_err(FilesError::io(place))?.len();
    taken.left = most_unpacked(packed);
    if taken.left < MAX_BYTES {
        taken.bound = "64 MiB that unpack from less than a hundredth of that";
    }
    // By its own word first, before anything is unpacked; then by what comes.
    let mut said = 0_u64;
    for at in 0..zip.len() {
        said = said.saturating_add(zip.by_index_raw(at).map_err(FilesError::zip(place))?.size());
    }
    if said > taken.left {
        return Err(taken.too_large(taken.bound));
    }
    let folder = common_folder(&zip).map_err(FilesError::zip(place))?;
    for at in 0..zip.len() {
        let entry = zip.by_index(at).map_err(FilesError::zip(place))?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(FilesError::zip(place))?.into_owned();
        let path = name.strip_prefix(&folder).unwrap_or(&name).to_owned();
        if taken.files.get(&path).is_some() {
            return Err(FilesError::Zip { path: place.to_owned(), what: format!("{path} is in it twice") });
        }
        taken.take(path, entry, place)?;
    }
    Ok(())
}

/// The folder that all files of a zip are in, as people and tools pack them; empty if there is none.
fn common_folder<R: Read + Seek>(zip: &ZipArchive<R>) -> ZipResult<String> {
    let names = zip.file_names().collect::<ZipResult<Vec<_>>>()?;
    let folder = names.iter().find_map(|name| name.strip_suffix(ABOUT)).unwrap_or_default();
    Ok(if names.iter().all(|name| name.starts_with(folder)) { folder.to_owned() } else { String::new() })
}
