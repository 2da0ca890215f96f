//! A reverse proxy in front of an S3 server that forwards requests unchanged, counts them, and makes planned ones fail: before the server
//! sees them (nothing persists) or after it answered (it persists, and the answer is lost or spoilt).
//!
//! The `Host` header stays as the client sent it, because it is signed. Blocking, one thread for each connection.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

const MAX_LINE_BYTES: u64 = 64 << 10;
/// A proxied body: more is no test.
const MAX_BODY_BYTES: u64 = 1 << 30;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends; the server never sees the request.
    CloseBefore,
    /// No answer, ever; the server never sees the request.
    SilenceBefore,
    /// 409, as while another write is under way; the server never sees the request.
    ConflictBefore,
    /// 500; the server never sees the request.
    FailBefore,
    /// 503 `SlowDown` with `Retry-After: 1`; the server never sees the request.
    SlowDownBefore,
    /// The server does it, and the connection ends.
    CloseAfter,
    /// The server does it, and there is never an answer.
    SilenceAfter,
    /// The server does it, and says 500.
    FailAfter,
    /// The server answers, and the connection ends in the middle of the body.
    CutBody,
    /// A conditional create that the server refuses is said to have succeeded.
    LieAboutCreate,
    /// The header `Date` of the answer is so many seconds off.
    ShiftDate(i64),
}

impl Fault {
    /// Whether the server does what was asked.
    pub fn persists(self) -> bool {
        !matches!(
            self,
            Self::CloseBefore | Self::SilenceBefore | Self::ConflictBefore | Self::FailBefore | Self::SlowDownBefore
        )
    }
}

/// Which requests a fault is for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `PUT`, `GET`, `HEAD`…; empty: any.
    pub method: &'static str,
    /// What the path of the request contains.
    pub part: String,
    /// So many such requests are let through before.
    pub skip: u64,
    /// So many are hit.
    pub times: u64,
    /// What happens to them.
    pub fault: Fault,
}

impl Plan {
    /// The next such request.
    pub fn next(method: &'static str, part: &str, fault: Fault) -> Self {
        Self { method, part: part.to_owned(), skip: 0, times: 1, fault }
    }

    /// All such requests.
    pub fn all(method: &'static str, part: &str, fault: Fault) -> Self {
        Self { times: u64::MAX, ..Self::next(method, part, fault) }
    }
}

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    plans: Vec<Plan>,
    /// Faults that took effect.
    hits: u64,
    /// By method and path without query.
    requests: BTreeMap<(String, String), u64>,
    /// Of clients, so that they end with the proxy.
    connections: BTreeMap<u64, TcpStream>,
    accepted: u64,
}

