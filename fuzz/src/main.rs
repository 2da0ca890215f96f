//! The fuzz program: libFuzzer's entry point, running the target that the environment names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tachograph_fuzz::{Target, VARIABLE, find};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    find(&name).unwrap_or_else(|| panic!("{VARIABLE} names no fuzz target: {name:?}"))
});

fuzz_target!(|data: &[u8]| TARGET(data));
