//! The recorder within the process that it records.
//!
//! Purpose: seal and archive an application's records with no collector beside it, for a program on a desk, a device, a batch job. It is
//! the collector itself, without its ports: the same journal, the same archive, the same proofs, and `tachograph verify` reads what comes
//! of it as any other ledger.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
#![doc = include_str!("../example.rs")]
//! # Ok(())
//! # }
//! ```
//!
//! Invariants:
//! - An export is answered with success only once every record of it is durable in the journal.
//! - Nothing of the process is taken over: no global provider, no subscriber, no signal handler. The ledger has threads of its own.
//! - One process writes a ledger. A second one is refused, a collector too.
//!
//! The ledger says what it does as events of `tracing`, in targets that begin with `tachograph_`. **Keep them out of whatever turns such
//! events into records of the same ledger** (a bridge to OpenTelemetry's logs): each would cause the next. A filter for the bridge's layer
//! does it, such as `tachograph_collector=off,tachograph_exporters=off,info`.
//!
//! What it can't do: protect the records from the process itself. Who controls the application controls its key; a collector beside it, or
//! witnesses that see the checkpoints (`witnesses` in the configuration file), are the remedy.
#![forbid(unsafe_code)]

mod exporter;
mod ledger;

pub use exporter::LedgerExporter;
pub use ledger::{CloseError, CreateError, Ledger, OpenError};
