//! The bounds on what senders may make us hold, and for how long.

use std::time::Duration;

/// Bounds of the receive stage. [`Default`] is safe for a machine with 512 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body as it comes over the wire. Default 16 MiB.
    pub max_body_bytes: usize,
    /// Largest body after decompression. Default 64 MiB.
    pub max_decompressed_bytes: usize,
    /// Bytes that all requests under way may hold together. Default 64 MiB.
    pub max_bytes_in_flight: usize,
    /// Connections over both ports. Further ones wait in the kernel's queue. Default 1024.
    pub max_connections: usize,
    /// Time that a whole body may take to arrive. Default 30 s.
    pub request_timeout: Duration,
    /// Time that a TLS handshake, and then a request's head, may take. It is also how long an HTTP/1.1 connection
    /// is kept between two requests. Default 30 s.
    pub header_read_timeout: Duration,
    /// Time after which a connection without a request is closed. Default 2 min.
    pub idle_timeout: Duration,
    /// Requests under way on one HTTP/2 connection. Default 100.
    pub max_concurrent_streams: u32,
    /// How often an HTTP/2 peer is asked whether it is still there. Default 30 s.
    pub keepalive_interval: Duration,
    /// Time that it has to answer. Default 20 s.
    pub keepalive_timeout: Duration,
    /// Time that requests under way get at shutdown. Default 10 s.
    pub drain_timeout: Duration,
    /// When a sender that was refused for lack of room is to come back. Default 1 s.
    pub retry_after: Duration,
}

const MIB: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 16 * MIB,
            max_decompressed_bytes: 64 * MIB,
            max_bytes_in_flight: 64 * MIB,
            max_connections: 1024,
            request_timeout: Duration::from_secs(30),
            header_read_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            max_concurrent_streams: 100,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// Every setting that cannot work, in words; empty if all can.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let counts = [
            ("max_body_bytes", self.max_body_bytes),
            ("max_decompressed_bytes", self.max_decompressed_bytes),
            ("max_bytes_in_flight", self.max_bytes_in_flight),
            ("max_connections", self.max_connections),
            ("max_concurrent_streams", self.max_concurrent_streams as usize),
        ];
        for (name, value) in counts {
            if value == 0 {
                problems.push(format!("{name} is 0, so that nothing could be received"));
            }
        }
        let times = [
            ("request_timeout", self.request_timeout),
            ("header_read_timeout", self.header_read_timeout),
            ("idle_timeout", self.idle_timeout),
            ("keepalive_interval", self.keepalive_interval),
            ("keepalive_timeout", self.keepalive_timeout),
        ];
        for (name, value) in times {
            if value.is_zero() {
                problems.push(format!("{name} is 0, so that nothing could be received"));
            }
        }
        // The length of a gRPC message is 32 bits; more would never be reached.
        if self.max_body_bytes > u32::MAX as usize {
            problems.push(format!("max_body_bytes is {}, the most is {}", self.max_body_bytes, u32::MAX));
        }
        if self.max_bytes_in_flight < self.max_body_bytes {
            problems.push(format!(
                "max_bytes_in_flight ({}) is less than max_body_bytes ({}): a single body could fill it; raise the first or lower the second",
                self.max_bytes_in_flight, self.max_body_bytes
            ));
        }
        if self.max_connections > tokio::sync::Semaphore::MAX_PERMITS {
            problems.push(format!(
                "max_connections is {}, the most is {}",
                self.max_connections,
                tokio::sync::Semaphore::MAX_PERMITS
            ));
        }
        problems
    }
}
