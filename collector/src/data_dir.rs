//! The data directory: what a ledger's collector keeps between two starts.
//!
//! ```text
//! DIR/ledger.json        name and public key (docs/format.md, section 7)
//! DIR/ledger.vkey        the public key alone, for those who verify
//! DIR/keys/signing.key   the private key, mode 0600, unless the configuration has it elsewhere
//! DIR/keys/signing-<key id>.key  a later private key, mode 0600
//! DIR/keys/mac.key       the MAC key of the present epoch, mode 0600
//! DIR/keys/mac-<epoch>.ended  what MACs of an epoch that is over were made with, until it is published, mode 0600
//! DIR/keys/stream.key    the stream key, mode 0600: made by the first start that seals streams
//!                        (these may be age files: `keys.encryption`)
//! DIR/mac-escrow.key     the first MAC key: to be moved into other hands
//! DIR/checkpoint         the newest checkpoint that was signed: what the archive may never fall behind
//! DIR/archive-path       where the archive lies, if the configuration places it elsewhere
//! DIR/closed             there once the ledger takes no more records of senders: for ever (`closing.rs`)
//! DIR/begun              there once records were sealed: then an empty journal is a lost one
//! DIR/witnesses.json     up to which size each witness has seen the ledger: a hint
//! DIR/lock               held by the process that writes
//! DIR/journal/ dedup/ archive/
//! ```
//!
//! A ledger is never made by accident: only [`DataDir::init`] makes one, and only in an empty place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;
use tachograph_ledger::{
    Checkpoint, CheckpointError, KeyHistory, LedgerName, MacKey, MacScheme, SigningKey, StreamKey, VerifyingKey,
};
use tachograph_record::{Hex, Time};
use tachograph_verifier::escrow;
use zeroize::Zeroizing;

use crate::closing::{self, Marker};
use crate::ended_keys::EndedKeys;
use crate::keys::{MAX_KEY_FILE_BYTES, Protection};
use crate::place::Place;

/// First line of the MAC key file: by which scheme the ledger's keys follow from it.
const MAC_KEY_HEADERS: [(&str, MacScheme); 2] =
    [("tachograph-mac-key/v1", MacScheme::V1), ("tachograph-mac-key/v2", MacScheme::V2)];
const STREAM_KEY_HEADER: &str = "tachograph-stream-key/v1";

const SIGNING_KEY: &str = "keys/signing.key";
const MAC_KEY: &str = "keys/mac.key";
const ESCROW: &str = "mac-escrow.key";
const STREAM_KEY: &str = "keys/stream.key";

const WITNESSES: &str = "witnesses.json";

/// Stands in a ledger that is closed.
const CLOSED: &str = "closed";
/// Its mark has some sixty bytes.
const MAX_CLOSED_BYTES: u64 = 4 << 10;

/// Stands in a ledger that is being filled, or gets its first record, from another.
const UNFINISHED: &str = "unfinished";

/// What is wrong with a data directory, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// There is none.
    #[error("{0} holds no ledger. Create one with `tachograph init {0}`, or name the right directory with --data")]
    NoLedger(PathBuf),
    /// `init` into a place that is in use.
    #[error("{0} is not empty; a ledger is only created in a new or empty directory")]
    NotEmpty(PathBuf),
    /// `init` was interrupted in it.
    #[error(
        "{0} is half made: `tachograph init` was interrupted there, and nothing was ever sealed. Remove it and run it again"
    )]
    HalfMade(PathBuf),
    /// Its filling was interrupted.
    #[error(
        "{0} is half made: `tachograph reseal` or `init --continues` into it was interrupted. Remove it and run that again; the ledger that it was made from is untouched"
    )]
    Unfinished(PathBuf),
    /// A file stands where a directory is needed.
    #[error("{0} is a file; a data directory is needed there. Move the file away or name another directory")]
    NotADirectory(PathBuf),
    /// Another process writes.
    #[error(
        "{0} is in use by another collector (it holds {0}/lock). Two collectors on one ledger would fork it: stop the other, or give this one its own directory"
    )]
    InUse(PathBuf),
    /// A newer program wrote it.
    #[error("{path} has format {found:?}; this program knows format 1. Use the newer tachograph that made it")]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: String,
    },
    /// A file does not say what it should.
    #[error("{path}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataDirError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| match source.kind() {
            io::ErrorKind::NotADirectory => Self::NotADirectory(path),
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}

