//! A service that waits 30 ms for its model, a hundred times at once, with and without the annotation.
//!
//! The same service is measured twice without, so that one sees how much two equal ones differ.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph::Init;
use tokio::runtime::Runtime;

use crate::measure::{Series, process_ns, rounded};
use crate::tally::Tally;
use crate::workload::{Reply, Request, work};

const AT_ONCE: usize = 100;
const CALLS_EACH: usize = 20;
const MODEL: Duration = Duration::from_millis(30);

async fn plain(request: &Request) -> Reply {
    tokio::time::sleep(MODEL).await;
    work(request)
}

#[tachograph::generation(
    provider = "acme",
    operation = "image",
    action = "render",
    model = request.model,
    actor = request.user,
    session = request.session,
    prompt = request.prompt,
    seed = request.seed,
    guidance_scale = 7.5,
    parameters(tiled = true),
    tokens_out = ret.tokens,
    cost = ret.cost,
)]
async fn annotated(request: &Request) -> Reply {
    tokio::time::sleep(MODEL).await;
    work(request)
}

/// What a round of one service showed.
#[derive(Debug, Default)]
struct Service {
    per_second: Series,
    p50_ms: Series,
    p99_ms: Series,
    /// CPU time of the whole process a call, delivery included.
    cpu_us: Series,
}

impl Service {
    fn to_json(&self) -> Value {
        json!({
            "calls_per_second": self.per_second.to_json(1),
            "p50_ms": self.p50_ms.to_json(3),
            "p99_ms": self.p99_ms.to_json(3),
            "process_cpu_us": self.cpu_us.to_json(1),
        })
    }

    /// How much more of each than `other` had in the same round, as a share.
    fn beside(&self, other: &Self) -> Value {
        let more = |this: &Series, other: &Series| rounded(this.ratios(other).median() - 1.0, 4);
        json!({
            "calls_per_second": more(&self.per_second, &other.per_second),
            "p50_ms": more(&self.p50_ms, &other.p50_ms),
            "p99_ms": more(&self.p99_ms, &other.p99_ms),
        })
    }
}

/// Throughput and latency without, with, and without again.
///
/// # Panics
/// If a record is lost.
pub fn run(rounds: u64) -> Value {
    let runtime = Runtime::new().expect("a runtime");
    let tally = Tally::default();
    let guard = Init::new("bench").heartbeat(Duration::ZERO).init_with(tally.clone()).expect("init");
    let mut services: [Service; 3] = Default::default();
    for round in 0..=rounds {
        // Each stands first as often as last.
        let order = if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] };
        for which in order {
            let service = if round > 0 { &mut services[which] } else { &mut Service::default() };
            measure(&runtime, which == 1, service);
        }
    }
    guard.shutdown().expect("nothing is lost");
    assert_eq!(tally.spans(), (rounds + 1) * (AT_ONCE * CALLS_EACH) as u64, "spans that arrived");
    let [before, annotated, after] = &services;
    json!({
        "rounds": rounds,
        "at_once": AT_ONCE,
        "calls_a_round": AT_ONCE * CALLS_EACH,
        "without": before.to_json(),
        "with": annotated.to_json(),
        "without_again": after.to_json(),
        "effect": annotated.beside(before),
        "noise": after.beside(before),
    })
}

/// The effect and the noise, for people.
pub fn lines(report: &Value) -> Vec<String> {
    let percent = |part: &str, what: &str| format!("{:+.2} %", report[part][what].as_f64().unwrap_or(0.0) * 100.0);
    let line = |what: &str| format!("{what:18}{:>9}{:>30}", percent("effect", what), percent("noise", what));
    let head = format!("{:18}{:>9}{:>30}", "30 ms inference", "annotated", "the same twice, not annotated");
    [head].into_iter().chain(["calls_per_second", "p50_ms", "p99_ms"].map(line)).collect()
}

fn measure(runtime: &Runtime, with: bool, service: &mut Service) {
    let (cpu, began) = (process_ns(), Instant::now());
    let mut latencies = Series::default();
    runtime.block_on(async {
        let clients: Vec<_> = (0..AT_ONCE).map(|number| tokio::spawn(client(number, with))).collect();
        for client in clients {
            client.await.expect("a client").into_iter().for_each(|latency| latencies.push(latency));
        }
    });
    let calls = (AT_ONCE * CALLS_EACH) as f64;
    service.per_second.push(calls / began.elapsed().as_secs_f64());
    service.p50_ms.push(latencies.median());
    service.p99_ms.push(latencies.quantile(0.99));
    service.cpu_us.push((process_ns() - cpu) / calls / 1e3);
}

/// Milliseconds of each call, one after another. Clients begin one after another too, evenly over the time of a call: nobody's come all
/// in the same instant.
async fn client(number: usize, with: bool) -> Vec<f64> {
    let request = Request::default();
    tokio::time::sleep(MODEL * number as u32 / AT_ONCE as u32).await;
    let mut latencies = Vec::with_capacity(CALLS_EACH);
    for _ in 0..CALLS_EACH {
        let began = Instant::now();
        let reply = if with { annotated(&request).await } else { plain(&request).await };
        std::hint::black_box(reply);
        latencies.push(began.elapsed().as_secs_f64() * 1e3);
    }
    latencies
}
