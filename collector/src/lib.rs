//! What an operator runs: the collector between the services and the archive.
//!
//! ```text
//! receive → normalise → seal → journal ──► acknowledgement
//!                                  └─► archive
//! ```
//!
//! One module a stage; [`pipeline`] is the one file that wires them. `ARCHITECTURE.md` has the map.

pub mod admin;
pub mod archiver;
pub mod audit;
pub mod batch;
pub mod clock;
pub mod closing;
pub mod config;
pub mod continuation;
pub mod control;
pub mod data_dir;
pub mod dedup;
pub mod ended_keys;
pub mod expiry;
pub mod holds;
pub mod intake;
pub mod inventory;
pub mod journal;
pub mod key_ring;
pub mod keys;
pub mod mailbox;
pub mod normalise;
pub mod observe;
pub mod otlp;
pub mod outbound;
pub mod pipeline;
pub mod place;
pub mod producers;
pub mod progress;
pub mod prove;
pub mod publication;
pub mod receipt;
pub mod receive;
pub mod reseal;
pub mod retention;
pub mod seal;
pub mod startup;
pub mod statements;
pub mod timestamp;
pub mod trace;
pub mod view;
pub mod witness;
pub mod witness_server;
