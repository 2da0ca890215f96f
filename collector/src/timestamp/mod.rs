//! Time stamps: has authorities outside say when a checkpoint existed, and seals the hash of what they said.
//!
//! A thread of its own behind the archive. Nothing waits for it: no acknowledgement, no segment. It is told of the newest checkpoint
//! through a [`Mailbox`] of one place, asks each authority (RFC 3161) at most once in `timestamps.every`, checks the answer, puts it into
//! the archive beside the checkpoint, and has the recorder say so (`time.anchor`).
//!
//! An anchor alone is no news: an idle ledger is not stamped for ever. But a token is stamped by the next one, since its anchor lies
//! under the next stamped checkpoint; so when the certificate of the newest nears its end the ledger is stamped again, idle or not.
//!
//! It may end at any time, in the middle too: a token without its anchor still says what it says, and the next start stamps again.

mod authority;
mod schedule;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tachograph_exporters::archive::store::{Confirmed, Store, StoreError};
use tachograph_exporters::archive::{MAX_NOTE_BYTES, keep_proof, paths};
use tachograph_exporters::timestamp::{self, MAX_TOKEN_BYTES, Stamp};
use tachograph_exporters::verify::TIME_ANCHOR;
use tachograph_ledger::sha256;
use tachograph_record::Time;

use crate::batch::Entropy;
use crate::clock::Clock;
use crate::config;
use crate::mailbox::{Mailbox, Signed, Wake};
use crate::observe::Metrics;
use crate::progress::Progress;
use crate::publication::Seen;
use crate::seal::{Lent, Own};

use authority::Authority;
pub use authority::AuthorityError;
use schedule::{Anchors, Last, Schedule};

/// How often it looks whether a certificate nears its end.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What the stage is made of.
pub struct Parts {
    /// Where tokens go.
    pub store: Arc<dyn Store>,
    /// Tells of checkpoints.
    pub mailbox: Arc<Mailbox>,
    /// To the writer.
    pub queue: Lent,
    /// How far the writer is.
    pub progress: Arc<Progress>,
    /// Makes the records.
    pub own: Arc<Own>,
    /// Dates them.
    pub clock: Arc<dyn Clock>,
    /// Salts and nonces.
    pub entropy: Arc<dyn Entropy>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Learns what an authority has seen.
    pub seen: Seen,
}

/// The time-stamp stage.
pub struct Timestamps {
    parts: Parts,
    authorities: Vec<(Authority, Schedule)>,
    anchors: Anchors,
    newest: Option<Signed>,
    /// Since when there is something that no authority has stamped, nanoseconds since 1970.
    waiting_since: Option<u64>,
}

/// The authorities of the configuration.
pub struct Authorities(Vec<(Authority, Schedule)>);

impl Authorities {
    /// Reads their files.
    ///
    /// # Errors
    /// If one can't be read.
    pub fn open(settings: &config::Timestamps) -> Result<Self, AuthorityError> {
        let open = |authority| {
            let schedule = Schedule::new(settings.every, settings.renew_before);
            Ok((Authority::open(authority)?, schedule))
        };
        settings.authorities.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there is nobody to ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Details of the record that holds a token's hash.
#[derive(Serialize)]
struct Anchor<'a> {
    authority: &'a str,
    checkpoint: String,
    time: String,
    token: &'a str,
    token_sha256: String,
}

impl Timestamps {
    /// The stage, ready to run.
    pub fn new(authorities: Authorities, parts: Parts) -> Self {
        let authorities = authorities.0;
        Self { parts, authorities, anchors: Anchors::default(), newest: None, waiting_since: None }
    }

    /// Works until the mailbox is closed.
    pub fn run(mut self) {
        match self.newest_stamp() {
            Ok(Some((size, stamp))) => self.resume(size, &stamp),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the newest time stamp can't be read back; the next checkpoint is stamped whatever it says");
            }
        }
        loop {
            match self.parts.mailbox.wait(Some(Instant::now() + self.wait())) {
                Wake::Closed => return,
                Wake::Newest(checkpoint) => self.newest = Some(checkpoint),
                Wake::Time => {}
            }
            self.note_waiting();
            for number in 0..self.authorities.len() {
                if self.is_due(number) {
                    self.stamp_by(number);
                }
            }
            self.note_waiting();
        }
    }

    /// The newest token in the archive, as an earlier run left it.
    fn newest_stamp(&self) -> Result<Option<(u64, Stamp)>, StoreError> {
        let store = &self.parts.store;
        let listed = store.list(paths::TIMESTAMPS)?;
        let newest = listed.iter().rev().find_map(|path| Some((path, paths::timestamp_of(path)?)));
        let Some((path, size)) = newest else { return Ok(None) };
        let checkpoint = store.read(&paths::checkpoint(size), MAX_NOTE_BYTES)?;
        let token = store.read(path, MAX_TOKEN_BYTES)?;
        Ok(timestamp::inspect(&token, &checkpoint).ok().map(|stamp| (size, stamp)))
    }

    fn resume(&mut self, size: u64, stamp: &Stamp) {
        let now = self.parts.clock.now();
        let ago = Duration::from_nanos(now.unix_nanos().saturating_sub(stamp.time.unix_nanos()));
        for (_, schedule) in &mut self.authorities {
            schedule.stamped(Last { size, expires: stamp.expires }, Instant::now(), ago);
        }
        self.tell(size);
    }

