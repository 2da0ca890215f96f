//! The archive: segments of records as Parquet objects, each run of them named by a signed commit, each commit
//! followed by a signed checkpoint, all in a write-once [`store`].
//!
//! Order of writing: leaves object, records object, commit, checkpoint; whenever witnesses have answered, [`witnessed`]. The commit is the fence against a second
//! writer, the point from which records count as archived, and all that recovery needs. So:
//! - records below [`Tail::size`] are archived, whatever error came after; those above are not;
//! - objects that no commit names were never evidence, and are removed before the next segment;
//! - a checkpoint that is missing behind the newest commit is signed again.
//!
//! A key that can't sign for a while ([`ArchiveError::Signing`]) is waited for as a store is: nothing is committed meanwhile. A segment
//! of which only the signature is missing waits with its objects written ([`Archive::resume`]). Not every key gives the same signature
//! for the same text, so what stands in the store counts if its text is ours and its signature good, and it is those bytes that are hashed.
//!
//! Recovery is the code of normal work: [`Archive::settle`] comes before the first segment, and in [`Archive::begin`] after a failure.

mod columns;
mod identity;
mod key_links;
pub mod paths;
pub mod reader;
mod retention;
pub mod schema;
pub mod segment;
pub mod store;
mod strays;
pub mod streams;
pub mod tiles;
pub mod tree;
pub mod witnessed;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE, encode_link};
use tachograph_ledger::{
    ChainVerifier, Checkpoint, Commit, CommitError, Edge, Hash, KeyChange, KeyHistory, Keys, Lock, Object, ObjectKind,
    SignError, Signer, Terms, TlogProof, VerifyingKey, genesis, parse_note, sha256,
};
use tachograph_record::{Time, Value};

pub use identity::{Identity, IdentityError};
pub use key_links::Links;
use reader::{ReadError, RecordsObject};
pub use retention::{Classify, MAX_CLASSES, OneClass, RECORDER_CLASS, Retention};
use segment::{Change, Written};
pub use segment::{DEFAULT_CLASS, DEFAULT_ZSTD_LEVEL, Pushed, Row, Segment, SegmentError};
use store::{Confirmed, ErrorKind, Keep, Removal, Store, StoreError};
use tree::{TreeError, TreeReader};

/// Longest commit or checkpoint that is read.
pub const MAX_NOTE_BYTES: u64 = 1 << 20;

/// What somebody put behind the newest commit is read up to this many.
const MAX_FOREIGN_COMMITS: usize = 1_000;

/// The writing end of an archive. One per archive: the store's lock or the commit's fence sees to it.
pub struct Archive {
    store: Arc<dyn Store>,
    keyring: Arc<dyn Keyring>,
    /// The ledger's first key, which its genesis names.
    vkey: VerifyingKey,
    /// The keys that followed it.
    links: Links,
    /// Records of the newest commit that change keys and may lack their link; `None` until that is known.
    changes: Option<Vec<Change>>,
    settings: Settings,
    tail: Tail,
    /// The checkpoint over all of that, as it stands in the store; `None` until that is known.
    checkpoint: Option<String>,
    /// Written but for its signature.
    uncommitted: Option<Uncommitted>,
    /// A segment may have been left half done: look before the next begins.
    unsettled: bool,
    stopped: bool,
    orphans: Vec<String>,
    /// Objects behind the end that hold more records than the caller has: they stay.
    foreign: Vec<String>,
}

/// A segment whose objects are in the store, and whose commit is not signed yet.
struct Uncommitted {
    commit: Commit,
    keep: Option<Keep>,
    changes: Vec<Change>,
}

/// Finds who signs with one of a ledger's keys.
pub trait Keyring: Send + Sync {
    /// The signer of `key`.
    ///
    /// # Errors
    /// If the private half is not here. Whoever asked may ask again.
    fn signer(&self, key: &VerifyingKey) -> Result<Arc<dyn Signer>, SignError>;
}

/// A ledger that has one signer and gets no other.
struct Alone(Arc<dyn Signer>);

