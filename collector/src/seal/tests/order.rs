//! What is sealed, once and in order.

use super::*;

#[test]
fn a_record_that_comes_again_is_acknowledged_and_not_sealed_again() {
    let place = Place::new();
    let (parts, _lock) = place.open().unwrap();
    let (queue, receiver) = queue();
    // In one batch, and in another batch of the same group.
    let first = queue.submit(batch(&[record(1, "a"), record(2, "b"), record(1, "a")]), None).unwrap();
    let second = queue.submit(batch(&[record(2, "b"), record(3, "c")]), None).unwrap();
    let running = Running::start_with(parts, queue, receiver);
    assert_eq!(first.blocking_recv().unwrap(), accepted(2, 1));
    assert_eq!(second.blocking_recv().unwrap(), accepted(1, 1));
    assert_eq!(place.metrics.groups.get(), 1, "one group commit");
    // In a later group.
    assert_eq!(running.seal(&[record(3, "c"), record(1, "a")]), accepted(0, 2));
    assert_eq!(running.seal(&[record(4, "d")]), accepted(1, 0));
    running.finish().unwrap();
    drop(_lock);
    // After a restart.
    let (parts, _lock) = place.open().unwrap();
    assert_eq!(parts.sealer.next_index(), 4);
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "a"), record(4, "d"), record(5, "e")]), accepted(1, 2));
    running.finish().unwrap();
    let stored = read_place(&place);
    assert_eq!(ids(&stored), [1, 2, 3, 4, 5]);
    assert_eq!(place.metrics.duplicates.get(), 6);
    assert_eq!(place.metrics.sealed.get(), 5);
}

#[test]
fn a_restart_that_lost_the_duplicate_index_reads_it_from_the_journal() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "a"), record(1, "other")]), accepted(2, 0));
    running.finish().unwrap();
    drop(lock);
    for file in std::fs::read_dir(place.data_dir().dedup()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let (parts, _lock) = place.open().unwrap();
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "a"), record(1, "other"), record(1, "third")]), accepted(1, 2));
    running.finish().unwrap();
    let pointers: Vec<_> = read_place(&place).iter().map(|stored| stored.conflicts_with).collect();
    assert_eq!(pointers, [None, Some(0), Some(0)]);
}

#[test]
fn other_content_under_one_id_is_sealed_and_points_at_the_first() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(9, "x"), record(1, "a"), record(1, "b")]), accepted(3, 0));
    assert_eq!(running.seal(&[record(1, "c")]), accepted(1, 0));
    // Each of the three is known now.
    assert_eq!(running.seal(&[record(1, "a"), record(1, "b"), record(1, "c")]), accepted(0, 3));
    running.finish().unwrap();
    drop(lock);
    let (parts, _lock) = place.open().unwrap();
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "b"), record(1, "d")]), accepted(1, 1));
    running.finish().unwrap();
    let stored: Vec<_> = read_place(&place).into_iter().map(|s| (s.text, s.conflicts_with)).collect();
    let expected =
        [("x", None), ("a", None), ("b", Some(1)), ("c", Some(1)), ("d", Some(1))].map(|(t, c)| (t.to_owned(), c));
    assert_eq!(stored, expected);
    assert_eq!(place.metrics.conflicts.get(), 3);
}

#[test]
fn a_clock_that_goes_back_is_recorded_before_anything_else() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let running = Running::start(parts);
    place.clock.set(START + 100);
    assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0));
    place.clock.set(START + 40);
    assert_eq!(running.seal(&[record(2, "b")]), accepted(1, 0), "the jump's own record is not the sender's");
    assert_eq!(running.seal(&[record(3, "c")]), accepted(1, 0));
    running.finish().unwrap();
    drop(lock);
    // Across a restart too.
    place.clock.set(START + 10);
    let (parts, _lock) = place.open().unwrap();
    assert_eq!(parts.last_sealed_at, time(START + 40));
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(4, "d")]), accepted(1, 0));
    running.finish().unwrap();
    let stored: Vec<_> = read_place(&place).into_iter().map(|s| (s.text, s.sealed_at - START)).collect();
    let expected = [("a", 100), ("clock.jump_back", 40), ("b", 40), ("c", 40), ("clock.jump_back", 10), ("d", 10)];
    assert_eq!(stored, expected.map(|(text, at)| (text.to_owned(), at)));
}

#[test]
fn a_batch_larger_than_a_frame_is_sealed_whole() {
    let place = Place::new();
    let (parts, _lock) = place.open().unwrap();
    let progress = Arc::clone(&parts.progress);
    let running = Running::start(parts);
    let large = "x".repeat(1 << 20);
    let records: Vec<_> = (0..40).map(|id| record(id, &large)).collect();
    assert_eq!(running.seal(&records), accepted(40, 0));
    assert_eq!(progress.now().durable, 40);
    assert!(place.metrics.groups.get() >= 2, "a frame has a bound");
    running.finish().unwrap();
    assert_eq!(ids(&read_place(&place)), (0..40).collect::<Vec<u8>>());
}

