//! Health and metrics over HTTP, on a port of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{StatusCode, header};

use crate::clock::Clock;
use crate::observe::Metrics;
use crate::receive::ReceiveMetrics;

/// What the pages are made from.
#[derive(Clone)]
pub struct Health {
    /// Counters of the stages behind receive.
    pub metrics: Arc<Metrics>,
    /// Counters of receive.
    pub receive: Arc<ReceiveMetrics>,
    /// Whether requests are taken at all.
    pub accepting: Arc<AtomicBool>,
    /// Dates ages.
    pub clock: Arc<dyn Clock>,
}

impl Health {
    /// Whether a record sent now would be taken.
    fn problem(&self) -> Option<&'static str> {
        if !self.accepting.load(Ordering::Relaxed) {
            Some("stopping")
        } else if self.metrics.closed.get() != 0 {
            Some("closed: this ledger takes no more records")
        } else if self.metrics.journal_full.get() != 0 {
            Some("no room: the journal is full")
        } else {
            None
        }
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` until the task is dropped.
pub async fn serve(listener: tokio::net::TcpListener, health: Health) {
    let pages = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, pages).await {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    match health.problem() {
        // Records are taken all the same: to turn senders away would lose what can be kept.
        None if health.metrics.signing_failing_since.get() != 0 => {
            (StatusCode::OK, "ready, but THE LEDGER'S KEY CAN'T SIGN: nothing is archived\n".to_owned())
        }
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
    }
}

async fn metrics(State(health): State<Health>) -> ([(header::HeaderName, &'static str); 1], String) {
    let ready = health.problem().is_none();
    let page = health.metrics.render(&health.receive, ready, health.clock.now().unix_nanos());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
}
