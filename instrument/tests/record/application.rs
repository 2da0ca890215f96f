//! Beside an application's own `tracing` and OpenTelemetry: spans of both nest, each provider sends its own, and nothing global changes.

use crate::nesting::{assert_child, event};
use crate::otlp::{Received, Server, free_address};
use crate::sink::{Sink, find, recorded, text, turn};
use opentelemetry::trace::{Span as _, SpanId, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tachograph::InContext;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

/// Runs an application whose `tracing` spans go to a backend of its own, and gives those spans and the records.
fn observed(body: impl FnOnce()) -> (Vec<SpanData>, Vec<SpanData>) {
    let backend = Sink::default();
    // As an application sets it up, with everything as it comes by default.
    let provider = SdkTracerProvider::builder().with_simple_exporter(backend.clone()).build();
    let subscriber =
        tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(provider.tracer("application")));
    let records = tracing::subscriber::with_default(subscriber, || recorded(body));
    provider.shutdown().expect("the application's provider");
    (backend.all_spans(), records)
}

fn observed_async(body: impl Future<Output = ()>) -> (Vec<SpanData>, Vec<SpanData>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    observed(|| runtime.block_on(body))
}

/// Asserts who is whose parent in the trace, across both backends.
#[track_caller]
fn assert_below(child: &SpanData, parent: &SpanData) {
    assert_eq!(child.parent_span_id, parent.span_context.span_id(), "{} of {}", child.name, parent.name);
    assert_eq!(child.span_context.trace_id(), parent.span_context.trace_id(), "{} of {}", child.name, parent.name);
}

#[tracing::instrument]
fn request() {
    decide();
}

#[tachograph::agent_decision(agent = "a")]
fn decide() {
    look_up();
    model();
}

#[tracing::instrument]
fn look_up() {
    tracing::info!("an event of the application");
    model_below();
}

#[tachograph::generation(model = "m")]
fn model() {}

#[tachograph::generation(model = "m")]
fn model_below() {}

#[test]
fn tracing_spans_and_records_nest_in_each_other() {
    let (spans, records) = observed(request);
    assert_eq!(spans.len(), 2, "what is not the application's is not sent to its backend");
    assert_eq!(records.len(), 3, "nor the other way round");
    let (request, look_up) = (find(&spans, "request"), find(&spans, "look_up"));
    let (decide, model, below) = (find(&records, "decide"), find(&records, "model"), find(&records, "model_below"));
    assert_eq!(request.parent_span_id, SpanId::INVALID);
    assert_below(decide, request);
    assert_below(look_up, decide);
    assert_below(below, look_up);
    assert_below(model, decide);
    // The chain of records has no holes where the application's spans are.
    assert_eq!(text(decide, "tachograph.parent.id"), None);
    assert_child(below, decide);
    assert_child(model, decide);
}

#[tracing::instrument]
async fn request_async(name: &'static str) {
    tokio::task::yield_now().await;
    decide_async(name).await;
}

#[tachograph::agent_decision(name = name, agent = "a")]
async fn decide_async(name: &'static str) {
    tokio::task::yield_now().await;
    look_up_async(name).await;
    tachograph::spawn(look_up_async(name)).await.expect("no panic");
}

#[tracing::instrument]
async fn look_up_async(name: &'static str) {
    tokio::task::yield_now().await;
    model_async(name).await;
}

#[tachograph::generation(name = format!("model of {name}"), model = "m")]
async fn model_async(name: &str) {
    tokio::task::yield_now().await;
}

#[test]
fn they_do_across_awaits_and_tasks() {
    let (spans, records) = observed_async(async {
        tokio::join!(request_async("left"), request_async("right"));
    });
    let requests: Vec<_> = spans.iter().filter(|span| span.name == "request_async").collect();
    assert_eq!((spans.len(), records.len(), requests.len()), (6, 6, 2));
    for name in ["left", "right"] {
        let decide = find(&records, name);
        let request = requests.iter().find(|span| span.span_context.trace_id() == decide.span_context.trace_id());
        assert_below(decide, request.expect("the request of this decision"));
        let below: Vec<_> = spans.iter().filter(|span| span.parent_span_id == decide.span_context.span_id()).collect();
        assert_eq!(below.len(), 2, "one awaited, one spawned");
        for look_up in below {
            assert_below(look_up, decide);
            let mut models = records.iter().filter(|record| record.parent_span_id == look_up.span_context.span_id());
            let model = models.next().expect("a generation");
            assert_eq!(model.name, format!("model of {name}"));
            assert_child(model, decide);
        }
    }
}

