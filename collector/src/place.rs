//! Where an archive is: a directory or a bucket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_exporters::archive::store::s3::{S3Settings, S3Store, S3Url, UrlError};
use tachograph_exporters::archive::store::{DirectoryStore, Store, StoreError};

/// Where an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory.
    Directory(PathBuf),
    /// Below a prefix in a bucket of S3.
    S3(S3Url),
}

/// Why a place can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It is no good URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// It does not answer, or is not there.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Place {
    /// A URL that begins with `s3://`, or a path.
    ///
    /// # Errors
    /// If a URL is wrong.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        match S3Url::is_one(text) {
            true => text.parse().map(Self::S3),
            false => Ok(Self::Directory(PathBuf::from(text))),
        }
    }

    /// The directory, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::S3(_) => None,
        }
    }

    /// For reading here and there.
    ///
    /// # Errors
    /// If it is not there.
    pub fn reader(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Directory(path) => Arc::new(DirectoryStore::reader(path)?),
            Self::S3(url) => Arc::new(S3Store::reader(S3Settings::of_url(url))?),
        })
    }

    /// For reading everything.
    ///
    /// # Errors
    /// If it is not there.
    pub fn auditor(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Directory(_) => self.reader(),
            Self::S3(url) => Ok(Arc::new(S3Store::auditor(S3Settings::of_url(url))?)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::S3(url) => url.fmt(f),
        }
    }
}
