//! The store as S3's rules make it, and what each writer has on its own disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use tachograph_ledger::{Checkpoint, Commit, Hash, sha256};

use crate::writer::{Ask, Rest, key};

/// What a world leaves to be looked at: see [`World::evidence`].
type Evidence<'w> = (Vec<(&'w Blob, &'w Vec<Blob>)>, &'w BTreeSet<(u64, Hash)>);

/// How the store and whoever has rights in it behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    /// A write fails where an object is (`If-None-Match: *`).
    pub(crate) conditional: bool,
    /// Delete markers that somebody may put in front of commits.
    pub(crate) markers: u8,
    /// Commits that are to be made.
    pub(crate) commits: u64,
    /// Most crashes, doubts, lost replies and replacements together; `None` for any number.
    pub(crate) faults: Option<u8>,
    /// The search ends at so many worlds, the nearest to the beginning.
    pub(crate) worlds: usize,
}

/// Bytes, or a path, by number: equal ones have one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Blob(u32);

#[derive(Default)]
struct Blobs {
    numbers: HashMap<Arc<[u8]>, Blob>,
    bytes: Vec<Arc<[u8]>>,
}

static BLOBS: LazyLock<Mutex<Blobs>> = LazyLock::new(Mutex::default);

impl Blob {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut blobs = BLOBS.lock().unwrap();
        if let Some(known) = blobs.numbers.get(bytes) {
            return *known;
        }
        let (number, bytes) = (Self(blobs.bytes.len() as u32), Arc::<[u8]>::from(bytes));
        blobs.bytes.push(Arc::clone(&bytes));
        blobs.numbers.insert(bytes, number);
        number
    }

    pub(crate) fn bytes(self) -> Arc<[u8]> {
        Arc::clone(&BLOBS.lock().unwrap().bytes[self.0 as usize])
    }

    /// Of a path: whether it is one of a commit or of a checkpoint.
    pub(crate) fn is_note(self) -> bool {
        let bytes = self.bytes();
        bytes.starts_with(b"commit/") || bytes.starts_with(b"checkpoint/")
    }

    pub(crate) fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

/// Everything there is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// By path: all versions, the oldest first, and whether a delete marker is in front of them.
    pub(crate) objects: BTreeMap<Blob, (Vec<Blob>, bool)>,
    /// A write of a writer that died meanwhile, which may still arrive.
    pub(crate) in_flight: Option<(Blob, Blob)>,
    pub(crate) writers: [Writer; 2],
    pub(crate) markers: u8,
    /// How many faults may still come.
    pub(crate) faults: Option<u8>,
    /// Indexes and leaf hashes whose senders were told that they are archived.
    pub(crate) acknowledged: BTreeSet<(u64, Hash)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    pub(crate) disk: Disk,
    pub(crate) process: Process,
}

/// What a crash leaves of a collector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// End of the journal; `None` if nothing was ever sealed here.
    pub(crate) journal: Option<Journal>,
    /// Size under the remembered checkpoint.
    pub(crate) remembered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    pub(crate) next: u64,
    /// Hash of the newest record and of the one before it.
    pub(crate) last: Hash,
    pub(crate) prev: Hash,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Process {
    Down,
    Running(Running),
    /// Start-up or the fence sent it away for good.
    Out,
    Finished,
}

/// A process, by what it found on its disk and by the answers that it got.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Running {
    pub(crate) began_with: Disk,
    pub(crate) answers: Vec<Answer>,
    /// Whether the store has asked it once to come back later. It may do so again after a restart.
    pub(crate) put_off: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Done,
    Exists,
    Missing,
    /// An object, or the lines of a list.
    Bytes(Blob),
    /// It is not known whether the write took effect.
    Doubt,
    /// It did not; come back later.
    Later,
}

impl World {
    /// An empty archive, and two collectors that have never run.
    pub(crate) fn new(rules: Rules, identity: &[u8]) -> Self {
        let ledger = (Blob::of(b"ledger.json"), (vec![Blob::of(identity)], false));
        let writer = Writer { disk: Disk::default(), process: Process::Down };
        Self {
            objects: BTreeMap::from([ledger]),
            in_flight: None,
            writers: [writer.clone(), writer],
            markers: rules.markers,
            faults: rules.faults,
            acknowledged: BTreeSet::new(),
        }
    }

