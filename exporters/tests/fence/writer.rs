//! A collector around the archive's own code: it runs until it asks for something that it has no answer to.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use tachograph_exporters::archive::store::{Destroyed, ErrorKind, ReadAt, Removal, Store, StoreError, Upload};
use tachograph_exporters::archive::{Archive, ArchiveError, OneClass, Pushed, Row, Settings};
use tachograph_ledger::{Hash, MacKey, MacScheme, Sealer, SigningKey};

use crate::sample::{Ledger, MAC_KEY, Sample, key_of};
use crate::world::{Answer, Blob, Disk};

pub(crate) const NAMES: [&str; 2] = ["one", "two"];

static KEY: LazyLock<Arc<SigningKey>> = LazyLock::new(|| Arc::new(key_of("acme.example/test", 1)));

pub(crate) fn key() -> &'static Arc<SigningKey> {
    &KEY
}

/// What a writer asks of its store or of its disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    Read(Blob),
    List {
        prefix: Blob,
        after: Blob,
    },
    Create(Blob, Blob),
    /// Into the journal.
    Seal {
        index: u64,
        hash: Hash,
        prev: Hash,
    },
    /// All below this size is archived. `own` is the newest record, if it is this writer's.
    Acknowledge {
        own: Option<Hash>,
        rest: Rest,
    },
}

/// All that a process is when it is between two segments: with equal ones it goes on equally.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rest {
    pub(crate) size: u64,
    pub(crate) commit: Hash,
    /// What settling has found behind the end and left there.
    pub(crate) kept: Vec<String>,
    pub(crate) put_off: bool,
}

/// How a process goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Asks(Ask),
    /// It ends, and may be started again.
    Dies,
    /// It ends, and is told why each time it is started.
    Out,
    /// All is archived.
    Finishes,
}

/// What a writer does next that found `disk` when it began and got these answers since.
pub(crate) fn next(writer: usize, commits: u64, disk: &Disk, answers: &[Answer]) -> Next {
    let script = Script { answers: answers.into(), state: Arc::default() };
    let end = run(writer, commits, disk, &script).err().unwrap_or(Next::Finishes);
    let asked = script.state.lock().unwrap().asked.take();
    asked.map_or(end, Next::Asks)
}

/// The collector's `startup::open`, and then its archiver, with one record to a segment.
fn run(writer: usize, commits: u64, disk: &Disk, script: &Script) -> Result<(), Next> {
    let store: Arc<dyn Store> = Arc::new(script.clone());
    let settings = Settings { writer: NAMES[writer].to_owned(), ..Settings::undated(1) };
    let mut archive = Archive::recover(store, key().clone(), settings).map_err(end)?;
    let tail = archive.tail();
    if tail.size < disk.remembered {
        return Err(Next::Out);
    }
    let mut last = None;
    let mut next = tail.size;
    if let Some(journal) = disk.journal {
        let follows = match journal.next.checked_sub(tail.size) {
            Some(0) => journal.last == tail.last_hash,
            Some(1) => journal.prev == tail.last_hash,
            _ => false,
        };
        if !follows {
            return Err(Next::Out);
        }
        (next, last) = (journal.next, Some(journal.last));
    }
    let mut kept = archive.settle(next).map_err(end)?.kept;
    let mut told = None;
    loop {
        let size = archive.tail().size;
        if size > 0 && told != Some(size) {
            let settled = archive.settle(u64::MAX);
            match settled {
                Ok(settled) => kept.extend(settled.kept),
                Err(error) if error.is_retryable() => continue,
                Err(error) => return Err(end(error)),
            }
            let own = last.filter(|last| *last == archive.tail().last_hash);
            let commit = archive.tail().last_commit_sha256;
            let rest = Rest { size, commit, kept: std::mem::take(&mut kept), put_off: script.was_put_off() };
            script.ask(Ask::Acknowledge { own, rest }).map_err(|_| Next::Dies)?;
            told = Some(size);
        }
        if size == commits {
            return Ok(());
        }
        let sample = seal(writer, size, archive.tail().last_hash);
        if next == size {
            let (index, hash, prev) = (size, sample.hash, archive.tail().last_hash);
            script.ask(Ask::Seal { index, hash, prev }).map_err(|_| Next::Dies)?;
            (next, last) = (size + 1, Some(hash));
        }
        match append(&mut archive, &sample) {
            Ok(()) => {}
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(end(error)),
        }
    }
}

