//! What streams cost the one who seals: leaf, hash and MAC of the same records with and without, in one run; and what a statement costs.
//!
//! ```text
//! cargo run --release -p tachograph-ledger --example stream_speed
//! ```

use std::time::Duration;

use tachograph_ledger::stream::MAX_GENERATION;
use tachograph_ledger::{
    Entry, Generation, LedgerName, MacKey, MacScheme, Sealer, SigningKey, StreamBy, StreamKey, StreamKind, StreamPlace,
    StreamRule, StreamSecret, sha256,
};

/// A generation that is full.
const RECORDS: u64 = MAX_GENERATION - 1;
const ROUNDS: usize = 5;

/// Time that this thread had on a processor, which other work on the machine does not lengthen much.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number"))
}

fn sealer(name: &LedgerName) -> Sealer {
    let key = SigningKey::from_seed(name.clone(), [1; 32]);
    Sealer::new(&key.public(), MacKey::initial(MacScheme::V2, [2; 32])).expect("a new ledger")
}

fn entry(number: u64) -> Entry<'static> {
    Entry {
        body_len: 2_400,
        body_sha256: sha256(&number.to_be_bytes()),
        event_time: 1_790_000_000_000_000_000 + number,
        kind: "generation",
        producer: Some("credit-api-1"),
        producer_epoch: Some("0123456789abcdef"),
        producer_seq: Some(number),
        sealed_at: 1_790_000_000_005_000_000 + number,
        span_id: Some(number.to_be_bytes()),
        trace_id: Some([number as u8; 16]),
    }
}

fn without(name: &LedgerName) -> Duration {
    let (mut sealer, mut leaf) = (sealer(name), Vec::new());
    let begun = spent();
    for number in 0..RECORDS {
        leaf.clear();
        sealer.seal(entry(number), &mut leaf).expect("sealed");
    }
    spent() - begun
}

/// As the collector's writer does it. `secrets`: what other threads have found before. Gives also what the statement took.
fn with(name: &LedgerName, secrets: &[StreamSecret]) -> (Duration, Duration) {
    let (mut sealer, mut leaf) = (sealer(name), Vec::new());
    let by = StreamBy::new(&[StreamKind::Session]).expect("a kind");
    let mut open = Generation::new(0, StreamRule { by, key: StreamKey::new([3; 32]).id() });
    let begun = spent();
    for number in 0..RECORDS {
        leaf.clear();
        let id = secrets[number as usize % secrets.len()].id(name, 0);
        let (seq, prev) = open.next(&id);
        let sealed = sealer.seal_in(entry(number), &StreamPlace::In { id, seq, prev }, &mut leaf).expect("sealed");
        open.push(id, sealed.hash);
    }
    let sealed = spent() - begun;
    let begun = spent();
    std::hint::black_box(open.statement(false));
    (sealed, spent() - begun)
}

fn main() {
    let name = LedgerName::parse("acme.example/ai-audit").expect("a name");
    let key = StreamKey::new([3; 32]);
    let per_record = |took: Duration| took.as_secs_f64() * 1e9 / RECORDS as f64;
    println!("sessions | without, ns a record | with, ns a record | ratio | statement, ms  (the fastest of {ROUNDS})");
    for sessions in [10, 1_000, 26_000, RECORDS] {
        let secrets: Vec<StreamSecret> =
            (0..sessions).map(|number| key.secret(StreamKind::Session, &format!("session-{number}"))).collect();
        // One after another, so that both meet the same machine.
        let rounds: Vec<_> = (0..ROUNDS).map(|_| (without(&name), with(&name, &secrets))).collect();
        let bare = rounds.iter().map(|(bare, _)| per_record(*bare)).fold(f64::MAX, f64::min);
        let streams = rounds.iter().map(|(_, (took, _))| per_record(*took)).fold(f64::MAX, f64::min);
        let statement = rounds.iter().map(|(_, (_, took))| took.as_secs_f64() * 1e3).fold(f64::MAX, f64::min);
        println!("{sessions} | {bare:.0} | {streams:.0} | {:.2} | {statement:.1}", streams / bare);
    }
    let begun = spent();
    (0..RECORDS)
        .for_each(|number| drop(std::hint::black_box(key.secret(StreamKind::Session, &format!("session-{number}")))));
    println!("secret, found by the threads that decode: {:.0} ns a record", per_record(spent() - begun));
}
