//! The vocabulary of Tachograph: what one record of an AI's doing holds, and its bytes.
//!
//! A [`Record`] becomes a *body*, a JSON object whose bytes are kept and hashed as they are
//! (`docs/format.md`, section 2). [`Body::parse`] reads one back, and [`COLUMNS`] derives from it the typed
//! columns of the archive, by the same code when they are written and when they are verified.
//!
//! No I/O, no clock, no randomness: time and salt are handed in.

mod body;
mod column;
mod id;
mod json;
mod kind;
mod record;
mod text;
mod time;

pub use body::{Body, BodyError, PREFIX_LEN, append_conflict, content_digest, content_of, write_body};
pub use column::{COLUMN_TEXT_LIMIT, COLUMNS, Column, ColumnType, Value};
pub use id::{EventId, Hex, SpanId, TraceId, write_hex};
pub use json::{Json, MAX_DEPTH, MAX_SAFE_INTEGER, write_f64, write_str};
pub use kind::{ActorType, Kind, Outcome, Status};
pub use record::Record;
pub use text::{Count, Decimal, Number, Text};
pub use time::{Time, TimeError};
