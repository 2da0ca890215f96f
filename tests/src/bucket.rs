//! A bucket with Object Lock in a real S3 server, and what an administrator, an auditor and a replication job do with it.
//!
//! Everything here goes through the SDK's own client, with full rights: what is under test is never what looks at it.

use std::fmt;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{MetadataDirective, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use tokio::runtime::Runtime;

use crate::command::{self, Outcome, Verified};
use crate::minio::{self, Minio};
use crate::stored::{self, Stored};

/// What all keys of the tests begin with.
pub const PREFIX: &str = "prod/";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
});

/// How a bucket's objects are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nobody can lift it.
    Compliance,
    /// Who has the right can.
    Governance,
}

impl Mode {
    /// The word in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compliance => "compliance",
            Self::Governance => "governance",
        }
    }
}

/// A bucket. It stays when this is dropped: its objects are locked.
#[derive(Clone)]
pub struct Bucket {
    name: String,
    endpoint: String,
    mode: Mode,
    client: Client,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl Bucket {
    /// A new bucket, made by `tachograph bucket init`.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn make(server: &Minio, mode: Mode) -> Self {
        Self::make_with(server, mode, &[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn make_with(server: &Minio, mode: Mode, arguments: &[&str]) -> Self {
        let bucket = Self::named(server, mode);
        let (url, endpoint) = (format!("s3://{}/{PREFIX}", bucket.name), server.endpoint());
        let mut all =
            vec!["bucket", "init", "--bucket", &url, "--endpoint", &endpoint, "--mode", mode.as_str(), "--json"];
        all.extend(arguments);
        let outcome = command::tachograph_in_s3(&all);
        outcome.expect(0, &[]);
        let said = outcome.json();
        assert_eq!(said["bucket"]["object_lock"], true, "{said:#}");
        assert_eq!(said["bucket"]["versioning"], true, "{said:#}");
        bucket
    }

    /// A name for a bucket that is not there yet.
    pub fn named(server: &Minio, mode: Mode) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("e2e-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let endpoint = server.endpoint();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .credentials_provider(Credentials::new(minio::ACCESS_KEY, minio::SECRET_KEY, None, None, "test"))
            .region(Region::new(minio::REGION))
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Self { name, endpoint, mode, client: Client::from_conf(config) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The archive in it, for commands.
    pub fn url(&self) -> String {
        self.url_at(&self.endpoint)
    }

    /// The same, asked for at another place, such as a proxy.
    pub fn url_at(&self, endpoint: &str) -> String {
        format!("s3://{}/{PREFIX}?endpoint={endpoint}&region={}", self.name, minio::REGION)
    }

    /// A configuration for a collector whose archive is here: small, so that few records reach every step.
    pub fn config(&self) -> String {
        self.config_at(&self.endpoint)
    }

    /// The same, with the bucket at another place, such as a proxy.
    pub fn config_at(&self, endpoint: &str) -> String {
        self.config_with(endpoint, "{max_file_bytes: 1MiB, max_bytes: 64MiB}", "2d")
    }

    /// The same with other settings of the journal, and another retention.
    pub fn config_with(&self, endpoint: &str, journal: &str, keep: &str) -> String {
        format!(
            "journal: {journal}\n\
             archive:\n\
             \x20 max_bytes: 1MiB\n\
             \x20 max_age: 200ms\n\
             \x20 max_objects_per_day: 10000000\n\
             \x20 s3: {{bucket: {}, prefix: {PREFIX}, region: {}, endpoint: \"{endpoint}\", mode: {}}}\n\
             \x20 retention: {{default: {keep}}}\n",
            self.name,
            minio::REGION,
            self.mode.as_str(),
        )
    }

    /// Asks the server something.
    pub fn ask<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        make: impl FnOnce(Client, String) -> F,
    ) -> T {
        let future = make(self.client.clone(), self.name.clone());
        // Spawned, since the tests' threads are no part of the runtime.
        RUNTIME.block_on(RUNTIME.spawn(future)).expect("no panic")
    }

    /// Makes it with or without Object Lock, and nothing else.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn create(&self, object_lock: bool) {
        self.ask(|client, bucket| async move {
            client
                .create_bucket()
                .bucket(bucket)
                .object_lock_enabled_for_bucket(object_lock)
                .send()
                .await
                .expect("a bucket");
        });
    }

    /// Paths in the archive that a plain listing shows.
    ///
    /// # Panics
    /// If it can't be listed.
    pub fn paths(&self) -> Vec<String> {
        let keys = self.ask(|client, bucket| async move {
            let mut keys = Vec::new();
            let mut pages = client.list_objects_v2().bucket(bucket).prefix(PREFIX).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.expect("a list");
                keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
            }
            keys
        });
        keys.iter().map(|key| key[PREFIX.len()..].to_owned()).filter(|path| !path.starts_with("probe/")).collect()
    }

    /// The newest path that begins with `folder`.
    ///
    /// # Panics
    /// If there is none.
    pub fn newest(&self, folder: &str) -> String {
        self.paths().into_iter().rfind(|path| path.starts_with(folder)).unwrap_or_else(|| panic!("nothing in {folder}"))
    }

    /// An object's bytes.
    ///
    /// # Panics
    /// If it is not there.
    pub fn read(&self, path: &str) -> Vec<u8> {
        let key = format!("{PREFIX}{path}");
        self.ask(|client, bucket| async move {
            let answer = client.get_object().bucket(bucket).key(&key).send().await;
            let answer = answer.unwrap_or_else(|e| panic!("{key}: {e:?}"));
            answer.body.collect().await.expect("all of it").to_vec()
        })
    }

    /// Puts an object there, or one more version of it.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let (key, bytes) = (format!("{PREFIX}{path}"), bytes.to_vec());
        self.ask(|client, bucket| async move {
            client.put_object().bucket(bucket).key(key).body(ByteStream::from(bytes)).send().await.expect("written");
        });
    }

    /// The id of an object's newest version.
    ///
    /// # Panics
    /// If it is not there.
    pub fn version(&self, path: &str) -> String {
        let key = format!("{PREFIX}{path}");
        self.ask(|client, bucket| async move {
            let head = client.head_object().bucket(bucket).key(&key).send().await;
            head.unwrap_or_else(|e| panic!("{key}: {e:?}")).version_id().expect("it has versions").to_owned()
        })
    }

    /// Hides an object behind a delete marker.
    ///
    /// # Panics
    /// If the server refuses: Object Lock does not forbid it.
    pub fn hide(&self, path: &str) {
        let key = format!("{PREFIX}{path}");
        self.ask(|client, bucket| async move {
            let deleted = client.delete_object().bucket(bucket).key(key).send().await.expect("a delete marker");
            assert_eq!(deleted.delete_marker(), Some(true));
        });
    }

    /// Tries to delete a version for good.
    ///
    /// # Errors
    /// What the server says.
    pub fn delete_version(&self, path: &str, bypass: bool) -> Result<(), String> {
        let (key, version) = (format!("{PREFIX}{path}"), self.version(path));
        self.ask(|client, bucket| async move {
            let delete = client.delete_object().bucket(bucket).key(key).version_id(version);
            let delete = if bypass { delete.bypass_governance_retention(true) } else { delete };
            delete.send().await.map(drop).map_err(|e| format!("{e:?}"))
        })
    }

    /// Tries to give an object another date of retention.
    ///
    /// # Errors
    /// What the server says.
    pub fn retain(&self, path: &str, mode: Mode, until: u64, bypass: bool) -> Result<(), String> {
        let key = format!("{PREFIX}{path}");
        let mode = match mode {
            Mode::Compliance => ObjectLockRetentionMode::Compliance,
            Mode::Governance => ObjectLockRetentionMode::Governance,
        };
        self.ask(|client, bucket| async move {
            let date = aws_sdk_s3::primitives::DateTime::from_secs(i64::try_from(until).expect("a date"));
            let wanted = ObjectLockRetention::builder().mode(mode).retain_until_date(date).build();
            let put = client.put_object_retention().bucket(bucket).key(key).retention(wanted);
            let put = if bypass { put.bypass_governance_retention(true) } else { put };
            put.send().await.map(drop).map_err(|e| format!("{e:?}"))
        })
    }

    /// Copies every object with its lock into a new bucket, as replication does, but for those that `left_out` names.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn replicate(&self, server: &Minio, left_out: impl Fn(&str) -> bool) -> Self {
        let replica = Self::named(server, self.mode);
        replica.create(true);
        for path in self.paths().into_iter().filter(|path| !left_out(path)) {
            let (key, to) = (format!("{PREFIX}{path}"), replica.name.clone());
            self.ask(|client, bucket| async move {
                let head = client.head_object().bucket(&bucket).key(&key).send().await.expect("it is there");
                let mode = head.object_lock_mode().map(|mode| ObjectLockMode::from(mode.as_str()));
                let copy = client.copy_object().bucket(to).key(&key).copy_source(format!("{bucket}/{key}"));
                let copy = copy
                    .metadata_directive(MetadataDirective::Copy)
                    .set_object_lock_mode(mode)
                    .set_object_lock_retain_until_date(head.object_lock_retain_until_date().copied());
                copy.send().await.expect("copied");
            });
        }
        replica
    }

