//! What one annotated call costs beside a hand-written OpenTelemetry span with the same twelve
//! attributes, made current, in the same run.
//!
//! Both are measured in CPU time of the calling thread (`CLOCK_THREAD_CPUTIME_ID`), in turns, with
//! exporters that discard; the queues are drained between chunks and that is not timed. Allocations are
//! those of the calling thread too. Prints JSON.
//!
//!     cargo run --release -p tachograph --example bench_call

use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

const CHUNK: usize = 1_000;
const CHUNKS: usize = 300;
const FIRST_CHUNKS: usize = 30; // warm-up, not counted

#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        black_box(batch);
        Ok(())
    }
}

struct Request {
    model: String,
    user: String,
    session: String,
    prompt: String,
    width: i64,
    seed: i64,
}

struct Reply {
    tokens: i64,
    cost: f64,
}

#[inline(never)]
fn work(request: &Request) -> Reply {
    Reply { tokens: black_box(request.width), cost: black_box(0.5) }
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
#[inline(never)]
fn annotated(request: &Request) -> Reply {
    work(request)
}

#[inline(never)]
fn handwritten(tracer: &SdkTracer, request: &Request) -> Reply {
    let span = tracer.start("handwritten");
    let context = Context::current_with_span(span);
    let attached = context.clone().attach();
    let reply = work(request);
    drop(attached);
    context.span().set_attributes([
        KeyValue::new("gen_ai.provider.name", "acme"),
        KeyValue::new("gen_ai.operation.name", "image"),
        KeyValue::new("tachograph.action.type", "render"),
        KeyValue::new("gen_ai.request.model", request.model.clone()),
        KeyValue::new("tachograph.actor.id", request.user.clone()),
        KeyValue::new("session.id", request.session.clone()),
        KeyValue::new("tachograph.prompt", request.prompt.clone()),
        KeyValue::new("gen_ai.request.seed", request.seed),
        KeyValue::new("tachograph.parameter.guidance_scale", 7.5),
        KeyValue::new("tachograph.parameter.tiled", true),
        KeyValue::new("gen_ai.usage.output_tokens", reply.tokens),
        KeyValue::new("tachograph.cost", reply.cost),
    ]);
    context.span().end();
    reply
}

fn cpu_ns() -> i128 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// Nanoseconds a call, over one chunk.
fn chunk(mut call: impl FnMut() -> Reply) -> f64 {
    let start = cpu_ns();
    for _ in 0..CHUNK {
        black_box(call());
    }
    (cpu_ns() - start) as f64 / CHUNK as f64
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

struct Series(Vec<f64>);

impl Series {
    /// Median and interquartile range.
    fn median_and_spread(mut self) -> (f64, f64) {
        self.0.sort_by(f64::total_cmp);
        let at = |share: f64| self.0[(self.0.len() as f64 * share) as usize];
        (at(0.5), at(0.75) - at(0.25))
    }
}

/// Allocations and bytes a call, of this thread.
fn allocations(mut call: impl FnMut() -> Reply) -> (f64, f64) {
    let counted = allocation_counter::measure(|| {
        for _ in 0..CHUNK {
            black_box(call());
        }
    });
    (counted.count_total as f64 / CHUNK as f64, counted.bytes_total as f64 / CHUNK as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let request = Request {
        model: "pixel-2".to_owned(),
        user: "anna".to_owned(),
        session: "s-0001".to_owned(),
        prompt: "x".repeat(600),
        width: 64,
        seed: 7,
    };
    let mut off = Vec::new();
    for _ in 0..CHUNKS {
        off.push(chunk(|| annotated(&request)));
    }
    let (off_allocations, _) = allocations(|| annotated(&request));

    let guard = tachograph::Init::new("bench").init_with(Discard)?;
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_batch_exporter(Discard).build();
    let tracer = provider.tracer("bench");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for i in 0..FIRST_CHUNKS + CHUNKS {
        let annotated_ns = chunk(|| annotated(&request));
        guard.flush(Duration::from_secs(10));
        let handwritten_ns = chunk(|| handwritten(&tracer, &request));
        provider.force_flush()?;
        if i >= FIRST_CHUNKS {
            ours.push(annotated_ns);
            theirs.push(handwritten_ns);
        }
    }
    // The queues have grown as far as they will.
    let (our_allocations, our_bytes) = allocations(|| annotated(&request));
    guard.flush(Duration::from_secs(10));
    let (their_allocations, their_bytes) = allocations(|| handwritten(&tracer, &request));
    provider.shutdown()?;
    guard.shutdown()?;

    let (annotated_ns, annotated_spread) = Series(ours).median_and_spread();
    let (handwritten_ns, handwritten_spread) = Series(theirs).median_and_spread();
    let (off_ns, _) = Series(off).median_and_spread();
    println!(
        "{}",
        serde_json::json!({
            "annotated_ns": annotated_ns.round(),
            "handwritten_ns": handwritten_ns.round(),
            "ratio": (annotated_ns / handwritten_ns * 1000.0).round() / 1000.0,
            "not_initialised_ns": off_ns.round(),
            "allocations": {
                "annotated": round(our_allocations), "handwritten": round(their_allocations),
                "not_initialised": round(off_allocations),
                "annotated_bytes": our_bytes.round(), "handwritten_bytes": their_bytes.round(),
            },
            "samples": CHUNKS,
            "calls_per_sample": CHUNK,
            "spread": {"annotated_ns": annotated_spread.round(), "handwritten_ns": handwritten_spread.round()},
        })
    );
    Ok(())
}
