//! The typed columns that the archive derives from a body: one table for writing and for verifying.

use crate::Body;

/// A longer string is not repeated in its column: the column is null and the body has it.
pub const COLUMN_TEXT_LIMIT: usize = 4_096;

/// The type of a column in Parquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// BYTE_ARRAY, STRING.
    Text,
    /// INT64.
    Int,
    /// INT64, TIMESTAMP(NANOS, UTC).
    Time,
    /// DOUBLE.
    Double,
    /// FIXED_LEN_BYTE_ARRAY(16), UUID.
    Uuid,
    /// FIXED_LEN_BYTE_ARRAY of that many bytes.
    Fixed(usize),
}

/// What one record has in one column.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A string.
    Text(&'a str),
    /// An integer or a time.
    Int(i64),
    /// A double.
    Double(f64),
    /// An id.
    Bytes(&'a [u8]),
}

impl PartialEq for Value<'_> {
    /// Doubles bit for bit, so that not-a-number equals itself.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            _ => false,
        }
    }
}

/// A column: its name is that of the member which it repeats.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in Parquet and in the body.
    pub name: &'static str,
    /// Type in Parquet.
    pub kind: ColumnType,
    /// Whether every record has a value.
    pub required: bool,
    /// Whether look-ups by it deserve a bloom filter.
    pub bloom: bool,
    derive: for<'b> fn(&'b Body<'_>) -> Value<'b>,
}

impl Column {
    /// The value that belongs into this column for `body`.
    pub fn derive<'b>(&self, body: &'b Body<'_>) -> Value<'b> {
        (self.derive)(body)
    }
}

fn text(text: &str) -> Value<'_> {
    if text.len() > COLUMN_TEXT_LIMIT { Value::Null } else { Value::Text(text) }
}

fn int(value: u64) -> Value<'static> {
    i64::try_from(value).map_or(Value::Null, Value::Int)
}

macro_rules! column {
    ($name:ident, $kind:expr, required = $required:expr, bloom = $bloom:expr, |$body:ident| $derive:expr) => {
        Column { name: stringify!($name), kind: $kind, required: $required, bloom: $bloom, derive: |$body| $derive }
    };
    ($name:ident, time) => {
        column!($name, ColumnType::Time, required = true, bloom = false, |body| int(body.record.$name.unix_nanos()))
    };
    ($name:ident, word) => {
        column!($name, ColumnType::Text, required = false, bloom = false, |body| body
            .record
            .$name
            .map_or(Value::Null, |word| Value::Text(word.as_str())))
    };
    ($name:ident, text) => {
        column!($name, text, bloom = false)
    };
    ($name:ident, text, bloom = $bloom:expr) => {
        column!($name, ColumnType::Text, required = false, bloom = $bloom, |body| body
            .record
            .$name
            .as_ref()
            .map_or(Value::Null, |value| text(value)))
    };
    ($name:ident, int) => {
        column!($name, ColumnType::Int, required = false, bloom = false, |body| body
            .record
            .$name
            .map_or(Value::Null, |value| int(value.get())))
    };
    ($name:ident, double) => {
        column!($name, ColumnType::Double, required = false, bloom = false, |body| body
            .record
            .$name
            .map_or(Value::Null, |value| Value::Double(value.0)))
    };
    ($name:ident, bytes, $kind:expr, bloom = $bloom:expr) => {
        column!($name, $kind, required = false, bloom = $bloom, |body| body
            .record
            .$name
            .as_ref()
            .map_or(Value::Null, |id| Value::Bytes(&id.0)))
    };
}

/// The derived columns, in the order of the Parquet schema. `index` stands before them and `body` behind.
pub const COLUMNS: &[Column] = &[
    column!(event_id, ColumnType::Uuid, required = true, bloom = true, |body| Value::Bytes(&body.record.event_id.0)),
    column!(timestamp, time),
    column!(observed_at, ColumnType::Time, required = true, bloom = false, |body| int(body.observed_at.unix_nanos())),
    column!(kind, ColumnType::Text, required = true, bloom = false, |body| Value::Text(body.record.kind.as_str())),
    column!(service_name, text),
    column!(environment, text),
    column!(tenant, text),
    column!(actor_type, word),
    column!(actor_id, text, bloom = true),
    column!(session_id, text, bloom = true),
    column!(team, text),
    column!(client_ip, text),
    column!(action_type, text),
    column!(resource_type, text),
    column!(resource_id, text),
    column!(outcome, word),
    column!(outcome_reason, text),
    column!(trace_id, bytes, ColumnType::Fixed(16), bloom = true),
    column!(span_id, bytes, ColumnType::Fixed(8), bloom = false),
    column!(parent_span_id, bytes, ColumnType::Fixed(8), bloom = false),
    column!(correlation_id, text, bloom = true),
    column!(parent_id, bytes, ColumnType::Uuid, bloom = false),
    column!(provider, text),
    column!(model, text),
    column!(model_version, text),
    column!(response_id, text),
    column!(input_hash, text),
    column!(output_hash, text, bloom = true),
    column!(output_path, text, bloom = true),
    column!(tokens_in, int),
    column!(tokens_out, int),
    column!(cost, double),
    column!(cost_currency, text),
    column!(duration_ns, int),
    column!(status, word),
    column!(error_type, text),
    column!(agent_id, text),
    column!(agent_version, text),
    column!(decision_type, text),
    column!(threshold, double),
    column!(confidence, double),
    column!(final_decision, text),
    column!(conflicts_with, int),
];
