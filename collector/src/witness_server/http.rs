//! The witness's sockets: HTTP/1.1, few connections, small bodies, little time for each.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tachograph_ledger::add_checkpoint::MAX_ADD_CHECKPOINT_BYTES;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::desk::{Answer, Desk};

/// Connections at once; further ones wait.
const MAX_CONNECTIONS: usize = 128;
/// For a request's head, and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// For a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Out of file descriptors, for instance: to ask again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A write failed: it is not known what is on the disk, and a new start finds out.
#[derive(Debug, thiserror::Error)]
#[error("a checkpoint could not be written for certain: start again, and see the log for why")]
pub struct Broken;

/// Answers until `stop` yields.
///
/// # Errors
/// If a checkpoint could not be written for certain.
pub async fn serve(listener: TcpListener, desk: Arc<Desk>, stop: impl Future<Output = ()>) -> Result<(), Broken> {
    let broken = Arc::new(Notify::new());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        // A slot first, so that what waits does so in the system's own queue, which is bounded.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            () = broken.notified() => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = accepted => match (slot, accepted) {
                (Ok(slot), Ok((stream, _))) => {
                    let (desk, broken) = (Arc::clone(&desk), Arc::clone(&broken));
                    connections.spawn(async move {
                        let _slot = slot;
                        let _ = stream.set_nodelay(true);
                        let service = service_fn(move |request| answer(Arc::clone(&desk), Arc::clone(&broken), request));
                        let mut builder = http1::Builder::new();
                        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
                        // A client that goes away is no news.
                        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                (Err(_), _) => break,
            },
        }
    }
    drop(listener);
    // What is judged already ends by itself, on the disk; an answer that is cut off is asked for again.
    connections.shutdown().await;
    if desk.is_broken() { Err(Broken) } else { Ok(()) }
}

async fn answer(
    desk: Arc<Desk>,
    broken: Arc<Notify>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let monitored = path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint")).map(str::to_owned);
    let method = request.method().clone();
    Ok(match (method, path.as_str(), monitored) {
        (Method::POST, "/add-checkpoint", _) => match read(request).await {
            Ok(body) => judge(desk, broken, move |desk| desk.add_checkpoint(&body)).await,
            Err(status) => plain(status, ""),
        },
        (Method::GET, "/healthz", _) => plain(StatusCode::OK, "ok\n"),
        (Method::GET, _, Some(origin)) => judge(desk, broken, move |desk| desk.checkpoint(&origin)).await,
        (_, "/add-checkpoint" | "/healthz", _) => plain(StatusCode::METHOD_NOT_ALLOWED, ""),
        _ => plain(StatusCode::NOT_FOUND, "POST /add-checkpoint, GET /healthz, GET /<origin hash>/checkpoint\n"),
    })
}

async fn read(request: Request<Incoming>) -> Result<Bytes, StatusCode> {
    let body = Limited::new(request.into_body(), MAX_ADD_CHECKPOINT_BYTES).collect();
    match timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Judging waits for the disk: it has a thread of its own, and goes on if the client leaves.
async fn judge(
    desk: Arc<Desk>,
    broken: Arc<Notify>,
    work: impl FnOnce(&Desk) -> Result<Answer, super::WitnessDirError> + Send + 'static,
) -> Response<Full<Bytes>> {
    let judged = tokio::task::spawn_blocking(move || {
        let judged = work(&desk);
        if desk.is_broken() {
            broken.notify_one();
        }
        judged
    });
    match judged.await {
        Ok(Ok(Answer { status, content_type, body })) => {
            let mut response = plain(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            response
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a request could not be answered");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the witness has a problem of its own; its log says which\n")
        }
        Err(error) => {
            tracing::error!(%error, "a request could not be judged");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "")
        }
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
