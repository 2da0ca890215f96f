//! Chance that can be repeated: every test that uses it prints its seed.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The variable that replays a run.
pub const VARIABLE: &str = "TACHOGRAPH_TEST_SEED";

/// A small generator (SplitMix64): good enough to pick moments and positions, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The seed in the environment, or a new one. Prints it.
    ///
    /// # Panics
    /// If the variable holds no number.
    pub fn of_test(test: &str) -> Self {
        let seed = match std::env::var(VARIABLE) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text} is no number")),
            Err(_) => RandomState::new().build_hasher().finish(),
        };
        println!("{test}: {VARIABLE}={seed}");
        Self { state: seed }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// A position in something of `length`, which is not 0.
    pub fn at(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A time between the two, in milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.below((to - from) * 1000))
    }

    /// A generator for somebody else.
    pub fn fork(&mut self) -> Self {
        Self { state: self.number() }
    }
}
