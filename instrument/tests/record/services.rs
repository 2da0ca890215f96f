//! The chain across services: HTTP and gRPC over real sockets, and the headers of messages.

use crate::nesting::{assert_child, correlation, event};
use crate::sink::{find, recorded, recorded_async, text};
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::SpanData;
use std::collections::BTreeMap;
use tachograph::{InContext, kafka};

#[tachograph::generation(name = name, model = "m")]
async fn painted(name: &str) {
    tokio::task::yield_now().await;
}

#[track_caller]
fn assert_remote_child(spans: &[SpanData], child: &str, of: &str) {
    let (child, of) = (find(spans, child), find(spans, of));
    assert_child(child, of);
    assert_eq!(child.parent_span_id, of.span_context.span_id());
    assert!(child.parent_span_is_remote);
}

#[cfg(all(feature = "tower", feature = "reqwest", feature = "http-headers"))]
mod http {
    use super::*;
    use axum::body::Body;
    use axum::extract::Path;
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, Empty};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use opentelemetry::Context;
    use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
    use std::convert::Infallible;
    use tachograph::reqwest::WithChain;
    use tachograph::tower::{ClientLayer, ServerLayer};
    use tower_layer::Layer;
    use tower_service::Service;

    async fn paint(Path(name): Path<String>) -> Body {
        painted(&name).await;
        // What is made while the body is sent belongs to the sender as well.
        let chunks = futures_util::stream::iter(0..2).then(move |chunk| {
            let name = format!("{name} chunk {chunk}");
            async move {
                painted(&name).await;
                Ok::<_, Infallible>(name)
            }
        });
        Body::from_stream(chunks)
    }

    fn app() -> axum::Router {
        axum::Router::new().route("/{name}", axum::routing::get(paint)).layer(ServerLayer::new())
    }

    /// Serves an application on a free port.
    async fn serve(app: axum::Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    #[test]
    fn axum_serves_reqwest() {
        #[tachograph::tool_call(name = name, tool = "painter")]
        async fn ask(name: &str, server: &str) {
            let client = reqwest::Client::new();
            let reply = client.get(format!("{server}/{name}")).with_chain().send().await.expect("a reply");
            let chunks = reply.text().await.expect("text");
            assert_eq!(chunks, format!("{name} chunk 0{name} chunk 1"));
        }
        #[tachograph::tool_call(tool = "painter")]
        async fn ask_built(server: &str) {
            let client = reqwest::Client::new();
            let request =
                client.get(format!("{server}/built")).header("baggage", "color=red").build().expect("a request");
            let request = request.with_chain();
            let baggage = request.headers()["baggage"].to_str().expect("text");
            assert!(baggage.starts_with("tachograph.") && baggage.ends_with(",color=red"), "{baggage}");
            client.execute(request).await.expect("a reply").text().await.expect("text");
        }
        let spans = recorded_async(async {
            let server = serve(app()).await;
            ask("one", &server).await;
            // Two at once, on one thread.
            tokio::join!(ask("left", &server), ask("right", &server));
            ask_built(&server).await;
        });
        for name in ["one", "left", "right"] {
            let asked = spans
                .iter()
                .find(|span| span.name == name && text(span, "tachograph.kind").as_deref() == Some("tool_call"));
            let asked = asked.expect("the tool call");
            let mut children: Vec<_> =
                spans.iter().filter(|span| text(span, "tachograph.parent.id") == Some(event(asked))).collect();
            children.sort_by(|a, b| a.name.cmp(&b.name));
            children.iter().for_each(|child| assert_child(child, asked));
            let names: Vec<_> = children.iter().map(|child| child.name.as_ref()).collect();
            assert_eq!(names, [name, &format!("{name} chunk 0"), &format!("{name} chunk 1")]);
            assert!(children.iter().all(|child| child.parent_span_id == asked.span_context.span_id()));
        }
        assert_remote_child(&spans, "built", "ask_built");
    }

    #[test]
    fn hyper_at_both_ends() {
        #[tachograph::tool_call(tool = "painter")]
        async fn ask(address: std::net::SocketAddr) {
            let mut request =
                ::http::Request::get(format!("http://{address}/")).body(Empty::<&[u8]>::new()).expect("a request");
            tachograph::http::inject(request.headers_mut());
            let client = Client::builder(TokioExecutor::new()).build_http();
            client.request(request).await.expect("a reply").into_body().collect().await.expect("a body");
        }
        #[tachograph::tool_call(tool = "painter")]
        async fn ask_through_the_layer(address: std::net::SocketAddr) {
            let mut client = ClientLayer::new().layer(Client::builder(TokioExecutor::new()).build_http());
            let request = ::http::Request::get(format!("http://{address}/layered"))
                .body(Empty::<&[u8]>::new())
                .expect("a request");
            std::future::poll_fn(|task| client.poll_ready(task)).await.expect("ready");
            client.call(request).await.expect("a reply").into_body().collect().await.expect("a body");
        }
        let spans = recorded_async(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let server = tokio::spawn(async move {
                for name in ["headers", "layer"] {
                    let (socket, _) = listener.accept().await.expect("a connection");
                    let service = hyper::service::service_fn(move |request: ::http::Request<hyper::body::Incoming>| {
                        let sender = tachograph::http::extract(request.headers());
                        async move {
                            painted(name).await;
                            Ok::<_, Infallible>(::http::Response::new(Empty::<&[u8]>::new()))
                        }
                        .in_context(sender)
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    drop(connection.serve_connection(TokioIo::new(socket), service).await);
                }
            });
            ask(address).await;
            ask_through_the_layer(address).await;
            server.await.expect("no panic");
        });
        assert_remote_child(&spans, "headers", "ask");
        assert_remote_child(&spans, "layer", "ask_through_the_layer");
    }

    /// What strangers may send costs nothing but itself.
    #[test]
    fn hostile_headers_are_ignored() {
        let long = "x".repeat(60_000);
        let many: String = (0..3_000).map(|number| format!("member{number}=1,")).collect();
        let hostile: [&[(&str, &str)]; 9] = [
            &[("baggage", &long)],
            &[("baggage", &many)],
            &[("baggage", "tachograph.parent.id=../../etc/passwd,tachograph.correlation.id=")],
            &[("baggage", "tachograph.parent.id=0190b0a0-0000-7000-8000-00000000000g")],
            &[("baggage", ",,;;==,=%,%ff=%ff,tachograph.parent.id")],
            &[("traceparent", &long)],
            &[("traceparent", "00-00000000000000000000000000000000-0000000000000000-01")],
            &[("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", &long)],
            &[("traceparent", "-"), ("tracestate", "====,,,"), ("baggage", "\u{e9}=\u{e9}")],
        ];
        let correlation_too_long = format!("tachograph.correlation.id={}", "c".repeat(300));
        let spans = recorded_async(async {
            let server = serve(app()).await;
            let client = reqwest::Client::new();
            let get = |name: String| client.get(format!("{server}/{name}"));
            for (number, headers) in hostile.iter().enumerate() {
                let request = headers.iter().fold(get(format!("hostile {number}")), |request, (name, value)| {
                    request.header(*name, value.as_bytes())
                });
                assert!(request.send().await.expect("a reply").status().is_success(), "{number}");
            }
            get("long".to_owned()).header("baggage", correlation_too_long).send().await.expect("a reply");
            // A hundred headers of the same name.
            let request =
                (0..80).fold(get("repeated".to_owned()), |request, _| request.header("baggage", &many[..100]));
            request.send().await.expect("a reply");
        });
        let roots = (0..hostile.len()).map(|number| format!("hostile {number}"));
        for name in roots.chain(["long".to_owned(), "repeated".to_owned()]) {
            let root = find(&spans, &name);
            assert_eq!(text(root, "tachograph.parent.id"), None, "{name}");
            assert_eq!(root.parent_span_id, SpanId::INVALID, "{name}");
            assert_eq!(correlation(root).len(), 36, "{name}");
        }
    }

    /// An honest sender whose baggage is larger than the limits, or comes in several headers.
    #[test]
    fn the_chain_survives_baggage_around_it() {
        let parent = "0190b0a0-0000-7000-8000-000000000001";
        let chain = format!("tachograph.correlation.id=order%207,tachograph.parent.id={parent}");
        let padding = format!("color={}", "r".repeat(7_000));
        let sets = [
            vec![format!("{chain},{padding},{padding}")],
            vec!["color=red".to_owned(), chain.clone(), padding.clone(), padding.clone()],
        ];
        let spans = recorded_async(async {
            let server = serve(app()).await;
            for (number, headers) in sets.iter().enumerate() {
                let request = reqwest::Client::new().get(format!("{server}/{number}"));
                let request = headers.iter().fold(request, |request, value| request.header("baggage", value));
                request.send().await.expect("a reply").text().await.expect("text");
            }
        });
        for number in ["0", "1"] {
            assert_eq!(text(find(&spans, number), "tachograph.parent.id").as_deref(), Some(parent));
            assert_eq!(correlation(find(&spans, number)), "order 7");
        }
    }

    /// Another layer's span for the request stays the parent in the trace; the cause is the sender's event.
    #[test]
    fn a_span_of_the_application_comes_between() {
        let _turn = crate::sink::turn();
        let sink = crate::sink::Sink::default();
        let guard = tachograph::Init::new("test").init_with(sink.clone()).expect("init");
        let provider = guard.tracer_provider();
        let tracer = provider.tracer("app");
        #[tachograph::tool_call(tool = "painter")]
        async fn ask() -> ::http::HeaderMap {
            let mut headers = ::http::HeaderMap::new();
            tachograph::http::inject(&mut headers);
            headers
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let headers = ask().await;
            let mut service = ServerLayer::new().layer(Handler);
            let request = |name| {
                let mut request = ::http::Request::get("/").body(name).expect("a request");
                *request.headers_mut() = headers.clone();
                request
            };
            // Layers open their span where they call the next one, or where they poll it, or both.
            let context = Context::new().with_span(tracer.start("call"));
            tachograph::with_context(context, || service.call(request("handled in call"))).await.expect("a reply");
            let context = Context::new().with_span(tracer.start("poll"));
            service.call(request("handled in poll")).in_context(context).await.expect("a reply");
            service.call(request("handled in neither")).await.expect("a reply");
        });
        drop(tracer);
        drop(provider);
        guard.shutdown().expect("nothing lost");
        let spans = sink.spans();
        let ask = find(&spans, "ask");
        for (handled, parent) in [("call", "call"), ("poll", "poll"), ("neither", "ask")] {
            let handled = find(&spans, &format!("handled in {handled}"));
            assert_eq!(handled.parent_span_id, find(&spans, parent).span_context.span_id(), "{parent}");
            assert_eq!(text(handled, "tachograph.parent.id"), Some(event(ask)), "{parent}");
            assert_eq!(correlation(handled), correlation(ask), "{parent}");
        }
    }

    #[derive(Clone)]
    struct Handler;

    impl Service<::http::Request<&'static str>> for Handler {
        type Response = ::http::Response<Empty<&'static [u8]>>;
        type Error = Infallible;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: ::http::Request<&'static str>) -> Self::Future {
            Box::pin(async move {
                painted(request.body()).await;
                Ok(::http::Response::new(Empty::new()))
            })
        }
    }
}

