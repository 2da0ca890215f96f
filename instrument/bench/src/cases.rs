//! The cases, and how they take turns.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use sha2::{Digest, Sha256};
use tachograph::Durability;
use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use crate::measure::{Series, thread_ns};
use crate::peers;
use crate::receiver;
use crate::recorder::Recorder;
use crate::tally::Tally;
use crate::workload::{ATTRIBUTES, Request, annotated, annotated_empty};

/// Calls in a chunk: below the 2,048 spans that the batch processor of OpenTelemetry holds, so that it drops none.
pub const CHUNK: u64 = 1_000;
/// Calls in a chunk that wait for another thread, and that wait for the disk.
const CHUNK_OF_WAITING: u64 = 200;
const CHUNK_OF_SYNCING: u64 = 20;
/// Calls before each chunk, not counted: a recorder that was just started is cold.
const WARM_UP: u64 = 100;

/// One way to record a call, or something to compare it with.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// A word for the report.
    pub name: &'static str,
    /// A line for people.
    pub what: &'static str,
    /// What must run beside it.
    pub recorder: Recorder,
    /// How many attributes a span has at least; `None` if there is no span.
    pub attributes: Option<u64>,
    /// Calls in a chunk.
    pub chunk: u64,
    run: fn(&World, u64),
}

/// What the others are measured against.
pub const HANDWRITTEN: &str = "handwritten";
/// The one that matters.
pub const ANNOTATED: &str = "annotated";
/// What most Rust applications have.
pub const TRACING: &str = "tracing";

/// All cases; those with the same recorder stand together.
pub const CASES: [Case; 11] = [
    Case {
        name: HANDWRITTEN,
        what: "opentelemetry_sdk by hand, current",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || peers::handwritten(&world.tracer, &world.request)),
    },
    Case {
        name: "builder",
        what: "opentelemetry_sdk's builder, not current",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || peers::builder(&world.tracer, &world.request)),
    },
    Case {
        name: TRACING,
        what: "tracing + tracing-opentelemetry",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK,
        run: |world, calls| with_default(&world.dispatch, || repeat(calls, || peers::tracing(&world.request))),
    },
    Case {
        name: "fastrace",
        what: "fastrace, a root",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || peers::fastrace(&world.request)),
    },
    Case {
        name: "sha256",
        what: "SHA-256 of the prompt alone",
        recorder: Recorder::None,
        attributes: None,
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || Sha256::digest(black_box(&world.request.prompt))),
    },
    Case {
        name: "no_recorder",
        what: "#[generation], without init",
        recorder: Recorder::None,
        attributes: None,
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || annotated(&world.request)),
    },
    Case {
        name: ANNOTATED,
        what: "#[generation]",
        recorder: Recorder::Memory,
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || annotated(&world.request)),
    },
    Case {
        name: "annotated_empty",
        what: "#[generation], no arguments",
        recorder: Recorder::Memory,
        attributes: Some(1),
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || annotated_empty(&world.request)),
    },
    Case {
        name: "spool_memory",
        what: "#[generation], spool, Durability::Memory",
        recorder: Recorder::Spool(Durability::Memory),
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK,
        run: |world, calls| repeat(calls, || annotated(&world.request)),
    },
    Case {
        name: "spool_process",
        what: "#[generation], spool, Durability::Process",
        recorder: Recorder::Spool(Durability::Process),
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK_OF_WAITING,
        run: |world, calls| repeat(calls, || annotated(&world.request)),
    },
    Case {
        name: "spool_machine",
        what: "#[generation], spool, Durability::Machine",
        recorder: Recorder::Spool(Durability::Machine),
        attributes: Some(ATTRIBUTES),
        chunk: CHUNK_OF_SYNCING,
        run: |world, calls| repeat(calls, || annotated(&world.request)),
    },
];

#[inline(always)]
fn repeat<R>(calls: u64, call: impl Fn() -> R) {
    for _ in 0..calls {
        black_box(call());
    }
}

/// Everything that the cases share.
#[derive(Debug)]
pub struct World {
    request: Request,
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    dispatch: Dispatch,
    tally: Tally,
    receiver: SocketAddr,
}

impl World {
    /// Sets up the peers, each as its documentation does.
    pub fn new() -> Self {
        let tally = Tally::default();
        let provider =
            SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_batch_exporter(tally.clone()).build();
        let tracer = provider.tracer("bench");
        // For a thread rather than for the process: the libraries that deliver records use `tracing` too.
        let layer = tracing_opentelemetry::layer().with_tracer(tracer.clone());
        let dispatch = Dispatch::new(Registry::default().with(layer));
        fastrace::set_reporter(tally.clone(), fastrace::collector::Config::default());
        let receiver = receiver::start(tally.clone());
        Self { request: Request::default(), provider, tracer, dispatch, tally, receiver }
    }

    /// What has arrived so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Runs each case once, `chunk` around its calls, of which there are `most` at most. It gets the case's place, how many calls it
    /// makes, and the calls. A recorder runs for all of its cases that stand together.
    ///
    /// # Panics
    /// If a span did not arrive, or without its attributes: what it would have cost is unknown then.
    pub fn round(&self, most: u64, mut chunk: impl FnMut(usize, u64, &mut dyn FnMut())) {
        let mut at = 0;
        for together in CASES.chunk_by(|one, next| one.recorder == next.recorder) {
            let recorder = together[0].recorder.start(&self.tally, self.receiver);
            for case in together {
                let (spans, attributes) = (self.tally.spans(), self.tally.attributes());
                let calls = case.chunk.min(most);
                let warm_up = WARM_UP.min(calls);
                (case.run)(self, warm_up);
                chunk(at, calls, &mut || (case.run)(self, calls));
                at += 1;
                recorder.drain();
                self.provider.force_flush().expect("the batch processor delivers");
                fastrace::flush();
                let (spans, attributes) = (self.tally.spans() - spans, self.tally.attributes() - attributes);
                let expected = if case.attributes.is_some() { warm_up + calls } else { 0 };
                assert_eq!(spans, expected, "{}: spans that arrived", case.name);
                let least = expected * case.attributes.unwrap_or(0);
                assert!(attributes >= least, "{}: {attributes} attributes arrived, not {least}", case.name);
            }
            recorder.stop();
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// What each case took, nanoseconds a call, a sample a round.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// CPU time of the calling thread.
    pub cpu: Series,
    /// Time on the clock.
    pub elapsed: Series,
}

/// Measures each case in so many rounds.
pub fn measure(rounds: u64) -> Vec<Taken> {
    let world = World::new();
    let mut taken = vec![Taken::default(); CASES.len()];
    // The first rounds warm caches and the allocator.
    let first_rounds = rounds.div_ceil(10);
    for round in 0..first_rounds + rounds {
        world.round(CHUNK, |case, number, calls| {
            let (began, cpu) = (Instant::now(), thread_ns());
            calls();
            let (cpu, elapsed) = (thread_ns() - cpu, began.elapsed().as_nanos() as f64);
            if round >= first_rounds {
                taken[case].cpu.push(cpu / number as f64);
                taken[case].elapsed.push(elapsed / number as f64);
            }
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::{CASES, World};

    #[test]
    fn every_case_records_all_that_it_is_given() {
        let world = World::new();
        let mut seen = Vec::new();
        // The round itself compares what arrived with what must.
        world.round(10, |case, _, calls| {
            calls();
            seen.push(case);
        });
        assert_eq!(seen, (0..CASES.len()).collect::<Vec<_>>());
        assert!(world.tally().attributes() > 0);
    }
}
