use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{Entry, Hash, Leaf, LedgerName, MacKey, MacScheme, Sealer, SigningKey, leaf_hash, sha256};

const FIRST_RUN: &str = "run-1";

fn name() -> LedgerName {
    LedgerName::parse("acme.example/test").unwrap()
}

fn rule(text: &str) -> StreamRule {
    StreamRule { by: StreamBy::parse(text).unwrap(), key: StreamKey::new([3; 32]).id() }
}

/// A ledger whose leaves are kept.
struct Ledger {
    sealer: Sealer,
    leaves: Vec<Vec<u8>>,
}

impl Ledger {
    fn new() -> Self {
        let key = SigningKey::from_seed(name(), [1; 32]);
        Self {
            sealer: Sealer::new(&key.public(), MacKey::initial(MacScheme::V2, [2; 32])).unwrap(),
            leaves: Vec::new(),
        }
    }

    fn next(&self) -> u64 {
        self.sealer.next_index()
    }

    fn seal(&mut self, own: Option<&str>, place: StreamPlace) -> Hash {
        let entry = Entry {
            body_len: 1,
            body_sha256: sha256(b"x"),
            event_time: 1,
            kind: if own.is_some() { "lifecycle" } else { "generation" },
            producer: own.map(|_| RECORDER),
            producer_epoch: own,
            producer_seq: None,
            sealed_at: 1,
            span_id: None,
            trace_id: None,
        };
        let mut leaf = Vec::new();
        let hash = self.sealer.seal_in(entry, &place, &mut leaf).unwrap().hash;
        self.leaves.push(leaf);
        hash
    }

    /// As a recorder does it.
    fn record(&mut self, generation: &mut Generation, secret: &StreamSecret) {
        let id = secret.id(&name(), generation.first());
        let (seq, prev) = generation.next(&id);
        let hash = self.seal(None, StreamPlace::In { id, seq, prev });
        generation.push(id, hash);
    }

    fn open(&mut self, run: &str) -> Generation {
        let first = self.next();
        self.seal(Some(run), StreamPlace::Open { first, rule: rule("session") });
        Generation::new(first, rule("session"))
    }

    fn close(&mut self, generation: Generation) -> Generation {
        self.seal(Some(FIRST_RUN), StreamPlace::Closed(generation.statement(false)));
        Generation::new(self.next(), generation.rule())
    }

    /// What each leaf meant to one who follows them from `from`.
    fn follow(
        &self,
        mut tracker: StreamTracker,
        from: usize,
    ) -> (StreamTracker, Vec<Result<StreamEvent, StreamFault>>) {
        let events = self.leaves[from..].iter().map(|leaf| tracker.push(&Leaf::parse(leaf).unwrap(), &leaf_hash(leaf)));
        let events = events.collect();
        (tracker, events)
    }

    fn faults(&self) -> Vec<StreamFault> {
        self.follow(StreamTracker::default(), 0).1.into_iter().filter_map(Result::err).collect()
    }
}

fn secret(id: &str) -> StreamSecret {
    StreamKey::new([3; 32]).secret(StreamKind::Session, id)
}

#[test]
fn what_a_leaf_says_has_one_spelling() {
    let statement =
        Statement { first: 7, streams: 2, root: sha256(b"root"), rule: rule("agent,session"), is_end: false };
    let places = [
        StreamPlace::Open { first: 0, rule: rule("session") },
        StreamPlace::Open { first: 12, rule: rule("session,agent") },
        StreamPlace::Closed(statement),
        StreamPlace::Closed(Statement { is_end: true, ..statement }),
        StreamPlace::In { id: secret("s").id(&name(), 0), seq: 0, prev: None },
        StreamPlace::In { id: secret("s").id(&name(), 0), seq: 3, prev: Some(sha256(b"leaf")) },
        StreamPlace::None,
    ];
    for place in places {
        let mut ledger = Ledger::new();
        ledger.seal(Some(FIRST_RUN), place);
        assert_eq!(StreamPlace::of(&Leaf::parse(&ledger.leaves[0]).unwrap()), Ok(place));
    }
}