/// `ledger.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[allow(dead_code)] // kept for people
    created_at: Time,
    format: String,
    ledger: String,
    vkey: String,
}

/// A data directory with a ledger in it.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    vkey: VerifyingKey,
    protection: Protection,
}

/// What a ledger is created with.
pub struct Birth<'a> {
    /// The key that signs. Its private half is kept here only if it is given.
    pub vkey: &'a VerifyingKey,
    /// The private half.
    pub signing_key: Option<&'a SigningKey>,
    /// The first MAC key.
    pub mac: &'a [u8; 32],
    /// Whether it is written to an escrow file: not if a key service can make it again.
    pub escrow: bool,
    /// How files with keys are encrypted.
    pub protection: Protection,
    /// Whether nobody is to open it before [`DataDir::finish`]: its first record is still to come.
    pub unfinished: bool,
}

/// The right to write a data directory, until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl DataDir {
    /// Creates a ledger: its identity, its keys and its places. `seeds` are 64 random bytes for the two keys.
    ///
    /// # Errors
    /// If `root` is not a new or empty directory, or can't be written.
    pub fn init(root: &Path, name: &LedgerName, now: Time, seeds: &Zeroizing<[u8; 64]>) -> Result<Self, DataDirError> {
        let (signing, mac) = (Zeroizing::new(half(seeds, 0)), Zeroizing::new(half(seeds, 32)));
        let key = SigningKey::from_seed(name.clone(), *signing);
        let (vkey, protection) = (&key.public(), Protection::default());
        let birth = Birth { vkey, signing_key: Some(&key), mac: &mac, escrow: true, protection, unfinished: false };
        Self::create(root, now, birth)
    }

    /// Creates a ledger with the keys that are given.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn create(root: &Path, now: Time, birth: Birth<'_>) -> Result<Self, DataDirError> {
        make_dir(root, 0o700)?;
        if fs::read_dir(root).map_err(DataDirError::io(root))?.next().is_some() {
            let half_made = root.join("keys").is_dir()
                && !["ledger.json", "begun", "checkpoint"].iter().any(|name| root.join(name).exists())
                && fs::read_dir(root.join("journal")).map_or(true, |mut files| files.next().is_none());
            let what = if half_made { DataDirError::HalfMade } else { DataDirError::NotEmpty };
            return Err(what(root.to_owned()));
        }
        let this = Self { root: root.to_owned(), vkey: birth.vkey.clone(), protection: birth.protection };
        let (name, vkey_line) = (this.vkey.name(), this.vkey.to_line());
        for dir in ["keys", "journal", "dedup"] {
            make_dir(&root.join(dir), 0o700)?;
        }
        if let Some(key) = birth.signing_key {
            let secret = Zeroizing::new(format!("{}\n", *key.to_line()));
            this.write_new_secret(SIGNING_KEY, secret.as_bytes(), 0o600)?;
        }
        let mac_key = MacKey::initial(MacScheme::V2, *birth.mac);
        this.write_mac_key(&mac_key)?;
        if birth.escrow {
            // Plain: it goes into other hands, which know nothing of this machine's secrets.
            write_new(&root.join(ESCROW), escrow::text(name, &mac_key).as_bytes(), 0o400)?;
        }
        write_new(&root.join("ledger.vkey"), format!("{vkey_line}\n").as_bytes(), 0o644)?;
        sync_dir(&root.join("keys"))?;
        if birth.unfinished {
            this.begin_filling()?;
        }
        // Last: a directory without it is not taken for a ledger.
        let identity =
            format!("{{\"created_at\":\"{now}\",\"format\":\"1\",\"ledger\":\"{name}\",\"vkey\":\"{vkey_line}\"}}\n");
        write_new(&root.join("ledger.json"), identity.as_bytes(), 0o644)?;
        sync_dir(root)?;
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
        Ok(this)
    }

    /// Opens the ledger in `root`.
    ///
    /// # Errors
    /// If there is none, or it is of a newer format.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        let path = root.join("ledger.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(DataDirError::NoLedger(root.to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                return Err(DataDirError::NotADirectory(root.to_owned()));
            }
            Err(e) => return Err(DataDirError::io(&path)(e)),
        };
        if root.join(UNFINISHED).exists() {
            return Err(DataDirError::Unfinished(root.to_owned()));
        }
        let format = serde_json::from_slice::<serde_json::Value>(&text).ok();
        if let Some(found) = format.as_ref().and_then(|json| json["format"].as_str()).filter(|found| *found != "1") {
            return Err(DataDirError::NewerFormat { path, found: found.to_owned() });
        }
        let identity: Identity = serde_json::from_slice(&text)
            .map_err(|e| DataDirError::damaged(&path, format!("not a ledger's identity: {e}")))?;
        let vkey = VerifyingKey::parse(&identity.vkey).map_err(|e| DataDirError::damaged(&path, e.to_string()))?;
        if vkey.name().as_str() != identity.ledger || identity.format != "1" {
            return Err(DataDirError::damaged(&path, "the public key is not that of the ledger it names"));
        }
        let this = Self { root: root.to_owned(), vkey, protection: Protection::default() };
        this.check_handed_out()?;
        Ok(this)
    }

    /// The same directory, whose files with keys are encrypted so.
    pub fn protected_by(self, protection: Protection) -> Self {
        Self { protection, ..self }
    }

    /// How files with keys are encrypted.
    pub const fn protection(&self) -> &Protection {
        &self.protection
    }

    /// `ledger.vkey` is what operators hand to those who verify: it must say the same.
    fn check_handed_out(&self) -> Result<(), DataDirError> {
        let path = self.root.join("ledger.vkey");
        match fs::read_to_string(&path) {
            Ok(text) if text.trim_end() == self.vkey.to_line() => Ok(()),
            Ok(_) => Err(DataDirError::damaged(
                &path,
                format!("not the ledger's public key, which is {}", self.vkey.to_line()),
            )),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(DataDirError::io(&path)(e)),
        }
    }

    /// Whether `place` is a data directory and not an archive, which has neither MAC key nor journal in it.
    pub fn is_one(place: &Path) -> bool {
        // An archive has a folder `keys` too, with links in it.
        place.join("keys/mac.key").is_file() || place.join("journal").is_dir() || place.join("ledger.vkey").is_file()
    }

    /// Takes the right to write, for as long as the lock lives.
    ///
    /// # Errors
    /// If another process has it.
    pub fn lock(&self) -> Result<Lock, DataDirError> {
        self.lock_file("lock", FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits for the right to add or lift holds, or to destroy what is not held: between a look at the holds and the deed no other
    /// command may change them.
    ///
    /// # Errors
    /// If the lock file can't be made.
    pub fn lock_retention(&self) -> Result<Lock, DataDirError> {
        self.lock_file("retention.lock", FlockOperation::LockExclusive)
    }

    fn lock_file(&self, name: &str, operation: FlockOperation) -> Result<Lock, DataDirError> {
        let path = self.root.join(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(DataDirError::io(&path))?;
        match flock(&file, operation) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse(self.root.clone())),
            Err(e) => Err(DataDirError::io(&path)(e.into())),
        }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The ledger's name.
    pub fn ledger(&self) -> &LedgerName {
        self.vkey.name()
    }

    /// The ledger's public key.
    pub fn vkey(&self) -> &VerifyingKey {
        &self.vkey
    }

    /// Where the journal lies.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Where the duplicate index lies.
    pub fn dedup(&self) -> PathBuf {
        self.root.join("dedup")
    }

    /// Where the archive lies: in the directory, or where the last run was told to place it.
    ///
    /// # Errors
    /// If what was remembered is no place.
    pub fn archive(&self) -> Result<Place, DataDirError> {
        let path = self.root.join("archive-path");
        match fs::read_to_string(&path) {
            Ok(text) => Place::parse(text.trim_end()).map_err(|e| DataDirError::damaged(&path, e.to_string())),
            Err(_) => Ok(Place::Directory(self.own_archive())),
        }
    }

    /// The archive that is made here, unless the configuration places it elsewhere.
    pub fn own_archive(&self) -> PathBuf {
        self.root.join("archive")
    }

    /// Remembers that the archive lies elsewhere, for commands that are given the data directory alone.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remember_archive(&self, place: &Place) -> Result<(), DataDirError> {
        let absolute = match place {
            Place::Directory(path) => Place::Directory(std::path::absolute(path).map_err(DataDirError::io(path))?),
            Place::S3(_) => place.clone(),
        };
        self.replace("archive-path", format!("{absolute}\n").as_bytes())
    }

    /// Reads the private key.
    ///
    /// # Errors
    /// If it is missing, damaged, or another ledger's.
    pub fn signing_key(&self) -> Result<SigningKey, DataDirError> {
        let path = self.root.join(SIGNING_KEY);
        let line = self.read_own_secret(
            SIGNING_KEY,
            "the ledger's private key. Restore it from your backup: without it nothing can be signed",
        )?;
        let key = SigningKey::parse(line.trim_end()).map_err(|e| DataDirError::damaged(&path, e.to_string()))?;
        if key.public().to_line() != self.vkey.to_line() {
            let what = format!(
                "this is the key of {}, not that of the ledger here ({}). Put the right key back",
                key.public().to_line(),
                self.vkey.to_line()
            );
            return Err(DataDirError::damaged(&path, what));
        }
        Ok(key)
    }

    /// Reads the private half of a later key, which [`keep_later_key`](Self::keep_later_key) wrote.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn later_key(&self, key: &VerifyingKey) -> Result<SigningKey, DataDirError> {
        let path = self.root.join(later_key_file(key));
        let what = format!(
            "the private key of {}. Restore it from your backup: without it nothing can be signed",
            key.to_line()
        );
        let line = self.read_own_secret(&later_key_file(key), &what)?;
        match SigningKey::parse(line.trim_end()) {
            Ok(found) if found.public() == *key => Ok(found),
            Ok(_) => Err(DataDirError::damaged(&path, format!("this is not the private key of {}", key.to_line()))),
            Err(error) => Err(DataDirError::damaged(&path, error.to_string())),
        }
    }

    /// Keeps the private half of a key that is to be announced; durable on return.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep_later_key(&self, key: &SigningKey) -> Result<PathBuf, DataDirError> {
        let name = later_key_file(&key.public());
        let line = Zeroizing::new(format!("{}\n", *key.to_line()));
        // Whole or not at all: half a key would be in the way of the next attempt.
        let path = self.root.join(&name);
        replace_secret(&path, &self.sealed(&name, line.as_bytes())?, 0o600)?;
        Ok(path)
    }

    /// The later keys whose private halves are here.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn later_keys(&self) -> Result<Vec<SigningKey>, DataDirError> {
        let read = |name: String| {
            let line = self.read_own_secret(&name, "a private key")?;
            let key = SigningKey::parse(line.trim_end());
            key.map_err(|error| DataDirError::damaged(&self.root.join(name), error.to_string()))
        };
        self.later_key_files()?.into_iter().map(read).collect()
    }

    fn later_key_files(&self) -> Result<Vec<String>, DataDirError> {
        let dir = self.root.join("keys");
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).map_err(DataDirError::io(&dir))? {
            let name = entry.map_err(DataDirError::io(&dir))?.file_name();
            let later = |name: &&str| name.starts_with("signing-") && name.ends_with(".key");
            found.extend(name.to_str().filter(later).map(|name| format!("keys/{name}")));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Reads the MAC key of the present epoch.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn mac_key(&self) -> Result<MacKey, DataDirError> {
        let path = self.root.join(MAC_KEY);
        let text = self.read_own_secret(MAC_KEY, "the MAC key. Restore it from a backup of this directory")?;
        let mut lines = text.lines();
        let scheme = lines.next().and_then(|line| MAC_KEY_HEADERS.iter().find(|(header, _)| *header == line));
        let key = match (scheme, lines.next(), lines.next(), lines.next()) {
            (Some((_, scheme)), Some(epoch), Some(key), None) => {
                epoch.parse().ok().zip(Hex::<32>::parse(key)).map(|(epoch, Hex(key))| MacKey::at(*scheme, epoch, key))
            }
            _ => None,
        };
        let form = "not a MAC key file (tachograph-mac-key/v1 or /v2, epoch, 64 hex)";
        key.ok_or_else(|| DataDirError::damaged(&path, form))
    }

    /// Replaces the MAC key file and wipes the bytes of the one before, as far as the file system allows.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write_mac_key(&self, key: &MacKey) -> Result<(), DataDirError> {
        let header =
            MAC_KEY_HEADERS.iter().find(|(_, scheme)| *scheme == key.scheme()).map_or("", |(header, _)| *header);
        let text = Zeroizing::new(format!("{header}\n{}\n{}\n", key.epoch(), Hex(*key.expose())));
        let bytes = self.sealed(MAC_KEY, text.as_bytes())?;
        replace_secret(&self.root.join(MAC_KEY), &bytes, 0o600)
    }

    /// Keys of epochs that are over, until they are published.
    pub fn ended_keys(&self) -> EndedKeys {
        EndedKeys::of(self.root.join("keys"), self.protection.clone())
    }

    /// Writes the files with keys that are there as `protection` says: encrypted, or plain. Each is replaced whole; what was there is
    /// wiped as far as the file system allows. Gives the names of those that were changed. The escrow file, which goes into other hands,
    /// is never encrypted, but made plain if it is.
    ///
    /// # Errors
    /// If one can't be read or written. Those before it are done then, and the same call goes on.
    pub fn protect(&mut self, protection: Protection) -> Result<Vec<String>, DataDirError> {
        let mut changed = Vec::new();
        let mut names = self.protected_names()?;
        if !protection.is_on() {
            names.push(ESCROW.to_owned());
        }
        for name in names {
            let (path, mode) = (self.root.join(&name), if name == ESCROW { 0o400 } else { 0o600 });
            // What an interrupted call may have left, plain perhaps.
            remove_secret(&temporary(&path))?;
            let Some(bytes) = read_bounded(&path)? else { continue };
            if Protection::is_sealed(&bytes) == protection.is_on() {
                // As it is to be; but what could not be opened later is said now.
                protection.open(bytes).map_err(|what| DataDirError::damaged(&path, what))?;
                continue;
            }
            let plain = self.protection.open(bytes).map_err(|what| DataDirError::damaged(&path, what))?;
            let written = protection.seal(&plain).map_err(|what| DataDirError::damaged(&path, what))?;
            replace_secret(&path, &written, mode)?;
            changed.push(name);
        }
        self.protection = protection;
        Ok(changed)
    }

    /// Names of the files with keys that are not encrypted.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn unprotected(&self) -> Result<Vec<String>, DataDirError> {
        let mut found = Vec::new();
        for name in self.protected_names()? {
            if read_bounded(&self.root.join(&name))?.is_some_and(|bytes| !Protection::is_sealed(&bytes)) {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// Names of the files that are encrypted with `keys.encryption`, whether they are there or not.
    fn protected_names(&self) -> Result<Vec<String>, DataDirError> {
        let mut names = [SIGNING_KEY, MAC_KEY, STREAM_KEY].map(str::to_owned).to_vec();
        names.extend(self.later_key_files()?);
        names.extend(self.ended_keys().epochs()?.into_iter().map(|epoch| format!("keys/{}", EndedKeys::file(epoch))));
        Ok(names)
    }

    fn sealed(&self, name: &str, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, DataDirError> {
        self.protection.seal(plain).map_err(|what| DataDirError::damaged(&self.root.join(name), what))
    }

    fn write_new_secret(&self, name: &str, plain: &[u8], mode: u32) -> Result<(), DataDirError> {
        write_new(&self.root.join(name), &self.sealed(name, plain)?, mode)
    }

    fn read_own_secret(&self, name: &str, what: &str) -> Result<Zeroizing<String>, DataDirError> {
        read_sealed(&self.root.join(name), &self.protection, what)
    }

    /// Whether streams were ever sealed from here.
    pub fn has_stream_key(&self) -> bool {
        self.root.join(STREAM_KEY).exists()
    }

    /// Reads the stream key; `None` if there is none.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn stream_key(&self) -> Result<Option<StreamKey>, DataDirError> {
        if !self.has_stream_key() {
            return Ok(None);
        }
        let path = self.root.join(STREAM_KEY);
        let text = self.read_own_secret(STREAM_KEY, "the stream key")?;
        let mut lines = text.lines();
        let key = match (lines.next(), lines.next(), lines.next()) {
            (Some(STREAM_KEY_HEADER), Some(key), None) => Hex::<32>::parse(key),
            _ => None,
        };
        let what = "not a stream key file (tachograph-stream-key/v1, 64 hex). Restore it from a backup of this directory; if it is lost for good, remove it: \
                    a new one is made, and of earlier records it can't be shown any more that none was left out of a session";
        key.map(|Hex(key)| Some(StreamKey::new(key))).ok_or_else(|| DataDirError::damaged(&path, what))
    }

    /// Makes the stream key, of 32 random bytes.
    ///
    /// # Errors
    /// If there is one, or it can't be written.
    pub fn make_stream_key(&self, random: &Zeroizing<[u8; 32]>) -> Result<StreamKey, DataDirError> {
        let text = Zeroizing::new(format!("{STREAM_KEY_HEADER}\n{}\n", Hex(**random)));
        // Whole or not at all: half of one would keep every later start from working.
        replace_secret(&self.root.join(STREAM_KEY), &self.sealed(STREAM_KEY, text.as_bytes())?, 0o600)?;
        Ok(StreamKey::new(**random))
    }

    /// Whether records were sealed here: then the journal is never without a file, for it keeps its newest.
    pub fn has_begun(&self) -> bool {
        self.root.join("begun").is_file() || self.root.join("checkpoint").is_file()
    }

    /// Remembers that records were sealed here.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remember_begun(&self) -> Result<(), DataDirError> {
        if self.root.join("begun").is_file() { Ok(()) } else { self.replace("begun", b"") }
    }

    /// From here until [`finish`](Self::finish) nobody opens the ledger: it is being filled.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn begin_filling(&self) -> Result<(), DataDirError> {
        self.replace(UNFINISHED, b"")
    }

    /// All is in it.
    ///
    /// # Errors
    /// If the mark can't be removed.
    pub fn finish(&self) -> Result<(), DataDirError> {
        let path = self.root.join(UNFINISHED);
        fs::remove_file(&path).map_err(DataDirError::io(&path))?;
        sync_dir(&self.root)
    }

    /// Where the ledger was closed; `None` if it takes records.
    ///
    /// # Errors
    /// If that can't be read: then nothing may be taken.
    pub fn closed(&self) -> Result<Option<Marker>, DataDirError> {
        let path = self.root.join(CLOSED);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_CLOSED_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => closing::read(&path, &bytes).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DataDirError::io(&path)(e)),
        }
    }

    /// Closes the ledger for good; durable on return.
    ///
    /// # Errors
    /// If the mark can't be written.
    pub fn mark_closed(&self, marker: &Marker) -> Result<(), DataDirError> {
        self.replace(CLOSED, marker.encode().as_bytes())
    }

    /// The newest checkpoint that was signed here, if any.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, DataDirError> {
        let path = self.root.join("checkpoint");
        match fs::read(&path) {
            Ok(note) => Ok(Some(note)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DataDirError::io(&path)(e)),
        }
    }

    /// Records under the remembered checkpoint, 0 if there is none: the archive may hold more (a crash between the two), never fewer.
    ///
    /// # Errors
    /// If it can't be read, or is not this ledger's.
    pub fn signed_size(&self, keys: &KeyHistory) -> Result<u64, DataDirError> {
        self.size_of(self.checkpoint()?, keys)
    }

    /// The same of what [`checkpoint`](Self::checkpoint) gave.
    ///
    /// # Errors
    /// If it is not this ledger's.
    pub fn size_of(&self, checkpoint: Option<Vec<u8>>, keys: &KeyHistory) -> Result<u64, DataDirError> {
        let Some(note) = checkpoint else { return Ok(0) };
        let damaged = |error: CheckpointError| DataDirError::Damaged {
            path: self.root.join("checkpoint"),
            what: error.to_string(),
        };
        Ok(Checkpoint::open(&note, keys).map_err(damaged)?.size)
    }

    /// Remembers the newest checkpoint.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remember_checkpoint(&self, note: &[u8]) -> Result<(), DataDirError> {
        self.replace("checkpoint", note)
    }

    /// Puts a small public file in the place of the one before, whole or not at all.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
        replace(&self.root, name, bytes)
    }

    /// Up to which size each witness has seen the ledger, as it was remembered last: a hint, at most 64 KiB of it.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn witnesses(&self) -> Result<Option<Vec<u8>>, DataDirError> {
        let path = self.root.join(WITNESSES);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(64 << 10).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(DataDirError::io(&path)(e)),
        }
    }

    /// Remembers it.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn remember_witnesses(&self, bytes: &[u8]) -> Result<(), DataDirError> {
        self.replace(WITNESSES, bytes)
    }
}

