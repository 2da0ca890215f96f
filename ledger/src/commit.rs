//! The commit: the signed statement of which objects hold records `first` to `first + count - 1`.
//!
//! Its note's text is [`HEADER`] and one line of JSON, `docs/format.md` section 6 has the members.
//!
//! Invariants, checked on both sides of the disk: one spelling; the objects hold as many rows as the commit has
//! records; edge and root are of one tree. Line 2 is never a number, so a commit can't be read as a checkpoint.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::hash::Hash;
use crate::keys::Keys;
use crate::name::{self, LedgerName, NameError};
use crate::note::{MAX_NOTE_BYTES, NoteError, SignError, Signer, parse_note, sign_note, sign_note_by};
use crate::tree::{Edge, ProofError};
use crate::{MAX_RECORDS, text};

mod json;

/// First line of every commit.
pub const HEADER: &str = "tachograph.dev/commit/v1";

/// Longest path of an object.
pub const MAX_PATH_BYTES: usize = 1_024;

/// Longest retention class.
pub const MAX_CLASS_BYTES: usize = 64;

/// Longest name of a writer.
pub const MAX_WRITER_BYTES: usize = 128;

/// Latest date of retention, in seconds since 1970: the end of nanosecond times (2^63 ns).
pub const MAX_RETAIN_UNTIL: u64 = i64::MAX as u64 / 1_000_000_000;

/// Which objects hold which records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The ledger's name.
    pub ledger: LedgerName,
    /// Index of the first record.
    pub first: u64,
    /// Number of records, at least 1.
    pub count: u64,
    /// Edge of the tree of `first + count` leaves, largest subtree first.
    pub edge: Vec<Hash>,
    /// Hash of the last of the records.
    pub last_hash: Hash,
    /// The objects, in the order in which they are written.
    pub objects: Vec<Object>,
    /// SHA-256 of the whole commit file before; zeros for the first.
    pub prev_commit_sha256: Hash,
    /// Root of the tree of `first + count` leaves.
    pub root: Hash,
    /// How long it is kept, and who wrote it; in format version 2, and `None` in version 1.
    pub terms: Option<Terms>,
}

/// What a commit of format version 2 promises of its objects, and who promises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How the store holds the objects, this commit and its checkpoint.
    pub lock: Lock,
    /// Seconds since 1970 until which this commit and its checkpoint are kept. No object is kept longer.
    pub retain_until: u64,
    /// The instance that wrote it: `[A-Za-z0-9._:-]{1,128}`. A fenced writer names it.
    pub writer: String,
}

/// How a store holds an object until its date, the weaker before the stronger: what holds in a stronger mode holds in a weaker one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// It does not: a directory.
    None,
    /// S3 Object Lock in governance mode: who has the right can lift it.
    Governance,
    /// S3 Object Lock in compliance mode: nobody can lift it.
    Compliance,
}

impl Lock {
    /// The word in a commit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }

    /// The lock of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Governance, Self::Compliance].into_iter().find(|lock| lock.as_str() == word)
    }
}

/// One object of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it holds.
    pub kind: ObjectKind,
    /// Path relative to the archive, with `/` between its parts.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
    /// Number of its bytes.
    pub size: u64,
    /// Seconds since 1970 until which it is kept at least: in every object of format version 2, in none of version 1.
    pub retain_until: Option<u64>,
}

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// Leaves, hashes and MACs of all the commit's records.
    Leaves,
    /// Bodies and typed columns of the records of one retention class.
    Records {
        /// The class: `[A-Za-z0-9._-]{1,64}`.
        class: String,
    },
}

