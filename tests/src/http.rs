//! A small HTTP/1.1 client: blocking, one request at a time, every answer bounded.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_HEAD_BYTES: u64 = 64 << 10;
const MAX_BODY_BYTES: usize = 4 << 20;

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lowercase.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, whatever it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection that is kept open between requests.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_string() })
    }

    /// Posts `body` and waits for the answer.
    ///
    /// # Errors
    /// If the connection ended before the whole answer was here: then it is not known what became of the request.
    pub fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> io::Result<Response> {
        self.post_with(path, &[("content-type", content_type)], body)
    }

    /// The same with any headers.
    ///
    /// # Errors
    /// If the connection ended before the whole answer was here.
    pub fn post_with(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (host, length) = (&self.host, body.len());
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n{headers}content-length: {length}\r\n\r\n");
        self.exchange(&[head.as_bytes(), body].concat())
    }

    /// Asks for a page.
    ///
    /// # Errors
    /// If the connection ended before the whole answer was here.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.get_with(path, &[])
    }

    /// The same with any headers.
    ///
    /// # Errors
    /// If the connection ended before the whole answer was here.
    pub fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.exchange(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", self.host).as_bytes())
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.stream.get_mut().write_all(request)?;
        let mut head = (&mut self.stream).take(MAX_HEAD_BYTES);
        let status_line = line(&mut head)?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not an HTTP answer: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let field = line(&mut head)?;
            if field.is_empty() {
                break;
            }
            let (name, value) =
                field.split_once(':').ok_or_else(|| io::Error::other(format!("no header: {field:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if status == 204 {
            return Ok(response);
        }
        let length = match response.header("content-length").map(str::parse) {
            Some(Ok(length)) if length <= MAX_BODY_BYTES => length,
            other => return Err(io::Error::other(format!("an answer of a length that is not understood: {other:?}"))),
        };
        response.body.resize(length, 0);
        self.stream.read_exact(&mut response.body)?;
        Ok(response)
    }
}

/// One page over a connection of its own.
///
/// # Panics
/// If there is no answer.
pub fn get(address: SocketAddr, path: &str) -> Response {
    let answer = Connection::open(address).and_then(|mut connection| connection.get(path));
    answer.unwrap_or_else(|e| panic!("http://{address}{path}: {e}"))
}

/// One OTLP export over a connection of its own.
///
/// # Panics
/// If there is no answer.
pub fn export(address: SocketAddr, path: &str, protobuf: &[u8]) -> Response {
    let answer = Connection::open(address).and_then(|mut connection| connection.post(path, PROTOBUF, protobuf));
    answer.unwrap_or_else(|e| panic!("http://{address}{path}: {e}"))
}

/// The content type of OTLP/HTTP with protobuf.
pub const PROTOBUF: &str = "application/x-protobuf";

fn line(head: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    head.read_line(&mut line)?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
