//! Identifiers: event ids (UUIDv7 text), trace and span ids, random names.
//!
//! The numbers come from a generator per thread (xoshiro256++) that the operating system's
//! randomness seeds. They must be unique, not secret. For a test's recorder they count up.

use crate::recorder;
use opentelemetry::trace::{SpanId, TraceId};
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A UUID. It is made into text where it is written, not where it is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EventId {
    high: u64,
    low: u64,
}

impl EventId {
    /// A UUID from elsewhere.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !is_uuid(text) {
            return None;
        }
        let digits = text.bytes().filter_map(|byte| char::from(byte).to_digit(16));
        let (mut high, mut low) = (0, 0);
        for (i, digit) in digits.enumerate() {
            let half = if i < 16 { &mut high } else { &mut low };
            *half = *half << 4 | u64::from(digit);
        }
        Some(Self { high, low })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (hex((self.high >> 32) as u32), hex(self.high as u32));
        let (c, d) = (hex((self.low >> 32) as u32), hex(self.low as u32));
        let mut text = [b'-'; 36];
        text[..8].copy_from_slice(&a);
        text[9..13].copy_from_slice(&b[..4]);
        text[14..18].copy_from_slice(&b[4..]);
        text[19..23].copy_from_slice(&c[..4]);
        text[24..28].copy_from_slice(&c[4..]);
        text[28..].copy_from_slice(&d);
        formatter.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The id of a whole chain of events: that of its first one made it, or the application named it.
#[derive(Clone, Debug)]
pub(crate) enum Correlation {
    Made(EventId),
    Named(Arc<str>),
}

impl fmt::Display for Correlation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(id) => fmt::Display::fmt(id, formatter),
            Self::Named(text) => formatter.write_str(text),
        }
    }
}

/// A new event id for something that happened at `time`: a UUIDv7.
pub(crate) fn event_id(time: SystemTime) -> EventId {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (high, low) = recorder::memory().map_or_else(random_pair, |memory| (0, memory.next_event()));
    uuid_v7(millis(since_epoch), high, low)
}

/// The id that the collector gives a span without one: `docs/format.md`, section 2.
pub(crate) fn derived_event_id(start_nanos: u64, digest: &[u8; 32]) -> String {
    let [a, b, rest @ ..] = digest;
    let (low, _) = rest.split_at(8);
    let low = low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    uuid_v7(start_nanos / 1_000_000, u64::from(*a) << 8 | u64::from(*b), low).to_string()
}

pub(crate) fn trace_id() -> TraceId {
    let (high, low) = recorder::memory().map_or_else(random_pair, |memory| (0, memory.next_trace()));
    TraceId::from(u128::from(high) << 64 | u128::from(low.max(1)))
}

pub(crate) fn span_id() -> SpanId {
    SpanId::from(recorder::memory().map_or_else(random, |memory| memory.next_span()).max(1))
}

/// Sixteen random hex digits.
pub(crate) fn random_name() -> String {
    format!("{:016x}", random())
}

/// True if the text is a UUID in its usual form.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn millis(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 9562, section 5.7: 48 bits of milliseconds, version, 12 random bits, variant, 62 random bits.
fn uuid_v7(millis: u64, high: u64, low: u64) -> EventId {
    let first = millis << 16 | 0x7000 | (high & 0x0fff);
    let second = low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
    EventId { high: first, low: second }
}

/// Eight hex digits, all at once: spread the nibbles over eight bytes, then make each a letter or digit.
fn hex(number: u32) -> [u8; 8] {
    let mut bytes = u64::from(number);
    bytes = (bytes & 0xffff_0000) << 16 | bytes & 0xffff;
    bytes = (bytes & 0x0000_ff00_0000_ff00) << 8 | bytes & 0x0000_00ff_0000_00ff;
    bytes = (bytes & 0x00f0_00f0_00f0_00f0) << 4 | bytes & 0x000f_000f_000f_000f;
    let letters = (bytes + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (bytes + 0x3030_3030_3030_3030 + letters * 0x27).to_be_bytes()
}

thread_local! {
    static GENERATOR: RefCell<Xoshiro> = RefCell::new(Xoshiro::seeded());
}

fn random() -> u64 {
    // During a thread's end its generator may be gone already; then a fresh one serves.
    GENERATOR.try_with(|generator| generator.borrow_mut().next()).unwrap_or_else(|_| Xoshiro::seeded().next())
}

fn random_pair() -> (u64, u64) {
    GENERATOR
        .try_with(|generator| {
            let mut generator = generator.borrow_mut();
            (generator.next(), generator.next())
        })
        .unwrap_or_else(|_| {
            let mut generator = Xoshiro::seeded();
            (generator.next(), generator.next())
        })
}

/// xoshiro256++ by Blackman and Vigna.
struct Xoshiro([u64; 4]);

impl Xoshiro {
    fn seeded() -> Self {
        let mut seed = [0; 32];
        if getrandom::fill(&mut seed).is_err() {
            // No randomness from the system (a sandbox): clock, thread and address differ enough
            // for ids that need only be unique.
            seed = fallback_seed();
        }
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        state[0] |= 1; // an all-zero state would stay zero
        Self(state)
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }
}

fn fallback_seed() -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let marker = Box::new(0_u8);
    let text =
        format!("{:?} {:?} {} {:p}", crate::clock::now(), std::thread::current().id(), std::process::id(), marker);
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_id_is_a_version_7_uuid_of_its_time() {
        let time = UNIX_EPOCH + Duration::from_millis(0x0190_1234_5678);
        let id = event_id(time).to_string();
        assert!(is_uuid(&id), "{id}");
        assert!(id.starts_with("01901234-5678-7"), "{id}");
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
    }

    #[test]
    fn hex_is_that_of_the_standard_library() {
        for number in [0, 1, 9, 10, 0x0123_4567, 0x89ab_cdef, u32::MAX] {
            assert_eq!(hex(number), format!("{number:08x}").as_bytes());
        }
    }

    #[test]
    fn ids_do_not_repeat_across_threads() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..10_000).map(|_| event_id(UNIX_EPOCH)).collect::<Vec<_>>()))
            .collect();
        let mut seen = std::collections::HashSet::new();
        for thread in threads {
            for id in thread.join().expect("thread") {
                assert!(seen.insert(id));
            }
        }
    }

    #[test]
    fn an_id_from_elsewhere_is_the_same_in_lower_case() {
        let text = "0190B0a0-1234-7567-89ab-cdef01234567";
        assert_eq!(EventId::parse(text).map(|id| id.to_string()), Some(text.to_lowercase()));
        assert_eq!(EventId::parse("0190b0a0"), None);
    }

    #[test]
    fn only_whole_uuids_pass() {
        assert!(is_uuid("0190b0a0-0000-7000-8000-000000000000"));
        assert!(!is_uuid("0190b0a0-0000-7000-8000-00000000000"));
        assert!(!is_uuid("0190b0a0-0000-7000-8000-00000000000g"));
        assert!(!is_uuid("0190b0a000007000800000000000000000--"));
    }
}
