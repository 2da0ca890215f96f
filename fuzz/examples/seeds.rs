//! Writes the seeds that our own encoders can make: `cargo run -p tachograph-fuzz --example seeds`.
//! To be run again when a format gets a new version; hand-made seeds and inputs that once crashed stay as they are.

use std::path::Path;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;
use tachograph_fuzz::signing::{LEDGER, key};
use tachograph_ledger::{
    AddCheckpoint, Checkpoint, Commit, Continues, Edge, Hash, Leaf, LedgerName, Lock, Object, ObjectKind, Terms,
    WitnessName, WitnessSigningKey, consistency_proof, genesis, leaf_hash, root_of, sha256, sign_note,
};
use tachograph_record::{Body, Json, Number, Text, Time, write_body};

const NANOS: u64 = 1_760_000_000_123_456_789;

fn main() -> std::io::Result<()> {
    for (seed, bytes) in requests() {
        write("add_checkpoint", seed, bytes.as_bytes())?;
    }
    write("body", "minimal", &body(false))?;
    write("body", "generation", &body(true))?;
    write("config", "empty", b"")?;
    write("config", "full", CONFIG.as_bytes())?;
    write("config", "s3", CONFIG_S3.as_bytes())?;
    // The first byte says what the rest is: see the target.
    write("journal", "file", &[0])?;
    write("journal", "payload", &journal_payload())?;
    write("journal", "unchanged", &[2])?;
    write("journal", "changed", &[2, 0xfa, 0, b'!'])?;
    write("otlp_logs", "request", &logs().encode_to_vec())?;
    write("otlp_traces", "request", &traces().encode_to_vec())?;
    write("json", "object", br#"{"a":[1,-2.5e3,true,null,"\u00e9\n"],"b":{"c":{}}}"#)?;
    write("json", "large-integer", b"[9007199254740993, 9007199254740992]")?;
    write("json", "no-json", b"plain text\nwith a second line")?;
    write("leaf", "minimal", &leaf(false))?;
    write("leaf", "full", &leaf(true))?;
    let checkpoint = Checkpoint { origin: name(), size: 1, root: leaf_hash(&leaf(false)) }.sign(key());
    let checkpoint = checkpoint.expect("the key is here");
    let signed = |commit: Commit| commit.sign(key()).expect("the key is here");
    let (commit, commit_2) = (signed(commit()), signed(commit_2()));
    write("checkpoint", "signed", checkpoint.as_bytes())?;
    write("checkpoint", "text", text_of(&checkpoint))?;
    let continues = Continues::new(key().public(), &checkpoint).expect("of this ledger");
    write("continues", "signed", continues.details().as_bytes())?;
    write("commit", "signed", commit.as_bytes())?;
    write("commit", "text", text_of(&commit))?;
    write("commit", "signed-2", commit_2.as_bytes())?;
    write("commit", "text-2", text_of(&commit_2))?;
    write("note", "signed", sign_note("one line\n\nand another\n", key()).expect("the key is here").as_bytes())?;
    write("note", "witnessed", witnessed().as_bytes())?;
    write("note", "text", b"one line\n\nand another\n")?;
    write("policy", "nested", policy().as_bytes())?;
    write("policy", "two-keys", policy_of_two_keys().as_bytes())?;
    write("policy", "none", b"# nobody\nquorum none\n")?;
    write("s3_url", "short", b"s3://acme-ai-audit")?;
    write("s3_url", "full", b"s3://acme-ai-audit/prod/eu=1?endpoint=https://minio.example:9000&region=us-east-1")?;
    write("vkey", "public", key().public().to_line().as_bytes())?;
    write("vkey", "private", key().to_line().as_bytes())?;
    write("vkey", "p256", P256_KEY.as_bytes())?;
    write("vkey", "witness", witness(1).public().to_line().as_bytes())?;
    write("vkey", "witness-private", witness(1).to_line().as_bytes())?;
    write("vkey", "witness-ml-dsa", post_quantum(1).public().to_line().as_bytes())?;
    write("vkey", "witness-ml-dsa-private", post_quantum(1).to_line().as_bytes())
}

/// That of `tests/golden/p256-v1.json`.
const P256_KEY: &str = "acme.example/ai-audit+f1d59449+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFFcPW6545a5BNP+yn9U/c0MwemXvzddylFa0KbDtANfRTa+OlDzGPv5pUdZAqIhUCvvDVfgjFOyzApW8X2fk1Q=";

fn witness(number: u8) -> WitnessSigningKey {
    let name = WitnessName::parse(&format!("witness.example/w{number}")).expect("a good name");
    WitnessSigningKey::from_seed(name, [number; 32])
}

/// The second key of the same witness.
fn post_quantum(number: u8) -> WitnessSigningKey {
    WitnessSigningKey::ml_dsa_44(witness(number).name().clone(), [100 + number; 32])
}

/// A request, the text of its checkpoint, and answers.
fn requests() -> [(&'static str, String); 4] {
    let leaves: Vec<Hash> = (0..7_u8).map(|index| sha256(&[index])).collect();
    let stated = Checkpoint { origin: name(), size: 7, root: root_of(&leaves) };
    let checkpoint = stated.sign(key()).expect("the key is here");
    let proof = consistency_proof(&leaves, 4, 7).expect("a good proof");
    let request = AddCheckpoint { old: 4, proof, checkpoint: &checkpoint }.encode();
    let text = String::from_utf8_lossy(text_of(&checkpoint)).into_owned();
    let (answer, second) = (witness(1).cosign(&stated, 1_790_000_000), post_quantum(1).cosign(&stated, 1_790_000_000));
    let both = format!("{answer}{second}");
    [("request", request), ("answer", answer), ("answer-of-two-keys", both), ("text", text)]
}

fn policy_of_two_keys() -> String {
    let keys = [witness(1), post_quantum(1)].map(|key| key.public().to_line());
    format!("witness a {}\nwitness b {} https://w1.example\ngroup w1 all a b\nquorum w1\n", keys[0], keys[1])
}

/// A checkpoint that a witness cosigned with both of its keys.
fn witnessed() -> String {
    let stated = Checkpoint { origin: name(), size: 1, root: leaf_hash(&leaf(false)) };
    let lines = [witness(1), post_quantum(1)].map(|key| key.cosign(&stated, 1_790_000_000));
    format!("{}{}", stated.sign(key()).expect("the key is here"), lines.concat())
}

fn policy() -> String {
    let witnesses: String = (1..=3)
        .map(|number| format!("witness w{number} {} https://w{number}.example\n", witness(number).public().to_line()))
        .collect();
    format!("log {}\n{witnesses}group some any w1 w2\ngroup both all some w3\nquorum both\n", key().public().to_line())
}

fn write(target: &str, seed: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(seed), bytes)
}

fn name() -> LedgerName {
    LedgerName::parse(LEDGER).expect("a good name")
}

/// A note without its signature.
fn text_of(note: &str) -> &[u8] {
    let end = note.rfind("\n\n").expect("a note has an empty line");
    &note.as_bytes()[..=end]
}

fn body(full: bool) -> Vec<u8> {
    let minimal = format!(
        "{{\"v\":\"1\",\"salt\":\"{}\",\"observed_at\":\"2025-10-09T08:53:20.123456789Z\",\
         \"event_id\":\"0199c811-8b7b-7abc-8def-0123456789ab\",\
         \"timestamp\":\"2025-10-09T08:53:20.000000001Z\",\"kind\":\"generation\"}}",
        "ab".repeat(16)
    );
    let mut read = Body::parse(minimal.as_bytes()).expect("a good body");
    if full {
        let record = &mut read.record;
        record.model = Some(Text("some-model".into()));
        record.prompt = Some(Text("a \"quoted\" prompt\nwith é".into()));
        record.cost = Some(Number(0.0125));
        record.input_messages = Some(Json::from_sender(r#"[{"role":"user","parts":[{"content":"hi"}]}]"#));
        record.metadata = Some(Json::from_sender(r#"{"span":{"name":"chat"}}"#));
    }
    let mut bytes = Vec::new();
    write_body(&read.record, &read.salt.0, Time::from_unix_nanos(NANOS).expect("a good time"), &mut bytes);
    bytes
}

fn leaf(full: bool) -> Vec<u8> {
    let optional = |value: &'static str| full.then_some(value);
    let mut bytes = Vec::new();
    Leaf {
        body_len: 321,
        body_sha256: sha256(b"body"),
        cipher_sha256: full.then(|| sha256(b"cipher")),
        dek_id: optional("dek-1"),
        event_time: NANOS,
        index: 0,
        kind: "generation",
        ledger: LEDGER,
        prev: genesis(&key().public().to_line()),
        producer: optional("host-1"),
        producer_epoch: optional("e1"),
        producer_seq: full.then_some(42),
        sealed_at: NANOS + 1,
        span_id: full.then_some([1; 8]),
        stream: optional("s"),
        stream_prev: full.then(|| sha256(b"stream")),
        stream_seq: full.then_some(7),
        trace_id: full.then_some([2; 16]),
    }
    .encode_into(&mut bytes);
    bytes
}

fn commit() -> Commit {
    let mut edge = Edge::new();
    let last_hash = leaf_hash(&leaf(false));
    edge.push(last_hash);
    let object = |kind, path: &str| Object {
        kind,
        path: path.to_owned(),
        rows: 1,
        sha256: sha256(b"object"),
        size: 99,
        retain_until: None,
    };
    Commit {
        ledger: name(),
        first: 0,
        count: 1,
        edge: edge.hashes().to_vec(),
        last_hash,
        objects: vec![
            object(ObjectKind::Leaves, "leaves/day=2025-10-09/00000000000000000000-1-0011223344556677.parquet"),
            object(
                ObjectKind::Records { class: "default".to_owned() },
                "records/class=default/day=2025-10-09/00000000000000000000-1-0011223344556677.parquet",
            ),
        ],
        prev_commit_sha256: Hash::from_bytes([0; 32]),
        root: edge.root(),
        terms: None,
    }
}

/// The same in format version 2, with two classes.
fn commit_2() -> Commit {
    let mut commit = commit();
    let mut leaves = Edge::new();
    let last_hash = sha256(b"the second leaf");
    leaves.push(commit.last_hash);
    leaves.push(last_hash);
    let class = ObjectKind::Records { class: "prompts".to_owned() };
    commit.objects.push(Object {
        kind: class,
        path: "records/class=prompts/x.parquet".to_owned(),
        ..commit.objects[1].clone()
    });
    commit.objects[0].rows = 2;
    for (object, until) in commit.objects.iter_mut().zip([3_000, 2_000, 1_000]) {
        object.retain_until = Some(until);
    }
    let terms =
        Terms { lock: Lock::Compliance, retain_until: 3_000, writer: "host-1:4711:0011223344556677".to_owned() };
    Commit { count: 2, edge: leaves.hashes().to_vec(), last_hash, root: leaves.root(), terms: Some(terms), ..commit }
}

const CONFIG_S3: &str = "\
durability: archive
archive:
  s3: { bucket: acme-ai-audit, prefix: prod/, region: eu-central-1, endpoint: 'https://h:1', mode: compliance, encryption: sse-kms, kms_key: k }
  retention:
    default: 730d
    proofs: 11y
    classes: [{ name: prompts, when: \"kind == 'generation'\", keep: 365d }]
  max_objects_per_day: 5000
";

const CONFIG: &str = "\
data: somewhere
receive:
  grpc: 127.0.0.1:4317
  http: off
  bearer_tokens: [a-token-that-is-long-enough-to-be-taken]
  limits: { max_body_bytes: 16MiB, request_timeout: 30s }
journal: { max_bytes: 1GiB, max_file_bytes: 4MiB }
archive: { max_age: 90s, max_bytes: 64MiB, compression_level: 3, immutable: false }
";

/// Mode, number of records, then one record: length of leaf and body, MAC, leaf, body.
fn journal_payload() -> Vec<u8> {
    let mut bytes = vec![1, 1];
    bytes.extend_from_slice(&4_u32.to_le_bytes());
    bytes.extend_from_slice(&4_u32.to_le_bytes());
    bytes.extend_from_slice(&[3; 32]);
    bytes.extend_from_slice(b"leafbody");
    bytes
}

fn value(value: any_value::Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn attribute(key: &str, content: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: value(content), ..KeyValue::default() }
}

fn attributes() -> Vec<KeyValue> {
    use any_value::Value;
    let text = |key, text: &str| attribute(key, Value::StringValue(text.to_owned()));
    let list =
        vec![AnyValue { value: Some(Value::BoolValue(true)) }, AnyValue { value: Some(Value::BytesValue(vec![0, 1])) }];
    vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "some-model"),
        text("gen_ai.input.messages", r#"[{"role":"user","parts":[]}]"#),
        text("tachograph.event.id", "0199c811-8b7b-7abc-8def-0123456789ab"),
        text("tachograph.producer.id", "host-1"),
        attribute("gen_ai.usage.input_tokens", Value::IntValue(12)),
        attribute("tachograph.cost", Value::DoubleValue(0.5)),
        attribute("list", Value::ArrayValue(ArrayValue { values: list })),
        attribute("map", Value::KvlistValue(KeyValueList { values: vec![text("inner", "value")] })),
    ]
}

fn resource() -> Option<Resource> {
    let name = attribute("service.name", any_value::Value::StringValue("painter".to_owned()));
    Some(Resource { attributes: vec![name], ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: "tachograph".to_owned(),
        version: "1".to_owned(),
        ..InstrumentationScope::default()
    })
}

fn traces() -> ExportTraceServiceRequest {
    let event = span::Event {
        time_unix_nano: NANOS,
        name: "exception".to_owned(),
        attributes: attributes(),
        ..span::Event::default()
    };
    let link = span::Link { trace_id: vec![3; 16], span_id: vec![4; 8], ..span::Link::default() };
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![5; 8],
        name: "chat".to_owned(),
        start_time_unix_nano: NANOS,
        end_time_unix_nano: NANOS + 5,
        attributes: attributes(),
        events: vec![event],
        links: vec![link],
        status: Some(Status { message: "bad".to_owned(), code: 2 }),
        ..Span::default()
    };
    let spans = ScopeSpans { scope: scope(), spans: vec![span], ..ScopeSpans::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        }],
    }
}

fn logs() -> ExportLogsServiceRequest {
    let log = LogRecord {
        time_unix_nano: NANOS,
        severity_text: "INFO".to_owned(),
        body: value(any_value::Value::StringValue("a line".to_owned())),
        attributes: attributes(),
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        ..LogRecord::default()
    };
    let logs = ScopeLogs { scope: scope(), log_records: vec![log.clone(), log], ..ScopeLogs::default() };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: resource(), scope_logs: vec![logs], ..ResourceLogs::default() }],
    }
}
