//! The witness's directory.
//!
//! ```text
//! DIR/witness.vkey                public key, Ed25519, for those who trust this witness
//! DIR/witness-ml-dsa-44.vkey      its second public key, ML-DSA-44, if it has one
//! DIR/keys/witness.key            private key, mode 0600
//! DIR/keys/witness-ml-dsa-44.key  the second one
//! DIR/logs/<origin>/vkey          first key of a ledger that it follows; <origin> is the hex SHA-256 of the ledger's name
//! DIR/logs/<origin>/keys/<index>  links to the ledger's later keys, as its archive has them
//! DIR/logs/<origin>/checkpoint    the checkpoint that it cosigned last, with its cosignature: one of each key that it had then
//! DIR/forks/, DIR/unproven/       what it refused: see `evidence`
//! DIR/lock                        held by the process that answers
//! ```
//!
//! A checkpoint is replaced whole or not at all. Whoever puts an older one back makes the witness vouch for a fork: never restore it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tachograph_ledger::keys::{self, MAX_LINK_BYTES};
use tachograph_ledger::{
    Checkpoint, Hash, KeyHistory, Keys, VerifyingKey, WitnessName, WitnessSigningKey, WitnessVerifyingKey, empty_root,
    parse_note, sha256,
};
use zeroize::Zeroizing;

use crate::data_dir::{DataDirError, make_dir, read_secret, replace, replace_secret, sync_dir, write_new};

