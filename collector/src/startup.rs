//! Start-up: from what lies on the disk to a writer and an archiver that go on where the last ones stopped.
//!
//! It is recovery and normal start alike. Every record of the journal is read back and its place in the chain checked;
//! those that the duplicate index does not know yet are put into it.

use std::sync::Arc;

use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::s3::{Patience, S3Store};
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, ErrorKind, Store, StoreError};
use tachograph_exporters::archive::streams;
use tachograph_exporters::archive::tree::TreeReader;
use tachograph_exporters::archive::{Archive, ArchiveError, Keyring, Links, SegmentError, Settings, Settled, Tail};
use tachograph_exporters::bucket::{self, BucketError, Check, Inspection, Outcome, Trials};
use tachograph_exporters::verify::{RECORDER_PRODUCER, closes, details_of};
use tachograph_ledger::{
    ChainError, ChainVerifier, Generation, Hash, Leaf, MacKey, SealError, Sealer, StreamTracker, VerifyingKey,
    epoch_of, leaf_hash,
};
use tachograph_record::{Body, Time, content_digest};

use crate::archiver::check_mac_key;
use crate::closing::{self, Closing, Marker};
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError, Lock};
use crate::dedup::{self, Dedup, DedupError};
use crate::journal::disk::RealDisk;
use crate::journal::{self, Journal, JournalError, Recovered};
use crate::key_ring::KeyRing;
use crate::keys::{self, KeysError, Protection};
use crate::place::Place;

/// What the collector says first: in which state it found what it starts on.
pub(crate) const COLLECTOR_START: &str = "collector.start";

/// Why the collector can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The ledger's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The duplicate index.
    #[error(transparent)]
    Dedup(#[from] DedupError),
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archive's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sealer.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A bug.
    #[error("start-up panicked; this is a bug in tachograph. Nothing was taken")]
    Panicked,
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A record in the journal does not continue the chain.
    #[error(
        "the journal does not continue the ledger: {0}. Run `tachograph verify`; restore journal and archive from the same moment"
    )]
    Chain(#[from] ChainError),
    /// A record in the journal is not what it was sealed as.
    #[error(
        "record {index} in the journal: {what}. Run `tachograph verify`; restore the journal, or the key, from a copy"
    )]
    Record {
        /// The record.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// The journal is gone.
    #[error(
        "{0} holds no journal, though records were sealed here: acknowledged records are missing, those not archived yet. Restore it; if it is lost for good, start once with --journal-lost, which is recorded in the ledger"
    )]
    JournalMissing(String),
    /// The archive is gone.
    #[error(
        "the archive in {0} is empty, but checkpoints over it were signed: restore it, or point archive.path or archive.s3 at where it is now. A ledger stays where it began: for another place make a new one (tachograph init)"
    )]
    ArchiveGone(String),
    /// Records are in neither journal nor archive.
    #[error(
        "the archive ends at record {archived} and the journal begins at {journal}: the records between are in neither. Restore the archive or the journal"
    )]
    Gap {
        /// Records archived.
        archived: u64,
        /// First in the journal.
        journal: u64,
    },
    /// The journal ends before the archive.
    #[error(
        "the journal ends at record {journal}, but the archive holds {archived}{}: the journal was rolled back, or another collector has taken this ledger over. \
         Stop that one; restore the journal, or move it away if you are sure that nothing newer was acknowledged",
        by(writer)
    )]
    JournalBehind {
        /// Records archived.
        archived: u64,
        /// End of the journal.
        journal: u64,
        /// Who wrote the archive's end, if it says so.
        writer: Option<String>,
    },
    /// The archive holds other records than the journal.
    #[error(
        "the archive goes another way than this journal, before record {archived}{}: another collector writes this ledger, and this one is fenced. \
         What it acknowledged is safe in its journal: save it with `tachograph reseal` into a ledger of another name",
        by(writer)
    )]
    Fenced {
        /// Records archived.
        archived: u64,
        /// Who wrote the archive's end, if it says so.
        writer: Option<String>,
    },
    /// The MAC key does not fit.
    #[error("{0}")]
    MacKey(String),
    /// The duplicate index knows records that nothing else has.
    #[error(
        "record {known} was sealed (the duplicate index knows it), but journal and archive end at record {next}: acknowledged records are missing. Restore the journal"
    )]
    Lost {
        /// The highest record that the index knows.
        known: u64,
        /// End of the ledger.
        next: u64,
    },
    /// The ledger ends before the record at which it was closed.
    #[error(
        "the ledger was closed at record {from}, but journal and archive end at record {next}: acknowledged records are missing. Restore the journal; \
         if it is lost for good, move what is left in journal/ and dedup/ aside and start once with --journal-lost, which is recorded in the ledger"
    )]
    EndsBeforeItsEnd {
        /// Where it was closed.
        from: u64,
        /// End of the ledger.
        next: u64,
    },
    /// The archive ends before a checkpoint that was signed here.
    #[error(
        "the archive holds {archived} records, but a checkpoint over {signed} was signed here: the archive was rolled back or is another one. Restore it"
    )]
    ArchiveBehind {
        /// Records archived.
        archived: u64,
        /// Records under the newest checkpoint.
        signed: u64,
    },
}

