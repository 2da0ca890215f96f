//! What sealing costs for each record beside one SHA-256 of the same body: hash of the body, leaf, leaf hash, chain, MAC, tree.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tachograph_ledger::{Edge, Entry, LedgerName, MacKey, MacScheme, Sealer, SigningKey, sha256};

use crate::ingest::round;
use crate::load::Random;

/// Bytes of a body: of the image service of the other parts, and of the load's spans.
const SIZES: [usize; 2] = [1_041, 2_434];
const BODIES: usize = 2_000;
const ROUNDS: usize = 41;

pub(crate) fn run() -> Value {
    let sizes = SIZES.map(|size| {
        let mut random = Random::new(size as u64);
        let bodies: Vec<String> = (0..BODIES).map(|_| random.text(size)).collect();
        let mut times: [Vec<f64>; 3] = Default::default();
        // The first warms the caches.
        for round in 0..=ROUNDS {
            let taken = [hashing(&bodies), sealing(&bodies, false), sealing(&bodies, true)];
            if round > 0 {
                times.iter_mut().zip(taken).for_each(|(times, taken)| times.push(taken));
            }
        }
        let [hash, without_tree, seal] = times.map(spread);
        json!({
            "body_bytes": size,
            "rounds": ROUNDS,
            "sha256_of_the_body_ns": hash,
            "seal_without_tree_ns": without_tree,
            "seal_ns": seal,
            "seal_to_sha256": round(seal["median"].as_f64().unwrap_or(0.0) / hash["median"].as_f64().unwrap_or(1.0)),
        })
    });
    json!(sizes)
}

fn spread(mut times: Vec<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    json!({
        "median": times[times.len() / 2].round(),
        "least": times[0].round(),
        "most": times[times.len() - 1].round(),
    })
}

/// Nanoseconds of this thread's CPU for each body.
fn timed(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let began = now();
    work();
    (now() - began) / BODIES as f64
}

fn hashing(bodies: &[String]) -> f64 {
    timed(|| {
        for body in bodies {
            black_box(sha256(black_box(body.as_bytes())));
        }
    })
}

/// As the collector does it; the tree grows in the archiver.
fn sealing(bodies: &[String], with_tree: bool) -> f64 {
    let key = SigningKey::from_seed(LedgerName::parse("bench.example/seal").expect("a name"), [9; 32]);
    let mut sealer = Sealer::new(&key.public(), MacKey::initial(MacScheme::V2, [7; 32])).expect("a sealer");
    let (mut leaf, mut edge) = (Vec::new(), Edge::new());
    timed(|| {
        for (number, body) in bodies.iter().enumerate() {
            leaf.clear();
            let at = 1_795_168_800_000_000_000 + number as u64;
            let entry = Entry {
                body_len: body.len() as u64,
                body_sha256: sha256(black_box(body.as_bytes())),
                event_time: at,
                kind: "generation",
                producer: Some("image-service"),
                producer_epoch: Some("0011223344556677"),
                producer_seq: Some(number as u64),
                sealed_at: at + 5_000_000,
                span_id: Some([7; 8]),
                trace_id: Some([9; 16]),
            };
            let sealed = sealer.seal(entry, &mut leaf).expect("sealed");
            if with_tree {
                edge.push(sealed.hash);
            }
            black_box((&leaf, sealed.mac));
        }
        black_box(edge.root());
    })
}