/// Writes over what stands in a file, as far as the file system lets.
fn wipe(file: &mut File) -> io::Result<()> {
    let len = file.metadata().map_or(0, |m| m.len()) as usize;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&vec![0; len])?;
    file.sync_all()
}

fn later_key_file(key: &VerifyingKey) -> String {
    format!("keys/signing-{}.key", Hex(key.key_id()))
}

fn half(seeds: &[u8; 64], at: usize) -> [u8; 32] {
    let mut half = [0; 32];
    half.copy_from_slice(&seeds[at..at + 32]);
    half
}

pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), DataDirError> {
    if path.exists() && !path.is_dir() {
        return Err(DataDirError::NotADirectory(path.to_owned()));
    }
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(DataDirError::io(path))
}

pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DataDirError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(DataDirError::io(path))
}

/// Puts a small public file in the place of the one before, whole or not at all; durable on return.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
    let (path, temporary) = (dir.join(name), dir.join(format!("{name}.new")));
    let _ = fs::remove_file(&temporary);
    write_new(&temporary, bytes, 0o644)?;
    fs::rename(&temporary, &path).map_err(DataDirError::io(&path))?;
    sync_dir(dir)
}

pub(crate) fn sync_dir(path: &Path) -> Result<(), DataDirError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(DataDirError::io(path))
}

