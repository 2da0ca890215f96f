//! One record out of millions, found by its output path with DuckDB over S3: how many bytes that reads.
//!
//! The archive is written by the archive's own code, without a collector before it: ten days of records, in segments as large as
//! the default allows.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_exporters::archive::store::Store;
use tachograph_exporters::archive::store::s3::{Brief, S3Settings, S3Store};
use tachograph_exporters::archive::{Archive, OneClass, Pushed, Retention, Row, Segment, Settings};
use tachograph_ledger::{Entry, LedgerName, Lock, MacKey, MacScheme, Sealer, SigningKey, sha256};
use tachograph_record::{
    ActorType, Count, Decimal, EventId, Hex, Json, Kind, Number, Outcome, Record, Status, Text, Time, write_body,
};

use super::server::{Bucket, Server};
use crate::ingest::round;
use crate::load::Random;

const RECORDS: u64 = 10_000_000;
const DAYS: u64 = 10;
const NANOS_PER_DAY: u64 = 86_400_000_000_000;
/// The collector's default for `archive.max_bytes` and `archive.compression_level`.
const SEGMENT_BYTES: u64 = 256 << 20;
const ZSTD_LEVEL: i32 = 2;
/// Records that one thread makes for the other to seal.
const CHUNK: usize = 4_096;
const PROMPTS: u64 = 5_000;

/// How many records, and most of them in a segment: for trying, and for archives of small segments.
fn size() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (
        number("TACHOGRAPH_BENCH_RECORDS").unwrap_or(RECORDS),
        number("TACHOGRAPH_BENCH_SEGMENT_RECORDS").unwrap_or(u64::MAX),
    )
}

pub(crate) fn run(server: &Server) -> Value {
    let bucket = server.bucket("lookup");
    let (records, of_segment) = size();
    let began = Instant::now();
    let written = write(&bucket, records, of_segment);
    let took = began.elapsed().as_secs_f64();
    let wanted: Vec<u64> = [3, 37, 71].map(|share| records * share / 100).to_vec();
    let queries: Vec<Value> = wanted
        .iter()
        .map(|index| (path_of(*index), Some(day_of(*index, records, written.first_day))))
        // One that is nowhere, though it lies between others.
        .chain([(path_of(records), None)])
        .flat_map(|(path, day)| {
            // By the path alone, and by the path within a day of which whoever asks has an idea.
            let days = [None, day.clone()];
            let days = if day.is_some() { &days[..] } else { &days[..1] };
            days.iter().map(|day| query(server, &bucket, &path, day.as_deref(), &written)).collect::<Vec<_>>()
        })
        .collect();
    json!({
        "records": records,
        "segments": written.segments,
        "records_mb": round(written.records_bytes as f64 / 1e6),
        "leaves_mb": round(written.leaves_bytes as f64 / 1e6),
        "body_bytes_per_record": written.body_bytes / records,
        "seconds_to_write": round(took),
        "queries": queries,
    })
}

struct Written {
    first_day: u64,
    segments: u64,
    records_bytes: u64,
    leaves_bytes: u64,
    body_bytes: u64,
}

/// One query in a DuckDB of its own, and what the server sent for it.
fn query(server: &Server, bucket: &Bucket, path: &str, day: Option<&str>, written: &Written) -> Value {
    let python = std::env::var("TACHOGRAPH_TEST_PYTHON").expect("TACHOGRAPH_TEST_PYTHON: run `cargo xtask bench`");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/lookup.py");
    let before = server.counters();
    let mut command = Command::new(python);
    command.arg(script).args([bucket.endpoint(), bucket.name(), path]).args(day);
    let output = command.output().expect("python");
    assert!(output.status.success(), "lookup.py: {}", String::from_utf8_lossy(&output.stderr));
    let mut answer: Value = serde_json::from_slice(&output.stdout).expect("lookup.py prints JSON");
    // The server counts a request when its answer is out.
    thread::sleep(Duration::from_millis(500));
    let counted = server.counters().since(&before);
    answer["requests"] = json!(counted.requests);
    answer["sent_mb"] = json!(round(counted.sent as f64 / 1e6));
    answer["share_of_records_percent"] = json!(round(counted.sent as f64 / written.records_bytes as f64 * 100.0));
    answer
}