    /// The same after a fault, if one more may come.
    pub(crate) fn after_a_fault(&self) -> Option<Self> {
        let left = match self.faults {
            None => None,
            Some(left) => Some(left.checked_sub(1)?),
        };
        Some(Self { faults: left, ..self.clone() })
    }

    /// Whether a write there would be taken.
    pub(crate) fn takes(&self, path: Blob, rules: Rules) -> bool {
        !rules.conditional || self.objects.get(&path).is_none_or(|(_, hidden)| *hidden)
    }

    pub(crate) fn create(&mut self, path: Blob, bytes: Blob) {
        let (versions, hidden) = self.objects.entry(path).or_default();
        versions.push(bytes);
        *hidden = false;
    }

    /// What a reader is told. It lists versions and takes the oldest, as the archive's S3 store does.
    pub(crate) fn read(&self, ask: &Ask) -> Answer {
        match ask {
            Ask::Read(path) => {
                self.objects.get(path).map_or(Answer::Missing, |(versions, _)| Answer::Bytes(versions[0]))
            }
            Ask::List { prefix, after } => {
                let names = self.objects.keys().map(|path| path.text());
                let mut names: Vec<String> =
                    names.filter(|name| name.starts_with(&prefix.text()) && *name > after.text()).collect();
                names.sort_unstable();
                Answer::Bytes(Blob::of(names.join("\n").as_bytes()))
            }
            _ => unreachable!("not a question: {ask:?}"),
        }
    }

    /// Commits that somebody could hide.
    pub(crate) fn hideable(&self) -> Vec<Blob> {
        let is_commit = |path: &Blob| path.text().starts_with("commit/");
        self.objects.iter().filter(|(path, (_, hidden))| is_commit(path) && !hidden).map(|(path, _)| *path).collect()
    }

    /// All that [`broken`](Self::broken) looks at.
    pub(crate) fn evidence(&self) -> Evidence<'_> {
        let notes = self.objects.iter().filter(|(path, _)| path.is_note());
        (notes.map(|(path, (versions, _))| (path, versions)).collect(), &self.acknowledged)
    }

    /// What must never be.
    pub(crate) fn broken(&self) -> Option<String> {
        let mut commits = Vec::new();
        let mut checkpoints = Vec::new();
        for (path, (versions, _)) in &self.objects {
            if !path.is_note() {
                continue;
            }
            let name = path.text();
            let distinct: BTreeSet<&Blob> = versions.iter().collect();
            if distinct.len() > 1 {
                return Some(format!("FORK: {name} has {} contents", distinct.len()));
            }
            match name.starts_with("commit/") {
                true => commits.push((name, versions[0].bytes())),
                false => checkpoints.push((name, versions[0].bytes())),
            }
        }
        commits.sort_unstable();
        let mut before = Hash::from_bytes([0; 32]);
        let mut ends = BTreeMap::new();
        let mut next = 0;
        for (name, bytes) in &commits {
            let commit = Commit::open(bytes, &key().public()).unwrap();
            if commit.first != next || commit.prev_commit_sha256 != before {
                return Some(format!("FORK: {name} does not follow the commit before it"));
            }
            (next, before) = (commit.end(), sha256(bytes));
            ends.insert(commit.end(), (commit.root, commit.last_hash));
        }
        for (name, bytes) in &checkpoints {
            let checkpoint = Checkpoint::open(bytes, &key().public()).unwrap();
            if ends.get(&checkpoint.size).is_none_or(|(root, _)| *root != checkpoint.root) {
                return Some(format!("FORK: {name} signs what no commit says"));
            }
        }
        let lost = |(index, hash): &&(u64, Hash)| ends.get(&(index + 1)).is_none_or(|(_, last)| last != hash);
        self.acknowledged.iter().find(lost).map(|(index, _)| format!("LOST: record {index} was acknowledged"))
    }

    /// The disk's part of sealing and acknowledging.
    pub(crate) fn note(&mut self, writer: usize, ask: &Ask) {
        let disk = &mut self.writers[writer].disk;
        match ask {
            Ask::Seal { index, hash, prev } => {
                disk.journal = Some(Journal { next: index + 1, last: *hash, prev: *prev });
            }
            Ask::Acknowledge { own, rest: Rest { size, .. } } => {
                disk.remembered = *size;
                self.acknowledged.extend(own.map(|hash| (size - 1, hash)));
            }
            _ => unreachable!("not of the disk: {ask:?}"),
        }
    }
}