impl Keyring for Alone {
    fn signer(&self, key: &VerifyingKey) -> Result<Arc<dyn Signer>, SignError> {
        if self.0.public() == key {
            return Ok(Arc::clone(&self.0));
        }
        Err(SignError { what: format!("the private key of {} is not here", key.to_line()) })
    }
}

/// How an archive is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Zstandard level of the Parquet objects.
    pub zstd_level: i32,
    /// How long what is kept; without it commits are of format version 1, and nothing has a date.
    pub retention: Option<Retention>,
    /// Names this writer in commits: `[A-Za-z0-9._:-]{1,128}`.
    pub writer: String,
    /// Records of which the caller knows that they are archived: commits are listed from about there on, and not all of years. With 0 the
    /// whole archive is looked through, also for what fenced writers left.
    pub known: u64,
    /// The moment of opening, for a store that has no clock of its own.
    pub opened_at: Time,
}

impl Settings {
    /// One class, no dates: commits of format version 1.
    pub fn undated(zstd_level: i32) -> Self {
        Self { zstd_level, retention: None, writer: "local".to_owned(), known: 0, opened_at: Time::default() }
    }
}

/// Where the archive ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Number of records archived: the next one's index.
    pub size: u64,
    /// Edge of their tree.
    pub edge: Edge,
    /// Hash of the last leaf, or the genesis value.
    pub last_hash: Hash,
    /// SHA-256 of the newest commit, zeros if there is none.
    pub last_commit_sha256: Hash,
    /// Paths of the newest commit's objects.
    pub objects: Vec<String>,
    /// The newest commit's objects with bodies.
    pub bodies: Vec<Object>,
    /// How the newest commit's checkpoint is kept: mode, and seconds since 1970.
    pub kept: Option<(Lock, u64)>,
    /// Who wrote the newest commit, if it says so.
    pub writer: Option<String>,
}

/// A segment that is archived.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Index of its first record.
    pub first: u64,
    /// Number of its records.
    pub count: u64,
    /// Its objects.
    pub objects: Vec<Object>,
    /// SHA-256 of the commit.
    pub commit_sha256: Hash,
    /// The signed checkpoint behind it.
    pub checkpoint: String,
}

/// What [`Archive::open`] had to put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Objects of a segment that was interrupted before its commit, now removed.
    pub removed: Vec<String>,
    /// Such objects that the store does not let go before their retention ends, and what fenced writers left in it.
    pub kept: Vec<String>,
    /// Size of the checkpoint that had been missing and is now signed.
    pub checkpoint_signed: Option<u64>,
    /// Why it is still missing: the key can't sign. It is tried again before the next segment begins.
    pub unsigned: Option<SignError>,
}

/// Why the archive can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// `ledger.json` is missing, or another ledger's.
    #[error("{place}: {source}")]
    Identity {
        /// The archive.
        place: String,
        /// What is wrong.
        source: IdentityError,
    },
    /// There is an archive already.
    #[error("{place} holds an archive already: open it, or choose an empty place")]
    Exists {
        /// The archive.
        place: String,
    },
    /// The newest commit is not good.
    #[error("{path}: {source}; run `tachograph verify` before anything is written here")]
    Commit {
        /// The commit.
        path: String,
        /// What is wrong.
        source: CommitError,
    },
    /// The newest commit stands under another index than it says, or its objects are not as it says.
    #[error("{path}: {what}; run `tachograph verify` before anything is written here")]
    Damaged {
        /// The object.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Somebody else's object stands where ours belongs: there is a second writer. Nothing more is written.
    #[error(
        "{path} exists with other content: another collector{} writes this archive; this one has stopped writing. What it acknowledged is safe in its journal: \
         stop it for good, and save that with `tachograph reseal` into a ledger of another name",
        writer.as_ref().map_or(String::new(), |writer| format!(" ({writer})"))
    )]
    Fenced {
        /// The object.
        path: String,
        /// Who wrote it, if it says so.
        writer: Option<String>,
    },
    /// An earlier error left the outcome of a write unknown, or this writer is fenced.
    #[error("the archive has stopped after an earlier error: start again, start-up finds out what is there")]
    Stopped,
    /// The segment was begun before another one was appended.
    #[error("the segment begins at record {first}, but the archive continues at {size}: begin it again")]
    Stale {
        /// First record of the segment.
        first: u64,
        /// Records archived.
        size: u64,
    },
    /// Writing the segment failed.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The ledger's key can't sign.
    #[error(transparent)]
    Signing(#[from] SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ArchiveError {
    /// Whether to try again later with the records from [`Tail::size`] on. Otherwise a person must act.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Segment(error) => error.is_retryable(),
            Self::Signing(_) => true,
            _ => false,
        }
    }

    /// Whether it may be unknown what stands in the store.
    fn leaves_doubt(&self) -> bool {
        match self {
            Self::Store(error) | Self::Segment(SegmentError::Store(error)) => error.kind == store::ErrorKind::Unknown,
            Self::Fenced { .. } => true,
            _ => false,
        }
    }
}