#[cfg(all(feature = "tower", feature = "grpc"))]
mod grpc {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
    use tonic::transport::{Channel, Server};
    use tonic::{Request, Response, Status};
    use tower_layer::Layer;

    /// Any service does; this one's code is at hand. Its method says in metadata what to record.
    struct Painter {
        reads_metadata: bool,
    }

    #[tonic::async_trait]
    impl TraceService for Painter {
        async fn export(
            &self,
            request: Request<ExportTraceServiceRequest>,
        ) -> Result<Response<ExportTraceServiceResponse>, Status> {
            let name = request.metadata().get("name").and_then(|name| name.to_str().ok()).expect("a name");
            let handled = painted(name);
            if self.reads_metadata {
                handled.in_context(tachograph::grpc::extract(request.metadata())).await;
            } else {
                handled.await;
            }
            Ok(Response::new(ExportTraceServiceResponse::default()))
        }
    }

    fn request(name: &'static str) -> Request<ExportTraceServiceRequest> {
        let mut request = Request::new(ExportTraceServiceRequest::default());
        request.metadata_mut().insert("name", tonic::metadata::MetadataValue::from_static(name));
        request
    }

    #[tachograph::tool_call(tool = "painter")]
    async fn through_the_interceptor(channel: Channel) {
        let mut client = TraceServiceClient::with_interceptor(channel, tachograph::grpc::Chain);
        client.export(request("intercepted")).await.expect("a reply");
    }

