//! A key in a file that somebody else puts in place: a mounted secret, for example.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tachograph_ledger::{Signer, SigningKey};
use zeroize::Zeroizing;

use super::on_demand::OnDemand;
use super::{KeysError, MAX_KEY_FILE_BYTES, Protection, checked, parse};
use crate::data_dir::DataDir;

/// The text of a file that may be encrypted. A file that can't be read now is out of reach; one that says nonsense is wrong.
pub(super) fn read(path: &Path, protection: &Protection) -> Result<Zeroizing<String>, KeysError> {
    let away = |error: std::io::Error| KeysError::Away(format!("{}: {error}", path.display()));
    let wrong = |what: &str| KeysError::Wrong(format!("{}: {what}", path.display()));
    // Asked before it is opened: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(away)?.is_file() {
        return Err(wrong("not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    File::open(path).and_then(|file| file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut bytes)).map_err(away)?;
    let plain = protection.open(bytes).map_err(|what| wrong(&what))?;
    match std::str::from_utf8(&plain) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(wrong("not a key, but bytes that are no text")),
    }
}

pub(super) fn signing_key(path: &Path, protection: &Protection) -> Result<SigningKey, KeysError> {
    parse(&read(path, protection)?, &path.display().to_string())
}

pub(super) fn signer(path: &Path, data_dir: &DataDir) -> Result<Arc<dyn Signer>, KeysError> {
    let (path, protection, expected) = (path.to_owned(), data_dir.protection().clone(), data_dir.vkey().clone());
    let load = {
        let expected = expected.clone();
        move || checked(signing_key(&path, &protection)?, &expected, &path.display().to_string())
    };
    let signer = OnDemand::new(expected, load);
    match signer.try_load() {
        Ok(()) => Ok(Arc::new(signer)),
        Err(KeysError::Away(what)) => {
            tracing::error!(%what, "THE LEDGER'S KEY IS OUT OF REACH: nothing is archived until it is there. Records are taken and stay in the journal");
            Ok(Arc::new(signer))
        }
        Err(error) => Err(error),
    }
}
