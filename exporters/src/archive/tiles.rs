//! The archive as a transparency log's static files: [c2sp.org/tlog-tiles](https://c2sp.org/tlog-tiles).
//!
//! ```text
//! checkpoint                         the newest, with cosignatures if there are any
//! tile/<L>/<N>[.p/<W>]               256 hashes of level 8 × L
//! tile/entries/<N>[.p/<W>]           256 leaves, each behind its length (u16, big-endian)
//! ```
//!
//! Made from the archive alone, and again whenever wanted. The checkpoint is written last, and only if the tiles lead to its root: whoever
//! reads meanwhile sees the log as it was.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tachograph_ledger::{Checkpoint, Edge, Hash, node_hash};

use super::reader::{ReadError, Reader};
use super::tree::{TreeError, TreeReader};
use super::{MAX_NOTE_BYTES, paths, witnessed};

/// Hashes of a full tile.
const WIDTH: usize = 256;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Leaves under the checkpoint.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// Files of tiles and entry bundles.
    pub files: u64,
}

/// Why there are no tiles.
#[derive(Debug, thiserror::Error)]
pub enum TilesError {
    /// Nothing is archived.
    #[error("the archive has no records yet: there is no tree to export")]
    Empty,
    /// The archive can't be read, or its leaves are not those of the signed root.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The target holds something else.
    #[error("{path} is no log of this ledger: choose a new or empty directory")]
    Other {
        /// The directory.
        path: PathBuf,
    },
    /// The target shows a history that this archive does not continue.
    #[error(
        "{path} shows a log of {there} records, and this archive, of {here}, does not continue it: there are two histories, or the archive \
         was rolled back; run `tachograph verify` with --checkpoint {path}/checkpoint"
    )]
    Fork {
        /// The directory.
        path: PathBuf,
        /// Records of the log there.
        there: u64,
        /// Records of the archive.
        here: u64,
    },
    /// The target can't be written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes the tree of the newest checkpoint below `target`. Files that are there already stay, so that a log can be brought up to date.