#[test]
fn after_stop_nothing_is_sealed() {
    let place = Place::new();
    let (parts, _lock) = place.open().unwrap();
    let progress = Arc::clone(&parts.progress);
    let running = Running::start(parts);
    assert_eq!(running.seal(&[record(1, "a")]), accepted(1, 0));
    assert!(!progress.now().ended);
    running.queue.stop();
    assert_eq!(running.seal(&[record(2, "b")]), Err(Refusal::Stopping));
    assert!(progress.wait_beyond(1, Duration::from_secs(60)).ended);
    running.finish().unwrap();
    assert_eq!(ids(&read_place(&place)), [1]);
}

#[test]
fn a_sender_that_went_away_costs_nobody_anything() {
    let place = Place::new();
    let (parts, _lock) = place.open().unwrap();
    let (queue, receiver) = queue();
    drop(queue.submit(batch(&[record(1, "a")]), None).unwrap());
    let stays = queue.submit(batch(&[record(2, "b")]), None).unwrap();
    let running = Running::start_with(parts, queue, receiver);
    assert_eq!(stays.blocking_recv().unwrap(), accepted(1, 0));
    assert_eq!(running.seal(&[record(1, "a")]), accepted(0, 1), "it was sealed all the same");
    running.finish().unwrap();
}

#[test]
fn a_sender_waits_for_the_archive_and_comes_back_when_it_takes_too_long() {
    for archive_wait in [Duration::MAX, Duration::ZERO] {
        let place = Place::new();
        let (parts, _lock) = place.open().unwrap();
        let progress = Arc::clone(&parts.progress);
        let running = Running::start(Parts { durability: Durability::Archive, archive_wait, ..parts });
        let held = Arc::default();
        let send = || running.queue.submit(batch(&[record(1, "a")]), Some(queue::Charge::new(&held, 1))).unwrap();
        let answer = send();
        progress.wait_beyond(0, Duration::from_secs(60));
        if archive_wait.is_zero() {
            let Err(Refusal::Failed { reason }) = answer.blocking_recv().unwrap() else { panic!("it is acknowledged") };
            assert!(reason.contains("the archive has not taken the records"), "{reason}");
        } else {
            running.seal(&[record(2, "b")]).unwrap();
            assert_eq!(held.load(Ordering::Relaxed), 1, "it waits");
            progress.archived(2);
            assert!(running.queue.archived(2));
            assert_eq!(answer.blocking_recv().unwrap(), accepted(1, 0));
        }
        progress.archived(2);
        assert_eq!(send().blocking_recv().unwrap(), accepted(0, 1), "known, and archived");
        running.finish().unwrap();
        assert_eq!(held.load(Ordering::Relaxed), 0, "nothing waits");
    }
}

#[test]
fn a_queue_that_is_full_refuses() {
    let (queue, _receiver) = queue();
    let waiting: Vec<_> = (0..QUEUE_BATCHES).map(|_| queue.submit(Batch::default(), None).unwrap()).collect();
    assert!(matches!(queue.seal_blocking(Batch::default()), Err(Refusal::Full { what: "queue", .. })));
    drop(_receiver);
    assert_eq!(queue.seal_blocking(Batch::default()), Err(Refusal::Stopping));
    // What waited for a writer that died is told so.
    assert!(waiting.into_iter().all(|answer| answer.blocking_recv().is_err()));
}