/// Who takes a span of `tracing` into a task takes the record along inside of it: what is attached last is what is current.
#[test]
fn a_task_may_have_both() {
    #[tracing::instrument]
    async fn outer() {
        decide_and_spawn().await;
    }
    #[tachograph::agent_decision(agent = "a")]
    async fn decide_and_spawn() {
        let task = model_async("task").in_current_context().instrument(tracing::Span::current());
        tokio::spawn(task).await.expect("no panic");
    }
    let (_, records) = observed_async(outer());
    let (decide, model) = (find(&records, "decide_and_spawn"), find(&records, "model of task"));
    assert_child(model, decide);
    assert_below(model, decide);
}

/// An application that has OpenTelemetry's own tracer in another provider, and no `tracing`.
#[test]
fn a_raw_tracer_of_another_provider_nests_too() {
    let backend = Sink::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(backend.clone()).build();
    let tracer = provider.tracer("application");
    let records = recorded(|| {
        tracer.in_span("request", |_| {
            #[tachograph::agent_decision(agent = "a")]
            fn decide(tracer: &opentelemetry_sdk::trace::SdkTracer) {
                tracer.in_span("query", |_| model());
            }
            decide(&tracer);
        });
    });
    provider.shutdown().expect("the application's provider");
    let spans = backend.all_spans();
    assert_eq!((spans.len(), records.len()), (2, 2));
    let (decide, model) = (find(&records, "decide"), find(&records, "model"));
    assert_below(decide, find(&spans, "request"));
    assert_below(find(&spans, "query"), decide);
    assert_below(model, find(&spans, "query"));
    assert_eq!(text(model, "tachograph.parent.id"), Some(event(decide)));
}

/// The application's spans go to its OTLP backend through OpenTelemetry's own exporter, in a runtime of the application's; records to ours.
#[test]
fn both_send_at_once_and_each_to_its_own_receiver() {
    use opentelemetry_otlp::WithExportConfig;
    let _turn = turn();
    let (backend, collector) = (Received::default(), Received::default());
    let (backend_address, collector_address) = (free_address(), free_address());
    let servers =
        [Server::start(backend_address, backend.clone()), Server::start(collector_address, collector.clone())];
    await_listener(backend_address);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let provider = runtime.block_on(async {
        let endpoint = format!("http://{backend_address}");
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        SdkTracerProvider::builder().with_batch_exporter(exporter.expect("an exporter")).build()
    });
    let guard = tachograph::Init::new("test").endpoint(format!("http://{collector_address}")).init().expect("init");
    let tracer = provider.tracer("application");
    let subscriber = tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer));
    tracing::subscriber::with_default(subscriber, || (0..100).for_each(|_| request()));
    provider.shutdown().expect("the application's provider");
    guard.shutdown().expect("nothing lost");
    drop(servers);
    let names = |received: &Received| {
        let mut names: Vec<_> = received.spans().into_iter().map(|span| span.name).collect();
        names.sort();
        names
    };
    let each_100_times =
        |names: &[&str]| names.iter().flat_map(|name| vec![(*name).to_owned(); 100]).collect::<Vec<_>>();
    assert_eq!(names(&backend), each_100_times(&["look_up", "request"]));
    assert_eq!(names(&collector), each_100_times(&["decide", "model", "model_below"]));
}

fn await_listener(address: SocketAddr) {
    let began = Instant::now();
    while let Err(error) = TcpStream::connect(address) {
        assert!(began.elapsed() < Duration::from_secs(20), "{address} does not listen: {error}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn nothing_global_is_taken() {
    use opentelemetry::global;
    let _turn = turn();
    let sink = Sink::default();
    let guard = tachograph::Init::new("test").init_with(sink.clone()).expect("init");
    let mut span = global::tracer("application").start("of the global provider");
    assert!(!span.span_context().is_valid() && !span.is_recording(), "a provider was made global");
    span.end();
    assert_eq!(
        global::get_text_map_propagator(|propagator| propagator.fields().count()),
        0,
        "a propagator was made global"
    );
    let is_none = |dispatch: &tracing::Dispatch| dispatch.is::<tracing::subscriber::NoSubscriber>();
    assert!(tracing::dispatcher::get_default(is_none), "a subscriber was made global");
    assert!(tokio::runtime::Handle::try_current().is_err(), "a runtime was entered");
    model();
    guard.shutdown().expect("nothing lost");
    assert_eq!(sink.spans().len(), 1);
}