    #[tachograph::tool_call(tool = "painter")]
    async fn through_the_layer(channel: Channel) {
        let mut client = TraceServiceClient::new(tachograph::tower::ClientLayer::new().layer(channel));
        client.export(request("layered")).await.expect("a reply");
    }

    #[tachograph::tool_call(tool = "painter")]
    async fn by_hand(channel: Channel) {
        let mut request = request("injected");
        tachograph::grpc::inject(request.metadata_mut());
        TraceServiceClient::new(channel).export(request).await.expect("a reply");
    }

    #[test]
    fn clients_and_servers_of_tonic() {
        for reads_metadata in [false, true] {
            let spans = recorded_async(async {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
                let address = listener.local_addr().expect("an address");
                drop(listener);
                let service = TraceServiceServer::new(Painter { reads_metadata });
                if reads_metadata {
                    tokio::spawn(Server::builder().add_service(service).serve(address));
                } else {
                    let server = Server::builder().layer(tachograph::tower::ServerLayer::new());
                    tokio::spawn({ server }.add_service(service).serve(address));
                }
                let channel = connect(address).await;
                through_the_interceptor(channel.clone()).await;
                through_the_layer(channel.clone()).await;
                by_hand(channel).await;
            });
            assert_remote_child(&spans, "intercepted", "through_the_interceptor");
            assert_remote_child(&spans, "layered", "through_the_layer");
            assert_remote_child(&spans, "injected", "by_hand");
        }
    }

