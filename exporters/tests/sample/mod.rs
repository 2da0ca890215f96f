//! Sealed records to test with: deterministic, of all shapes that an archive meets.
#![allow(dead_code, unreachable_pub, unused_imports, unused_macros, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use p256::ecdsa::signature::Signer as _;
use tachograph_ledger::{
    Entry, Hash, LedgerName, MacKey, MacScheme, Sealer, SignError, Signer, SigningKey, StreamPlace, VerifyingKey,
    sha256,
};
use tachograph_record::{
    ActorType, Count, Decimal, EventId, Hex, Json, Kind, Number, Outcome, Record, Status, Text, Time, write_body,
};

/// The methods of a store that leaves them to its `inner`.
macro_rules! left_to_inner {
    () => {
        fn place(&self) -> String {
            self.inner.place()
        }
        fn begin(&self) -> Result<Box<dyn Upload>, StoreError> {
            self.inner.begin()
        }
        fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
            self.inner.read(path, limit)
        }
        fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            self.inner.list(prefix)
        }
        fn len(&self, path: &str) -> Result<Option<u64>, StoreError> {
            self.inner.len(path)
        }
        fn destroy(&self, path: &str) -> Result<Destroyed, StoreError> {
            self.inner.destroy(path)
        }
    };
}
pub(crate) use left_to_inner;

/// 2026-11-20T10:00:00Z.
pub const START: u64 = 1_795_168_800_000_000_000;
pub const DAY: u64 = 86_400_000_000_000;

pub const MAC_KEY: [u8; 32] = [7; 32];

pub struct Sample {
    pub index: u64,
    pub leaf: Vec<u8>,
    pub hash: Hash,
    pub mac: [u8; 32],
    pub body: Vec<u8>,
}

/// Stands in for a key service: a P-256 key in memory, whose signatures of one text differ from one time to the next.
pub struct Service {
    public: VerifyingKey,
    key: p256::ecdsa::SigningKey,
    signed: AtomicU32,
}

impl Service {
    pub fn new(name: &str, seed: u8) -> Self {
        const SPKI_HEAD: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1,
            7, 3, 0x42, 0,
        ];
        let key = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
        let spki = [&SPKI_HEAD, key.verifying_key().to_sec1_point(false).as_bytes()].concat();
        let public = VerifyingKey::p256(LedgerName::parse(name).unwrap(), &spki).unwrap();
        Self { public, key, signed: AtomicU32::new(0) }
    }
}

impl Signer for Service {
    fn public(&self) -> &VerifyingKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature: p256::ecdsa::Signature = self.key.sign(message);
        // The same r with −s is as good, and other bytes.
        let (r, s) = (signature.r(), signature.s());
        let other = p256::ecdsa::Signature::from_scalars(*r, -*s).unwrap();
        let given = if self.signed.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { signature } else { other };
        Ok(given.to_der().as_bytes().to_vec())
    }
}

/// Makes the records of one ledger.
pub struct Ledger {
    /// Who signs: `key`, but on P-256.
    pub signer: Arc<dyn Signer>,
    pub key: Arc<SigningKey>,
    pub sealer: Sealer,
    /// Nanoseconds since 1970 at which the next record is sealed.
    pub now: u64,
    pub producer: bool,
    /// Number that the producer gives the next record.
    pub producer_seq: u64,
    random: u64,
}

pub fn key_of(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(LedgerName::parse(name).unwrap(), [seed; 32])
}

impl Ledger {
    pub fn new() -> Self {
        Self::with_key(key_of("acme.example/test", 1))
    }

    /// A ledger of which a key service has the key, on the curve P-256.
    pub fn on_p256() -> Self {
        let signer = Arc::new(Service::new("acme.example/test", 1));
        let sealer = Sealer::new(signer.public(), MacKey::initial(MacScheme::V2, MAC_KEY)).unwrap();
        Self { signer, sealer, ..Self::new() }
    }