impl Archive {
    /// Makes an empty place the archive of the ledger of `key`, to be kept as long as proofs are. A ledger is never created by
    /// accident: nothing else does this.
    pub fn create(
        store: &dyn Store,
        key: &VerifyingKey,
        created_at: Time,
        retention: Option<&Retention>,
    ) -> Result<(), ArchiveError> {
        let place = store.place();
        if !store.list("")?.is_empty() {
            return Err(ArchiveError::Exists { place });
        }
        let now = store.now()?.unwrap_or(created_at).unix_nanos().div_ceil(1_000_000_000);
        let keep = retention.map(|retention| {
            let until = now.saturating_add(retention.proofs.as_secs());
            Keep { lock: retention.lock, until, at_least: until }
        });
        let identity = Identity::new(key.clone(), created_at).encode();
        match store.create_or_confirm(paths::LEDGER, identity.as_bytes(), keep)? {
            Confirmed::Created => Ok(()),
            Confirmed::AlreadyOurs | Confirmed::Different => Err(ArchiveError::Exists { place }),
        }
    }

    /// Opens the archive for writing and finishes what an earlier process left half done, whose records the caller all has.
    pub fn open(
        store: Arc<dyn Store>,
        signer: Arc<dyn Signer>,
        settings: Settings,
    ) -> Result<(Self, Settled), ArchiveError> {
        let mut archive = Self::recover(store, signer, settings)?;
        let mut settled = archive.settle(u64::MAX)?;
        settled.kept.extend(archive.strays()?);
        Ok((archive, settled))
    }

    /// What fenced writers left before the end, in a store that keeps everything: since the start before, as [`Settings::known`] tells.
    pub fn strays(&self) -> Result<Vec<String>, StoreError> {
        match self.store.lock() {
            Lock::None => Ok(Vec::new()),
            _ => strays::find(&*self.store, &self.links.history, &self.tail, self.settings.known),
        }
    }

    /// Opens the archive for writing and finds out where it ends. Nothing is changed before [`settle`](Self::settle), and nothing signed.
    pub fn recover(store: Arc<dyn Store>, signer: Arc<dyn Signer>, settings: Settings) -> Result<Self, ArchiveError> {
        let vkey = signer.public().clone();
        Self::recover_with(store, vkey, Arc::new(Alone(signer)), settings)
    }

    /// The same for the ledger whose first key is `vkey`, with the signers that the keyring has for the keys that are valid.
    pub fn recover_with(
        store: Arc<dyn Store>,
        vkey: VerifyingKey,
        keyring: Arc<dyn Keyring>,
        settings: Settings,
    ) -> Result<Self, ArchiveError> {
        let check = |identity: Identity| identity.check_key(&vkey);
        Identity::read(&*store)?
            .and_then(check)
            .map_err(|source| ArchiveError::Identity { place: store.place(), source })?;
        let links = Links::read(&*store, vkey.clone())?;
        let tail = Tail::recover(&*store, &links.history, &settings)?;
        Ok(Self {
            store,
            keyring,
            vkey,
            links,
            changes: None,
            settings,
            tail,
            checkpoint: None,
            uncommitted: None,
            unsettled: true,
            stopped: false,
            orphans: Vec::new(),
            foreign: Vec::new(),
        })
    }

