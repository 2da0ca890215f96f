//! A real S3 server with enforced Object Lock: MinIO, a process of its own, used in tests only (it is under the AGPL).
//!
//! `cargo xtask test` gives its path. This file needs the standard library and `tempfile` alone, so that the unit tests of other
//! packages include it by its path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The variable that names the program.
pub const VARIABLE: &str = "TACHOGRAPH_TEST_MINIO";
/// Who may do everything.
pub const ACCESS_KEY: &str = "tachograph-test";
/// The secret that goes with it.
pub const SECRET_KEY: &str = "tachograph-test-secret";
/// What MinIO takes for a region.
pub const REGION: &str = "us-east-1";

/// The key of [`Minio::start_with_key`].
pub const KMS_KEY: &str = "tachograph-key";

/// Runs the server until the pipe says `keep`, or closes because the test process is gone: then its storage goes too.
const SCRIPT: &str = r#""$0" server --quiet --address "$1" "$2/storage" </dev/null &
read -r word
kill -9 $!
wait $! 2>/dev/null
[ "$word" = keep ] || rm -rf "$2""#;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The server. It ends when this is dropped, or the test process ends in whatever way.
#[derive(Debug)]
pub struct Minio {
    directory: tempfile::TempDir,
    address: SocketAddr,
    region: &'static str,
    has_key: bool,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    shell: Child,
    /// The shell kills the server when this closes.
    life_line: ChildStdin,
}

impl Minio {
    /// Starts a server with empty storage on a free port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        Self::start_in(REGION)
    }

    /// The same in another region.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_in(region: &'static str) -> Self {
        Self::start_as(region, false)
    }

    /// The same with a key, [`KMS_KEY`], by which it encrypts.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with_key() -> Self {
        Self::start_as(REGION, true)
    }

    fn start_as(region: &'static str, has_key: bool) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let server = Self { directory, address, region, has_key, running: Mutex::new(None) };
        server.up();
        server
    }

    /// Starts it again on the same port and storage.
    ///
    /// # Panics
    /// If it does not start.
    pub fn up(&self) {
        let program = std::env::var_os(VARIABLE).map(PathBuf::from);
        let program = program.unwrap_or_else(|| panic!("{VARIABLE} is not set: run `cargo xtask test`"));
        let log = std::fs::File::create(self.directory.path().join("log")).expect("a log");
        let mut shell =
            Command::new("sh")
                .args(["-c", SCRIPT])
                .arg(program)
                .arg(self.address.to_string())
                .arg(self.directory.path())
                .envs([("MINIO_ROOT_USER", ACCESS_KEY), ("MINIO_ROOT_PASSWORD", SECRET_KEY), ("MINIO_BROWSER", "off")])
                .envs([("MINIO_UPDATE", "off"), ("MINIO_CALLHOME_ENABLE", "off"), ("MINIO_SITE_REGION", self.region)])
                .envs(self.has_key.then(|| {
                    ("MINIO_KMS_SECRET_KEY", format!("{KMS_KEY}:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="))
                }))
                .stdin(Stdio::piped())
                .stdout(log.try_clone().expect("a log"))
                .stderr(log)
                .spawn()
                .expect("sh");
        let life_line = shell.stdin.take().expect("a pipe");
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.is_ready() {
            assert!(Instant::now() < deadline, "MinIO does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        *self.running.lock().expect("no panic") = Some(Running { shell, life_line });
    }

    /// Kills it, as an outage does.
    ///
    /// # Panics
    /// If another test panicked meanwhile.
    pub fn down(&self) {
        if let Some(Running { mut shell, mut life_line }) = self.running.lock().expect("no panic").take() {
            let _ = life_line.write_all(b"keep\n");
            drop(life_line);
            let _ = shell.wait();
        }
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// What a program needs in its environment to be let in.
    pub fn environment() -> [(&'static str, &'static str); 7] {
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", REGION),
            // No request into the air where there is no instance to ask.
            ("AWS_EC2_METADATA_DISABLED", "true"),
            // Nothing of whoever runs the tests.
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("NO_PROXY", "*"),
        ]
    }

    /// Whether it refuses who has no key, which it does once it serves requests at all: until then it answers 503,
    /// and its `/minio/health/ready` says 200 even before its storage is up.
    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.take(4_096).read_to_string(&mut answer)?;
            Ok(answer.split(' ').nth(1) == Some("403"))
        };
        ask().unwrap_or(false)
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        self.down();
    }
}
