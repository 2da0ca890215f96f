//! Proof that the chain holds under concurrency: programs that a seed generates (tasks, joined futures, streams, channels, threads,
//! pools; errors, panics and cancellations) run on several threads, and each record is compared with the program.
//!
//! The seeds are printed; `TACHOGRAPH_SEED=…` runs one.

#[path = "record/sink.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod sink;

use futures_util::{FutureExt, StreamExt};
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use tachograph::InContext;
use tokio::sync::{Notify, mpsc, oneshot};

const TASKS: usize = 64;
const THREADS: usize = 4;
const DEEPEST: usize = 5;

/// One call of an annotated function, as it is planned.
#[derive(Debug)]
struct Node {
    name: String,
    end: End,
    yields: u32,
    /// What it does, one after another; those of a group at once.
    groups: Vec<Vec<(Way, Arc<Node>)>>,
    /// What it awaits when it is cancelled, if it does not wait itself.
    hung: Option<Arc<Node>>,
    /// It, or what it awaits, has come to where it is cancelled.
    arrived: Arc<Notify>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Success,
    Failure,
    Panic,
    Cancelled,
}

/// How a call is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    // … of an asynchronous function:
    Await,
    Spawn,
    SpawnInContext,
    Stream,
    Channel,
    // … of one that is cancelled:
    Select,
    Abort,
    // … of a synchronous function:
    Direct,
    Blocking,
    Thread,
    Rayon,
    ScopedThread,
}

/// A xorshift generator: the same seed, the same program.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Plans programs and keeps what is to be recorded.
struct Planner {
    random: Random,
    expected: HashMap<String, Expected>,
}

#[derive(Debug)]
struct Expected {
    parent: Option<String>,
    root: String,
    end: End,
}

impl Planner {
    fn root(&mut self) -> Arc<Node> {
        let name = format!("root {}", self.expected.len());
        let end = self.random.one_of(&[End::Success, End::Failure, End::Panic]);
        self.node(&name, None, &name, end, DEEPEST, true, Arc::default())
    }

    #[allow(clippy::too_many_arguments)]
    fn node(
        &mut self,
        name: &str,
        parent: Option<&str>,
        root: &str,
        end: End,
        depth: usize,
        is_async: bool,
        arrived: Arc<Notify>,
    ) -> Arc<Node> {
        let expected = Expected { parent: parent.map(str::to_owned), root: root.to_owned(), end };
        assert!(self.expected.insert(name.to_owned(), expected).is_none(), "{name} twice");
        let groups = if depth == 0 { 0 } else { self.random.below(4) };
        let groups = (0..groups).map(|_| self.group(name, root, depth - 1, is_async)).collect();
        let hangs_deeper = end == End::Cancelled && depth > 0 && self.random.below(2) == 0;
        let hung = hangs_deeper.then(|| {
            let hung = self.next_name();
            self.node(&hung, Some(name), root, End::Cancelled, depth - 1, true, Arc::clone(&arrived))
        });
        let yields = self.random.below(4) as u32;
        Arc::new(Node { name: name.to_owned(), end, yields, groups, hung, arrived })
    }

    fn group(&mut self, parent: &str, root: &str, depth: usize, is_async: bool) -> Vec<(Way, Arc<Node>)> {
        let count = if is_async { 1 + self.random.below(3) } else { 1 };
        (0..count)
            .map(|_| {
                let way = self.random.one_of(if is_async { ASYNC } else { SYNC });
                let end = match way {
                    Way::Select | Way::Abort => End::Cancelled,
                    _ => self.random.one_of(&[End::Success, End::Success, End::Failure, End::Panic]),
                };
                let is_async =
                    !matches!(way, Way::Direct | Way::Blocking | Way::Thread | Way::Rayon | Way::ScopedThread);
                let name = self.next_name();
                (way, self.node(&name, Some(parent), root, end, depth, is_async, Arc::default()))
            })
            .collect()
    }

    fn next_name(&self) -> String {
        format!("call {}", self.expected.len())
    }
}

const ASYNC: &[Way] = &[
    Way::Await,
    Way::Await,
    Way::Spawn,
    Way::SpawnInContext,
    Way::Stream,
    Way::Channel,
    Way::Select,
    Way::Abort,
    Way::Direct,
    Way::Blocking,
    Way::Thread,
    Way::Rayon,
];
const SYNC: &[Way] = &[Way::Direct, Way::ScopedThread];

#[tachograph::agent_decision(name = node.name, agent = "program")]
async fn run(node: Arc<Node>) -> Result<(), String> {
    for group in &node.groups {
        pause(node.yields).await;
        futures_util::future::join_all(group.iter().map(|(way, child)| call(*way, Arc::clone(child)))).await;
    }
    pause(node.yields).await;
    if node.end == End::Cancelled {
        match &node.hung {
            Some(hung) => boxed(Arc::clone(hung)).await?,
            None => {
                node.arrived.notify_one();
                std::future::pending::<()>().await;
            }
        }
    }
    finish(node.end)
}

#[tachograph::tool_call(name = node.name, tool = "program")]
fn run_sync(node: &Node) -> Result<(), String> {
    for (way, child) in node.groups.iter().flatten() {
        match way {
            Way::Direct => drop(catch_unwind(AssertUnwindSafe(|| run_sync(child)))),
            _ => tachograph::thread::scope(|scope| drop(scope.spawn(|| run_sync(child)).join())),
        }
    }
    finish(node.end)
}

fn finish(end: End) -> Result<(), String> {
    match end {
        End::Success => Ok(()),
        End::Failure => Err("planned".to_owned()),
        End::Panic => panic!("planned"),
        End::Cancelled => unreachable!("it is cancelled before"),
    }
}

/// Gives other tasks the thread.
async fn pause(times: u32) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

