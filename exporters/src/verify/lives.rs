//! What producers say of their own lives: whether each start of one ended in good order, and how many numbers it gave.
//!
//! Their word is taken from bodies that were checked against their leaves; the number that a close ends with is the one in its leaf.

use std::collections::BTreeMap;

use serde::Deserialize;
use tachograph_record::{Body, Time};

use super::collector::Collector;

/// Action of the first record of a producer's start.
pub const PRODUCER_OPEN: &str = "producer.open";
/// Action of the records by which a producer says that it lives.
pub const PRODUCER_HEARTBEAT: &str = "producer.heartbeat";
/// Action of the last record of a producer's start.
pub const PRODUCER_CLOSE: &str = "producer.close";

/// Starts of producers whose word is kept.
const MAX_STARTS: usize = 1 << 16;

/// What one start of a producer said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Life {
    /// The highest number of a close.
    pub(crate) closed: Option<u64>,
    /// How many records it counts as lost itself.
    pub(crate) lost: u64,
    /// When it last said that it lives.
    pub(crate) heartbeat: Option<Time>,
}

/// By producer and epoch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives {
    lives: BTreeMap<(String, String), Life>,
    /// A bound was reached: some were not kept.
    pub(crate) overflowed: bool,
}

impl Lives {
    pub(crate) fn of(&self, producer: &str, epoch: &str) -> Life {
        self.lives.get(&(producer.to_owned(), epoch.to_owned())).copied().unwrap_or_default()
    }

    fn of_mut(&mut self, start: (String, String)) -> Option<&mut Life> {
        if self.lives.len() >= MAX_STARTS && !self.lives.contains_key(&start) {
            self.overflowed = true;
            return None;
        }
        Some(self.lives.entry(start).or_default())
    }
}

#[derive(Deserialize)]
struct Details {
    lost: String,
}

/// Takes a record by which a producer speaks of itself.
pub(super) fn hear(body: &[u8], collector: &Collector) {
    let Ok(body) = Body::parse(body) else { return };
    let record = &body.record;
    let (Some(producer), Some(number)) = (record.producer.as_deref(), record.producer_seq) else { return };
    let start = (producer.to_owned(), record.producer_epoch.as_deref().unwrap_or_default().to_owned());
    collector.with_lives(|lives| {
        let Some(life) = lives.of_mut(start) else { return };
        if record.action_type.as_deref() == Some(PRODUCER_CLOSE) {
            let details =
                record.details.as_ref().and_then(|details| serde_json::from_str::<Details>(details.as_str()).ok());
            let lost = details.and_then(|details| details.lost.parse().ok()).unwrap_or(0);
            if life.closed <= Some(number.get()) {
                (life.closed, life.lost) = (Some(number.get()), lost);
            }
        } else {
            life.heartbeat = life.heartbeat.max(Some(record.timestamp));
        }
    });
}
