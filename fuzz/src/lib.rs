//! Fuzz targets for everything that parses bytes from outside.
//!
//! A target is one file in `src/targets`, one line in the list below and one folder of seeds in `corpus`.
//! It takes any bytes and must not panic; each also asserts what has to hold for input that was accepted.
//!
//! The targets run in two ways: `cargo xtask fuzz` searches for new inputs with libFuzzer, and the ordinary tests
//! replay every seed, among them the inputs that once crashed.

mod export;
mod memory;
pub mod signing;
mod targets;

/// A target: any bytes in, a panic if something is wrong.
pub type Target = fn(&[u8]);

/// Names the target that the fuzz program runs.
pub const VARIABLE: &str = "TACHOGRAPH_FUZZ_TARGET";

/// Every target, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("add_checkpoint", targets::add_checkpoint::run),
    ("body", targets::body::run),
    ("bundle", targets::bundle::run),
    ("checkpoint", targets::checkpoint::run),
    ("commit", targets::commit::run),
    ("config", targets::config::run),
    ("continues", targets::continues::run),
    ("journal", targets::journal::run),
    ("json", targets::json::run),
    ("key_link", targets::key_link::run),
    ("leaf", targets::leaf::run),
    ("note", targets::note::run),
    ("otlp_json", targets::otlp_json::run),
    ("otlp_logs", targets::otlp_logs::run),
    ("otlp_traces", targets::otlp_traces::run),
    ("policy", targets::policy::run),
    ("receipt", targets::receipt::run),
    ("receipt_answer", targets::receipt_answer::run),
    ("s3_url", targets::s3_url::run),
    ("spool", targets::spool::run),
    ("streams", targets::streams::run),
    ("timestamp", targets::timestamp::run),
    ("tlog_proof", targets::tlog_proof::run),
    ("vkey", targets::vkey::run),
];

/// The target with this name.
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
