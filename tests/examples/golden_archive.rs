//! Writes `tests/golden/archive-v2`: `cargo run -p tachograph-tests --example golden_archive -- DIR`, into a new directory.
//!
//! An archive with retention, made by the code that makes real ones, with keys and times of its own, so that each run writes the same
//! bytes while the Parquet writer stays the same. What was committed stays as it is: a later release reads what this one wrote.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore};
use tachograph_exporters::archive::{
    Archive, Classify, Committed, DEFAULT_CLASS, RECORDER_CLASS, Retention, Row, Settings,
};
use tachograph_ledger::{
    Entry, LedgerName, Lock, MacKey, MacScheme, Object, ObjectKind, Sealer, SigningKey, leaf_hash, sha256,
};
use tachograph_record::{
    ActorType, Body, Decimal, EventId, Json, Kind, Number, Outcome, Record, Text, Time, write_body,
};

const DAY: u64 = 24 * 3600;
/// 2026-11-20T12:00:00Z.
const BEGIN: u64 = 1_795_176_000;
const LEDGER: &str = "golden.example/retention";
const PROMPTS: &str = "prompts";
const WRITER: &str = "golden:1:00112233445566778899aabbccddeeff";

fn main() {
    let root = std::env::args_os().nth(1).map(PathBuf::from).expect("the name of a new directory");
    std::fs::create_dir(&root).expect("a new directory");
    let key = SigningKey::from_seed(LedgerName::parse(LEDGER).expect("a name"), *sha256(b"golden signing").as_bytes());
    let mac_key = *sha256(b"golden mac").as_bytes();
    write(&root.join("ledger.vkey"), &format!("{}\n", key.public().to_line()));
    let hex: String = mac_key.iter().map(|byte| format!("{byte:02x}")).collect();
    write(&root.join("mac-escrow.key"), &format!("tachograph-mac-escrow/v1\n{LEDGER}\n{hex}\n"));

    let mut ledger = Ledger::begin(&root.join("archive"), key, mac_key);
    for seconds in 0..6 {
        ledger.record(BEGIN + seconds, seconds % 2 == 0);
    }
    let hold = ledger.statement(
        BEGIN + 6,
        "hold.add",
        r#"{"query":{"session_id":"session-3","from":"2026-11-20T00:00:00.000000000Z"},"reason":"case 2026-17"}"#,
    );
    let first = ledger.append(usize::MAX);

    // A segment that was interrupted and begun again with more records: leaves and prompts of it are named by no commit, the object of
    // the decision is the same in both.
    let second_day = BEGIN + 2 * DAY;
    ledger.record(second_day, true);
    ledger.record(second_day + 1, false);
    let orphans = ledger.interrupted(&root.join("interrupted"), 2);
    ledger.statement(second_day + 2, "archive.orphans", &list(&orphans));
    // Of the first segment only the prompts are past their date.
    let prompts = first.objects.iter().find(|object| is(object, PROMPTS)).expect("prompts").clone();
    let objects = of(&prompts, first.first);
    let intent = ledger.statement(second_day + 3, "retention.destroy", &format!(r#"{{"objects":[{objects}]}}"#));
    ledger.record(second_day + 4, true);
    ledger.append(usize::MAX);
    std::fs::remove_file(root.join("archive").join(&prompts.path)).expect("the prompts");

    ledger.statement(
        second_day + 5,
        "retention.destroyed",
        &format!(r#"{{"intent":"{intent}","objects":[{objects}]}}"#),
    );
    ledger.statement(second_day + 6, "hold.release", &format!(r#"{{"hold":"{hold}","reason":"case closed"}}"#));
    ledger.record(second_day + 7, false);
    ledger.append(usize::MAX);
    // Now, because opening an archive removes what lies behind its end.
    for orphan in &orphans {
        std::fs::copy(root.join("interrupted").join(orphan), root.join("archive").join(orphan)).expect("an orphan");
    }
    std::fs::remove_dir_all(root.join("interrupted")).expect("the interrupted archive");
    std::fs::remove_dir(root.join("archive/.incoming")).expect("an empty .incoming");
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
}

fn is(object: &Object, wanted: &str) -> bool {
    matches!(&object.kind, ObjectKind::Records { class } if class == wanted)
}

fn list(paths: &[String]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| format!("\"{path}\"")).collect();
    format!(r#"{{"objects":[{}]}}"#, paths.join(","))
}

/// An object as statements of destruction name it.
fn of(object: &Object, first: u64) -> String {
    format!(
        r#"{{"path":"{}","sha256":"{}","class":"{PROMPTS}","first":"{first}","rows":"{}","retain_until":"{}"}}"#,
        object.path,
        object.sha256,
        object.rows,
        Time::from_unix_nanos(object.retain_until.expect("a date") * 1_000_000_000).expect("a time"),
    )
}

/// Generations are prompts; the recorder's statements are its own.
struct Classes;

impl Classify for Classes {
    fn class(&self, body: &Body<'_>, _bytes: &[u8]) -> &str {
        match body.record.kind {
            Kind::Generation => PROMPTS,
            Kind::Lifecycle => RECORDER_CLASS,
            _ => DEFAULT_CLASS,
        }
    }
}

struct Sealed {
    index: u64,
    leaf: Vec<u8>,
    mac: [u8; 32],
    body: Vec<u8>,
}

struct Ledger {
    archive: Archive,
    key: Arc<SigningKey>,
    sealer: Sealer,
    sealed: Vec<Sealed>,
    statements: u64,
}

fn open(place: &Path, key: &Arc<SigningKey>) -> Archive {
    let store = Arc::new(DirectoryStore::writer(place, DirectorySettings::default()).expect("a directory"));
    let retention = Retention {
        lock: Lock::None,
        default: Duration::from_secs(730 * DAY),
        classes: vec![(PROMPTS.to_owned(), Duration::from_secs(DAY))],
        proofs: Duration::from_secs(760 * DAY),
    };
    let settings = Settings {
        zstd_level: 3,
        retention: Some(retention.clone()),
        writer: WRITER.to_owned(),
        known: 0,
        opened_at: Time::default(),
    };
    Archive::create(&*store, &key.public(), time(BEGIN), Some(&retention)).expect("an archive");
    Archive::open(store, key.clone(), settings).expect("an archive").0
}

fn time(seconds: u64) -> Time {
    Time::from_unix_nanos(seconds * 1_000_000_000 + 123_456_789).expect("a time")
}

impl Ledger {
    fn begin(place: &Path, key: SigningKey, mac_key: [u8; 32]) -> Self {
        let key = Arc::new(key);
        let sealer = Sealer::new(&key.public(), MacKey::initial(MacScheme::V1, mac_key)).expect("a sealer");
        Self { archive: open(place, &key), key, sealer, sealed: Vec::new(), statements: 0 }
    }

    fn next_id(&self, seconds: u64) -> EventId {
        EventId::v7(time(seconds), sha256(&self.sealer.next_index().to_be_bytes()).as_bytes())
    }

    /// What an application sent: a generation or a decision.
    fn record(&mut self, seconds: u64, generation: bool) {
        let kind = if generation { Kind::Generation } else { Kind::AgentDecision };
        let mut record = Record::new(self.next_id(seconds), time(seconds), kind);
        let session = format!("session-{}", self.sealer.next_index());
        record.service_name = Some("golden".into());
        record.session_id = Some(session.as_str().into());
        record.outcome = Some(Outcome::Success);
        record.model = Some("some-model".into());
        if generation {
            record.prompt = Some("a prompt that is not kept for long".into());
        } else {
            record.decision_type = Some("LOAN_APPROVAL".into());
            record.confidence = Some(Number(0.75));
            record.final_decision = Some("approve".into());
        }
        self.seal(&record, seconds);
    }

    /// What the recorder says. Gives the event id.
    fn statement(&mut self, seconds: u64, action: &'static str, details: &str) -> String {
        let id = self.next_id(seconds);
        let mut record = Record::new(id, time(seconds), Kind::Lifecycle);
        record.service_name = Some("tachograph".into());
        record.actor_type = Some(ActorType::User);
        record.actor_id = Some("uid:1000".into());
        record.action_type = Some(Text::from(action));
        record.outcome = Some(Outcome::Success);
        record.details = Some(Json::trusted(details.to_owned()));
        record.producer = Some("tachograph-collector".into());
        record.producer_epoch = Some("00112233445566778899aabbccddeeff".into());
        record.producer_seq = Decimal::new(self.statements);
        self.statements += 1;
        self.seal(&record, seconds);
        let mut text = Vec::new();
        id.write(&mut text);
        String::from_utf8(text).expect("text")
    }

    fn seal(&mut self, record: &Record<'_>, seconds: u64) {
        let index = self.sealer.next_index();
        let salt = sha256(format!("salt {index}").as_bytes()).as_bytes()[..16].try_into().expect("16 bytes");
        let mut body = Vec::new();
        write_body(record, &salt, time(seconds), &mut body);
        let mut leaf = Vec::new();
        let entry = Entry {
            body_len: body.len() as u64,
            body_sha256: sha256(&body),
            event_time: record.timestamp.unix_nanos(),
            kind: record.kind.as_str(),
            producer: record.producer.as_deref(),
            producer_epoch: record.producer_epoch.as_deref(),
            producer_seq: record.producer_seq.map(Decimal::get),
            sealed_at: time(seconds).unix_nanos(),
            span_id: None,
            trace_id: None,
        };
        let sealed = self.sealer.seal(entry, &mut leaf).expect("a leaf");
        self.sealed.push(Sealed { index, leaf, mac: sealed.mac, body });
    }

    /// Archives what is not archived yet, at most `most` records.
    fn append(&mut self, most: usize) -> Committed {
        append(&mut self.archive, &self.sealed, most)
    }

    /// What an interrupted segment of `most` records would have left here. Made in another place.
    fn interrupted(&self, place: &Path, most: usize) -> Vec<String> {
        let mut archive = open(place, &self.key);
        let archived = usize::try_from(self.archive.tail().size).expect("few records");
        append(&mut archive, &self.sealed, archived);
        assert_eq!(archive.tail(), self.archive.tail(), "the same records give the same segment");
        append(&mut archive, &self.sealed, most).objects.into_iter().map(|object| object.path).collect()
    }
}

fn append(archive: &mut Archive, sealed: &[Sealed], most: usize) -> Committed {
    let mut segment = archive.begin().expect("a segment");
    let rest = sealed.iter().filter(|record| record.index >= segment.first()).take(most).collect::<Vec<_>>();
    for record in rest {
        let hash = leaf_hash(&record.leaf);
        let row = Row { index: record.index, leaf: &record.leaf, hash: &hash, mac: &record.mac, body: &record.body };
        segment.push(row, &Classes).expect("a good record");
    }
    archive.append(segment).expect("archived")
}
