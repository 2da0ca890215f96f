//! A time-stamp authority for tests: `openssl ts` behind a small HTTP server, with certificates of its own making.
//!
//! This file needs the standard library and `tempfile` alone, so that tests of other packages include it by its path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const MAX_REQUEST_BYTES: usize = 64 << 10;
const TIMEOUT: Duration = Duration::from_secs(10);

const SETTINGS: &str = "
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
[signer]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = one
[one]
serial = serial
crypto_device = builtin
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
";

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With a token.
    Token,
    /// With HTTP status 503.
    Unavailable,
    /// With something that is no token.
    Garbage,
    /// With the token that it gave last: of another request.
    Old,
}

/// An authority; it ends when dropped.
#[derive(Debug)]
pub struct Tsa {
    directory: tempfile::TempDir,
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    answer: Mutex<Answer>,
    last: Mutex<Vec<u8>>,
    requests: AtomicUsize,
    ended: AtomicBool,
}

impl Tsa {
    /// Makes certificates (P-256), of which the signer's ends in `days`, and listens on a free port.
    ///
    /// # Panics
    /// If there is no `openssl`, version 3, or no port.
    pub fn start(name: &str, days: u32) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        make_certificates(directory.path(), name, days);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            answer: Mutex::new(Answer::Token),
            last: Mutex::default(),
            requests: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let (shared, place) = (Arc::clone(&state), directory.path().to_owned());
        std::thread::spawn(move || serve(&listener, &shared, &place));
        Self { directory, address, state }
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}/tsr", self.address)
    }

    /// The certificate that an auditor trusts.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// Changes how it answers from now on.
    pub fn answer(&self, answer: Answer) {
        *self.state.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// A token for a request, without the network.
    ///
    /// # Panics
    /// If `openssl` refuses.
    pub fn token(&self, query: &[u8]) -> Vec<u8> {
        reply(self.directory.path(), query)
    }
}

impl Drop for Tsa {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, TIMEOUT);
    }
}

/// Runs `openssl` in a directory.
///
/// # Panics
/// If it is not there, or fails.
pub fn openssl(directory: &Path, arguments: &[&str]) -> String {
    let done = Command::new("openssl").current_dir(directory).args(arguments).output();
    let done =
        done.unwrap_or_else(|error| panic!("openssl: {error}; OpenSSL 3 is needed for the tests of time stamps"));
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "openssl {arguments:?}: {said}");
    said
}

fn make_certificates(directory: &Path, name: &str, days: u32) {
    std::fs::write(directory.join("openssl.cnf"), SETTINGS).expect("settings of openssl");
    std::fs::write(directory.join("serial"), "01\n").expect("a file of serial numbers");
    for key in ["root", "signer"] {
        let file = format!("{key}.key");
        openssl(directory, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &file]);
    }
    let (root, signer, days) = (format!("/O=Test/CN={name} root"), format!("/O=Test/CN={name}"), days.to_string());
    let new = ["req", "-config", "openssl.cnf", "-new", "-key"];
    openssl(
        directory,
        &[
            &new[..],
            &["root.key", "-x509", "-days", "36500", "-subj", &root, "-extensions", "root", "-out", "root.pem"],
        ]
        .concat(),
    );
    openssl(directory, &[&new[..], &["signer.key", "-subj", &signer, "-out", "signer.csr"]].concat());
    let sign = ["x509", "-req", "-in", "signer.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "4711"];
    openssl(
        directory,
        &[&sign[..], &["-days", &days, "-extfile", "openssl.cnf", "-extensions", "signer", "-out", "signer.pem"]]
            .concat(),
    );
}

fn reply(directory: &Path, query: &[u8]) -> Vec<u8> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    std::fs::write(directory.join("query"), query).expect("the query can be written");
    let make = [
        "ts",
        "-reply",
        "-config",
        "openssl.cnf",
        "-queryfile",
        "query",
        "-signer",
        "signer.pem",
        "-inkey",
        "signer.key",
    ];
    openssl(directory, &[&make[..], &["-sha256", "-out", "reply"]].concat());
    std::fs::read(directory.join("reply")).expect("a reply")
}

fn serve(listener: &TcpListener, state: &State, directory: &Path) {
    for stream in listener.incoming() {
        if state.ended.load(Ordering::SeqCst) {
            return;
        }
        // Who goes away in the middle is not answered.
        let _ = stream.and_then(|stream| attend(stream, state, directory));
    }
}

fn attend(mut stream: TcpStream, state: &State, directory: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    let query = read_request(&mut stream)?;
    state.requests.fetch_add(1, Ordering::SeqCst);
    let answer = *state.answer.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last = state.last.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, body) = match answer {
        Answer::Token => {
            *last = reply(directory, &query);
            ("200 OK", last.clone())
        }
        Answer::Unavailable => ("503 Service Unavailable", Vec::new()),
        Answer::Garbage => ("200 OK", b"no token".to_vec()),
        Answer::Old => ("200 OK", last.clone()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/timestamp-reply\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat())
}

fn read_request(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let (mut request, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let read = stream.read(&mut piece)?;
        request.extend_from_slice(&piece[..read]);
        let head_end = request.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(at) = head_end {
            let head = String::from_utf8_lossy(&request[..at]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if request.len() >= at + length.unwrap_or(0) {
                return Ok(request[at..].to_vec());
            }
        }
        if read == 0 || request.len() > MAX_REQUEST_BYTES {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
