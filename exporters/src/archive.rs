//! The archive: segments of records as Parquet objects, each run of them named by a signed commit, each commit
//! followed by a signed checkpoint, all in a write-once [`store`].
//!
//! Order of writing: leaves object, records object, commit, checkpoint. The commit is the fence against a second
//! writer, the point from which records count as archived, and all that recovery needs. So:
//! - records below [`Tail::size`] are archived, whatever error came after; those above are not;
//! - objects that no commit names were never evidence, and are removed before the next segment;
//! - a checkpoint that is missing behind the newest commit is signed again: signing is deterministic.
//!
//! Recovery is the code of normal work: [`Archive::open`] and [`Archive::begin`] both go through `settle`.

mod columns;
mod identity;
pub mod paths;
pub mod reader;
mod retention;
pub mod schema;
pub mod segment;
pub mod store;
mod strays;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tachograph_ledger::{
    ChainVerifier, Checkpoint, Commit, CommitError, Edge, Hash, Lock, Object, ObjectKind, SigningKey, Terms,
    VerifyingKey, genesis, sha256,
};
use tachograph_record::Time;

pub use identity::{Identity, IdentityError};
pub use retention::{Classify, MAX_CLASSES, OneClass, RECORDER_CLASS, Retention};
use segment::Written;
pub use segment::{DEFAULT_CLASS, DEFAULT_ZSTD_LEVEL, Pushed, Row, Segment, SegmentError};
use store::{Confirmed, Removal, Store, StoreError};

/// Longest commit or checkpoint that is read.
pub const MAX_NOTE_BYTES: u64 = 1 << 20;

/// The writing end of an archive. One per archive: the store's lock or the commit's fence sees to it.
pub struct Archive {
    store: Arc<dyn Store>,
    key: Arc<SigningKey>,
    vkey: VerifyingKey,
    settings: Settings,
    tail: Tail,
    /// A segment may have been left half done: look before the next begins.
    unsettled: bool,
    stopped: bool,
    orphans: Vec<String>,
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
}

impl Settings {
    /// One class, no dates: commits of format version 1.
    pub fn undated(zstd_level: i32) -> Self {
        Self { zstd_level, retention: None, writer: "local".to_owned(), known: 0 }
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
    /// Until when the newest commit's checkpoint is kept, in seconds since 1970.
    pub retain_until: Option<u64>,
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
        let until = retention.map(|retention| now.saturating_add(retention.proofs.as_secs()));
        let identity = Identity::new(key.clone(), created_at).encode();
        match store.create_or_confirm(paths::LEDGER, identity.as_bytes(), until)? {
            Confirmed::Created => Ok(()),
            Confirmed::AlreadyOurs | Confirmed::Different => Err(ArchiveError::Exists { place }),
        }
    }

    /// Opens the archive for writing and finishes what an earlier process left half done.
    pub fn open(
        store: Arc<dyn Store>,
        key: Arc<SigningKey>,
        settings: Settings,
    ) -> Result<(Self, Settled), ArchiveError> {
        let vkey = key.public();
        let check = |identity: Identity| identity.check_key(&vkey);
        Identity::read(&*store)?
            .and_then(check)
            .map_err(|source| ArchiveError::Identity { place: store.place(), source })?;
        let tail = Tail::recover(&*store, &vkey, settings.known)?;
        let mut archive =
            Self { store, key, vkey, settings, tail, unsettled: true, stopped: false, orphans: Vec::new() };
        let mut settled = archive.settle()?;
        if archive.store.lock() != Lock::None {
            settled.kept.extend(strays::find(&*archive.store, &archive.vkey, &archive.tail, archive.settings.known)?);
        }
        Ok((archive, settled))
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
        self.settle()?;
        let chain = ChainVerifier::resume(&self.vkey, self.tail.edge.clone(), self.tail.last_hash);
        Ok(Segment::begin(Arc::clone(&self.store), chain, self.settings.zstd_level)?)
    }

    /// Makes a segment part of the ledger: its objects, its commit, its checkpoint are durable on return.
    ///
    /// On an error look at [`tail`](Self::tail): records below its size are archived even then, since the
    /// checkpoint alone may be what failed.
    pub fn append(&mut self, segment: Segment) -> Result<Committed, ArchiveError> {
        if self.stopped {
            return Err(ArchiveError::Stopped);
        }
        if segment.first() != self.tail.size {
            return Err(ArchiveError::Stale { first: segment.first(), size: self.tail.size });
        }
        self.unsettled = true;
        let appended = self.write(segment);
        self.stopped = appended.as_ref().is_err_and(ArchiveError::leaves_doubt);
        self.unsettled = appended.is_err();
        appended
    }