const VKEY: &str = "witness.vkey";
const KEY: &str = "keys/witness.key";
const SECOND_VKEY: &str = "witness-ml-dsa-44.vkey";
const SECOND_KEY: &str = "keys/witness-ml-dsa-44.key";

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// What is wrong with a witness's directory, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum WitnessDirError {
    /// There is none.
    #[error("{0} is no witness's directory. Create one with `tachograph witness init {0} --name NAME`")]
    NoWitness(PathBuf),
    /// `init` into a place that is in use.
    #[error("{0} is not empty; a witness is only created in a new or empty directory")]
    NotEmpty(PathBuf),
    /// `init` where a witness is.
    #[error(
        "{0} is not empty: it is a witness's directory already. If it lacks a second key, ML-DSA-44, `tachograph witness post-quantum {0}` gives it one"
    )]
    IsWitness(PathBuf),
    /// A private key whose public half is not there: restored without it, or left by a run that was cut short.
    #[error("{key} is there, but {vkey} is not: {remedy}")]
    NoPublicHalf {
        /// The private key's file.
        key: PathBuf,
        /// Where the public one belongs.
        vkey: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A private key that is not this witness's second one.
    #[error(
        "{key}: {what}. It is left as it is: restore it from your backup, or move it elsewhere if no policy names its key"
    )]
    OtherSecondKey {
        /// The private key's file.
        key: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Another process answers.
    #[error("{0} is in use by another process (it holds {0}/lock): one witness answers in one process")]
    InUse(PathBuf),
    /// A ledger of that name is followed already, with another key.
    #[error(
        "the ledger {name} is followed already, with the key {known}: a second key for one name is a fork. If the ledger changed its key, give its first one, and the link to the new one with --link; if it was really made anew, give it a new name"
    )]
    OtherKey {
        /// Name of the ledger.
        name: String,
        /// The key that is known.
        known: String,
    },
    /// A link to a later key that leads nowhere.
    #[error("{0}. Links are files of the ledger's archive, keys/…: give them in the order of their names")]
    Link(String),
    /// A file does not say what it should.
    #[error(
        "{path}: {what}. Restore the newest copy of this file, never an older one: without it this witness can't know what it vouched for"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Files could not be read or written.
    #[error(transparent)]
    Files(#[from] DataDirError),
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A witness's directory.
#[derive(Debug)]
pub struct WitnessDir {
    root: PathBuf,
    vkey: WitnessVerifyingKey,
    /// The ML-DSA-44 key of the same name, if it has one.
    second: Option<WitnessVerifyingKey>,
}

/// The right to answer, until dropped.
#[derive(Debug)]
pub struct WitnessLock {
    _file: File,
}

/// A ledger that the witness follows, and what it cosigned last.
#[derive(Clone, Debug)]
pub struct Follows {
    /// The ledger's keys.
    pub keys: KeyHistory,
    /// Records under the checkpoint that was cosigned last; 0 if there is none.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
    /// That checkpoint with the cosignature, if there is one.
    pub note: Option<String>,
    /// When it was cosigned, seconds since 1970.
    pub time: Option<u64>,
}

/// How a ledger's files are named.
pub fn origin_hash(origin: &str) -> String {
    sha256(origin.as_bytes()).to_hex()
}

impl WitnessDir {
    /// Creates a witness: its Ed25519 key pair and its places. `seed` is 32 random bytes.
    ///
    /// # Errors
    /// If `root` is not a new or empty directory, or can't be written.
    pub fn init(root: &Path, name: &WitnessName, seed: &Zeroizing<[u8; 32]>) -> Result<Self, WitnessDirError> {
        make_dir(root, 0o700)?;
        if fs::read_dir(root).map_err(of(root))?.next().is_some() {
            return Err(match Self::open(root) {
                Ok(_) => WitnessDirError::IsWitness(root.to_owned()),
                Err(error @ WitnessDirError::NoPublicHalf { .. }) => error,
                Err(_) => WitnessDirError::NotEmpty(root.to_owned()),
            });
        }
        let key = WitnessSigningKey::from_seed(name.clone(), **seed);
        for dir in ["keys", "logs", "forks", "unproven"] {
            make_dir(&root.join(dir), 0o700)?;
        }
        let secret = Zeroizing::new(format!("{}\n", *key.to_line()));
        write_new(&root.join(KEY), secret.as_bytes(), 0o600)?;
        sync_dir(&root.join("keys"))?;
        // Last: a directory without it is no witness's.
        write_new(&root.join(VKEY), format!("{}\n", key.public().to_line()).as_bytes(), 0o644)?;
        sync_dir(root)?;
        Ok(Self { root: root.to_owned(), vkey: key.public(), second: None })
    }

    /// Opens the witness in `root`.
    ///
    /// # Errors
    /// If there is none, or its public key is missing.
    pub fn open(root: &Path) -> Result<Self, WitnessDirError> {
        let path = root.join(VKEY);
        let Some(line) = read(&path)? else {
            let key = root.join(KEY);
            return Err(match is_there(&key)? {
                false => WitnessDirError::NoWitness(root.to_owned()),
                true => WitnessDirError::NoPublicHalf {
                    key,
                    vkey: path,
                    remedy: format!(
                        "restore it from your backup, or write the witness's key line into it as policies have it. If `witness init` was cut short here, nobody knows this key: remove {} and begin anew",
                        root.display()
                    ),
                },
            });
        };
        let vkey = WitnessVerifyingKey::parse(&line).map_err(damaged(&path))?;
        let path = root.join(SECOND_VKEY);
        let second = read(&path)?.map(|line| WitnessVerifyingKey::parse(&line).map_err(damaged(&path))).transpose()?;
        if second.as_ref().is_some_and(|second| second.name() != vkey.name() || !second.is_post_quantum()) {
            return Err(damaged::<&str>(&path)("no ML-DSA-44 key of this witness"));
        }
        Ok(Self { root: root.to_owned(), vkey, second })
    }

    /// Opens the witness in `root` for one process alone: what was read can't change any more but by whoever holds the lock.
    ///
    /// # Errors
    /// If there is none, or another process has it.
    pub fn open_alone(root: &Path) -> Result<(Self, WitnessLock), WitnessDirError> {
        // Where no witness is no lock is left behind; what counts is read behind it.
        let lock = Self::open(root)?.lock()?;
        Ok((Self::open(root)?, lock))
    }

    /// Gives the witness its second key, ML-DSA-44: the one whose private half lies in `keys/`, restored or left by a run that was cut
    /// short, or else a new one. `seed` is 32 random bytes that nothing else is made of. `false` if it has one already.
    /// Whoever calls holds the [`lock`](Self::lock), and so does nobody else; the next [`Desk`](super::Desk) signs with it.
    ///
    /// # Errors
    /// If it can't be written, or what lies in `keys/` is no such key: that is never replaced.
    pub fn add_post_quantum(&mut self, seed: &Zeroizing<[u8; 32]>, _: &WitnessLock) -> Result<bool, WitnessDirError> {
        let path = self.root.join(SECOND_VKEY);
        if path.exists() {
            return Ok(false);
        }
        let key = match self.second_key()? {
            Some(key) => key,
            None => {
                let key = WitnessSigningKey::ml_dsa_44(self.vkey.name().clone(), **seed);
                let secret = Zeroizing::new(format!("{}\n", *key.to_line()));
                replace_secret(&self.root.join(SECOND_KEY), secret.as_bytes(), 0o600)?;
                key
            }
        };
        // Last: from here on it is the witness's.
        replace(&self.root, SECOND_VKEY, format!("{}\n", key.public().to_line()).as_bytes())?;
        self.second = Some(key.public());
        Ok(true)
    }

    /// The private key that lies where the second one belongs, if one does: policies may name it, though its public half is not here.
    fn second_key(&self) -> Result<Option<WitnessSigningKey>, WitnessDirError> {
        let path = self.root.join(SECOND_KEY);
        if !is_there(&path)? {
            return Ok(None);
        }
        let other = |what: String| WitnessDirError::OtherSecondKey { key: path.clone(), what };
        let line = read_secret(&path, "the witness's second private key")?;
        let key = WitnessSigningKey::parse(&line).map_err(|error| other(error.to_string()))?;
        match key.name() == self.vkey.name() && key.public().is_post_quantum() {
            true => Ok(Some(key)),
            false => Err(other(format!("no ML-DSA-44 key of {}", self.vkey.name()))),
        }
    }

    /// The witness's public key, Ed25519.
    pub const fn vkey(&self) -> &WitnessVerifyingKey {
        &self.vkey
    }

    /// Its second one, ML-DSA-44, if it has one.
    pub const fn post_quantum_vkey(&self) -> Option<&WitnessVerifyingKey> {
        self.second.as_ref()
    }

    /// Reads the private keys, Ed25519 first.
    ///
    /// # Errors
    /// If one is missing, damaged, or another witness's; or if there is one that the witness would not sign with.
    pub fn signing_keys(&self) -> Result<Vec<WitnessSigningKey>, WitnessDirError> {
        let key = self.root.join(SECOND_KEY);
        if self.second.is_none() && is_there(&key)? {
            let remedy =
                format!("`tachograph witness post-quantum {}` writes it, and keeps the key", self.root.display());
            return Err(WitnessDirError::NoPublicHalf { key, vkey: self.root.join(SECOND_VKEY), remedy });
        }
        let first = (KEY, VKEY, &self.vkey);
        let second = self.second.as_ref().map(|vkey| (SECOND_KEY, SECOND_VKEY, vkey));
        let read = |(name, public, vkey): (&str, &str, &WitnessVerifyingKey)| {
            let path = self.root.join(name);
            let line = read_secret(&path, "the witness's private key. Restore it from your backup")?;
            let key = WitnessSigningKey::parse(&line).map_err(damaged(&path))?;
            match key.public() == *vkey {
                true => Ok(key),
                false => Err(damaged(&path)(format!("this is not the private half of {public}"))),
            }
        };
        std::iter::once(first).chain(second).map(read).collect()
    }

    /// Takes the right to answer, for as long as the lock lives.
    ///
    /// # Errors
    /// If another process has it.
    pub fn lock(&self) -> Result<WitnessLock, WitnessDirError> {
        let path = self.root.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(of(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(WitnessLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(WitnessDirError::InUse(self.root.clone())),
            Err(error) => Err(of(&path)(error.into())),
        }
    }

    /// Follows the ledger of `key` from now on; a running witness finds it at the ledger's first request. `false` if it did before.
    /// [Links](Self::link) that are known already come first: or a running witness would believe the first key alone for a moment.
    ///
    /// # Errors
    /// If it follows one of this name with another key, or this can't be written.
    pub fn add(&self, key: &VerifyingKey) -> Result<bool, WitnessDirError> {
        let dir = self.log_dir(&origin_hash(key.name().as_str()));
        if self.is_followed(&dir, key)? {
            return Ok(false);
        }
        // Links that lie there are of this key.
        self.linked(&dir, key.clone())?;
        make_dir(&dir, 0o700)?;
        replace(&dir, "vkey", format!("{}\n", key.to_line()).as_bytes())?;
        sync_dir(&self.root.join("logs"))?;
        Ok(true)
    }

    /// Whether the ledger in `dir` is followed, by this key and no other.
    fn is_followed(&self, dir: &Path, key: &VerifyingKey) -> Result<bool, WitnessDirError> {
        let path = dir.join("vkey");
        let Some(known) = read(&path)? else { return Ok(false) };
        match VerifyingKey::parse(&known) {
            Ok(known) if known == *key => Ok(true),
            Ok(known) => Err(WitnessDirError::OtherKey { name: key.name().to_string(), known: known.to_line() }),
            Err(error) => Err(damaged(&path)(error)),
        }
    }

    /// Takes a link to a later key of the ledger of `key`, which is followed or will be. Whether it is news.
    ///
    /// # Errors
    /// If it does not follow from the keys that are known, contradicts what was cosigned, or can't be written.
    pub fn link(&self, key: &VerifyingKey, link: &[u8]) -> Result<bool, WitnessDirError> {
        let dir = self.log_dir(&origin_hash(key.name().as_str()));
        self.is_followed(&dir, key)?;
        let index = keys::index_of(link).map_err(|error| WitnessDirError::Link(error.to_string()))?;
        let mut known = self.linked(&dir, key.clone())?;
        let name = format!("{index:020}");
        if dir.join("keys").join(&name).is_file() {
            return Ok(false);
        }
        let taken = known.extend(index, link).map_err(|error| WitnessDirError::Link(error.to_string()))?;
        let follows = self.follows(&origin_hash(key.name().as_str()))?;
        let cosigned = follows.as_ref().map_or(0, |follows| follows.size);
        if follows.is_some_and(|follows| {
            follows.note.is_some() && taken.checkpoint.size == cosigned && taken.checkpoint.root != follows.root
        }) {
            return Err(WitnessDirError::Link(format!(
                "the link is over another root of {cosigned} records than the checkpoint that this witness cosigned: two histories are signed with the keys before"
            )));
        }
        if known.contradicted_by(cosigned).is_some() {
            let signed = taken.checkpoint.size;
            return Err(WitnessDirError::Link(format!(
                "the link was signed over {signed} records, though this witness cosigned a checkpoint of {cosigned} with its record {index} in it: somebody with the key before put it off"
            )));
        }
        make_dir(&dir.join("keys"), 0o700)?;
        replace(&dir.join("keys"), &name, link)?;
        sync_dir(&dir)?;
        Ok(true)
    }

    /// The keys that follow from the first one by what is kept here.
    fn linked(&self, dir: &Path, first: VerifyingKey) -> Result<KeyHistory, WitnessDirError> {
        let (mut history, place) = (KeyHistory::new(first), dir.join("keys"));
        if !place.is_dir() {
            return Ok(history);
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&place).map_err(of(&place))? {
            let name = entry.map_err(of(&place))?.file_name();
            names.extend(name.to_str().filter(|name| name.len() == 20).and_then(|name| name.parse::<u64>().ok()));
        }
        names.sort_unstable();
        for index in names {
            let path = place.join(format!("{index:020}"));
            let mut link = Vec::new();
            let file = File::open(&path).and_then(|file| file.take(MAX_LINK_BYTES + 1).read_to_end(&mut link));
            file.map_err(of(&path))?;
            history.extend(index, &link).map_err(damaged(&path))?;
        }
        Ok(history)
    }

    /// The ledger's keys as they are on the disk now.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn keys_now(&self, keys: &KeyHistory) -> Result<KeyHistory, WitnessDirError> {
        self.linked(&self.log_dir(&origin_hash(keys.ledger().as_str())), keys.first().clone())
    }

    /// What it follows, by the hash of the name.
    ///
    /// # Errors
    /// If something there is damaged.
    pub fn all(&self) -> Result<Vec<Follows>, WitnessDirError> {
        let logs = self.root.join("logs");
        let mut found = Vec::new();
        for entry in fs::read_dir(&logs).map_err(of(&logs))? {
            let name = entry.map_err(of(&logs))?.file_name();
            found.extend(name.to_str().map(|origin| self.follows(origin)).transpose()?.flatten());
        }
        found.sort_by(|a, b| a.keys.ledger().cmp(b.keys.ledger()));
        Ok(found)
    }

    /// The ledger whose name has this hash, if it is followed.
    ///
    /// # Errors
    /// If its files are not what this witness wrote.
    pub fn follows(&self, origin: &str) -> Result<Option<Follows>, WitnessDirError> {
        if Hash::from_hex(origin).is_none() {
            return Ok(None);
        }
        let dir = self.log_dir(origin);
        let (vkey, checkpoint) = (dir.join("vkey"), dir.join("checkpoint"));
        let Some(line) = read(&vkey)? else { return Ok(None) };
        let key = VerifyingKey::parse(&line).map_err(damaged(&vkey))?;
        if origin_hash(key.name().as_str()) != origin {
            return Err(damaged::<&str>(&vkey)("the key of another ledger"));
        }
        let keys = self.linked(&dir, key)?;
        let Some(note) = read(&checkpoint)? else {
            return Ok(Some(Follows { keys, size: 0, root: empty_root(), note: None, time: None }));
        };
        // This witness's own cosignature, below, makes it good: it knew fewer keys perhaps when it was cosigned.
        let stated = Checkpoint::parse_unverified(note.as_bytes()).map_err(damaged(&checkpoint))?;
        let Checkpoint { origin: of, size, root } = stated;
        if of != *keys.ledger() {
            return Err(damaged::<&str>(&checkpoint)("a checkpoint of another ledger"));
        }
        let cosigned = parse_note(note.as_bytes()).and_then(|note| {
            // It need not have had its second key by then.
            self.second.as_ref().map(|second| second.cosigned(&note)).transpose()?;
            self.vkey.cosigned(&note)
        });
        match cosigned {
            Ok(Some(time)) => Ok(Some(Follows { keys, size, root, note: Some(note), time: Some(time) })),
            Ok(None) => Err(damaged::<&str>(&checkpoint)("this witness did not cosign it")),
            Err(error) => Err(damaged(&checkpoint)(error)),
        }
    }

    /// Remembers what is to be cosigned: durable on return.
    ///
    /// # Errors
    /// If that can't be said. Then it is not known what a start would find: nothing more may be cosigned before one.
    pub fn remember(&self, key: &VerifyingKey, note: &str) -> Result<(), WitnessDirError> {
        Ok(replace(&self.log_dir(&origin_hash(key.name().as_str())), "checkpoint", note.as_bytes())?)
    }

    /// Something in the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn log_dir(&self, origin: &str) -> PathBuf {
        self.root.join("logs").join(origin)
    }
}

/// A small file, `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, WitnessDirError> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(of(path)(error)),
    }
}

/// Whether a file is there: not to be able to say is no no.
fn is_there(path: &Path) -> Result<bool, WitnessDirError> {
    path.try_exists().map_err(of(path))
}

pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> WitnessDirError {
    let path = path.to_owned();
    |source| WitnessDirError::Io { path, source }
}

fn damaged<E: ToString>(path: &Path) -> impl FnOnce(E) -> WitnessDirError {
    let path = path.to_owned();
    move |error| WitnessDirError::Damaged { path, what: error.to_string() }
}