impl Proxy {
    /// A proxy on a free port, in front of `server`.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared {
            server,
            state: Mutex::default(),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accepting.accept(&listener));
        Self { address, shared }
    }

    /// Where it answers.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes requests fail from now on. Of several plans that fit, the first that is not used up counts.
    pub fn plan(&self, plan: Plan) {
        self.shared.state().plans.push(plan);
    }

    /// From now on all requests go through.
    pub fn clear(&self) {
        self.shared.state().plans.clear();
    }

    /// How many faults took effect.
    pub fn hits(&self) -> u64 {
        self.shared.state().hits
    }

    /// Waits until more than `before` faults took effect. One that persists did so before this returns.
    ///
    /// # Panics
    /// If that takes more than half a minute.
    #[track_caller]
    pub fn wait_hit(&self, before: u64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut state = self.shared.state();
        while state.hits <= before {
            assert!(Instant::now() < deadline, "no request came that should fail: {:?}", state.plans);
            let waited = self.shared.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.map_or_else(|e| e.into_inner().0, |waited| waited.0);
        }
    }

    /// How many requests there were with this method (empty: any) whose path contains `part`.
    pub fn count(&self, method: &str, part: &str) -> u64 {
        let state = self.shared.state();
        let fits = |(m, path): &(String, String)| (method.is_empty() || m == method) && path.contains(part);
        state.requests.iter().filter(|(request, _)| fits(request)).map(|(_, count)| count).sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for connection in self.shared.state().connections.values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            let Some(number) = self.remember(&client) else { continue };
            let shared = Arc::clone(&self);
            std::thread::spawn(move || {
                // However it ends, the client sees its connection end.
                let _ = shared.serve(&client);
                let _ = client.shutdown(Shutdown::Both);
                shared.state().connections.remove(&number);
            });
        }
    }

    fn remember(&self, client: &TcpStream) -> Option<u64> {
        let clone = client.try_clone().ok()?;
        let mut state = self.state();
        state.accepted += 1;
        let number = state.accepted;
        state.connections.insert(number, clone);
        Some(number)
    }

    /// One connection of a client, with one to the server behind it.
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut from_client = BufReader::new(client.try_clone()?);
        let mut server: Option<BufReader<TcpStream>> = None;
        while let Some(request) = Message::read_request(&mut from_client, client)? {
            let fault = self.note(&request);
            if let Some(fault) = fault.filter(|fault| !fault.persists()) {
                self.hit();
                match refusal(fault) {
                    Some(answer) => (&mut &*client).write_all(&answer)?,
                    None if fault == Fault::SilenceBefore => return wait_for_end(&mut from_client),
                    None => return Ok(()),
                }
                continue;
            }
            let stream = match &mut server {
                Some(stream) => stream,
                none => none.insert(BufReader::new(TcpStream::connect(self.server)?)),
            };
            stream.get_mut().set_nodelay(true)?;
            stream.get_mut().write_all(&request.bytes())?;
            let mut answer = Message::read_answer(stream, request.method())?;
            match fault {
                None => {}
                Some(Fault::CloseAfter) => {
                    self.hit();
                    return Ok(());
                }
                Some(Fault::SilenceAfter) => {
                    self.hit();
                    return wait_for_end(&mut from_client);
                }
                Some(Fault::FailAfter) => {
                    self.hit();
                    (&mut &*client).write_all(&error(500, "InternalError", ""))?;
                    continue;
                }
                Some(Fault::CutBody) => {
                    self.hit();
                    answer.body.truncate(answer.body.len() / 2);
                    return (&mut &*client).write_all(&answer.bytes());
                }
                Some(Fault::LieAboutCreate) if answer.status() == 412 => {
                    self.hit();
                    let lie = b"HTTP/1.1 200 OK\r\nETag: \"0\"\r\nContent-Length: 0\r\n\r\n";
                    (&mut &*client).write_all(lie)?;
                    continue;
                }
                Some(Fault::ShiftDate(seconds)) => {
                    self.hit();
                    answer.shift_date(seconds);
                }
                Some(_) => {}
            }
            (&mut &*client).write_all(&answer.bytes())?;
            if answer.is_last() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Counts a request; what is to become of it.
    fn note(&self, request: &Message) -> Option<Fault> {
        let mut state = self.state();
        let (method, path) = (request.method().to_owned(), request.path().to_owned());
        let mut fault = None;
        let fits = |plan: &Plan| (plan.method.is_empty() || plan.method == method) && path.contains(&plan.part);
        for plan in state.plans.iter_mut().filter(|plan| fits(plan)) {
            if plan.skip > 0 {
                plan.skip -= 1;
            } else if plan.times > 0 {
                plan.times -= 1;
                fault = Some(plan.fault);
                break;
            }
        }
        *state.requests.entry((method, path)).or_default() += 1;
        fault
    }

    fn hit(&self) {
        self.state().hits += 1;
        self.changed.notify_all();
    }
}

/// Until the client gives up.
fn wait_for_end(client: &mut impl Read) -> io::Result<()> {
    io::copy(client, &mut io::sink()).map(drop)
}

