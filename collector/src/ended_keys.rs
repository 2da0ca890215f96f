//! What MACs of epochs that are over were made with, until it is published.
//!
//! ```text
//! DIR/keys/mac-<epoch, 20 digits>.ended      tachograph-mac-ended/v2, epoch, 64 hex; mode 0600; an age file with `keys.encryption`
//! ```
//!
//! The writer puts a key here before the key file that it follows from goes on to the next epoch, so that no crash loses it; putting it
//! here twice gives the same file. It is wiped when the ledger has it. Nothing of later epochs follows from it.
//!
//! At most [`MAX_ENDED`] are kept: where nothing is published for so long the oldest go, and their MACs can be checked by whoever has the
//! escrowed key, as ever.

use std::fs;
use std::path::PathBuf;

use tachograph_ledger::EpochKey;
use tachograph_record::Hex;
use zeroize::Zeroizing;

use crate::data_dir::{DataDirError, read_sealed, remove_secret, replace_secret};
use crate::keys::Protection;

/// Most keys that wait for their publication: 67 million records.
pub const MAX_ENDED: u64 = 1_024;

const HEADER: &str = "tachograph-mac-ended/v2";
const PREFIX: &str = "mac-";
const SUFFIX: &str = ".ended";

/// The place where they are.
#[derive(Debug)]
pub struct EndedKeys {
    dir: PathBuf,
    protection: Protection,
}

impl EndedKeys {
    pub(crate) fn of(dir: PathBuf, protection: Protection) -> Self {
        Self { dir, protection }
    }

    /// Keeps these keys; durable on return. Of those that wait for longest so many go that [`MAX_ENDED`] are left.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn keep(&self, keys: &[EpochKey]) -> Result<(), DataDirError> {
        for key in keys {
            let path = self.path(key.epoch());
            let text = Zeroizing::new(format!("{HEADER}\n{}\n{}\n", key.epoch(), Hex(*key.expose())));
            let bytes = self.protection.seal(text.as_bytes()).map_err(|what| DataDirError::damaged(&path, what))?;
            replace_secret(&path, &bytes, 0o600)?;
        }
        if keys.is_empty() {
            return Ok(());
        }
        let epochs = self.epochs()?;
        for epoch in &epochs[..epochs.len().saturating_sub(MAX_ENDED as usize)] {
            tracing::error!(
                epoch,
                "the MAC key of this epoch waited too long for a checkpoint that others have seen: it is not published; its MACs can be checked with the escrowed key"
            );
            self.wipe(*epoch)?;
        }
        Ok(())
    }

    /// Epochs whose keys are here, rising.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn epochs(&self) -> Result<Vec<u64>, DataDirError> {
        let mut epochs = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(DataDirError::io(&self.dir))? {
            let name = entry.map_err(DataDirError::io(&self.dir))?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
            epochs.extend(digits.filter(|digits| digits.len() == 20).and_then(|digits| digits.parse::<u64>().ok()));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// The key of `epoch`.
    ///
    /// # Errors
    /// If it is not there, or is damaged.
    pub fn read(&self, epoch: u64) -> Result<EpochKey, DataDirError> {
        let path = self.path(epoch);
        let text = read_sealed(
            &path,
            &self.protection,
            "the MAC key of an epoch that is over. It can be checked with the escrowed key only",
        )?;
        let mut lines = text.lines();
        let key = match (lines.next(), lines.next(), lines.next().and_then(Hex::<32>::parse), lines.next()) {
            (Some(HEADER), Some(stated), Some(Hex(key)), None) if stated.parse() == Ok(epoch) => Some(key),
            _ => None,
        };
        let key = key.ok_or_else(|| {
            let form = "not the MAC key of this epoch (tachograph-mac-ended/v2, epoch, 64 hex). Remove it: its MACs stay checkable with the escrowed key";
            DataDirError::damaged(&path, form)
        })?;
        Ok(EpochKey::at(epoch, key))
    }

    /// Removes the key of `epoch` and wipes it; durable on return.
    ///
    /// # Errors
    /// If that fails.
    pub fn wipe(&self, epoch: u64) -> Result<(), DataDirError> {
        remove_secret(&self.path(epoch))
    }

    fn path(&self, epoch: u64) -> PathBuf {
        self.dir.join(Self::file(epoch))
    }

    /// Name of the file with the key of `epoch`.
    pub(crate) fn file(epoch: u64) -> String {
        format!("{PREFIX}{epoch:020}{SUFFIX}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_until_it_is_wiped_and_the_oldest_give_way() {
        let dir = tempfile::tempdir().unwrap();
        let kept = EndedKeys::of(dir.path().to_owned(), Protection::default());
        let key = |epoch: u64| EpochKey::at(epoch, [epoch as u8; 32]);
        kept.keep(&[key(7), key(3)]).unwrap();
        // A crash before the key file was written has it kept once more.
        kept.keep(&[key(7)]).unwrap();
        assert_eq!(kept.epochs().unwrap(), [3, 7]);
        assert_eq!(kept.read(7).unwrap().expose(), key(7).expose());
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(kept.path(7)).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // One epoch's key under another one's name would be published as that.
        fs::copy(kept.path(7), kept.path(8)).unwrap();
        assert!(kept.read(8).unwrap_err().to_string().contains("not the MAC key of this epoch"));
        for epoch in [3, 7, 8, 8] {
            kept.wipe(epoch).unwrap();
        }
        assert!(kept.epochs().unwrap().is_empty());

        kept.keep(&(0..MAX_ENDED + 2).map(key).collect::<Vec<_>>()).unwrap();
        let left = kept.epochs().unwrap();
        assert_eq!((left.len() as u64, left[0]), (MAX_ENDED, 2));
    }
}
