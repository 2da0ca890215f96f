//! Against a real server with enforced Object Lock.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};

use super::super::{Confirmed, Keep, conformance};
use super::*;
use crate::archive::tests::sample::{Ledger, Sample};
use crate::archive::tests::{append, row};
use crate::archive::{Archive, DEFAULT_ZSTD_LEVEL, OneClass, Retention, Settings};
use crate::verify::{self, Axis, Options, Verdict};

#[path = "../../../../../tests/src/minio.rs"]
#[allow(dead_code, unreachable_pub)]
mod minio;

use minio::Minio;

static SERVER: LazyLock<Minio> = LazyLock::new(Minio::start);

fn settings(lock: Lock) -> S3Settings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    S3Settings {
        bucket: format!("bucket-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        prefix: "prod/".to_owned(),
        region: Some(minio::REGION.to_owned()),
        endpoint: Some(SERVER.endpoint()),
        path_style: None,
        lock,
        encryption: Encryption::Default,
        spool: tempfile::tempdir().unwrap().keep(),
    }
}

/// A writer on a bucket of its own.
fn store(lock: Lock) -> S3Store {
    let store = connect(settings(lock));
    let (client, bucket) = (store.connection().client().clone(), store.settings().bucket.clone());
    let made = store.connection().run(async move {
        client.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(true).send().await.map(drop)
    });
    made.unwrap().unwrap();
    store
}

fn connect(settings: S3Settings) -> S3Store {
    S3Store::with_credentials(settings, minio::ACCESS_KEY, minio::SECRET_KEY)
}

fn now() -> u64 {
    SERVER_NOW.with(|store| store.now().unwrap().unwrap().unix_nanos() / 1_000_000_000)
}

thread_local! {
    /// Any answer tells the server's time.
    static SERVER_NOW: S3Store = {
        let store = store(Lock::None);
        store.list("").unwrap();
        store
    };
}

#[test]
fn it_conforms() {
    conformance::check(|| store(Lock::Compliance));
    conformance::check(|| store(Lock::None));
}

#[test]
fn objects_are_locked_as_asked() {
    for lock in [Lock::Compliance, Lock::Governance] {
        let store = store(lock);
        let until = now() + 60;
        store.create("leaves/a.parquet", &vec![7; 400_000], Some(until)).unwrap();
        store.create("commit/1", b"text", Some(until + 1)).unwrap();
        assert_eq!(store.retention("leaves/a.parquet").unwrap().unwrap().lock, Some((lock, until)));
        assert_eq!(store.retention("commit/1").unwrap().unwrap().lock, Some((lock, until + 1)));
        let error = store.destroy("commit/1").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Held, "{error}");
        assert!(error.what.contains(lock.as_str()) && error.what.contains("until 20"), "{error}");
        assert_eq!(store.read("commit/1", 9).unwrap(), b"text");
        assert_eq!(store.versions("").unwrap().unwrap().len(), 2);
    }
}

/// A store in mode compliance, and objects of the same bytes that are there already, each held in its own way.
#[test]
fn what_is_there_already_counts_only_if_it_is_held_as_it_must_be() {
    let store = store(Lock::Compliance);
    let until = now() + 600;
    let (client, settings) = (store.connection().client().clone(), store.settings().clone());
    let put = client.put_object().bucket(&settings.bucket).key(format!("{}commit/0", settings.prefix));
    store.connection().run(put.body(ByteStream::from_static(b"text")).send()).unwrap().unwrap();
    connect(S3Settings { lock: Lock::Governance, ..settings }).create("commit/1", b"text", Some(until)).unwrap();
    store.create("commit/2", b"text", Some(until - 100)).unwrap();
    store.create("commit/3", b"text", Some(until)).unwrap();

    let confirm = |path: &str, bytes: &[u8], lock: Lock, at_least: u64| {
        store.create_or_confirm(path, bytes, Some(Keep { lock, until, at_least }))
    };
    for (path, words) in [
        ("commit/0", "not locked"),
        ("commit/1", "locked in mode governance until"),
        ("commit/2", "locked in mode compliance until"),
    ] {
        let error = confirm(path, b"text", Lock::Compliance, until).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Misplaced, "{error}");
        assert!(error.what.contains(words) && error.what.contains("must be locked in mode compliance"), "{error}");
        assert_eq!(confirm(path, b"else", Lock::Compliance, until).unwrap(), Confirmed::Different);
    }
    for (path, lock, at_least) in [
        ("commit/1", Lock::Governance, until),
        ("commit/2", Lock::Compliance, until - 100),
        ("commit/3", Lock::Compliance, until),
        // The stronger mode does for the weaker.
        ("commit/3", Lock::Governance, until),
    ] {
        assert_eq!(confirm(path, b"text", lock, at_least).unwrap(), Confirmed::AlreadyOurs, "{path}");
    }
}

