//! Attributes that record what an AI did.
//!
//! Purpose: one attribute on a function makes each of its calls a record (an OpenTelemetry span)
//! that reaches the Tachograph collector. Invariants:
//!
//! - Nothing is captured that an argument does not name, except how the call ended (for an error its
//!   type and text, for a panic its message).
//! - A record that ended is delivered, or counted as lost and missing in the producer's sequence.
//! - Without [`init()`], an annotated function runs as if it were not annotated.
#![doc = include_str!("../../docs/instrumenting.md")]
#![forbid(unsafe_code)]

// The macros' output says `::tachograph`; this makes it work within this crate too.
#[cfg(test)]
extern crate self as tachograph;

mod call;
mod capture;
mod channel;
mod clock;
mod delivery;
mod event;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "http-headers")]
pub mod http;
mod ids;
mod init;
pub mod kafka;
mod late;
mod lifecycle;
mod processor;
pub mod propagation;
mod queue;
#[cfg(feature = "rayon")]
pub mod rayon;
mod receipts;
mod recorder;
mod report;
#[cfg(feature = "reqwest")]
pub mod reqwest;
mod spool;
mod stamp;
mod task;
pub mod thread;
#[cfg(feature = "tower")]
pub mod tower;
mod transport;
mod warning;
mod wire;

pub use capture::sha256;
pub use channel::{Carried, carry};
pub use event::{Outcome, set_outcome};
pub use init::{Guard, Init, InitError, Lost, init};
pub use opentelemetry::{Context, ContextGuard};
pub use processor::LosslessSpanProcessor;
pub use queue::WhenFull;
pub use report::{Report, SpoolState};
pub use spool::{Durability, Spool};
pub use tachograph_macros::{agent_decision, generation, tool_call};
pub use task::{InContext, bind, bind_mut, bind_once, spawn, spawn_blocking, with_context};
pub use transport::Protocol;

/// What the macros' output calls. Not for direct use; it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{Call, DebugMessage, DisplayMessage, ErrorText, NoMessage};
    pub use crate::capture::{Hashed, Integer, Number, Scalar, Text, TextList};
    pub use crate::event::{Kind, Step};
    pub use crate::receipts::Receipt;
    /// For fuzzing: a segment of the spool, read as recovery reads it.
    pub use crate::spool::format as spool_format;
}