/// Why bytes are no commit, or not one of this key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No signed note, or not signed by the key.
    #[error("the commit is not good: {0}")]
    Note(#[from] NoteError),
    /// Other lines than two, or another first one.
    #[error("the commit's text is not the line `{HEADER}` and one line of JSON: another format, or a newer release's")]
    Header,
    /// The second line is not this JSON object.
    #[error("the commit's JSON is wrong: {what}")]
    Json {
        /// What the JSON parser says.
        what: String,
    },
    /// A format that this release does not read.
    #[error("the commit's format version is `{found}`, not `1`: read it with a newer release")]
    Version {
        /// Version found.
        found: String,
    },
    /// The same members in another spelling or order.
    #[error("the commit's JSON is not in its one spelling (sorted keys, no white space, no escapes)")]
    Spelling,
    /// A member's value is in no good form.
    #[error("the commit's `{member}` is wrong: {expected} expected")]
    Value {
        /// Which member.
        member: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
    /// The ledger's name is none.
    #[error("the commit's ledger name is wrong: {0}")]
    Name(#[from] NameError),
    /// Edge and root are not of one tree of `first + count` leaves.
    #[error("the commit's edge and root do not fit: {0}")]
    Tree(#[from] ProofError),
    /// `last_hash` is not the last leaf of the edge.
    #[error("the commit's last_hash is not the last leaf of its edge")]
    LastHash,
    /// The objects' rows are not as many as the records.
    #[error("the commit has {count} records, but its {kind} objects have {rows} rows")]
    Rows {
        /// `leaves` or `records`.
        kind: &'static str,
        /// Records of the commit.
        count: u64,
        /// Rows of those objects (2^64 - 1 if the sum overflows).
        rows: u64,
    },
    /// One leaves object is needed, and one records object a class.
    #[error("the commit's objects are wrong: {what}")]
    Objects {
        /// What is wrong with them.
        what: &'static str,
    },
    /// A commit of one ledger, signed by the key of another.
    #[error("the commit is of ledger `{found}`, the key of `{expected}`")]
    OtherLedger {
        /// Ledger in the commit.
        found: LedgerName,
        /// Name of the key.
        expected: LedgerName,
    },
    /// Longer than a note may be.
    #[error("the commit has {bytes} bytes, the limit is {MAX_NOTE_BYTES}: name fewer objects")]
    TooLong {
        /// Bytes of its text.
        bytes: usize,
    },
}

impl Commit {
    /// The signed note, as [`sign_note`] makes it.
    ///
    /// # Errors
    /// If it can't be signed.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails or the key is of another ledger: the archiver that calls this made
    /// every value itself, so either is a defect that must not reach the archive.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, SignError> {
        assert_eq!(&self.ledger, signer.public().name(), "a ledger signs with its own key");
        if let Err(error) = self.check() {
            panic!("a commit that can't be read back is never signed: {error}");
        }
        sign_note(&self.text(), signer)
    }

    /// The same, signed by each of `signers`.
    ///
    /// # Errors
    /// If one of them can't sign.
    ///
    /// # Panics
    /// As [`sign`](Self::sign), and if there is none.
    pub fn sign_by(&self, signers: &[Arc<dyn Signer>]) -> Result<String, SignError> {
        assert!(
            signers.iter().all(|signer| *signer.public().name() == self.ledger),
            "a ledger signs with its own keys"
        );
        if let Err(error) = self.check() {
            panic!("a commit that can't be read back is never signed: {error}");
        }
        sign_note_by(&self.text(), signers)
    }

    /// Verifies the signatures that `keys` ask for and takes the commit apart.
    pub fn open<K: Keys + ?Sized>(bytes: &[u8], keys: &K) -> Result<Self, CommitError> {
        let note = parse_note(bytes)?;
        let commit = Self::from_text(note.text());
        // Of a text that is none it is still worth knowing that the ledger did not sign it.
        keys.check(&note, commit.as_ref().map_or(u64::MAX, Self::end))?;
        let commit = commit?;
        if &commit.ledger != keys.ledger() {
            return Err(CommitError::OtherLedger { found: commit.ledger, expected: keys.ledger().clone() });
        }
        Ok(commit)
    }

    /// Takes a commit apart without looking at signatures: only to say what a bad one claims.
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, CommitError> {
        Self::from_text(parse_note(bytes)?.text())
    }

    /// Number of records in the ledger once this commit exists: `first + count`.
    ///
    /// Saturates; a commit that passed [`check`](Self::check) is far below.
    pub const fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }

    /// The tree after this commit, to append to.
    pub fn tree(&self) -> Result<Edge, ProofError> {
        Edge::from_parts(self.end(), self.edge.clone())
    }

    /// Checks all that a commit says about itself.
    pub fn check(&self) -> Result<(), CommitError> {
        if self.count == 0 {
            return Err(value("count", "at least 1"));
        }
        if self.first > MAX_RECORDS || self.count > MAX_RECORDS {
            return Err(ProofError::TooLarge { size: self.end() }.into());
        }
        self.check_tree()?;
        self.check_objects()?;
        self.check_terms()?;
        // Room for the signature that will be added.
        let bytes = self.text().len();
        if bytes > MAX_NOTE_BYTES - 1_024 {
            return Err(CommitError::TooLong { bytes });
        }
        Ok(())
    }

    fn check_tree(&self) -> Result<(), CommitError> {
        let computed = self.tree()?.root();
        if computed != self.root {
            return Err(ProofError::RootMismatch { computed, expected: self.root }.into());
        }
        // In a tree of odd size the last leaf is a subtree of its own.
        if self.end() % 2 == 1 && self.edge.last() != Some(&self.last_hash) {
            return Err(CommitError::LastHash);
        }
        Ok(())
    }

    fn check_objects(&self) -> Result<(), CommitError> {
        let (mut leaves, mut leaf_rows, mut record_rows) = (0, 0u64, 0u64);
        let mut classes = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for object in &self.objects {
            if !is_path(&object.path) {
                return Err(value("path", "a relative path of printable ASCII without `..`"));
            }
            if !paths.insert(&object.path) {
                return Err(CommitError::Objects { what: "two have one path" });
            }
            match &object.kind {
                ObjectKind::Leaves => {
                    leaves += 1;
                    leaf_rows = leaf_rows.saturating_add(object.rows);
                }
                ObjectKind::Records { class } => {
                    if !is_class(class) {
                        return Err(value("class", "1 to 64 of A-Z a-z 0-9 . _ -"));
                    }
                    if !classes.insert(class) {
                        return Err(CommitError::Objects { what: "two are of one class" });
                    }
                    record_rows = record_rows.saturating_add(object.rows);
                }
            }
        }
        if leaves != 1 {
            return Err(CommitError::Objects { what: "exactly one has the type `leaves`" });
        }
        for (kind, rows) in [("leaves", leaf_rows), ("records", record_rows)] {
            if rows != self.count {
                return Err(CommitError::Rows { kind, count: self.count, rows });
            }
        }
        Ok(())
    }

    fn check_terms(&self) -> Result<(), CommitError> {
        let Some(terms) = &self.terms else {
            return match self.objects.iter().any(|object| object.retain_until.is_some()) {
                true => Err(value("retain_until", "no date in format version 1")),
                false => Ok(()),
            };
        };
        if !is_writer(&terms.writer) {
            return Err(value("writer", "1 to 128 of A-Z a-z 0-9 . _ : -"));
        }
        // What proves a record outlives it.
        let kept = |object: &Object| object.retain_until.is_some_and(|until| until <= terms.retain_until);
        if terms.retain_until > MAX_RETAIN_UNTIL || !self.objects.iter().all(kept) {
            return Err(value(
                "retain_until",
                "a date for each object, none later than the commit's own, before the year 2263",
            ));
        }
        Ok(())
    }

    fn text(&self) -> String {
        format!("{HEADER}\n{}\n", json::encode(self))
    }

    fn from_text(note_text: &str) -> Result<Self, CommitError> {
        let mut lines = note_text.split_terminator('\n');
        let (Some(HEADER), Some(line), None) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CommitError::Header);
        };
        let commit = json::decode(line)?;
        if json::encode(&commit) != line {
            return Err(CommitError::Spelling);
        }
        commit.check()?;
        Ok(commit)
    }
}

/// Whether `text` may be a retention class: `[A-Za-z0-9._-]{1,64}`.
pub fn is_class(text: &str) -> bool {
    (1..=MAX_CLASS_BYTES).contains(&text.len()) && name::check(text).is_ok() && !text.contains('/')
}

/// Whether `text` may name a writer: `[A-Za-z0-9._:-]{1,128}`.
pub fn is_writer(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=MAX_WRITER_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether `text` is a path that stays inside the archive: relative, parts neither empty nor `.` nor `..`.
fn is_path(text: &str) -> bool {
    text.len() <= MAX_PATH_BYTES && text::is_plain(text) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

const fn value(member: &'static str, expected: &'static str) -> CommitError {
    CommitError::Value { member, expected }
}

#[cfg(test)]
mod tests;