/// After the mode was lowered: a checkpoint whose commit signs the stronger one is not written in the weaker.
#[test]
fn nothing_is_written_in_a_weaker_mode_than_it_must_be() {
    let store = store(Lock::Governance);
    let until = now() + 60;
    let keep = Some(Keep { lock: Lock::Compliance, until, at_least: until });
    let error = store.create_or_confirm("checkpoint/1", b"text", keep).unwrap_err();
    assert!(error.kind == ErrorKind::Misplaced && error.what.contains("archive.s3.mode"), "{error}");
    assert_eq!(store.list("").unwrap(), [""; 0]);
}

/// Objects of a segment that was interrupted before its commit, under one mode; then the collector is started under another.
#[test]
fn an_interrupted_upload_is_taken_up_in_its_mode_or_a_weaker_one() {
    for (then, now, taken) in [
        (Lock::Governance, Lock::Compliance, false),
        (Lock::Compliance, Lock::Governance, true),
        (Lock::Compliance, Lock::Compliance, true),
    ] {
        let first = store(then);
        let second = connect(S3Settings { lock: now, ..first.settings().clone() });
        let mut ledger = Ledger::new();
        ledger.now = super::tests::now() * 1_000_000_000;
        let samples: Vec<Sample> = ledger.batch(3);
        let kept = |lock| {
            let (default, proofs) = (Duration::from_secs(600), Duration::from_secs(900));
            Retention { lock, default, classes: Vec::new(), proofs }
        };
        let open = |store: S3Store, lock| {
            let settings = Settings { retention: Some(kept(lock)), ..Settings::undated(DEFAULT_ZSTD_LEVEL) };
            Archive::open(Arc::new(store), ledger.key.clone(), settings).unwrap().0
        };
        Archive::create(&first, &ledger.key.public(), Time::default(), Some(&kept(then))).unwrap();
        let mut segment = open(first, then).begin().unwrap();
        samples.iter().for_each(|sample| assert!(segment.push(row(sample), &OneClass).is_ok()));
        segment.finish(Some(&kept(then))).unwrap();

        let mut archive = open(second, now);
        let appended = append(&mut archive, &samples);
        if taken {
            appended.unwrap();
            let options = Options { key: Some(ledger.key.public()), threads: 2, ..Options::default() };
            let report = verify::verify(&**archive.store(), options).unwrap();
            for axis in [Axis::Integrity, Axis::Storage] {
                assert_eq!(report.verdict(axis), Verdict::Pass, "{then:?}, {now:?}: {}", report.to_json());
            }
        } else {
            let error = appended.unwrap_err().to_string();
            assert!(
                error.contains("locked in mode governance") && error.contains("must be locked in mode compliance"),
                "{error}"
            );
            assert_eq!(archive.store().list("commit/").unwrap(), [""; 0]);
        }
    }
}

