//! The commit's line of JSON: sorted keys, no white space, every scalar a string without escapes.
//!
//! Writing is by hand, so that the bytes are plain to see; reading is by serde, and the caller compares what it
//! read, written again, with what it was given.

use serde::Deserialize;

use super::{Commit, CommitError, Lock, Object, ObjectKind, Terms, value};
use crate::hash::Hash;
use crate::name::LedgerName;
use crate::text;

const DECIMAL: &str = "a decimal number below 2^64";
const HASH: &str = "64 lowercase hex digits";

/// Writes the line. The values need no escape once [`Commit::check`] passed.
pub(super) fn encode(commit: &Commit) -> String {
    let edge: Vec<_> = commit.edge.iter().map(|hash| format!("\"{hash}\"")).collect();
    let objects: Vec<_> = commit.objects.iter().map(encode_object).collect();
    let (mut lock, mut retain_until, mut end) = (String::new(), String::new(), r#""v":"1""#.to_owned());
    if let Some(terms) = &commit.terms {
        lock = format!(r#""lock":"{}","#, terms.lock.as_str());
        retain_until = format!(r#""retain_until":"{}","#, terms.retain_until);
        end = format!(r#""v":"2","writer":"{}""#, terms.writer);
    }
    format!(
        r#"{{"count":"{}","edge":[{}],"first":"{}","last_hash":"{}","ledger":"{}",{lock}"objects":[{}],"prev_commit_sha256":"{}",{retain_until}"root":"{}",{end}}}"#,
        commit.count,
        edge.join(","),
        commit.first,
        commit.last_hash,
        commit.ledger,
        objects.join(","),
        commit.prev_commit_sha256,
        commit.root,
    )
}

fn encode_object(object: &Object) -> String {
    let (class, kind) = match &object.kind {
        ObjectKind::Leaves => (String::new(), "leaves"),
        ObjectKind::Records { class } => (format!(r#""class":"{class}","#), "records"),
    };
    let retain_until = object.retain_until.map_or(String::new(), |until| format!(r#""retain_until":"{until}","#));
    format!(
        r#"{{{class}"path":"{}",{retain_until}"rows":"{}","sha256":"{}","size":"{}","type":"{kind}"}}"#,
        object.path, object.rows, object.sha256, object.size,
    )
}

/// Reads the line. Takes any order and white space.
pub(super) fn decode(line: &str) -> Result<Commit, CommitError> {
    let file: CommitFile = serde_json::from_str(line).map_err(|error| CommitError::Json { what: error.to_string() })?;
    let terms = match (file.v.as_str(), file.lock, file.retain_until, file.writer) {
        ("1", None, None, None) => None,
        ("2", Some(lock), Some(retain_until), Some(writer)) => Some(Terms {
            lock: Lock::parse(&lock).ok_or(value("lock", "`none`, `governance` or `compliance`"))?,
            retain_until: decimal("retain_until", &retain_until)?,
            writer,
        }),
        ("1" | "2", ..) => return Err(value("v", "`2` with lock, retain_until and writer, or `1` without them")),
        _ => return Err(CommitError::Version { found: file.v }),
    };
    Ok(Commit {
        ledger: LedgerName::parse(&file.ledger)?,
        first: decimal("first", &file.first)?,
        count: decimal("count", &file.count)?,
        edge: file.edge.iter().map(|text| hash("edge", text)).collect::<Result<_, _>>()?,
        last_hash: hash("last_hash", &file.last_hash)?,
        objects: file.objects.into_iter().map(decode_object).collect::<Result<_, _>>()?,
        prev_commit_sha256: hash("prev_commit_sha256", &file.prev_commit_sha256)?,
        root: hash("root", &file.root)?,
        terms,
    })
}

fn decode_object(file: ObjectFile) -> Result<Object, CommitError> {
    let kind = match (file.kind.as_str(), file.class) {
        ("leaves", None) => ObjectKind::Leaves,
        ("records", Some(class)) => ObjectKind::Records { class },
        _ => {
            return Err(value("type", "`leaves` without a class, or `records` with one"));
        }
    };
    Ok(Object {
        kind,
        rows: decimal("rows", &file.rows)?,
        sha256: hash("sha256", &file.sha256)?,
        size: decimal("size", &file.size)?,
        retain_until: file.retain_until.map(|digits| decimal("retain_until", &digits)).transpose()?,
        path: file.path,
    })
}

fn decimal(member: &'static str, digits: &str) -> Result<u64, CommitError> {
    text::parse_decimal(digits).ok_or(value(member, DECIMAL))
}

fn hash(member: &'static str, digits: &str) -> Result<Hash, CommitError> {
    Hash::from_hex(digits).ok_or(value(member, HASH))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitFile {
    count: String,
    edge: Vec<String>,
    first: String,
    last_hash: String,
    ledger: String,
    lock: Option<String>,
    objects: Vec<ObjectFile>,
    prev_commit_sha256: String,
    retain_until: Option<String>,
    root: String,
    v: String,
    writer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectFile {
    class: Option<String>,
    path: String,
    retain_until: Option<String>,
    rows: String,
    sha256: String,
    size: String,
    #[serde(rename = "type")]
    kind: String,
}
