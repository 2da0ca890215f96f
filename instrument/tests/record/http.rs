//! Delivery over HTTP, plain and with TLS: a receiver of a few lines that says what it got.

#[cfg(feature = "tls")]
use crate::otlp::Received;
use crate::sink::turn;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tachograph::{Init, Protocol, Spool};

#[tachograph::generation(name = name, model = "m", prompt = "p")]
fn record(name: &str) {}

#[derive(Debug)]
struct Request {
    /// Request line and headers, in lower case.
    head: Vec<String>,
    names: Vec<String>,
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Request>>>);

impl Seen {
    fn names(&self) -> Vec<String> {
        let requests = self.0.lock().unwrap();
        let names = requests.iter().flat_map(|request| request.names.iter().cloned());
        names.filter(|name| !name.starts_with("producer.")).collect()
    }
}

/// Serves until the process ends. `answers` are the statuses of the first requests; after them all is well.
fn serve(
    answers: Vec<&'static str>,
    wrap: impl Fn(TcpStream) -> Box<dyn ReadWrite> + Send + 'static,
) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let kept = seen.clone();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(wrap(stream.unwrap()));
            while let Some((head, body)) = read_request(&mut stream) {
                let request = ExportTraceServiceRequest::decode(&body[..]).expect("a request");
                let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
                let names: Vec<_> = scopes.flat_map(|scope| &scope.spans).map(|span| span.name.clone()).collect();
                let refused = names.iter().any(|name| name == "refused");
                let status = if refused { "400 Bad Request" } else { answers.next().unwrap_or("200 OK") };
                // As an OTLP receiver says it; the others come from something before it.
                let form = if refused { "content-type: application/x-protobuf\r\n" } else { "" };
                let receipt = format!("v1 acme 0-{}", names.len() - 1).replace("0-0", "0");
                if status.starts_with("200") {
                    kept.0.lock().unwrap().push(Request { head, names });
                }
                let answer =
                    format!("HTTP/1.1 {status}\r\n{form}tachograph-receipt: {receipt}\r\ncontent-length: 0\r\n\r\n");
                if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (address, seen)
}

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

fn plain(stream: TcpStream) -> Box<dyn ReadWrite> {
    Box::new(stream)
}

fn read_request(stream: &mut impl BufRead) -> Option<(Vec<String>, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_ascii_lowercase()),
        }
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    #[cfg(feature = "gzip")]
    if head.contains(&"content-encoding: gzip".to_owned()) {
        let mut whole = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut whole).ok()?;
        body = whole;
    }
    Some((head, body))
}

fn init(address: SocketAddr) -> Init {
    Init::new("http-test").protocol(Protocol::Http).endpoint(format!("http://{address}")).on_warning(|_| ())
}

#[test]
fn records_go_over_http() {
    let _turn = turn();
    let (address, seen) = serve(vec!["503 Service Unavailable", "429 Too Many Requests"], plain);
    let guard = init(address).init().expect("init");
    (0..1_200).for_each(|_| record("r"));
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!(report.exported, 1_200);
    assert_eq!(seen.names().len(), 1_200);
    let requests = seen.0.lock().unwrap();
    assert_eq!(requests[0].head[0], "post /v1/traces http/1.1");
    assert!(requests[0].head.contains(&"content-type: application/x-protobuf".to_owned()), "{:?}", requests[0].head);
}

#[test]
fn what_no_otlp_receiver_says_costs_nothing() {
    let _turn = turn();
    let (address, seen) = serve(vec!["400 Bad Request", "422 Unprocessable Content", "400 Bad Request"], plain);
    let guard = init(address).init().expect("init");
    (0..10).for_each(|_| record("r"));
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.exported, seen.names().len()), (10, 10));
}

#[test]
fn a_refusal_over_http_costs_one_record() {
    let _turn = turn();
    let (address, seen) = serve(Vec::new(), plain);
    let guard = init(address).init().expect("init");
    ["a", "refused", "b"].into_iter().for_each(record);
    let report = guard.shutdown().expect_err("one is refused").report;
    assert_eq!((report.exported, report.lost), (2, 1));
    assert_eq!(seen.names(), ["a", "b"]);
}