/// A line to the server on which bytes go slowly, and none beyond `limit`.
fn slow_line(limit: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || -> io::Result<()> {
                let server = TcpStream::connect(SERVER.address())?;
                let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
                std::thread::spawn(move || {
                    let _ = io::copy(&mut &server, &mut &client);
                    let _ = client.shutdown(Shutdown::Both);
                });
                let (mut piece, mut passed) = (vec![0; 64 << 10], 0);
                loop {
                    let length = from.read(&mut piece)?;
                    if length == 0 {
                        return to.shutdown(Shutdown::Both);
                    }
                    to.write_all(&piece[..length])?;
                    passed += length as u64;
                    std::thread::sleep(Duration::from_millis(5));
                    if passed > limit {
                        // The line is dead, and neither side is told.
                        std::thread::sleep(Duration::from_secs(60));
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// Gives up at once.
struct Hasty;

impl Patience for Hasty {
    fn wait(&self, _error: &StoreError, _attempt: u32, _pause: Duration) -> bool {
        false
    }
}

/// A writer that waits no longer than `silence`, with a line of its own to the bucket of `store`.
fn over(line: String, store: &S3Store, silence: Duration) -> S3Store {
    let settings = S3Settings { endpoint: Some(line), ..store.settings().clone() };
    let credentials = Credentials::new(minio::ACCESS_KEY, minio::SECRET_KEY, None, None, "test");
    S3Store::with_parts(settings, SharedCredentialsProvider::new(credentials), silence, Arc::new(Hasty))
}

#[test]
fn a_large_upload_may_take_longer_than_an_answer() {
    let silence = Duration::from_secs(2);
    let store = over(slow_line(u64::MAX), &store(Lock::None), silence);
    let bytes = vec![7; 48 << 20];
    let began = Instant::now();
    store.create("leaves/large.parquet", &bytes, None).unwrap();
    assert!(began.elapsed() > silence, "the line was too fast to show anything");
    assert_eq!(store.len("leaves/large.parquet").unwrap(), Some(bytes.len() as u64));
}

#[test]
fn an_upload_of_which_nothing_moves_any_more_is_given_up() {
    let store = over(slow_line(8 << 20), &store(Lock::None), Duration::from_secs(1));
    let began = Instant::now();
    let error = store.create("leaves/large.parquet", &vec![7; 48 << 20], None).unwrap_err();
    // What became of it is not known.
    assert!(error.kind == ErrorKind::Unknown && error.what.contains("no byte moved"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// Credentials of which there are none, for this reason.
#[derive(Debug)]
struct Without(fn() -> CredentialsError);

impl ProvideCredentials for Without {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err((self.0)()))
    }
}

#[test]
fn credentials_that_can_not_be_had_for_now_are_no_refusal() {
    let asked = |why: fn() -> CredentialsError| {
        let credentials = SharedCredentialsProvider::new(Without(why));
        let store = S3Store::with_parts(settings(Lock::None), credentials, client::SILENCE, Arc::new(Hasty));
        store.list("").unwrap_err()
    };
    let for_now: [fn() -> CredentialsError; 3] = [
        || CredentialsError::provider_error("dispatch failure: dns error: Temporary failure in name resolution"),
        || CredentialsError::provider_timed_out(Duration::from_secs(5)),
        || CredentialsError::unhandled("the answer is no JSON"),
    ];
    for why in for_now {
        let error = asked(why);
        assert!(error.is_retryable() && error.what.contains("no AWS credentials for now"), "{error}");
    }
    let for_good: [fn() -> CredentialsError; 2] = [
        || CredentialsError::not_loaded("no providers in chain provided credentials"),
        || CredentialsError::invalid_configuration("profile file timeout.conf timed out"),
    ];
    for why in for_good {
        let error = asked(why);
        assert!(error.kind == ErrorKind::Denied && error.what.contains("AWS_PROFILE"), "{error}");
    }
}

#[test]
fn what_is_past_its_date_is_destroyed_and_a_hold_keeps_it() {
    let store = store(Lock::Compliance);
    store.create("records/x", b"body", Some(now() + 3)).unwrap();
    assert!(store.set_legal_hold("records/x", true).unwrap());
    assert!(store.retention("records/x").unwrap().unwrap().legal_hold);
    while store.retention("records/x").unwrap().unwrap().lock.unwrap().1 >= now() {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let error = store.destroy("records/x").unwrap_err();
    assert!(error.kind == ErrorKind::Held && error.what.contains("legal hold"), "{error}");
    store.set_legal_hold("records/x", false).unwrap();
    assert_eq!(store.destroy("records/x").unwrap(), Destroyed::Gone);
    assert_eq!(store.destroy("records/x").unwrap(), Destroyed::WasGone);
    assert_eq!(store.list("").unwrap(), [""; 0]);
}

#[test]
fn hidden_and_overwritten_objects_are_listed_and_read_as_they_were() {
    let store = store(Lock::Compliance);
    for path in ["commit/1", "commit/2", "commit/3"] {
        store.create(path, b"evidence", Some(now() + 30)).unwrap();
    }
    let (client, settings) = (store.connection().client().clone(), store.settings().clone());
    store
        .connection()
        .run(async move {
            let key = |path: &str| format!("{}{path}", settings.prefix);
            client.delete_object().bucket(&settings.bucket).key(key("commit/1")).send().await.unwrap();
            let put = client.put_object().bucket(&settings.bucket).key(key("commit/2"));
            put.body(aws_sdk_s3::primitives::ByteStream::from_static(b"forged")).send().await.unwrap();
            // A probe's leftovers are no part of the archive.
            client.put_object().bucket(&settings.bucket).key(key("probe/x")).send().await.unwrap();
        })
        .unwrap();
    let auditor = S3Store { files: Some(Files::new(std::env::temp_dir())), ..connect(store.settings().clone()) };
    for store in [&store, &auditor] {
        assert_eq!(store.list("").unwrap(), ["commit/1", "commit/2", "commit/3"]);
        assert_eq!(store.list_after("commit/", "commit/1").unwrap(), ["commit/2", "commit/3"]);
        assert_eq!(store.folders("").unwrap(), ["commit/"]);
        for path in ["commit/1", "commit/2", "commit/3"] {
            store.prefetch(path);
            assert_eq!(store.read(path, 99).unwrap(), b"evidence", "{path}");
            assert_eq!(store.open(path).unwrap().read_at(0, 8).unwrap(), b"evidence"[..], "{path}");
        }
    }
    let versions = store.versions("").unwrap().unwrap();
    let seen: Vec<_> = versions.iter().map(|v| (v.path.as_str(), v.is_delete_marker, v.is_latest, v.size)).collect();
    assert_eq!(
        seen,
        [
            ("commit/1", false, false, 8),
            ("commit/1", true, true, 0),
            ("commit/2", false, false, 8),
            ("commit/2", false, true, 6),
            ("commit/3", false, true, 8),
        ]
    );
    assert!(store.held(&versions[0]).unwrap().lock.is_some() && store.held(&versions[3]).unwrap().lock.is_none());
}

#[test]
fn many_versions_are_listed_page_after_page() {
    let store = store(Lock::None);
    let (client, settings) = (store.connection().client().clone(), store.settings().clone());
    store
        .connection()
        .run(async move {
            for number in 0..1_050 {
                let key = format!("{}many/{number:04}", settings.prefix);
                client.put_object().bucket(&settings.bucket).key(key).send().await.unwrap();
            }
        })
        .unwrap();
    assert_eq!(store.list("").unwrap().len(), 1_050);
    assert_eq!(store.list_after("many/", "many/1047").unwrap(), ["many/1048", "many/1049"]);
    assert_eq!(store.folders("").unwrap(), ["many/"]);
}

#[test]
fn errors_name_the_remedy() {
    let of = |settings: S3Settings| connect(settings).list("").unwrap_err().to_string();
    assert!(of(settings(Lock::None)).contains("tachograph bucket init"));
    let good = store(Lock::None).settings().clone();
    let stranger = S3Store::with_credentials(good.clone(), "nobody", "no-such-secret");
    assert!(stranger.list("").unwrap_err().what.contains("AWS_ACCESS_KEY_ID"));
    let gone = of(S3Settings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..good.clone() });
    assert!(gone.contains("archive.s3.endpoint"), "{gone}");
    // Without Object Lock nothing is taken that should be locked.
    let plain = connect(settings(Lock::Compliance));
    let (client, bucket) = (plain.connection().client().clone(), plain.settings().bucket.clone());
    let made = plain.connection().run(async move { client.create_bucket().bucket(bucket).send().await.map(drop) });
    made.unwrap().unwrap();
    let refused = plain.create("commit/1", b"x", Some(now() + 60)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Misplaced, "{refused}");
}

#[test]
fn a_store_without_versions_keeps_nothing_locked() {
    let store = store(Lock::Compliance);
    let (client, bucket) = (store.connection().client().clone(), store.settings().bucket.clone());
    let suspended = VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
    let answer = store.connection().run(async move {
        client.put_bucket_versioning().bucket(bucket).versioning_configuration(suspended).send().await.map(drop)
    });
    assert!(answer.unwrap().is_err(), "Object Lock must not let versioning be suspended");
}