#[test]
fn other_spellings_are_refused() {
    let mut ledger = Ledger::new();
    ledger.seal(Some(FIRST_RUN), StreamPlace::None);
    let leaf = Leaf::parse(&ledger.leaves[0]).unwrap();
    let id = secret("s").id(&name(), 0).to_string();
    let key = rule("session").key;
    let open = format!("open 0 session {key}");
    assert!(StreamPlace::of(&Leaf { stream: Some(&open), ..leaf.clone() }).is_ok());
    for text in [
        "open".to_owned(),
        "open 0".to_owned(),
        "open 0 session".to_owned(),
        format!("{open} {key}"),
        open.to_uppercase(),
        format!("open 00 session {key}"),
        format!("open 0 session,session {key}"),
        format!("open 0 user {key}"),
        format!("open 0  session {key}"),
        format!("Open 0 session {key}"),
        format!("closed 0 0 session {key}"),
        format!("closed 0 1 00 session {key}"),
        format!("closed 0 0 {} session", sha256(b"")),
        String::new(),
        "x".to_owned(),
    ] {
        assert!(StreamPlace::of(&Leaf { stream: Some(&text), ..leaf.clone() }).is_err(), "{text}");
    }
    let upper = id.to_uppercase();
    for (stream, stream_seq, stream_prev) in [
        (Some(id.as_str()), None, None),
        (Some(id.as_str()), Some(1), None),
        (Some(id.as_str()), Some(0), Some(sha256(b""))),
        (Some(upper.as_str()), Some(0), None),
        (Some(open.as_str()), Some(0), None),
        (None, Some(0), None),
    ] {
        assert!(StreamPlace::of(&Leaf { stream, stream_seq, stream_prev, ..leaf.clone() }).is_err());
    }
    let senders = Leaf { stream: Some(&open), producer: Some("app"), ..leaf };
    assert!(StreamPlace::of(&senders).is_err(), "only the recorder opens a generation");
}

#[test]
fn generations_follow_one_another_and_runs() {
    let mut ledger = Ledger::new();
    ledger.seal(Some("run-0"), StreamPlace::None);
    let mut generation = ledger.open(FIRST_RUN);
    for id in ["a", "b", "a"] {
        ledger.record(&mut generation, &secret(id));
    }
    let mut generation = ledger.close(generation);
    ledger.record(&mut generation, &secret("a"));
    // Another start of the recorder goes on.
    ledger.seal(Some("run-2"), StreamPlace::Open { first: generation.first(), rule: generation.rule() });
    ledger.record(&mut generation, &secret("a"));
    let (tracker, events) = ledger.follow(StreamTracker::default(), 0);
    assert!(events.iter().all(Result::is_ok), "{events:?}");
    let found = tracker.into_generation().unwrap();
    assert_eq!(found.statement(true), generation.statement(true));
    // From the last statement on the same is found.
    let (tracker, _) = ledger.follow(StreamTracker::in_the_middle(), 5);
    assert_eq!(tracker.into_generation().unwrap().statement(true), generation.statement(true));
    // One that begins within it does not know, and says so.
    assert!(ledger.follow(StreamTracker::in_the_middle(), 6).0.into_generation().is_none());
    // A recorder that knows nothing of streams ends it.
    ledger.seal(Some("old"), StreamPlace::None);
    let (tracker, events) = ledger.follow(StreamTracker::default(), 0);
    assert_eq!(events.last(), Some(&Ok(StreamEvent::Abandoned(generation.first()))));
    assert!(tracker.into_generation().is_none());
}