/// The text of a file with a key, be it encrypted or not.
pub(crate) fn read_sealed(path: &Path, protection: &Protection, what: &str) -> Result<Zeroizing<String>, DataDirError> {
    let bytes = read_bounded(path)?.ok_or_else(|| DataDirError::damaged(path, format!("missing: {what}")))?;
    let plain = protection.open(bytes).map_err(|what| DataDirError::damaged(path, what))?;
    match std::str::from_utf8(&plain) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(DataDirError::damaged(path, "not a key, but bytes that are no text")),
    }
}

/// A file with a key, whole; `None` if there is none.
fn read_bounded(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DataDirError> {
    // Room for all of it at once: no copy is left behind where it grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    match File::open(path).and_then(|file| file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(DataDirError::io(path)(e)),
    }
}

/// Takes a file with a key away, if it is there, and then writes over what stood in it, as far as the file system lets; gone for good on
/// return. In this order, so that no crash leaves a file of zeros.
pub(crate) fn remove_secret(path: &Path) -> Result<(), DataDirError> {
    let file = OpenOptions::new().write(true).open(path);
    match fs::remove_file(path) {
        Ok(()) => sync_dir(path.parent().unwrap_or(Path::new(".")))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(DataDirError::io(path)(error)),
    }
    if let Ok(file) = file {
        wipe_nameless(file, path);
    }
    Ok(())
}

