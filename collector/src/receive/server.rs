//! The listeners: bound before anything runs, served until told to stop, drained within a deadline.
//!
//! One task per port accepts, and owns the tasks of its connections. A connection belongs to one task.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    Auth, Limits, ReceiveMetrics, Tls, TlsError, auth::Gate, connection, in_flight::InFlight, router::Reception,
};
use crate::intake::Intake;

/// Where to listen, and on whose terms.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// The port that OTLP names for gRPC, 4317 by custom.
    pub grpc: Option<SocketAddr>,
    /// The port that OTLP names for HTTP, 4318 by custom.
    pub http: Option<SocketAddr>,
    /// TLS on both ports; plain text on both if absent.
    pub tls: Option<Tls>,
    /// Who may send.
    pub auth: Auth,
    /// How much and for how long.
    pub limits: Limits,
}

/// Why nothing can be received.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ReceiveError {
    #[error("neither a gRPC nor an HTTP address is given, so that nothing could be received")]
    NoListener,
    #[error(
        "{protocol} address {addr} is in use: stop the process that listens there, or choose another with `--{protocol} ADDR`"
    )]
    InUse { protocol: &'static str, addr: SocketAddr },
    #[error("cannot listen on {protocol} address {addr}: {source}; choose another with `--{protocol} ADDR`")]
    Listen { protocol: &'static str, addr: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("settings that cannot work: {}", .0.join("; "))]
    Settings(Vec<String>),
}

/// The addresses that were bound; the port is the real one where 0 was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddrs {
    /// Of the gRPC listener.
    pub grpc: Option<SocketAddr>,
    /// Of the HTTP listener.
    pub http: Option<SocketAddr>,
}

/// Bound sockets that do not accept yet.
pub struct Bound {
    sockets: Vec<TcpListener>,
    addrs: LocalAddrs,
    tls: Option<Arc<ServerConfig>>,
    gate: Gate,
    limits: Limits,
    metrics: Arc<ReceiveMetrics>,
}

/// Checks everything, then binds the sockets. Clients can connect from here on; they are answered by [`Bound::serve`].
pub async fn bind(listeners: Listeners, metrics: Arc<ReceiveMetrics>) -> Result<Bound, ReceiveError> {
    let mut problems = listeners.limits.problems();
    problems.extend(listeners.auth.problems());
    if !problems.is_empty() {
        return Err(ReceiveError::Settings(problems));
    }
    if listeners.grpc.is_none() && listeners.http.is_none() {
        return Err(ReceiveError::NoListener);
    }
    let tls = listeners.tls.as_ref().map(Tls::load).transpose()?;
    let mut sockets = Vec::with_capacity(2);
    let mut addrs = LocalAddrs { grpc: None, http: None };
    if let Some(addr) = listeners.grpc {
        addrs.grpc = Some(listen("grpc", addr, &mut sockets).await?);
    }
    if let Some(addr) = listeners.http {
        addrs.http = Some(listen("http", addr, &mut sockets).await?);
    }
    Ok(Bound { sockets, addrs, tls, gate: Gate::new(&listeners.auth), limits: listeners.limits, metrics })
}

async fn listen(
    protocol: &'static str,
    addr: SocketAddr,
    sockets: &mut Vec<TcpListener>,
) -> Result<SocketAddr, ReceiveError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => ReceiveError::InUse { protocol, addr },
        _ => ReceiveError::Listen { protocol, addr, source },
    };
    let socket = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    sockets.push(socket);
    Ok(bound)
}

impl Bound {
    /// The addresses that were bound.
    pub fn local_addrs(&self) -> LocalAddrs {
        self.addrs
    }

    /// Accepts and answers until `shutdown` holds `true` or its sender is gone. Then no connection is accepted any more,
    /// requests under way get [`Limits::drain_timeout`] to end, and what is left is closed. Once this returns, the
    /// intake is not called again.
    pub async fn serve<I: Intake>(self, intake: Arc<I>, shutdown: watch::Receiver<bool>) {
        let port = Port {
            slots: Arc::new(Semaphore::new(self.limits.max_connections)),
            tls: self.tls.map(TlsAcceptor::from),
            reception: Arc::new(Reception {
                intake,
                budget: InFlight::new(self.limits.max_bytes_in_flight, Arc::clone(&self.metrics)),
                limits: self.limits,
                gate: self.gate,
                metrics: self.metrics,
            }),
            shutdown,
        };
        let mut ports = JoinSet::new();
        for socket in self.sockets {
            ports.spawn(port.clone().serve(socket));
        }
        while let Some(ended) = ports.join_next().await {
            if let Err(e) = ended {
                tracing::error!(error = %e, "a listener ended out of turn");
            }
        }
    }
}

/// Out of file descriptors, for instance: to ask again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the two ports share.
struct Port<I> {
    reception: Arc<Reception<I>>,
    slots: Arc<Semaphore>,
    tls: Option<TlsAcceptor>,
    shutdown: watch::Receiver<bool>,
}

impl<I> Clone for Port<I> {
    fn clone(&self) -> Self {
        Self {
            reception: Arc::clone(&self.reception),
            slots: Arc::clone(&self.slots),
            tls: self.tls.clone(),
            shutdown: self.shutdown.clone(),
        }
    }
}

impl<I: Intake> Port<I> {
    async fn serve(self, socket: TcpListener) {
        let mut connections = JoinSet::new();
        let mut shutdown = self.shutdown.clone();
        // Accepted, but not served before there is a slot for it. The ports share the slots, so none may
        // take one before it has a use for it.
        let mut next = None;
        loop {
            tokio::select! {
                biased;
                () = stop(&mut shutdown) => break,
                Some(ended) = connections.join_next() => log_panic(ended),
                Ok(slot) = Arc::clone(&self.slots).acquire_owned(), if next.is_some() => {
                    if let Some(stream) = next.take() {
                        connections.spawn(self.connection(stream, slot));
                    }
                }
                accepted = socket.accept(), if next.is_none() => match accepted {
                    Ok((stream, _)) => next = Some(stream),
                    Err(e) => {
                        tracing::warn!(error = %e, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop((socket, next));
        // Each connection keeps the drain time itself.
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    }

    fn connection(&self, stream: TcpStream, slot: OwnedSemaphorePermit) -> impl Future<Output = ()> + Send + 'static {
        let (reception, tls) = (Arc::clone(&self.reception), self.tls.clone());
        let mut shutdown = self.shutdown.clone();
        async move {
            let _slot = slot;
            let _open = Open::count(&reception.metrics);
            // Answers are small and awaited: to hold them back would only add latency.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else {
                return connection::serve(stream, reception, shutdown).await;
            };
            let handshake = timeout(reception.limits.header_read_timeout, tls.accept(stream));
            let reason = tokio::select! {
                () = stop(&mut shutdown) => return,
                shaken = handshake => match shaken {
                    Ok(Ok(stream)) => return connection::serve(stream, reception, shutdown).await,
                    Ok(Err(e)) => e.to_string(),
                    Err(_) => "it took too long".into(),
                },
            };
            reception.metrics.handshake_failed();
            tracing::debug!(reason, "TLS handshake failed");
        }
    }
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<ReceiveMetrics>);

impl Open {
    fn count(metrics: &Arc<ReceiveMetrics>) -> Self {
        metrics.opened();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// Returns once the shutdown has begun.
pub(super) async fn stop(shutdown: &mut watch::Receiver<bool>) {
    // An error means that who could stop us is gone: nobody is there to receive for.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

pub(super) fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        tracing::error!(error = %e, "a connection's task panicked");
    }
}
