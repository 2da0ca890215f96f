//! A journal file with any bytes: it is refused, or what it holds can be read to its end and written on.
//!
//! No fuzzer guesses a checksum, so the first byte of the input says what the rest is: a whole file, the payload of a
//! frame whose checksums are right, or changes to a good file, of which no record may come out changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tachograph_collector::journal::layout::{FileHeader, FrameHeader, FrameKind};
use tachograph_collector::journal::{Frame, Journal, Settings};

use crate::memory::Memory;

const LEDGER: &str = "fuzz/journal";
const NONCE: [u8; 8] = *b"fuzznonc";
const GOOD_RECORDS: u64 = 3;

type Records = Vec<(u64, Vec<u8>, Vec<u8>)>;

pub(crate) fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => {
            let _ = recover(rest.to_vec());
        }
        1 => {
            let _ = recover(framed(rest));
        }
        _ => changed(rest),
    }
}

/// A file with one frame around `payload`, whose first byte says how many records it is said to have.
fn framed(payload: &[u8]) -> Vec<u8> {
    let (count, payload) = payload.split_first().map_or((1, payload), |(count, rest)| (u32::from(*count), rest));
    let header = FrameHeader {
        kind: FrameKind::Records,
        nonce: NONCE,
        first_index: 0,
        sealed_at: 1,
        payload_len: payload.len() as u64,
        count,
        payload_crc: crc32c::crc32c(payload),
    };
    [&file_header()[..], &header.encode(), payload].concat()
}

fn file_header() -> Vec<u8> {
    FileHeader { ledger: LEDGER.to_owned(), first_index: 0, prev: [0; 32], nonce: NONCE }.encode().to_vec()
}

/// Overwrites bytes of a good journal: two bytes of position and one of value at a time.
fn changed(changes: &[u8]) {
    let mut bytes = good();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = change[2];
        }
    }
    let Some(found) = recover(bytes) else { return };
    let intact = recover(good()).expect("a good journal is good");
    assert_eq!(intact.len() as u64, GOOD_RECORDS);
    // CRC-32C catches every change of a few bytes; many together may cancel out, and the ledger's hashes are for that.
    if changes.len() <= 3 {
        assert!(intact.starts_with(&found), "a changed record came out of the journal");
    }
}

fn good() -> Vec<u8> {
    let disk = Arc::new(Memory::default());
    let (mut journal, _) = Journal::open(folder(), disk.clone(), settings()).expect("an empty journal opens");
    for index in 0..GOOD_RECORDS {
        append(&mut journal, index);
    }
    disk.get(&first_file()).expect("the journal has a file")
}

fn append(journal: &mut Journal, index: u64) {
    let mut frame = Frame::begin(index, [0; 32], 1);
    frame.push(format!("leaf {index}").as_bytes(), format!("body {index}").as_bytes(), &[1; 32]).expect("room");
    let durable = journal.append(&mut frame).expect("memory takes it");
    assert_eq!(durable.next_index, index + 1);
}

/// Opens a journal whose one file has these bytes, and reads and writes on what it gives.
fn recover(bytes: Vec<u8>) -> Option<Records> {
    let disk = Arc::new(Memory::default());
    disk.put(&first_file(), bytes);
    let (mut journal, recovered) = Journal::open(folder(), disk.clone(), settings()).ok()?;
    let records = read(&journal, recovered.first_index);
    let next = recovered.next_index.unwrap_or(0);
    if let Some(first) = recovered.first_index {
        assert_eq!(records.len() as u64, next - first, "the count of records is not what recovery said");
    }
    append(&mut journal, next);
    drop(journal);
    let (journal, again) = Journal::open(folder(), disk, settings()).expect("a recovered journal opens again");
    assert_eq!(again.next_index, Some(next + 1));
    assert_eq!(read(&journal, again.first_index).len(), records.len() + 1);
    Some(records)
}

fn read(journal: &Journal, from: Option<u64>) -> Records {
    let mut records = Vec::new();
    let Some(from) = from else { return records };
    let mut frames = journal.read_from(from).expect("what recovery named is held");
    while let Some(frame) = frames.next_frame().expect("what recovery took can be read") {
        records.extend(frame.records().map(|record| (record.index, record.leaf.to_vec(), record.body.to_vec())));
    }
    records
}

fn settings() -> Settings {
    Settings { random: || Ok(NONCE), ..Settings::new(LEDGER) }
}

fn folder() -> &'static Path {
    Path::new("/journal")
}

fn first_file() -> PathBuf {
    folder().join(format!("{:020}.tgj", 0))
}