fn write(bucket: &Bucket, records: u64, of_segment: u64) -> Written {
    let key = Arc::new(SigningKey::from_seed(LedgerName::parse("bench.example/lookup").expect("name"), [9; 32]));
    let keep = Duration::from_secs(24 * 3600);
    let retention = Retention { lock: Lock::Compliance, default: keep, classes: Vec::new(), proofs: keep };
    let spool = tempfile::tempdir().expect("a spool");
    let settings =
        S3Settings { lock: Lock::Compliance, spool: spool.path().to_owned(), ..S3Settings::of_url(&bucket.url()) };
    let store: Arc<dyn Store> = Arc::new(S3Store::writer(settings, Arc::new(Brief), "bench").expect("the bucket"));
    let today = SystemClock.now().unix_nanos() / NANOS_PER_DAY;
    let first_day = today - DAYS;
    let created = Time::from_unix_nanos(first_day * NANOS_PER_DAY).expect("a time");
    Archive::create(&*store, &key.public(), created, Some(&retention)).expect("an archive");
    let settings = Settings {
        zstd_level: ZSTD_LEVEL,
        retention: Some(retention),
        writer: "bench".to_owned(),
        known: 0,
        opened_at: Time::default(),
    };
    let (mut archive, _) = Archive::open(Arc::clone(&store), key.clone(), settings).expect("an archive");
    let sealer = Sealer::new(&key.public(), MacKey::initial(MacScheme::V2, [7; 32])).expect("a sealer");
    let (sender, receiver) = sync_channel(4);
    let maker = thread::spawn(move || make(records, first_day, &sender));
    let mut written = Written { first_day, segments: 0, records_bytes: 0, leaves_bytes: 0, body_bytes: 0 };
    fill(&mut archive, sealer, &receiver, of_segment, &mut written);
    maker.join().expect("maker");
    written
}

/// A body and what its leaf says of it.
struct Made {
    body: Vec<u8>,
    sealed_at: u64,
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

fn fill(
    archive: &mut Archive,
    mut sealer: Sealer,
    receiver: &Receiver<Vec<Made>>,
    of_segment: u64,
    written: &mut Written,
) {
    let mut open: Option<Segment> = None;
    let mut leaf = Vec::new();
    for made in receiver.iter().flatten() {
        leaf.clear();
        let entry = Entry {
            body_len: made.body.len() as u64,
            body_sha256: sha256(&made.body),
            event_time: made.sealed_at,
            kind: Kind::Generation.as_str(),
            producer: None,
            producer_epoch: None,
            producer_seq: None,
            sealed_at: made.sealed_at,
            span_id: Some(made.span_id),
            trace_id: Some(made.trace_id),
        };
        let sealed = sealer.seal(entry, &mut leaf).expect("sealed");
        sealer.retire_before(sealer.mac_epoch());
        let row = Row { index: sealed.index, leaf: &leaf, hash: &sealed.hash, mac: &sealed.mac, body: &made.body };
        written.body_bytes += made.body.len() as u64;
        loop {
            let mut segment = open.take().unwrap_or_else(|| archive.begin().expect("a segment"));
            let taken = segment.push(row, &OneClass).expect("a row") == Pushed::Taken;
            let full = segment.body_bytes() >= SEGMENT_BYTES || segment.rows() >= of_segment;
            if taken && !full {
                open = Some(segment);
                break;
            }
            append(archive, segment, written);
            if taken {
                break;
            }
        }
    }
    if let Some(segment) = open {
        append(archive, segment, written);
    }
}

fn append(archive: &mut Archive, segment: Segment, written: &mut Written) {
    let committed = archive.append(segment).expect("archived");
    written.segments += 1;
    for object in &committed.objects {
        let bytes =
            if object.path.starts_with("leaves/") { &mut written.leaves_bytes } else { &mut written.records_bytes };
        *bytes += object.size;
    }
}

fn nanos_of(index: u64, records: u64, first_day: u64) -> u64 {
    first_day * NANOS_PER_DAY + index * (DAYS * NANOS_PER_DAY / records)
}

fn day_of(index: u64, records: u64, first_day: u64) -> String {
    Time::from_unix_nanos(nanos_of(index, records, first_day)).expect("a time").day()
}

/// Random, and found again.
fn path_of(index: u64) -> String {
    let mut random = Random::new(index + (1 << 50));
    random.next();
    format!("s3://images/{:016x}{:016x}.png", random.next(), random.next())
}

/// Records of an image service, in chunks.
fn make(records: u64, first_day: u64, sender: &SyncSender<Vec<Made>>) {
    let mut random = Random::new(4_711);
    let prompts: Vec<String> = (0..PROMPTS)
        .map(|_| {
            let bytes = 60 + random.below(120) as usize;
            random.text(bytes)
        })
        .collect();
    let mut chunk = Vec::with_capacity(CHUNK);
    for index in 0..records {
        chunk.push(record(&mut random, index, nanos_of(index, records, first_day), &prompts));
        if chunk.len() == CHUNK {
            sender.send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))).expect("the other thread lives");
        }
    }
    sender.send(chunk).expect("the other thread lives");
}

