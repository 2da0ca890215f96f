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

pub mod builder;
mod call;
mod capture;
mod channel;
mod clock;
mod content;
mod delivery;
mod draft;
mod event;
mod event_ref;
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
mod signing;
mod spool;
mod stamp;
mod step;
mod task;
pub mod testing;
pub mod thread;
#[cfg(feature = "tower")]
pub mod tower;
mod transport;
mod usage;
mod values;
mod warning;
mod wire;

pub use builder::{Approval, AuditEvent, Decision, Generation, Retrieval, ToolCall};
pub use capture::sha256;
pub use channel::{Carried, carry};
pub use content::{Capture, Content, Redaction};
pub use event::{Outcome, set_outcome};
pub use event_ref::{Causes, EventRef, NotAnEventRef, caused_by, current_event, event_of, event_of_future};
pub use init::{Guard, Init, InitError, Lost, init};
pub use opentelemetry::{Context, ContextGuard};
#[cfg(feature = "logs")]
pub use processor::LosslessLogProcessor;
pub use processor::LosslessSpanProcessor;
pub use queue::WhenFull;
pub use report::{Report, SpoolState};
#[cfg(feature = "signing")]
pub use signing::{SourceKey, SourceKeyError};
pub use spool::{Durability, Spool};
/// ```
/// struct Loan { id: String }
/// struct Verdict { granted: bool, remark: String }
///
/// #[tachograph::approval(approver = officer, actor_type = "user", subject = loan.id, granted = ret.granted, reason = ret.remark)]
/// fn ask(officer: &str, loan: &Loan) -> Verdict {
///     Verdict { granted: true, remark: "income is proven".to_owned() }
/// }
/// # ask("officer-7", &Loan { id: "loan-1".to_owned() });
/// ```
pub use tachograph_macros::approval;
/// ```
/// # let (user, model) = ("anna", "m-2");
/// tachograph::audit! { action = "model.deploy", actor = user, resource_type = "model", resource = model }
///
/// // A name alone is the variable of that name.
/// let outcome = "blocked";
/// tachograph::audit! { action = "model.delete", outcome, reason = "it is in use" }
/// ```
pub use tachograph_macros::audit;
/// ```
/// #[tachograph::retrieval(data_source = "handbook", query = question, top_k = 3, documents = ret)]
/// fn search(question: &str) -> Vec<String> {
///     vec!["page 12".to_owned()]
/// }
/// # search("leave");
/// ```
pub use tachograph_macros::retrieval;
/// ```
/// # let rsi = 24.0;
/// tachograph::step!("RSI_CHECK", result = rsi, threshold = 30, reason = "RSI {rsi} is below 30");
/// tachograph::step!("RISK_CHECK", result = "passed", confidence = 0.9);
/// tachograph::step!("ORDER_SIZED", reason = "{} % of the limit", 40);
/// ```
///
/// `result` is anything that serde can serialise. `reason` is a format string, or anything that can
/// be displayed. Steps keep their order; they may stand wherever the decision is open, in closures, async blocks and functions that
/// it calls. Outside of a decision, and when nothing is recorded, the arguments are not evaluated.
pub use tachograph_macros::step;
pub use tachograph_macros::{agent_decision, generation, tool_call};
pub use task::{InContext, bind, bind_mut, bind_once, spawn, spawn_blocking, with_context};
pub use transport::Protocol;
pub use usage::{ReportsUsage, Usage};

/// Values that arguments and builders take. Implement [`Text`](value::Text) for a type of your own, and `prompt = req.prompt` takes
/// it without `%`.
pub mod value {
    pub use crate::call::{Granted, SaysOutcome};
    pub use crate::capture::{Hashed, Integer, Number, Scalar, Text, TextList};
}

/// What the macros' output calls. Not for direct use; it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{
        Call, DebugMessage, DisplayMessage, Ended, EndedEither, EndedWell, ErrorText, NoMessage, Site,
    };
    pub use crate::capture::{Hashed, Integer, Number, Scalar, Text, TextList};
    pub use crate::content::Choice;
    pub use crate::event::Kind;
    pub use crate::receipts::Receipt;
    /// For tests: a disk that fails.
    pub use crate::spool::disk::{Disk, RealDisk};
    /// For fuzzing: a segment of the spool, read as recovery reads it.
    pub use crate::spool::format as spool_format;
    pub use crate::step::Step;
}
