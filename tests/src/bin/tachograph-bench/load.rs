//! The load: encoded once, then only ids and times are patched, so that the generator takes little of the cores it shares.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use tachograph_collector::clock::{Clock, SystemClock};

/// Connections that send at once.
pub(crate) const CONNECTIONS: u64 = 8;
/// Different batches per connection, so that compression does not see the same texts again and again.
const TEMPLATES: u64 = 4;

/// xorshift64*: repeatable, and fast enough not to matter.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Text of words whose frequencies fall off as in a language.
    pub(crate) fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 12);
        while text.len() < bytes {
            let rank = (self.below(1 << 20) as f64 / (1 << 20) as f64).powi(3);
            let word = (rank * 4000.0) as u64;
            let mut letters = Self::new(word + 77);
            for _ in 0..2 + letters.below(8) {
                text.push((b'a' + (letters.below(26) * letters.below(26) / 26) as u8) as char);
            }
            text.push(if self.below(12) == 0 { '\n' } else { ' ' });
        }
        text.truncate(bytes);
        text
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn string(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

fn int(key: &str, value: u64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value as i64))
}

fn double(key: &str, value: f64) -> KeyValue {
    attribute(key, any_value::Value::DoubleValue(value))
}

/// A chat call with 25 attributes.
fn span(random: &mut Random, mark: u64) -> Span {
    let model = ["gpt-4o", "claude-sonnet-4", "mistral-large", "llama-3.3-70b"][random.below(4) as usize];
    let attributes = vec![
        string("gen_ai.operation.name", "chat"),
        string("gen_ai.provider.name", "openai"),
        string("gen_ai.request.model", model),
        string("gen_ai.response.model", format!("{model}-2026-08-06")),
        string("gen_ai.response.id", format!("chatcmpl-{:016x}", random.next())),
        double("gen_ai.request.temperature", 0.7),
        double("gen_ai.request.top_p", 0.95),
        int("gen_ai.request.max_tokens", 1024),
        int("gen_ai.request.seed", random.below(1 << 31)),
        string("gen_ai.output.type", "text"),
        int("gen_ai.usage.input_tokens", 100 + random.below(200)),
        int("gen_ai.usage.output_tokens", 150 + random.below(300)),
        int("gen_ai.usage.cache_read.input_tokens", random.below(64)),
        string("gen_ai.conversation.id", format!("conv-{:06}", random.below(5000))),
        string("enduser.id", format!("user-{:05}", random.below(2000))),
        string("tachograph.team", format!("team-{}", random.below(12))),
        string("tachograph.correlation.id", format!("{:016x}{:016x}", random.next(), random.next())),
        string("client.address", format!("10.0.{}.{}", random.below(256), random.below(256))),
        string("server.address", "api.provider.example"),
        int("server.port", 443),
        double("tachograph.cost", random.below(10_000) as f64 / 1e6),
        string("tachograph.cost.currency", "USD"),
        string("gen_ai.agent.name", "support-assistant"),
        string("tachograph.prompt", random.text(600)),
        string("tachograph.output", random.text(900)),
    ];
    Span {
        trace_id: sentinel(mark, 1).to_vec(),
        span_id: sentinel(mark, 2)[..8].to_vec(),
        name: format!("chat {model}"),
        kind: 3,
        start_time_unix_nano: u64::from_le_bytes(first_eight(sentinel(mark, 3))),
        end_time_unix_nano: u64::from_le_bytes(first_eight(sentinel(mark, 4))),
        attributes,
        status: Some(Status::default()),
        ..Span::default()
    }
}

/// Sixteen bytes that stand nowhere else in the batch.
fn sentinel(mark: u64, which: u64) -> [u8; 16] {
    let mut random = Random::new(mark * 8 + which + (1 << 40));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(random.next() | 0x8080_8080_8080_8080).to_le_bytes());
    bytes[8..].copy_from_slice(&random.next().to_le_bytes());
    bytes
}

fn first_eight(bytes: [u8; 16]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    eight
}

/// An encoded request, and where its ids and times stand.
struct Template {
    bytes: Vec<u8>,
    places: Vec<[usize; 4]>,
}

impl Template {
    fn new(random: &mut Random, spans: u64) -> Self {
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![
                        string("service.name", "support-backend"),
                        string("service.version", "4.2.1"),
                        string("deployment.environment.name", "production"),
                        string("telemetry.sdk.language", "python"),
                        string("telemetry.sdk.name", "opentelemetry"),
                    ],
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: "opentelemetry.instrumentation.openai".to_owned(),
                        version: "2.4".to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans: (0..spans).map(|mark| span(random, mark)).collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let bytes = request.encode_to_vec();
        let mut from = 0;
        let places = (0..spans).map(|mark| {
            let places = [1, 2, 3, 4].map(|which| {
                let wanted = sentinel(mark, which);
                let wanted = if which == 1 { &wanted[..] } else { &wanted[..8] };
                from + bytes[from..].windows(wanted.len()).position(|w| w == wanted).expect("sentinel")
            });
            from = places[3];
            places
        });
        let places = places.collect();
        Self { bytes, places }
    }