/// The file has no name any more, only blocks; that they can't be written over stops nothing.
fn wipe_nameless(mut file: File, path: &Path) {
    if let Err(error) = wipe(&mut file) {
        tracing::warn!(%error, "the bytes of the key that was in {} can't be written over", path.display());
    }
}

/// Puts a file with a key in the place of the one before, whole or not at all, and wipes the bytes of that one as far as the file
/// system allows; durable on return.
pub(crate) fn replace_secret(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DataDirError> {
    let (dir, temporary) = (path.parent().unwrap_or(Path::new(".")), temporary(path));
    remove_secret(&temporary)?;
    let mut old = OpenOptions::new().write(true).open(path).ok();
    if old.is_none() && path.exists() {
        // One that nobody may write: for a moment its owner may.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        old = OpenOptions::new().write(true).open(path).ok();
    }
    write_new(&temporary, bytes, mode)?;
    fs::rename(&temporary, path).map_err(DataDirError::io(path))?;
    sync_dir(dir)?;
    if let Some(old) = old {
        wipe_nameless(old, path);
    }
    Ok(())
}

/// Where a file with a key is written before it is put in its place.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

pub(crate) fn read_secret(path: &Path, what: &str) -> Result<Zeroizing<String>, DataDirError> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let read = File::open(path).and_then(|file| file.take(64 << 10).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(DataDirError::damaged(path, format!("missing: {what}"))),
        Err(e) => Err(DataDirError::io(path)(e)),
    }
}
