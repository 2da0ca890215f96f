//! The cases, and how they take turns.

use std::hint::black_box;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use sha2::{Digest, Sha256};
use tracing::Dispatch;
use tracing::dispatcher::with_default;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use crate::measure::{Series, thread_ns};
use crate::peers;
use crate::recorder::Recorder;
use crate::tally::Tally;
use crate::workload::{ATTRIBUTES, Request, annotated, annotated_empty};

/// Calls in a chunk: below the 2,048 spans that the batch processor of OpenTelemetry holds, so that it drops none.
pub const CHUNK: u64 = 1_000;
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
    run: fn(&World, u64),
}

/// What the others are measured against.
pub const HANDWRITTEN: &str = "handwritten";
/// The one that matters.
pub const ANNOTATED: &str = "annotated";
/// What most Rust applications have.
pub const TRACING: &str = "tracing";

/// All cases; those with the same recorder stand together.
pub const CASES: [Case; 8] = [
    Case {
        name: HANDWRITTEN,
        what: "opentelemetry_sdk by hand, current",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        run: |world, calls| repeat(calls, || peers::handwritten(&world.tracer, &world.request)),
    },
    Case {
        name: "builder",
        what: "opentelemetry_sdk's builder, not current",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        run: |world, calls| repeat(calls, || peers::builder(&world.tracer, &world.request)),
    },
    Case {
        name: TRACING,
        what: "tracing + tracing-opentelemetry",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        run: |world, calls| with_default(&world.dispatch, || repeat(calls, || peers::tracing(&world.request))),
    },
    Case {
        name: "fastrace",
        what: "fastrace, a root",
        recorder: Recorder::None,
        attributes: Some(ATTRIBUTES),
        run: |world, calls| repeat(calls, || peers::fastrace(&world.request)),
    },
    Case {
        name: "sha256",
        what: "SHA-256 of the prompt alone",
        recorder: Recorder::None,
        attributes: None,
        run: |world, calls| repeat(calls, || Sha256::digest(black_box(&world.request.prompt))),
    },
    Case {
        name: "no_recorder",
        what: "#[generation], without init",
        recorder: Recorder::None,
        attributes: None,
        run: |world, calls| repeat(calls, || annotated(&world.request)),
    },
    Case {
        name: ANNOTATED,
        what: "#[generation]",
        recorder: Recorder::Memory,
        attributes: Some(ATTRIBUTES),
        run: |world, calls| repeat(calls, || annotated(&world.request)),
    },
    Case {
        name: "annotated_empty",
        what: "#[generation], no arguments",
        recorder: Recorder::Memory,
        attributes: Some(1),
        run: |world, calls| repeat(calls, || annotated_empty(&world.request)),
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
        Self { request: Request::default(), provider, tracer, dispatch, tally }
    }

    /// What has arrived so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Runs each case of `cases` once, `chunk` around its calls, each recorder for all of its cases that stand together.
    ///
    /// # Panics
    /// If a span did not arrive, or without its attributes: what it would have cost is unknown then.
    pub fn round(&self, cases: &[Case], calls: u64, mut chunk: impl FnMut(usize, &mut dyn FnMut())) {
        let mut at = 0;
        for together in cases.chunk_by(|one, next| one.recorder == next.recorder) {
            let recorder = together[0].recorder.start(&self.tally);
            for case in together {
                let (spans, attributes) = (self.tally.spans(), self.tally.attributes());
                (case.run)(self, WARM_UP);
                chunk(at, &mut || (case.run)(self, calls));
                at += 1;
                recorder.drain();
                self.provider.force_flush().expect("the batch processor delivers");
                fastrace::flush();
                let (spans, attributes) = (self.tally.spans() - spans, self.tally.attributes() - attributes);
                let expected = if case.attributes.is_some() { WARM_UP + calls } else { 0 };
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

/// CPU time of the calling thread for each case, nanoseconds a call, a sample a round.
pub fn cpu_time(rounds: u64) -> Vec<Series> {
    let world = World::new();
    let mut series = vec![Series::default(); CASES.len()];
    // The first rounds warm caches and the allocator.
    let first_rounds = rounds.div_ceil(10);
    for round in 0..first_rounds + rounds {
        world.round(&CASES, CHUNK, |case, calls| {
            let began = thread_ns();
            calls();
            let taken = thread_ns() - began;
            if round >= first_rounds {
                series[case].push(taken / CHUNK as f64);
            }
        });
    }
    series
}

#[cfg(test)]
mod tests {
    use super::{CASES, World};

    #[test]
    fn every_case_records_all_that_it_is_given() {
        let world = World::new();
        let mut seen = Vec::new();
        // The round itself compares what arrived with what must.
        world.round(&CASES, 20, |case, calls| {
            calls();
            seen.push(case);
        });
        assert_eq!(seen, (0..CASES.len()).collect::<Vec<_>>());
        assert!(world.tally().attributes() > 0);
    }
}
