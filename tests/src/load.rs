//! Senders that keep book: which events were acknowledged, and which must be sent again.
//!
//! Each sender has one connection and one batch under way. A batch that was not acknowledged is kept and sent again, to the
//! same collector or the next; now and then one that was acknowledged is sent again too, as an exporter does whose
//! answer was lost. So once the load is drained, what was acknowledged is exactly what the ledger must hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tachograph_record::EventId;

use crate::http::{Connection, PROTOBUF, Response};
use crate::otlp::{Events, request};
use crate::seed::Random;

/// How the senders work.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Senders, each with a connection of its own.
    pub senders: usize,
    /// Records in a batch, at most.
    pub batch: usize,
    /// How long a sender rests between two batches, at most.
    pub pause: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { senders: 4, batch: 40, pause: Duration::from_millis(4) }
    }
}

/// A refusal that asked the sender to come back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// 429 or 503.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
}

/// Senders at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    events: Events,
    book: Mutex<Book>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    target: Option<SocketAddr>,
    draining: bool,
    stopping: bool,
    /// Senders that have nothing unacknowledged.
    at_rest: usize,
    acknowledged: Vec<EventId>,
    refused: BTreeMap<Refused, u64>,
    /// An answer that no sender should ever get.
    surprise: Option<String>,
}

#[derive(Debug)]
struct Batch {
    ids: Vec<EventId>,
    request: Vec<u8>,
}

impl Load {
    /// Starts the senders. They wait for a target.
    pub fn start(settings: Settings, random: &mut Random) -> Self {
        let shared = Arc::new(Shared {
            settings,
            events: Events::new(random),
            book: Mutex::new(Book { at_rest: settings.senders, ..Book::default() }),
            changed: Condvar::new(),
        });
        let senders = (0..settings.senders).map(|_| {
            let (shared, random) = (Arc::clone(&shared), random.fork());
            std::thread::spawn(move || Sender { shared, random, connection: None, last: None }.run())
        });
        Self { senders: senders.collect(), shared }
    }

    /// Where to send from now on; `None`: nowhere, the collector is gone.
    pub fn aim(&self, target: Option<SocketAddr>) {
        self.shared.change(|book| {
            book.target = target;
            book.draining = false;
        });
    }

    /// Sends what is unacknowledged until nothing is, and nothing new.
    ///
    /// # Panics
    /// If that takes more than a minute.
    #[track_caller]
    pub fn drain(&self) {
        self.shared.change(|book| book.draining = true);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut book = self.shared.book();
        while book.at_rest < self.shared.settings.senders {
            assert!(Instant::now() < deadline, "the senders could not get rid of their batches: {:?}", book.refused);
            book.check();
            book = self
                .shared
                .changed
                .wait_timeout(book, Duration::from_millis(100))
                .map_or_else(|e| e.into_inner().0, |w| w.0);
        }
        book.check();
    }

    /// What was acknowledged so far.
    ///
    /// # Panics
    /// If a sender got an answer that it never should.
    pub fn acknowledged(&self) -> Vec<EventId> {
        let book = self.shared.book();
        book.check();
        book.acknowledged.clone()
    }

    /// What was refused so far, and how often.
    pub fn refused(&self) -> BTreeMap<Refused, u64> {
        self.shared.book().refused.clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.change(|book| book.stopping = true);
        for sender in self.senders.drain(..) {
            let _ = sender.join();
        }
    }
}

impl Book {
    #[track_caller]
    fn check(&self) {
        assert!(self.surprise.is_none(), "{}", self.surprise.as_deref().unwrap_or_default());
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book());
        self.changed.notify_all();
    }

    /// Waits until there is something to do: where to send, or `None` if it is over.
    fn next_target(&self, pending: bool) -> Option<SocketAddr> {
        let mut book = self.book();
        loop {
            match book.target {
                _ if book.stopping => return None,
                Some(target) if pending => return Some(target),
                Some(target) if !book.draining => {
                    book.at_rest -= 1;
                    return Some(target);
                }
                _ => book = self.changed.wait(book).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// One sender.
struct Sender {
    shared: Arc<Shared>,
    random: Random,
    connection: Option<(SocketAddr, Connection)>,
    /// The last batch that was acknowledged.
    last: Option<Batch>,
}

impl Sender {
    fn run(mut self) {
        let mut pending: Option<Batch> = None;
        while let Some(target) = self.shared.next_target(pending.is_some()) {
            let batch = match pending.take() {
                Some(batch) => batch,
                None => self.next_batch(),
            };
            if self.send(target, &batch) {
                self.last = Some(batch);
                std::thread::sleep(self.shared.settings.pause.mul_f64(self.random.below(1000) as f64 / 1000.0));
            } else {
                pending = Some(batch);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// A new batch, or now and then the last one again with nothing left to acknowledge in it.
    fn next_batch(&mut self) -> Batch {
        if self.random.below(12) == 0
            && let Some(Batch { request, .. }) = self.last.take()
        {
            return Batch { ids: Vec::new(), request };
        }
        let count = 1 + self.random.at(self.shared.settings.batch);
        let (ids, spans) = self.shared.events.generations(count);
        Batch { ids, request: request(spans) }
    }

    /// Whether the batch was acknowledged.
    fn send(&mut self, target: SocketAddr, batch: &Batch) -> bool {
        let response = match self.post(target, batch) {
            Ok(response) => response,
            Err(_) => {
                self.connection = None;
                return false;
            }
        };
        match response.status {
            200 => self.shared.change(|book| {
                book.acknowledged.extend_from_slice(&batch.ids);
                book.at_rest += 1;
            }),
            429 | 503 => {
                let retry_after = response.header("retry-after").map(str::to_owned);
                let refused = Refused { status: response.status, retry_after };
                self.shared.change(|book| *book.refused.entry(refused).or_default() += 1);
            }
            status => self.shared.change(|book| book.surprise = Some(format!("{status}: {}", response.text()))),
        }
        response.status == 200
    }

    fn post(&mut self, target: SocketAddr, batch: &Batch) -> std::io::Result<Response> {
        let connection = match &mut self.connection {
            Some((address, connection)) if *address == target => connection,
            none => &mut none.insert((target, Connection::open(target)?)).1,
        };
        connection.post("/v1/traces", PROTOBUF, &batch.request)
    }
}
