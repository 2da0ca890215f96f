//! Edits in the journal, whose newest records no checkpoint covers yet: checksums, chain, MACs and the key's epoch do.

use std::fs;
use std::path::PathBuf;

use tachograph_collector::journal::layout::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FrameHeader, FrameKind};
use tachograph_exporters::verify::Axis;
use tachograph_tests::seed::Random;
use tachograph_tests::tree::replace;

use crate::scene::{Scene, expect_tampered};

const FLIPS: usize = 24;
/// The file's version: a flipped bit in it is taken for a newer release's file, which is refused, not called tampering.
const VERSION: std::ops::Range<usize> = 6..8;

/// A frame within a journal file.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    header: FrameHeader,
}

/// The newest journal file, its bytes and its frames.
fn newest(scene: &Scene) -> (PathBuf, Vec<u8>, Vec<Place>) {
    let path = scene.home.journal_files().pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let (mut at, mut frames) = (FILE_HEADER_BYTES, Vec::new());
    while at < bytes.len() {
        let header = FrameHeader::decode(&bytes[at..], None).unwrap();
        frames.push(Place { at, header });
        at += header.frame_len() as usize;
    }
    assert_eq!(frames.last().unwrap().header.kind, FrameKind::Synced, "the journal was quiet before it was killed");
    (path, bytes, frames)
}

/// The newest frame that holds records of the unarchived tail.
fn last_records(frames: &[Place]) -> Place {
    *frames.iter().rfind(|frame| frame.header.kind == FrameKind::Records && frame.header.count > 1).unwrap()
}

/// Gives a frame whose payload was changed its right checksums again.
fn mend(bytes: &mut [u8], frame: Place) {
    let payload = frame.at + FRAME_HEADER_BYTES..frame.at + frame.header.frame_len() as usize;
    let header = FrameHeader { payload_crc: crc32c::crc32c(&bytes[payload]), ..frame.header };
    bytes[frame.at..frame.at + FRAME_HEADER_BYTES].copy_from_slice(&header.encode());
}

#[test]
fn flipped_bytes_in_the_journal_are_found() {
    let mut random = Random::of_test("journal flips");
    let scene = Scene::with_tail();
    let (path, whole, frames) = newest(&scene);
    // The last marker proves the frames before it; what happens to itself touches no record.
    let end = frames.last().unwrap().at;
    let mut positions: Vec<usize> = (0..FLIPS).map(|_| random.at(end)).filter(|at| !VERSION.contains(at)).collect();
    positions.extend([0, 10, 30, FILE_HEADER_BYTES - 1, FILE_HEADER_BYTES, last_records(&frames).at + 100]);
    for at in positions {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << random.below(8);
        replace(&path, &bytes);
        expect_tampered(&scene.verify_data_dir(), &[Axis::Integrity], &format!("journal, byte {at}"));
    }
    let mut bytes = whole;
    bytes[VERSION.start] ^= 2;
    replace(&path, &bytes);
    let verified = scene.verify_data_dir();
    assert_eq!(verified.code, 2, "another version is not readable, and not good: {:#}", verified.report);
}

/// Changes one record of the unarchived tail, with every checksum mended.
fn edit_last(edit: impl FnOnce(&mut [u8])) -> Scene {
    let scene = Scene::with_tail();
    let (path, mut bytes, frames) = newest(&scene);
    let frame = last_records(&frames);
    edit(&mut bytes[frame.at + FRAME_HEADER_BYTES..frame.at + frame.header.frame_len() as usize]);
    mend(&mut bytes, frame);
    replace(&path, &bytes);
    scene
}

/// A record in a payload: two lengths, MAC, leaf, body.
fn position_of(payload: &[u8], words: &[u8]) -> usize {
    payload.windows(words.len()).position(|window| window == words).unwrap()
}

#[test]
fn edits_with_mended_checksums_are_found_by_the_chain_and_the_mac() {
    let body = edit_last(|payload| {
        let at = position_of(payload, b"\"prompt\":\"Describe");
        payload[at + 10] = b'd';
    });
    expect_tampered(&body.verify_data_dir(), &[Axis::Integrity], "journal, body");

    let leaf = edit_last(|payload| {
        let at = position_of(payload, b"\"event_time\":\"") + 20;
        payload[at] = if payload[at] == b'1' { b'2' } else { b'1' };
    });
    expect_tampered(&leaf.verify_data_dir(), &[Axis::Integrity], "journal, leaf");

    let mac = edit_last(|payload| payload[8] ^= 1);
    expect_tampered(&mac.verify_data_dir(), &[Axis::Authenticity], "journal, MAC");
}

/// Nor does the collector go on with such a journal.
#[test]
fn the_collector_does_not_start_on_a_journal_that_was_edited() {
    let body = edit_last(|payload| {
        let at = position_of(payload, b"\"prompt\":\"Describe");
        payload[at + 10] = b'd';
    });
    body.home.refused().expect(2, &["its body is not the one that was sealed", "tachograph verify"]);
    let mac = edit_last(|payload| payload[8] ^= 1);
    mac.home.refused().expect(2, &["its MAC is wrong"]);
}

#[test]
fn a_frame_removed_from_the_middle_is_found() {
    let scene = Scene::with_tail();
    let (path, whole, frames) = newest(&scene);
    let frame = frames.iter().find(|frame| frame.header.kind == FrameKind::Records).unwrap();
    let (from, to) = (frame.at, frame.at + frame.header.frame_len() as usize);
    replace(&path, &[&whole[..from], &whole[to..]].concat());
    expect_tampered(&scene.verify_data_dir(), &[Axis::Integrity], "journal, a frame removed");
}

/// Whole frames cut off the end, with the marker: nothing in the journal itself can tell. The index of duplicates can.
#[test]
fn a_journal_cut_back_by_whole_frames_is_refused_at_the_start() {
    let scene = Scene::with_tail();
    let (path, whole, frames) = newest(&scene);
    replace(&path, &whole[..last_records(&frames).at]);
    let verified = scene.verify_data_dir();
    assert_ne!(
        verified.code, 0,
        "the tail is under no checkpoint, so that it is never called clean: {:#}",
        verified.report
    );
    scene.home.refused().expect(2, &["acknowledged records are missing", "Restore the journal"]);
}

#[test]
fn a_removed_journal_is_refused_at_the_start() {
    let scene = Scene::with_tail();
    scene.home.journal_files().iter().for_each(|path| fs::remove_file(path).unwrap());
    scene.home.refused().expect(2, &["acknowledged records are missing"]);
}