    /// The ledger's keys.
    pub const fn keys(&self) -> &KeyHistory {
        &self.links.history
    }

    /// Where the archive ends.
    pub const fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Begins a segment at [`Tail::size`]. It holds no lock on the archive; dropped, it leaves nothing behind.
    pub fn begin(&mut self) -> Result<Segment, ArchiveError> {
        self.settle_all()?;
        let chain = ChainVerifier::resume(&self.vkey, self.tail.edge.clone(), self.tail.last_hash);
        Ok(Segment::begin(Arc::clone(&self.store), chain, self.settings.zstd_level)?)
    }

    /// Makes a segment part of the ledger: its objects, its commit, its checkpoint are durable on return.
    ///
    /// On an error look at [`tail`](Self::tail): records below its size are archived even then, since the
    /// checkpoint alone may be what failed. If it was the key that failed, [`resume`](Self::resume) goes on where this broke off.
    pub fn append(&mut self, segment: Segment) -> Result<Committed, ArchiveError> {
        if self.stopped {
            return Err(ArchiveError::Stopped);
        }
        if segment.first() != self.tail.size {
            return Err(ArchiveError::Stale { first: segment.first(), size: self.tail.size });
        }
        let written = segment.finish(self.settings.retention.as_ref());
        let appended = written.map_err(ArchiveError::from).and_then(|mut written| {
            let (keep, changes) = (written.proofs, std::mem::take(&mut written.changes));
            self.commit(Uncommitted { commit: self.commit_of(written), keep, changes })
        });
        self.take_note_of(appended)
    }

    /// Has the commit signed of a segment that [`append`](Self::append) wrote but for that; `None` if there is no such segment.
    ///
    /// # Errors
    /// As of `append`.
    pub fn resume(&mut self) -> Result<Option<Committed>, ArchiveError> {
        if self.stopped {
            return Err(ArchiveError::Stopped);
        }
        let Some(uncommitted) = self.uncommitted.take() else { return Ok(None) };
        let committed = self.commit(uncommitted);
        self.take_note_of(committed).map(Some)
    }

    /// What an attempt to append leaves behind.
    fn take_note_of(&mut self, appended: Result<Committed, ArchiveError>) -> Result<Committed, ArchiveError> {
        self.stopped = appended.as_ref().is_err_and(ArchiveError::leaves_doubt);
        self.unsettled = appended.is_err();
        appended
    }

    fn commit(&mut self, uncommitted: Uncommitted) -> Result<Committed, ArchiveError> {
        let Uncommitted { commit, keep, .. } = &uncommitted;
        let (keep, path) = (*keep, paths::commit(commit.first));
        let note = match self.signers(commit.end()).and_then(|signers| commit.sign_by(&signers)) {
            Ok(note) => note,
            Err(error) => {
                self.uncommitted = Some(uncommitted);
                return Err(error.into());
            }
        };
        let (_, note) = self.put(&path, note, commit.end(), keep)?;
        self.tail = Tail::behind(commit, note.as_bytes()).map_err(|source| ArchiveError::Commit { path, source })?;
        self.checkpoint = None;
        let Uncommitted { commit, changes, .. } = uncommitted;
        self.changes = Some(changes);
        let signed = self.checkpoint_of_tail().sign_by(&self.signers(self.tail.size)?)?;
        let (_, checkpoint) = self.put(&paths::checkpoint(self.tail.size), signed, self.tail.size, keep)?;
        self.checkpoint = Some(checkpoint.clone());
        self.link()?;
        self.orphans.clear();
        Ok(Committed {
            first: commit.first,
            count: commit.count,
            objects: commit.objects,
            commit_sha256: self.tail.last_commit_sha256,
            checkpoint,
        })
    }