    fn write(&mut self, segment: Segment) -> Result<Committed, ArchiveError> {
        let written = segment.finish(self.settings.retention.as_ref())?;
        let until = written.proofs_until;
        let commit = self.commit_of(written);
        let bytes = commit.sign(&self.key);
        self.put(&paths::commit(commit.first), &bytes, until)?;
        self.tail = Tail::behind(&commit, bytes.as_bytes())
            .map_err(|source| ArchiveError::Commit { path: paths::commit(commit.first), source })?;
        let checkpoint = self.checkpoint();
        self.put(&paths::checkpoint(self.tail.size), &checkpoint, until)?;
        self.orphans.clear();
        Ok(Committed {
            first: commit.first,
            count: commit.count,
            objects: commit.objects,
            commit_sha256: self.tail.last_commit_sha256,
            checkpoint,
        })
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
            terms: self.settings.retention.as_ref().zip(written.proofs_until).map(|(retention, retain_until)| Terms {
                lock: retention.lock,
                retain_until,
                writer: self.settings.writer.clone(),
            }),
        }
    }

    fn checkpoint(&self) -> String {
        let checkpoint =
            Checkpoint { origin: self.vkey.name().clone(), size: self.tail.size, root: self.tail.edge.root() };
        checkpoint.sign(&self.key)
    }

    /// The conditional write: whoever comes second with other bytes is fenced.
    fn put(&self, path: &str, bytes: &str, until: Option<u64>) -> Result<Confirmed, ArchiveError> {
        match self.store.create_or_confirm(path, bytes.as_bytes(), until)? {
            Confirmed::Different => Err(ArchiveError::Fenced { path: path.to_owned(), writer: self.writer_of(path) }),
            confirmed => Ok(confirmed),
        }
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
    fn settle(&mut self) -> Result<Settled, ArchiveError> {
        if self.stopped {
            return Err(ArchiveError::Stopped);
        }
        let mut settled = Settled::default();
        if !self.unsettled {
            return Ok(settled);
        }
        for path in self.behind_the_end()? {
            match self.store.remove_orphan(&path)? {
                Removal::Removed => settled.removed.push(path),
                Removal::Kept => settled.kept.push(path),
            }
        }
        self.orphans.clone_from(&settled.kept);
        if self.tail.size > 0 {
            let confirmed = self.put(&paths::checkpoint(self.tail.size), &self.checkpoint(), self.checkpoint_until()?);
            self.stopped = confirmed.as_ref().is_err_and(ArchiveError::leaves_doubt);
            settled.checkpoint_signed = (confirmed? == Confirmed::Created).then_some(self.tail.size);
        }
        self.unsettled = false;
        Ok(settled)
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

    /// A store takes no date that is past.
    fn checkpoint_until(&self) -> Result<Option<u64>, StoreError> {
        const LEAST: u64 = 24 * 3600;
        let now = self.store.now()?.map_or(0, |now| now.unix_nanos() / 1_000_000_000);
        Ok(self.tail.retain_until.map(|until| until.max(now + LEAST)))
    }
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
            retain_until: None,
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
            retain_until: commit.terms.as_ref().map(|terms| terms.retain_until),
            writer: commit.terms.as_ref().map(|terms| terms.writer.clone()),
        })
    }

    /// Path of the newest commit: it begins before `known` if nothing was archived since, and how far before is not known.
    fn newest_commit(store: &dyn Store, known: u64) -> Result<Option<String>, StoreError> {
        let mut back = 1 << 17;
        while let Some(after) = known.checked_sub(back) {
            let newest = store.list_after(paths::COMMITS, &paths::commit(after))?.pop();
            if newest.is_some() {
                return Ok(newest);
            }
            back = back.saturating_mul(8);
        }
        Ok(store.list(paths::COMMITS)?.pop())
    }

    /// From the newest commit, whose objects must be there.
    fn recover(store: &dyn Store, vkey: &VerifyingKey, known: u64) -> Result<Self, ArchiveError> {
        let Some(path) = Self::newest_commit(store, known)? else { return Ok(Self::empty(vkey)) };
        let bytes = store.read(&path, MAX_NOTE_BYTES)?;
        let of_commit = |source| ArchiveError::Commit { path: path.clone(), source };
        let commit = Commit::open(&bytes, vkey).map_err(of_commit)?;
        if paths::commit(commit.first) != path {
            let what = format!("the commit is of record {} on", commit.first);
            return Err(ArchiveError::Damaged { path, what });
        }
        for object in &commit.objects {
            let found = store.len(&object.path)?;
            // The newest may be past its date in a ledger that rested for long.
            if found.is_none() && object.retain_until.is_some() && matches!(object.kind, ObjectKind::Records { .. }) {
                continue;
            }
            if found != Some(object.size) {
                let what = match found {
                    None => format!("missing, though {path} names it"),
                    Some(size) => format!("{size} bytes, but {path} says {}", object.size),
                };
                return Err(ArchiveError::Damaged { path: object.path.clone(), what });
            }
        }
        Self::behind(&commit, &bytes).map_err(of_commit)
    }
}
