//! Reading objects: whole, in parts, or as files that were fetched ahead.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::Bytes;

use super::error::{Asked, Failure, failure};
use super::{Requests, S3Settings};
use crate::archive::store::{ErrorKind, ReadAt, StoreError};

/// Bytes of objects that lie fetched and unused, at most, but for the last one of them.
const MAX_FETCHED_BYTES: u64 = 1 << 30;
/// Downloads under way at once.
const MAX_DOWNLOADS: usize = 4;

/// The whole object; refused if it is larger than `limit` bytes.
pub(super) async fn get(
    client: &Client,
    settings: &S3Settings,
    key: &str,
    version: Option<String>,
    limit: u64,
) -> Result<Vec<u8>, Failure> {
    let mut answer = request(client, settings, key, version, None).await?;
    let too_large = || {
        let what = format!("larger than the {limit} bytes that such an object may have");
        Failure::of_store(StoreError::new(ErrorKind::TooLarge, format!("s3://{}/{key}", settings.bucket), what))
    };
    if answer.content_length().is_some_and(|length| u64::try_from(length).is_ok_and(|length| length > limit)) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.body.try_next().await.map_err(|error| cut_off(settings, key, &error))? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    if answer.content_length.is_some_and(|length| length != bytes.len() as i64) {
        return Err(cut_off(settings, key, &"it ends too early"));
    }
    Ok(bytes)
}

async fn request(
    client: &Client,
    settings: &S3Settings,
    key: &str,
    version: Option<String>,
    range: Option<String>,
) -> Result<GetObjectOutput, Failure> {
    let action = if version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
    let get = client.get_object().bucket(&settings.bucket).key(key).set_version_id(version).set_range(range);
    get.send().await.map_err(|error| failure(settings, Asked { action, key }, &error))
}

/// The answer broke off: worth another try.
fn cut_off(settings: &S3Settings, key: &str, error: &dyn std::fmt::Display) -> Failure {
    let what = format!("the answer broke off: {error}; it is tried again");
    let error = StoreError::new(ErrorKind::Unavailable, format!("s3://{}/{key}", settings.bucket), what);
    Failure { retry: true, ..Failure::of_store(error) }
}

/// An object whose parts are fetched when they are asked for.
pub(super) struct Ranged {
    requests: Arc<Requests>,
    key: String,
    version: Option<String>,
    size: u64,
}

impl Ranged {
    pub(super) fn new(requests: Arc<Requests>, key: String, version: Option<String>, size: u64) -> Self {
        Self { requests, key, version, size }
    }
}

impl ReadAt for Ranged {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.size);
        let Some(end) = end else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        if length == 0 {
            return Ok(Bytes::new());
        }
        let read = self.requests.ask(|client| {
            let (settings, key, version) = (self.requests.settings.clone(), self.key.clone(), self.version.clone());
            async move {
                let range = format!("bytes={offset}-{}", end - 1);
                let answer = request(&client, &settings, &key, version, Some(range)).await?;
                let bytes = answer.body.collect().await.map_err(|error| cut_off(&settings, &key, &error))?.into_bytes();
                if bytes.len() == length {
                    Ok(bytes)
                } else {
                    Err(cut_off(&settings, &key, &"not the length asked for"))
                }
            }
        });
        read.map_err(|failure| io::Error::other(failure.error))
    }
}

/// Objects that were fetched whole, each into an unnamed temporary file. The oldest goes when there are too many bytes of them.
pub(super) struct Files(Arc<Shelf>);

struct Shelf {
    spool: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    downloads: tokio::sync::Semaphore,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Fetched>,
    /// In the order in which they were asked for.
    order: VecDeque<String>,
    bytes: u64,
}

#[derive(Clone)]
enum Fetched {
    UnderWay,
    Here(Arc<Local>),
    Failed(StoreError),
}

struct Local {
    file: File,
    size: u64,
}

impl Files {
    pub(super) fn new(spool: PathBuf) -> Self {
        let downloads = tokio::sync::Semaphore::new(MAX_DOWNLOADS);
        Self(Arc::new(Shelf { spool, state: Mutex::default(), changed: Condvar::new(), downloads }))
    }

