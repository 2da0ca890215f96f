//! A segment of an application's spool with any bytes: what is read of it is what its checksum covers, and is written the same again.
//!
//! No fuzzer guesses a checksum, so the first byte of the input says what the rest is: a segment, a record that is put into one, or
//! changes to a good one, of which no record may come out changed.

use tachograph::__private::spool_format::{Entry, Found, Header, Position};

const GOOD: u64 = 4;

pub(crate) fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    match mode % 4 {
        0 => drop(entries(rest)),
        1 => {
            let mut segment = Header::write(b"resource").expect("it is short");
            let entry =
                Entry { sequence: rest.len() as u64, own: rest.len() % 2 == 0, log: rest.len() % 3 == 0, record: rest };
            entry.write(&mut segment);
            assert_eq!(entries(&segment), [(entry.sequence, rest.to_vec())]);
        }
        2 => changed(rest),
        _ => {
            if let Some(position) = Position::read(rest) {
                assert_eq!(position.write(), rest);
            }
        }
    }
}

/// All entries up to what is none.
fn entries(segment: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut entries = Vec::new();
    let Header::Read(resource, mut at) = Header::read(segment) else { return entries };
    assert_eq!(Header::write(resource).expect("it was short enough"), &segment[..at]);
    while let Found::Entry(entry, length) = Entry::read(&segment[at..]) {
        let mut again = Vec::new();
        entry.write(&mut again);
        assert_eq!(again, &segment[at..at + length]);
        entries.push((entry.sequence, entry.record.to_vec()));
        at += length;
    }
    entries
}

/// Overwrites bytes of a good segment: two bytes of position and one of value at a time.
fn changed(changes: &[u8]) {
    let mut segment = Header::write(b"resource").expect("it is short");
    for sequence in 0..GOOD {
        let record = format!("record {sequence}");
        Entry { sequence, own: false, log: false, record: record.as_bytes() }.write(&mut segment);
    }
    let good = entries(&segment);
    assert_eq!(good.len() as u64, GOOD);
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = segment.get_mut(at) {
            *byte = change[2];
        }
    }
    // CRC-32C catches every change of a few bytes; many together may cancel out.
    if changes.len() <= 3 {
        assert!(good.starts_with(&entries(&segment)), "a changed record came out of the spool");
    }
}