#[test]
fn the_mac_key_turns_with_its_epoch_and_shows_a_journal_that_was_rolled_back() {
    let place = Place::new();
    let (parts, lock) = place.open().unwrap();
    let data_dir = place.data_dir();
    let old = data_dir.mac_key().unwrap();
    assert_eq!(old.epoch(), 0);
    // A ledger that is six records short of the next epoch.
    let prev = Hash::from_bytes([5; 32]);
    let sealer = Sealer::resume(data_dir.vkey(), 65_530, prev, data_dir.mac_key().unwrap()).unwrap();
    let running = Running::start(Parts { sealer, ..parts });
    let first: Vec<_> = (0..6).map(|id| record(id, "x")).collect();
    assert_eq!(running.seal(&first), accepted(6, 0));
    assert_eq!(data_dir.mac_key().unwrap().epoch(), 0, "not before a record of the new epoch is durable");
    let second: Vec<_> = (6..10).map(|id| record(id, "x")).collect();
    assert_eq!(running.seal(&second), accepted(4, 0));
    let new = data_dir.mac_key().unwrap();
    assert_eq!(new.epoch(), 1);
    assert_eq!(*new.expose(), *MacKey::at(old.scheme(), 0, *old.expose()).evolve().expose());
    let ended = data_dir.ended_keys();
    assert_eq!(
        ended.epochs().unwrap(),
        [0],
        "what will be published is kept, and the key that it follows from is gone"
    );
    assert_eq!(ended.read(0).unwrap().expose(), old.publishable().unwrap().expose());
    running.finish().unwrap();

    let (journal, _) = Journal::open(&data_dir.journal(), Arc::new(RealDisk), Settings::new(NAME)).unwrap();
    assert_eq!(read(&journal, &old).len(), 10, "the records before are under the old key");
    assert_eq!(read(&journal, &new).len(), 10, "those behind under the new");
    drop(journal);
    drop(lock);
    // Journal and duplicate index, put back to the same earlier moment.
    for dir in [data_dir.journal(), data_dir.dedup()] {
        for file in std::fs::read_dir(dir).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    let error = place.open().err().expect("the key is ahead of the records");
    assert!(matches!(&error, StartError::MacKey(_)), "{error}");
    assert!(error.to_string().contains("rolled back"), "{error}");
}

#[test]
fn a_receipt_says_where_each_record_stands_in_the_requests_order() {
    let place = Place::new();
    let (parts, _lock) = place.open().unwrap();
    let running = Running::start(parts);
    let receipt = |records: &[Record<'_>]| {
        let mut batch = batch(records);
        batch.wants_receipt = true;
        running.queue.seal_blocking(batch).unwrap().receipt.unwrap().to_header()
    };
    let (a, b, c) = (record(1, "a"), record(2, "b"), record(3, "c"));
    let first = receipt(&[a.clone(), b.clone()]);
    // Known ones have an index and no hash; other content under a known id is a record like any.
    let second = receipt(&[c.clone(), b.clone(), a.clone(), record(2, "other")]);
    assert_eq!(running.seal(&[c]).unwrap().receipt, None, "nobody asked");
    running.finish().unwrap();

    let data_dir = place.data_dir();
    let (journal, _) = Journal::open(&data_dir.journal(), Arc::new(RealDisk), Settings::new(NAME)).unwrap();
    let mut frames = journal.read_from(0).unwrap();
    let mut hashes = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        hashes.extend(frame.records().map(|record| leaf_hash(record.leaf)));
    }
    let encoded = |range: std::ops::Range<usize>| {
        use base64::Engine;
        let bytes: Vec<u8> = hashes[range].iter().flat_map(|hash| *hash.as_bytes()).collect();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    assert_eq!(first, format!("v1 {NAME} 0-1:{}", encoded(0..2)));
    assert_eq!(second, format!("v1 {NAME} 2:{} 1 0 3:{}", encoded(2..3), encoded(3..4)));
}

#[test]
fn numbers_that_do_not_come_are_recorded_and_again_when_they_come_late() {
    let place = Place::new();
    let (parts, _lock) = place.open().unwrap();
    let running = Running::start(Parts { gap_after: Duration::ZERO, ..parts });
    let numbered = |number: u64| {
        let mut record = record(number as u8, "a");
        record.producer = Some("svc".into());
        record.producer_epoch = Some("e".into());
        record.producer_seq = tachograph_record::Decimal::new(number);
        record
    };
    let until = |count: usize| {
        let began = Instant::now();
        while place.metrics.sealed.get() < count as u64 && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    running.seal(&[numbered(0), numbered(1), numbered(4)]).unwrap();
    until(4);
    running.seal(&[numbered(3)]).unwrap();
    until(6);
    running.finish().unwrap();

    let data_dir = place.data_dir();
    let (journal, _) = Journal::open(&data_dir.journal(), Arc::new(RealDisk), Settings::new(NAME)).unwrap();
    let mut frames = journal.read_from(0).unwrap();
    let mut said = Vec::new();
    while let Some(frame) = frames.next_frame().unwrap() {
        for found in frame.records() {
            let body = Body::parse(found.body).unwrap().record;
            if body.producer.as_deref() == Some(OWN_PRODUCER) {
                said.push((body.action_type.unwrap().0.into_owned(), body.details.unwrap().as_str().to_owned()));
            }
        }
    }
    let range =
        |from: u64, to: u64| format!(r#"{{"producer":"svc","epoch":"e","numbers":[{{"from":"{from}","to":"{to}"}}]}}"#);
    let expected = [("producer.gap", range(2, 3)), ("producer.gap_filled", range(3, 3))];
    assert_eq!(said, expected.map(|(action, details)| (action.to_owned(), details)));
}