fn append(archive: &mut Archive, sample: &Sample) -> Result<(), ArchiveError> {
    let mut segment = archive.begin()?;
    let row = Row { index: sample.index, leaf: &sample.leaf, hash: &sample.hash, mac: &sample.mac, body: &sample.body };
    assert_eq!(segment.push(row, &OneClass)?, Pushed::Taken);
    archive.append(segment).map(drop)
}

fn end(error: ArchiveError) -> Next {
    match error {
        ArchiveError::Store(_) | ArchiveError::Segment(_) | ArchiveError::Stopped | ArchiveError::Fenced { .. } => {
            Next::Dies
        }
        _ => Next::Out,
    }
}

/// The record that a writer seals there: each its own.
fn seal(writer: usize, index: u64, prev: Hash) -> Sample {
    let mut ledger = Ledger::new();
    ledger.producer = false;
    ledger.sealer = Sealer::resume(&key().public(), index, prev, MacKey::initial(MacScheme::V2, MAC_KEY)).unwrap();
    ledger.generation(format!("said to {}", NAMES[writer]), "answer".to_owned(), |_| {})
}

/// A store that gives the answers that it was given, and remembers the first question that it has none for.
#[derive(Clone)]
struct Script {
    answers: Arc<[Answer]>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    at: usize,
    asked: Option<Ask>,
}

impl Script {
    fn ask(&self, ask: Ask) -> Result<Answer, StoreError> {
        let state = &mut *self.state.lock().unwrap();
        let answer = self.answers.get(state.at).copied();
        state.at += 1;
        let of = |kind| StoreError::new(kind, "the model", format!("{ask:?}"));
        match answer {
            None => {
                let suspended = of(ErrorKind::Unknown);
                state.asked.get_or_insert(ask);
                Err(suspended)
            }
            Some(Answer::Doubt) => Err(of(ErrorKind::Unknown)),
            Some(Answer::Later) => Err(of(ErrorKind::Unavailable)),
            Some(Answer::Exists) => Err(of(ErrorKind::AlreadyExists)),
            Some(Answer::Missing) => Err(of(ErrorKind::NotFound)),
            Some(answer) => Ok(answer),
        }
    }

    fn bytes(&self, path: &str) -> Result<Arc<[u8]>, StoreError> {
        match self.ask(Ask::Read(Blob::of(path.as_bytes())))? {
            Answer::Bytes(blob) => Ok(blob.bytes()),
            answer => panic!("{answer:?} is no object"),
        }
    }

    fn was_put_off(&self) -> bool {
        self.answers.contains(&Answer::Later)
    }
}

impl Store for Script {
    fn place(&self) -> String {
        "the model".to_owned()
    }

    fn begin(&self) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(Collected { script: self.clone(), bytes: Vec::new() }))
    }

    fn read(&self, path: &str, _limit: u64) -> Result<Vec<u8>, StoreError> {
        self.bytes(path).map(|bytes| bytes.to_vec())
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        self.bytes(path).map(|bytes| Arc::new(Whole(bytes)) as Arc<dyn ReadAt>)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.list_after(prefix, "")
    }

    fn list_after(&self, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let (prefix, after) = (Blob::of(prefix.as_bytes()), Blob::of(after.as_bytes()));
        match self.ask(Ask::List { prefix, after })? {
            Answer::Bytes(lines) => Ok(lines.text().lines().map(str::to_owned).collect()),
            answer => panic!("{answer:?} is no list"),
        }
    }

    fn len(&self, path: &str) -> Result<Option<u64>, StoreError> {
        match self.bytes(path) {
            Ok(bytes) => Ok(Some(bytes.len() as u64)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// As in a bucket.
    fn remove_orphan(&self, _path: &str) -> Result<Removal, StoreError> {
        Ok(Removal::Kept)
    }

    fn destroy(&self, path: &str) -> Result<Destroyed, StoreError> {
        panic!("{path} is destroyed")
    }

    fn create(&self, path: &str, bytes: &[u8], _until: Option<u64>) -> Result<(), StoreError> {
        self.ask(Ask::Create(Blob::of(path.as_bytes()), Blob::of(bytes))).map(drop)
    }
}

struct Collected {
    script: Script,
    bytes: Vec<u8>,
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for Collected {
    fn finish(self: Box<Self>, path: &str, until: Option<u64>) -> Result<(), StoreError> {
        self.script.create(path, &self.bytes, until)
    }
}

/// An object in memory.
pub(crate) struct Whole(pub(crate) Arc<[u8]>);

impl ReadAt for Whole {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        Ok(Bytes::copy_from_slice(&self.0[offset as usize..offset as usize + length]))
    }
}