    /// Downloads everything that a plain listing shows.
    ///
    /// # Panics
    /// If something can't be read.
    pub fn download(&self, to: &Path) {
        for path in self.paths() {
            let file = to.join(&path);
            fs::create_dir_all(file.parent().expect("it is below the directory")).expect("a directory");
            fs::write(&file, self.read(&path)).expect("written");
        }
    }

    /// Every record in the archive, in order and without a gap.
    ///
    /// # Panics
    /// If it can't be read, or an index is missing.
    pub fn records(&self) -> Vec<Stored> {
        let copy = tempfile::tempdir().expect("a temporary directory");
        self.download(copy.path());
        let all = stored::archived(copy.path());
        stored::expect_no_gap(&all);
        all
    }

    /// `tachograph verify` as an auditor runs it who has the ledger's key.
    pub fn verify(&self, arguments: &[&str]) -> Verified {
        verify_url(&self.url(), arguments)
    }
}

/// Verifies an archive in a bucket.
pub fn verify_url(url: &str, arguments: &[&str]) -> Verified {
    let mut all = vec!["verify", url, "--json"];
    all.extend(arguments);
    let Outcome { code, stdout, stderr } = command::tachograph_in_s3(&all);
    Verified { code, report: serde_json::from_str(&stdout).unwrap_or(serde_json::Value::Null), stderr }
}
