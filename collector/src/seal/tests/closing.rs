//! The end of a ledger, as the writer makes it.

use super::*;
use crate::closing::Marker;
use crate::journal::memory_disk::{ENOSPC, Fault};

fn close(running: &Running, by: &str) -> Result<u64, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(running.queue.close(by.to_owned()))
}

fn own(place: &Place, parts: &Arc<Own>) -> Batch {
    parts.batch(place.clock.now(), "collector.stop", None, &SystemEntropy).unwrap()
}

#[test]
fn a_closed_ledger_takes_the_recorders_own_alone_whichever_way_others_come() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let recorder = Arc::clone(&parts.own);
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0));
    assert_eq!(close(&running, "uid:7"), Ok(1));
    assert_eq!(close(&running, "uid:8"), Ok(1), "it ends once");
    // Not even what it knows; and what names itself the recorder's has to be wholly.
    for refused in [record(1, "a"), record(2, "b")] {
        assert_eq!(running.seal(&[refused]), Err(Refusal::Closed));
    }
    let mut named = record(3, "c");
    named.producer = Some(OWN_PRODUCER.into());
    assert_eq!(running.seal(&[named]), Err(Refusal::Closed));
    assert_eq!(running.queue.seal_blocking(own(&place, &recorder)), accepted(1, 0));
    running.finish().unwrap();
    drop(lock);
    assert_eq!(place.data_dir().closed().unwrap(), Some(Marker { by: "uid:7".to_owned(), from: 1 }));

    // So it is after a start, which finds the statement.
    let ready = startup::open(&place.config(), place.clock.now(), "test", &place.outage()).unwrap();
    let found = ready.closing.clone();
    assert_eq!(found.as_ref().map(|closing| (closing.marker.from, closing.statement)), Some((1, Some(1))));
    let running = Running::start(Parts { closing: found, ..place.parts(ready.sealer, ready.journal, ready.dedup) });
    assert_eq!(running.seal(&[record(4, "d")]), Err(Refusal::Closed));
    assert_eq!(close(&running, "uid:9"), Ok(1));
    running.finish().unwrap();
}

#[test]
fn a_statement_that_found_no_room_is_made_later_and_nothing_is_taken_meanwhile() {
    let place = Place::new();
    let (journal, dedup) = (MemoryDisk::new(), MemoryDisk::new());
    let parts = place.on_disks(&journal, &dedup, 1 << 20);
    let recorder = Arc::clone(&parts.own);
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0));
    journal.fail(0, Fault::Before(ENOSPC));
    assert_eq!(close(&running, "uid:7"), Err(Refusal::Closed), "it is, but that is not stated");
    assert!(journal.fired());
    assert_eq!(running.seal(&[record(2, "b")]), Err(Refusal::Closed));
    journal.no_faults();
    // Once more is archived there may be room: nobody has to ask.
    assert!(running.queue.archived(1));
    assert_eq!(running.seal(&[record(2, "b")]), Err(Refusal::Closed));
    assert_eq!(running.queue.seal_blocking(own(&place, &recorder)), accepted(1, 0));
    assert_eq!(close(&running, "uid:8"), Ok(1), "it stands before what came later");
    assert_eq!(running.seal(&[record(2, "b")]), Err(Refusal::Closed));
    running.finish().unwrap();
    let stored = read_disk(&journal, &place);
    assert_eq!(stored.len(), 3);
    assert_eq!(place.data_dir().closed().unwrap().map(|marker| marker.by), Some("uid:7".to_owned()));
}

#[test]
fn a_start_seals_the_statement_that_the_mark_asks_for() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0));
    running.finish().unwrap();
    drop(lock);
    place.data_dir().mark_closed(&Marker { by: "uid:7".to_owned(), from: 1 }).unwrap();
    let ready = startup::open(&place.config(), place.clock.now(), "test", &place.outage()).unwrap();
    assert_eq!(ready.closing.as_ref().map(|closing| closing.statement), Some(None));
    let closing = ready.closing.clone();
    let running = Running::start(Parts { closing, ..place.parts(ready.sealer, ready.journal, ready.dedup) });
    assert_eq!(running.seal(&[record(2, "b")]), Err(Refusal::Closed));
    assert_eq!(close(&running, "uid:8"), Ok(1));
    running.finish().unwrap();
    drop((ready.lock, ready.archive));
    // A ledger that ends before its end has lost records.
    place.data_dir().mark_closed(&Marker { by: "uid:7".to_owned(), from: 3 }).unwrap();
    let refused = startup::open(&place.config(), place.clock.now(), "test", &place.outage()).err().unwrap();
    assert!(matches!(refused, StartError::EndsBeforeItsEnd { from: 3, next: 2 }), "{refused}");
}
