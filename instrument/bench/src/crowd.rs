//! Many threads at once beside one thread a core: what they cost each other.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph::Init;

use crate::measure::{Series, rounded, thread_ns};
use crate::tally::Tally;
use crate::workload::{Request, annotated};

const MANY: usize = 16;
/// Calls of all threads together, in both cases the same.
const CALLS: usize = 32_000;

/// CPU time a call with a thread a core, with sixteen threads, and the ratio of the two in each round.
///
/// # Panics
/// If a record is lost.
pub fn run(rounds: u64) -> Value {
    let few = std::thread::available_parallelism().map_or(1, usize::from);
    let tally = Tally::default();
    // Room for a whole round: waiting for a place in a full queue would be measured instead of the call.
    let init = Init::new("bench").heartbeat(Duration::ZERO).queue(2 * CALLS, 512 << 20);
    let guard = init.init_with(tally.clone()).expect("init");
    let mut series: [[Series; 2]; 2] = Default::default();
    for round in 0..=rounds {
        for (case, threads) in [few, MANY].into_iter().enumerate() {
            let [cpu, wall] = at_once(threads);
            let report = guard.flush(Duration::from_secs(60));
            assert_eq!(report.lost, 0, "records were lost: {report:?}");
            // The first round warms up.
            if round > 0 {
                series[case][0].push(cpu);
                series[case][1].push(wall);
            }
        }
    }
    guard.shutdown().expect("nothing is lost");
    assert_eq!(tally.spans(), (rounds + 1) * 2 * CALLS as u64, "spans that arrived");
    let [[few_cpu, few_wall], [many_cpu, many_wall]] = &series;
    let ratios = many_cpu.ratios(few_cpu);
    let one = |threads: usize, cpu: &Series, wall: &Series| json!({ "threads": threads, "cpu_ns": cpu.to_json(0), "elapsed_ns": wall.to_json(0) });
    json!({
        "rounds": rounds,
        "calls_a_round": CALLS,
        "thread_a_core": one(few, few_cpu, few_wall),
        "many_threads": one(MANY, many_cpu, many_wall),
        "cpu_ratio": rounded(ratios.median(), 3),
        "elapsed_ratio": rounded(many_wall.ratios(few_wall).median(), 3),
    })
}

/// Nanoseconds a call: of the threads' CPU time, and on the clock from when the first began until the last ended.
fn at_once(threads: usize) -> [f64; 2] {
    let calls = CALLS / threads;
    let start = Barrier::new(threads);
    let done: Vec<(f64, Instant, Instant)> = std::thread::scope(|scope| {
        let work = || {
            let request = Request::default();
            start.wait();
            let (began, cpu) = (Instant::now(), thread_ns());
            for _ in 0..calls {
                black_box(annotated(&request));
            }
            (thread_ns() - cpu, began, Instant::now())
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    let cpu: f64 = done.iter().map(|(cpu, ..)| cpu).sum();
    let began = done.iter().map(|(_, began, _)| *began).min();
    let ended = done.iter().map(|(.., ended)| *ended).max();
    let elapsed = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
    let made = (threads * calls) as f64;
    [cpu / made, elapsed.as_nanos() as f64 / made]
}

#[cfg(test)]
mod tests {
    use super::{CALLS, MANY};

    #[test]
    fn sixteen_threads_share_the_calls_evenly() {
        assert_eq!(CALLS % MANY, 0);
    }
}