    /// Who must sign what is said of the tree of `size` records.
    fn signers(&self, size: u64) -> Result<Vec<Arc<dyn Signer>>, SignError> {
        self.links.history.valid_at(size).map(|key| self.keyring.signer(key)).collect()
    }

    /// Writes the links that records of the newest commit make, under its checkpoint, which the keys signed that were valid before.
    /// From then on the next commit is signed by those that are valid now; so this comes before it.
    fn link(&mut self) -> Result<(), ArchiveError> {
        let changes = match self.changes.take() {
            Some(changes) => changes,
            None => self.find_changes()?,
        };
        let linked = changes.iter().try_for_each(|(index, body)| self.link_one(*index, body));
        self.changes = Some(if linked.is_ok() { Vec::new() } else { changes });
        linked
    }

    fn link_one(&mut self, index: u64, body: &[u8]) -> Result<(), ArchiveError> {
        let (Some(checkpoint), Ok(Some(change))) = (&self.checkpoint, KeyChange::of_body(body)) else { return Ok(()) };
        // The recorder is not asked for what can't be; should it say so all the same, nothing follows from it.
        if index < self.links.history.linked() || self.links.history.allows(&change).is_err() {
            return Ok(());
        }
        let path = paths::key_link(index);
        let damaged = |what: String| ArchiveError::Damaged { path: path.clone(), what };
        let of_tree = |error: TreeError| match error {
            TreeError::Read(ReadError::Store(error)) => ArchiveError::Store(error),
            error => damaged(error.to_string()),
        };
        let tree =
            TreeReader::open_behind(Arc::clone(&self.store), self.tail.size).map_err(|error| of_tree(error.into()))?;
        let (leaf, _) = tree.leaf(index).map_err(of_tree)?;
        let hashes = tree.inclusion(index, self.tail.size).map_err(of_tree)?;
        let proof = TlogProof { extra: Some(leaf), index, hashes, checkpoint: checkpoint.clone() };
        let link = encode_link(body, &proof);
        if self.store.create_or_confirm(&path, link.as_bytes(), self.keep_checkpoint()?)? == Confirmed::Different {
            return Err(ArchiveError::Fenced { path: path.clone(), writer: None });
        }
        let link = self.links.history.extend(index, link.as_bytes()).map_err(|error| damaged(error.to_string()))?;
        self.links.good.insert(index, link);
        Ok(())
    }

    /// Records of the newest commit that change keys: a crash may have come between its checkpoint and their links.
    fn find_changes(&self) -> Result<Vec<Change>, ArchiveError> {
        let of_read = |path: &str, error: ReadError| match error {
            ReadError::Store(error) => ArchiveError::Store(error),
            error => ArchiveError::Damaged { path: path.to_owned(), what: error.to_string() },
        };
        let mut found = Vec::new();
        for object in &self.tail.bodies {
            let opened = match RecordsObject::open(&*self.store, object) {
                // Its date is past, and it was destroyed long after its links were made.
                Err(ReadError::Store(error)) if error.kind == ErrorKind::NotFound => continue,
                opened => opened.map_err(|error| of_read(&object.path, error))?,
            };
            for action in [KEY_ANNOUNCE, KEY_RETIRE] {
                reader::find_in(&opened, "action_type", Value::Text(action), &mut found)
                    .map_err(|error| of_read(&object.path, error))?;
            }
        }
        found.sort_by_key(|found| found.index);
        Ok(found.into_iter().map(|found| (found.index, found.body)).collect())
    }

    fn commit_of(&self, written: Written) -> Commit {
        Commit {
            ledger: self.vkey.name().clone(),
            first: written.first,
            count: written.edge.size() - written.first,
            root: written.edge.root(),
            edge: written.edge.hashes().to_vec(),
            last_hash: written.last_hash,
            objects: written.objects,
            prev_commit_sha256: self.tail.last_commit_sha256,
            terms: written.proofs.map(|keep| Terms {
                lock: keep.lock,
                retain_until: keep.until,
                writer: self.settings.writer.clone(),
            }),
        }
    }

