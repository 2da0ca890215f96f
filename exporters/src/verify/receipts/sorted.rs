//! Receipts in the order of their indexes, however many: sorted in pieces of bounded size, which lie in unnamed temporary files and
//! are merged as they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use tachograph_ledger::Hash;

/// Receipts in memory: about 48 MiB.
const PIECE: usize = 1 << 20;
/// Index, whether there is a hash, hash.
const ENTRY_BYTES: usize = 8 + 1 + 32;

/// One receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) index: u64,
    pub(super) hash: Option<Hash>,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.index.to_be_bytes());
        if let Some(hash) = self.hash {
            bytes[8] = 1;
            bytes[9..].copy_from_slice(hash.as_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (mut index, mut hash) = ([0; 8], [0; 32]);
        index.copy_from_slice(&bytes[..8]);
        hash.copy_from_slice(&bytes[9..]);
        Self { index: u64::from_be_bytes(index), hash: (bytes[8] == 1).then(|| Hash::from_bytes(hash)) }
    }
}

/// Takes receipts in any order.
pub(super) struct Sorter {
    piece: Vec<Entry>,
    most: usize,
    files: Vec<File>,
}

impl Default for Sorter {
    fn default() -> Self {
        Self::with_pieces_of(PIECE)
    }
}

impl Sorter {
    pub(super) fn with_pieces_of(most: usize) -> Self {
        Self { piece: Vec::new(), most, files: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: Entry) -> io::Result<()> {
        if self.piece.len() == self.most {
            self.spill()?;
        }
        self.piece.push(entry);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        self.piece.sort_unstable();
        let mut writer = BufWriter::new(tempfile::tempfile()?);
        for entry in self.piece.drain(..) {
            writer.write_all(&entry.encode())?;
        }
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        self.files.push(file);
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.piece.sort_unstable();
        let mut sorted = Sorted::default();
        let files = self.files.into_iter().map(|file| Piece::File(BufReader::new(file)));
        for (at, mut piece) in files.chain([Piece::Memory(self.piece.into_iter())]).enumerate() {
            if let Some(entry) = piece.next()? {
                sorted.heads.push(Reverse((entry, at)));
            }
            sorted.pieces.push(piece);
        }
        Ok(sorted)
    }
}

/// Gives them in order.
#[derive(Default)]
pub(super) struct Sorted {
    pieces: Vec<Piece>,
    /// The next of each piece.
    heads: BinaryHeap<Reverse<(Entry, usize)>>,
    error: Option<io::Error>,
}

enum Piece {
    File(BufReader<File>),
    Memory(std::vec::IntoIter<Entry>),
}

impl Piece {
    fn next(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Self::Memory(entries) => Ok(entries.next()),
            Self::File(reader) => {
                let mut bytes = [0; ENTRY_BYTES];
                match reader.read_exact(&mut bytes) {
                    Ok(()) => Ok(Some(Entry::decode(&bytes))),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

impl Sorted {
    /// The next one, if it is such a one.
    pub(super) fn next_if(&mut self, wanted: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        self.heads.peek().filter(|Reverse((entry, _))| wanted(entry))?;
        let Reverse((entry, at)) = self.heads.pop()?;
        match self.pieces[at].next() {
            Ok(next) => self.heads.extend(next.map(|next| Reverse((next, at)))),
            Err(error) => self.error = Some(error),
        }
        Some(entry)
    }

    /// What went wrong on the way: some are missing then.
    pub(super) fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }
}