fn boxed(node: Arc<Node>) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
    Box::pin(run(node))
}

/// Calls, and outlives however the call ends.
async fn call(way: Way, node: Arc<Node>) {
    match way {
        Way::Await => drop(AssertUnwindSafe(boxed(node)).catch_unwind().await),
        Way::Spawn => drop(tachograph::spawn(boxed(node)).await),
        Way::SpawnInContext => drop(tokio::spawn(boxed(node).in_current_context()).await),
        Way::Stream => {
            let items = futures_util::stream::iter([node]).then(boxed).in_current_context();
            drop(tokio::spawn(items.collect::<Vec<_>>()).await);
        }
        Way::Channel => {
            let (sender, mut receiver) = mpsc::channel(1);
            let worker = tokio::spawn(async move {
                let carried: tachograph::Carried<Arc<Node>> = receiver.recv().await.expect("a call");
                carried.run_async(boxed).await
            });
            sender.send(tachograph::carry(node)).await.expect("a worker");
            drop(worker.await);
        }
        Way::Select => {
            let arrived = Arc::clone(&node.arrived);
            tokio::select! {
                _ = boxed(node) => unreachable!("it never ends"),
                () = arrived.notified() => {}
            }
        }
        Way::Abort => {
            let arrived = Arc::clone(&node.arrived);
            let task = tachograph::spawn(boxed(node));
            arrived.notified().await;
            task.abort();
            assert!(task.await.expect_err("cancelled").is_cancelled());
        }
        Way::Direct | Way::ScopedThread => drop(catch_unwind(AssertUnwindSafe(|| run_sync(&node)))),
        Way::Blocking => drop(tachograph::spawn_blocking(move || run_sync(&node)).await),
        Way::Thread => {
            let (sender, ended) = oneshot::channel::<()>();
            let thread = tachograph::thread::spawn(move || {
                let _sender = sender; // dropped at the end, however it comes
                run_sync(&node)
            });
            drop(ended.await);
            drop(thread.join());
        }
        Way::Rayon => {
            let (sender, ended) = oneshot::channel::<()>();
            tachograph::rayon::spawn(move || {
                let _sender = sender;
                drop(catch_unwind(AssertUnwindSafe(|| run_sync(&node))));
            });
            drop(ended.await);
        }
    }
}

fn check(spans: &[SpanData], expected: &HashMap<String, Expected>) {
    let by_name: HashMap<&str, &SpanData> = spans.iter().map(|span| (span.name.as_ref(), span)).collect();
    assert_eq!(by_name.len(), spans.len(), "a call was recorded twice");
    assert_eq!(spans.len(), expected.len(), "records and calls");
    let text = |span, key| sink::text(span, key).unwrap_or_default();
    for (name, expected) in expected {
        let span = by_name.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not recorded"));
        let root = by_name[expected.root.as_str()];
        let parent = expected.parent.as_deref().map(|parent| by_name[parent]);
        assert_eq!(
            sink::text(span, "tachograph.parent.id"),
            parent.map(|parent| text(parent, "tachograph.event.id")),
            "parent of {name}: {expected:?}"
        );
        let parent_span = parent.map_or(SpanId::INVALID, |parent| parent.span_context.span_id());
        assert_eq!(span.parent_span_id, parent_span, "parent span of {name}: {expected:?}");
        assert!(!span.parent_span_is_remote, "{name}");
        assert_eq!(span.span_context.trace_id(), root.span_context.trace_id(), "trace of {name}: {expected:?}");
        assert_eq!(
            text(span, "tachograph.correlation.id"),
            text(root, "tachograph.correlation.id"),
            "{name}: {expected:?}"
        );
        let (outcome, reason, error) = match expected.end {
            End::Success => ("success", "", ""),
            End::Failure => ("failure", "", "String"),
            End::Panic => ("failure", "panic", "panic"),
            End::Cancelled => ("cancelled", "dropped", "cancelled"),
        };
        assert_eq!(text(span, "tachograph.outcome"), outcome, "{name}: {expected:?}");
        assert_eq!(text(span, "tachograph.outcome.reason"), reason, "{name}: {expected:?}");
        let recorded = text(span, "error.type");
        assert!(recorded == error || expected.end == End::Failure && recorded.ends_with(error), "{name}: {recorded}");
    }
    let unique = |key| spans.iter().map(|span| text(span, key)).collect::<HashSet<_>>().len();
    assert_eq!(unique("tachograph.event.id"), spans.len(), "event ids");
    assert_eq!(unique("tachograph.correlation.id"), TASKS, "one correlation id for each task");
}

#[test]
fn every_record_is_where_the_program_put_it() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"planned") {
            usual(panic);
        }
    }));
    let seeds: Vec<u64> = match std::env::var("TACHOGRAPH_SEED") {
        Ok(seed) => vec![seed.parse().expect("TACHOGRAPH_SEED is a number")],
        Err(_) => (0..6).map(|number| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number + 1)).collect(),
    };
    let mut ends = HashSet::new();
    for seed in seeds {
        println!("TACHOGRAPH_SEED={seed}");
        let mut planner = Planner { random: Random(seed | 1), expected: HashMap::new() };
        let roots: Vec<_> = (0..TASKS).map(|_| planner.root()).collect();
        println!("  {} calls", planner.expected.len());
        let spans = sink::recorded(|| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).build().expect("a runtime");
            runtime.block_on(async {
                let tasks: Vec<_> = roots.into_iter().map(|root| tokio::spawn(boxed(root))).collect();
                futures_util::future::join_all(tasks).await;
            });
        });
        check(&spans, &planner.expected);
        ends.extend(planner.expected.values().map(|expected| format!("{:?}", expected.end)));
    }
    assert_eq!(ends.len(), 4, "each end occurs: {ends:?}");
}