    pub fn with_key(key: SigningKey) -> Self {
        let sealer = Sealer::new(&key.public(), MacKey::initial(MacScheme::V2, MAC_KEY)).unwrap();
        let key = Arc::new(key);
        Self {
            signer: key.clone(),
            key,
            sealer,
            now: START,
            producer: true,
            producer_seq: 0,
            random: 88_172_645_463_325_252,
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn words(&mut self, bytes: usize) -> String {
        const WORDS: [&str; 24] = [
            "the",
            "loan",
            "of",
            "applicant",
            "was",
            "a",
            "model",
            "image",
            "castle",
            "on",
            "hill",
            "at",
            "sunset",
            "because",
            "income",
            "threshold",
            "decision",
            "score",
            "agent",
            "tool",
            "with",
            "review",
            "policy",
            "\"quoted\"\n",
        ];
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            text.push_str(WORDS[(self.random() % 24) as usize]);
            text.push(' ');
        }
        text
    }

    fn id<const N: usize>(&mut self) -> Hex<N> {
        let mut id = [0; N];
        id.iter_mut().for_each(|byte| *byte = self.random() as u8);
        Hex(id)
    }

    /// A record like those of a real day: a 600-byte prompt and a 900-byte completion.
    pub fn next(&mut self) -> Sample {
        let (prompt, output) = (self.words(600), self.words(900));
        self.generation(prompt, output, |_| {})
    }

    pub fn generation(&mut self, prompt: String, output: String, change: impl FnOnce(&mut Record<'_>)) -> Sample {
        let index = self.sealer.next_index();
        let time = Time::from_unix_nanos(self.now - 5_000_000).unwrap();
        let entropy = sha256(&index.to_be_bytes());
        let texts: Vec<String> = ["user", "session", "corr", "team", "/out/image"]
            .iter()
            .map(|name| format!("{name}-{}", index / 3))
            .collect();
        let mut record = Record::new(EventId::v7(time, entropy.as_bytes()), time, Kind::Generation);
        record.service_name = Some(Text::from("image-service"));
        record.environment = Some(Text::from("production"));
        record.actor_type = Some(ActorType::User);
        record.actor_id = Some(Text::from(texts[0].as_str()));
        record.session_id = Some(Text::from(texts[1].as_str()));
        record.correlation_id = Some(Text::from(texts[2].as_str()));
        record.team = Some(Text::from("design"));
        record.action_type = Some(Text::from("chat"));
        record.outcome = Some(if index % 17 == 3 { Outcome::Failure } else { Outcome::Success });
        record.trace_id = Some(self.id());
        record.span_id = Some(self.id());
        record.parent_span_id = (index % 2 == 1).then(|| self.id());
        record.provider = Some(Text::from("openai"));
        record.model = Some(Text::from("gpt-5"));
        record.prompt = Some(Text::from(prompt.as_str()));
        record.output = Some(Text::from(output.as_str()));
        record.output_path = index.is_multiple_of(5).then(|| Text::from(texts[4].as_str()));
        record.input_hash = Some(Text::from(format!("sha256:{}", sha256(prompt.as_bytes()))));
        record.parameters = Some(Json::trusted("{\"temperature\":0.7,\"max_tokens\":1024}".to_owned()));
        record.tokens_in = Count::new(120 + index % 40);
        record.tokens_out = Count::new(200 + index % 90);
        record.cost = Some(Number(0.001 * (index % 7) as f64));
        record.cost_currency = Some(Text::from("USD"));
        record.duration_ns = Decimal::new(900_000_000 + index);
        record.status = Some(Status::Ok);
        if self.producer {
            record.producer = Some(Text::from("svc-1"));
            record.producer_epoch = Some(Text::from("e1"));
            record.producer_seq = Decimal::new(self.producer_seq);
            self.producer_seq += 1;
        }
        change(&mut record);
        self.seal(&record)
    }

    pub fn seal(&mut self, record: &Record<'_>) -> Sample {
        self.seal_in(record, &StreamPlace::None)
    }

    pub fn seal_in(&mut self, record: &Record<'_>, place: &StreamPlace) -> Sample {
        let salt = self.id::<16>().0;
        let mut body = Vec::new();
        write_body(record, &salt, Time::from_unix_nanos(self.now).unwrap(), &mut body);
        let mut leaf = Vec::new();
        let sealed = self
            .sealer
            .seal_in(
                Entry {
                    body_len: body.len() as u64,
                    body_sha256: sha256(&body),
                    event_time: record.timestamp.unix_nanos(),
                    kind: record.kind.as_str(),
                    producer: record.producer.as_deref(),
                    producer_epoch: record.producer_epoch.as_deref(),
                    producer_seq: record.producer_seq.map(Decimal::get),
                    sealed_at: self.now,
                    span_id: record.span_id.map(|id| id.0),
                    trace_id: record.trace_id.map(|id| id.0),
                },
                place,
                &mut leaf,
            )
            .unwrap();
        self.now += 30_000;
        Sample { index: sealed.index, leaf, hash: sealed.hash, mac: sealed.mac, body }
    }

    pub fn batch(&mut self, count: usize) -> Vec<Sample> {
        (0..count).map(|_| self.next()).collect()
    }
}
