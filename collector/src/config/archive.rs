//! What may stand below `archive` in the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tachograph_exporters::archive::store::s3::{Encryption, S3Settings, S3Url};
use tachograph_exporters::archive::{DEFAULT_CLASS, MAX_CLASSES, RECORDER_CLASS, Retention};
use tachograph_ledger::Lock;
use tachograph_ledger::commit::is_class;

use super::quantity::{Size, Span};
use super::{Archive, Durability};
use crate::retention::Class;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How much longer than any record its proofs are kept, unless configured.
const PROOFS_BEYOND: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest that S3 takes: 100 years.
const LONGEST_KEEP: Duration = Duration::from_secs(36_500 * 24 * 3600);
/// News is under a checkpoint after this, as long as the budget of objects allows.
const DEFAULT_AGE: Duration = Duration::from_secs(5);
const DEFAULT_OBJECTS_PER_DAY: u64 = 20_000;
/// With durability `archive`, where senders wait for every segment: one a second, in eight classes.
const DEFAULT_OBJECTS_PER_DAY_AWAITED: u64 = 1_000_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ArchiveFile {
    path: Option<PathBuf>,
    s3: Option<S3File>,
    max_age: Option<Span>,
    max_records: Option<u64>,
    max_bytes: Option<Size>,
    compression_level: Option<i32>,
    immutable: bool,
    retention: Option<RetentionFile>,
    max_objects_per_day: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct S3File {
    bucket: String,
    prefix: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    path_style: Option<bool>,
    mode: ModeFile,
    encryption: Option<EncryptionFile>,
    kms_key: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ModeFile {
    Compliance,
    Governance,
}

#[derive(Deserialize)]
enum EncryptionFile {
    #[serde(rename = "sse-s3")]
    SseS3,
    #[serde(rename = "sse-kms")]
    SseKms,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionFile {
    default: Span,
    proofs: Option<Span>,
    #[serde(default)]
    classes: Vec<ClassFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassFile {
    name: String,
    when: String,
    keep: Span,
}

impl ArchiveFile {
    pub(super) fn check(self, data: &Path, durability: Durability, problems: &mut Vec<String>) -> Archive {
        if self.path.is_some() && self.s3.is_some() {
            problems.push("archive.path and archive.s3 exclude each other; keep one".to_owned());
        }
        if self.s3.is_some() && self.immutable {
            problems.push("archive.immutable is for a directory; in a bucket archive.s3.mode locks objects".to_owned());
        }
        let lock = self.s3.as_ref().map_or(Lock::None, |s3| match s3.mode {
            ModeFile::Compliance => Lock::Compliance,
            ModeFile::Governance => Lock::Governance,
        });
        if self.s3.is_some() && self.retention.is_none() {
            problems.push(
                "archive.s3 needs archive.retention.default: until when are objects to be locked, for example 730d"
                    .to_owned(),
            );
        }
        let (retention, classes) = self.retention.map(|file| file.check(lock, problems)).unzip();
        let (default_age, default_objects) = match durability {
            Durability::Wal => (DEFAULT_AGE, DEFAULT_OBJECTS_PER_DAY),
            Durability::Archive => (Duration::from_secs(1), DEFAULT_OBJECTS_PER_DAY_AWAITED),
        };
        let archive = Archive {
            path: self.path,
            max_age: self.max_age.map_or(default_age, |span| span.0),
            max_records: self.max_records.unwrap_or(u64::MAX),
            max_bytes: self.max_bytes.map_or(256 << 20, |size| size.0),
            compression_level: self.compression_level.unwrap_or(2),
            immutable: self.immutable,
            s3: self.s3.map(|s3| s3.check(lock, data, problems)),
            retention,
            classes: classes.unwrap_or_default(),
            max_objects_per_day: self.max_objects_per_day.unwrap_or(default_objects),
        };
        if archive.max_age.is_zero() {
            problems.push("archive.max_age is 0; the least is 1ms".to_owned());
        }
        if archive.max_records == 0 {
            problems.push("archive.max_records is 0; the least is 1".to_owned());
        }
        if !(1 << 20..=4 << 30).contains(&archive.max_bytes) {
            problems.push(format!("archive.max_bytes is {}; it must lie between 1MiB and 4GiB", archive.max_bytes));
        }
        if !(1..=19).contains(&archive.compression_level) {
            problems.push(format!(
                "archive.compression_level is {}; it must lie between 1 and 19",
                archive.compression_level
            ));
        }
        if archive.max_objects_per_day < 100 {
            problems.push(format!("archive.max_objects_per_day is {}; the least is 100", archive.max_objects_per_day));
        }
        archive
    }
}

impl S3File {
    fn check(self, lock: Lock, data: &Path, problems: &mut Vec<String>) -> S3Settings {
        let mut url = format!("s3://{}/{}", self.bucket, self.prefix.unwrap_or_default());
        let mut mark = '?';
        for (name, value) in [("endpoint", &self.endpoint), ("region", &self.region)] {
            if let Some(value) = value {
                url.push_str(&format!("{mark}{name}={value}"));
                mark = '&';
            }
        }
        let encryption = match (self.encryption, self.kms_key) {
            (None, None) => Encryption::Default,
            (Some(EncryptionFile::SseS3), None) => Encryption::SseS3,
            (Some(EncryptionFile::SseS3), Some(_)) => {
                problems.push("archive.s3.kms_key goes with encryption: sse-kms".to_owned());
                Encryption::SseS3
            }
            (_, key) => Encryption::SseKms(key),
        };
        let spool = data.join("spool");
        match url.parse::<S3Url>() {
            Ok(url) => S3Settings { lock, encryption, spool, path_style: self.path_style, ..S3Settings::of_url(&url) },
            Err(error) => {
                problems.push(format!("archive.s3: {error}"));
                let url = S3Url {
                    bucket: self.bucket,
                    prefix: String::new(),
                    endpoint: None,
                    region: None,
                    path_style: None,
                };
                S3Settings { lock, encryption, spool, ..S3Settings::of_url(&url) }
            }
        }
    }
}

impl RetentionFile {
    fn check(self, lock: Lock, problems: &mut Vec<String>) -> (Retention, Vec<Class>) {
        let mut classes: Vec<Class> = Vec::new();
        let mut keeps = Vec::new();
        for (at, class) in self.classes.into_iter().enumerate() {
            let name = class.name;
            if !is_class(&name) || name == DEFAULT_CLASS || name == RECORDER_CLASS {
                problems.push(format!(
                    "archive.retention.classes[{at}].name `{name}`: 1 to 64 of A-Z a-z 0-9 . _ - are needed, and {DEFAULT_CLASS} and {RECORDER_CLASS} are taken"
                ));
            } else if classes.iter().any(|other| other.name == name) {
                problems.push(format!("archive.retention.classes: there are two of name `{name}`"));
            }
            match Class::new(&name, &class.when) {
                Ok(class) => classes.push(class),
                Err(error) => problems.push(format!("archive.retention.classes[{at}] ({name}).when: {error}")),
            }
            keeps.push((name, class.keep.0));
        }
        if keeps.len() > MAX_CLASSES - 2 {
            problems.push(format!(
                "archive.retention.classes has {} classes; at most {}",
                keeps.len(),
                MAX_CLASSES - 2
            ));
        }
        let default = self.default.0;
        let longest = keeps.iter().map(|(_, keep)| *keep).chain([default]).max().unwrap_or(DAY);
        let proofs = self.proofs.map_or(longest.saturating_add(PROOFS_BEYOND), |span| span.0);
        if proofs < longest {
            problems.push(
                "archive.retention.proofs is shorter than a class: what proves a record must outlive it".to_owned(),
            );
        }
        let all = keeps.iter().map(|(name, keep)| (format!("class {name}"), *keep));
        for (what, keep) in all.chain([("default".to_owned(), default), ("proofs".to_owned(), proofs)]) {
            if keep < Duration::from_secs(1) || keep > LONGEST_KEEP {
                problems.push(format!("archive.retention, {what}: it must lie between 1s and 36500d"));
            }
        }
        (Retention { lock, default, classes: keeps, proofs }, classes)
    }
}