fn refusal(fault: Fault) -> Option<Vec<u8>> {
    match fault {
        Fault::ConflictBefore => Some(error(409, "ConditionalRequestConflict", "")),
        Fault::FailBefore => Some(error(500, "InternalError", "")),
        Fault::SlowDownBefore => Some(error(503, "SlowDown", "Retry-After: 1\r\n")),
        _ => None,
    }
}

fn error(status: u16, code: &str, header: &str) -> Vec<u8> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>made by the test</Message></Error>");
    // A HEAD has no body, and whoever asked with one would take this for the next answer.
    format!(
        "HTTP/1.1 {status} Planned\r\n{header}Connection: close\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request or an answer.
struct Message {
    /// With the empty line behind it.
    head: Vec<String>,
    body: Vec<u8>,
}

impl Message {
    /// `None` if the client is gone.
    fn read_request(from: &mut impl BufRead, client: &TcpStream) -> io::Result<Option<Self>> {
        let head = read_head(from)?;
        if head.is_empty() {
            return Ok(None);
        }
        let mut request = Self { head, body: Vec::new() };
        if request.header("expect").is_some() {
            (&mut &*client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length = request.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        assert!(request.header("transfer-encoding").is_none(), "a body of unknown length was sent: {:?}", request.head);
        from.take(u64::min(length, MAX_BODY_BYTES)).read_to_end(&mut request.body)?;
        match request.body.len() as u64 == length {
            true => Ok(Some(request)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn read_answer(from: &mut impl BufRead, method: &str) -> io::Result<Self> {
        let mut answer = loop {
            let head = read_head(from)?;
            if head.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer = Self { head, body: Vec::new() };
            // 100 Continue is between the server and us.
            if answer.status() >= 200 {
                break answer;
            }
        };
        if method == "HEAD" || matches!(answer.status(), 204 | 304) {
            return Ok(answer);
        }
        if let Some(length) = answer.header("content-length") {
            let length: u64 = length.parse().map_err(io::Error::other)?;
            from.take(u64::min(length, MAX_BODY_BYTES)).read_to_end(&mut answer.body)?;
            if answer.body.len() as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        } else if answer.header("transfer-encoding").is_some() {
            read_chunks(from, &mut answer.body)?;
        } else {
            from.take(MAX_BODY_BYTES).read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn method(&self) -> &str {
        self.head[0].split(' ').next().unwrap_or_default()
    }

    fn path(&self) -> &str {
        let target = self.head[0].split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    fn status(&self) -> u16 {
        self.head[0].split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head[1..].iter().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn is_last(&self) -> bool {
        let ends = self.header("content-length").is_none() && self.header("transfer-encoding").is_none();
        ends && !self.body.is_empty()
            || self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn shift_date(&mut self, seconds: i64) {
        for line in &mut self.head {
            let Some(("Date" | "date", date)) = line.split_once(": ") else { continue };
            let date = DateTime::from_str(date.trim_end(), DateTimeFormat::HttpDate).expect("a server's date");
            let shifted = DateTime::from_secs(date.secs() + seconds).fmt(DateTimeFormat::HttpDate).expect("a date");
            *line = format!("Date: {shifted}\r\n");
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.head.concat().into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The lines up to the empty one; none if the other side is gone.
fn read_head(from: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::new();
    loop {
        let mut line = String::new();
        if from.take(MAX_LINE_BYTES).read_line(&mut line)? == 0 {
            return if lines.is_empty() { Ok(lines) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let last = line == "\r\n";
        lines.push(line);
        if last {
            return Ok(lines);
        }
    }
}

/// A body in chunks, as it came.
fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.take(MAX_LINE_BYTES).read_line(&mut line)?;
        let size =
            u64::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16).map_err(io::Error::other)?;
        body.extend_from_slice(line.as_bytes());
        // The line end behind the chunk; behind the last one there are no trailers.
        from.take(u64::min(size + 2, MAX_BODY_BYTES)).read_to_end(body)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Connection, PROTOBUF, get};

    /// A server that counts what reaches it.
    fn server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, noted) = (client.unwrap(), Arc::clone(&noted));
                std::thread::spawn(move || {
                    let mut from = BufReader::new(client.try_clone().unwrap());
                    while let Ok(Some(request)) = Message::read_request(&mut from, &client) {
                        let host = request.header("host").unwrap_or_default().to_owned();
                        noted.lock().unwrap().push(format!("{} {} {host}", request.method(), request.path()));
                        let answer = "HTTP/1.1 412 Planned\r\nDate: Wed, 25 Nov 2026 10:00:00 GMT\r\nContent-Length: 4\r\n\r\nbody";
                        (&mut &client).write_all(answer.as_bytes()).unwrap();
                    }
                });
            }
        });
        (address, seen)
    }

    fn ask(proxy: &Proxy) -> io::Result<crate::http::Response> {
        Connection::open(proxy.address)?.post("/bucket/commit/1?x=y", PROTOBUF, b"bytes")
    }

    #[test]
    fn it_forwards_unchanged_counts_and_fails_as_planned() {
        let (address, seen) = server();
        let proxy = Proxy::start(address);
        assert_eq!(get(proxy.address, "/bucket/commit/1").text(), "body");
        assert_eq!(*seen.lock().unwrap(), [format!("GET /bucket/commit/1 {}", proxy.address)], "the host stays");
        let persisted = || seen.lock().unwrap().len();

        proxy.plan(Plan { skip: 1, ..Plan::next("POST", "commit/", Fault::CloseBefore) });
        assert_eq!(ask(&proxy).unwrap().status, 412);
        assert!(ask(&proxy).is_err() && persisted() == 2);
        for (fault, status) in [(Fault::ConflictBefore, 409), (Fault::FailBefore, 500), (Fault::SlowDownBefore, 503)] {
            proxy.plan(Plan::next("POST", "commit/", fault));
            assert_eq!(ask(&proxy).unwrap().status, status);
        }
        assert_eq!(persisted(), 2, "none of these reaches the server");

        for fault in [Fault::CloseAfter, Fault::CutBody] {
            proxy.plan(Plan::next("POST", "commit/", fault));
            assert!(ask(&proxy).is_err(), "{fault:?}");
        }
        proxy.plan(Plan::next("POST", "commit/", Fault::FailAfter));
        assert_eq!(ask(&proxy).unwrap().status, 500);
        proxy.plan(Plan::next("POST", "commit/", Fault::LieAboutCreate));
        assert_eq!(ask(&proxy).unwrap().status, 200);
        assert_eq!(persisted(), 6, "all of these do");

        proxy.plan(Plan::next("POST", "", Fault::ShiftDate(-600)));
        assert_eq!(ask(&proxy).unwrap().header("date"), Some("Wed, 25 Nov 2026 09:50:00 GMT"));
        assert_eq!(proxy.hits(), 9);
        assert_eq!((proxy.count("POST", "bucket/commit/"), proxy.count("", ""), proxy.count("PUT", "")), (10, 11, 0));
    }

    #[test]
    fn a_request_without_an_answer_waits_until_it_is_given_up() {
        let (address, seen) = server();
        let proxy = Proxy::start(address);
        for (fault, persisted) in [(Fault::SilenceBefore, 0), (Fault::SilenceAfter, 1)] {
            proxy.plan(Plan::next("POST", "commit/", fault));
            let before = proxy.hits();
            let mut client = TcpStream::connect(proxy.address).unwrap();
            client.write_all(b"POST /commit/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").unwrap();
            proxy.wait_hit(before);
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            assert!(client.read(&mut [0; 16]).is_err(), "no answer, and no end");
            assert_eq!(seen.lock().unwrap().len(), persisted);
        }
    }
}
