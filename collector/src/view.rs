//! A ledger as it can be read beside its collector: the archive, and the journal's records behind it.

use std::path::Path;

use tachograph_exporters::archive::IdentityError;
use tachograph_exporters::archive::reader::{ReadError, Reader};
use tachograph_exporters::archive::store::{Store, StoreError};
use tachograph_ledger::KeyHistory;
use tachograph_record::Body;

use crate::data_dir::{DataDir, DataDirError};
use crate::journal::{Journal, JournalError};
use crate::place::Place;
use crate::statements::is_statement;
use crate::trace::Records;

/// How often a collector that runs meanwhile may move records from the journal to the archive between two looks.
const LOOKS: usize = 5;

/// Why a ledger can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The archive's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The archive.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The archive is another ledger's.
    #[error("{place}: {source}")]
    Identity {
        /// The archive.
        place: String,
        /// What is wrong.
        source: IdentityError,
    },
}

/// What can be read of a ledger at one moment.
pub struct View {
    /// The archive; `None` if there is none yet.
    pub archive: Option<Reader>,
    /// Index and body of each record behind it.
    pub tail: Vec<(u64, Vec<u8>)>,
    /// Records under the newest checkpoint that was signed here, 0 if none is remembered: the archive can't hold fewer.
    pub signed: u64,
}

impl View {
    /// A data directory, or an archive alone.
    ///
    /// # Errors
    /// If it is not there, or can't be read.
    pub fn open(place: &Place) -> Result<Self, ViewError> {
        match place.directory().filter(|path| DataDir::is_one(path)) {
            Some(data) => Self::of_data_dir(&DataDir::open(data)?),
            None => Ok(Self { archive: Some(Reader::open(place.reader()?)?), tail: Vec::new(), signed: 0 }),
        }
    }

    /// The ledger of a data directory, whether a collector runs on it or not.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn of_data_dir(data_dir: &DataDir) -> Result<Self, ViewError> {
        Self::of(data_dir, |_| true)
    }

    /// The same, of the records behind the archive only the recorder's statements: what an outage leaves in the journal may be large.
    ///
    /// # Errors
    /// If it can't be read, or the archive is not this ledger's.
    pub fn of_statements(data_dir: &DataDir) -> Result<Self, ViewError> {
        let view = Self::of(data_dir, |body| Body::parse_columns(body).is_ok_and(|body| is_statement(&body.record)))?;
        if let Some(archive) = &view.archive {
            let check = archive.identity().clone().check_key(data_dir.vkey());
            check.map_err(|source| ViewError::Identity { place: archive.store().place(), source })?;
        }
        Ok(view)
    }

    fn of(data_dir: &DataDir, keep: fn(&[u8]) -> bool) -> Result<Self, ViewError> {
        let mut looks = 1;
        loop {
            match Self::look(data_dir, keep) {
                // What the journal let go of meanwhile is in the archive now.
                Err(ViewError::Journal(_)) if looks < LOOKS => looks += 1,
                seen => return seen,
            }
        }
    }

    fn look(data_dir: &DataDir, keep: fn(&[u8]) -> bool) -> Result<Self, ViewError> {
        // Before the archive: a collector that runs meanwhile only adds to that.
        let checkpoint = data_dir.checkpoint()?;
        let place = data_dir.archive()?;
        let archive = match place.directory().is_none_or(Path::is_dir) {
            true => Some(Reader::open(place.reader()?)?),
            false => None,
        };
        let signed = match &archive {
            Some(archive) => data_dir.size_of(checkpoint, archive.keys())?,
            None => data_dir.size_of(checkpoint, &KeyHistory::new(data_dir.vkey().clone()))?,
        };
        let archived = archive.as_ref().map_or(0, Reader::size);
        let mut tail = Vec::new();
        let journal = Journal::read_only(&data_dir.journal(), data_dir.ledger().as_str())?;
        if journal.next_index().is_some_and(|next| next > archived) {
            let mut frames = journal.read_from(archived)?;
            while let Some(frame) = frames.next_frame()? {
                let kept = frame.records().filter(|record| keep(record.body));
                tail.extend(kept.map(|record| (record.index, record.body.to_vec())));
            }
        }
        Ok(Self { archive, tail, signed })
    }

    /// For looking events up.
    pub fn records(&self) -> Records<'_> {
        Records { archive: self.archive.as_ref(), tail: &self.tail }
    }

    /// The archive's store.
    pub fn store(&self) -> Option<&dyn Store> {
        self.archive.as_ref().map(|archive| &**archive.store())
    }

    /// Objects that were looked for and are not there.
    pub fn gone(&self) -> Vec<String> {
        self.archive.as_ref().map(Reader::gone).unwrap_or_default()
    }
}
