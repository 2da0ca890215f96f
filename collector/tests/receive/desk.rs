//! A running receive stage, and a recorder behind it that answers as it is told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tachograph_collector::{
    intake::{Accepted, Export, Intake, Refusal, Signal},
    receipt::Receipt,
    receive::{Listeners, ReceiveMetrics, bind},
};
use tachograph_ledger::{Hash, LedgerName};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

/// The receipt that the recorder gives.
pub(crate) const RECEIPT: &str = "v1 acme.example/ai-audit 41:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

pub(crate) struct Recorder {
    taken: Mutex<Vec<(Signal, Bytes)>>,
    refusal: Mutex<Option<Refusal>>,
    /// Calls of `accept` wait while it holds `true`.
    hold: watch::Sender<bool>,
    waiting: AtomicUsize,
}

impl Intake for Recorder {
    async fn accept(&self, export: Export) -> Result<Accepted, Refusal> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut hold = self.hold.subscribe();
        hold.wait_for(|hold| !*hold).await.expect("recorder lives");
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        let mut taken = self.taken.lock().unwrap();
        taken.push((export.signal, export.protobuf));
        let receipt = export.wants_receipt.then(|| {
            let mut receipt = Receipt::new(LedgerName::parse("acme.example/ai-audit").unwrap());
            receipt.push(41, Some(Hash::from_bytes([1; 32])));
            receipt
        });
        Ok(Accepted { records: 3, duplicates: 2, rejected: 1, receipt })
    }
}

pub(crate) struct Desk {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) metrics: Arc<ReceiveMetrics>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) served: JoinHandle<()>,
    recorder: Arc<Recorder>,
}

/// A running receive stage on ports of its own.
pub(crate) async fn open(change: impl FnOnce(&mut Listeners)) -> Desk {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut listeners = Listeners { grpc: Some(local), http: Some(local), ..Listeners::default() };
    change(&mut listeners);
    let metrics = Arc::new(ReceiveMetrics::default());
    let recorder = Arc::new(Recorder {
        taken: Mutex::default(),
        refusal: Mutex::default(),
        hold: watch::Sender::new(false),
        waiting: AtomicUsize::new(0),
    });
    let bound = bind(listeners, Arc::clone(&metrics)).await.expect("binds");
    let addrs = bound.local_addrs();
    let (stop, stopped) = watch::channel(false);
    Desk {
        grpc: addrs.grpc.expect("asked for"),
        http: addrs.http.expect("asked for"),
        served: tokio::spawn(bound.serve(Arc::clone(&recorder), stopped)),
        metrics,
        stop,
        recorder,
    }
}

impl Desk {
    pub(crate) fn refuse(&self, refusal: Refusal) {
        *self.recorder.refusal.lock().unwrap() = Some(refusal);
    }

    pub(crate) fn hold(&self, hold: bool) {
        self.recorder.hold.send_replace(hold);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.recorder.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn taken(&self) -> Vec<(Signal, Bytes)> {
        self.recorder.taken.lock().unwrap().clone()
    }
}

pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::SeqCst)
}

/// Waits until `condition` holds; fails if it does not within 5 s.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("did not come about: {what}");
}
