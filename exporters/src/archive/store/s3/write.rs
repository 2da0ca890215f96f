//! One object on its way into the bucket.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ObjectLockMode, ServerSideEncryption};
use aws_smithy_types::DateTime;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tachograph_ledger::Lock;
use tempfile::NamedTempFile;

use super::client::Connection;
use super::error::{Asked, Failure, failure, no_answer};
use super::upload::Moving;
use super::{Encryption, Requests, S3Settings};
use crate::archive::paths;
use crate::archive::store::{ErrorKind, StoreError, Upload, check_path, shown_date};

/// What is smaller stays in memory: commits and checkpoints, which are many and small.
const MAX_IN_MEMORY: usize = 256 << 10;
/// The most that one PutObject takes. Beyond it there are only uploads in parts, whose SHA-256 is not the file's.
const MAX_OBJECT_BYTES: u64 = 5 << 30;

const SPOOL_PREFIX: &str = "upload-";

/// Makes the spool, and removes from it what a crash left there.
pub(super) fn clear_spool(spool: &Path) -> Result<(), StoreError> {
    let of_io = |action: &str, error: &io::Error| StoreError::of_io(spool.display().to_string(), action, error);
    fs::create_dir_all(spool).map_err(|error| of_io("create", &error))?;
    for entry in fs::read_dir(spool).map_err(|error| of_io("list", &error))? {
        let entry = entry.map_err(|error| of_io("list", &error))?;
        if entry.file_name().to_string_lossy().starts_with(SPOOL_PREFIX) {
            fs::remove_file(entry.path()).map_err(|error| of_io("clear", &error))?;
        }
    }
    Ok(())
}

/// Bytes that wait for their name.
enum Spool {
    Memory(Vec<u8>),
    File(NamedTempFile),
}

/// An upload: it collects, and sends when its name is known.
pub(super) struct S3Upload {
    requests: Arc<Requests>,
    spool: Spool,
    hasher: Sha256,
    size: u64,
}

impl S3Upload {
    pub(super) fn new(requests: Arc<Requests>) -> Self {
        Self { requests, spool: Spool::Memory(Vec::new()), hasher: Sha256::new(), size: 0 }
    }
}

impl Write for S3Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Spool::Memory(memory) = &mut self.spool {
            if memory.len() + bytes.len() <= MAX_IN_MEMORY {
                memory.extend_from_slice(bytes);
            } else {
                let spool = &self.requests.settings.spool;
                let named = tempfile::Builder::new().prefix(SPOOL_PREFIX).tempfile_in(spool).and_then(|mut file| {
                    file.write_all(memory)?;
                    Ok(file)
                });
                self.spool = Spool::File(named.map_err(|error| of_spool(spool, &error))?);
            }
        }
        let written = match &mut self.spool {
            Spool::Memory(_) => bytes.len(),
            Spool::File(file) => file.write(bytes).map_err(|error| of_spool(&self.requests.settings.spool, &error))?,
        };
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn of_spool(spool: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), StoreError::of_io(spool.display().to_string(), "write", error))
}

impl Upload for S3Upload {
    fn finish(self: Box<Self>, path: &str, until: Option<u64>) -> Result<(), StoreError> {
        check_path(path)?;
        let requests = &self.requests;
        let Some(writer) = &requests.writer else {
            return Err(StoreError::new(ErrorKind::Denied, requests.settings.place(), "opened for reading only"));
        };
        let place = format!("{}{path}", requests.settings.place());
        if self.size > MAX_OBJECT_BYTES {
            let what = format!(
                "{} bytes; the most that S3 takes in one piece is {MAX_OBJECT_BYTES}: make segments smaller (archive.max_bytes)",
                self.size
            );
            return Err(StoreError::new(ErrorKind::TooLarge, place, what));
        }
        let object = Object {
            key: format!("{}{path}", requests.settings.prefix),
            content_type: content_type(path),
            sha256: STANDARD.encode(self.hasher.finalize()),
            size: self.size,
            until: until.filter(|_| requests.settings.lock != Lock::None),
            writer: writer.clone(),
        };
        put(requests, &object, &self.spool)
    }
}

/// What is sent beside the bytes.
#[derive(Clone)]
struct Object {
    key: String,
    content_type: &'static str,
    /// In base64.
    sha256: String,
    size: u64,
    until: Option<u64>,
    writer: String,
}

fn content_type(path: &str) -> &'static str {
    match path {
        paths::LEDGER => "application/json",
        _ if path.ends_with(".parquet") => "application/vnd.apache.parquet",
        _ if path.ends_with(".tsr") => "application/timestamp-reply",
        _ => "text/plain; charset=utf-8",
    }
}