impl StartError {
    /// Whether the same start may succeed later without anybody changing anything: the store does not answer. (A full disk needs a person.)
    pub fn is_temporary(&self) -> bool {
        let away = |error: &StoreError| error.kind == ErrorKind::Unavailable;
        match self {
            Self::Store(error)
            | Self::Bucket(BucketError::Store(error))
            | Self::Archive(ArchiveError::Store(error) | ArchiveError::Segment(SegmentError::Store(error))) => {
                away(error)
            }
            Self::Keys(KeysError::Away(_)) => true,
            _ => false,
        }
    }
}

fn by(writer: &Option<String>) -> String {
    writer.as_ref().map_or_else(String::new, |writer| format!(" (written last by {writer})"))
}

/// What the bucket says of itself, and what it was seen to do.
#[derive(Debug)]
pub struct Probed {
    /// What it says.
    pub inspection: Inspection,
    /// What was tried.
    pub checks: Vec<Check>,
}

/// A ledger, ready to go on.
pub struct Ready {
    /// Held until the end.
    pub lock: Lock,
    /// The data directory.
    pub data_dir: Arc<DataDir>,
    /// Gives indexes.
    pub sealer: Sealer,
    /// The journal.
    pub journal: Journal,
    /// The duplicate index.
    pub dedup: Dedup,
    /// The archive.
    pub archive: Archive,
    /// When the newest record was sealed; 1970 if there is none.
    pub last_sealed_at: Time,
    /// Epoch of the key in the key file.
    pub mac_key_epoch: u64,
    /// What start-up had to put right in the journal.
    pub recovered: Recovered,
    /// What start-up had to put right in the archive.
    pub settled: Settled,
    /// What is known of the bucket, if the archive is in one.
    pub bucket: Option<Probed>,
    /// The generation of streams that is open.
    pub generation: Option<Generation>,
    /// How far the ledger's end has come, if it is closed.
    pub closing: Option<Closing>,
    /// Who signs.
    pub keyring: Arc<dyn Keyring>,
}