fn record(random: &mut Random, index: u64, sealed_at: u64, prompts: &[String]) -> Made {
    let time = Time::from_unix_nanos(sealed_at).expect("a time");
    let mut entropy = [0; 32];
    entropy.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next().to_le_bytes()));
    let mut record = Record::new(EventId::v7(time, &entropy), time, Kind::Generation);
    let (trace_id, span_id) = (id(random), random.next().to_le_bytes());
    let hash = |random: &mut Random| {
        Text::from(format!(
            "sha256:{:016x}{:016x}{:016x}{:016x}",
            random.next(),
            random.next(),
            random.next(),
            random.next()
        ))
    };
    let prompt = prompts[random.below(PROMPTS) as usize].as_str();
    record.service_name = Some(Text::from("image-service"));
    record.environment = Some(Text::from("production"));
    record.actor_type = Some(ActorType::User);
    record.actor_id = Some(Text::from(format!("user-{:06}", random.below(100_000))));
    record.session_id = Some(Text::from(format!("session-{:016x}", random.below(1_000_000))));
    record.correlation_id = Some(Text::from(format!("{:016x}", random.next())));
    record.team = Some(Text::from(format!("team-{}", random.below(12))));
    record.action_type = Some(Text::from("image"));
    record.outcome = Some(if random.below(50) == 0 { Outcome::Failure } else { Outcome::Success });
    record.trace_id = Some(Hex(trace_id));
    record.span_id = Some(Hex(span_id));
    record.provider = Some(Text::from("stability"));
    record.model = Some(Text::from(["sdxl-1.0", "flux-1-dev", "imagen-4"][random.below(3) as usize]));
    record.prompt = Some(Text::from(prompt));
    record.parameters = Some(Json::trusted(format!(
        "{{\"width\":1024,\"height\":1024,\"steps\":30,\"guidance_scale\":7.5,\"seed\":\"{}\"}}",
        random.below(1 << 32)
    )));
    record.output_hash = Some(hash(random));
    record.output_path = Some(Text::from(path_of(index)));
    record.tokens_in = Count::new(20 + random.below(60));
    record.cost = Some(Number(random.below(10_000) as f64 / 1e6));
    record.cost_currency = Some(Text::from("USD"));
    record.duration_ns = Decimal::new(900_000_000 + random.below(2_000_000_000));
    record.status = Some(Status::Ok);
    let mut body = Vec::with_capacity(1_200);
    write_body(&record, &id(random), time, &mut body);
    Made { body, sealed_at, trace_id, span_id }
}

fn id(random: &mut Random) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.next().to_le_bytes());
    id[8..].copy_from_slice(&random.next().to_le_bytes());
    id
}