#[test]
fn receipts_and_the_spool_are_the_same_over_http() {
    let _turn = turn();
    let (address, seen) = serve(vec!["500 Internal Server Error"], plain);
    let directory = tempfile::tempdir().unwrap();
    let receipts = directory.path().join("receipts");
    let guard =
        init(address).spool(Spool::new(directory.path().join("spool"))).receipts(&receipts).init().expect("init");
    (0..10).for_each(|_| record("r"));
    let report = guard.shutdown().expect("nothing lost");
    assert_eq!((report.exported, seen.names().len()), (10, 10));
    let lines = std::fs::read_to_string(&receipts).unwrap();
    assert_eq!(lines.lines().count(), 12, "ten, and two of the producer: {lines}");
    assert!(lines.lines().all(|line| line.starts_with("tachograph-receipt/v1 acme ")), "{lines}");
    let asked =
        seen.0.lock().unwrap().iter().all(|request| request.head.contains(&"tachograph-receipts: 1".to_owned()));
    assert!(asked);
}

/// `OTEL_EXPORTER_OTLP_COMPRESSION` and `…_CERTIFICATE` are the environment's, which no test may change: a child does it.
#[cfg(all(feature = "gzip", feature = "tls"))]
mod encrypted {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::process::Command;

    const CHILD: &str = "TACHOGRAPH_TEST_TLS_CHILD";

    fn child(protocol: &str, endpoint: &str, certificate: &std::path::Path) -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "http::encrypted::program", "--nocapture"])
            .env(CHILD, "1")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate)
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Not a test by itself: what a child runs.
    #[test]
    fn program() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let guard = Init::new("tls").shutdown_limit(Duration::from_secs(3)).init().expect("init");
        (0..20).for_each(|_| record("r"));
        match guard.shutdown() {
            Ok(report) => println!("result: {report}"),
            Err(lost) => println!("result: {lost}"),
        }
    }

    fn certificate(directory: &std::path::Path) -> (CertifiedKey<rcgen::KeyPair>, std::path::PathBuf) {
        let key = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let path = directory.join("certificate.pem");
        std::fs::write(&path, key.cert.pem()).unwrap();
        (key, path)
    }

    #[test]
    fn records_go_over_https_to_whom_is_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let (key, path) = certificate(directory.path());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        let config = Arc::new(config);
        let (address, seen) = serve(Vec::new(), move |stream| {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(rustls::StreamOwned::new(session, stream))
        });
        let said = child("http/protobuf", &format!("https://localhost:{}", address.port()), &path);
        assert!(said.contains("result: 20 records: 20 delivered"), "{said}");
        assert_eq!(seen.names().len(), 20);
        assert!(seen.0.lock().unwrap()[0].head.contains(&"content-encoding: gzip".to_owned()));
        // Somebody else's certificate.
        let other = tempfile::tempdir().unwrap();
        let (_, path) = certificate(other.path());
        let said = child("http/protobuf", &format!("https://localhost:{}", address.port()), &path);
        assert!(said.contains("0 delivered, 0 in the spool, 0 waiting, 20 lost"), "{said}");
    }

    #[test]
    fn records_go_over_grpc_with_tls() {
        use tonic::transport::{Identity, ServerTlsConfig};
        let directory = tempfile::tempdir().unwrap();
        let (key, path) = certificate(directory.path());
        let identity = Identity::from_pem(key.cert.pem(), key.signing_key.serialize_pem());
        let (address, received) = (crate::otlp::free_address(), Received::default());
        let tls = ServerTlsConfig::new().identity(identity);
        let _server = crate::otlp::Server::start_with_tls(address, received.clone(), tls);
        let said = child("grpc", &format!("https://localhost:{}", address.port()), &path);
        assert!(said.contains("result: 20 records: 20 delivered"), "{said}");
        assert_eq!(received.spans().len(), 20);
    }
}