/// Opens everything, in the order in which each part can be checked against the one before.
///
/// `writer` names this instance in commits; `patience` decides how long a store that does not answer is asked.
///
/// # Errors
/// If something does not fit together: nothing is changed then that a person would have to undo.
pub fn open(config: &Config, now: Time, writer: &str, patience: &Arc<dyn Patience>) -> Result<Ready, StartError> {
    let protection = Protection::load(config.keys.encryption.as_ref())?;
    let data_dir = Arc::new(DataDir::open(&config.data)?.protected_by(protection));
    let lock = data_dir.lock()?;
    keys::check_commits(config, data_dir.vkey())?;
    let first = keys::signer(&config.keys, &data_dir);
    let mac_key = data_dir.mac_key()?;
    let vkey = data_dir.vkey().clone();

    let place = match &config.archive.s3 {
        Some(s3) => Place::S3(s3.url()),
        None => Place::Directory(config.archive.path.clone().unwrap_or_else(|| data_dir.own_archive())),
    };
    let (store, bucket) = open_store(config, &place, writer, patience)?;
    let signed = data_dir.signed_size(&Links::read(&*store, vkey.clone())?.history)?;
    let keyring: Arc<dyn Keyring> = Arc::new(KeyRing::new(
        Arc::clone(&data_dir),
        first.as_ref().map(Arc::clone).map_err(|error| error.to_string()),
    ));
    let settings = Settings {
        zstd_level: config.archive.compression_level,
        retention: config.archive.retention.clone(),
        writer: writer.to_owned(),
        known: signed,
        opened_at: now,
    };
    let mut archive = open_archive(settings, &data_dir, store, &vkey, Arc::clone(&keyring), now)?;
    // A first key that is retired need not be here any more.
    if let Err(error) = first
        && archive.keys().present().any(|key| *key == vkey)
    {
        return Err(error.into());
    }
    if config.archive.path.is_some() || config.archive.s3.is_some() {
        // It is ours and it is good: from now on it can be found without the configuration.
        data_dir.remember_archive(&place)?;
    }
    let tail = archive.tail().clone();
    if tail.size < signed {
        return Err(StartError::ArchiveBehind { archived: tail.size, signed });
    }

    let settings = journal::Settings {
        max_bytes: config.journal.max_bytes,
        max_file_bytes: config.journal.max_file_bytes,
        ..journal::Settings::new(vkey.name().as_str())
    };
    let (mut journal, recovered) = Journal::open(&data_dir.journal(), Arc::new(RealDisk), settings)?;
    let settings = dedup::Settings { retention: config.duplicates_retention, ..dedup::Settings::default() };
    let mut dedup = Dedup::open(&data_dir.dedup(), Arc::new(RealDisk), settings)?;

    if recovered.next_index.is_none() && data_dir.has_begun() && !config.journal.lost {
        return Err(StartError::JournalMissing(data_dir.journal().display().to_string()));
    }
    let (first, next) = match (recovered.first_index, recovered.next_index) {
        (Some(first), Some(next)) => (first, next),
        _ => (tail.size, tail.size),
    };
    if first > tail.size {
        return Err(StartError::Gap { archived: tail.size, journal: first });
    }
    if next < tail.size {
        if first < next && differs(&archive, &journal, next - 1)? {
            return Err(StartError::Fenced { archived: tail.size, writer: tail.writer });
        }
        return Err(StartError::JournalBehind { archived: tail.size, journal: next, writer: tail.writer });
    }
    if let Some(known) = dedup.highest_index().filter(|known| *known >= next) {
        return Err(StartError::Lost { known, next });
    }
    check_mac_key(&mac_key, next).map_err(StartError::MacKey)?;
    let mut tracker = archived_streams(&archive, &data_dir);
    let end = replay(&journal, &mut dedup, &vkey, copy(&mac_key), first, &tail, &mut tracker)?;
    if journal.next_index().is_none() {
        check_last_mac(&archive, &vkey, copy(&mac_key), tail.size)?;
    }
    let closing = closing(&data_dir, &archive, &end, next, config.journal.lost && journal.next_index().is_none())?;
    // Only now is it sure that what an interrupted segment left is in the journal too.
    let mut settled = archive.settle(next)?;
    settled.kept.extend(archive.strays()?);
    dedup.sync()?;
    journal.release_before(tail.size).map_err(|e| StartError::Record { index: tail.size, what: e.to_string() })?;
    let mac_key_epoch = mac_key.epoch();
    let sealer = Sealer::resume(&vkey, next, end.prev, mac_key)?;
    Ok(Ready {
        lock,
        data_dir,
        sealer,
        journal,
        dedup,
        archive,
        last_sealed_at: end.sealed_at,
        mac_key_epoch,
        recovered,
        settled,
        bucket,
        generation: tracker.into_generation(),
        closing,
        keyring,
    })
}