    /// The signed checkpoint over all that is archived, as it stands in the store; `None` while there is none, or before
    /// [`settle`](Self::settle) has looked.
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    fn checkpoint_of_tail(&self) -> Checkpoint {
        Checkpoint { origin: self.vkey.name().clone(), size: self.tail.size, root: self.tail.edge.root() }
    }

    /// The conditional write of a note: whoever comes second with another text is fenced. Gives what stands there now: that may be our
    /// own text with an earlier signature.
    fn put(
        &self,
        path: &str,
        note: String,
        size: u64,
        keep: Option<Keep>,
    ) -> Result<(Confirmed, String), ArchiveError> {
        match self.store.create_or_confirm(path, note.as_bytes(), keep)? {
            Confirmed::Different => match self.standing(path, text_of(&note), size, keep)? {
                Some(standing) => Ok((Confirmed::AlreadyOurs, standing)),
                None => Err(ArchiveError::Fenced { path: path.to_owned(), writer: self.writer_of(path) }),
            },
            confirmed => Ok((confirmed, note)),
        }
    }

    /// The note at `path`, if the keys signed it that must, and it says just `text` of the tree of `size` records.
    fn standing(&self, path: &str, text: &str, size: u64, keep: Option<Keep>) -> Result<Option<String>, StoreError> {
        let Some(bytes) = self.store.len(path)?.filter(|bytes| *bytes <= MAX_NOTE_BYTES) else { return Ok(None) };
        let bytes = self.store.read(path, bytes)?;
        let ours = parse_note(&bytes).is_ok_and(|note| note.text() == text && self.keys().check(&note, size).is_ok());
        let Some(note) = String::from_utf8(bytes).ok().filter(|_| ours) else { return Ok(None) };
        if let Some(keep) = keep {
            self.store.confirm_held(path, keep.lock, keep.at_least)?;
        }
        Ok(Some(note))
    }

    /// Who wrote a commit, as far as it says so.
    fn writer_of(&self, path: &str) -> Option<String> {
        let bytes = self.store.read(path, MAX_NOTE_BYTES).ok()?;
        Some(Commit::parse_unverified(&bytes).ok()?.terms?.writer)
    }

    /// Where the next segment should end, if an interrupted one left its objects in a store that keeps them: the same records
    /// give the same objects, and nothing is left over.
    pub fn resume_at(&self) -> Option<u64> {
        let ends = self.orphans.iter().filter_map(|path| {
            let (first, count) = paths::leaves_of(path)?;
            (first == self.tail.size).then(|| first.checked_add(count)).flatten()
        });
        ends.max()
    }

    /// Puts right what an interrupted or failed append left.
    ///
    /// Objects behind the end are removed where a store lets them go, for their records are archived again; but not if they hold one
    /// at `sealed` or behind it, which the caller has not. Those are told as kept.
    ///
    /// A key that can't sign is no error here, but told in [`Settled::unsigned`]: whoever starts can start without it.
    pub fn settle(&mut self, sealed: u64) -> Result<Settled, ArchiveError> {
        self.resume()?;
        let mut settled = Settled::default();
        if !self.unsettled {
            return Ok(settled);
        }
        let behind = self.behind_the_end()?;
        let ends =
            behind.iter().filter_map(|path| paths::leaves_of(path).map(|(first, count)| first.saturating_add(count)));
        if ends.max().is_some_and(|end| end > sealed) {
            self.foreign.clone_from(&behind);
        }
        for path in behind {
            if self.foreign.contains(&path) {
                settled.kept.push(path);
                continue;
            }
            match self.store.remove_orphan(&path)? {
                Removal::Removed => settled.removed.push(path),
                Removal::Kept => settled.kept.push(path),
            }
        }
        self.orphans.clone_from(&settled.kept);
        match self.confirm_checkpoint().and_then(|signed| self.link().map(|()| signed)) {
            Ok(signed) => settled.checkpoint_signed = signed.then_some(self.tail.size),
            Err(ArchiveError::Signing(error)) => {
                settled.unsigned = Some(error);
                return Ok(settled);
            }
            Err(error) => {
                self.stopped = error.leaves_doubt();
                return Err(error);
            }
        }
        self.unsettled = false;
        Ok(settled)
    }