fn put(requests: &Requests, object: &Object, spool: &Spool) -> Result<(), StoreError> {
    let bytes = match spool {
        Spool::Memory(bytes) => Body::Memory(bytes.clone().into()),
        Spool::File(file) => Body::File(Arc::from(file.path())),
    };
    let sent = requests.ask(|client| {
        let (settings, object, bytes) = (requests.settings.clone(), object.clone(), bytes.clone());
        let silence = requests.connection.silence();
        async move {
            let action = if object.until.is_some() { "s3:PutObject or s3:PutObjectRetention" } else { "s3:PutObject" };
            let asked = Asked { action, key: &object.key };
            let (algorithm, kms_key) = encryption(&settings.encryption);
            let put = client
                .put_object()
                .bucket(&settings.bucket)
                .key(&object.key)
                .if_none_match("*")
                .content_type(object.content_type)
                .content_length(i64::try_from(object.size).unwrap_or(i64::MAX))
                // AWS takes the checksum alone; some stores ask for its name too.
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_sha256(&object.sha256)
                .metadata("tachograph-writer", &object.writer)
                .set_server_side_encryption(algorithm)
                .set_ssekms_key_id(kms_key)
                .set_object_lock_mode(object.until.and(mode(settings.lock)))
                .set_object_lock_retain_until_date(object.until.map(date));
            let answer = match bytes {
                Body::Memory(bytes) => put.body(ByteStream::from(bytes)).send().await,
                Body::File(path) => {
                    let (body, moving) = Moving::watch(read(&path, &settings).await?.into_inner());
                    let put = put.body(ByteStream::new(body)).customize().config_override(Connection::unhurried());
                    let sent = moving.limit(silence, put.send()).await;
                    sent.ok_or_else(|| no_answer(&settings, asked, "no byte moved"))?
                }
            };
            let answer = answer.map_err(|error| failure(&settings, asked, &error))?;
            Ok(answer.version_id().map(str::to_owned))
        }
    });
    match sent {
        Ok(version) => confirm(requests, object, version),
        // Ours, if the reply to an earlier attempt got lost. Whose else, or how else it is held, the caller reads back.
        Err(failure) if failure.error.kind == ErrorKind::AlreadyExists && failure.in_doubt => {
            let head = requests.head_version(&object.key, None).map_err(|failure| in_doubt(failure, true))?;
            if head.sha256.as_deref() == Some(&object.sha256) && check(requests, object, &head).is_ok() {
                return Ok(());
            }
            Err(failure.error)
        }
        Err(failure) => {
            let doubt = failure.in_doubt;
            Err(in_doubt(failure, doubt))
        }
    }
}

/// A version that can't be named is one that can't be locked.
fn confirm(requests: &Requests, object: &Object, version: Option<String>) -> Result<(), StoreError> {
    if version.is_none() && object.until.is_some() {
        return Err(not_kept(
            requests,
            object,
            "gave it no version: the bucket has no versioning, so nothing is locked in it",
        ));
    }
    let head = requests.head_version(&object.key, version).map_err(|failure| {
        let doubt = failure.retry;
        in_doubt(failure, doubt)
    })?;
    check(requests, object, &head)
}

/// The store must hold just what was sent, as it was told to.
fn check(requests: &Requests, object: &Object, head: &super::Head) -> Result<(), StoreError> {
    if head.size != object.size {
        return Err(not_kept(requests, object, format!("has {} bytes of it, {} were sent", head.size, object.size)));
    }
    match &head.sha256 {
        Some(sha256) if *sha256 == object.sha256 => {}
        Some(sha256) => {
            return Err(not_kept(requests, object, format!("has SHA-256 {sha256}, {} was sent", object.sha256)));
        }
        None => return Err(not_kept(requests, object, "keeps no SHA-256 of it")),
    }
    let Some(until) = object.until else { return Ok(()) };
    let lock = requests.settings.lock;
    match head.held.lock {
        Some((mode, date)) if mode == lock && date >= until => Ok(()),
        Some((mode, date)) => {
            let what = format!(
                "locked it in mode {} until {}, {} until {} was asked for",
                mode.as_str(),
                shown_date(date),
                lock.as_str(),
                shown_date(until)
            );
            Err(not_kept(requests, object, what))
        }
        None => {
            Err(not_kept(requests, object, "did not lock it, or does not show it: s3:GetObjectRetention is needed too"))
        }
    }
}

fn not_kept(requests: &Requests, object: &Object, what: impl std::fmt::Display) -> StoreError {
    let what =
        format!("the store {what}. It does not keep what it is given; `tachograph bucket doctor` says what it can do");
    StoreError::new(ErrorKind::Misplaced, format!("s3://{}/{}", requests.settings.bucket, object.key), what)
}

/// Given up on: if the write may have taken effect, only start-up can find out.
fn in_doubt(failure: Failure, doubt: bool) -> StoreError {
    let kind = if doubt { ErrorKind::Unknown } else { failure.error.kind };
    StoreError { kind, ..failure.error }
}

fn encryption(encryption: &Encryption) -> (Option<ServerSideEncryption>, Option<String>) {
    match encryption {
        Encryption::Default => (None, None),
        Encryption::SseS3 => (Some(ServerSideEncryption::Aes256), None),
        Encryption::SseKms(key) => (Some(ServerSideEncryption::AwsKms), key.clone()),
    }
}

fn mode(lock: Lock) -> Option<ObjectLockMode> {
    match lock {
        Lock::None => None,
        Lock::Governance => Some(ObjectLockMode::Governance),
        Lock::Compliance => Some(ObjectLockMode::Compliance),
    }
}

fn date(seconds: u64) -> DateTime {
    DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The bytes of one attempt; the next has them again.
#[derive(Clone)]
enum Body {
    Memory(bytes::Bytes),
    File(Arc<Path>),
}

async fn read(path: &Path, settings: &S3Settings) -> Result<ByteStream, Failure> {
    ByteStream::from_path(path).await.map_err(|error| {
        let error = io::Error::other(error.to_string());
        Failure::of_store(StoreError::of_io(settings.spool.display().to_string(), "read", &error))
    })
}
