//! An archive of some days of an image service, written by the archive's own code without a collector before it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_exporters::archive::store::Store;
use tachograph_exporters::archive::{Archive, OneClass, Pushed, Retention, Row, Segment, Settings};
use tachograph_ledger::{Entry, LedgerName, MacKey, MacScheme, Sealer, SigningKey, sha256};
use tachograph_record::{
    ActorType, Count, Decimal, EventId, Hex, Json, Kind, Number, Outcome, Record, Status, Text, Time, write_body,
};

use crate::load::Random;

const NANOS_PER_DAY: u64 = 86_400_000_000_000;
/// The collector's default for `archive.max_bytes` and `archive.compression_level`.
const SEGMENT_BYTES: u64 = 256 << 20;
const ZSTD_LEVEL: i32 = 2;
/// Records that one thread makes for the other to seal.
const CHUNK: usize = 4_096;
const PROMPTS: u64 = 5_000;

/// Records that come evenly over some days.
#[derive(Clone, Copy)]
pub(crate) struct Days {
    first_day: u64,
    days: u64,
    records: u64,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) days: Days,
    pub(crate) segments: u64,
    pub(crate) records_bytes: u64,
    pub(crate) leaves_bytes: u64,
    pub(crate) body_bytes: u64,
}

impl Days {
    pub(crate) fn before_today(days: u64, records: u64) -> Self {
        Self { first_day: SystemClock.now().unix_nanos() / NANOS_PER_DAY - days, days, records }
    }

    fn nanos_of(self, index: u64) -> u64 {
        self.first_day * NANOS_PER_DAY + index * (self.days * NANOS_PER_DAY / self.records)
    }

    pub(crate) fn day_of(self, index: u64) -> String {
        Time::from_unix_nanos(self.nanos_of(index)).expect("a time").day()
    }

    /// Key of the ledger that is written.
    pub(crate) fn key() -> SigningKey {
        SigningKey::from_seed(LedgerName::parse("bench.example/written").expect("name"), [9; 32])
    }

    /// Writes them into an empty store, most of them `of_segment` to a segment.
    pub(crate) fn write(self, store: &Arc<dyn Store>, retention: Option<Retention>, of_segment: u64) -> Written {
        let key = Arc::new(Self::key());
        let created = Time::from_unix_nanos(self.first_day * NANOS_PER_DAY).expect("a time");
        Archive::create(&**store, &key.public(), created, retention.as_ref()).expect("an archive");
        let settings = Settings { retention, writer: "bench".to_owned(), ..Settings::undated(ZSTD_LEVEL) };
        let (mut archive, _) = Archive::open(Arc::clone(store), key.clone(), settings).expect("an archive");
        let sealer = Sealer::new(&key.public(), MacKey::initial(MacScheme::V2, [7; 32])).expect("a sealer");
        let (sender, receiver) = sync_channel(4);
        let maker = thread::spawn(move || make(self, &sender));
        let mut written = Written { days: self, segments: 0, records_bytes: 0, leaves_bytes: 0, body_bytes: 0 };
        fill(&mut archive, sealer, &receiver, of_segment, &mut written);
        maker.join().expect("maker");
        written
    }
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

/// Random, and found again.
pub(crate) fn path_of(index: u64) -> String {
    let mut random = Random::new(index + (1 << 50));
    random.next();
    format!("s3://images/{:016x}{:016x}.png", random.next(), random.next())
}

/// Records of an image service, in chunks.
fn make(days: Days, sender: &SyncSender<Vec<Made>>) {
    let mut random = Random::new(4_711);
    let prompts: Vec<String> = (0..PROMPTS)
        .map(|_| {
            let bytes = 60 + random.below(120) as usize;
            random.text(bytes)
        })
        .collect();
    let mut chunk = Vec::with_capacity(CHUNK);
    for index in 0..days.records {
        chunk.push(record(&mut random, index, days.nanos_of(index), &prompts));
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