    /// [`settle`](Self::settle), for whoever can't go on without the checkpoint.
    ///
    /// # Errors
    /// If the key can't sign, too.
    pub fn settle_all(&mut self) -> Result<(), ArchiveError> {
        match self.settle(u64::MAX)?.unsigned {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Finds the checkpoint of the end, or has it signed: whether the latter.
    fn confirm_checkpoint(&mut self) -> Result<bool, ArchiveError> {
        if self.tail.size == 0 || self.checkpoint.is_some() {
            return Ok(false);
        }
        let (path, keep) = (paths::checkpoint(self.tail.size), self.keep_checkpoint()?);
        let checkpoint = self.checkpoint_of_tail();
        if let Some(standing) = self.standing(&path, &checkpoint.text(), self.tail.size, keep)? {
            self.checkpoint = Some(standing);
            return Ok(false);
        }
        let signed = checkpoint.sign_by(&self.signers(self.tail.size)?)?;
        let (confirmed, note) = self.put(&path, signed, self.tail.size, keep)?;
        self.checkpoint = Some(note);
        Ok(confirmed == Confirmed::Created)
    }

    /// Objects of records that are not archived, found without listing all that are.
    fn behind_the_end(&self) -> Result<Vec<String>, StoreError> {
        let mut found = self.store.list_after(paths::LEAVES, self.newest_in(paths::LEAVES))?;
        for class in self.store.folders(paths::RECORDS)? {
            found.extend(self.store.list_after(&class, self.newest_in(&class))?);
        }
        found.retain(|path| paths::first_of(path).is_some_and(|first| first >= self.tail.size));
        Ok(found)
    }

    /// The newest commit's object in a folder; what was begun later comes behind it, unless the clock went back over midnight.
    fn newest_in<'a>(&'a self, folder: &'a str) -> &'a str {
        let inside = self.tail.objects.iter().find(|path| path.starts_with(folder));
        inside.map_or(folder, String::as_str)
    }

    /// Milliseconds that the store's clock is ahead of this machine's, as far as it is known.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        self.store.clock_skew_ms()
    }

    fn keep_checkpoint(&self) -> Result<Option<Keep>, StoreError> {
        keep_proof(&*self.store, self.tail.kept)
    }
}

/// What is signed of a note that was just made.
fn text_of(note: &str) -> &str {
    note.rfind("\n\n").map_or(note, |end| &note[..=end])
}

/// How a checkpoint, and what is beside it, is kept when it is written now: as its commit signs ([`Tail::kept`]); but a store takes no
/// date that is past.
pub fn keep_proof(store: &dyn Store, kept: Option<(Lock, u64)>) -> Result<Option<Keep>, StoreError> {
    const LEAST: u64 = 24 * 3600;
    let Some((lock, until)) = kept else { return Ok(None) };
    let now = store.now()?.map_or(0, |now| now.unix_nanos() / 1_000_000_000);
    Ok(Some(Keep { lock, until: until.max(now + LEAST), at_least: until }))
}

impl Tail {
    /// Where an archive without commits ends.
    fn empty(vkey: &VerifyingKey) -> Self {
        Self {
            size: 0,
            edge: Edge::new(),
            last_hash: genesis(&vkey.to_line()),
            last_commit_sha256: Hash::from_bytes([0; 32]),
            objects: Vec::new(),
            bodies: Vec::new(),
            kept: None,
            writer: None,
        }
    }

    fn behind(commit: &Commit, bytes: &[u8]) -> Result<Self, CommitError> {
        let edge = commit.tree()?;
        Ok(Self {
            size: edge.size(),
            edge,
            last_hash: commit.last_hash,
            last_commit_sha256: sha256(bytes),
            objects: commit.objects.iter().map(|object| object.path.clone()).collect(),
            bodies: commit.objects.iter().filter(|object| object.kind != ObjectKind::Leaves).cloned().collect(),
            kept: commit.terms.as_ref().map(|terms| (terms.lock, terms.retain_until)),
            writer: commit.terms.as_ref().map(|terms| terms.writer.clone()),
        })
    }

