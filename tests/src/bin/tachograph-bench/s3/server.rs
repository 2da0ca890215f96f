//! The server, its buckets, and what it says of its own work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use tachograph_collector::clock::{Clock, SystemClock};
use tachograph_exporters::archive::store::s3::{S3Settings, S3Store, S3Url};
use tachograph_tests::minio::{Minio, REGION};

use crate::collector::binary;
use crate::{load, process};

pub(crate) struct Server {
    minio: Minio,
    began: String,
}

impl Server {
    /// A server with empty storage below `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        // Its storage is a temporary directory, which must lie on the disk that is measured.
        let _ = tempfile::env::override_temp_dir(dir);
        Self { minio: Minio::start(), began: SystemClock.now().to_string() }
    }

    /// When it was started.
    pub(crate) fn began(&self) -> &str {
        &self.began
    }

    /// Makes a bucket as a user makes it.
    pub(crate) fn bucket(&self, name: &str) -> Bucket {
        let bucket = Bucket { name: name.to_owned(), endpoint: self.minio.endpoint() };
        let made = Command::new(binary())
            .args(["bucket", "init", "--bucket", &format!("s3://{name}/"), "--endpoint", &bucket.endpoint])
            .args(["--region", REGION])
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("tachograph bucket init").success());
        bucket
    }

    pub(crate) fn down(&self) {
        self.minio.down();
    }

    pub(crate) fn up(&self) {
        self.minio.up();
    }

    pub(crate) fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.pid())
    }

    /// A shell started it: only its arguments tell which process it is.
    fn pid(&self) -> u32 {
        let address = self.minio.address().to_string();
        let is_it = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = line.split(|byte| *byte == 0);
            let program = arguments.next().unwrap_or_default();
            !program.ends_with(b"sh") && arguments.any(|argument| argument == address.as_bytes())
        };
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.into_iter().find(is_it).expect("MinIO runs")
    }

    /// Requests by their names in the API, and bytes sent and received, since it was started.
    pub(crate) fn counters(&self) -> Counters {
        let page = load::get(&self.minio.address().to_string(), "/minio/metrics/v3/api/requests");
        // Empty until the first request.
        assert!(page.starts_with("HTTP/1.1 200"), "MinIO does not show its counters: {page:.300}");
        let mut counters = Counters::default();
        for line in page.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let value = value.trim().parse::<f64>().unwrap_or(0.0) as u64;
            if let Some(labels) = name.strip_prefix("minio_api_requests_total{") {
                let api = labels.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
                *counters.requests.entry(api.to_owned()).or_default() += value;
            } else if name.starts_with("minio_api_requests_traffic_sent_bytes") {
                counters.sent += value;
            } else if name.starts_with("minio_api_requests_traffic_received_bytes") {
                counters.received += value;
            }
        }
        counters
    }
}

/// What the server counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: BTreeMap<String, u64>,
    /// Bytes to clients.
    pub(crate) sent: u64,
    /// Bytes from clients.
    pub(crate) received: u64,
}

impl Counters {
    /// What came since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let requests = self.requests.iter().map(|(api, count)| {
            let earlier = before.requests.get(api).copied().unwrap_or(0);
            (api.clone(), count.saturating_sub(earlier))
        });
        Self {
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            sent: self.sent.saturating_sub(before.sent),
            received: self.received.saturating_sub(before.received),
        }
    }
}

pub(crate) struct Bucket {
    name: String,
    endpoint: String,
}

impl Bucket {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> S3Url {
        let (endpoint, region) = (Some(self.endpoint.clone()), Some(REGION.to_owned()));
        S3Url { bucket: self.name.clone(), prefix: String::new(), endpoint, region, path_style: None }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A reader of parts.
    pub(crate) fn reader(&self) -> S3Store {
        S3Store::reader(S3Settings::of_url(&self.url())).expect("the bucket")
    }

    /// Configuration of a collector that archives here; `more` stands below `archive`.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "archive: {{ s3: {{ bucket: {}, region: {REGION}, endpoint: '{}', mode: compliance }}, retention: {{ default: 1d }}{}{more} }}\n",
            self.name,
            self.endpoint,
            if more.is_empty() { "" } else { ", " }
        )
    }
}
