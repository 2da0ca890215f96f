//! Streams as the writer seals them, read back from the journal.

use tachograph_ledger::stream::StreamEvent;
use tachograph_ledger::{Generation, Statement, StreamBy, StreamKey, StreamTracker};

use super::super::{Assigner, Own, STREAMS_CLOSED, Streams};
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn streams(by: &str, left: Option<Generation>) -> Streams {
    streams_under(9, by, left)
}

fn streams_under(key: u8, by: &str, left: Option<Generation>) -> Streams {
    let assigner = Assigner::new(StreamKey::new([key; 32]), StreamBy::parse(by).unwrap());
    Streams::on(Arc::new(assigner), left, HOUR)
}

fn of_session(id: u8, session: &str) -> Record<'static> {
    let mut record = record(id, "hello");
    record.session_id = Some(session.to_owned().into());
    record
}

/// What the journal says: the statements in it with their indexes, and where its streams stand.
fn follow(journal: &Journal) -> (Vec<(u64, Statement)>, StreamTracker) {
    let (mut tracker, mut closed) = (StreamTracker::default(), Vec::new());
    let mut frames = journal.read_from(0).unwrap();
    while let Some(frame) = frames.next_frame().unwrap() {
        for found in frame.records() {
            let leaf = Leaf::parse(found.leaf).unwrap();
            match tracker.push(&leaf, &leaf_hash(found.leaf)) {
                Ok(StreamEvent::Closed(statement)) => closed.push((found.index, statement)),
                Ok(StreamEvent::None) => {}
                other => panic!("record {}: {other:?}", found.index),
            }
        }
    }
    (closed, tracker)
}

fn follow_place(place: &Place) -> (Vec<(u64, Statement)>, StreamTracker) {
    let data_dir = place.data_dir();
    let (journal, _) = Journal::open(&data_dir.journal(), Arc::new(RealDisk), Settings::new(NAME)).unwrap();
    follow(&journal)
}

#[tokio::test]
async fn records_of_sessions_are_numbered_and_stated() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(Parts { streams: streams("session", None), ..parts });
    let queue = running.queue.clone();
    queue.seal(batch(&[of_session(1, "a"), of_session(2, "b"), record(3, "none")]), None).await.unwrap();
    queue.close_streams().await.unwrap();
    // Nothing is open: nothing is stated.
    queue.close_streams().await.unwrap();
    queue.seal(batch(&[of_session(4, "a"), of_session(5, "a")]), None).await.unwrap();
    drop(queue);
    running.finish().unwrap();
    drop(lock);
    // 0 opens, since no other record of the recorder came first; 4 states.
    let (closed, tracker) = follow_place(&place);
    assert!(matches!(closed[..], [(4, Statement { first: 0, streams: 2, is_end: false, .. })]), "{closed:?}");
    let open = tracker.into_generation().unwrap();
    assert_eq!((open.first(), open.streams()), (5, 1));
}

#[tokio::test]
async fn what_a_crash_left_is_gone_on_with_and_stated() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(Parts { streams: streams("session", None), ..parts });
    running.queue.seal(batch(&[of_session(1, "a")]), None).await.unwrap();
    running.finish().unwrap();
    drop(lock);
    let left = follow_place(&place).1.into_generation();
    assert_eq!(left.as_ref().map(Generation::streams), Some(1));
    let (parts, lock) = place.open().unwrap();
    let own = Arc::new(Own::new(&SystemEntropy).unwrap());
    let running = Running::start(Parts { streams: streams("session", left), own, ..parts });
    running.queue.seal(batch(&[of_session(2, "a")]), None).await.unwrap();
    running.queue.close_streams().await.unwrap();
    running.finish().unwrap();
    drop(lock);
    let (closed, _) = follow_place(&place);
    assert!(matches!(closed[0], (_, Statement { first: 0, streams: 1, .. })), "{closed:?}");
}