/// How far the ledger's end has come, if it is closed. Journal and archive end before record `next`, by the operator's word for good if
/// the journal `is_lost`.
fn closing(
    data_dir: &DataDir,
    archive: &Archive,
    journal: &End,
    next: u64,
    is_lost: bool,
) -> Result<Option<Closing>, StartError> {
    let archived = archive.tail().size;
    let damaged = |what: String| StartError::Record { index: archived.saturating_sub(1), what };
    let open = || Reader::open(Arc::clone(archive.store())).map_err(|error| damaged(error.to_string()));
    let Some(marker) = data_dir.closed()? else {
        let statement = match journal.closed {
            // The journal may have let go of the statement, or the directory was put back from before it. Behind it stands nothing of a
            // sender, and no start that found the ledger open: whoever finds that in the journal need not ask the archive, where this
            // reads every commit.
            None if !journal.is_open && archived > 0 => {
                let reader = open()?;
                closing::search(&reader, &TreeReader::of(&reader)).map_err(|error| damaged(error.to_string()))?
            }
            found => found,
        };
        let Some(from) = statement else { return Ok(None) };
        tracing::warn!(record = from, "the ledger is closed, but its mark is gone: it is written anew");
        let marker = Marker { by: "-".to_owned(), from };
        data_dir.mark_closed(&marker)?;
        return Ok(Some(Closing { marker, statement }));
    };
    if marker.from > next {
        if !is_lost {
            return Err(StartError::EndsBeforeItsEnd { from: marker.from, next });
        }
        tracing::error!(
            from = marker.from,
            next,
            "the ledger was closed, and the records before its end are lost with the journal: it ends here now"
        );
        let marker = Marker { from: next, ..marker };
        data_dir.mark_closed(&marker)?;
        return Ok(Some(Closing { marker, statement: None }));
    }
    let mut statement = journal.closed;
    if statement.is_none() && archived > marker.from {
        statement = closing::in_archive(&open()?, marker.from).map_err(|error| damaged(error.to_string()))?;
    }
    Ok(Some(Closing { marker, statement }))
}

/// Opens the store; of a bucket asks first whether it does what the archive relies on.
fn open_store(
    config: &Config,
    place: &Place,
    writer: &str,
    patience: &Arc<dyn Patience>,
) -> Result<(Arc<dyn Store>, Option<Probed>), StartError> {
    match (&config.archive.s3, &config.archive.retention, place) {
        (Some(settings), Some(retention), _) => {
            let store = S3Store::writer(settings.clone(), Arc::clone(patience), writer)?;
            let inspection = bucket::inspect(&store)?;
            inspection.check(settings, retention)?;
            // With the writer's rights not everything can be tried; what is seen to be wrong is enough.
            let checks = bucket::doctor(&store, Trials::Harmless)?;
            bucket::refuse(settings, &checks)?;
            for check in checks.iter().filter(|check| check.outcome == Outcome::Refuted) {
                tracing::warn!(check = check.name, what = %check.what, "the store does not do what the archive relies on");
            }
            Ok((Arc::new(store), Some(Probed { inspection, checks })))
        }
        (_, _, Place::Directory(path)) => {
            let settings = DirectorySettings { immutable: config.archive.immutable };
            Ok((Arc::new(DirectoryStore::writer(path, settings)?), None))
        }
        (_, _, Place::S3(_)) => Err(StoreError::new(
            ErrorKind::Misplaced,
            place.to_string(),
            "a bucket needs archive.retention.default: until when are objects to be locked",
        )
        .into()),
    }
}

fn open_archive(
    settings: Settings,
    data_dir: &DataDir,
    store: Arc<dyn Store>,
    vkey: &VerifyingKey,
    keyring: Arc<dyn Keyring>,
    now: Time,
) -> Result<Archive, StartError> {
    // The ledger exists already; its archive is made at the first start, and again only if nothing was ever archived.
    if store.len(tachograph_exporters::archive::paths::LEDGER)?.is_none() && store.list("")?.is_empty() {
        if data_dir.checkpoint()?.is_some() {
            return Err(StartError::ArchiveGone(store.place()));
        }
        Archive::create(&*store, vkey, now, settings.retention.as_ref())?;
    }
    if store.lock() != tachograph_ledger::Lock::None {
        refuse_a_store_that_overwrites(&*store)?;
    }
    Ok(Archive::recover_with(store, vkey.clone(), keyring, settings)?)
}

