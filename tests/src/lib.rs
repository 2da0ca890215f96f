//! What the end-to-end tests are made of: real `tachograph` processes, real sockets, real files.
//!
//! Nothing here is simulated. [`home`] is a ledger in a temporary directory, [`collector`] the process that writes it,
//! [`load`] the senders that keep book of what was acknowledged, [`stored`] what the ledger holds in the end, and
//! [`command`] the commands that an auditor would run. A test compares the last three. For an archive in a bucket there are [`minio`],
//! a real S3 server, [`bucket`] in it, and [`proxy`] in front of it, which makes planned requests fail.
//!
//! Everything panics with a message that says what to do: this is test code, and a panic is how a test fails.

pub mod bucket;
pub mod child;
pub mod collector;
pub mod command;
pub mod home;
pub mod http;
pub mod kms;
pub mod load;
pub mod minio;
pub mod openbao;
pub mod otlp;
pub mod programs;
pub mod proxy;
pub mod receipts;
pub mod seed;
pub mod softhsm;
pub mod stored;
pub mod tree;
pub mod tsa;
pub mod weak_store;
pub mod witness;
