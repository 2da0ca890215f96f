//! What annotated functions record, seen at an exporter in memory and at a real OTLP receiver.

mod across;
mod application;
mod attributes;
mod builders;
mod causes;
mod content;
mod delivery;
mod forms;
#[cfg(feature = "http")]
mod http;
mod lifecycle;
#[cfg(feature = "logs")]
mod logs;
mod losses;
mod nesting;
mod otlp;
mod outcomes;
mod services;
#[cfg(feature = "signing")]
mod signing;
mod sink;
mod spool;