    fn is_due(&self, number: usize) -> bool {
        let Some(newest) = &self.newest else { return false };
        let schedule = &self.authorities[number].1;
        let now = Instant::now();
        schedule.wants(newest.size, &self.anchors, self.parts.clock.now(), now) && schedule.wait(now).is_zero()
    }

    /// How long nothing is to be done, unless there is news.
    fn wait(&self) -> Duration {
        let Some(newest) = &self.newest else { return LONGEST_WAIT };
        let (time, now) = (self.parts.clock.now(), Instant::now());
        let schedules = self.authorities.iter().map(|(_, schedule)| schedule);
        let wanting = schedules.filter(|schedule| schedule.wants(newest.size, &self.anchors, time, now));
        wanting.map(|schedule| schedule.wait(now)).min().unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }

    fn stamp_by(&mut self, number: usize) {
        let Some(checkpoint) = self.newest.clone() else { return };
        let stamped = self.stamp(&self.authorities[number].0, &checkpoint);
        let (authority, schedule) = &mut self.authorities[number];
        match stamped {
            Ok((stamp, anchored)) => {
                tracing::info!(records = checkpoint.size, time = %stamp.time, authority = stamp.authority, "checkpoint time-stamped");
                schedule.stamped(
                    Last { size: checkpoint.size, expires: stamp.expires },
                    Instant::now(),
                    Duration::ZERO,
                );
                anchored.into_iter().for_each(|at_least| self.anchors.sealed(at_least));
                self.anchors
                    .forget_below(self.authorities.iter().map(|(_, schedule)| schedule.size()).min().unwrap_or(0));
                self.tell(checkpoint.size);
                self.parts.seen.up_to(checkpoint.size);
            }
            Err(error) => {
                self.parts.metrics.timestamp_failures.add(1);
                let pause = schedule.failed(Instant::now());
                tracing::warn!(authority = authority.name(), %error, retry_in = ?pause, "no time stamp; recording goes on");
            }
        }
    }

    /// Asks, checks, stores, seals. Gives an index that the anchor has at least.
    fn stamp(&self, authority: &Authority, checkpoint: &Signed) -> Result<(Stamp, Option<u64>), String> {
        let mut nonce = [0; 8];
        self.parts.entropy.fill(&mut nonce).map_err(|error| format!("no randomness: {error}"))?;
        let (token, stamp) = authority.ask(checkpoint.note.as_bytes(), u64::from_be_bytes(nonce))?;
        let hash = sha256(&token);
        let path = paths::timestamp(checkpoint.size, &hash);
        let store = &*self.parts.store;
        let stored = keep_proof(store, checkpoint.kept).and_then(|keep| store.create_or_confirm(&path, &token, keep));
        if stored.map_err(|error| error.to_string())? == Confirmed::Different {
            return Err(format!("{path} exists with other content"));
        }
        let anchored = self.anchor(&Anchor {
            authority: &stamp.authority,
            checkpoint: checkpoint.size.to_string(),
            time: stamp.time.to_string(),
            token: &path,
            token_sha256: hash.to_hex(),
        });
        Ok((stamp, anchored))
    }

    /// Seals the token's hash. Without room for it the token stands alone, and only its anchor is missing.
    fn anchor(&self, anchor: &Anchor<'_>) -> Option<u64> {
        let details = serde_json::to_string(anchor).unwrap_or_default();
        let parts = &self.parts;
        let at_least = parts.progress.now().durable;
        let sealed = match parts.own.batch(parts.clock.now(), TIME_ANCHOR, Some(details), &*parts.entropy) {
            Ok(batch) => parts.queue.seal_blocking(batch).map_err(|refusal| format!("{refusal:?}")),
            Err(error) => Err(error.to_string()),
        };
        match sealed {
            Ok(_) => Some(at_least),
            Err(error) => {
                parts.metrics.timestamp_failures.add(1);
                tracing::error!(%error, token = anchor.token, "the hash of a time stamp could not be sealed");
                None
            }
        }
    }

    /// Sets the gauges after a stamp over `size` records.
    fn tell(&mut self, size: u64) {
        let metrics = &self.parts.metrics;
        metrics.timestamped.set(size.max(metrics.timestamped.get()));
        let ends = self.authorities.iter().filter_map(|(_, schedule)| schedule.expires());
        metrics.timestamp_expires.set(ends.min().map_or(0, Time::unix_nanos));
    }

    /// Keeps book of how long news has been waiting for its first stamp.
    fn note_waiting(&mut self) {
        let size = self.newest.as_ref().map_or(0, |newest| newest.size);
        let is_news = size > 0 && self.authorities.iter().all(|(_, schedule)| schedule.has_news(size, &self.anchors));
        self.waiting_since = match (is_news, self.waiting_since) {
            (false, _) => None,
            (true, None) => Some(self.parts.clock.now().unix_nanos()),
            (true, since) => since,
        };
        self.parts.metrics.timestamp_waiting_since.set(self.waiting_since.unwrap_or(0));
    }
}
