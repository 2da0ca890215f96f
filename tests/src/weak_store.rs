//! S3 servers whose locks do not hold, which `tachograph bucket doctor` must find out: real ones, processes of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{minio, programs};

/// The variable that names versitygw's program.
pub const VERSITYGW: &str = "TACHOGRAPH_TEST_VERSITYGW";

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server with empty storage. It takes the credentials that MinIO takes, and ends when this is dropped, or the test process ends
/// in whatever way.
#[derive(Debug)]
pub struct WeakStore {
    directory: tempfile::TempDir,
    address: SocketAddr,
    /// Where it is talked to.
    front: SocketAddr,
    /// Held for its end.
    _running: Running,
}

#[derive(Debug)]
struct Running {
    shell: Child,
    /// The shell kills the server when this closes.
    life_line: Option<ChildStdin>,
}

impl WeakStore {
    /// versitygw, on a directory.
    ///
    /// # Panics
    /// If it does not start.
    pub fn versitygw() -> Self {
        let program = std::env::var_os(VERSITYGW).map(PathBuf::from);
        let program = program.unwrap_or_else(|| panic!("{VERSITYGW} is not set: run `cargo xtask test`"));
        Self::start(|directory, address| {
            let [iam, versions, data] = ["iam", "versions", "data"].map(|name| directory.path().join(name));
            for folder in [&iam, &versions, &data] {
                std::fs::create_dir(folder).expect("a directory");
            }
            let mut command = Command::new(program);
            command.args(["--quiet", "--port", &address.to_string(), "--iam-dir"]).arg(iam);
            command.args(["posix", "--versioning-dir"]).arg(versions).arg(data);
            command.envs([("ROOT_ACCESS_KEY", minio::ACCESS_KEY), ("ROOT_SECRET_KEY", minio::SECRET_KEY)]);
            command
        })
    }

    /// moto's server, which keeps all in memory and lets everybody in.
    ///
    /// # Panics
    /// If it does not start.
    pub fn moto() -> Self {
        Self::start(|_, address| {
            let mut command = programs::interpreter();
            let (host, port) = (address.ip().to_string(), address.port().to_string());
            command.args(["-B", "-m", "moto.server", "--host", &host, "--port", &port]);
            command
        })
    }

    /// Any other server, which listens where it is told.
    ///
    /// # Panics
    /// If it does not start.
    pub fn of(server: impl FnOnce(SocketAddr) -> Command) -> Self {
        Self::start(|_, address| server(address))
    }

    /// moto, which is never told of these header fields: a store that does not know them, and answers as if all were well.
    ///
    /// # Panics
    /// If it does not start.
    pub fn deaf(fields: &'static [&'static str]) -> Self {
        Self::moto().behind(move |client, back| relay(client, back, fields))
    }

    /// moto behind a gateway that looks whether there is such an object, and a moment later writes it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn looks_first() -> Self {
        Self::moto().behind(look_and_relay)
    }

    fn behind(self, serve: impl Fn(TcpStream, SocketAddr) -> std::io::Result<()> + Copy + Send + 'static) -> Self {
        let (back, listener) = (self.address, TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let front = listener.local_addr().expect("a port");
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || serve(client, back));
            }
        });
        Self { front, ..self }
    }

    fn start(server: impl FnOnce(&tempfile::TempDir, SocketAddr) -> Command) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let server = server(&directory, address);
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        let variables = server.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut shell = Command::new("sh")
            .args(["-c", r#""$0" "$@" </dev/null & read -r _; kill -9 $!"#])
            .arg(server.get_program())
            .args(server.get_args())
            .envs(variables)
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("sh");
        let life_line = shell.stdin.take();
        let store = Self { directory, address, front: address, _running: Running { shell, life_line } };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            assert!(Instant::now() < deadline, "{server:?} does not start: {}", store.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        store
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.front)
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.life_line.take());
        let _ = self.shell.wait();
    }
}

/// How long such a gateway takes between looking and writing: longer than several requests that were sent at once take to arrive.
const BETWEEN_LOOK_AND_WRITE: Duration = Duration::from_millis(500);

/// The same, with a conditional create made in two steps.
fn look_and_relay(client: TcpStream, back: SocketAddr) -> std::io::Result<()> {
    // What is asked is in the first packet; it is left for the relay to read.
    let mut start = [0; 8 << 10];
    let length = client.peek(&mut start)?;
    let start = String::from_utf8_lossy(&start[..length]).to_ascii_lowercase();
    if let Some(asked) = start.strip_prefix("put ").filter(|_| start.contains("\r\nif-none-match:")) {
        let mut look = TcpStream::connect(back)?;
        let target = asked.split(' ').next().unwrap_or_default();
        // moto lets in whoever says who it is.
        let head =
            format!("Host: {back}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x/20261125/us-east-1/s3/aws4_request");
        write!(look, "HEAD {target} HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        look.read_to_string(&mut answer)?;
        if answer.split(' ').nth(1) == Some("200") {
            let body = "<Error><Code>PreconditionFailed</Code></Error>";
            let head = "HTTP/1.1 412 Precondition Failed\r\nConnection: close\r\nContent-Type: application/xml";
            write!(&client, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            client.shutdown(Shutdown::Write)?;
            // Were its request not read to the end, the client would see a reset and no answer.
            return std::io::copy(&mut &client, &mut std::io::sink()).map(drop);
        }
        std::thread::sleep(BETWEEN_LOOK_AND_WRITE);
    }
    relay(client, back, &["if-none-match"])
}

/// One request without those fields, and its answer; then the connection is closed.
fn relay(client: TcpStream, back: SocketAddr, without: &[&str]) -> std::io::Result<()> {
    let mut server = TcpStream::connect(back)?;
    let mut request = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (name, value) = line.trim_end().split_once(':').unwrap_or((line.trim_end(), ""));
        let name = name.to_ascii_lowercase();
        if name == "content-length" {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line == "\r\n" {
            head.push_str("connection: close\r\n\r\n");
            break;
        }
        if name != "connection" && !without.contains(&name.as_str()) {
            head.push_str(&line);
        }
    }
    server.write_all(head.as_bytes())?;
    std::io::copy(&mut request.take(length), &mut server)?;
    std::io::copy(&mut server, &mut &client)?;
    client.shutdown(Shutdown::Both)
}