#[tokio::test]
async fn another_order_of_preference_another_key_and_none_end_what_is_open() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(Parts { streams: streams("session", None), ..parts });
    running.queue.seal(batch(&[of_session(1, "a")]), None).await.unwrap();
    running.finish().unwrap();
    drop(lock);
    for (number, next) in [Some((9, "session,agent")), Some((8, "session,agent")), None].into_iter().enumerate() {
        let left = follow_place(&place).1.into_generation();
        assert!(left.is_some());
        let (parts, lock) = place.open().unwrap();
        let own = Arc::new(Own::new(&SystemEntropy).unwrap());
        let streams = match next {
            Some((key, by)) => streams_under(key, by, left.clone()),
            None => Streams::off(left.clone()),
        };
        let running = Running::start(Parts { streams, own, ..parts });
        running.queue.seal(batch(&[of_session(2 + number as u8, "a")]), None).await.unwrap();
        running.finish().unwrap();
        drop(lock);
        let (closed, tracker) = follow_place(&place);
        assert!(closed.last().is_some_and(|(_, statement)| statement.is_end), "{closed:?}");
        let open = tracker.generation().map(Generation::rule);
        let due = next.map(|(key, by)| (by.to_owned(), StreamKey::new([key; 32]).id()));
        assert_eq!(open.map(|rule| (rule.by.to_string(), rule.key)), due);
    }
}

#[tokio::test]
async fn a_full_generation_is_stated_within_a_batch() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(Parts { streams: streams("session", None).with_max_records(4), ..parts });
    let records: Vec<_> = (1..12).map(|id| of_session(id, if id % 2 == 0 { "a" } else { "b" })).collect();
    running.queue.seal(batch(&records), None).await.unwrap();
    running.finish().unwrap();
    drop(lock);
    let (closed, tracker) = follow_place(&place);
    let places: Vec<_> = closed.iter().map(|(index, statement)| (statement.first, *index)).collect();
    assert_eq!(places, [(0, 4), (5, 9)]);
    assert_eq!(tracker.generation().map(Generation::first), Some(10));
}

#[tokio::test]
async fn what_was_not_written_was_never_in_a_stream() {
    let place = Place::new();
    let disk = MemoryDisk::new();
    // Room for a few small records.
    let parts = place.on_disks(&disk, &MemoryDisk::new(), 24_000);
    let running = Running::start(Parts { streams: streams("session", None), ..parts });
    let mut taken = 0;
    for id in 1..60 {
        let mut large = of_session(id, "a");
        large.prompt = Some("x".repeat(if id % 2 == 0 { 6_000 } else { 10 }).into());
        taken += u8::from(running.queue.seal(batch(&[large]), None).await.is_ok());
    }
    running.finish().unwrap();
    assert!((2..59).contains(&taken), "some were taken and some refused: {taken}");
    let (journal, _) = Journal::open(Path::new("/journal"), disk.copy().as_disk(), Settings::new(NAME)).unwrap();
    // Every number follows: `follow` would have panicked.
    assert!(follow(&journal).1.generation().is_some());
}

#[tokio::test]
async fn a_statement_for_which_there_is_no_room_uses_up_no_number() {
    let place = Place::new();
    let parts = place.on_disks(&MemoryDisk::new(), &MemoryDisk::new(), 24_000);
    let own = Arc::clone(&parts.own);
    let number = || {
        let batch = own.batch(Time::default(), STREAMS_CLOSED, None, &SystemEntropy).unwrap();
        batch.records().next().and_then(|(draft, _)| draft.producer_seq).unwrap()
    };
    let running = Running::start(Parts { streams: streams("session", None), ..parts });
    let mut ids = 1..;
    for size in [6_000, 600, 1] {
        for id in ids.by_ref() {
            let mut record = of_session(id, "a");
            record.prompt = Some("x".repeat(size).into());
            if running.queue.seal(batch(&[record]), None).await.is_err() {
                break;
            }
        }
    }
    let before = number();
    for _ in 0..3 {
        assert!(running.queue.close_streams().await.is_err(), "there is no room for it");
    }
    assert_eq!(number(), before + 1);
    running.finish().unwrap();
}