    async fn connect(address: std::net::SocketAddr) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let began = std::time::Instant::now();
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(error) if began.elapsed().as_secs() > 20 => panic!("the server does not start: {error}"),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    }
}

type Headers = Vec<(String, Vec<u8>)>;

#[test]
fn records_of_kafka() {
    #[tachograph::tool_call(tool = "produce")]
    fn produce() -> (BTreeMap<String, Vec<u8>>, Headers) {
        let mut map = BTreeMap::from(
            [("traceparent", b"another's"), ("tracestate", b"vendor=at")]
                .map(|(name, value)| (name.to_owned(), value.to_vec())),
        );
        kafka::inject(&mut map);
        // A record that is passed on with the headers that it had: the last of a name is the sender's.
        let mut list = vec![
            ("baggage".to_owned(), b"tachograph.correlation.id=another".to_vec()),
            ("traceparent".to_owned(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_vec()),
            ("Tracestate".to_owned(), b"vendor=another".to_vec()),
            ("content-type".to_owned(), b"text/plain".to_vec()),
        ];
        kafka::inject(&mut list);
        (map, list)
    }
    let spans = recorded_async(async {
        let (map, list) = produce();
        assert_eq!(map.keys().collect::<Vec<_>>(), ["baggage", "traceparent"]);
        let mut names: Vec<_> = list.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["baggage", "content-type", "traceparent"], "nothing of the other chain stays");
        painted("map").in_context(kafka::extract(&map)).await;
        let borrowed = list.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        painted("list").in_context(kafka::extract(borrowed)).await;
    });
    assert_remote_child(&spans, "map", "produce");
    assert_remote_child(&spans, "list", "produce");
}

#[test]
fn what_is_no_text_in_kafka_s_headers_is_ignored() {
    let spans = recorded(|| {
        let headers = [("traceparent", vec![0xff_u8; 100_000]), ("baggage", vec![b','; 100_000]), ("other", vec![])];
        tachograph::with_context(kafka::extract(headers), || {
            assert!(futures_util::FutureExt::now_or_never(painted("unharmed")).is_none());
        });
    });
    assert_eq!(text(find(&spans, "unharmed"), "tachograph.parent.id"), None);
}

/// A receiver may drop a baggage that is longer than the limit, and ours with it.
#[test]
fn the_chain_comes_first_and_the_whole_is_within_the_limits() {
    use opentelemetry::baggage::BaggageExt;
    use opentelemetry::{Context, KeyValue};
    #[tachograph::tool_call(tool = "send")]
    fn send() -> Vec<(String, String)> {
        tachograph::propagation::headers()
    }
    let spans = recorded(|| {
        // Much of it three times as long when it is written.
        let many = (0..60).map(|number| KeyValue::new(format!("member{number}"), "\u{e9}".repeat(60)));
        let context = Context::new().with_baggage(many.collect::<Vec<_>>());
        let headers = tachograph::with_context(context, send);
        let (_, baggage) = headers.iter().find(|(name, _)| name == "baggage").expect("a baggage");
        assert!((7_000..=8_192).contains(&baggage.len()), "{}", baggage.len());
        assert!(baggage.starts_with("tachograph.correlation.id="), "{baggage}");
        let received = tachograph::propagation::extract_pairs(headers.clone());
        let value = received.baggage().iter().find(|(name, _)| name.as_str().starts_with("member"));
        assert_eq!(value.expect("a member").1.0.as_str(), "\u{e9}".repeat(60));
        tachograph::with_context(received, || {
            assert!(futures_util::FutureExt::now_or_never(painted("received")).is_none());
        });
    });
    assert_eq!(text(find(&spans, "received"), "tachograph.parent.id"), Some(event(find(&spans, "send"))));
}