    /// Gives every span new ids and the present time.
    fn renew(&mut self, random: &mut Random) {
        let now = SystemClock.now().unix_nanos();
        for [trace, span, start, end] in &self.places {
            self.bytes[*trace..trace + 8].copy_from_slice(&random.next().to_le_bytes());
            self.bytes[trace + 8..trace + 16].copy_from_slice(&random.next().to_le_bytes());
            self.bytes[*span..span + 8].copy_from_slice(&random.next().to_le_bytes());
            self.bytes[*start..start + 8].copy_from_slice(&now.to_le_bytes());
            self.bytes[*end..end + 8].copy_from_slice(&(now + 1_200_000_000).to_le_bytes());
        }
    }
}

/// What the senders counted.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) bytes: AtomicU64,
    stop: AtomicBool,
}

/// Sends from [`CONNECTIONS`] connections for `duration`; at most `rate` records a second if given. Returns what was
/// counted, the seconds it took, and the latency of each acknowledged request in microseconds.
pub(crate) fn send(address: &str, batch: u64, duration: Duration, rate: Option<f64>) -> (Sent, f64, Vec<u64>) {
    let sent = Sent::default();
    let mut senders: Vec<(Vec<Template>, Random)> = (0..CONNECTIONS)
        .map(|connection| {
            let mut random = Random::new(connection * 1000 + batch);
            ((0..TEMPLATES).map(|_| Template::new(&mut random, batch)).collect(), random)
        })
        .collect();
    let seed = SystemClock.now().unix_nanos();
    let began = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = senders
            .iter_mut()
            .enumerate()
            .map(|(at, (templates, random))| {
                random.0 ^= seed.rotate_left(at as u32) | 1;
                let sent = &sent;
                let pause = rate.map(|rate| Duration::from_secs_f64(batch as f64 * CONNECTIONS as f64 / rate));
                scope.spawn(move || sender(address, templates, random, pause, sent))
            })
            .collect();
        std::thread::sleep(duration);
        sent.stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().expect("sender")).collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    (sent, seconds, latencies)
}

fn sender(
    address: &str,
    templates: &mut [Template],
    random: &mut Random,
    pause: Option<Duration>,
    sent: &Sent,
) -> Vec<u64> {
    let mut stream = connect(address);
    let mut latencies = Vec::new();
    let mut due =
        Instant::now() + pause.map_or(Duration::ZERO, |pause| pause.mul_f64(random.below(100) as f64 / 100.0));
    let mut turn = 0;
    while !sent.stop.load(Ordering::Relaxed) {
        let at = turn % templates.len();
        let template = &mut templates[at];
        turn += 1;
        template.renew(random);
        if let Some(pause) = pause {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            due += pause;
        }
        let began = Instant::now();
        if post(&mut stream, &template.bytes) == 200 {
            latencies.push(began.elapsed().as_micros() as u64);
            sent.acknowledged.fetch_add(template.places.len() as u64, Ordering::Relaxed);
            sent.bytes.fetch_add(template.bytes.len() as u64, Ordering::Relaxed);
        } else {
            sent.refused.fetch_add(template.places.len() as u64, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    latencies
}

/// One connection of its own, which sends when it is told to.
pub(crate) struct Line {
    stream: BufReader<TcpStream>,
    template: Template,
    random: Random,
}

impl Line {
    pub(crate) fn open(address: &str, batch: u64) -> Self {
        let mut random = Random::new(SystemClock.now().unix_nanos());
        Self { stream: connect(address), template: Template::new(&mut random, batch), random }
    }

    /// Sends one batch and waits for its acknowledgement.
    pub(crate) fn send(&mut self) {
        self.template.renew(&mut self.random);
        assert_eq!(post(&mut self.stream, &self.template.bytes), 200, "refused under light load");
    }
}

fn connect(address: &str) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    BufReader::with_capacity(4096, stream)
}

/// Sends one request and gives the status of its answer.
fn post(stream: &mut BufReader<TcpStream>, bytes: &[u8]) -> u16 {
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    stream.get_mut().write_all(head.as_bytes()).expect("send");
    stream.get_mut().write_all(bytes).expect("send");
    answer(stream)
}

/// Reads one answer and gives its status.
fn answer(stream: &mut BufReader<TcpStream>) -> u16 {
    let mut status = 0;
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).expect("answer");
        let text = line.trim_end().to_ascii_lowercase();
        if text.starts_with("http/1.1 ") {
            status = text[9..12].parse().unwrap_or(0);
        } else if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        } else if text.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("body");
    status
}

/// Gets a page.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut page = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
        let _ = stream.read_to_string(&mut page);
    }
    page
}
