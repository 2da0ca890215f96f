//! What the end-to-end tests are made of: real `tachograph` processes, real sockets, real files.
//!
//! Nothing here is simulated. [`home`] is a ledger in a temporary directory, [`collector`] the process that writes it,
//! [`load`] the senders that keep book of what was acknowledged, [`stored`] what the ledger holds in the end, and
//! [`command`] the commands that an auditor would run. A test compares the last three.
//!
//! Everything panics with a message that says what to do: this is test code, and a panic is how a test fails.

pub mod collector;
pub mod command;
pub mod home;
pub mod http;
pub mod load;
pub mod minio;
pub mod otlp;
pub mod programs;
pub mod seed;
pub mod stored;
pub mod tree;
