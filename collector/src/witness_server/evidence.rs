//! What a witness refused though the ledger had signed it, kept as it came.
//!
//! ```text
//! DIR/forks/<origin>-<root>/      two roots for one size, both signed by the ledger: proof by itself
//! DIR/unproven/<origin>-<root>/   was not shown to continue what was cosigned: no proof, anybody can send a wrong consistency proof
//! ```
//!
//! Each holds `refused` (the checkpoint), `cosigned` (the one that was cosigned last, which it was held against; or empty, and `why` names the
//! link that has another root) and `why`; `<origin>` and `<root>` are the first
//! 16 hex digits. Names that begin with a point are not finished.
//!
//! Invariants: what is kept is whole, whatever crash came; each ledger has bounds of its own, and forks another one than what is
//! unproven, so that nobody can crowd out the evidence against a ledger.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use tachograph_ledger::{Checkpoint, Hash, Keys};

use super::directory::{Follows, WitnessDir, WitnessDirError, of, origin_hash, read};
use crate::data_dir::{make_dir, sync_dir, write_new};

/// What a refused checkpoint says of its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// There are two histories: the ledger signed two roots for one size.
    Fork,
    /// Nothing by itself: it came without a proof that holds.
    Unproven,
}

/// What became of a piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on the disk from now on.
    New,
    /// It was there.
    Known,
    /// As much of this ledger is there as is kept.
    Full,
}

impl Finding {
    const fn place(self) -> &'static str {
        match self {
            Self::Fork => "forks",
            Self::Unproven => "unproven",
        }
    }

    /// How many of one ledger are kept.
    pub const fn most_per_ledger(self) -> usize {
        match self {
            Self::Fork => 1_000,
            Self::Unproven => 100,
        }
    }
}

impl WitnessDir {
    /// Keeps the checkpoint `refused` with this root as evidence, beside what was cosigned last. With `New` it is durable on return.
    /// One ledger's evidence is to be kept by one thread at a time.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep(
        &self,
        finding: Finding,
        last: &Follows,
        refused: &str,
        root: &Hash,
        why: &str,
    ) -> Result<Kept, WitnessDirError> {
        let place = self.path(finding.place());
        let origin = short_origin(last);
        let name = format!("{origin}-{}", &root.to_hex()[..16]);
        let dir = place.join(&name);
        if is_whole(&dir) {
            return Ok(Kept::Known);
        }
        if self.names(finding)?.iter().filter(|name| name.starts_with(&origin)).count() >= finding.most_per_ledger() {
            return Ok(Kept::Full);
        }
        if !place.is_dir() {
            make_dir(&place, 0o700)?;
            sync_dir(&self.path(""))?;
        }
        let unfinished = place.join(format!(".{name}"));
        remove(&unfinished)?;
        make_dir(&unfinished, 0o700)?;
        write_new(&unfinished.join("refused"), refused.as_bytes(), 0o444)?;
        write_new(&unfinished.join("cosigned"), last.note.as_deref().unwrap_or_default().as_bytes(), 0o444)?;
        write_new(&unfinished.join("why"), format!("{why}\n").as_bytes(), 0o444)?;
        sync_dir(&unfinished)?;
        // What is not whole there was begun in its place by an earlier release, and cut short.
        remove(&dir)?;
        fs::rename(&unfinished, &dir).map_err(of(&dir))?;
        sync_dir(&place)?;
        Ok(Kept::New)
    }

    /// Holds what is unproven of this ledger against what was cosigned last. The same checkpoint is dropped: it was shown to continue
    /// in the end. Others of the same size are given back, since they are forks.
    ///
    /// # Errors
    /// If what is there can't be listed or removed.
    pub fn settle(&self, last: &Follows) -> Result<Vec<(String, Checkpoint)>, WitnessDirError> {
        let place = self.path(Finding::Unproven.place());
        let origin = short_origin(last);
        let mut forks = Vec::new();
        for name in self.names(Finding::Unproven)?.into_iter().filter(|name| name.starts_with(&origin)) {
            let dir = place.join(&name);
            // Not as this witness wrote it: no evidence, and no reason to pass over the others.
            let Ok(Some(note)) = read(&dir.join("refused")) else { continue };
            match Checkpoint::open(note.as_bytes(), &last.keys) {
                Ok(checkpoint) if last.note.is_none() || checkpoint.size != last.size => {}
                Ok(checkpoint) if checkpoint.root == last.root => {
                    let unfinished = place.join(format!(".{name}"));
                    remove(&unfinished)?;
                    fs::rename(&dir, &unfinished).map_err(of(&dir))?;
                    remove(&unfinished)?;
                }
                Ok(checkpoint) => forks.push((note, checkpoint)),
                Err(_) => {}
            }
        }
        Ok(forks)
    }

    /// How many are kept of all ledgers.
    ///
    /// # Errors
    /// If they can't be counted.
    pub fn count(&self, finding: Finding) -> Result<usize, WitnessDirError> {
        Ok(self.names(finding)?.len())
    }

    fn names(&self, finding: Finding) -> Result<Vec<String>, WitnessDirError> {
        let place = self.path(finding.place());
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(of(&place)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(of(&place))?.file_name();
            names.extend(
                name.to_str().filter(|name| !name.starts_with('.') && is_whole(&place.join(name))).map(str::to_owned),
            );
        }
        Ok(names)
    }
}

fn short_origin(follows: &Follows) -> String {
    let mut origin = origin_hash(follows.keys.ledger().as_str());
    origin.truncate(16);
    origin
}

/// `why` is written last.
fn is_whole(dir: &Path) -> bool {
    dir.join("why").is_file()
}

fn remove(dir: &Path) -> Result<(), WitnessDirError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(of(dir)(error)),
        _ => Ok(()),
    }
}
