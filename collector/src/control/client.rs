//! The commands' end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{
    ARCHIVE_TIMEOUT, CLOSE_LEDGER, CLOSE_STREAMS, MAX_REQUEST_BYTES, READ_TIMEOUT, Reply, Request, SOCKET, VERSION,
};
use crate::expiry::Recorder;

/// Why the recorder did not say it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error(
        "no collector runs on {data} ({source}): it is the collector that says this in its ledger. Start it (tachograph run --data {data}) and try again"
    )]
    NotRunning {
        /// The data directory.
        data: String,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody may listen, but not to us.
    #[error("the collector on {data}, if one runs, can't be reached: {source}; run this as the user that it runs as")]
    Unreachable {
        /// The data directory.
        data: String,
        /// What the system said.
        source: io::Error,
    },
    /// It did not answer.
    #[error("the collector on {data} did not answer: {source}; look into its log, then try again")]
    Silent {
        /// The data directory.
        data: String,
        /// What the system said.
        source: io::Error,
    },
    /// It said no.
    #[error("the collector refused: {0}")]
    Refused(String),
}

/// Reaches the collector of one data directory.
#[derive(Clone, Debug)]
pub struct Client {
    data: PathBuf,
}

impl Client {
    /// For the collector that runs on `data`.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// Has the generation of streams that is open stated, and all of it archived.
    ///
    /// # Errors
    /// If nobody runs there, or it was refused.
    pub fn close_streams(&self) -> Result<(), ControlError> {
        self.do_it(CLOSE_STREAMS)
    }

    /// Closes the ledger, and has all of it archived.
    ///
    /// # Errors
    /// If nobody runs there, or it was refused, or is not archived: it may be closed all the same, and a further call goes on.
    pub fn close_ledger(&self) -> Result<(), ControlError> {
        self.do_it(CLOSE_LEDGER)
    }

    fn do_it(&self, action: &str) -> Result<(), ControlError> {
        let request = Request { v: VERSION.to_owned(), action: action.to_owned(), details: Json::Null };
        match self.ask(&request)? {
            Reply::Error(what) => Err(ControlError::Refused(what)),
            Reply::Size(_) | Reply::EventId(_) => Ok(()),
        }
    }

    fn ask(&self, request: &Request) -> Result<Reply, ControlError> {
        let shown = || self.data.display().to_string();
        let connected = connect(&self.data).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NotRunning { data: shown(), source }
            }
            _ => ControlError::Unreachable { data: shown(), source },
        })?;
        let answered = (|| {
            let mut stream = connected;
            stream.set_write_timeout(Some(READ_TIMEOUT))?;
            // Another command may be served first.
            stream.set_read_timeout(Some(ARCHIVE_TIMEOUT * 3))?;
            serde_json::to_writer(&stream, request)?;
            stream.write_all(b"\n")?;
            let mut line = String::new();
            BufReader::new(stream).take(MAX_REQUEST_BYTES).read_line(&mut line)?;
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(serde_json::from_str(&line)?)
        })();
        answered.map_err(|source| ControlError::Silent { data: shown(), source })
    }
}

/// A socket's path may have 107 bytes only: reached by way of its open directory it is short, wherever the directory is.
fn connect(data: &Path) -> io::Result<UnixStream> {
    let directory = std::fs::File::open(data)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

impl Recorder for Client {
    fn say(&mut self, action: &'static str, details: Json) -> Result<String, ControlError> {
        match self.ask(&Request { v: VERSION.to_owned(), action: action.to_owned(), details })? {
            Reply::EventId(id) | Reply::Size(id) => Ok(id),
            Reply::Error(what) => Err(ControlError::Refused(what)),
        }
    }
}