/// The fence rests on this: what is there is never created a second time. Tried on what is there anyway.
fn refuse_a_store_that_overwrites(store: &dyn Store) -> Result<(), StartError> {
    const LEDGER: &str = tachograph_exporters::archive::paths::LEDGER;
    // Behind a delete marker it would be created again, which S3 allows.
    let mut versions = store.versions(LEDGER)?.unwrap_or_default();
    versions.retain(|version| version.path == LEDGER);
    if let [_, .., front] = versions.as_slice() {
        let what =
            if front.is_delete_marker { "a delete marker hides it" } else { "another version is in front of it" };
        return Err(StoreError::new(
            ErrorKind::Misplaced,
            format!("{}{LEDGER}", store.place()),
            format!(
                "{what}. Find out who put that there; then remove it (aws s3api delete-object --version-id {})",
                front.id
            ),
        )
        .into());
    }
    let bytes = store.read(LEDGER, 1 << 16)?;
    match store.create(LEDGER, &bytes, None) {
        Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(StoreError::new(
            ErrorKind::Misplaced,
            format!("{}{LEDGER}", store.place()),
            "the store took a second object of one name, though it was told not to (If-None-Match): without that two collectors \
             would fork the ledger. `tachograph bucket doctor` shows what it can do; choose another store",
        )
        .into()),
    }
}

/// Whether the archive holds another record at `index` than the journal.
fn differs(archive: &Archive, journal: &Journal, index: u64) -> Result<bool, StartError> {
    let damaged = |what: String| StartError::Record { index, what };
    let archived = Reader::open(Arc::clone(archive.store()))
        .and_then(|reader| reader.leaf_hash(index))
        .map_err(|error| damaged(error.to_string()))?;
    let ours = journal.reader().leaf(index)?.map(|leaf| leaf_hash(&leaf));
    Ok(archived != ours)
}

/// Where the streams of the archived records stand. If that can't be read the generation is not gone on with: it stays without a
/// statement, and nothing else suffers.
fn archived_streams(archive: &Archive, data_dir: &DataDir) -> StreamTracker {
    // Never sealed from here: there is nothing to look for.
    if !data_dir.has_stream_key() {
        return StreamTracker::default();
    }
    let size = archive.tail().size;
    let found = TreeReader::open_behind(Arc::clone(archive.store()), size)
        .map_err(Into::into)
        .and_then(|tree| streams::resume(&tree, size));
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, "which streams are open can't be read from the archive: they stay without a statement");
        StreamTracker::in_the_middle()
    })
}

/// Whether this is the record of a start of the collector that found the ledger open. Those of the first releases don't say.
fn began_open(body: &[u8]) -> bool {
    let details =
        details_of(body, COLLECTOR_START).and_then(|details| serde_json::from_str::<serde_json::Value>(&details).ok());
    details.is_some_and(|details| details["closed"] == serde_json::Value::Bool(false))
}

/// Where the ledger ends.
struct End {
    prev: Hash,
    sealed_at: Time,
    /// The record of the journal that closes the ledger.
    closed: Option<u64>,
    /// Whether the journal shows that the ledger is open: by a record that is not the recorder's own, or by a start of the collector that
    /// says so.
    is_open: bool,
}

/// The key a second time, to go on with to later epochs.
fn copy(key: &MacKey) -> MacKey {
    MacKey::at(key.scheme(), key.epoch(), *key.expose())
}

const FOREIGN_MAC_KEY: &str =
    "its MAC is wrong: either the record is not the one that was sealed, or keys/mac.key is not this ledger's";

