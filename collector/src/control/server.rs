//! The collector's end.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::{
    ARCHIVE_TIMEOUT, CLOSE_LEDGER, CLOSE_STREAMS, MAX_REQUEST_BYTES, READ_TIMEOUT, Reply, Request, SOCKET, VERSION,
};
use crate::batch::Entropy;
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::intake::Refusal;
use crate::key_ring::{KeyDesk, Named};
use crate::progress::Progress;
use crate::seal::{Own, Queue};

/// Makes the recorder's statements.
pub struct Speaker {
    /// To the writer.
    pub queue: Queue,
    /// Makes the records.
    pub own: Arc<Own>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Salts.
    pub entropy: Arc<dyn Entropy>,
    /// Has them archived.
    pub progress: Arc<Progress>,
    /// Whether anything has a date at all.
    pub retention: bool,
    /// Judges changes of keys.
    pub keys: KeyDesk,
    /// Records below this must be archived before the next change of keys: one of them may be the last.
    pub key_change: AtomicU64,
}

/// Opens the socket. Whoever calls holds the directory's lock, so that a socket that is there is a dead collector's.
///
/// # Errors
/// If the file system can't have one.
pub fn bind(data_dir: &DataDir) -> io::Result<UnixListener> {
    let directory = std::fs::File::open(data_dir.root())?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    // The directory is its owner's alone already.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves one client after another until the task is dropped.
pub async fn serve(listener: UnixListener, speaker: Speaker) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket takes no connection");
                tokio::time::sleep(READ_TIMEOUT).await;
                continue;
            }
        };
        if let Err(error) = speaker.attend(stream).await {
            tracing::warn!(%error, "a client of the control socket was not answered");
        }
    }
}

impl Speaker {
    async fn attend(&self, stream: UnixStream) -> io::Result<()> {
        let by = format!("uid:{}", stream.peer_cred()?.uid());
        let (reader, mut writer) = stream.into_split();
        let mut line = String::new();
        timeout(READ_TIMEOUT, BufReader::new(reader.take(MAX_REQUEST_BYTES)).read_line(&mut line)).await??;
        let reply = match self.answer(&line, &by).await {
            Ok(reply) => reply,
            Err(what) => Reply::Error(what),
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        timeout(READ_TIMEOUT, writer.write_all(&line)).await?
    }

    /// One change after another, each on what the archive says.
    async fn check_keys(&self, action: &'static str, details: &str) -> Result<(), String> {
        let (progress, before) = (Arc::clone(&self.progress), self.key_change.load(Ordering::Relaxed));
        let archived = tokio::task::spawn_blocking(move || progress.archive_now(before, ARCHIVE_TIMEOUT)).await;
        if !archived.unwrap_or(false) {
            return Err("an earlier change of keys may be in the journal, and the archive's store or a key fails: wait, and try again".to_owned());
        }
        let named: Named = serde_json::from_str(details).map_err(|error| error.to_string())?;
        let desk = self.keys.clone();
        let checked = tokio::task::spawn_blocking(move || desk.check(action, &named.vkey)).await;
        checked.unwrap_or_else(|_| Err("the check of the key panicked".to_owned()))
    }

    async fn answer(&self, line: &str, by: &str) -> Result<Reply, String> {
        if !line.ends_with('\n') {
            return Err(format!("a request is one line of at most {MAX_REQUEST_BYTES} bytes"));
        }
        let request: Request = serde_json::from_str(line).map_err(|error| format!("not a request: {error}"))?;
        if (request.v.as_str(), request.action.as_str()) == (VERSION, CLOSE_STREAMS) {
            return self.close_streams().await;
        }
        if (request.v.as_str(), request.action.as_str()) == (VERSION, CLOSE_LEDGER) {
            return self.close_ledger(by).await;
        }
        let (action, details) = request.statement(self.clock.now())?;
        let of_keys = matches!(action, KEY_ANNOUNCE | KEY_RETIRE);
        if of_keys {
            self.check_keys(action, &details).await?;
        }
        if !self.retention && !of_keys {
            return Err(
                "archive.retention is not configured, so that nothing has a date: set archive.retention.default"
                    .to_owned(),
            );
        }
        let batch = self.own.statement(self.clock.now(), action, details, by, &*self.entropy);
        let batch = batch.map_err(|error| error.to_string())?;
        let id = batch.records().next().map(|(draft, _)| draft.event_id.to_string()).unwrap_or_default();
        self.queue.seal(batch, None).await.map_err(|refusal| format!("it can't be sealed now: {refusal:?}"))?;
        tracing::info!(action, by, event_id = %id, "a statement was sealed");
        if of_keys {
            self.key_change.store(self.progress.now().durable, Ordering::Relaxed);
        }
        match self.archived().await {
            Some(_) => Ok(Reply::EventId(id)),
            None if of_keys => Err(format!(
                "event {id} is in the journal, but not archived within {} s: the archive's store or a key fails. It counts once it is archived; `tachograph key list` shows it then",
                ARCHIVE_TIMEOUT.as_secs()
            )),
            None => Err(format!(
                "event {id} is in the journal, but not archived within {} s: the archive's store fails. A hold is in force from now on all the same, \
                 and `tachograph hold mark {id}` sets the store's own later; a release or a destruction counts once it is archived",
                ARCHIVE_TIMEOUT.as_secs()
            )),
        }
    }

    /// States what streams there are in the generation that is open.
    async fn close_streams(&self) -> Result<Reply, String> {
        self.queue.close_streams().await.map_err(|refusal| format!("streams can't be closed now: {refusal:?}"))?;
        let late = || format!("the archive's store fails: nothing was archived within {} s", ARCHIVE_TIMEOUT.as_secs());
        self.archived().await.map(|size| Reply::Size(size.to_string())).ok_or_else(late)
    }

    /// Closes the ledger.
    async fn close_ledger(&self, by: &str) -> Result<Reply, String> {
        let closed = self.queue.close(by.to_owned()).await;
        let index = closed.map_err(|refusal| match refusal {
            Refusal::Closed => {
                "the ledger is closed and takes no more records, but the journal has no room to state that: it is stated once there is. \
                 Run `tachograph close` again then"
                    .to_owned()
            }
            refusal => format!(
                "the end can't be stated now: {refusal:?}. It may be closed all the same: run `tachograph close` again"
            ),
        })?;
        let late = || {
            format!(
                "the ledger is closed with record {index}, which is in the journal, but not archived within {} s: the archive's store or a key fails. \
                 Run `tachograph close` again once it is archived",
                ARCHIVE_TIMEOUT.as_secs()
            )
        };
        self.archived().await.map(|size| Reply::Size(size.to_string())).ok_or_else(late)
    }

    /// Has all that is durable archived; how many records, or `None` if that did not come about in time.
    async fn archived(&self) -> Option<u64> {
        let progress = Arc::clone(&self.progress);
        let archived = tokio::task::spawn_blocking(move || {
            let size = progress.now().durable;
            progress.archive_now(size, ARCHIVE_TIMEOUT).then_some(size)
        });
        archived.await.ok().flatten()
    }
}
