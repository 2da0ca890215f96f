//! Clients: hyper's, over whatever stream; and what bodies are made of.

use std::{io::Write, net::SocketAddr};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";
pub(crate) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub(crate) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole answer");
        Self {
            status: head.status,
            headers: head.headers,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).or_else(|| self.trailers.get(name));
        value.map_or("", |v| v.to_str().expect("ASCII"))
    }

    pub(crate) fn grpc_status(&self) -> i32 {
        self.header("grpc-status").parse().expect("a gRPC status")
    }

    /// The message of a refusal, in whatever form it came.
    pub(crate) fn message(&self) -> String {
        self.rpc_status().message
    }

    pub(crate) fn rpc_status(&self) -> RpcStatus {
        match self.header("content-type") {
            "application/grpc" => {
                let details = self.header("grpc-status-details-bin");
                let bytes = STANDARD_NO_PAD.decode(details).expect("base64");
                RpcStatus::decode(&bytes[..]).expect("a status")
            }
            PROTOBUF => RpcStatus::decode(&self.body[..]).expect("a status"),
            JSON => {
                let json: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
                RpcStatus {
                    code: json["code"].as_i64().expect("a code") as i32,
                    message: json["message"].as_str().expect("a message").into(),
                    details: vec![],
                }
            }
            other => panic!("content type {other}"),
        }
    }

    /// What RetryInfo says, in milliseconds.
    pub(crate) fn retry_info_ms(&self) -> Option<i64> {
        let details = self.rpc_status().details;
        let info = details.iter().find(|d| d.type_url == "type.googleapis.com/google.rpc.RetryInfo")?;
        let delay = RetryInfo::decode(&info.value[..]).expect("RetryInfo").delay?;
        Some(delay.seconds * 1000 + i64::from(delay.nanos) / 1_000_000)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Detail>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Detail {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// A request; headers as `name: value`.
pub(crate) struct Ask<'a> {
    pub(crate) version: Version,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Bytes,
}

impl Ask<'_> {
    pub(crate) async fn to(self, addr: SocketAddr) -> Reply {
        let stream = TcpStream::connect(addr).await.expect("connects");
        self.over(stream).await.expect("an answer")
    }

    pub(crate) async fn over<S>(self, stream: S) -> hyper::Result<Reply>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut request = Request::builder().method(self.method).uri(format!("http://localhost{}", self.path));
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(self.body)).expect("a request");
        let io = TokioIo::new(stream);
        let response = if self.version == Version::HTTP_2 {
            let (mut sender, driver) = conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(driver);
            sender.send_request(request).await?
        } else {
            let (mut sender, driver) = conn::http1::handshake(io).await?;
            tokio::spawn(driver);
            sender.send_request(request).await?
        };
        Ok(Reply::read(response).await)
    }
}

/// POST over HTTP/1.1.
pub(crate) async fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let ask = Ask { version: Version::HTTP_11, method: Method::POST, path, headers, body: body.into() };
    ask.to(addr).await
}

/// A gRPC call whose framed message is `body`.
pub(crate) async fn call(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
    all.extend_from_slice(headers);
    let ask = Ask { version: Version::HTTP_2, method: Method::POST, path, headers: &all, body: body.into() };
    let reply = ask.to(addr).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    reply
}

/// One gRPC message.
pub(crate) fn framed(compressed: bool, message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(u8::from(compressed));
    bytes.put_u32(message.len() as u32);
    bytes.extend_from_slice(message);
    bytes.freeze()
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).expect("writes to memory");
    encoder.finish().expect("writes to memory")
}

pub(crate) fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 1).expect("writes to memory")
}

/// `len` bytes that do not compress, the same each time.
pub(crate) fn message(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}