/// Whether the archive's last record was sealed with this key, where the journal has none to try it on. With another one nothing may be
/// sealed, and nothing published of what follows from it.
fn check_last_mac(archive: &Archive, vkey: &VerifyingKey, key: MacKey, size: u64) -> Result<(), StartError> {
    let Some(index) = size.checked_sub(1) else { return Ok(()) };
    let damaged = |what: String| StartError::Record { index, what };
    let found = Reader::open(Arc::clone(archive.store())).and_then(|reader| reader.mac(index));
    let (hash, mac) = found
        .map_err(|error| damaged(error.to_string()))?
        .ok_or_else(|| damaged("the archive holds no MAC of it".to_owned()))?;
    let key = key.evolve_to(epoch_of(index)).map_err(|error| StartError::MacKey(error.to_string()))?;
    key.verify(vkey.name(), index, &hash, &mac).map_err(|_| {
        StartError::MacKey(format!("record {index} in the archive: {FOREIGN_MAC_KEY}. Restore the key from a copy"))
    })
}

/// Reads the journal through: chain, bodies, MACs from the key's epoch on, duplicates. The newest record is always among those.
fn replay(
    journal: &Journal,
    dedup: &mut Dedup,
    vkey: &VerifyingKey,
    mut mac_key: MacKey,
    first: u64,
    tail: &Tail,
    streams: &mut StreamTracker,
) -> Result<End, StartError> {
    let (archived, last_hash) = (tail.size, tail.last_hash);
    let fenced = || StartError::Fenced { archived, writer: tail.writer.clone() };
    let mut end = End { prev: last_hash, sealed_at: Time::default(), closed: None, is_open: false };
    if journal.next_index().is_none() {
        return Ok(end);
    }
    let known = dedup.highest_index().map_or(0, |index| index + 1);
    let mut chain = ChainVerifier::resume(vkey, tail.edge.clone(), last_hash);
    let mut frames = journal.read_from(first)?;
    while let Some(frame) = frames.next_frame()? {
        for record in frame.records() {
            let index = record.index;
            let damaged = |what: String| StartError::Record { index, what };
            let hash = leaf_hash(record.leaf);
            // What is archived already was checked then; the last of it must be what the archive has.
            let leaf = if index < archived {
                if index + 1 == archived && hash != last_hash {
                    return Err(fenced());
                }
                Leaf::parse(record.leaf).map_err(|e| damaged(e.to_string()))?
            } else {
                // The journal is whole in itself: if its first record behind the archive does not follow, the archive went another way.
                let leaf = Leaf::parse(record.leaf).map_err(|e| damaged(e.to_string()))?;
                if index == archived && archived > 0 && leaf.prev != last_hash {
                    return Err(fenced());
                }
                let leaf = chain.push(index, record.leaf, &hash)?;
                if let Err(error) = streams.push(&leaf, &hash) {
                    tracing::error!(index, %error, "the streams of the journal are not what they must be; `tachograph verify` says more");
                    streams.lose();
                }
                leaf
            };
            // A key that was put back may be of an earlier epoch: what follows from it must fit.
            if epoch_of(index) > mac_key.epoch() {
                mac_key = mac_key.evolve_to(epoch_of(index)).map_err(|error| StartError::MacKey(error.to_string()))?;
            }
            if epoch_of(index) == mac_key.epoch() && mac_key.verify(vkey.name(), index, &hash, &record.mac).is_err() {
                return Err(damaged(FOREIGN_MAC_KEY.to_owned()));
            }
            if tachograph_ledger::sha256(record.body) != leaf.body_sha256 {
                return Err(damaged("its body is not the one that was sealed".to_owned()));
            }
            if leaf.producer != Some(RECORDER_PRODUCER) || began_open(record.body) {
                end.is_open = true;
            } else if end.closed.is_none() && closes(record.body, vkey.name()) {
                end.closed = Some(index);
            }
            if index >= known {
                let body = Body::parse_columns(record.body).map_err(|e| damaged(e.to_string()))?;
                dedup.insert(&body.record.event_id.0, &content_digest(record.body), index, leaf.sealed_at)?;
            }
            end.sealed_at = Time::from_unix_nanos(leaf.sealed_at).unwrap_or_default();
        }
        dedup.commit_staged();
        dedup.flush()?;
    }
    end.prev = chain.prev();
    Ok(end)
}