    /// The newest commit, its path and its bytes. How far before `known` it begins, if nothing was archived since, is not known.
    fn newest_commit(
        store: &dyn Store,
        keys: &KeyHistory,
        known: u64,
    ) -> Result<Option<(String, Vec<u8>, Commit)>, ArchiveError> {
        let mut back = 1 << 17;
        while let Some(after) = known.checked_sub(back) {
            let listed = store.list_after(paths::COMMITS, &paths::commit(after))?;
            if let Ok(Some(newest)) = newest_of(store, keys, listed) {
                return Ok(Some(newest));
            }
            back = back.saturating_mul(8);
        }
        newest_of(store, keys, store.list(paths::COMMITS)?)
    }

    /// From the newest commit, whose objects must be there.
    fn recover(store: &dyn Store, keys: &KeyHistory, settings: &Settings) -> Result<Self, ArchiveError> {
        let newest = Self::newest_commit(store, keys, settings.known)?;
        let Some((path, bytes, commit)) = newest else { return Ok(Self::empty(keys.first())) };
        let of_commit = |source| ArchiveError::Commit { path: path.clone(), source };
        let now = store.now()?.unwrap_or(settings.opened_at).unix_nanos() / 1_000_000_000;
        for object in &commit.objects {
            store.pin(&object.path)?;
            let found = store.len(&object.path)?;
            // In a ledger that rested for long the newest may be past its date, and destroyed.
            let is_past = object.retain_until.is_some_and(|until| until <= now);
            if found.is_none() && is_past && matches!(object.kind, ObjectKind::Records { .. }) {
                continue;
            }
            if found != Some(object.size) {
                let what = match found {
                    None => format!("missing, though {path} names it"),
                    Some(size) => format!("{size} bytes, but {path} says {}", object.size),
                };
                return Err(ArchiveError::Damaged { path: object.path.clone(), what });
            }
            // Only what is held as it was signed lets the journal go of its records.
            if let (Some(terms), Some(until), false) = (&commit.terms, object.retain_until, is_past) {
                store.confirm_held(&object.path, terms.lock, until)?;
            }
        }
        if let Some(terms) = commit.terms.as_ref().filter(|terms| terms.retain_until > now) {
            store.confirm_held(&path, terms.lock, terms.retain_until)?;
        }
        Self::behind(&commit, &bytes).map_err(of_commit)
    }
}

/// Of listed commits the newest that the ledger's key signed.
///
/// Whoever may write in the store can put something behind it. That is no reason to stand still, unless it is in the way of the next
/// commit; a verifier reports it.
fn newest_of(
    store: &dyn Store,
    keys: &KeyHistory,
    listed: Vec<String>,
) -> Result<Option<(String, Vec<u8>, Commit)>, ArchiveError> {
    let mut in_front: Option<(u64, ArchiveError)> = None;
    let numbered = listed.into_iter().rev().filter_map(|path| Some((paths::number_of(&path, paths::COMMITS)?, path)));
    for (number, path) in numbered.take(MAX_FOREIGN_COMMITS) {
        let bytes = match store.read(&path, MAX_NOTE_BYTES) {
            Err(error) if error.kind == ErrorKind::TooLarge => {
                in_front = Some((number, error.into()));
                continue;
            }
            read => read?,
        };
        let error = match Commit::open(&bytes, keys) {
            Ok(commit) if commit.first != number => {
                let what = format!("the commit is of record {} on", commit.first);
                ArchiveError::Damaged { path, what }
            }
            Ok(commit) => {
                return match in_front {
                    Some((first, error)) if first <= commit.end() => Err(error),
                    _ => Ok(Some((path, bytes, commit))),
                };
            }
            Err(source) => ArchiveError::Commit { path, source },
        };
        in_front = Some((number, error));
    }
    in_front.map_or(Ok(None), |(_, error)| Err(error))
}