pub fn export(archive: &Reader, tree: &TreeReader, target: &Path) -> Result<Exported, TilesError> {
    let (size, root) = newest(archive)?;
    let note = note(archive, size, root)?;
    check_target(archive, tree, target, size)?;
    let checkpoint = target.join("checkpoint");
    let mut tiles = Tiles { target, levels: Vec::new(), entries: Vec::new(), bundled: 0, files: 0 };
    let mut edge = Edge::new();
    let mut failed = None;
    let walked = tree.each_leaf(0, size, |index, leaf, hash| {
        edge.push(*hash);
        tiles.push(index, leaf, *hash).map_err(|error| {
            let what = error.to_string();
            failed = Some(error);
            TreeError::Damaged { what }
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    walked?;
    if edge.root() != root {
        let what = format!("the leaves have root {}, the newest commit signs {root}", edge.root());
        return Err(TreeError::Damaged { what }.into());
    }
    tiles.finish(size)?;
    // Whole or not at all: a log's clients read it at any time.
    let temporary = target.join("checkpoint.new");
    write(&temporary, &note)?;
    fs::rename(&temporary, &checkpoint).map_err(|source| TilesError::Io { path: checkpoint, source })?;
    Ok(Exported { size, root, files: tiles.files })
}

/// The checkpoint of that size and root, with the cosignatures that the archive has.
fn note(archive: &Reader, size: u64, root: Hash) -> Result<Vec<u8>, TilesError> {
    let store = &**archive.store();
    let of_read = |error| TreeError::from(ReadError::from(error));
    let is_it = |note: &[u8]| Checkpoint::open(note, archive.keys()).is_ok_and(|it| (it.size, it.root) == (size, root));
    if let Some(note) = witnessed::read(store, size).map_err(of_read)?.filter(|note| is_it(note)) {
        return Ok(note);
    }
    let path = paths::checkpoint(size);
    let note = store.read(&path, MAX_NOTE_BYTES).map_err(of_read)?;
    match is_it(&note) {
        true => Ok(note),
        false => Err(TreeError::Damaged { what: format!("{path} is not the checkpoint of its commit") }.into()),
    }
}

/// Where the newest commit ends whose checkpoint is there: it follows its commit, and a collector that runs may be between the two.
fn newest(archive: &Reader) -> Result<(u64, Hash), TilesError> {
    let commits = archive.commits();
    let newest = commits.last().ok_or(TilesError::Empty)?;
    let there = archive.store().len(&paths::checkpoint(newest.end()));
    let there = there.map_err(|error| TreeError::from(ReadError::from(error)))?.is_some();
    let newest = if there { newest } else { commits.iter().rev().nth(1).ok_or(TilesError::Empty)? };
    Ok((newest.end(), newest.root))
}

/// The target must be new or empty, or show a log that this one continues.
fn check_target(archive: &Reader, tree: &TreeReader, target: &Path, size: u64) -> Result<(), TilesError> {
    let Ok(note) = fs::read(target.join("checkpoint")) else {
        // An export that was interrupted has its tiles, and no checkpoint yet.
        let mut entries = fs::read_dir(target).into_iter().flatten().flatten();
        return match entries.any(|entry| entry.file_name() != "tile") {
            true => Err(TilesError::Other { path: target.to_owned() }),
            false => Ok(()),
        };
    };
    let there = Checkpoint::open(&note, archive.keys());
    let there = there.map_err(|_| TilesError::Other { path: target.to_owned() })?;
    match there.size <= size && tree.root(there.size).is_ok_and(|root| root == there.root) {
        true => Ok(()),
        false => Err(TilesError::Fork { path: target.to_owned(), there: there.size, here: size }),
    }
}

struct Tiles<'t> {
    target: &'t Path,
    /// Of each level the hashes of the tile that is being filled, and how many tiles were full before it.
    levels: Vec<(Vec<Hash>, u64)>,
    entries: Vec<u8>,
    /// Full entry bundles.
    bundled: u64,
    files: u64,
}

impl Tiles<'_> {
    fn push(&mut self, index: u64, leaf: &[u8], hash: Hash) -> Result<(), TilesError> {
        // A leaf has at most 65,535 bytes.
        self.entries.extend_from_slice(&u16::try_from(leaf.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.entries.extend_from_slice(leaf);
        if (index + 1).is_multiple_of(WIDTH as u64) {
            let bundle = std::mem::take(&mut self.entries);
            self.put(&format!("entries/{}", name(self.bundled)), &bundle)?;
            self.bundled += 1;
        }
        let mut carried = Some(hash);
        let mut level = 0;
        while let Some(hash) = carried.take() {
            if self.levels.len() == level {
                self.levels.push((Vec::with_capacity(WIDTH), 0));
            }
            let (tile, full) = &mut self.levels[level];
            tile.push(hash);
            if tile.len() == WIDTH {
                let (bytes, number) = (concat(tile), *full);
                carried = Some(root_of_tile(std::mem::take(tile)));
                *full += 1;
                self.put(&format!("{level}/{}", name(number)), &bytes)?;
            }
            level += 1;
        }
        Ok(())
    }

    /// The partial tiles of a tree of `size` leaves.
    fn finish(&mut self, size: u64) -> Result<(), TilesError> {
        let width = size % WIDTH as u64;
        if width > 0 {
            let bundle = std::mem::take(&mut self.entries);
            self.put(&format!("entries/{}.p/{width}", name(self.bundled)), &bundle)?;
        }
        for (level, (tile, full)) in std::mem::take(&mut self.levels).into_iter().enumerate() {
            if !tile.is_empty() {
                self.put(&format!("{level}/{}.p/{}", name(full), tile.len()), &concat(&tile))?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), TilesError> {
        let path = self.target.join("tile").join(path);
        self.files += 1;
        // What an earlier export wrote stays, if it is the same: readers hold it in caches for ever.
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        write(&path, bytes)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), TilesError> {
    let io = |source| TilesError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    fs::write(path, bytes).map_err(io)
}

/// A tile's number in groups of three digits, all but the last with an `x` in front.
fn name(number: u64) -> String {
    let mut groups = vec![format!("{:03}", number % 1_000)];
    let mut rest = number / 1_000;
    while rest > 0 {
        groups.push(format!("x{:03}", rest % 1_000));
        rest /= 1_000;
    }
    groups.reverse();
    groups.join("/")
}

fn concat(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Root of the perfect subtree over a full tile.
fn root_of_tile(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        hashes = hashes.chunks(2).map(|pair| node_hash(&pair[0], &pair[pair.len() - 1])).collect();
    }
    hashes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph_ledger::{leaf_hash, root_of};

    #[test]
    fn tiles_are_numbered_as_the_format_says() {
        assert_eq!(name(0), "000");
        assert_eq!(name(999), "999");
        assert_eq!(name(1_000), "x001/000");
        assert_eq!(name(1_234_067), "x001/x234/067");
    }

    #[test]
    fn a_full_tile_gives_the_root_of_its_leaves() {
        let hashes: Vec<Hash> = (0..=255u8).map(|n| leaf_hash(&[n])).collect();
        assert_eq!(root_of_tile(hashes.clone()), root_of(&hashes));
    }
}