    /// Begins to fetch an object, if it is not here.
    pub(super) fn begin(&self, requests: &Arc<Requests>, key: &str, version: Option<String>) {
        let shelf = Arc::clone(&self.0);
        {
            let mut state = shelf.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.objects.contains_key(key) {
                return;
            }
            state.objects.insert(key.to_owned(), Fetched::UnderWay);
            state.order.push_back(key.to_owned());
        }
        let (settings, client) = (requests.settings.clone(), requests.connection.client().clone());
        let key = key.to_owned();
        requests.connection.start(async move {
            let fetched = fetch(&shelf, &client, &settings, &key, version).await;
            shelf.put(&key, fetched);
        });
    }

    /// The object, fetched before or now.
    pub(super) fn open(
        &self,
        requests: &Arc<Requests>,
        key: &str,
        version: Option<String>,
    ) -> Result<Arc<dyn ReadAt>, StoreError> {
        loop {
            self.begin(requests, key, version.clone());
            match self.0.wait(key) {
                Some(Ok(local)) => return Ok(local),
                // Fetching ahead tries once; whoever needs the object tries as long as any reader does.
                Some(Err(error)) if error.is_retryable() => {
                    let (settings, version) = (requests.settings.clone(), version.clone());
                    let shelf = Arc::clone(&self.0);
                    let local = requests.ask(move |client| {
                        let (settings, key, version) = (settings.clone(), key.to_owned(), version.clone());
                        let shelf = Arc::clone(&shelf);
                        async move { fetch(&shelf, &client, &settings, &key, version).await }
                    })?;
                    return Ok(Arc::new(local));
                }
                Some(Err(error)) => return Err(error),
                // It was pushed out by others before anybody took it.
                None => {}
            }
        }
    }
}

impl Shelf {
    fn put(&self, key: &str, fetched: Result<Local, Failure>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match fetched {
            Ok(local) => {
                state.bytes += local.size;
                Fetched::Here(Arc::new(local))
            }
            Err(failure) => Fetched::Failed(failure.error),
        };
        state.objects.insert(key.to_owned(), entry);
        while state.bytes > MAX_FETCHED_BYTES {
            let Some(at) = state.order.iter().position(|other| other != key) else { break };
            let Some(oldest) = state.order.remove(at) else { break };
            if let Some(Fetched::Here(local)) = state.objects.get(&oldest) {
                state.bytes -= local.size;
                state.objects.remove(&oldest);
            } else if matches!(state.objects.get(&oldest), Some(Fetched::UnderWay)) {
                // It will be counted when it is here.
                state.order.push_back(oldest);
                if state.order.iter().all(|key| matches!(state.objects.get(key), Some(Fetched::UnderWay))) {
                    break;
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn wait(&self, key: &str) -> Option<Result<Arc<Local>, StoreError>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_while(state, |state| matches!(state.objects.get(key), Some(Fetched::UnderWay)))
            .unwrap_or_else(PoisonError::into_inner);
        match waited.objects.get(key) {
            Some(Fetched::Here(local)) => Some(Ok(Arc::clone(local))),
            Some(Fetched::Failed(error)) => Some(Err(error.clone())),
            _ => None,
        }
    }
}

async fn fetch(
    shelf: &Shelf,
    client: &Client,
    settings: &S3Settings,
    key: &str,
    version: Option<String>,
) -> Result<Local, Failure> {
    // Closed never.
    let _turn = shelf.downloads.acquire().await;
    let mut answer = request(client, settings, key, version, None).await?;
    let spool = |error: io::Error| {
        Failure::of_store(StoreError::of_io(shelf.spool.display().to_string(), "write a temporary file", &error))
    };
    let mut file = tempfile::tempfile_in(&shelf.spool).map_err(spool)?;
    let mut size = 0;
    while let Some(chunk) = answer.body.try_next().await.map_err(|error| cut_off(settings, key, &error))? {
        file.write_all(&chunk).map_err(spool)?;
        size += chunk.len() as u64;
    }
    if answer.content_length.is_some_and(|length| u64::try_from(length) != Ok(size)) {
        return Err(cut_off(settings, key, &"it ends too early"));
    }
    Ok(Local { file, size })
}

impl ReadAt for Local {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        if offset.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.into())
    }
}
