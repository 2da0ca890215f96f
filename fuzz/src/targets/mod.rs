//! One target a file.

pub(crate) mod add_checkpoint;
pub(crate) mod body;
pub(crate) mod bundle;
pub(crate) mod checkpoint;
pub(crate) mod commit;
pub(crate) mod config;
pub(crate) mod continues;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod key_link;
pub(crate) mod leaf;
pub(crate) mod note;
pub(crate) mod otlp_json;
pub(crate) mod otlp_logs;
pub(crate) mod otlp_traces;
pub(crate) mod policy;
pub(crate) mod receipt;
pub(crate) mod receipt_answer;
pub(crate) mod s3_url;
pub(crate) mod spool;
pub(crate) mod streams;
pub(crate) mod timestamp;
pub(crate) mod tlog_proof;
pub(crate) mod vkey;
