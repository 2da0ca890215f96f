//! One connection, from its first byte to its end.
//!
//! hyper bounds the time of an HTTP/1.1 head and pings HTTP/2 peers. What it leaves open is closed here: a client that never says
//! which protocol it speaks, and one that holds a connection without asking for anything.

use std::{
    convert::Infallible,
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    limits::Limits,
    router::{self, Reception},
    server::{log_panic, stop},
};
use crate::intake::Intake;

/// HTTP/2 says which protocol it is with its first 24 bytes, HTTP/1.1 with fewer.
const PREFACE_BYTES: u64 = 24;

/// Most bytes of an HTTP/1.1 head, and of its read buffer.
const HEAD_BYTES: usize = 64 * 1024;

/// Serves `stream` until its client leaves, it idles, or the shutdown is done.
pub(super) async fn serve<I, S>(stream: S, reception: Arc<Reception<I>>, mut shutdown: watch::Receiver<bool>)
where
    I: Intake,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = reception.limits.clone();
    let activity = Arc::new(Activity::default());
    let service = service_fn({
        let activity = Arc::clone(&activity);
        move |request| {
            let reception = Arc::clone(&reception);
            let under_way = UnderWay::begin(&activity);
            async move {
                let response = router::answer(reception, request).await;
                drop(under_way);
                Ok::<_, Infallible>(response)
            }
        }
    });
    let streams = Streams::default();
    let builder = protocol(&limits, streams.clone());
    let stream = TokioIo::new(Counted { stream, activity: Arc::clone(&activity) });
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut patience = Patience::new(&limits);
    let mut look = interval(patience.look_every());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closing = false;
    let mut drained_by = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(e) = ended {
                    tracing::debug!(error = %e, "connection ended");
                }
                break;
            }
            () = stop(&mut shutdown), if drained_by.is_none() => {
                drained_by = Some(Instant::now() + limits.drain_timeout);
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(drained_by.unwrap_or_else(Instant::now)), if drained_by.is_some() => {
                tracing::warn!("a request was still under way at the end of the drain time; its sender will send it again");
                break;
            }
            _ = look.tick() => match patience.judge(&activity) {
                Verdict::Keep => {}
                // A client that does not even go when asked to is cut off.
                Verdict::Close if closing => break,
                Verdict::Close => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                Verdict::Cut => break,
            }
        }
    }
    streams.end().await;
}

fn protocol(limits: &Limits, streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_read_timeout).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(HEAD_BYTES as u32)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    builder
}

/// The tasks of an HTTP/2 connection's streams: none outlives its connection.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<JoinSet<()>>>);

impl Streams {
    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        // Nothing that panics runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn end(self) {
        let mut tasks = std::mem::take(&mut *self.lock());
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            log_panic(ended);
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, task: F) {
        let mut tasks = self.lock();
        while let Some(ended) = tasks.try_join_next() {
            log_panic(ended);
        }
        tasks.spawn(task);
    }
}

/// What a connection is doing.
#[derive(Default)]
struct Activity {
    bytes_read: AtomicU64,
    requests_begun: AtomicU64,
    requests_under_way: AtomicUsize,
}

/// One request that is under way.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.requests_begun.fetch_add(1, Ordering::Relaxed);
        activity.requests_under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests_under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Verdict {
    Keep,
    Close,
    Cut,
}

/// How long a connection that does nothing is kept.
struct Patience {
    to_speak: Duration,
    to_ask: Duration,
    opened: Instant,
    idle_since: Instant,
    requests_seen: u64,
}

impl Patience {
    fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            to_speak: limits.header_read_timeout,
            to_ask: limits.idle_timeout,
            opened: now,
            idle_since: now,
            requests_seen: 0,
        }
    }

    fn look_every(&self) -> Duration {
        (self.to_speak.min(self.to_ask) / 4).max(Duration::from_millis(10))
    }

    fn judge(&mut self, activity: &Activity) -> Verdict {
        let now = Instant::now();
        let begun = activity.requests_begun.load(Ordering::Relaxed);
        let busy = activity.requests_under_way.load(Ordering::Relaxed) > 0;
        if busy || begun != self.requests_seen {
            self.requests_seen = begun;
            self.idle_since = now;
            return Verdict::Keep;
        }
        let spoke = begun > 0 || activity.bytes_read.load(Ordering::Relaxed) >= PREFACE_BYTES;
        if !spoke && now - self.opened >= self.to_speak {
            return Verdict::Cut;
        }
        if now - self.idle_since >= self.to_ask {
            return Verdict::Close;
        }
        Verdict::Keep
    }
}

/// A stream that counts what is read from it.
struct Counted<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = (buf.filled().len() - before) as u64;
        self.activity.bytes_read.fetch_add(read, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