#[test]
fn what_a_recorder_must_not_do_is_found() {
    // A record of a stream that has the wrong number.
    let mut ledger = Ledger::new();
    let mut generation = ledger.open(FIRST_RUN);
    ledger.record(&mut generation, &secret("a"));
    let id = secret("a").id(&name(), 0);
    ledger.seal(None, StreamPlace::In { id, seq: 2, prev: generation.next(&id).1 });
    assert_eq!(ledger.faults(), [StreamFault::Link { expected: 1, found: 2 }]);
    // One that is linked to another leaf.
    let mut ledger = Ledger::new();
    let mut generation = ledger.open(FIRST_RUN);
    ledger.record(&mut generation, &secret("a"));
    ledger.seal(None, StreamPlace::In { id, seq: 1, prev: Some(sha256(b"another")) });
    assert_eq!(ledger.faults(), [StreamFault::Link { expected: 1, found: 1 }]);
    // A statement without a record, without a stream, and of another generation.
    let mut ledger = Ledger::new();
    let mut generation = ledger.open(FIRST_RUN);
    ledger.record(&mut generation, &secret("a"));
    let before = generation.clone();
    ledger.record(&mut generation, &secret("a"));
    ledger.close(before);
    assert!(matches!(ledger.faults()[..], [StreamFault::Statement { stated: 1, found: 1, .. }]));
    let mut ledger = Ledger::new();
    let mut generation = ledger.open(FIRST_RUN);
    ledger.record(&mut generation, &secret("a"));
    ledger.close(Generation::new(0, generation.rule()));
    assert!(matches!(ledger.faults()[..], [StreamFault::Statement { stated: 0, found: 1, .. }]));
    let mut ledger = Ledger::new();
    ledger.open(FIRST_RUN);
    ledger.close(Generation::new(1, rule("session")));
    assert_eq!(ledger.faults(), [StreamFault::OtherGeneration { first: 1 }]);
    // A stream where no generation is open.
    let mut ledger = Ledger::new();
    ledger.seal(None, StreamPlace::In { id, seq: 0, prev: None });
    assert_eq!(ledger.faults(), [StreamFault::Outside]);
}

#[test]
fn what_was_pushed_is_taken_back() {
    let mut generation = Generation::new(0, rule("session"));
    let id = |name: &str| secret(name).id(&self::name(), 0);
    generation.push(id("a"), sha256(b"0"));
    let before = generation.statement(false);
    let undo = [(id("a"), generation.push(id("a"), sha256(b"1"))), (id("b"), generation.push(id("b"), sha256(b"2")))];
    undo.into_iter().rev().for_each(|(id, tail)| generation.put_back(id, tail));
    assert_eq!(generation.statement(false), before);
}

#[test]
fn ids_of_generations_ledgers_and_kinds_differ() {
    let key = StreamKey::new([3; 32]);
    let (session, agent) = (key.secret(StreamKind::Session, "x"), key.secret(StreamKind::Agent, "x"));
    let other = LedgerName::parse("acme.example/other").unwrap();
    let ids = [session.id(&name(), 0), session.id(&name(), 1), session.id(&other, 0), agent.id(&name(), 0)];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert_eq!(StreamSecret::from_hex(&session.to_hex()).as_ref(), Some(&session));
    assert_eq!(format!("{key:?} {session:?}"), "StreamKey(***) StreamSecret(***)");
}

proptest! {
    /// Presence and absence of any stream are proven, and nothing else is.
    #[test]
    fn each_stream_has_its_proof(counts in prop::collection::btree_map("[a-z]{1,3}", 1_u64..4, 0..20), asked in "[a-z]{1,3}", forged in any::<[u8; 32]>()) {
        let mut generation = Generation::new(9, rule("session"));
        let mut tails = BTreeMap::new();
        for (stream, count) in &counts {
            for number in 0..*count {
                let hash = sha256(format!("{stream}{number}").as_bytes());
                generation.push(secret(stream).id(&name(), 9), hash);
                tails.insert(stream.clone(), Tail { count: number + 1, last: hash });
            }
        }
        let statement = generation.statement(false);
        for stream in counts.keys().chain([&asked]) {
            let id = secret(stream).id(&name(), 9);
            let proof = generation.prove(&id);
            prop_assert_eq!(in_generation(&statement, &id, &proof), Ok(tails.get(stream).copied()));
            // Of another stream it says nothing, or what is true of that.
            let other = StreamId::parse(&Hash::from_bytes(forged).to_hex()).unwrap();
            prop_assert!(!matches!(in_generation(&statement, &other, &proof), Ok(Some(_))));
            for (at, entry) in proof.iter().enumerate() {
                let mut doctored = proof.clone();
                doctored[at].entry.tail.count += 1;
                prop_assert!(in_generation(&statement, &id, &doctored).is_err());
                let mut moved = proof.clone();
                moved[at].position += 1;
                prop_assert!(in_generation(&statement, &id, &moved).is_err(), "{:?}", entry);
            }
            if proof.len() == 2 {
                // One neighbour alone shows nothing.
                prop_assert!(in_generation(&statement, &id, &proof[..1]).is_err());
                prop_assert!(in_generation(&statement, &id, &proof[1..]).is_err());
            }
        }
    }
}
