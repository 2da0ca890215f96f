//! What a recorded call costs beside its peers, in one run: `cargo xtask bench calls`.
//!
//! Each case does the same work with the same twelve attributes, one of them a prompt of 600 bytes ([`workload`]), in its own way
//! ([`cases`]). What is measured is CPU time of the calling thread, on a shared machine the only time that belongs to the call, and
//! allocations of that thread; for calls that wait for a disk the time on the clock stands beside it. Exporters discard; queues are drained between chunks, untimed; what was exported is counted, so that
//! no case looks cheap because it lost its spans.
//!
//! Criterion can measure thread CPU time, through its trait `Measurement`, but takes all samples of one benchmark before it begins
//! the next: on a machine whose speed drifts, the ratio of two cases would be that of two moments. Here the cases take turns, a
//! chunk each, and a ratio is the median of those within a round. Nor can Criterion drain a queue between samples whose size it
//! chooses itself.
//!
//! Allocations are counted by another program (`tachograph-calls-allocations`), because counting costs time.

#![forbid(unsafe_code)]

pub mod cases;
pub mod crowd;
pub mod inference;
pub mod measure;
mod peers;
mod receiver;
pub mod recorder;
pub mod tally;
pub mod workload;
